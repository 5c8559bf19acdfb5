"""The sweeps of `quell.qec`, which here know quell's own decoders by name too."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from quell import qec
from quell.decoders import sinter_decoders

__all__ = ["iter_sweep", "sweep"]

P = ParamSpec("P")
R = TypeVar("R")


def _with_own_decoders(function: Callable[P, R]) -> Callable[P, R]:
    """Returns `function` with quell's decoders added to its `custom_decoders`; the user's hide ours."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> R:
        kwargs["custom_decoders"] = {**sinter_decoders(), **(kwargs.get("custom_decoders") or {})}
        return function(*args, **kwargs)

    return cast(Callable[P, R], wrapped)


sweep = _with_own_decoders(qec.sweep)
iter_sweep = _with_own_decoders(qec.iter_sweep)
