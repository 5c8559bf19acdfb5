"""The versions that a result may depend on: where a plan is made, and where it is run."""

import hashlib
import importlib.util
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

from quell.errors import IdentityError
from quell.qec.sweeps.tasks import Job

__all__ = ["check_versions", "versions_of"]

_ALWAYS = ("quell", "stim", "sinter", "pymatching")
_SOURCE = "source of "
_BEHIND_SINTERS = {"fusion_blossom": "fusion-blossom", "hypergraph_union_find": "mwpf", "mw_parity_factor": "mwpf"}


def versions_of(jobs: Iterable[Job]) -> dict[str, str]:
    """Returns the versions of what jobs need here, by package: their decoders' packages are among them.

    For modules of decoders that are of no package, it is a digest of their source, as "source of MODULE".
    """
    needed = set()
    modules = set()
    for job in jobs:
        if job.decoder_name in _BEHIND_SINTERS:
            needed.add(_BEHIND_SINTERS[job.decoder_name])
        modules.add(type(job.decoder).__module__)
    modules = {module for module in modules if module.partition(".")[0] not in (*_ALWAYS, "__main__")}
    if modules:  # looking packages up takes a while
        known = packages_distributions()
        for module in modules:
            top = module.partition(".")[0]
            needed |= {package for package in known.get(top, ()) if _holds(package, top)} or {f"{_SOURCE}{module}"}
    found = {name: _version(name) for name in [*_ALWAYS, *sorted(needed - set(_ALWAYS))]}
    return {**{name: each for name, each in found.items() if each is not None}, "python": platform.python_version()}


def check_versions(planned: Mapping[str, str]) -> None:
    """Refuses other versions than were planned with. Python's own may differ: decoders say themselves if they need it.

    Raises:
        IdentityError: The message names both versions.
    """
    for name, wanted in planned.items():
        here = _version(name)
        if name.startswith(_SOURCE):
            if here in (wanted, None):  # if it is not there, the decoder will say so
                continue
            raise IdentityError(
                f"the {name}, which defines a decoder, is not what it was when the plan was made (digest {here}, then "
                f"{wanted}): use the same file, plan again, or allow it with allow_other_versions=True "
                f"(--allow-other-versions)"
            )
        if name != "python" and here != wanted:
            raise IdentityError(
                f"the plan was made with {name} {wanted}, and here is {f'{name} {here}' if here else 'none'}: install "
                f"{name}=={wanted}, plan again, or allow it with allow_other_versions=True (--allow-other-versions)"
            )


def _holds(package: str, module: str) -> bool:
    """Whether a module is the package's, and not one of the user's that has its name, such as `utils`."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and Path(file).is_relative_to(str(distribution(package).locate_file("")))


def _version(name: str) -> str | None:
    if name.startswith(_SOURCE):
        return _source_digest(name.removeprefix(_SOURCE))
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _source_digest(module: str) -> str | None:
    try:
        found = importlib.util.find_spec(module)
        return hashlib.sha256(Path(str(found and found.origin)).read_bytes()).hexdigest()[:12]
    except (ImportError, OSError, ValueError):  # not there, or made without a file
        return None
