"""What turns measured counts into better counts. This part imports none of the others."""

from quell.mitigation.automatic import MITIGATION_METHODS, Automatic, mitigate
from quell.mitigation.bootstrap import Bootstrap
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.flip_rate import FlipRateRegressor, read_calibration
from quell.mitigation.flip_rates import FlipRate, FlipRateEstimator, resolve_flip_rate
from quell.mitigation.hammer import Hammer
from quell.mitigation.m3 import M3
from quell.mitigation.metrics import fidelity_ratio, hellinger_fidelity, total_variation
from quell.mitigation.mixture import BitFlipMixture
from quell.mitigation.plots import plot_counts
from quell.mitigation.q_beep import QBeep
from quell.mitigation.q_cluster import QCluster
from quell.mitigation.raw import Raw
from quell.mitigation.reading import read_counts, read_many
from quell.mitigation.result import Center, Interval, MitigatedCounts, Report
from quell.mitigation.richardson_lucy import RichardsonLucy
from quell.mitigation.table import BitOrder, CountTable
from quell.mitigation.twirling import merge_twirled, pauli_twirl, twirl_measurements

__all__ = [
    "M3",
    "MITIGATION_METHODS",
    "Automatic",
    "BitFlipMixture",
    "BitOrder",
    "Bootstrap",
    "Center",
    "CountTable",
    "Estimated",
    "FlipRate",
    "FlipRateEstimator",
    "FlipRateRegressor",
    "Hammer",
    "Interval",
    "MitigatedCounts",
    "Mitigator",
    "QBeep",
    "QCluster",
    "Raw",
    "Report",
    "RichardsonLucy",
    "fidelity_ratio",
    "hellinger_fidelity",
    "merge_twirled",
    "mitigate",
    "pauli_twirl",
    "plot_counts",
    "read_calibration",
    "read_counts",
    "read_many",
    "resolve_flip_rate",
    "total_variation",
    "twirl_measurements",
]
