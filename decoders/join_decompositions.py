"""One decomposition for errors that do the same: the one in the fewest parts.

Near boundaries Stim decomposes some errors that flip one edge of the matching graph into two edges that end at the
boundary, and others with the same effect not. A matching decoder then sees two boundary edges likelier, and the edge
less likely, than they are. Where errors flip the same detectors and observables, this gives the probability of all to
the decomposition with the fewest parts that a matching can use.
"""

import math

import stim

from quell.errors import InputError

__all__ = ["join_equal_errors"]

_Part = tuple[int, ...]


def join_equal_errors(dem: stim.DetectorErrorModel) -> stim.DetectorErrorModel:
    """Returns a model with the same distribution of events and observables, for which matching decoders err less.

    Args:
        dem: A model, decomposed or not.

    Returns:
        The model, flattened. Of errors that flip the same detectors and observables one decomposition is left, with the
        probability of all: that with the fewest parts, if there are some whose parts flip two detectors at most, among
        these. Where several have the fewest, each gets a share by its own probability.

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
    parts = [_parts(error) for error in errors]
    members: dict[frozenset[int], dict[tuple[_Part, ...], list[int]]] = {}
    for number, own in enumerate(parts):
        members.setdefault(_effect(own), {}).setdefault(tuple(sorted(own)), []).append(number)
    given = [error.args_copy()[0] for error in errors]
    probabilities: dict[int, float] = {}
    for ways in members.values():
        probabilities |= _joined(ways, given)
    joined = stim.DetectorErrorModel()
    number = -1
    for instruction in instructions:
        if instruction.type != "error":
            joined.append(instruction)
            continue
        number += 1
        if number in probabilities:
            joined.append("error", probabilities[number], list(instruction.targets_copy()), tag=instruction.tag)
    return joined


def _joined(ways: dict[tuple[_Part, ...], list[int]], given: list[float]) -> dict[int, float]:
    """The errors of one effect that are left, by number, and their probabilities.

    Args:
        ways: The errors by their decomposition.
        given: The probabilities of all errors.
    """
    if len(ways) == 1 and len(alone := next(iter(ways.values()))) == 1:
        return {alone[0]: given[alone[0]]}
    # A part of more than two detectors is no edge, and a matching leaves it out.
    usable = [way for way in ways if all(sum(flip >= 0 for flip in part) <= 2 for part in way)] or list(ways)
    fewest = min(map(len, usable))
    kept = [way for way in usable if len(way) == fewest]
    # The chance of an odd number is (1 - even) / 2.
    evens = {way: math.prod(1 - 2 * given[number] for number in numbers) for way, numbers in ways.items()}
    even = math.prod(evens.values())
    first = [ways[way][0] for way in kept]
    if len(kept) == 1:
        return {first[0]: (1 - even) / 2}
    if even <= 0:  # an odd number is as likely as not, or likelier, and has no shares: one way gets all
        return {first[0]: (1 - even) / 2}
    logs = [-math.log(evens[way]) if evens[way] > 0 else 1.0 for way in kept]
    shares = [log / sum(logs) if sum(logs) else 1 / len(logs) for log in logs]
    return {number: (1 - even**share) / 2 for number, share in zip(first, shares, strict=True)}


def _parts(error: stim.DemInstruction) -> list[_Part]:
    """What each part flips: detectors, and observables below 0."""
    found: list[_Part] = []
    for group in error.target_groups():
        flips: set[int] = set()
        for target in group:
            flips ^= {target.val if target.is_relative_detector_id() else -1 - target.val}
        found.append(tuple(sorted(flips)))
    return found


def _effect(parts: list[_Part]) -> frozenset[int]:
    effect: set[int] = set()
    for part in parts:
        effect ^= set(part)
    return frozenset(effect)
