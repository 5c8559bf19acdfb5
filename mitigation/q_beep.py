"""Q-BEEP: counts that flow over the Hamming graph, along edges with Poisson weights, to where they likely came from.

Stein, Wiebe, Ding, Ang, Li, "Q-BEEP: Quantum Bayesian Error Mitigation Employing Poisson Modeling over the Hamming
Spectrum", ISCA 2023. A baseline, written from the idea alone; `QBeep` says what of it is the paper's.
"""

import math
import numbers
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, TooLargeError, check_integer, check_probability
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.flip_rates import FlipRate, resolve_flip_rate, why_no_flips
from quell.mitigation.hamming import distances, row_blocks
from quell.mitigation.result import Report
from quell.mitigation.table import CountTable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["QBeep"]

# Ordered pairs of strings, which take some minutes on one core, and edges, 12 bytes each.
_MAX_PAIRS = 20_000_000_000
_MAX_EDGES = 50_000_000


class QBeep(Mitigator):
    """Moves counts along a graph of the measured strings, by Bayes' rule with a Poisson law of distances.

    From the paper: distances from the right answer follow a Poisson distribution, with a rate λ that is known from the
    machine and the circuit, and an iterative algorithm runs on a Bayesian network of states. Only its abstract and what
    others write about it (Poisson weights on the Hamming graph of the observed strings, updates of node counts) could
    be read. The rest is decided here, and figures of this class are not figures of the authors' program:

    - Edges whose weight w(d) = e^(−λ) λ^d / d! is below `min_weight` are left out. A string keeps its own w(0).
    - A count at string s came from t with probability w(d(s, t)) c(t) / Σ_u w(d(s, u)) c(u), c being the counts now.
    - In iteration i, a share 1/i of all counts moves accordingly, all strings at once. The total is kept, and no count
      becomes negative.
    - λ is Σp over the bits unless it is given.
    - The Poisson probability is that of a distance, which C(n, d) strings share. `per_string` divides by that, which
      makes the weight the probability of one string, and does better where flips are independent.

    Strings that were never seen are no nodes, so an answer that was never seen is not found.

    Args:
        flip_rate: The probability that a measured bit is wrong: a number in [0, 0.5), one for each bit with index i for
            bit i, an object with `flip_rate(table)`, or None for `BitFlipMixture().flip_rate(table)`.
        expected_flips: In place of `flip_rate`: λ, a number from 0 to the number of bits.
        num_iterations: How many updates.
        min_weight: The Poisson probability below which there is no edge.
        per_string: Whether to divide the weights by C(n, d).

    Attributes:
        expected_flips_: λ.
        p_: λ divided by the number of bits.

    Raises:
        InputError: When estimating, if a setting is outside its limits.
        TooLargeError: When estimating, if there are too many strings or edges.

    Examples:
        >>> from quell.mitigation import QBeep
        >>> mitigated = QBeep(flip_rate=0.05).mitigate({"000": 850, "001": 50, "010": 52, "100": 48})
        >>> round(mitigated["000"], 3)
        0.993
    """

    name = "q-beep"
    expected_flips_: float
    p_: float

    def __init__(
        self,
        flip_rate: FlipRate | None = None,
        *,
        expected_flips: float | None = None,
        num_iterations: int = 20,
        min_weight: float = 0.05,
        per_string: bool = False,
    ) -> None:
        self.flip_rate = flip_rate
        self.expected_flips = expected_flips
        self.num_iterations = num_iterations
        self.min_weight = min_weight
        self.per_string = per_string

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the distribution of `table` after its counts have flowed.

        Raises:
            InputError: If a setting is outside its limits.
            TooLargeError: If there are more than about 140,000 distinct strings, or more than 5·10⁷ edges.
        """
        check_integer("num_iterations", self.num_iterations, minimum=1)
        check_probability("min_weight", self.min_weight)
        rate = self._rate(table)
        if rate == 0:
            return _estimated(table, rate, table.probabilities.copy(), self._why_no_flips())
        if table.num_strings == 1:
            return _estimated(table, rate, table.probabilities.copy(), "all shots gave the same string")
        edges = _edges(table, _weights(rate, table.num_bits, self.min_weight, self.per_string))
        counts = table.probabilities.copy()
        for iteration in range(1, self.num_iterations + 1):
            # The graph is symmetric: one matrix serves what may have led here and where this may lead.
            arrived = counts * (edges @ (counts / np.maximum(edges @ counts, np.finfo(np.float64).tiny)))
            counts += (arrived - counts) / iteration
        return _estimated(table, rate, np.maximum(counts, 0.0), None)

    def resumed(self, estimated: Estimated) -> "QBeep":
        """Returns the estimator with the rate that was found, which is the machine's, not the shots'."""
        again = self.copy()
        again.flip_rate, again.expected_flips = None, estimated.fitted["expected_flips_"]
        return again

    def _why_no_flips(self) -> str:
        return why_no_flips(self.flip_rate if self.expected_flips is None else 0.0)

    def _rate(self, table: CountTable) -> float:
        if self.expected_flips is None:
            return float(resolve_flip_rate("flip_rate", self.flip_rate, table).sum())
        if self.flip_rate is not None:
            raise InputError("flip_rate and expected_flips say the same thing: give one of them")
        value = self.expected_flips
        number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
        if not 0 <= number <= table.num_bits:
            raise InputError(
                f"expected_flips must be a number from 0 to the {table.num_bits} bits of a string, got {value!r}"
            )
        return number


def _weights(rate: float, num_bits: int, min_weight: float, per_string: bool) -> NDArray[np.float64]:
    """Returns the weight of an edge by the distance of its ends, float64 of shape (num_bits + 1,)."""
    logs = np.array([distance * math.log(rate) - rate - math.lgamma(distance + 1) for distance in range(num_bits + 1)])
    linked = np.exp(logs) >= min_weight
    linked[0] = True
    if per_string:
        logs -= [math.log(math.comb(num_bits, distance)) for distance in range(num_bits + 1)]
    return np.where(linked, np.exp(logs), 0.0)


def _edges(table: CountTable, weights: NDArray[np.float64]) -> "csr_array":
    """Returns the graph, loops included, as a symmetric sparse matrix."""
    from scipy import sparse

    size = table.num_strings
    if size**2 > _MAX_PAIRS:
        raise TooLargeError(
            f"Q-BEEP compares all pairs of strings: {size} distinct strings make {size**2:.1e} pairs, the limit is "
            f"{_MAX_PAIRS:.0e}; QCluster has no such limit"
        )
    values, columns, ends = [], [], [np.zeros(1, dtype=np.int64)]
    total = 0
    for block in row_blocks(size, size):
        weighed = weights[distances(table.words[block], table.words)]
        row, column = np.nonzero(weighed)
        values.append(weighed[row, column])
        columns.append(column.astype(np.int32))
        ends.append(total + np.cumsum(np.bincount(row, minlength=len(weighed))))
        total += len(row)
        if total > _MAX_EDGES:
            raise TooLargeError(
                f"Q-BEEP's graph of {size} distinct strings has more than {_MAX_EDGES:.0e} edges: raise min_weight, or "
                "use QCluster"
            )
    return sparse.csr_array((np.concatenate(values), np.concatenate(columns), np.concatenate(ends)), shape=(size, size))


def _estimated(table: CountTable, rate: float, probabilities: NDArray[np.float64], why_alone: str | None) -> Estimated:
    report = Report(
        method=QBeep.name,
        changed=why_alone is None,
        reason=why_alone or f"counts moved with {rate:.3g} expected flips",
        num_bits=table.num_bits,
        num_strings=table.num_strings,
        shots=table.shots,
        flip_rate=rate / table.num_bits,
        scores={"expected_flips": rate},
        notes=table.notes,
    )
    return Estimated(probabilities, report, {"expected_flips_": rate, "p_": rate / table.num_bits})
