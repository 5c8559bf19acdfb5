"""What runs on the chip: noiseless Stim circuits, and the noise put on them."""

from quell.circuits.color_cultivation import color_cultivation
from quell.circuits.css_memory import css_memory
from quell.circuits.css_schedule import SCHEDULE_KINDS, css_schedule
from quell.circuits.cultivation_circuit import CULTIVATION_GATES, CULTIVATION_STAGES, cultivation, cultivation_stage
from quell.circuits.cultivation_series import true_t_series
from quell.circuits.noise import NoiseModel
from quell.circuits.noise_registry import NOISE_MODEL_NAMES, noise_model
from quell.circuits.noise_report import NoiseReport
from quell.circuits.rp2 import rp2_code, srp_code
from quell.circuits.rp2_memory import rp2_memory
from quell.circuits.space_time_volume import stage_volumes, volume_per_attempt
from quell.circuits.surface import GATE_SETS, rotated_surface_memory, unrotated_surface_memory
from quell.circuits.surface_lattice import ORIENTATIONS, ROTATED_ORDERS, UNROTATED_ORDERS

__all__ = [
    "CULTIVATION_GATES",
    "CULTIVATION_STAGES",
    "GATE_SETS",
    "NOISE_MODEL_NAMES",
    "ORIENTATIONS",
    "ROTATED_ORDERS",
    "SCHEDULE_KINDS",
    "UNROTATED_ORDERS",
    "NoiseModel",
    "NoiseReport",
    "color_cultivation",
    "css_memory",
    "css_schedule",
    "cultivation",
    "cultivation_stage",
    "noise_model",
    "rotated_surface_memory",
    "rp2_code",
    "rp2_memory",
    "srp_code",
    "stage_volumes",
    "true_t_series",
    "unrotated_surface_memory",
    "volume_per_attempt",
]
