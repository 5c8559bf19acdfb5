"""A detector error model as matrices: which detectors and which observables each mechanism flips, and how often.

What decoders of quantum LDPC codes work on. Nothing is decomposed: a mechanism may flip any number of detectors.
"""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import stim
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

__all__ = ["CheckMatrices"]


@dataclasses.dataclass(frozen=True, eq=False)
class CheckMatrices:
    """The matrices of a detector error model, of D detectors, O observables and M columns.

    Errors that flip the same detectors are one column, which happens when an odd number of them does. If they flip
    different observables, no decoder could tell which of them it was, and the column has the likelier one's. Errors
    that flip no detector are in no column.

    Attributes:
        checks: uint8 sparse matrix (D, M), by columns: 1 where a column flips a detector.
        observables: uint8 sparse matrix (O, M), likewise.
        priors: float64 (M,): how likely each column is, above 0 and at most 1/2. An error of p > 1/2 stands here with
            1 - p, as what happens if it does not; see the next two attributes.
        flipped_detectors: uint8 (D,): what all errors of p > 1/2 flip together. The rest is about events xor-ed with
            it.
        flipped_observables: uint8 (O,), likewise.
    """

    checks: "csc_matrix"
    observables: "csc_matrix"
    priors: NDArray[np.float64]
    flipped_detectors: NDArray[np.uint8]
    flipped_observables: NDArray[np.uint8]

    @classmethod
    def of(cls, dem: stim.DetectorErrorModel) -> "CheckMatrices":
        """Reads a model; how its errors are decomposed does not matter.

        Args:
            dem: Any model.

        Examples:
            >>> import stim
            >>> from quell.decoders.check_matrices import CheckMatrices
            >>> matrices = CheckMatrices.of(stim.DetectorErrorModel(
            ...     "error(0.1) D0 D1 \\n error(0.1) D1 D2 ^ D0 D2 \\n error(0.2) D2 L0"))
            >>> matrices.checks.toarray().tolist(), matrices.priors.round(3).tolist()
            ([[1, 0], [1, 0], [0, 1]], [0.18, 0.2])
        """
        from scipy.sparse import csc_matrix

        flipped_detectors = np.zeros(dem.num_detectors, dtype=np.uint8)
        flipped_observables = np.zeros(dem.num_observables, dtype=np.uint8)
        # For each set of detectors: p of an odd number of errors, p of the likeliest, and what that flips.
        merged: dict[tuple[int, ...], tuple[float, float, tuple[int, ...]]] = {}
        alike: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
        for p, detectors, observables in _errors(dem):
            if p > 0.5:
                flipped_detectors[list(detectors)] ^= 1
                flipped_observables[list(observables)] ^= 1
                p = 1 - p
            if p and detectors:
                before = alike.get((detectors, observables), 0.0)
                alike[detectors, observables] = before + p - 2 * before * p
        for (detectors, observables), p in alike.items():
            before, likeliest, what = merged.get(detectors, (0.0, 0.0, ()))
            if p > likeliest:
                likeliest, what = p, observables
            merged[detectors] = (before + p - 2 * before * p, likeliest, what)

        def matrix(num_rows: int, columns: list[tuple[int, ...]]) -> "csc_matrix":
            ends = np.cumsum([0, *map(len, columns)])
            rows = np.array([row for column in columns for row in column], dtype=np.int64)
            return csc_matrix((np.ones(len(rows), dtype=np.uint8), rows, ends), shape=(num_rows, len(columns)))

        return cls(
            checks=matrix(dem.num_detectors, list(merged)),
            observables=matrix(dem.num_observables, [what for _, _, what in merged.values()]),
            priors=np.array([p for p, _, _ in merged.values()], dtype=np.float64),
            flipped_detectors=flipped_detectors,
            flipped_observables=flipped_observables,
        )


def _errors(dem: stim.DetectorErrorModel) -> Iterator[tuple[float, tuple[int, ...], tuple[int, ...]]]:
    """The probability of each error, and the detectors and observables that it flips an odd number of times."""
    flat = dem.flattened()
    for instruction in (flat[number] for number in range(len(flat))):
        if isinstance(instruction, stim.DemInstruction) and instruction.type == "error":
            flips: tuple[set[int], set[int]] = (set(), set())
            for target in instruction.targets_copy():
                if isinstance(target, stim.DemTarget) and not target.is_separator():
                    flips[target.is_logical_observable_id()].symmetric_difference_update({target.val})
            yield instruction.args_copy()[0], tuple(sorted(flips[0])), tuple(sorted(flips[1]))
