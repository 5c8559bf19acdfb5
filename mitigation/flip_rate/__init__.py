"""The flip rate that a device should show, from the circuit, the device's calibration and the counts themselves.

`FlipRateRegressor` predicts the effective flip rate that Q-Cluster asks for (Patil, Baron, Zhou, arXiv:2504.10801).
scikit-learn, Qiskit and onnxruntime are imported only when they are used.
"""

from quell.mitigation.flip_rate.bound import BoundFlipRate, FlipRatePrediction
from quell.mitigation.flip_rate.calibration import Calibration, GateCalibration
from quell.mitigation.flip_rate.calibration_reading import read_calibration
from quell.mitigation.flip_rate.features import (
    FEATURE_NAMES,
    CircuitFeatures,
    circuit_features,
    effective_flip_rate,
    normalised_entropy,
)
from quell.mitigation.flip_rate.records import FlipRateRecord
from quell.mitigation.flip_rate.regressor import FlipRateRegressor
from quell.mitigation.flip_rate.training import generate_rows, read_rows, train

__all__ = [
    "FEATURE_NAMES",
    "BoundFlipRate",
    "Calibration",
    "CircuitFeatures",
    "FlipRatePrediction",
    "FlipRateRecord",
    "FlipRateRegressor",
    "GateCalibration",
    "circuit_features",
    "effective_flip_rate",
    "generate_rows",
    "normalised_entropy",
    "read_calibration",
    "read_rows",
    "train",
]
