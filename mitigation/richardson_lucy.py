"""Richardson–Lucy: iterative Bayesian unfolding of independent bit flips.

Richardson, J. Opt. Soc. Am. 62, 55 (1972); Lucy, Astron. J. 79, 745 (1974); for counts of qubits Nachman, Urbanek, de
Jong, Bauer, npj Quantum Inf. 6, 84 (2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quell.errors import check_integer, check_probability
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.flip_rates import FlipKernel, FlipRate, resolve_flip_rate, why_no_flips
from quell.mitigation.hamming import row_blocks
from quell.mitigation.result import Report
from quell.mitigation.table import CountTable

__all__ = ["RichardsonLucy"]

# Entries of the response in single precision: 120 MB.
_MAX_ENTRIES = 30_000_000


class RichardsonLucy(Mitigator):
    """Unfolds known, independent flips of each bit by iterated Bayes' rule.

    Let R(s|t) be the probability to measure s where t is the truth, y the measured distribution and x the estimate.
    From x = y, each iteration spreads every measured string over the truths it may have come from:

        x(t) ← x(t) Σ_s R(s|t) y(s) / Σ_u R(s|u) x(u)

    This is expectation maximisation: the likelihood of the counts never falls, x stays non-negative and sums to one.

    Truths are sought among the strings that were seen. A flip may well lead to one that was not, and it is tempting to
    scale R so that each truth leads to some seen string for certain. That would be wrong: a string outside the support
    could have been measured and was measured zero times, which speaks against the truths that lead there. So R(·|t)
    sums to one over all 2^n strings, and to less over the support, as it is.

    It ends after `num_iterations`, or when an iteration moves less than `tol` of the probability. Few iterations leave
    noise in, many fit the luck of the shots; 200 are near convergence below a flip rate of 0.2.

    With more than about 5,400 distinct strings, only the most frequent ones, as many as make 3·10⁷ entries of R, are
    possible truths of others; each remaining string can be explained by itself and by those. `report.notes` says so.

    Args:
        flip_rate: The probability that a measured bit is wrong: a number in [0, 0.5), one for each bit with index i for
            bit i, an object with `flip_rate(table)`, or None for `BitFlipMixture().flip_rate(table)`.
        num_iterations: How many iterations at most.
        tol: The total variation between two iterations below which no more follow.

    Attributes:
        p_: The mean flip rate that was used.
        flip_rates_: The rate of each bit, float64 of shape (num_bits,).
        n_iter_: How many iterations were made.

    Raises:
        InputError: When estimating, if a setting is outside its limits.

    Examples:
        >>> from quell.mitigation import RichardsonLucy
        >>> counts = {"000": 440, "001": 22, "010": 25, "111": 460, "110": 26, "101": 27}
        >>> mitigated = RichardsonLucy(flip_rate=0.05).mitigate(counts)
        >>> {key: round(mitigated[key], 2) for key in ("000", "111")}
        {'000': 0.49, '111': 0.51}
    """

    name = "richardson-lucy"
    p_: float
    flip_rates_: NDArray[np.float64]
    n_iter_: int

    def __init__(self, flip_rate: FlipRate | None = None, *, num_iterations: int = 200, tol: float = 1e-6) -> None:
        self.flip_rate = flip_rate
        self.num_iterations = num_iterations
        self.tol = tol

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the unfolded distribution of `table`.

        Raises:
            InputError: If a setting is outside its limits.
        """
        check_integer("num_iterations", self.num_iterations, minimum=1)
        check_probability("tol", self.tol)
        rates = resolve_flip_rate("flip_rate", self.flip_rate, table)
        if not rates.any():
            return _estimated(table, rates, table.probabilities.copy(), 0, why_no_flips(self.flip_rate))
        if table.num_strings == 1:
            return _estimated(table, rates, table.probabilities.copy(), 0, "all shots gave the same string")
        response = _Response.of(table, FlipKernel(rates))
        measured = table.probabilities
        unfolded = measured.copy()
        num_iterations = 0
        while num_iterations < self.num_iterations:
            num_iterations += 1
            updated = unfolded * response.explained(measured / response.predicted(unfolded))
            # Single precision loses a few parts in 10^7 of the sum each time.
            updated /= updated.sum()
            moved = float(np.abs(updated - unfolded).sum()) / 2
            unfolded = updated
            if moved < self.tol:
                break
        return _estimated(table, rates, unfolded, num_iterations, None, response.num_truths)

    def resumed(self, estimated: Estimated) -> "RichardsonLucy":
        """Returns the estimator with the flip rates that were found, which are the machine's, not the shots'."""
        again = self.copy()
        again.flip_rate = estimated.fitted["flip_rates_"]
        return again


@dataclass(frozen=True)
class _Response:
    """R(s|t) over the strings of a table, each row scaled so that R(s|s) = 1; that factor cancels in an iteration.

    Attributes:
        truths: The rows of the table that may be the truth of any string.
        entries: float32 of shape (num_strings, len(truths)).
        alone: 1.0 for each row of the table that is the truth of itself only, else 0.0.
    """

    truths: NDArray[np.intp]
    entries: NDArray[np.float32]
    alone: NDArray[np.float64]

    @classmethod
    def of(cls, table: CountTable, kernel: FlipKernel) -> "_Response":
        num_truths = min(table.num_strings, max(1, _MAX_ENTRIES // table.num_strings))
        truths = np.sort(table.by_weight[:num_truths])
        entries = np.empty((table.num_strings, num_truths), dtype=np.float32)
        for block in row_blocks(table.num_strings, num_truths):
            logs = kernel.log_likelihood(table.words[block], table.bits[block], table.bits[truths], np.float32)
            np.exp(logs - np.float32(kernel.log_stay), out=entries[block])
        alone = np.ones(table.num_strings)
        alone[truths] = 0.0
        return cls(truths, entries, alone)

    @property
    def num_truths(self) -> int:
        return len(self.truths)

    def predicted(self, truth: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns Σ_t R(s|t) x(t) for each string s."""
        spread = self.entries @ truth[self.truths].astype(np.float32)
        # Where neither product nor self-explanation is left, the numerator is zero too.
        return np.maximum(spread + self.alone * truth, np.finfo(np.float32).tiny)

    def explained(self, ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns Σ_s R(s|t) r(s) for each string t."""
        gathered = self.alone * ratio
        gathered[self.truths] += ratio.astype(np.float32) @ self.entries
        return gathered


def _estimated(
    table: CountTable,
    rates: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    num_iterations: int,
    why_alone: str | None,
    num_truths: int | None = None,
) -> Estimated:
    cut = num_truths is not None and num_truths < table.num_strings
    note = f"Only the {num_truths} most frequent strings were taken for truths of other strings."
    report = Report(
        method=RichardsonLucy.name,
        changed=why_alone is None,
        reason=why_alone or f"unfolded in {num_iterations} iterations",
        num_bits=table.num_bits,
        num_strings=table.num_strings,
        shots=table.shots,
        flip_rate=float(rates.mean()),
        flip_rates_0_to_1=tuple(rates.tolist()),
        flip_rates_1_to_0=tuple(rates.tolist()),
        scores={"num_iterations": float(num_iterations)},
        notes=(*table.notes, *((note,) if cut else ())),
    )
    fitted = {"p_": float(rates.mean()), "flip_rates_": rates, "n_iter_": num_iterations}
    return Estimated(probabilities, report, fitted)
