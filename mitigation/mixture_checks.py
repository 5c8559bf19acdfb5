"""Whether a fitted mixture of bit-flip noise may be believed: real noise is no such mixture, nor is every distribution.

Each check was given its limit on simulated devices with uneven, asymmetric, correlated and bursty flips, on sparse and
on broad distributions; benchmarks/mitigation holds the simulations and what the checks do on real machines.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quell.mitigation.hamming import distances, pack_words
from quell.mitigation.mixture_model import BitFlipModel, highest_rates, share_out, string_log_likelihoods
from quell.mitigation.mixture_search import absent_answers, background_only, description_length, find_model
from quell.mitigation.predictive import split, unstructured_log_likelihoods
from quell.mitigation.table import CountTable

__all__ = [
    "Examination",
    "contradiction",
    "examine",
    "flips_misfit",
    "most_answers",
    "undecided_share",
    "without_satellites",
]

Array = NDArray[np.float64]

# The share of what can be predicted that the model must predict before it is believed.
_MIN_EXPLAINED = 0.9
# Correlated errors make strings as frequent as this share of the most probable answer, where the noise is strong ...
_MAX_SATELLITE = 0.2
# ... and as this share of the shots that the noise has moved, where it is weak.
_SATELLITE_SLOPE = 0.5
# A repetition of an error beside another answer is missed if at least this many shots should show it ...
_TELLING = 16.0
# ... and less than this share of them does.
_TOO_FEW = 0.2
# With no more of the shots off the answers than the first, those are as likely the ideal's as the noise's; with more
# than the second, they are the noise's.
_UNDECIDED = (0.1, 0.2)
# Standard deviations by which the most frequent string must exceed the model to speak against it.
_PEAK = 5.0
# Among no more strings than this, a background cannot be told from a broad distribution ...
_FEW_STRINGS = 16
# ... and must have less of the shots than this, and less still among four strings.
_MAX_BACKGROUND = 0.3
_MAX_BACKGROUND_OF_FOUR = 0.1
# A bit's flip rate this close to the highest credible one is no flip rate.
_NEAR_LIMIT = 0.95
# The share of the shots off the answers that may lie where independent flips do not put them ...
_MAX_MISFIT = 0.6
# ... if there are at least this many such shots.
_MIN_OFF = 20
# Nats per shot that the answers must be worth over the background alone.
_MIN_GAIN = 0.003


@dataclass(frozen=True)
class Examination:
    """What spoke for and against a fitted model.

    Attributes:
        gain: Nats per unseen shot that the model predicts better than the background alone.
        explained: That gain as a share of the best gain seen, the model's or that of no structure at all.
        fault: Why the model is not believed; empty if it is.
    """

    gain: float
    explained: float
    fault: str


def most_answers(num_bits: int) -> int:
    """Returns how many answers can be told: with more among so few strings, shares and rates mimic any distribution.

    Examples:
        >>> from quell.mitigation.mixture_checks import most_answers
        >>> [most_answers(num_bits) for num_bits in (2, 4, 20)]
        [2, 6, 64]
    """
    return min(64, max(2, 3 * (1 << min(num_bits, 20)) // 8))


def without_satellites(table: CountTable, model: BitFlipModel) -> BitFlipModel:
    """Returns the model without the answers that may be correlated errors, which independent flips do not explain.

    One fault early in a circuit flips many bits at once, always the same ones, and makes a string as frequent as an
    answer of its own. In simulated circuits (GHZ, Bernstein–Vazirani, random CX circuits and phase estimation, with
    two-qubit errors of 0.3 % to 8 %) such strings reach a fifth of the most probable answer where most shots are off
    their answers, less where fewer are, and seldom more. But errors do not care for the answer that they hit: a rare
    string stays an answer if the same flips are missing beside another answer, where they would have to be seen.
    """
    untouched = (1 - model.center_rates).prod(axis=1)
    moved = 1 - float(model.shares @ untouched)
    limit = min(_MAX_SATELLITE, _SATELLITE_SLOPE * moved)
    kept = model.shares >= limit * model.shares.max()
    main = np.flatnonzero(kept)
    for index in np.flatnonzero(~kept):
        kept[index] = not any(_repeats(table, model, untouched, index, parent, main[main != parent]) for parent in main)
    return replace(model, centers=model.centers[kept], shares=model.shares[kept])


def _repeats(
    table: CountTable,
    model: BitFlipModel,
    untouched: NDArray[np.float64],
    index: np.intp,
    parent: np.intp,
    others: NDArray[np.intp],
) -> bool:
    """Whether the flips that lead from answer `parent` to answer `index` may also be seen beside the other answers."""
    flips = model.centers[index] ^ model.centers[parent]
    ratio = model.shares[index] / model.shares[parent]
    wanted = table.shots * ratio * model.shares[others] * untouched[others]
    strings = model.centers[others] ^ flips
    rows = table.find(strings)
    seen = np.where(rows >= 0, table.weights[rows], 0.0)
    rest = replace(model, shares=np.where(np.arange(model.num_centers) == index, 0.0, model.shares))
    # What the answers and their own flips put there says nothing; a string that is an answer itself says all it has.
    known = (strings[:, None] == model.centers[None]).all(axis=2).any(axis=1)
    noise = table.shots * np.exp(string_log_likelihoods(strings.astype(np.float64), rest))
    excess = seen - np.where(known, 0.0, noise)
    return not bool(((wanted >= _TELLING) & (excess < _TOO_FEW * wanted)).any())


def undecided_share(off: float) -> float:
    """Returns how much of the shots off the answers may be the ideal's own, given their share of all shots.

    Few shots off the answers are as well explained by an ideal distribution with a tail as by weak noise. Both get even
    odds then, and what comes out is the mean of the two answers; the more shots there are, the likelier it is noise.

    Examples:
        >>> from quell.mitigation.mixture_checks import undecided_share
        >>> [round(undecided_share(off), 3) for off in (0.05, 0.15, 0.4)]
        [0.5, 0.25, 0.0]
    """
    low, high = _UNDECIDED
    return 0.5 * min(1.0, max(0.0, (high - off) / (high - low)))


def flips_misfit(table: CountTable, model: BitFlipModel) -> float:
    """Returns how badly independent flips describe how far shots lie from their answers, between 0 and 1.

    The total variation between the distances seen and those that the flip rates give, as a share of the shots that lie
    off their answers, or should: 0 if all is as predicted, 1 if none of those shots is where it should be.
    """
    owners, _ = share_out(table.float_bits, model)
    owners *= table.weights[:, None] / table.shots
    difference, off = 0.0, 0.0
    for index, (center, rates) in enumerate(zip(model.centers, model.center_rates, strict=True)):
        far = distances(table.words, pack_words(center[None]))[:, 0]
        seen = np.bincount(far, owners[:, index], table.num_bits + 1)
        expected = np.ones(1)
        for rate in rates:
            expected = np.convolve(expected, [1 - rate, rate])
        expected *= seen.sum()
        difference += float(np.abs(seen - expected).sum()) / 2
        off += max(float(seen[1:].sum()), float(expected[1:].sum()))
    return difference / off if off * table.shots >= _MIN_OFF else 0.0


def _unexplained_peak(table: CountTable, model: BitFlipModel) -> bool:
    """Whether the most frequent string is more frequent than every answer, and the model does not say why."""
    top = int(table.by_weight[0])
    rows = table.find(without_satellites(table, model).centers)
    most = float(np.where(rows >= 0, table.weights[rows], 0.0).max())
    expected = table.shots * float(np.exp(string_log_likelihoods(table.float_bits[top : top + 1], model)[0]))
    seen = float(table.weights[top])
    return seen > most and seen > expected + _PEAK * np.sqrt(max(expected, 1.0))


def examine(table: CountTable, model: BitFlipModel, max_clusters: int, least: float) -> Examination:
    """Returns what speaks for and against `model` as an explanation of the counts.

    Half the shots predict the other half: by the model found anew, by the background alone, and by how often each
    string was seen.

    Args:
        table: The counts.
        model: What was fitted to them.
        max_clusters: The largest number of answers.
        least: As in `find_model`.
    """
    first, second = split(table.weights)
    shots = max(float(second.sum()), 1.0)
    half = table.with_weights(first)
    found = find_model(half, max_clusters, least)
    background = background_only(half)
    bits = table.float_bits
    floor = float(second @ string_log_likelihoods(bits, background)) / shots
    gain = float(second @ string_log_likelihoods(bits, found)) / shots - floor
    ceiling = float(second @ unstructured_log_likelihoods(first, table.num_bits)) / shots - floor
    explained = min(1.0, gain / max(gain, ceiling, 1e-12)) if gain > 0 else 0.0
    return Examination(gain, explained, _fault(table, model, gain, explained))


def contradiction(table: CountTable, model: BitFlipModel) -> str:
    """Returns which single strings speak against the model, or nothing: those too rare or too frequent for it."""
    if absent_answers(table, model).any():
        return (
            "the noise model wants an answer that was seen far less often than the strings around it: "
            "the ideal distribution has a structure that looks like flips"
        )
    if _unexplained_peak(table, model):
        return (
            "the most frequent string is no answer, and far too frequent for noise around the answers: "
            "the ideal distribution has a structure that looks like flips"
        )
    return ""


def _fault(table: CountTable, model: BitFlipModel, gain: float, explained: float) -> str:
    """Returns why the model is not believed, or nothing."""
    shorter = description_length(background_only(table), table.shots) - description_length(model, table.shots)
    if gain < _MIN_GAIN or shorter <= 0:
        return "no string stands out from a background over all strings"
    if explained < _MIN_EXPLAINED:
        return (
            f"a few answers and bit flips explain {explained:.1%} of what the counts hold, below {_MIN_EXPLAINED:.0%}: "
            "the ideal distribution may be broad"
        )
    against = contradiction(table, model)
    if against:
        return against
    misfit = flips_misfit(table, model)
    if misfit > _MAX_MISFIT:
        return (
            f"{misfit:.0%} of the shots off the answers are not where independent flips would put them: "
            "they may belong to the ideal distribution"
        )
    if model.num_centers >= max(3, most_answers(table.num_bits)):
        return f"{model.num_centers} answers do not suffice: the ideal distribution may be broad"
    rates = model.shares @ model.center_rates / model.shares.sum()
    if (rates > _NEAR_LIMIT * highest_rates(rates)).any():
        bit = int(np.argmax(rates / highest_rates(rates)))
        return (
            f"bit {bit} would be flipped in {rates[bit]:.0%} of the shots, which is no credible error: "
            "the ideal distribution may be broad"
        )
    limit = _MAX_BACKGROUND if table.num_bits > 2 else _MAX_BACKGROUND_OF_FOUR
    if 2**table.num_bits <= _FEW_STRINGS and model.background > limit:
        return (
            f"{model.background:.0%} of the shots belong to no answer, and among {2**table.num_bits} strings "
            "that cannot be told from a broad ideal distribution"
        )
    return ""
