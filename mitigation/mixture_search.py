"""Finds how many answers a mixture of bit-flip noise has, and which: the shortest description of the shots.

The description length of a model is its negative log-likelihood, plus what it costs to name its answers, plus half a
logarithm of the shots for each free number (J. Rissanen, Automatica 14 (1978) 465). The search has three parts. At
fixed flip rates the weights of many candidates are a convex problem without false optima, so a ladder of rates gives
the starting points. From the best of them, answers that do not pay for themselves are dropped and missing ones added.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from quell.mitigation.mixture_model import (
    BitFlipModel,
    component_log_likelihoods,
    fit,
    share_out,
    string_log_likelihoods,
)
from quell.mitigation.table import CountTable

__all__ = ["absent_answers", "background_only", "description_length", "find_model"]

Array = NDArray[np.float64]

# The flip rates that a search begins with.
_LADDER = (0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
# The numbers of answers that a rate of the ladder is tried with.
_NUMBERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
# How many of the ladder's rungs are followed to the end.
_NUM_STARTS = 3
# How often absent answers are taken out and the rest is settled again.
_MAX_BANS = 3
# How many of the most frequent strings may be answers when a search begins.
_NUM_CANDIDATES = 192
# Fewer shots of an answer than this share of what the noise around it predicts: it is no answer ...
_MIN_PRESENT = 0.75
# ... if the shortfall is this many standard deviations.
_MIN_SHORTFALL = 3.0
# The ladder looks at no more strings than this: the most frequent, and of the others every so many.
_NUM_STRINGS = 4096


def description_length(model: BitFlipModel, num_shots: float) -> float:
    """Returns the nats it takes to state the model and then the shots.

    K answers are one of C(2^n, K) sets; each has one free share, and each bit two flip rates.
    """
    num_bits, number = model.centers.shape[1], model.num_centers
    length = -model.log_likelihood
    if not number:
        return length
    naming: float = number * num_bits * math.log(2) - math.lgamma(number + 1)
    if num_bits <= 20:
        size = float(1 << num_bits)
        naming = math.lgamma(size + 1) - math.lgamma(number + 1) - math.lgamma(max(size - number, 0) + 1)
    numbers: float = (0.5 * number + num_bits) * math.log(num_shots)
    return length + naming + numbers


def _answer_cost(num_bits: int, num_shots: float) -> float:
    """Returns about what one more answer adds to the description."""
    return num_bits * math.log(2) + 0.5 * math.log(num_shots)


def _begin(centers: NDArray[np.uint8], shares: Array, rate: float) -> BitFlipModel:
    """Returns a model of the given answers with one rate for all bits."""
    rates = np.full(centers.shape[1], rate)
    background = max(1 - float(shares.sum()), 1e-3)
    return BitFlipModel(centers, shares, background, rates, rates, np.full(centers.shape[1], 0.5))


def background_only(table: CountTable) -> BitFlipModel:
    """Returns the model without any answer: what the shots look like if there is nothing in them."""
    nothing = _begin(np.zeros((0, table.num_bits), dtype=np.uint8), np.zeros(0), 0.1)
    return fit(table.float_bits, table.weights, nothing, max_steps=10)


def absent_answers(table: CountTable, model: BitFlipModel) -> NDArray[np.bool_]:
    """Returns which answers were seen clearly less often than the noise around them says, bool of shape (K,).

    Independent flips leave the answer itself the most frequent string of its surroundings. A W state is the example of
    the opposite: noise around 00…0 explains its strings, but not why 00…0 itself is missing.
    """
    expected = table.shots * np.exp(string_log_likelihoods(model.centers.astype(np.float64), model))
    rows = table.find(model.centers)
    seen = np.where(rows >= 0, table.weights[rows], 0.0)
    short: NDArray[np.bool_] = (seen < _MIN_PRESENT * expected) & (seen < expected - _MIN_SHORTFALL * np.sqrt(expected))
    return short


def _thinned(bits: Array, weights: Array, order: NDArray[np.intp]) -> tuple[Array, Array]:
    """Returns few enough strings for the ladder; those left out are stood for by the ones taken."""
    if len(weights) <= _NUM_STRINGS:
        return bits, weights
    half = _NUM_STRINGS // 2
    rest = order[half:]
    stride = -(-len(rest) // half)
    taken = rest[::stride]
    scale = weights[rest].sum() / weights[taken].sum()
    return bits[np.append(order[:half], taken)], np.append(weights[order[:half]], weights[taken] * scale)


def _reweigh(kernel: Array, weights: Array, shares: Array, num_steps: int) -> Array:
    """Returns the shares that make the shots likelier, by over-relaxed EM; a convex problem."""
    num_shots = weights.sum()
    for _ in range(num_steps):
        gain = ((weights / (kernel @ shares)) @ kernel) / num_shots
        # An exponent of 1.5 is still safe for EM of shares and takes fewer steps.
        shares = shares * gain * np.sqrt(gain)
        shares /= shares.sum()
    return shares


def _rung(bits: Array, weights: Array, centers: NDArray[np.uint8], rate: float) -> tuple[float, BitFlipModel]:
    """Returns the best of `_NUMBERS` of the candidates at one fixed flip rate, and its description length."""
    num_bits = bits.shape[1]
    kernel = component_log_likelihoods(bits, np.where(centers == 1, 1 - rate, rate)) + num_bits * math.log(2)
    kernel = np.hstack([np.exp(np.minimum(kernel, 600.0)), np.ones((len(bits), 1))])
    shares = np.append(np.full(len(centers), 0.5 / len(centers)), 0.5)
    shares = _reweigh(kernel, weights, shares, 80)
    order = np.argsort(-shares[:-1], kind="stable")
    cost = _answer_cost(num_bits, weights.sum())
    best: tuple[float, BitFlipModel] | None = None
    for number in _NUMBERS:
        if number > len(order):
            break
        taken = np.append(order[:number], len(order))
        start = shares[taken] + 1e-6
        start[-1] = max(start[-1], 0.01)
        some = _reweigh(kernel[:, taken], weights, start / start.sum(), 12)
        length = cost * number - float(weights @ np.log(kernel[:, taken] @ some))
        if best is None or length < best[0]:
            best = length, _begin(centers[order[:number]], some[:-1], rate)
    assert best is not None
    return best


def _single(table: CountTable) -> Iterator[BitFlipModel]:
    """Yields models of one answer: the most frequent string, and what most shots say bit by bit."""
    majority = (table.probabilities @ table.float_bits > 0.5).astype(np.uint8)
    for center in np.unique(np.vstack([table.bits[table.by_weight[0]], majority]), axis=0):
        for rate in (0.03, 0.12, 0.3):
            start = _begin(center[None], np.array([0.5]), rate)
            yield fit(table.float_bits, table.weights, start, max_steps=25)


def _without_doubles(table: CountTable, model: BitFlipModel, max_steps: int, tolerance: float) -> BitFlipModel:
    """Returns the model without pairs of answers that one noisy bit explains.

    A bit that is flipped more often than the others gives every answer a double. None of the doubles can go alone,
    since the others keep the bit's rate down; all of them together can.
    """
    for bit in range(table.num_bits):
        known = {center.tobytes(): share for center, share in zip(model.centers, model.shares, strict=True)}
        turned = model.centers.copy()
        turned[:, bit] ^= 1
        kept = model.shares >= np.array([known.get(center.tobytes(), 0.0) for center in turned])
        if kept.all() or not kept.any():
            continue
        fewer = fit(table.float_bits, table.weights, model.only(kept), max_steps=max_steps, tolerance=tolerance)
        if description_length(fewer, table.shots) <= description_length(model, table.shots):
            model = fewer
    return model


def _drop(table: CountTable, model: BitFlipModel, max_steps: int, tolerance: float) -> BitFlipModel:
    """Returns the model without the answers that do not pay for themselves."""
    model = _without_doubles(table, model, max_steps, tolerance)
    bits, weights, num_shots = table.float_bits, table.weights, table.shots
    cost = _answer_cost(table.num_bits, num_shots)
    while model.num_centers > 1:
        owners, _ = share_out(bits, model)
        # What the shots lose before the others adapt: an upper limit of what they lose after.
        loss = -(weights @ np.log1p(-np.minimum(owners[:, :-1], 1 - 1e-12)))
        for index in np.argsort(loss, kind="stable")[:3]:
            if loss[index] > 10 * cost:
                continue
            fewer = model.only(np.arange(model.num_centers) != index)
            fewer = fit(bits, weights, fewer, max_steps=max_steps, tolerance=tolerance)
            if description_length(fewer, num_shots) <= description_length(model, num_shots):
                model = fewer
                break
        else:
            return model
    return model


def _add(table: CountTable, model: BitFlipModel, max_clusters: int, least: float, banned: set[bytes]) -> BitFlipModel:
    """Returns the model with the answers added that it lacks, one at a time, the one the shots call for most first."""
    bits, weights, strings, num_shots = table.float_bits, table.weights, table.bits, table.shots
    while model.num_centers < max_clusters:
        log_likelihoods = string_log_likelihoods(bits, model)
        excess = weights - num_shots * np.exp(log_likelihoods)
        half = _NUM_CANDIDATES // 2
        rows = np.union1d(table.by_weight[:half], np.argsort(-excess, kind="stable")[:half])
        known = banned | {center.tobytes() for center in model.centers}
        rows = np.array([row for row in rows if strings[row].tobytes() not in known], dtype=np.intp)
        if not len(rows):
            return model
        # The slope of the log-likelihood when a new answer takes its first share from all others.
        ones = np.where(strings[rows] == 1, 1 - model.rates_1_to_0, model.rates_0_to_1)
        slope = weights @ np.exp(np.minimum(component_log_likelihoods(bits, ones) - log_likelihoods[:, None], 600.0))
        best = int(np.argmax(slope))
        if slope[best] <= num_shots:
            return model
        more = model.plus(strings[rows[best]], min(max(excess[rows[best]], 3.0) / num_shots, 0.3))
        more = fit(bits, weights, more, max_steps=30, tolerance=0.5)
        if description_length(more, num_shots) >= description_length(model, num_shots) - 1e-6:
            return model
        if more.shares.min() < least * more.shares.max():
            return model
        model = more
    return model


def _settled(
    table: CountTable, model: BitFlipModel, max_clusters: int, least: float, banned: set[bytes]
) -> BitFlipModel:
    """Returns the model after answers were added and dropped and all was fitted to the end."""
    model = fit(table.float_bits, table.weights, model, max_steps=60)
    model = _add(table, model, max_clusters, least, banned)
    model = fit(table.float_bits, table.weights, model, max_steps=800, tolerance=1e-3)
    return _drop(table, model, max_steps=80, tolerance=0.05)


def _refined(table: CountTable, model: BitFlipModel, max_clusters: int, least: float) -> BitFlipModel:
    """Returns the model of the shortest description near `model`, without answers absent from the counts."""
    model = _settled(table, model, max_clusters, least, set())
    banned: set[bytes] = set()
    for _ in range(_MAX_BANS):
        absent = absent_answers(table, model)
        if not absent.any() or absent.all():
            break
        banned |= {center.tobytes() for center in model.centers[absent]}
        model = _settled(table, model.only(~absent), max_clusters, least, banned)
    return model


def find_model(table: CountTable, max_clusters: int, least: float) -> BitFlipModel:
    """Returns the model of the shortest description; it has at least one answer.

    Models with answers that are absent from the counts are taken only if there is no other.

    Args:
        table: The counts.
        max_clusters: The largest number of answers.
        least: Answers are added as long as none has less than this share of the most probable one's.
    """
    # Equally frequent strings stand in no particular order, lest those that begin with zeros have a better chance.
    order = np.lexsort((np.random.default_rng(0).permutation(table.num_strings), -table.weights))
    few_bits, few_weights = _thinned(table.float_bits, table.weights, order)
    centers = table.bits[order[:_NUM_CANDIDATES]]
    rungs = [_rung(few_bits, few_weights, centers, rate) for rate in _LADDER]
    rungs.sort(key=lambda rung: rung[0])
    found: list[tuple[bool, float, BitFlipModel]] = []

    def keep(model: BitFlipModel) -> None:
        absent = bool(absent_answers(table, model).any())
        found.append((absent, description_length(model, table.shots), model))

    for model in _single(table):
        keep(model)
    for rung, (_, start) in enumerate(rungs):
        if rung >= _NUM_STARTS and not all(absent for absent, _, _ in found):
            break
        model = start.only(np.arange(start.num_centers) < max_clusters)
        model = fit(table.float_bits, table.weights, model, max_steps=10, free_answers=False)
        model = fit(table.float_bits, table.weights, model, max_steps=60)
        keep(_drop(table, model, max_steps=25, tolerance=0.5))
    best = min(found, key=lambda entry: entry[:2])
    return _refined(table, best[2], max_clusters, least)
