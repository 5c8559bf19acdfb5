"""CSS codes: two sets of checks that commute, the signs of their stabilizers, and their logical operators."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError
from quell.qec.codes.gf2 import as_bits, inverse, kernel, rank, row_reduce

__all__ = ["CSSCode"]

Bits = NDArray[np.uint8]
Signs = NDArray[np.int8]


class CSSCode:
    """A CSS code, from its check matrices. It is not changed after it was made.

    Attributes:
        x_checks: uint8 (RX, n): supports of the stabilizers made of X; rows may depend on each other.
        z_checks: uint8 (RZ, n): supports of those made of Z.
        x_signs: int8 (RX,): +1 or -1, the eigenvalue that code states have.
        z_signs: int8 (RZ,): likewise.
        logical_x: uint8 (k, n): supports of the logical X of each logical qubit.
        logical_z: uint8 (k, n): supports of the logical Z; row i anticommutes with row i of `logical_x` only.
        coordinates: float64 (n, 2): where each qubit lies, or None.
        name: What the code is called, or "".

    Args:
        x_checks: A matrix of 0 and 1, or anything numpy makes one of.
        z_checks: With as many columns.
        x_signs: +1 for all if None.
        z_signs: +1 for all if None.
        logical_x: Found if None.
        logical_z: Found if None.
        coordinates: One (x, y) for each qubit.
        name: Of the code.

    Raises:
        InputError: A matrix is ragged, empty or not of 0 and 1; two checks do not commute; signs contradict each other;
            or logicals are too few, do not commute with a check, or do not pair up.

    Examples:
        >>> from quell.qec.codes import CSSCode
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> code = CSSCode(steane, steane)
        >>> code.n, code.k, code.x_checks.sum(axis=1).tolist()
        (7, 1, [4, 4, 4])
        >>> CSSCode([[1, 1, 0]], [[0, 1, 1]])
        Traceback (most recent call last):
        quell.errors.InputError: X check 0 and Z check 0 do not commute: they share 1 qubit, 1
    """

    def __init__(
        self,
        x_checks: ArrayLike,
        z_checks: ArrayLike,
        *,
        x_signs: ArrayLike | None = None,
        z_signs: ArrayLike | None = None,
        logical_x: ArrayLike | None = None,
        logical_z: ArrayLike | None = None,
        coordinates: ArrayLike | None = None,
        name: str = "",
    ) -> None:
        self.name = name
        self.x_checks = as_bits("x_checks", x_checks, _columns_of(z_checks))
        if self.x_checks.shape[1] == 0:
            raise InputError("x_checks and z_checks are empty: a code needs at least one qubit")
        self.z_checks = as_bits("z_checks", z_checks, self.n)
        _check_commute("X check", self.x_checks, "Z check", self.z_checks)
        self.x_signs = _signs("x_signs", x_signs, self.x_checks)
        self.z_signs = _signs("z_signs", z_signs, self.z_checks)
        self.k = self.n - rank(self.x_checks) - rank(self.z_checks)
        self.logical_x, self.logical_z = self._logicals(logical_x, logical_z)
        self.coordinates = None if coordinates is None else np.array(coordinates, dtype=np.float64)
        if self.coordinates is not None and self.coordinates.shape != (self.n, 2):
            raise InputError(f"coordinates must have the shape ({self.n}, 2), got {self.coordinates.shape}")
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    @property
    def n(self) -> int:
        """The number of physical qubits."""
        return int(self.x_checks.shape[1])

    def __repr__(self) -> str:
        """The name, and [[n, k]]."""
        name = f"{self.name}: " if self.name else ""
        return f"<{name}[[{self.n}, {self.k}]] CSS code, {len(self.x_checks)} X and {len(self.z_checks)} Z checks>"

    def _logicals(self, logical_x: ArrayLike | None, logical_z: ArrayLike | None) -> tuple[Bits, Bits]:
        x = _free(self.z_checks, self.x_checks) if logical_x is None else as_bits("logical_x", logical_x, self.n)
        z = _free(self.x_checks, self.z_checks) if logical_z is None else as_bits("logical_z", logical_z, self.n)
        for kind, found, checks, own in (
            ("X", x, self.z_checks, self.x_checks),
            ("Z", z, self.x_checks, self.z_checks),
        ):
            if len(found) != self.k:
                raise InputError(f"logical_{kind.lower()} must have k = {self.k} rows, got {len(found)}")
            _check_commute(f"logical {kind}", found, f"{'XZ'['ZX'.index(kind)]} check", checks)
            if rank(np.concatenate([own, found])) != rank(own) + self.k:
                raise InputError(f"logical_{kind.lower()} must be independent of each other and of the {kind} checks")
        pairing = (x.astype(np.int64) @ z.T % 2).astype(np.uint8)
        if not np.array_equal(pairing, np.eye(self.k, dtype=np.uint8)):
            if logical_x is not None and logical_z is not None:
                first, second = np.argwhere(pairing != np.eye(self.k, dtype=np.uint8))[0]
                verb = "anticommute" if first == second else "commute"
                raise InputError(f"logical X {first} and logical Z {second} must {verb}")
            # Whatever was not given is combined so that the pairs come out right.
            turned = inverse(pairing).astype(np.int64)
            if logical_z is None:
                z = (turned.T @ z % 2).astype(np.uint8)
            else:
                x = (turned @ x % 2).astype(np.uint8)
        return x, z


def _columns_of(matrix: ArrayLike) -> int | None:
    found: Any = matrix
    return len(found[0]) if len(found) and np.ndim(found[0]) == 1 else None


def _check_commute(first_name: str, first: Bits, second_name: str, second: Bits) -> None:
    shared = first.astype(np.int64) @ second.T
    odd = np.argwhere(shared % 2)
    if len(odd):
        i, j = odd[0]
        qubits = np.flatnonzero(first[i] & second[j])
        which = ", ".join(map(str, qubits[:9])) + (", …" if len(qubits) > 9 else "")
        raise InputError(
            f"{first_name} {i} and {second_name} {j} do not commute: they share {len(qubits)} "
            f"qubit{'s' if len(qubits) > 1 else ''}, {which}"
        )


def _signs(name: str, signs: ArrayLike | None, checks: Bits) -> Signs:
    if signs is None:
        return np.ones(len(checks), dtype=np.int8)
    found = np.asarray(signs)
    if found.shape != (len(checks),) or not np.isin(found, (-1, 1)).all():
        raise InputError(f"{name} must hold +1 or -1 for each of {len(checks)} checks, got {signs!r:.80}")
    # Checks that multiply to the identity must have signs that multiply to 1.
    minus = (found == -1).astype(np.int64)
    for relation in kernel(checks.T) if checks.size else []:
        if relation @ minus % 2:
            which = ", ".join(map(str, np.flatnonzero(relation)[:9]))
            raise InputError(f"{name} contradict each other: checks {which} multiply to 1 and their signs to -1")
    return found.astype(np.int8)


def _free(checks: Bits, own: Bits) -> Bits:
    """What commutes with the checks of the other type and is no product of its own."""
    stacked = np.concatenate([own, kernel(checks)])
    # The pivots of the transposed matrix are the rows that are no sum of rows before them.
    _, independent = row_reduce(stacked.T)
    return stacked[[row for row in independent if row >= len(own)]]
