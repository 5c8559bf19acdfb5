"""Sweeps that sinter drives, and the numbers, intervals and pictures that come out of them."""

from quell.qec.sweeps import iter_sweep, read_stats, settings_digest, sweep

__all__ = ["iter_sweep", "read_stats", "settings_digest", "sweep"]
