"""The versions that a result may depend on: where a plan is made, and where it is run."""

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

from quell.errors import IdentityError
from quell.qec.sweeps.tasks import Job

__all__ = ["check_versions", "versions_of"]

_ALWAYS = ("quell", "stim", "sinter", "pymatching")
_BEHIND_SINTERS = {"fusion_blossom": "fusion-blossom", "hypergraph_union_find": "mwpf", "mw_parity_factor": "mwpf"}


def versions_of(jobs: Iterable[Job]) -> dict[str, str]:
    """Returns the versions of what jobs need here, by package: their decoders' packages are among them."""
    needed = set()
    modules = set()
    for job in jobs:
        if job.decoder_name in _BEHIND_SINTERS:
            needed.add(_BEHIND_SINTERS[job.decoder_name])
        modules.add(type(job.decoder).__module__.partition(".")[0])
    if modules - set(_ALWAYS):  # looking packages up takes a while
        known = packages_distributions()
        needed |= {package for module in modules for package in known.get(module, ()) if _holds(package, module)}
    found = {name: _version(name) for name in [*_ALWAYS, *sorted(needed - set(_ALWAYS))]}
    return {**{name: each for name, each in found.items() if each is not None}, "python": platform.python_version()}


def check_versions(planned: Mapping[str, str]) -> None:
    """Refuses other versions than were planned with. Python's own may differ: decoders say themselves if they need it.

    Raises:
        IdentityError: The message names both versions.
    """
    for name, wanted in planned.items():
        here = _version(name)
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
    try:
        return version(name)
    except PackageNotFoundError:
        return None
