"""The morph between the RP² codes and the self-dual SRP codes on which S and T are transversal, and the fold that
measures X on every qubit there (Chen, Chen, Lu and Pan, arXiv:2503.18657).

Each column x of the square gets a Bell pair of ancillas, one far below it and one far above. Two pairs of data
qubits, low and high, are tied to each Bell pair; the rest of the column is left alone. Which data qubits those are
is known for distances 3 and 5 only.
"""

from typing import NamedTuple

from quell.errors import InputError

__all__ = ["MORPH_DISTANCES", "Morph", "check_cultivation_distance", "srp_morph"]

Site = tuple[float, float]
Gates = tuple[tuple[Site, Site], ...]

MORPH_DISTANCES = (3, 5)


class Morph(NamedTuple):
    """The way from RP²-d to SRP-d, to be walked backwards as well.

    Attributes:
        plus: The ancillas prepared in |+> and read in X.
        others: The ancillas at the other end of each Bell pair, prepared in `others_state` and read in Z.
        others_state: 0 or 1.
        layers: CX gates, layer by layer, as pairs (control, target).
        partners: (ancilla in |+>, data qubit) of the first layer of the fold.
        fold: CX gates of the fold after that; X on every qubit ends up on (0, 0).
    """

    plus: tuple[Site, ...]
    others: tuple[Site, ...]
    others_state: int
    layers: tuple[Gates, ...]
    partners: Gates
    fold: tuple[Gates, ...]


def check_cultivation_distance(distance: object) -> int:
    """Returns `distance` if the codes of cultivation are known there.

    Raises:
        InputError: It is not 3 or 5.

    Examples:
        >>> from quell.circuits.srp_morph import check_cultivation_distance
        >>> check_cultivation_distance(4)
        Traceback (most recent call last):
        quell.errors.InputError: distance must be 3 or 5, got 4: SRP codes of other distances are not known
    """
    for known in MORPH_DISTANCES:
        if distance == known and not isinstance(distance, bool):
            return known
    raise InputError(f"distance must be 3 or 5, got {distance!r}: SRP codes of other distances are not known")


def srp_morph(distance: int, reach: int | None = None) -> Morph:
    """Returns the morph between RP²-d and SRP-d for d = 3 or 5.

    Args:
        distance: 3 or 5.
        reach: How far above and below (0, 0) the morph's ancillas lie; distance + 1 by default, which leaves room
            for a surface code of distance 2 distance + 1 between them.

    Raises:
        InputError: The distance is neither 3 nor 5.

    Examples:
        >>> from quell.circuits.srp_morph import srp_morph
        >>> morph = srp_morph(3)
        >>> morph.plus, [len(layer) for layer in morph.layers]
        (((-1, -4), (0, -4), (1, -4)), [3, 6, 3])
    """
    distance = check_cultivation_distance(distance)
    reach = distance + 1 if reach is None else reach
    return _morph_3(reach) if distance == 3 else _morph_5(reach)


def _morph_3(reach: int) -> Morph:
    columns = (-1, 0, 1)
    plus = tuple((x, -reach) for x in columns)
    others = tuple((x, reach) for x in columns)
    low, middle, high = (tuple((x, y) for x in columns) for y in (-1, 0, 1))
    return Morph(
        plus=plus,
        others=others,
        others_state=0,
        layers=(_pairs(plus, others), _pairs(plus, low) + _pairs(high, others), _pairs(low, high)),
        partners=_partners(low + middle + high),
        fold=(
            _pairs(high, others),
            _pairs(low, plus) + _pairs(middle, high),
            _pairs(middle, low),
            (((0, 0), (-1, 0)),),
            (((0, 0), (1, 0)),),
        ),
    )


def _morph_5(reach: int) -> Morph:
    columns = (-2, -1, 0, 1, 2)
    plus = tuple((x, -reach) for x in columns)
    others = tuple((x, reach) for x in columns)
    middle = tuple((x, 0) for x in columns)
    # The low data qubit tied to each ancilla, and the data qubit of its column's other half that goes with it.
    plus_low = ((-2, -2), (-1, -1), (-1, -2), (1, -2), (2, -2))
    plus_high = ((-2, 2), (-1, 1), (-1, 2), (1, 2), (2, 2))
    others_low = ((-2, -1), (0, -1), (0, -2), (1, -1), (2, -1))
    others_high = ((-2, 1), (0, 1), (0, 2), (1, 1), (2, 1))
    to_ancillas = _pairs(plus_high, plus) + _pairs(others_high, others)
    return Morph(
        plus=plus,
        others=others,
        others_state=1,
        layers=(
            _pairs(plus, others),
            _pairs(plus, plus_low) + _pairs(others, others_low),
            to_ancillas,
            _pairs(plus_low, plus_high) + _pairs(others_low, others_high),
        ),
        partners=_partners(middle + plus_high + others_high),
        fold=(
            _pairs(middle, others_low) + to_ancillas,
            _pairs(middle, others_high) + _pairs(plus_low, plus_high),
            _pairs(middle, plus_low),
            (((0, 0), (2, 0)),),
            (((0, 0), (1, 0)), ((-1, 0), (-2, 0))),
            (((0, 0), (-1, 0)),),
        ),
    )


def _pairs(controls: tuple[Site, ...], targets: tuple[Site, ...]) -> Gates:
    return tuple(zip(controls, targets, strict=True))


def _partners(data: tuple[Site, ...]) -> Gates:
    return tuple(((x - 0.5, y - 0.5), (x, y)) for x, y in data)
