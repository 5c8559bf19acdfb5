"""Finite groups by their multiplication tables, and the short texts that name them.

Every group of small order but a few is a chain of cyclic extensions (a group is soluble if and only if it has one), so
one constructor, `Group.extension`, makes them all: the elements of N, and t that acts on N, with t^p in N.
Cyclic, abelian, dihedral, dicyclic and semidirect groups have constructors, and names, of their own.
"""

import dataclasses
import re
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError, TooLargeError, check_integer

__all__ = ["Group"]

Table = NDArray[np.intp]

_LARGEST = 4096


@dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)
class Group:
    """A finite group. Elements are the integers from 0, the identity.

    Two groups are equal only if they are the same object.

    Attributes:
        table: intp (g, g), read only: the product of x and y is `table[x, y]`.
        inverses: intp (g,): of each element.
        spec: A text from which `Group.parse` makes the group again, or "" where none is known.
        generators: Elements that generate the group, found greedily.

    Args:
        table: A Latin square of 0 … g−1 in which 0 is the identity, and which is associative.
        spec: As above.

    Raises:
        InputError: `table` is not the table of a group.

    Examples:
        >>> from quell.qec.codes.groups import Group
        >>> group = Group.parse("Z7:Z3(2)")
        >>> group.order, group.is_abelian, group.generators
        (21, False, (1, 3))
        >>> Group([[0, 1], [1, 1]])
        Traceback (most recent call last):
        quell.errors.InputError: table is no group: row 1 does not hold each element once
    """

    table: Table
    inverses: Table
    spec: str
    generators: tuple[int, ...]

    def __init__(self, table: ArrayLike, *, spec: str = "") -> None:
        products = np.array(table, dtype=np.intp)
        order = len(products)
        if products.shape != (order, order) or not 1 <= order <= _LARGEST:
            raise InputError(f"table must be square with 1 to {_LARGEST} rows, got the shape {products.shape}")
        every = np.arange(order)
        for kind, lines in (("row", products), ("column", products.T)):
            wrong = np.flatnonzero((np.sort(lines, axis=1) != every).any(axis=1))
            if len(wrong):
                raise InputError(f"table is no group: {kind} {wrong[0]} does not hold each element once")
        if (products[0] != every).any() or (products[:, 0] != every).any():
            raise InputError("table is no group in the form wanted here: element 0 must be the identity")
        generators = _generators(products)
        for x in generators:
            # Light's test: it is enough that generators associate in the middle.
            if (products[products[:, x]] != products[:, products[x]]).any():
                raise InputError(f"table is no group: (y {x}) z and y ({x} z) differ for some y and z")
        inverses = np.argmin(products, axis=1)
        for name, value in {"table": products, "inverses": inverses, "spec": spec, "generators": generators}.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    @classmethod
    def cyclic(cls, n: int) -> "Group":
        """Z_n: element i is the i-th power of a generator."""
        n = _check_order(check_integer("n", n, minimum=1))
        every = np.arange(n)
        return cls((every[:, None] + every) % n, spec=f"Z{n}")

    @classmethod
    def abelian(cls, *factors: int) -> "Group":
        """Z_l × Z_m × …: element (i, j, …) is i m … + j … + …, the last counting fastest.

        Examples:
            >>> from quell.qec.codes.groups import Group
            >>> group = Group.abelian(12, 6)
            >>> group.spec, group.table[6, 1], group.table[66, 6]
            ('Z12xZ6', np.int64(7), np.int64(0))
        """
        if not factors:
            raise InputError("abelian needs the order of at least one cyclic factor, got none")
        return reduce(cls.product, [cls.cyclic(n) for n in factors])

    @classmethod
    def product(cls, first: "Group", second: "Group") -> "Group":
        """The direct product: element (x, y) is x times the order of the second, plus y."""
        _check_order(first.order * second.order)
        table = first.table[:, None, :, None] * second.order + second.table[None, :, None, :]
        spec = f"{first.spec}x{second.spec}" if first.spec and second.spec else ""
        return cls(table.reshape(first.order * second.order, -1), spec=spec)

    @classmethod
    def semidirect(cls, n: int, m: int, r: int) -> "Group":
        """Z_n ⋊ Z_m: (i, j), element i m + j, is x^i y^j with y x y⁻¹ = x^r.

        Raises:
            InputError: r^m is not 1 modulo n.
        """
        n, m = check_integer("n", n, minimum=1), check_integer("m", m, minimum=1)
        if pow(r, m, n) != 1 % n:
            raise InputError(f"r^m must be 1 modulo n, got {r}^{m} = {pow(r, m, n)} modulo {n}")
        i, j = np.divmod(np.arange(_check_order(n * m)), m)
        powers = np.array([pow(r, e, n) for e in range(m)])
        table = (i[:, None] + powers[j][:, None] * i) % n * m + (j[:, None] + j) % m
        return cls(table, spec=f"Z{n}:Z{m}({r % n})")

    @classmethod
    def dihedral(cls, n: int) -> "Group":
        """The 2n symmetries of a regular n-gon: element 2 i + j is the i-th turn after j reflections."""
        n = check_integer("n", n, minimum=1)
        return cls(cls.semidirect(n, 2, n - 1 if n > 1 else 1).table, spec=f"D{n}")

    @classmethod
    def dicyclic(cls, n: int) -> "Group":
        """The group of 4n elements x^i y^j with x^2n = 1, y² = x^n and y x y⁻¹ = x⁻¹; for n = 2 the quaternions."""
        n = check_integer("n", n, minimum=1)
        group = cls.extension(cls.cyclic(2 * n), 2, [2 * n - 1], n)
        return cls(group.table, spec=f"Dic{n}")

    @classmethod
    def extension(cls, base: "Group", p: int, images: Sequence[int], power: int) -> "Group":
        """The group of the t^e n, element e |N| + n: n in the base N, 0 ≤ e < p, t^p = `power`, t⁻¹ n t = σ(n).

        Args:
            base: N.
            p: The order of the quotient.
            images: What σ, an automorphism of N, makes of each of N's `generators`.
            power: An element that σ leaves where it is, and which acts by conjugation, n → power⁻¹ n power, as σ^p.

        Raises:
            InputError: These are not the data of an extension.

        Examples:
            >>> from quell.qec.codes.groups import Group
            >>> symmetric = Group.extension(Group.cyclic(3), 2, [2], 0)
            >>> symmetric.spec, symmetric.order, symmetric.is_abelian
            ('Z3[2:0,2]', 6, False)
        """
        p, power = check_integer("p", p, minimum=1), check_integer("power", power, minimum=0)
        size = base.order
        _check_order(p * size)
        sigma = _homomorphism(base, images)
        if sigma is None or len(np.unique(sigma)) < size:
            raise InputError(f"images of {base.generators} must make an automorphism of {base}, got {list(images)}")
        powers = [np.arange(size)]
        for _ in range(p):
            powers.append(sigma[powers[-1]])
        fits = power < size and sigma[power] == power
        if not fits or (powers[p] != base.table[base.table[base.inverses[power]], power]).any():
            raise InputError(f"power {power} must be left in place by the automorphism and act as its {p}-th power")
        table = np.empty((p, size, p, size), dtype=np.intp)
        for e in range(p):
            for f in range(p):
                # t^e n t^f m = t^(e+f) σ^f(n) m, and t^p = power stands to the left of what follows
                left = powers[f] if e + f < p else base.table[power][powers[f]]
                table[e, :, f, :] = (e + f) % p * size + base.table[left]
        within = f"({base.spec})" if "x" in base.spec else base.spec
        spec = f"{within}[{p}:{','.join(map(str, (power, *images)))}]" if within else ""
        return cls(table.reshape(p * size, -1), spec=spec)

    @classmethod
    def permutations(cls, *generators: Sequence[Sequence[int]]) -> "Group":
        """The group that permutations generate, each a list of cycles; spec "<(0 1 2)(3 4),(0 1)>".

        Examples:
            >>> from quell.qec.codes.groups import Group
            >>> Group.permutations([(0, 1, 2, 3, 4)], [(0, 1, 2)]).order
            60
        """
        points = 1 + max((point for cycles in generators for cycle in cycles for point in cycle), default=0)
        moves = [_permutation(points, cycles) for cycles in generators]
        places = {tuple(range(points)): 0}
        elements = list(places)
        for element in elements:  # grows while it is gone through
            for move in moves:
                found = tuple(move[point] for point in element)
                if found not in places:
                    if len(elements) == _LARGEST:
                        raise InputError(f"the permutations generate more than {_LARGEST} elements, the limit")
                    places[found] = len(elements)
                    elements.append(found)
        table = [[places[tuple(y[point] for point in x)] for y in elements] for x in elements]
        texts = ("".join(f"({' '.join(map(str, cycle))})" for cycle in cycles) for cycles in generators)
        return cls(table, spec=f"<{','.join(texts)}>")

    @classmethod
    def parse(cls, spec: str) -> "Group":
        """Makes a group from its text.

        Args:
            spec: Factors joined by x: Z12; D5, of 10 elements; Dic3, of 12; Q8; Z7:Z3(2), semidirect with y x y⁻¹ = x²;
                <(0 1 2),(0 1)>, permutations; any of these, or a product in brackets, extended: (Z3xZ3)[2:0,3,1], as
                for `extension`: p, the power, and the images of the generators.

        Raises:
            InputError: A factor is none of these.

        Examples:
            >>> from quell.qec.codes.groups import Group
            >>> [Group.parse(spec).order for spec in ("Z12xZ6", "Q8xZ3", "<(0 1 2 3),(0 1)>", "(Z3xZ3)[2:0,3,1]")]
            [72, 24, 24, 18]
            >>> Group.parse("C3")
            Traceback (most recent call last):
            quell.errors.InputError: no group is called 'C3': write Z12, D5, Dic3, Q8, Z7:Z3(2), <(0 1 2),(0 1)>, ...
        """
        return reduce(cls.product, [cls._parse_factor(factor) for factor in _split(spec.replace("×", "x"))])

    @classmethod
    def _parse_factor(cls, text: str) -> "Group":
        if found := re.fullmatch(r"(.+)\[(\d+):(\d+(?:,\d+)*)\]", text):
            power, *images = map(int, found[3].split(","))
            return cls.extension(cls._parse_factor(found[1]), int(found[2]), images, power)
        if found := re.fullmatch(r"\((.+)\)", text):
            return cls.parse(found[1])
        if found := re.fullmatch(r"(Z|D|Dic)(\d+)", text):
            return {"Z": cls.cyclic, "D": cls.dihedral, "Dic": cls.dicyclic}[found[1]](int(found[2]))
        if text == "Q8":
            return cls(cls.dicyclic(2).table, spec="Q8")
        if found := re.fullmatch(r"Z(\d+):Z(\d+)\((\d+)\)", text):
            return cls.semidirect(int(found[1]), int(found[2]), int(found[3]))
        if re.fullmatch(r"<(\(\d+( \d+)*\))+(,(\(\d+( \d+)*\))+)*>", text):
            generators = text[2:-2].split("),(")
            return cls.permutations(*([[int(i) for i in c.split()] for c in g.split(")(")] for g in generators))
        raise InputError(
            f"no group is called {text!r}: write Z12, D5, Dic3, Q8, Z7:Z3(2), <(0 1 2),(0 1)>, (Z3xZ3)[2:0,3,1], "
            "or several joined by x"
        )

    @property
    def order(self) -> int:
        """How many elements there are."""
        return len(self.table)

    @property
    def is_abelian(self) -> bool:
        """Whether all elements commute."""
        return bool((self.table == self.table.T).all())

    @property
    def element_orders(self) -> Table:
        """The order of each element, intp (g,)."""
        orders = np.ones(self.order, dtype=np.intp)
        every = np.arange(self.order)
        power = every.copy()
        while (power != 0).any():
            orders += power != 0
            power = np.where(power != 0, self.table[power, every], 0)
        return orders

    def subgroup(self, elements: Sequence[int]) -> Table:
        """Returns the elements of the subgroup that these generate, ascending.

        Examples:
            >>> from quell.qec.codes.groups import Group
            >>> Group.cyclic(12).subgroup([8]).tolist()
            [0, 4, 8]
        """
        return np.flatnonzero(_closure(self.table, elements))

    def __repr__(self) -> str:
        """The text that names it, and its order."""
        return f"<group {self.spec or 'without a name'} of order {self.order}>"


def _check_order(order: int) -> int:
    """Refuses a group whose table would be too large, before it is made."""
    if order > _LARGEST:
        raise TooLargeError(f"a group must have <= {_LARGEST} elements, got {order}")
    return order


def _closure(table: Table, elements: Sequence[int]) -> NDArray[np.bool_]:
    inside = np.zeros(len(table), dtype=np.bool_)
    inside[0] = True
    new = np.zeros(1, dtype=np.intp)
    while len(new):
        reached = np.unique(table[new][:, list(elements)])
        new = reached[~inside[reached]]
        inside[new] = True
    return inside


def _generators(table: Table) -> tuple[int, ...]:
    """The first element, then the first outside what the chosen ones generate, and so on."""
    chosen: list[int] = []
    inside = _closure(table, chosen)
    while not inside.all() and len(chosen) < len(table).bit_length():
        chosen.append(int(np.argmin(inside)))
        inside = _closure(table, chosen)
    return tuple(chosen)


def _homomorphism(group: Group, images: Sequence[int]) -> Table | None:
    """The image of each element when the generators have these images; None if there is no such homomorphism."""
    if len(images) != len(group.generators) or not all(0 <= image < group.order for image in images):
        return None
    found = np.full(group.order, -1, dtype=np.intp)
    found[0] = 0
    reached = [0]
    for element in reached:  # grows while it is gone through
        for generator, image in zip(group.generators, images, strict=True):
            product = group.table[element, generator]
            if found[product] < 0:
                found[product] = group.table[found[element], image]
                reached.append(int(product))
    right = all(
        (found[group.table[:, generator]] == group.table[found, image]).all()
        for generator, image in zip(group.generators, images, strict=True)
    )
    return found if right else None


def _split(spec: str) -> list[str]:
    """The factors of a product, parted at each x outside brackets."""
    factors, depth = [""], 0
    for letter in spec.replace(", ", ",").strip():
        depth += (letter in "([<") - (letter in ")]>")
        if letter == "x" and depth == 0:
            factors.append("")
        else:
            factors[-1] += letter
    return [factor.strip() for factor in factors]


def _permutation(points: int, cycles: Sequence[Sequence[int]]) -> list[int]:
    moved = list(range(points))
    seen = [point for cycle in cycles for point in cycle]
    if len(set(seen)) < len(seen) or min(seen, default=0) < 0:
        raise InputError(f"cycles must be disjoint, of points from 0, got {cycles!r:.80}")
    for cycle in cycles:
        for point, image in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            moved[point] = image
    return moved
