"""The inner loops of the chains, compiled with numba: proposals, exchanges, records.

A chain lives on the sets of faults that fail. A proposal leaves the distribution of independent faults as it is, and is
accepted if the new set fails too; so the chain's distribution is that of the faults, given that the shot fails. Two
proposals take turns: to draw each fault anew with a small probability, and to move faults to neighbours that share a
detector, which bends the chain of errors that crosses the code.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler

__all__ = ["accept", "exchange", "propose_moves", "propose_redraws", "record"]

Ints = NDArray[np.int32]
Words = NDArray[np.uint64]

_compiled = compiler([Path(__file__)])


@_compiled
def propose_redraws(
    rng: np.random.Generator,
    sets: Ints,
    sizes: NDArray[np.int64],
    flips: Words,
    scale: NDArray[np.float64],
    new_sets: Ints,
    new_sizes: NDArray[np.int64],
    new_flips: Words,
    changed: NDArray[np.bool_],
    words: Words,
    odds: NDArray[np.float64],
    threshold: NDArray[np.float64],
    other: Ints,
    odds_sum: float,
) -> None:
    """Proposes for each chain to draw each fault anew with a probability between 0.03 and 0.6.

    Args:
        rng: Of random numbers.
        sets: int32 (chains, room): the faults of each chain.
        sizes: int64 (chains,): how many they are.
        flips: uint64 (chains, words): what they flip.
        scale: float64 (chains,): by what each chain multiplies the odds of all faults.
        new_sets: Where the proposal is written.
        new_sizes: Where the proposal is written.
        new_flips: Where the proposal is written.
        changed: Where it is written whether the proposal differs.
        words: uint64 (faults + 1, words): what each fault flips.
        odds: float64 (faults,).
        threshold: Of the alias table of the odds.
        other: Of the alias table of the odds.
        odds_sum: The sum of the odds.
    """
    num_chains, room = sets.shape
    num_faults = odds.shape[0]
    for chain in range(num_chains):
        old = sizes[chain]
        factor = scale[chain]
        rate = 0.03 * 20 ** rng.random()
        new_flips[chain] = flips[chain]
        different = False
        size = 0
        for place in range(old):
            fault = sets[chain, place]
            if rng.random() < rate / (1 + factor * odds[fault]):
                new_flips[chain] ^= words[fault]
                different = True
            else:
                new_sets[chain, size] = fault
                size += 1
        kept = size
        for _ in range(rng.poisson(rate * factor * odds_sum)):
            fault = np.int32(rng.random() * num_faults)
            if rng.random() >= threshold[fault]:
                fault = other[fault]
            scaled = factor * odds[fault]
            # Thinned so that a fault that was absent comes in with just rate times its probability.
            if rng.random() * rate * scaled >= -np.log1p(-rate * scaled / (1 + scaled)):
                continue
            known = False
            for place in range(old):
                known |= sets[chain, place] == fault
            for place in range(kept, size):
                known |= new_sets[chain, place] == fault
            if known:
                continue
            if size == room:
                different = False  # no room for a set of this size: the chain stays where it is
                break
            new_sets[chain, size] = fault
            size += 1
            new_flips[chain] ^= words[fault]
            different = True
        new_sizes[chain] = size
        changed[chain] = different


@_compiled
def propose_moves(
    rng: np.random.Generator,
    sets: Ints,
    sizes: NDArray[np.int64],
    flips: Words,
    new_sets: Ints,
    new_sizes: NDArray[np.int64],
    new_flips: Words,
    changed: NDArray[np.bool_],
    words: Words,
    odds: NDArray[np.float64],
    first: NDArray[np.int64],
    neighbours: Ints,
) -> None:
    """Proposes for each chain to move one fault, or a few, to neighbours; arguments as for `propose_redraws`.

    Args:
        rng: Of random numbers.
        sets: int32 (chains, room).
        sizes: int64 (chains,).
        flips: uint64 (chains, words).
        new_sets: Where the proposal is written.
        new_sizes: Where the proposal is written.
        new_flips: Where the proposal is written.
        changed: Where it is written whether the proposal differs.
        words: uint64 (faults + 1, words).
        odds: float64 (faults,).
        first: int64 (faults + 1,): where the neighbours of each fault begin.
        neighbours: int32: the neighbours of all faults.
    """
    for chain in range(sets.shape[0]):
        size = sizes[chain]
        new_sizes[chain] = size
        new_sets[chain, :size] = sets[chain, :size]
        new_flips[chain] = flips[chain]
        different = False
        more = size > 0
        while more:
            more = rng.random() < 0.25
            place = int(rng.random() * size)
            old = new_sets[chain, place]
            degree = first[old + 1] - first[old]
            if degree == 0:
                continue
            new = neighbours[first[old] + int(rng.random() * degree)]
            known = False
            for index in range(size):
                known |= new_sets[chain, index] == new
            if known:
                continue
            back = first[new + 1] - first[new]
            if rng.random() * odds[old] * back < odds[new] * degree:
                new_sets[chain, place] = new
                new_flips[chain] ^= words[old] ^ words[new]
                different = True
        changed[chain] = different


@_compiled
def accept(
    sets: Ints,
    sizes: NDArray[np.int64],
    flips: Words,
    new_sets: Ints,
    new_sizes: NDArray[np.int64],
    new_flips: Words,
    accepted: NDArray[np.bool_],
) -> None:
    """Puts the accepted proposals in place."""
    for chain in range(sets.shape[0]):
        if accepted[chain]:
            size = new_sizes[chain]
            sizes[chain] = size
            sets[chain, :size] = new_sets[chain, :size]
            flips[chain] = new_flips[chain]


@_compiled
def exchange(
    rng: np.random.Generator,
    at: NDArray[np.int64],
    sizes: NDArray[np.int64],
    log_scales: NDArray[np.float64],
    start: int,
    exchanged: NDArray[np.int64],
    direction: NDArray[np.int64],
    trips: NDArray[np.int64],
) -> None:
    """Lets neighbouring levels of each ladder exchange their chains, and counts trips from the top to the bottom.

    Args:
        rng: Of random numbers.
        at: int64 (ladders, levels): the chain on each level.
        sizes: int64 (chains,).
        log_scales: float64 (levels,): of what multiplies the odds on each level.
        start: 0 or 1: which pairs take their turn.
        exchanged: int64 (levels,): where exchanges are counted, at the upper level of the pair.
        direction: int64 (chains,): 1 for a chain that has seen the top last, -1 for the bottom, 0 for neither.
        trips: int64 (ladders,): where arrivals from the top at the bottom are counted.
    """
    num_ladders, num_levels = at.shape
    for ladder in range(num_ladders):
        for level in range(start, num_levels - 1, 2):
            upper, lower = at[ladder, level], at[ladder, level + 1]
            gain = (log_scales[level] - log_scales[level + 1]) * (sizes[lower] - sizes[upper])
            if gain >= 0 or rng.random() < np.exp(gain):
                at[ladder, level], at[ladder, level + 1] = lower, upper
                exchanged[level] += 1
        direction[at[ladder, 0]] = 1
        bottom = at[ladder, num_levels - 1]
        if direction[bottom] == 1:
            trips[ladder] += 1
        direction[bottom] = -1


@_compiled
def record(
    at: NDArray[np.int64],
    sets: Ints,
    sizes: NDArray[np.int64],
    histogram: NDArray[np.int64],
    residuals: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:
    """Counts the sizes of all sets, and sums for each size the weights that other models give them.

    Args:
        at: int64 (ladders, levels): the chain on each level.
        sets: int32 (chains, room).
        sizes: int64 (chains,).
        histogram: int64 (ladders, levels, room + 1): where they are counted.
        residuals: float64 (models, faults): logarithms of odds over those of the chains, scaled.
        weights: float64 (ladders, models, room + 1): where the weights are summed.
    """
    num_ladders, num_levels = at.shape
    for ladder in range(num_ladders):
        for level in range(num_levels):
            chain = at[ladder, level]
            size = sizes[chain]
            histogram[ladder, level, size] += 1
            for model in range(residuals.shape[0]):
                total = 0.0
                for place in range(size):
                    total += residuals[model, sets[chain, place]]
                weights[ladder, model, size] += np.exp(total)
