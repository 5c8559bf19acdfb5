"""Exact distances of sparse codes: light logical operators among connected clusters, looked through completely.

A lightest logical operator is connected: qubits are neighbours if they share a check, and of two parts without a common
check one alone would be a lighter logical operator. So clusters are grown from each qubit in turn, always on a violated
check, with the qubits started from before forbidden. What is cut off:

- clusters with more violated checks than the qubits still allowed can flip. A violated check costs at least 1/m of a
  qubit, where m is the most violated checks that one of its qubits flips; the costs add up.
- clusters with more than half of a stabilizer's support, which the stabilizer would make lighter. Of an even support's
  halves, that without its first qubit. Of the lightest operators the first in lexical order survives all of this.
- odd weights, if the vector of ones is a sum of checks: what commutes with the checks then has an even weight.
- starts on all but one qubit of each orbit under the symmetries; after that the whole orbit is forbidden.
- starts on qubits that neither are in a dual logical nor share an orbit with such a qubit: an operator that
  anticommutes with a dual has a common qubit with it.

An exhausted weight is a proof, whatever the code. How long it takes depends on the checks being light.
"""

import time

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, import_extra
from quell.qec.codes.gf2 import multiply

__all__ = ["ClusterSearch", "cluster_distance"]

Bits = NDArray[np.uint8]
Ints = NDArray[np.int32]
Permutations = NDArray[np.intp]
Words = NDArray[np.uint64]

_STEPS_AT_A_TIME = 1 << 25  # a tenth of a second or two


def cluster_distance(
    checks: Bits,
    duals: Bits,
    upper: int,
    symmetries: Permutations | None = None,
    deadline: float | None = None,
    *,
    stabilizers: Bits | None = None,
) -> tuple[int, Bits | None]:
    """Looks for a logical operator lighter than `upper`, until there is provably none.

    A logical operator is what has an even overlap with all checks and an odd one with a dual at least.

    Args:
        checks: uint8 (R, n): for logicals made of X those of Z, and the other way around. Rows may be dependent.
        duals: uint8 (k, n): logicals of the checks' type.
        upper: One more than the greatest weight that matters: the weight of a known operator, or n + 1.
        symmetries: (G, n): permutations, qubit q going to row[q], that take checks to sums of checks, and checks and
            duals to sums of checks and duals. They are verified. None for none.
        deadline: When to end, as `time.monotonic` tells the time. None for no deadline.
        stabilizers: uint8 (S, n): what can be added to a logical operator, such as the code's own checks of its type,
            which have even overlaps with checks and duals. They cut the search short.

    Returns:
        The lower bound, `upper` at most: no operator is lighter. And the lightest operator found, uint8 (n,), lighter
        than `upper`, or None. Without a deadline the two meet: the bound is the operator's weight, or `upper`.

    Raises:
        InputError: A row of `symmetries` is no permutation or no symmetry; or a stabilizer does not commute.
        MissingExtraError: numba is not installed.

    Examples:
        >>> from quell.qec.codes import CSSCode
        >>> from quell.qec.codes.cluster_search import cluster_distance
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> code = CSSCode(steane, steane)
        >>> lower, witness = cluster_distance(code.z_checks, code.logical_z, upper=8)
        >>> lower, int(witness.sum())
        (3, 3)
        >>> cluster_distance(code.z_checks, code.logical_z, upper=3)
        (3, None)
    """
    search = ClusterSearch(checks, duals, stabilizers=stabilizers, symmetries=symmetries)
    while search.witness is None and search.lower < upper and search.advance(upper, deadline):
        pass
    return min(search.lower, upper), search.witness


class ClusterSearch:
    """The search of `cluster_distance`, one step at a time; arguments as there.

    Attributes:
        lower: No logical operator is lighter.
        even: Whether the checks prove that every operator has an even weight.

    Examples:
        >>> from quell.qec.codes import CSSCode
        >>> from quell.qec.codes.cluster_search import ClusterSearch
        >>> code = CSSCode([[1, 1, 1, 1]], [[1, 1, 1, 1]])
        >>> search = ClusterSearch(code.z_checks, code.logical_z)
        >>> search.advance(below=5), search.lower, int(search.witness.sum()), search.even
        (True, 2, 2, True)
    """

    def __init__(
        self, checks: Bits, duals: Bits, *, stabilizers: Bits | None = None, symmetries: Permutations | None = None
    ) -> None:
        import_extra("numba", "search")
        from quell.qec.codes import cluster_kernels, information_set_kernels

        # Copies are writable, so that all calls use one compiled version.
        checks, duals = np.array(checks, dtype=np.uint8), np.array(duals, dtype=np.uint8)
        own = np.zeros((0, checks.shape[1]), np.uint8) if stabilizers is None else np.array(stabilizers, np.uint8)
        if multiply(np.concatenate([checks, duals]), own.T).any():
            raise InputError("stabilizers must have even overlaps with all checks and all duals")
        orbits = _orbits(checks, duals, symmetries)
        # Ones everywhere as a sum of checks: what has an even overlap with each check is even.
        self.even = bool(information_set_kernels.spans(checks, np.ones((1, checks.shape[1]), np.uint8)))
        self.lower = 2 if self.even else 1
        self._kernels = cluster_kernels
        self._limit: int | None = None
        self._prepare(checks, information_set_kernels.pack(np.ascontiguousarray(duals.T)), own, *orbits)

    def _prepare(self, checks: Bits, flips: Words, own: Bits, order: Ints, begins: Ints, num_starts: int) -> None:
        """Lays out what the kernel reads, and then what it writes."""
        neighbours = self._kernels.neighbours
        num_checks, n = checks.shape
        qubits, sizes = neighbours(checks)
        supports, support_sizes = neighbours(np.ascontiguousarray(own[:, order]))
        self._state = np.zeros(self._kernels.STATE_SIZE, np.int64)
        self._covers, self._trail, self._found = (np.zeros(n, np.int32) for _ in range(3))
        self._arguments = (
            self._state,
            order,
            begins,
            num_starts,
            *neighbours(np.ascontiguousarray(checks.T)),
            qubits,
            sizes,
            *neighbours(np.ascontiguousarray(own.T)),
            order[supports],
            support_sizes,
            flips,
            self._covers,
            np.zeros(num_checks, np.int32),
            np.full(num_checks, -1, np.int32),
            np.zeros(len(own), np.int32),
            np.zeros(n, np.uint8),
            np.zeros(n + 1, np.int32),
            np.zeros((n + 1, flips.shape[1]), np.uint64),
            np.zeros(n + 1, np.int32),
            np.zeros((n + 1, qubits.shape[1]), np.int32),
            np.zeros(n + 1, np.int32),
            np.zeros(n + 1, np.int32),
            self._trail,
            self._found,
        )

    @property
    def clusters(self) -> int:
        """How many clusters were looked at."""
        return int(self._state[self._kernels.NODES])

    @property
    def witness(self) -> Bits | None:
        """The lightest operator found, uint8 (n,), or None; the lightest there is, if its weight is `lower`."""
        weight = self._state[self._kernels.WEIGHT]
        if not weight:
            return None
        support = np.zeros(len(self._found), np.uint8)
        support[self._found[:weight]] = 1
        return support

    def advance(self, below: int, deadline: float | None = None) -> bool:
        """Looks through the lightest one or two weights that are left, or goes on where it was stopped.

        Args:
            below: Operators of this weight and above do not matter; above `lower`.
            deadline: When to stop, as `time.monotonic` tells the time.

        Returns:
            Whether it came to the end of those weights: `lower` has risen, or is the weight of `witness`.
        """
        kernels, state = self._kernels, self._state
        if self._limit is None:
            kernels.reset(state, self._covers, self._trail)
            # An even bound on what is even cuts off sooner.
            state[kernels.LIMIT] = self._limit = self.lower if self.even else min(self.lower + 1, below - 1)
        elif below <= self._limit:
            self._limit = below - 1
            state[kernels.LIMIT] = min(state[kernels.LIMIT], self._limit)
        while not kernels.grow(_STEPS_AT_A_TIME, 2 if self.even else 1, *self._arguments):
            if deadline is not None and time.monotonic() >= deadline:
                return False
        least = self._limit + 1
        least += least % 2 if self.even else 0
        self.lower = min(least, int(state[kernels.WEIGHT]) or least)
        self._limit = None
        return True


def _orbits(checks: Bits, duals: Bits, symmetries: Permutations | None) -> tuple[Ints, Ints, int]:
    """Returns qubits orbit by orbit, where each begins, and how many orbits, the first, have to be started from."""
    n = checks.shape[1]
    labels = np.arange(n)
    if symmetries is not None and len(symmetries):
        for permutation in symmetries:
            _check_symmetry(np.asarray(permutation), checks, duals)
        while True:
            before = labels
            for permutation in symmetries:
                least = np.minimum(labels, labels[permutation])
                labels = least.copy()
                labels[permutation] = np.minimum(least[permutation], least)
            if np.array_equal(labels, before):
                break
    # An operator that anticommutes with a dual has a qubit in common with it.
    needed = np.zeros(n, dtype=bool)
    needed[labels[duals.any(axis=0)]] = True
    order = np.lexsort((np.arange(n), labels, ~needed[labels]))
    begins = np.flatnonzero(np.diff(labels[order], prepend=-1))
    return order.astype(np.int32), np.append(begins, n).astype(np.int32), int(needed.sum())


def _check_symmetry(permutation: Permutations, checks: Bits, duals: Bits) -> None:
    from quell.qec.codes.information_set_kernels import spans

    n = checks.shape[1]
    if permutation.shape != (n,) or not np.array_equal(np.sort(permutation), np.arange(n)):
        raise InputError(f"symmetries must be permutations of {n} qubits, got {permutation!r:.80}")
    back = np.argsort(permutation)
    if not spans(checks, checks[:, back]):
        raise InputError(f"the permutation {permutation!r:.80} takes a check to what is no sum of checks")
    if not spans(np.concatenate([checks, duals]), duals[:, back]):
        raise InputError(f"the permutation {permutation!r:.80} takes a dual logical to what is none")
