"""Families of CSS codes that translations keep: bivariate bicycle codes and their relatives on one cycle.

Bivariate bicycle codes: H_X = [A | B] and H_Z = [Bᵀ | Aᵀ] for polynomials A and B in x and y with x^l = y^m = 1 (Bravyi
et al., arXiv:2308.07915). On one cycle these are the generalised bicycle codes (Kovalev and Pryadko, arXiv:1212.6703).
"""

import numpy as np
from numpy.typing import NDArray

from quell.errors import TooLargeError, check_integer
from quell.qec.codes.css import CSSCode
from quell.qec.codes.polynomials import parse_polynomial

__all__ = ["bivariate_bicycle", "check_size", "generalized_bicycle"]

_LARGEST = 20_000


def check_size(what: str, qubits: int) -> None:
    """Raises `TooLargeError` for more qubits than fit: a matrix of n checks and n qubits takes n² bytes.

    Examples:
        >>> from quell.qec.codes.families import check_size
        >>> check_size("the code", 90_000)
        Traceback (most recent call last):
        quell.errors.TooLargeError: the code would have 90000 qubits, the limit is 20000: its matrices would take 8.1 GB
    """
    if qubits > _LARGEST:
        raise TooLargeError(
            f"{what} would have {qubits} qubits, the limit is {_LARGEST}: "
            f"its matrices would take {qubits**2 / 1e9:.1f} GB"
        )


def bivariate_bicycle(l: int, m: int, a: str, b: str, *, name: str = "") -> CSSCode:
    """Returns the bivariate bicycle code of 2lm qubits, whose X checks are the rows of [A | B].

    Qubit i m + j of the first block and of the second belongs to x^i y^j; X check g acts on the qubits g A of the
    first block and g B of the second, Z check g on g B⁻¹ of the first and g A⁻¹ of the second. The first block lies at
    (2i, 2j), the second at (2i + 1, 2j + 1). `symmetries` are the translations by x and y.

    Args:
        l: The order of x, at least 1.
        m: The order of y, at least 1.
        a: A as text, for example `"x^3 + y + y^2"`. Exponents may be negative.
        b: B likewise.
        name: Of the code.

    Raises:
        InputError: l or m is below 1; or a polynomial is empty, has another variable, or has two terms that are equal
            where x^l = y^m = 1, and so cancel.
        TooLargeError: There would be more than 20,000 qubits.

    Examples:
        >>> from quell.qec.codes import bivariate_bicycle, distance
        >>> code = bivariate_bicycle(6, 6, "x^3 + y + y^2", "y^3 + x + x^2")
        >>> code.parameters, int(code.x_weights.max()), code.symmetries.shape
        ((72, 12), 6, (2, 72))
    """
    l, m = check_integer("l", l, minimum=1), check_integer("m", m, minimum=1)
    orders = {"x": l, "y": m}
    first, second = parse_polynomial("a", a, orders), parse_polynomial("b", b, orders)
    return _two_block((l, m), first, second, name)


def generalized_bicycle(size: int, a: str, b: str, *, name: str = "") -> CSSCode:
    """Returns the generalised bicycle code of 2 size qubits: H_X = [A | B], H_Z = [Bᵀ | Aᵀ] with circulants A and B.

    Args:
        size: The order of x, at least 1.
        a: A as text, for example `"1 + x^15 + x^20"`.
        b: B likewise.
        name: Of the code.

    Returns:
        A code with the translation as `symmetries`; the first block lies at (2i, 0), the second at (2i + 1, 1).

    Raises:
        InputError: size is below 1, or a polynomial is empty, has another variable, or has two equal terms.
        TooLargeError: There would be more than 20,000 qubits.

    Examples:
        >>> from quell.qec.codes import generalized_bicycle
        >>> generalized_bicycle(127, "1 + x^15 + x^20 + x^28 + x^66", "1 + x^58 + x^59 + x^100 + x^121").parameters
        (254, 28)
    """
    size = check_integer("size", size, minimum=1)
    first, second = parse_polynomial("a", a, {"x": size}), parse_polynomial("b", b, {"x": size})
    return _two_block((size, 1), [(i, 0) for (i,) in first], [(i, 0) for (i,) in second], name)


def _two_block(
    orders: tuple[int, int], first: list[tuple[int, ...]], second: list[tuple[int, ...]], name: str
) -> CSSCode:
    l, m = orders
    size = l * m
    check_size("the code", 2 * size)
    element = np.arange(size).reshape(l, m)
    every = element.ravel()
    x_checks = np.zeros((size, 2 * size), dtype=np.uint8)
    z_checks = np.zeros_like(x_checks)

    def times(i: int, j: int) -> NDArray[np.intp]:
        return np.roll(element, (-i, -j), axis=(0, 1)).ravel()

    for i, j in first:
        x_checks[every, times(i, j)] = 1
        z_checks[every, size + times(-i, -j)] = 1
    for i, j in second:
        x_checks[every, size + times(i, j)] = 1
        z_checks[every, times(-i, -j)] = 1
    steps = [times(*step) for step, order in (((1, 0), l), ((0, 1), m)) if order > 1]
    places = 2 * np.stack(np.divmod(every, m), axis=1)
    return CSSCode(
        x_checks,
        z_checks,
        symmetries=np.array([np.concatenate([step, size + step]) for step in steps]) if steps else None,
        coordinates=np.concatenate([places, places + 1]),
        name=name,
    )
