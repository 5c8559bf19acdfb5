"""The plan of a windowed decoding: which windows there are, what each sees and commits, and the model it decodes with.

Every part of every error is committed by just one window: the first whose committed region holds one of its detectors
(overlapping recovery, Dennis et al., quant-ph/0110143; parallel windows, Skoric et al., arXiv:2209.08552, and Tan et
al., arXiv:2209.09219). In a window's model the parts that it commits flip, besides the observables, one more for each
detector of the seam, outside the committed region; what any decoder predicts of these is what the correction does to
the windows after it.
"""

import dataclasses

import numpy as np
import stim
from numpy.typing import NDArray

__all__ = ["Window", "WindowPlan"]


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """What one window sees and commits.

    Attributes:
        stage: Windows of one stage are independent of each other.
        detectors: int64 (n,): detector k of the window's model, by its number in the whole.
        model: Which of the plan's models.
        seam: int64 (s,): the detectors that observables O, O + 1, … of the model stand for.
        commits: int64 (c,): the detectors of the committed region.
        last_layer: The last layer in time that it sees.
    """

    stage: int
    detectors: NDArray[np.int64]
    model: int
    seam: NDArray[np.int64]
    commits: NDArray[np.int64]
    last_layer: int


@dataclasses.dataclass(frozen=True, eq=False)
class WindowPlan:
    """Windows, by stage, and their models; windows that are translations of each other share one.

    Attributes:
        num_detectors: D.
        num_observables: O.
        windows: In the order in which they are decoded.
        models: What the windows decode with.
        layers: int64 (D,): the layer in time of each detector.
    """

    num_detectors: int
    num_observables: int
    windows: tuple[Window, ...]
    models: tuple[stim.DetectorErrorModel, ...]
    layers: NDArray[np.int64]

    @property
    def num_layers(self) -> int:
        """How many layers in time there are."""
        return int(self.layers.max(initial=-1)) + 1

    @property
    def num_stages(self) -> int:
        """How many stages there are."""
        return max((window.stage for window in self.windows), default=-1) + 1
