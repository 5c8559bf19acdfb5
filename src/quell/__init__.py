"""quell: from a quantum code to a number one can trust.

`quell.circuits` builds Stim circuits and puts noise on them, `quell.decoders` turns detection events into
corrections, `quell.qec` sweeps, fits and plots, `quell.mitigation` cleans measured counts.
"""

import importlib
from typing import TYPE_CHECKING, Any

from quell import circuits, decoders, errors, qec
from quell._front_door import iter_sweep, sweep

if TYPE_CHECKING:
    from quell import mitigation

__all__ = ["__version__", "circuits", "decoders", "errors", "iter_sweep", "mitigation", "qec", "sweep"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Who builds codes has no counts to clean, and is spared the third of the import that this takes.
    if name == "mitigation":
        return importlib.import_module("quell.mitigation")
    raise AttributeError(f"module 'quell' has no attribute {name!r}")
