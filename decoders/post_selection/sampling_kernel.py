"""The loop over shots of post-selected sampling, compiled with numba, and the random numbers that it draws.

Random numbers are those of xoshiro256++ (Blackman and Vigna, arXiv:1805.01407), 53 bits of each.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler

__all__ = ["draw_shots"]

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_UNIT = 1.0 / 9007199254740992.0

compiled = compiler([Path(__file__)])


@compiled
def _next(state: Words) -> np.uint64:
    """Returns 53 random bits; the state moves on."""
    random = state[0] + state[3]
    random = ((random << np.uint64(23)) | (random >> np.uint64(41))) + state[0]
    shifted = state[1] << np.uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = (state[3] << np.uint64(45)) | (state[3] >> np.uint64(19))
    return np.uint64(random >> np.uint64(11))


@compiled
def draw_shots(
    shots: int,
    state: Words,
    found: Words,
    died: Ints,
    silence: Floats,
    symptoms: Words,
    words: Ints,
    guide: NDArray[np.int32],
    guide_shift: int,
    guide_start: int,
    stage_silence: Floats,
    stage_masks: Words,
    stage_words: Ints,
    always: Words,
    first: Floats,
    first_guide: NDArray[np.int32],
    first_stage: Ints,
    whole: bool,
) -> tuple[int, int, int]:
    """Draws shots until there are enough, or until no more fit.

    Args:
        shots: How many to draw.
        state: uint64 (4,), not all 0: the state of the generator, which moves on.
        found: uint64 (N, W): filled with what is flipped in the kept shots in which anything is.
        died: int64 (S,): to which is added how many shots each stage rejects.
        silence: Of a `FaultTable`, as all that follow up to `always`.
        symptoms: See above.
        words: See above.
        guide: See above.
        guide_shift: See above.
        guide_start: See above.
        stage_silence: See above.
        stage_masks: See above.
        stage_words: See above.
        always: See above.
        first: Of `LonelyFaults`, as all that follow.
        first_guide: See above.
        first_stage: See above.
        whole: Whether all shots are drawn, or those that `LonelyFaults` leaves.

    Returns:
        How many shots were drawn, how many rows of `found` were filled, and how many shots were kept in which nothing
        is flipped.
    """
    num_stages, num_words = stage_masks.shape
    last = silence[-1]
    current = always.copy()
    drawn = shots
    rows = 0
    clean = 0
    for shot in range(shots):
        if rows == len(found):
            drawn = shot
            break
        level = 1.0
        stage = 0
        alive = True
        known = False  # whether the level is one at which a fault fires
        if not whole:
            place = _next(state) * _UNIT
            fault = first_guide[int(place * len(first_guide))]
            while first[fault + 1] <= place:
                fault += 1
            for word in range(words[fault, 0], words[fault, 1]):
                current[word] ^= symptoms[fault, word]
            level = silence[fault + 1]
            stage = first_stage[fault]
            if stage < num_stages:  # a second fault comes before that stage is decided
                level -= (level - stage_silence[stage]) * (_next(state) * _UNIT)
                known = True
        while True:
            if not known:
                # In (0, 1], so that the level never comes to 0.
                level *= (_next(state) + np.uint64(1)) * _UNIT
                # What was passed over cannot change any more, so the stages that it decides are decided.
                while stage < num_stages and level <= stage_silence[stage]:
                    for word in range(stage_words[stage, 0], stage_words[stage, 1]):
                        if current[word] & stage_masks[stage, word]:
                            alive = False
                            break
                    if not alive:
                        break
                    stage += 1
                if not alive or level <= last:
                    break
            known = False
            fault = guide[(np.float64(level).view(np.int64) >> guide_shift) - guide_start]
            while level <= silence[fault + 1]:
                fault += 1
            for word in range(words[fault, 0], words[fault, 1]):
                current[word] ^= symptoms[fault, word]
            level = silence[fault + 1]
        if alive:
            flipped = False
            for word in range(num_words):
                flipped |= current[word] != 0
            if flipped:
                for word in range(num_words):
                    found[rows, word] = current[word]
                rows += 1
            else:
                clean += 1
        else:
            died[stage] += 1
        for word in range(num_words):
            current[word] = always[word]
    return drawn, rows, clean
