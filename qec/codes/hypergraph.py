"""Hypergraph products: a quantum code from any two classical ones, as light as they are (Tillich and Zémor,
arXiv:0903.0566)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.qec.codes.css import CSSCode
from quell.qec.codes.families import check_size
from quell.qec.codes.linear import LinearCode

__all__ = ["hypergraph_product"]


def hypergraph_product(
    first: LinearCode | ArrayLike, second: LinearCode | ArrayLike | None = None, *, name: str = ""
) -> CSSCode:
    """Returns the hypergraph product: H_X = [H1 ⊗ 1 | 1 ⊗ H2ᵀ] and H_Z = [1 ⊗ H2 | H1ᵀ ⊗ 1].

    With n bits and r checks of each, qubit i n2 + j belongs to bits i and j and lies at (2i, 2j), qubit n1 n2 + a r2 +
    b to checks a and b and lies at (2a + 1, 2b + 1). X check a n2 + j has the weight of row a plus that of column j, Z
    check i r2 + b that of column i plus that of row b.

    k = k1 k2 + k1ᵀ k2ᵀ, where ᵀ means the code of the transposed checks. The distance is the smaller of d1 and d2 if
    k1ᵀ k2ᵀ is 0, that of d1ᵀ and d2ᵀ if k1 k2 is 0, and the smallest of the four otherwise.

    Args:
        first: A classical code, or a check matrix.
        second: Likewise; None for the first once more.
        name: Of the code.

    Raises:
        InputError: A matrix is no matrix of 0 and 1.
        TooLargeError: There would be more than 20,000 qubits.

    Examples:
        >>> from quell.qec.codes import hamming_code, hypergraph_product, repetition_code
        >>> hypergraph_product(repetition_code(3)).parameters  # the unrotated surface code
        (13, 1)
        >>> hypergraph_product(hamming_code(3)).parameters
        (58, 16)
    """
    one = first if isinstance(first, LinearCode) else LinearCode(first)
    two = one if second is None else second if isinstance(second, LinearCode) else LinearCode(second)
    h1, h2 = one.checks, two.checks
    (r1, n1), (r2, n2) = h1.shape, h2.shape
    check_size("the product", n1 * n2 + r1 * r2)
    x_checks = np.concatenate([_kron(h1, _unit(n2)), _kron(_unit(r1), h2.T)], axis=1)
    z_checks = np.concatenate([_kron(_unit(n1), h2), _kron(h1.T, _unit(r2))], axis=1)
    coordinates = np.concatenate([2 * _grid(n1, n2), 2 * _grid(r1, r2) + 1])
    if not name and one.name and two.name:
        name = f"hypergraph product of {one.name} and {two.name}"
    return CSSCode(x_checks, z_checks, coordinates=coordinates, name=name)


def _unit(size: int) -> NDArray[np.uint8]:
    return np.eye(size, dtype=np.uint8)


def _kron(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # numpy's own refuses matrices without rows
    product = first[:, None, :, None] * second[None, :, None, :]
    return product.reshape(len(first) * len(second), first.shape[1] * second.shape[1])


def _grid(rows: int, columns: int) -> NDArray[np.intp]:
    return np.indices((rows, columns)).reshape(2, -1).T
