"""Analysis of sinter's statistics: intervals, thresholds, suppression factors, tables and plots.

Every number travels with its interval. Input is `sinter.TaskStats` throughout, so data of any origin that
sinter can read will do.
"""

from quell.qec.analysis.crossings import Crossing, crossings
from quell.qec.analysis.intervals import (
    Estimate,
    binomial_interval,
    discard_rate,
    error_rate,
    error_rate_per_round,
    normal_quantile,
    per_round_probability,
)
from quell.qec.analysis.plots import plot_collapse, plot_drift, plot_error_rate, plot_lambda
from quell.qec.analysis.points import group_stats, merge_stats
from quell.qec.analysis.post_selection import Cut, Survival, cut_at, cuts, stage_survival
from quell.qec.analysis.post_selection_plots import plot_attempts, plot_survival
from quell.qec.analysis.post_selection_tables import format_post_selection, post_selection_rows
from quell.qec.analysis.scaling import sample_scaling_law
from quell.qec.analysis.suppression import LambdaFit, LambdaPair, fit_lambda, fit_lambdas
from quell.qec.analysis.tables import format_table, table_rows
from quell.qec.analysis.threshold import fit_threshold
from quell.qec.analysis.threshold_fit import ScalingFit, ThresholdFit

__all__ = [
    "Crossing",
    "Cut",
    "Estimate",
    "LambdaFit",
    "LambdaPair",
    "ScalingFit",
    "Survival",
    "ThresholdFit",
    "binomial_interval",
    "crossings",
    "cut_at",
    "cuts",
    "discard_rate",
    "error_rate",
    "error_rate_per_round",
    "fit_lambda",
    "fit_lambdas",
    "fit_threshold",
    "format_post_selection",
    "format_table",
    "group_stats",
    "merge_stats",
    "normal_quantile",
    "per_round_probability",
    "plot_attempts",
    "plot_collapse",
    "plot_drift",
    "plot_error_rate",
    "plot_lambda",
    "plot_survival",
    "post_selection_rows",
    "sample_scaling_law",
    "stage_survival",
    "table_rows",
]
