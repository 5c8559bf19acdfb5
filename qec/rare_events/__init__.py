"""Logical error rates that plain sampling cannot reach, with honest intervals: strata of faults, and splitting."""

from quell.qec.rare_events.estimate import RareEstimate
from quell.qec.rare_events.files import read_rare_estimates, write_rare_estimates
from quell.qec.rare_events.plots import plot_rare_error_rates
from quell.qec.rare_events.run import rare_error_rates
from quell.qec.rare_events.suppression import fit_rare_lambdas
from quell.qec.rare_events.tables import format_rare_table, rare_table_rows

__all__ = [
    "RareEstimate",
    "fit_rare_lambdas",
    "format_rare_table",
    "plot_rare_error_rates",
    "rare_error_rates",
    "rare_table_rows",
    "read_rare_estimates",
    "write_rare_estimates",
]
