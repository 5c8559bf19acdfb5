"""What a sweep and its workers must share, so that their shots may be added up: versions of Python and of packages."""

import functools
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata

__all__ = ["different_versions", "own_versions", "packages_of", "versions_of"]

_PACKAGES = ("quell", "stim", "sinter", "pymatching")
_MISSING = "missing"


@functools.cache
def own_versions() -> Mapping[str, str]:
    """Returns what every worker must share: the versions of Python (3.11, not 3.11.7), quell, stim, sinter, pymatching.

    Examples:
        >>> from quell.qec.sweeps.executor_versions import own_versions
        >>> sorted(own_versions())
        ['Python', 'pymatching', 'quell', 'sinter', 'stim']
    """
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **versions_of(_PACKAGES)}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Returns the versions of installed distributions; "missing" for one that is not.

    Examples:
        >>> from quell.qec.sweeps.executor_versions import versions_of
        >>> versions_of(["no-such-decoder"])
        {'no-such-decoder': 'missing'}
    """
    return {package: _version(package) for package in packages}


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _MISSING


def packages_of(value: object) -> list[str]:
    """Returns the distributions, beside those in `own_versions`, that the class of `value` and its bases come from.

    Examples:
        >>> import numpy as np, sinter
        >>> from quell.qec.sweeps.executor_versions import packages_of
        >>> packages_of(np.random.default_rng()), packages_of(sinter.BUILT_IN_DECODERS["pymatching"])
        (['numpy'], [])
    """
    modules = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    modules -= {"__main__", "abc", "builtins", *_PACKAGES}
    found = {package for module in modules for package in _distributions().get(module, ())}
    return sorted(found)


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def different_versions(wanted: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """Says what differs, as the end of a sentence that begins with the worker; None if nothing does.

    Examples:
        >>> from quell.qec.sweeps.executor_versions import different_versions
        >>> different_versions({"stim": "1.16.0", "sinter": "1.16.0"}, {"stim": "1.15.0", "sinter": "1.16.0"})
        'has stim 1.15.0, and the sweep was started with stim 1.16.0: install the same versions on all machines'
    """
    names = [name for name in wanted if wanted[name] != found.get(name, _MISSING)]
    if not names:
        return None
    there = ", ".join(_named(name, found.get(name, _MISSING)) for name in names)
    here = ", ".join(_named(name, wanted[name]) for name in names)
    return f"has {there}, and the sweep was started with {here}: install the same versions on all machines"


def _named(name: str, version: str) -> str:
    return f"no {name}" if version == _MISSING else f"{name} {version}"
