"""HAMMER: strings gain weight from the mass around them, as right answers stand among their own errors.

Tannu, Das, Ayanzadeh, Qureshi, "HAMMER: Boosting Fidelity of Noisy Quantum Circuits by Exploiting Hamming Behavior of
Erroneous Outcomes", ASPLOS 2022. Written from its formula.
"""

import numpy as np
from numpy.typing import NDArray

from quell.errors import TooLargeError
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.hamming import distances, row_blocks
from quell.mitigation.result import Report
from quell.mitigation.table import CountTable

__all__ = ["Hammer"]

# Ordered pairs of strings, which take some five minutes on one core.
_MAX_PAIRS = 20_000_000_000
# Below this the only distance within reach is zero.
_LEAST_BITS = 4
_SHARPENS = "HAMMER sharpens: the weights of several answers are not to be trusted."
_SQUARES = "Of fewer than four bits no string is near another: HAMMER only squares the probabilities."


class Hammer(Mitigator):
    """Weighs each string by the mass of the rarer strings near it.

    With P the measured distribution, and for distances d below ⌊n/2⌋:

    - CHS[d] = Σ P(y) over ordered pairs (x, y) of strings at distance d, the average neighbourhood; W[d] = 1/CHS[d];
    - score(x) = P(x) + Σ W[d(x, y)]·P(y) over the strings y with d(x, y) < ⌊n/2⌋ and P(y) < P(x);
    - the result is proportional to score(x)·P(x).

    It needs no flip rate, and it sharpens: the product with P favours the frequent answers over the rare ones whether
    or not there was noise, so weights of several answers are not recovered. A string of fewer than four bits has no
    neighbours within reach, and the formula only squares its probabilities; the report says so.

    Time grows with the square of the number of distinct strings; memory does not.

    Examples:
        >>> from quell.mitigation import Hammer
        >>> mitigated = Hammer().mitigate({"0000": 850, "0001": 60, "0010": 40, "0100": 30, "1111": 20})
        >>> round(mitigated["0000"], 3), mitigated.raw["0000"]
        (0.992, 0.85)
    """

    name = "hammer"

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the reweighted distribution of `table`.

        Raises:
            TooLargeError: If there are more than about 140,000 distinct strings.
        """
        if table.num_strings**2 > _MAX_PAIRS:
            raise TooLargeError(
                f"HAMMER compares all pairs of strings: {table.num_strings} distinct strings make "
                f"{table.num_strings**2:.1e} pairs, the limit is {_MAX_PAIRS:.0e}; QCluster has no such limit"
            )
        if table.num_strings == 1:
            return _estimated(table, table.probabilities.copy(), "all shots gave the same string")
        order = table.by_weight
        words, probabilities = table.words[order], table.probabilities[order]
        scores = _scores(words, probabilities, _distance_weights(words, probabilities, table.num_bits))
        reweighted = np.empty(table.num_strings)
        reweighted[order] = scores * probabilities
        return _estimated(table, reweighted / reweighted.sum(), None)


def _distance_weights(
    words: NDArray[np.uint64], probabilities: NDArray[np.float64], num_bits: int
) -> NDArray[np.float64]:
    """Returns W[d], float64 of shape (num_bits + 1,); zero for distances out of reach or without a pair."""
    spectrum = np.zeros(num_bits + 1)
    for block in row_blocks(len(words), len(words)):
        apart = distances(words[block], words).astype(np.intp)
        # One histogram for each row, side by side, since bincount knows one dimension only.
        apart += np.arange(len(apart))[:, None] * (num_bits + 1)
        pairs = np.bincount(apart.ravel(), minlength=len(apart) * (num_bits + 1))
        spectrum += probabilities[block] @ pairs.reshape(len(apart), num_bits + 1)
    weights = np.zeros(num_bits + 1)
    within = np.flatnonzero(spectrum[: num_bits // 2])
    weights[within] = 1 / spectrum[within]
    return weights


def _scores(
    words: NDArray[np.uint64], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the score of each string; the strings come in the order of falling probability."""
    scores = probabilities.copy()
    # All strings from here on are strictly rarer than the string of the row.
    rarer = np.searchsorted(-probabilities, -probabilities, side="right")
    num_rows = int(np.searchsorted(rarer, len(words)))
    for block in row_blocks(num_rows, len(words)):
        first = rarer[block.start]
        near = weights[distances(words[block], words[first:])]
        near[np.arange(first, len(words)) < rarer[block, None]] = 0
        scores[block] += near @ probabilities[first:]
    return scores


def _estimated(table: CountTable, probabilities: NDArray[np.float64], why_alone: str | None) -> Estimated:
    report = Report(
        method=Hammer.name,
        changed=why_alone is None,
        reason=why_alone or "reweighted by the mass around each string",
        num_bits=table.num_bits,
        num_strings=table.num_strings,
        shots=table.shots,
        notes=table.notes if why_alone else (*table.notes, _SQUARES if table.num_bits < _LEAST_BITS else _SHARPENS),
    )
    return Estimated(probabilities, report)
