"""The loop over shots of post-selected sampling, compiled with numba, and the random numbers that it draws.

Random numbers are those of xoshiro256++ (Blackman and Vigna, arXiv:1805.01407).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_shots"]

Function = TypeVar("Function", bound=Callable[..., Any])
Words = NDArray[np.uint64]


def _compiled(function: Function) -> Function:
    """Compiles a function once for all processes, or for each where no folder can be written to."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:
        return numba.njit(cache=False)(function)


@_compiled
def draw_shots(
    shots: int,
    ends: NDArray[np.float64],
    symptoms: Words,
    words: NDArray[np.int64],
    guide: NDArray[np.int32],
    stage_ends: NDArray[np.float64],
    stage_masks: Words,
    always: Words,
    state: Words,
    found: Words,
    kept: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Draws shots until there are enough, or until no more fit.

    Args:
        shots: How many to draw.
        ends: Of a `FaultTable`, and so are the arguments to `always`.
        symptoms: See above.
        words: See above.
        guide: See above.
        stage_ends: See above.
        stage_masks: See above.
        always: See above.
        state: uint64 (4,), not all 0: the state of the generator, which moves on.
        found: uint64 (N, W): filled with what is flipped in the kept shots in which anything is.
        kept: int64 (S,): for each stage, the shots alive after it are added.

    Returns:
        How many shots were drawn, how many rows of `found` were filled, and how many shots were kept in which nothing
        is flipped.
    """
    num_stages, num_words = stage_masks.shape
    total = ends[-1]
    to_guide = len(guide) / total if total > 0 else 0.0
    current = always.copy()
    usual = False
    for word in range(num_words):
        usual |= always[word] != 0
    rows = 0
    clean = 0
    for shot in range(shots):
        if rows == len(found):
            return shot, rows, clean
        place = 0.0
        stage = 0
        dirty = usual
        alive = True
        while True:
            # xoshiro256++, and an exponential step along the line of faults.
            drawn = state[0] + state[3]
            drawn = ((drawn << np.uint64(23)) | (drawn >> np.uint64(41))) + state[0]
            shifted = state[1] << np.uint64(17)
            state[2] ^= state[0]
            state[3] ^= state[1]
            state[1] ^= state[2]
            state[0] ^= state[3]
            state[2] ^= shifted
            state[3] = (state[3] << np.uint64(45)) | (state[3] >> np.uint64(19))
            place -= np.log(((drawn >> np.uint64(11)) + np.uint64(1)) * (1.0 / 9007199254740993.0))
            # What lies behind cannot change any more, so the stages that it decides are decided.
            while stage < num_stages and place >= stage_ends[stage]:
                if dirty:
                    for word in range(num_words):
                        if current[word] & stage_masks[stage, word]:
                            alive = False
                            break
                    if not alive:
                        break
                kept[stage] += 1
                stage += 1
            if not alive or place >= total:
                break
            fault = guide[min(int(place * to_guide), len(guide) - 1)]
            while ends[fault + 1] <= place:
                fault += 1
            while ends[fault] > place:  # a guide can be one too far, by rounding
                fault -= 1
            for word in range(words[fault, 0], words[fault, 1]):
                current[word] ^= symptoms[fault, word]
            dirty = True
            place = ends[fault + 1]
        if alive:
            flipped = False
            if dirty:
                for word in range(num_words):
                    if current[word]:
                        flipped = True
                        break
            if flipped:
                for word in range(num_words):
                    found[rows, word] = current[word]
                rows += 1
            else:
                clean += 1
        if dirty:
            for word in range(num_words):
                current[word] = always[word]
    return shots, rows, clean
