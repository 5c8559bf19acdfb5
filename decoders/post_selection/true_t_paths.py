"""What a Pauli frame with X at T gates does, exactly.

T X = X exp(iπZ/4) T and T† X = X exp(-iπZ/4) T†, so that with X at n gates the state is the noiseless one times n
factors (1 ± iZ)/√2, and then the frame: a sum over 2^n paths, one for each set of T gates at which Z is added. Paths
that flip the same measurements interfere. The factors are Clifford and the measurements Paulis, so that what is flipped
is spread evenly over an affine space, as for stabilizer states, and linear algebra finds that space without adding up
paths. The signs with which products of Z act on the noiseless state, which no simulation of its T gates is needed
for, come from Hadamard tests.
"""

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import stim

from quell.decoders.post_selection.bit_sums import as_ints, combined, null_space, parity
from quell.decoders.post_selection.true_t_faults import TrueTFaults, instructions_of, is_t
from quell.errors import CircuitError

__all__ = ["Flips", "Paths", "silent_products"]

_TESTS = 8


class Flips(NamedTuple):
    """What may be flipped in what is kept: decoded detectors, then observables.

    Attributes:
        flipped: One pattern, as an int.
        choices: Independent patterns; `flipped` with some of them added is as likely as with any others.
    """

    flipped: int
    choices: tuple[int, ...]


def silent_products(circuit: stim.Circuit, faults: TrueTFaults) -> dict[int, tuple[int, int]]:
    """Returns a basis of the products of Z errors at T gates that flip nothing, with their signs.

    Args:
        circuit: That of the faults.
        faults: Of the circuit.

    Returns:
        {pivot: (product, sign)}: a product is an int with one bit per position, and no other product has the bit of
        its pivot. The sign is 1 or -1: what the product does to the noiseless state.

    Raises:
        CircuitError: A sign is random: the noiseless circuit measures something that no detector tells.
    """
    basis: dict[int, int] = {}
    for product in null_space(_rows(faults))[1]:
        for pivot, other in basis.items():
            if product >> pivot & 1:
                product ^= other
        new = product.bit_length() - 1
        basis = {pivot: each ^ product if each >> new & 1 else each for pivot, each in basis.items()}
        basis[new] = product
    return {pivot: (product, _sign(circuit, faults, product)) for pivot, product in basis.items()}


def _rows(faults: TrueTFaults) -> list[int]:
    """What Z at each T gate flips: detectors, then observables."""
    detectors, observables = as_ints(faults.z_detectors), as_ints(faults.z_observables)
    return [d | o << len(faults.stages) for d, o in zip(detectors, observables, strict=True)]


def _sign(circuit: stim.Circuit, faults: TrueTFaults, product: int) -> int:
    """Finds what a product of Z does to the noiseless state, with an ancilla that controls it."""
    flat = circuit.without_noise().flattened()
    # Noise is gone, T gates are still in the same sequence.
    chosen = [position.qubit if product >> i & 1 else None for i, position in enumerate(faults.positions)]
    ancilla = flat.num_qubits
    test = stim.Circuit(f"RX {ancilla}")
    seen = 0
    for instruction in instructions_of(flat):
        if is_t(instruction):
            size = len(instruction.targets_copy())
            for qubit in chosen[seen : seen + size]:
                if qubit is not None:
                    test.append("CZ", [ancilla, qubit])
            seen += size
        elif instruction.name not in ("DETECTOR", "OBSERVABLE_INCLUDE", "SHIFT_COORDS", "QUBIT_COORDS", "TICK"):
            test.append(instruction)
    test.append("MX", [ancilla])
    results = {bool(row[-1]) for row in test.compile_sampler(seed=0).sample(_TESTS)}
    if len(results) != 1:
        raise CircuitError(
            "the sign between two ways to the same outcome is random: the circuit measures something that is in no "
            "detector; only circuits like those of cultivation are supported"
        )
    return -1 if results.pop() else 1


class Paths:
    """What becomes of frames, for one circuit. Frames are ints, with one bit for each T gate, set where there is an X;
    what they flip by themselves is an int too, with detectors first and then observables.

    Attributes:
        num_stages: Post-selected stages.
        masks: The detectors of the stages 1 to s, for every s from 0.
        touching: The T gates at which Z flips any of these.
        reached: Those of these that Z at any T gate flips.
    """

    def __init__(self, circuit: stim.Circuit, faults: TrueTFaults) -> None:
        """Prepares it; raises `CircuitError` where it is not possible."""
        self.num_stages = int(faults.stages.max(initial=0))
        self._rows = _rows(faults)
        self._signs = [position.sign for position in faults.positions]
        self._products = silent_products(circuit, faults)
        self.masks = [
            sum(1 << d for d, stage in enumerate(faults.stages.tolist()) if 0 < stage <= s)
            for s in range(self.num_stages + 1)
        ]
        self.touching = [sum(1 << i for i, row in enumerate(self._rows) if row & mask) for mask in self.masks]
        self.reached = [mask & functools.reduce(operator.or_, self._rows) for mask in self.masks]

    def likelihood(self, flipped: int, frame: int, stage: int) -> float:
        """How likely it is that no detector of the stages up to this one has an event.

        Z that flips nothing there comes later or commutes, so that T gates beyond `touching[stage]` do not matter.
        """
        mask = self.masks[stage]
        active = _members(frame & self.touching[stage])
        rows = [self._rows[i] for i in active]
        start, free = null_space([row & mask for row in rows], flipped & mask)
        if start is None:
            return 0.0
        certain = self._certain(active, _silent(rows, free), free)
        if any(parity(product & start) != flip for product, flip in certain):
            return 0.0
        return float(2.0 ** (len(free) + len(certain) - len(active)))

    def flips(self, flipped: int, frame: int) -> Flips:
        """What may be flipped in what is kept. That anything is kept must be possible."""
        mask, active = self.masks[-1], _members(frame)
        rows = [self._rows[i] for i in active]
        start, free = null_space([row & mask for row in rows], flipped & mask)
        assert start is not None, "what is not possible is not kept"
        silent = _silent(rows, free)
        certain = self._certain(active, silent, silent)
        # Of free paths, those that agree with what is certain.
        checks = [sum(parity(product & each) << k for k, (product, _) in enumerate(certain)) for each in free]
        wanted = sum((parity(product & start) ^ flip) << k for k, (product, flip) in enumerate(certain))
        shift, allowed = null_space(checks, wanted)
        assert shift is not None, "what is not possible is not kept"
        patterns = [combined(rows, combined(free, each)) for each in allowed]
        dependent = {each.bit_length() - 1 for each in null_space(patterns)[1]}
        choices = tuple(pattern for index, pattern in enumerate(patterns) if index not in dependent)
        return Flips((flipped ^ combined(rows, start ^ combined(free, shift))) & ~mask, choices)

    def _certain(self, active: Sequence[int], silent: Sequence[int], free: Sequence[int]) -> list[tuple[int, int]]:
        """Returns products of Z at active gates whose factors turn some flips of measurements into certainty.

        With factors E at the active gates, a sum of measurements that anticommutes with Z at the gates S becomes
        E† M E = M times (-iZ) or (iZ) at each of S. It is certain if that product of Z does nothing, and all such sums
        are those with S even on every free path.

        Returns:
            (S, flip): paths that happen have Z at a number of gates of S that is odd if flip is 1, even if 0.
        """
        overlaps = [sum(parity(product & each) << k for k, each in enumerate(free)) for product in silent]
        found = []
        for members in null_space(overlaps)[1]:
            product = combined(silent, members)
            turns = sum(-self._signs[i] for k, i in enumerate(active) if product >> k & 1)
            flip = (turns // 2 + (self._sign_of(active, product) < 0)) & 1
            assert turns % 2 == 0, "what is certain is real"
            found.append((product, flip))
        return found

    def _sign_of(self, active: Sequence[int], product: int) -> int:
        """The sign of a product that does nothing, given in terms of active gates."""
        rest = sum(1 << i for k, i in enumerate(active) if product >> k & 1)
        sign = 1
        for pivot, (each, its) in self._products.items():
            if rest >> pivot & 1:
                rest ^= each
                sign *= its
        assert rest == 0, "a silent product is a product of the basis"
        return sign


def _members(frame: int) -> list[int]:
    return [i for i in range(frame.bit_length()) if frame >> i & 1]


def _silent(rows: Sequence[int], free: Sequence[int]) -> list[int]:
    """A basis of the free paths that flip nothing at all."""
    return [combined(free, each) for each in null_space([combined(rows, each) for each in free])[1]]
