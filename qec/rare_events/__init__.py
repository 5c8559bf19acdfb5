"""Logical error rates that plain sampling cannot reach, with honest intervals: strata of faults, and splitting."""

from quell.qec.rare_events.estimate import RareEstimate
from quell.qec.rare_events.files import read_rare_estimates, write_rare_estimates
from quell.qec.rare_events.run import rare_error_rates

__all__ = ["RareEstimate", "rare_error_rates", "read_rare_estimates", "write_rare_estimates"]
