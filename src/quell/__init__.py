"""quell: from a quantum code to a number one can trust.

`quell.circuits` builds Stim circuits and puts noise on them, `quell.decoders` turns detection events into
corrections, `quell.qec` sweeps, fits and plots, `quell.mitigation` cleans measured counts.
"""

from quell import circuits, decoders, errors, mitigation, qec
from quell._front_door import iter_sweep, sweep

__all__ = ["__version__", "circuits", "decoders", "errors", "iter_sweep", "mitigation", "qec", "sweep"]
__version__ = "0.1.0"
