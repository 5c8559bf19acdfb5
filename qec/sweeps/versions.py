"""What processes must share so that their shots may be added up: versions of Python and of packages.

It is looked at where the work is given out, and again where it is done: by the workers of an executor, and by the jobs
of a plan.
"""

import functools
import hashlib
import importlib.util
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

from quell.qec.sweeps.tasks import Job

__all__ = ["MISSING", "PACKAGES", "different_versions", "own_versions", "sources_of", "versions_of"]

PACKAGES = ("quell", "stim", "sinter", "pymatching")
MISSING = "missing"
_SOURCE = "source of "
_BEHIND_SINTERS = {"fusion_blossom": "fusion-blossom", "hypergraph_union_find": "mwpf", "mw_parity_factor": "mwpf"}


@functools.cache
def own_versions() -> Mapping[str, str]:
    """Returns what every worker must share: the versions of Python (3.11, not 3.11.7), quell, stim, sinter, pymatching.

    Examples:
        >>> from quell.qec.sweeps.versions import own_versions
        >>> sorted(own_versions())
        ['Python', 'pymatching', 'quell', 'sinter', 'stim']
    """
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **versions_of(PACKAGES)}


def sources_of(job: Job) -> list[str]:
    """Returns what a job's decoder comes from, beside `PACKAGES`: names that `versions_of` knows.

    They are distributions, or for modules of the user's own `"source of MODULE"`.

    Examples:
        >>> import sinter, stim
        >>> from quell.qec.sweeps.tasks import prepare_jobs
        >>> from quell.qec.sweeps.versions import sources_of
        >>> circuit = stim.Circuit("M 0\\nDETECTOR rec[-1]\\nOBSERVABLE_INCLUDE(0) rec[-1]")
        >>> [sources_of(job) for job in prepare_jobs(circuit, ["pymatching", "mw_parity_factor"], {}, num_workers=1)]
        [[], ['mwpf']]
    """
    found = {_BEHIND_SINTERS[job.decoder_name]} if job.decoder_name in _BEHIND_SINTERS else set()
    for module in {base.__module__ for base in type(job.decoder).__mro__}:
        top = module.partition(".")[0]
        if top not in ("__main__", *PACKAGES, *sys.stdlib_module_names):
            packages = {package for package in _distributions().get(top, ()) if _holds(package, top)}
            found |= packages or {f"{_SOURCE}{module}"}
    return sorted(found)


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """Returns the versions of distributions that are installed here, and digests of sources; "missing" for what is not.

    Examples:
        >>> from quell.qec.sweeps.versions import versions_of
        >>> versions_of(["no-such-decoder"])
        {'no-such-decoder': 'missing'}
    """
    return {name: _version(name) for name in names}


def different_versions(wanted: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """Says what differs, as the end of a sentence that begins with the worker; None if nothing does.

    A source that is not there at all is no difference: if it is needed, the decoder itself will say so.

    Examples:
        >>> from quell.qec.sweeps.versions import different_versions
        >>> different_versions({"stim": "1.16.0", "sinter": "1.16.0"}, {"stim": "1.15.0", "sinter": "1.16.0"})
        'has stim 1.15.0, and the work was given out with stim 1.16.0: install the same versions on all machines'
    """
    names = []
    for name in wanted:
        here = found.get(name, MISSING)
        if here != wanted[name] and not (name.startswith(_SOURCE) and here == MISSING):
            names.append(name)
    if not names:
        return None
    there = ", ".join(_named(name, found.get(name, MISSING)) for name in names)
    here = ", ".join(_named(name, wanted[name]) for name in names)
    return f"has {there}, and the work was given out with {here}: install the same versions on all machines"


def _named(name: str, version: str) -> str:
    if version == MISSING:
        return f"no {name}"
    return f"a {name} of digest {version}" if name.startswith(_SOURCE) else f"{name} {version}"


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _holds(package: str, module: str) -> bool:
    """Whether a module is the package's, and not one of the user's that has its name, such as `utils`."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and Path(file).is_relative_to(str(distribution(package).locate_file("")))


def _version(name: str) -> str:
    if name.startswith(_SOURCE):
        return _source_digest(name.removeprefix(_SOURCE))
    try:
        return version(name)
    except PackageNotFoundError:
        return MISSING


def _source_digest(module: str) -> str:
    try:
        found = importlib.util.find_spec(module)
        return hashlib.sha256(Path(str(found and found.origin)).read_bytes()).hexdigest()[:12]
    except (ImportError, OSError, ValueError):  # not there, or made without a file
        return MISSING
