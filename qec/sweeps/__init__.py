"""Sweeps: sinter tasks in, sinter statistics out, with nothing lost on the way."""

from quell.qec.sweeps.collect import SweepOptions, iter_sweep, sweep
from quell.qec.sweeps.identity import settings_digest
from quell.qec.sweeps.store import read_stats

__all__ = ["SweepOptions", "iter_sweep", "read_stats", "settings_digest", "sweep"]
