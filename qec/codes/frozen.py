"""What codes have in common: their arrays are read-only, in copies and after unpickling too."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["ReadOnly"]


class ReadOnly:
    """Base of frozen dataclasses that hold arrays. numpy forgets on pickling and copying that an array is read-only."""

    def _hold(self, values: Mapping[str, Any]) -> None:
        for field, value in values.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, field, value)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._hold(state)
