"""The shots that post-selection rejects for one fault alone, and those without any: counted, and not drawn.

A fault that a stage can notice, with no other one up to the end of that stage, rejects the shot. How many shots end
like that at each stage, and how many have no fault at all, is multinomial; of a million shots at a time that is one
random vector. What is left to draw is the shots in which a second fault comes in time, or whose first one no stage
notices. The split is exact: every shot is of one kind, and each kind is drawn from its own conditional distribution.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.decoders.post_selection.fault_table import FaultTable

__all__ = ["LonelyFaults"]

_GUIDES_PER_FAULT = 2


@dataclasses.dataclass(frozen=True, eq=False)
class LonelyFaults:
    """How shots of a fault table are shared out among those kinds.

    Attributes:
        shares: float64 (S + 2,): of all shots, those rejected at each stage for one fault alone, those without a fault,
            and all others.
        first: float64 (M + 1,): rising from 0 to 1, how likely it is among these others that one of the first m
            mechanisms is the first that fires.
        guide: int32 (G,): for G equal parts of 0 to 1, the first mechanism whose interval reaches into it.
        stage: int64 (M,): which stage notices each mechanism first, counted from 0; S if none does.
        whole: Whether this is used at all: not where something is flipped without a fault.
    """

    shares: NDArray[np.float64]
    first: NDArray[np.float64]
    guide: NDArray[np.int32]
    stage: NDArray[np.int64]
    whole: bool

    @classmethod
    def of(cls, table: FaultTable) -> "LonelyFaults":
        """Shares out the shots of a table.

        Examples:
            Two faults with probability 0.1, noticed at stages 1 and 2: nothing is left to draw.

            >>> import stim
            >>> from quell.decoders.post_selection.fault_table import FaultTable
            >>> from quell.decoders.post_selection.lonely_faults import LonelyFaults
            >>> circuit = stim.Circuit('''
            ...     X_ERROR(0.1) 0 1
            ...     M 0 1
            ...     DETECTOR(0, 0, 0, 1) rec[-2]
            ...     DETECTOR(0, 0, 0, 2) rec[-1]
            ... ''')
            >>> LonelyFaults.of(FaultTable.of(circuit)).shares.round(3)
            array([0.1 , 0.09, 0.81, 0.  ])
        """
        num_stages, num_faults = table.num_stages, len(table.symptoms)
        before, after = table.silence[:-1], table.silence[1:]
        # A mechanism ends at or above the end of the first stage that notices it, and below that of the one before.
        stage = np.searchsorted(-table.stage_silence, -after, side="left").astype(np.int64)
        end = np.append(table.stage_silence, 0.0)[stage]
        fires = before - after
        alone = fires * (end / after)
        others = fires * ((after - end) / after)
        rejected = np.bincount(stage, weights=alone, minlength=num_stages + 1)[:num_stages]
        shares = np.concatenate([rejected, [table.silence[-1], others.sum()]])
        first = np.concatenate([[0.0], np.cumsum(others)])
        if first[-1] > 0:
            first /= first[-1]
        parts = _GUIDES_PER_FAULT * max(1, num_faults)
        guide = np.searchsorted(first, np.arange(parts) / parts, side="right") - 1
        return cls(
            shares=shares / shares.sum(),
            first=first,
            guide=np.clip(guide, 0, max(0, num_faults - 1)).astype(np.int32),
            stage=stage,
            whole=bool(table.always.any()),
        )

    def for_kernel(self) -> tuple[Any, ...]:
        """Returns what `draw_shots` wants to know, in its order."""
        return self.first, self.guide, self.stage, self.whole

    def shared_out(self, shots: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], int, int]:
        """Returns how many shots each stage rejects for one fault alone, how many have none, and how many to draw."""
        if self.whole:
            return np.zeros(len(self.shares) - 2, dtype=np.int64), 0, shots
        counts = rng.multinomial(shots, self.shares)
        return counts[:-2], int(counts[-2]), int(counts[-1])
