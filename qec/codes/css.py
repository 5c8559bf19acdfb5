"""CSS codes: two sets of checks that commute, the signs of their stabilizers, and their logical operators."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError
from quell.qec.codes.frozen import ReadOnly
from quell.qec.codes.gf2 import as_bits, inverse, kernel, multiply, rank, row_reduce

__all__ = ["CSSCode"]

Bits = NDArray[np.uint8]
Signs = NDArray[np.int8]
Ones = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows and columns


@dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)
class CSSCode(ReadOnly):
    """A CSS code, from its check matrices. It cannot be changed after it was made; `dataclasses.replace` makes another.

    Two codes are equal only if they are the same object.

    Attributes:
        x_checks: uint8 (RX, n): supports of the stabilizers made of X; rows may depend on each other.
        z_checks: uint8 (RZ, n): supports of those made of Z.
        x_signs: int8 (RX,): +1 or -1, the eigenvalue that code states have.
        z_signs: int8 (RZ,): likewise.
        logical_x: uint8 (k, n): supports of the logical X of each logical qubit.
        logical_z: uint8 (k, n): supports of the logical Z; row i anticommutes with row i of `logical_x` only.
        coordinates: float64 (n, 2): where each qubit lies, or None.
        symmetries: intp (G, n): permutations that map X checks to X checks and Z checks to Z checks, `symmetries[g, q]`
            being the image of qubit q; or None. What they generate keeps the code as well.
        name: What the code is called, or "".
        k: The number of logical qubits, 0 or more.

    Args:
        x_checks: A matrix of 0 and 1, or anything numpy makes one of, or a sparse matrix of scipy. `[]` is no checks.
        z_checks: With as many columns.
        x_signs: +1 for all if None.
        z_signs: +1 for all if None.
        logical_x: Found if None.
        logical_z: Found if None.
        coordinates: One (x, y) for each qubit.
        symmetries: As above, one permutation a row. They need not be all that the code has.
        name: Of the code.

    Raises:
        InputError: A matrix is ragged, empty or not of 0 and 1; two checks do not commute; signs contradict each other;
            logicals are too few, do not commute with a check, or do not pair up; or a symmetry maps a check to none.

    Examples:
        >>> from quell.qec.codes import CSSCode
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> code = CSSCode(steane, steane)
        >>> code.parameters, code.x_weights.tolist(), code.z_degrees.tolist()
        ((7, 1), [4, 4, 4], [1, 1, 2, 1, 2, 2, 3])
        >>> CSSCode([[1, 1, 0]], [[0, 1, 1]])
        Traceback (most recent call last):
        quell.errors.InputError: X check 0 and Z check 0 do not commute: they share 1 qubit, 1
    """

    x_checks: Bits
    z_checks: Bits
    x_signs: Signs
    z_signs: Signs
    logical_x: Bits
    logical_z: Bits
    coordinates: NDArray[np.float64] | None
    symmetries: NDArray[np.intp] | None
    name: str
    k: int = dataclasses.field(init=False)

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
        symmetries: ArrayLike | None = None,
        name: str = "",
    ) -> None:
        x = as_bits("x_checks", x_checks, _columns_of(z_checks))
        if x.shape[1] == 0:
            raise InputError("x_checks and z_checks are empty: a code needs at least one qubit")
        z = as_bits("z_checks", z_checks, x.shape[1])
        _check_commute("X check", x, "Z check", z)
        signs = {"x_signs": _signs("x_signs", x_signs, x), "z_signs": _signs("z_signs", z_signs, z)}
        k = x.shape[1] - rank(x) - rank(z)
        values: dict[str, Any] = {"x_checks": x, "z_checks": z, **signs, "name": name, "k": k}
        values["coordinates"] = _places(coordinates, x.shape[1])
        values["symmetries"] = _permutations(symmetries, x, z)
        if logical_x is not None or logical_z is not None:
            values["logical_x"], values["logical_z"] = _logicals(x, z, k, logical_x, logical_z)
        self._hold(values)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Finds logicals where they are first asked for: at 10,000 qubits that takes longer than all else."""
            if name not in ("logical_x", "logical_z") or "x_checks" not in vars(self):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            x, z = _logicals(self.x_checks, self.z_checks, self.k, None, None)
            self._hold({"logical_x": x, "logical_z": z})
            return vars(self)[name]

    @property
    def n(self) -> int:
        """The number of physical qubits."""
        return int(self.x_checks.shape[1])

    @property
    def parameters(self) -> tuple[int, int]:
        """(n, k); the distance is `quell.qec.codes.distance`'s to find."""
        return self.n, self.k

    @property
    def x_weights(self) -> NDArray[np.int64]:
        """How many qubits each X check acts on, int64 (RX,)."""
        return np.asarray(self.x_checks.sum(axis=1, dtype=np.int64))

    @property
    def z_weights(self) -> NDArray[np.int64]:
        """How many qubits each Z check acts on, int64 (RZ,)."""
        return np.asarray(self.z_checks.sum(axis=1, dtype=np.int64))

    @property
    def x_degrees(self) -> NDArray[np.int64]:
        """How many X checks act on each qubit, int64 (n,)."""
        return np.asarray(self.x_checks.sum(axis=0, dtype=np.int64))

    @property
    def z_degrees(self) -> NDArray[np.int64]:
        """How many Z checks act on each qubit, int64 (n,)."""
        return np.asarray(self.z_checks.sum(axis=0, dtype=np.int64))

    @property
    def max_weight(self) -> int:
        """How many qubits a check acts on at most."""
        return max(int(weights.max(initial=0)) for weights in (self.x_weights, self.z_weights))

    @property
    def max_degree(self) -> int:
        """How many checks of one type act on a qubit at most."""
        return max(int(degrees.max(initial=0)) for degrees in (self.x_degrees, self.z_degrees))

    def __repr__(self) -> str:
        """The name, and [[n, k]]."""
        name = f"{self.name}: " if self.name else ""
        return f"<{name}[[{self.n}, {self.k}]] CSS code, {len(self.x_checks)} X and {len(self.z_checks)} Z checks>"


def _logicals(
    x_checks: Bits, z_checks: Bits, k: int, logical_x: ArrayLike | None, logical_z: ArrayLike | None
) -> tuple[Bits, Bits]:
    n = x_checks.shape[1]
    x = _free(z_checks, x_checks) if logical_x is None else as_bits("logical_x", logical_x, n)
    z = _free(x_checks, z_checks) if logical_z is None else as_bits("logical_z", logical_z, n)
    for kind, other, found, given, checks in (
        ("X", "Z", x, logical_x, z_checks),
        ("Z", "X", z, logical_z, x_checks),
    ):
        if given is None:
            continue  # right by construction
        if len(found) != k:
            raise InputError(f"logical_{kind.lower()} must have k = {k} rows, got {len(found)}")
        _check_commute(f"logical {kind}", found, f"{other} check", checks)
    pairing = multiply(x, z.T)
    wrong = np.argwhere(pairing != np.eye(k, dtype=np.uint8))
    # Of independent ones, each sum anticommutes with something; so where all pair up, all are independent.
    if len(wrong) and rank(pairing) < k:
        for kind, found, own in (("X", x, x_checks), ("Z", z, z_checks)):
            if rank(np.concatenate([own, found])) != rank(own) + k:
                raise InputError(f"logical_{kind.lower()} must be independent of each other and of the {kind} checks")
    if len(wrong):
        if logical_x is not None and logical_z is not None:
            first, second = wrong[0]
            verb = "anticommute" if first == second else "commute"
            raise InputError(f"logical X {first} and logical Z {second} must {verb}")
        # Whatever was not given is combined so that the pairs come out right.
        if logical_z is None:
            z = multiply(inverse(pairing).T, z)
        else:
            x = multiply(inverse(pairing), x)
    return x, z


def _places(coordinates: ArrayLike | None, n: int) -> NDArray[np.float64] | None:
    if coordinates is None:
        return None
    try:
        places = np.array(coordinates, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"coordinates must hold one (x, y) for each of {n} qubits, got {coordinates!r:.80}") from None
    if places.shape != (n, 2):
        raise InputError(f"coordinates must have the shape ({n}, 2), got {places.shape}")
    return places


def _permutations(symmetries: ArrayLike | None, x_checks: Bits, z_checks: Bits) -> NDArray[np.intp] | None:
    if symmetries is None:
        return None
    n = x_checks.shape[1]
    try:
        given = np.asarray(symmetries)
    except ValueError:
        given = np.zeros(())  # ragged
    if given.shape == (0,):
        given = np.zeros((0, n), dtype=np.intp)
    if given.ndim != 2 or given.shape[1] != n or given.dtype.kind not in "iu":
        raise InputError(f"symmetries must hold permutations of {n} qubits, one a row, got {symmetries!r:.80}")
    images = given.astype(np.intp)
    ones = {"X": _ones(x_checks), "Z": _ones(z_checks)}
    for number, image in enumerate(images):
        if not np.array_equal(np.sort(image), np.arange(n)):
            raise InputError(f"symmetry {number} is no permutation: it does not hold each of 0 to {n - 1} once")
        for kind in "XZ":
            _check_image(f"symmetry {number}", image, kind, ones[kind])
    return images


def _ones(bits: Bits) -> Ones:
    rows, columns = np.nonzero(bits.view(np.bool_))  # several times as fast as of bytes
    return rows, columns


def _check_image(name: str, image: NDArray[np.intp], kind: str, ones: Ones) -> None:
    """Checks that the rows with these ones are mapped to each other, as a multiset. Rows of zeros always are."""
    rows, columns = ones
    if len(rows) == 0:
        return
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    moved = image[columns]
    moved = moved[np.lexsort((moved, rows))]
    left = Counter(support.tobytes() for support in np.split(columns, starts[1:]))
    for row, support in zip(rows[starts], np.split(moved, starts[1:]), strict=True):
        key = support.tobytes()
        if not left[key]:
            raise InputError(
                f"{name} maps {kind} check {row} to what is no {kind} check, or to one that another is mapped to"
            )
        left[key] -= 1


def _columns_of(matrix: ArrayLike) -> int | None:
    """How many columns a matrix has; None for no rows without a width, whose width the other matrix gives."""
    if getattr(matrix, "shape", None) == (0,) or (isinstance(matrix, Sequence) and len(matrix) == 0):
        return None
    return as_bits("z_checks", matrix).shape[1] or None


def _check_commute(first_name: str, first: Bits, second_name: str, second: Bits) -> None:
    odd = _odd_overlaps(first, second)
    if len(odd):
        i, j = odd[0]
        qubits = np.flatnonzero(first[i] & second[j])
        which = ", ".join(map(str, qubits[:9])) + (", …" if len(qubits) > 9 else "")
        raise InputError(
            f"{first_name} {i} and {second_name} {j} do not commute: they share {len(qubits)} "
            f"qubit{'s' if len(qubits) > 1 else ''}, {which}"
        )


def _odd_overlaps(first: Bits, second: Bits) -> NDArray[np.intp]:
    """Pairs of rows that share an odd number of ones, sorted, (pairs, 2)."""
    shared = int(first.sum(axis=0, dtype=np.int64) @ second.sum(axis=0, dtype=np.int64))
    if shared * 64 > len(first) * len(second) * first.shape[1]:
        return np.argwhere(multiply(first, second.T))
    from scipy.sparse import csr_array

    def sparse(bits: Bits) -> Any:
        rows, columns = _ones(bits)
        return csr_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=bits.shape)

    overlaps = (sparse(first) @ sparse(second).T).tocoo()
    odd = overlaps.data % 2 == 1
    pairs = np.stack([overlaps.row[odd], overlaps.col[odd]], axis=1).astype(np.intp)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _signs(name: str, signs: ArrayLike | None, checks: Bits) -> Signs:
    if signs is None:
        return np.ones(len(checks), dtype=np.int8)
    try:
        found = np.asarray(signs)
    except ValueError:
        found = np.zeros(0)  # ragged
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
    """What commutes with the checks of the other type and is no product of its own, k rows."""
    n = checks.shape[1]
    reduced, pivots = row_reduce(checks)
    free = np.setdiff1d(np.arange(n), pivots)
    # What commutes is known by its bits at the free columns, and a unit vector there stands for each row of the kernel.
    # Taken from the left, those columns that are no pivots from the right make the rows that own ones do not make.
    _, taken = row_reduce(own[:, free[::-1]])
    kept = free[np.setdiff1d(np.arange(len(free)), len(free) - 1 - np.asarray(taken, dtype=np.intp))]
    found = np.zeros((len(kept), n), dtype=np.uint8)
    found[np.arange(len(kept)), kept] = 1
    found[:, pivots] = reduced[:, kept].T
    return found
