"""Light logical operators by random information sets: fast upper bounds on a distance.

A basis of all operators that commute with the checks is reduced so that random columns hold an identity; a light
operator is a row, or a sum of two rows, whenever few of its qubits are among those columns (Lee and Brickell 1988; for
quantum codes Pryadko et al., QDistRnd, arXiv:2308.15140). What comes out bounds the distance from above and proves
nothing from below.
"""

import time

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer, import_extra

__all__ = ["InformationSets", "light_operator"]

Bits = NDArray[np.uint8]

_SECONDS_AT_A_TIME = 0.1


def light_operator(
    checks: Bits, duals: Bits, trials: int, seed: int = 0, stop_at: int = 0, deadline: float | None = None
) -> Bits:
    """Returns a light operator that commutes with all checks and anticommutes with one of the duals at least.

    Args:
        checks: uint8 (R, n): what it has an even overlap with.
        duals: uint8 (k, n): of these with one at least it has an odd overlap.
        trials: How many random information sets to look at, 1 or more.
        seed: Of the random numbers.
        stop_at: A weight that is light enough to end with.
        deadline: When to end, as `time.monotonic` tells the time; at least one set is looked at. None for no deadline.

    Returns:
        uint8 (n,).

    Raises:
        InputError: There is no such operator, as the duals are sums of checks; or `trials` is below 1.
        MissingExtraError: numba is not installed.

    Examples:
        >>> from quell.qec.codes import CSSCode
        >>> from quell.qec.codes.information_sets import light_operator
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> code = CSSCode(steane, steane)
        >>> int(light_operator(code.z_checks, code.logical_z, trials=10).sum())
        3
    """
    check_integer("trials", trials, minimum=1)
    sets = InformationSets(checks, duals, seed)
    done, chunk = 0, 1
    while done < trials and sets.weight > stop_at:
        begin = time.monotonic()
        if done and deadline is not None and begin >= deadline:
            break
        chunk = min(chunk, trials - done)
        sets.look_at(chunk, stop_at)
        done += chunk
        if time.monotonic() - begin < _SECONDS_AT_A_TIME / 2:
            chunk *= 2
    return sets.witness


class InformationSets:
    """The search of `light_operator`, a few sets at a time; arguments and errors as there.

    Attributes:
        weight: Of the lightest operator so far; n + 1 before any.
        cost: About how many nanoseconds a set takes.

    Examples:
        >>> from quell.qec.codes import CSSCode
        >>> from quell.qec.codes.information_sets import InformationSets
        >>> code = CSSCode([[1, 1, 1, 1]], [[1, 1, 1, 1]])
        >>> sets = InformationSets(code.z_checks, code.logical_z, seed=1)
        >>> sets.look_at(1)
        >>> sets.weight, int(sets.witness.sum())
        (2, 2)
    """

    def __init__(self, checks: Bits, duals: Bits, seed: int = 0) -> None:
        import_extra("numba", "search")
        from quell.qec.codes import information_set_kernels

        # Copies are writable, so that all calls use one compiled version.
        self._kernels = information_set_kernels
        self._basis = information_set_kernels.kernel_rows(np.array(checks, np.uint8), np.array(duals, np.uint8))
        self._columns = checks.shape[1]
        self._best = np.zeros(-(-self._columns // 64), np.uint64)
        if not self._basis[:, len(self._best) :].any():
            raise InputError(f"no operator anticommutes with any of {len(duals)} duals: they are sums of the checks")
        self._rng = np.random.default_rng(seed)
        self.weight = self._columns + 1
        self.cost = self._basis.shape[0] * self._basis.size

    def look_at(self, trials: int, stop_at: int = 0) -> None:
        """Looks at some more sets, until an operator of weight `stop_at` or less is known."""
        self.weight = int(
            self._kernels.lighter(self._rng, self._basis, self._columns, trials, stop_at, self._best, self.weight)
        )

    @property
    def witness(self) -> Bits:
        """The lightest operator so far, uint8 (n,); zero before any."""
        return np.unpackbits(self._best.astype("<u8").view(np.uint8), count=self._columns, bitorder="little")
