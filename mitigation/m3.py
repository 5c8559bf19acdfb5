"""M3, matrix-free measurement mitigation, through the package of its authors where that is installed.

Nation, Kang, Sundaresan, Gambetta, "Scalable Mitigation of Measurement Errors on Quantum Computers", PRX Quantum 2,
040326 (2021).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError, check_integer, import_extra
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.flip_rates import FlipRate, resolve_flip_rate, why_no_flips
from quell.mitigation.result import Report
from quell.mitigation.table import CountTable

__all__ = ["M3"]

# Up to here the reduced matrix is factored whole, in single precision 64 MB. The package would choose by the memory
# that happens to be free, and the answer would depend on it.
_MAX_DIRECT = 4096


class M3(Mitigator):
    """Inverts known readout errors on the strings that were seen, with mthree.

    M3 solves for quasi-probabilities, and some may come out negative. What is returned is the nearest probability
    distribution in least squares, and the report says how much was negative. Where mthree finds no solution, as happens
    at large flip rates, the counts are left alone and the report says so.

    Needs `pip install 'quell[m3]'`; no backend is asked for.

    Args:
        flip_rate: The probability that a measured bit is wrong: a number in [0, 0.5), one for each bit with index i for
            bit i, an object with `flip_rate(table)`, or None for `BitFlipMixture().flip_rate(table)`.
        assignment_matrices: In place of `flip_rate`: for each bit, bit 0 first, a 2×2 matrix whose entry [i][j] is the
            probability to read i where the bit is j.
        distance: Strings further apart do not enter each other's correction; mthree's choice, 3, if None.

    Attributes:
        p_: The mean probability that a bit is read wrongly.
        flip_rates_: For each bit the mean of its two directions, float64 of shape (num_bits,).

    Raises:
        MissingExtraError: When estimating, if mthree is not installed.
        InputError: When estimating, if a setting is outside its limits.

    Examples:
        >>> from quell.mitigation import M3
        >>> mitigated = M3(flip_rate=0.05).mitigate({"00": 900, "01": 50, "10": 48, "11": 2})
        >>> round(mitigated["00"], 2)
        1.0
    """

    name = "m3"
    p_: float
    flip_rates_: NDArray[np.float64]

    def __init__(
        self,
        flip_rate: FlipRate | None = None,
        *,
        assignment_matrices: Sequence[ArrayLike] | None = None,
        distance: int | None = None,
    ) -> None:
        self.flip_rate = flip_rate
        self.assignment_matrices = assignment_matrices
        self.distance = distance

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the distribution of `table` without its readout errors.

        Raises:
            MissingExtraError: If mthree is not installed.
            InputError: If a setting is outside its limits.
        """
        if self.distance is not None:
            check_integer("distance", self.distance, minimum=1)
        matrices = self._matrices(table)
        if not matrices[:, [1, 0], [0, 1]].any():
            return _estimated(table, matrices, None, why_no_flips(self.flip_rate))
        mthree = import_extra("mthree", "m3")
        mitigation = mthree.M3Mitigation(None)
        mitigation.cals_from_matrices([matrix.astype(np.float32) for matrix in matrices])
        # mthree reads strings as Qiskit writes them, bit 0 rightmost, and its first qubit is bit 0.
        keys = ["".join(map(str, row)) for row in table.bits[:, ::-1].tolist()]
        try:
            quasi = mitigation.apply_correction(
                dict(zip(keys, table.weights.tolist(), strict=True)),
                list(range(table.num_bits)),
                distance=None if self.distance is None else min(self.distance, table.num_bits),
                method="direct" if table.num_strings <= _MAX_DIRECT else "iterative",
            )
        except (mthree.exceptions.M3Error, np.linalg.LinAlgError) as error:
            return _estimated(table, matrices, None, f"mthree found no solution ({error})")
        nearest = quasi.nearest_probability_distribution()
        negative = -sum(min(float(value), 0.0) for value in quasi.values())
        probabilities = np.maximum([float(nearest.get(key, 0.0)) for key in keys], 0.0)
        if not np.isfinite(probabilities.sum()) or probabilities.sum() <= 0:
            return _estimated(table, matrices, None, "mthree found no finite solution")
        return _estimated(table, matrices, probabilities / probabilities.sum(), None, negative)

    def resumed(self, estimated: Estimated) -> "M3":
        """Returns the estimator with the flip rates that were found, which are the machine's, not the shots'."""
        again = self.copy()
        if self.assignment_matrices is None:
            again.flip_rate = estimated.fitted["flip_rates_"]
        return again

    def _matrices(self, table: CountTable) -> NDArray[np.float64]:
        """Returns the assignment matrices, float64 of shape (num_bits, 2, 2)."""
        if self.assignment_matrices is None:
            rates = resolve_flip_rate("flip_rate", self.flip_rate, table)
            return np.stack([np.stack([1 - rates, rates], axis=1), np.stack([rates, 1 - rates], axis=1)], axis=1)
        if self.flip_rate is not None:
            raise InputError("flip_rate and assignment_matrices say the same thing: give one of them")
        try:
            matrices = np.asarray(self.assignment_matrices, dtype=np.float64)
        except (TypeError, ValueError):
            matrices = np.zeros(0)
        if matrices.shape != (table.num_bits, 2, 2):
            raise InputError(
                f"assignment_matrices must hold one 2x2 matrix for each of the {table.num_bits} bits, bit 0 first, got "
                f"{_shape(self.assignment_matrices, matrices)}"
            )
        for bit, matrix in enumerate(matrices):
            _check_matrix(bit, matrix)
        return matrices


def _shape(value: Any, array: NDArray[np.float64]) -> str:
    return f"an array of shape {array.shape}" if array.size else f"a {type(value).__name__} of something else"


def _check_matrix(bit: int, matrix: NDArray[np.float64]) -> None:
    """Raises `InputError` unless the columns are distributions that can be told apart."""
    where = f"assignment_matrices[{bit}]"
    if not ((matrix >= 0) & (matrix <= 1)).all() or not np.allclose(matrix.sum(axis=0), 1, rtol=0, atol=1e-6):
        raise InputError(
            f"{where} must have columns that are probabilities and sum to 1, got {matrix.tolist()}: entry [i][j] is "
            "the probability to read i where the bit is j; transpose it if yours is the other way round"
        )
    if matrix[0, 1] >= matrix[0, 0]:
        raise InputError(f"{where} must read 0 more often where the bit is 0 than where it is 1, got {matrix.tolist()}")


def _estimated(
    table: CountTable,
    matrices: NDArray[np.float64],
    probabilities: NDArray[np.float64] | None,
    why_alone: str | None,
    negative: float = 0.0,
) -> Estimated:
    up, down = matrices[:, 1, 0], matrices[:, 0, 1]
    rates = (up + down) / 2
    note = f"Quasi-probabilities of {-negative:.4f} in all were negative; this is the nearest probability distribution."
    report = Report(
        method=M3.name,
        changed=probabilities is not None,
        reason=why_alone or "readout errors inverted on the strings that were seen",
        num_bits=table.num_bits,
        num_strings=table.num_strings,
        shots=table.shots,
        flip_rate=float(rates.mean()),
        flip_rates_0_to_1=tuple(up.tolist()),
        flip_rates_1_to_0=tuple(down.tolist()),
        scores={"negative": negative},
        notes=(*table.notes, note) if negative > 0 else table.notes,
    )
    fitted = {"p_": float(rates.mean()), "flip_rates_": rates}
    return Estimated(table.probabilities.copy() if probabilities is None else probabilities, report, fitted)
