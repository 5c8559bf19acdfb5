"""One decomposition for errors that do the same: the one in the fewest parts.

Near boundaries Stim decomposes some errors that flip one edge of the matching graph into two edges that end at the
boundary, and others with the same effect not. A matching decoder then sees two boundary edges likelier, and the edge
less likely, than they are. Where errors flip the same detectors and observables, this gives the probability of all to
the decomposition with the fewest parts.
"""

import collections

import stim

from quell.errors import InputError

__all__ = ["join_equal_errors"]

_Effect = tuple[frozenset[int], frozenset[int]]  # detectors and observables that are flipped


def join_equal_errors(dem: stim.DetectorErrorModel) -> stim.DetectorErrorModel:
    """Returns a model with the same distribution of events and observables, for which matching decoders err less.

    Args:
        dem: A model, decomposed or not.

    Returns:
        The model, flattened. Of errors that flip the same detectors and observables those with the fewest parts are
        left, with the probability of all; where several have the fewest, each gets a share by its own.

    Raises:
        InputError: It is no model.

    Examples:
        >>> import stim
        >>> from quell.decoders import join_equal_errors
        >>> dem = stim.DetectorErrorModel("error(.25) D0 D1 \\n error(.25) D0 L0 ^ D1 L0 \\n error(.125) D0 L0")
        >>> print(join_equal_errors(dem))
        error(0.375) D0 D1
        error(0.125) D0 L0
    """
    if not isinstance(dem, stim.DetectorErrorModel):
        raise InputError(f"a stim.DetectorErrorModel is needed, got {type(dem).__name__}")
    flat = dem.flattened()
    instructions = [each for each in (flat[i] for i in range(len(flat))) if isinstance(each, stim.DemInstruction)]
    errors = [each for each in instructions if each.type == "error"]
    effects, parts = zip(*map(_effect_and_parts, errors), strict=True) if errors else ((), ())
    fewest: dict[_Effect, int] = {}
    members: dict[_Effect, list[int]] = collections.defaultdict(list)
    for number, (effect, count) in enumerate(zip(effects, parts, strict=True)):
        fewest[effect] = min(count, fewest.get(effect, count))
        members[effect].append(number)
    probabilities = [error.args_copy()[0] for error in errors]
    for effect, numbers in members.items():
        if len(numbers) > 1:
            _share_out(probabilities, numbers, [n for n in numbers if parts[n] == fewest[effect]])
    joined = stim.DetectorErrorModel()
    number = 0
    for instruction in instructions:
        if instruction.type != "error":
            joined.append(instruction)
            continue
        if parts[number] == fewest[effects[number]]:
            joined.append("error", probabilities[number], list(instruction.targets_copy()), tag=instruction.tag)
        number += 1
    return joined


def _share_out(probabilities: list[float], numbers: list[int], kept: list[int]) -> None:
    """Gives the chance that an odd number of these errors happens to those that are kept."""
    even = 1.0
    for number in numbers:
        even *= 1 - 2 * probabilities[number]
    if len(kept) == 1:
        probabilities[kept[0]] = (1 - even) / 2
        return
    own = [max(probabilities[number], 1e-300) for number in kept]
    for number, weight in zip(kept, own, strict=True):
        if even > 0:
            probabilities[number] = (1 - even ** (weight / sum(own))) / 2
        else:  # an odd number is as likely as not, or likelier, and has no shares: the first gets all
            probabilities[number] = (1 - even) / 2 if number == kept[0] else 0.0


def _effect_and_parts(error: stim.DemInstruction) -> tuple[_Effect, int]:
    detectors: set[int] = set()
    observables: set[int] = set()
    parts = 1
    for target in error.targets_copy():
        if not isinstance(target, stim.DemTarget) or target.is_separator():
            parts += 1
        elif target.is_relative_detector_id():
            detectors ^= {target.val}
        else:
            observables ^= {target.val}
    return (frozenset(detectors), frozenset(observables)), parts
