"""Finds a conflict-free order of gates in five layers for checks that meet their qubits in a given sequence.

A check with four gates rests in one of the five layers. No data qubit may meet two checks in one layer, and an X and
a Z check that share two data qubits must meet both in the same sequence, or the one's measurement would disturb
the other's.
"""

from collections.abc import Sequence

__all__ = ["five_layers"]

_LAYERS = range(1, 6)


def five_layers(
    kinds: Sequence[str], data: Sequence[Sequence[object]], fixed: Sequence[tuple[int, ...] | None]
) -> list[tuple[int, ...]] | None:
    """Returns the layers of every check's gates, or None if there is no such order.

    Depth-first search: the check with the fewest choices left comes first, and rests as late as it can.

    Args:
        kinds: `"X"` or `"Z"` for each check.
        data: For each check its data qubits, in the sequence of its gates.
        fixed: For each check its layers, where they are given; every other check needs four data qubits.

    Examples:
        >>> from quell.circuits.rp2_schedule import five_layers
        >>> five_layers("XZ", ["abcd", "cdef"], [None, None])
        [(1, 2, 3, 4), (1, 2, 3, 4)]
    """
    choices = [
        [layers]
        if layers is not None
        else [tuple(layer for layer in _LAYERS if layer != rest) for rest in reversed(_LAYERS)]
        for layers in fixed
    ]
    return _Search(kinds, data).solve(choices)


class _Search:
    def __init__(self, kinds: Sequence[str], data: Sequence[Sequence[object]]) -> None:
        self.kinds = kinds
        users: dict[object, list[tuple[int, int]]] = {}
        for check, qubits in enumerate(data):
            for step, qubit in enumerate(qubits):
                users.setdefault(qubit, []).append((check, step))
        # For each check its neighbours, with the steps at which both meet the same qubit.
        self.shared: list[dict[int, list[tuple[int, int]]]] = [{} for _ in data]
        for met in users.values():
            for check, step in met:
                for other, other_step in met:
                    if check != other:
                        self.shared[check].setdefault(other, []).append((step, other_step))

    def agree(self, check: int, layers: tuple[int, ...], other: int, other_layers: tuple[int, ...]) -> bool:
        """Tells whether two neighbours can have these layers."""
        before = set()
        for step, other_step in self.shared[check][other]:
            if layers[step] == other_layers[other_step]:
                return False
            before.add(layers[step] < other_layers[other_step])
        return self.kinds[check] == self.kinds[other] or len(before) == 1

    def solve(self, choices: list[list[tuple[int, ...]]]) -> list[tuple[int, ...]] | None:
        chosen: dict[int, tuple[int, ...]] = {}
        # What was tried: the check, what it can still try, and the choices as they were before.
        path: list[tuple[int, list[tuple[int, ...]], list[list[tuple[int, ...]]]]] = []
        while len(chosen) < len(choices):
            check = min((c for c in range(len(choices)) if c not in chosen), key=lambda c: (len(choices[c]), c))
            path.append((check, list(choices[check]), choices))
            while True:
                check, left, before = path[-1]
                chosen.pop(check, None)
                if not left:
                    path.pop()
                    if not path:
                        return None
                    continue
                narrowed = self.choose(check, left.pop(0), before, chosen)
                if narrowed is not None:
                    choices = narrowed
                    break
        return [chosen[check] for check in range(len(choices))]

    def choose(
        self,
        check: int,
        layers: tuple[int, ...],
        before: list[list[tuple[int, ...]]],
        chosen: dict[int, tuple[int, ...]],
    ) -> list[list[tuple[int, ...]]] | None:
        """Fixes a check's layers and returns what is left for the others, or None if one of them has nothing left."""
        choices = list(before)
        for other in self.shared[check]:
            if other not in chosen:
                choices[other] = [each for each in before[other] if self.agree(check, layers, other, each)]
                if not choices[other]:
                    return None
        chosen[check] = layers
        choices[check] = [layers]
        return choices
