"""Measured counts as arrays: each distinct string once, with the number of shots that gave it.

Every estimator works on a `CountTable`. Its rows are sorted by the bits themselves, so that no result can depend on
the order of a dictionary's keys or on Python's hash seed, and no estimator ever expands counts into shots.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError
from quell.mitigation.hamming import pack_words

__all__ = ["BitOrder", "CountTable"]

BitOrder = Literal["little", "big"]

# Beyond this a float64 no longer holds every whole number.
_MAX_SHOTS = 2.0**53


@dataclass(frozen=True, eq=False)
class CountTable:
    """Distinct bit strings and how many shots gave each.

    Attributes:
        bits: uint8 of shape (num_strings, num_bits). Column i is classical bit i, whatever the order of the characters
            in a key: with `bit_order="little"`, Qiskit's, bit 0 is the rightmost character.
        weights: float64 of shape (num_strings,), positive: the shots that gave each string.
        keys: The caller's key for each row.
        unseen_keys: Keys the caller gave with a count of zero. They come back with whatever was found for them.
        make_key: Turns one row of bits, uint8 of shape (num_bits,), into a key of the caller's format.
        bit_order: Whether bit 0 is a key's rightmost ("little") or leftmost ("big") character.
        notes: What was assumed while the counts were read, in sentences.

    Examples:
        >>> from quell.mitigation import read_counts
        >>> table = read_counts({"01": 3, "10": 1})
        >>> table.bits.tolist(), table.weights.tolist(), table.keys
        ([[0, 1], [1, 0]], [1.0, 3.0], ('10', '01'))
    """

    bits: NDArray[np.uint8]
    weights: NDArray[np.float64]
    keys: tuple[Hashable, ...]
    make_key: Callable[[NDArray[np.uint8]], Hashable]
    bit_order: BitOrder = "little"
    unseen_keys: tuple[Hashable, ...] = ()
    notes: tuple[str, ...] = ()
    _order: NDArray[np.intp] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Puts the rows in the order of their bits, bit 0 first."""
        if not float(self.weights.sum()) <= _MAX_SHOTS:
            raise InputError(
                f"counts must sum to at most 2^53 shots, got {float(self.weights.sum()):.3g}: scale them down"
            )
        if self._order is None:
            order = np.lexsort(np.packbits(self.bits, axis=1).T[::-1])
            object.__setattr__(self, "_order", order)
            object.__setattr__(self, "bits", np.ascontiguousarray(self.bits[order]))
            object.__setattr__(self, "weights", np.ascontiguousarray(self.weights[order], dtype=np.float64))
            object.__setattr__(self, "keys", tuple(self.keys[row] for row in order))

    @property
    def num_bits(self) -> int:
        """The length of each string."""
        return int(self.bits.shape[1])

    @property
    def num_strings(self) -> int:
        """How many distinct strings were seen."""
        return len(self.weights)

    @cached_property
    def shots(self) -> int:
        """How many shots were taken."""
        return round(float(self.weights.sum()))

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """The share of the shots that gave each string, float64 of shape (num_strings,)."""
        shares: NDArray[np.float64] = self.weights / self.weights.sum()
        return shares

    @cached_property
    def float_bits(self) -> NDArray[np.float64]:
        """The bits as numbers to multiply with, float64 of shape (num_strings, num_bits)."""
        return self.bits.astype(np.float64)

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The strings packed for `quell.mitigation.hamming.distances`, uint64 of shape (num_strings, num_words)."""
        return pack_words(self.bits)

    @cached_property
    def by_weight(self) -> NDArray[np.intp]:
        """The rows from the most to the least frequent; equals stand in the order of their bits."""
        return np.argsort(-self.weights, kind="stable")

    def find(self, bits: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Returns the row of each given string, or -1 where it was never seen.

        Args:
            bits: uint8 of shape (num_wanted, num_bits).
        """
        return np.array([self._rows.get(row.tobytes(), -1) for row in np.ascontiguousarray(bits)], dtype=np.intp)

    @cached_property
    def _rows(self) -> Mapping[bytes, int]:
        return {row.tobytes(): index for index, row in enumerate(self.bits)}

    def thinned(self, num_strings: int, seed: int = 0) -> "CountTable":
        """Returns the same counts with fewer shots, drawn at random, of about `num_strings` distinct strings at most.

        Args:
            num_strings: How many distinct strings may be left, on average.
            seed: Of the draw.
        """
        if self.num_strings <= num_strings:
            return self
        low, high = 0.0, 1.0
        for _ in range(40):
            share = (low + high) / 2
            distinct = -np.expm1(self.weights * np.log1p(-share)).sum()
            low, high = (share, high) if distinct < num_strings else (low, share)
        whole = np.rint(self.weights).astype(np.int64)
        return self.with_weights(np.random.default_rng(seed).binomial(whole, low).astype(np.float64))

    def with_weights(self, weights: NDArray[np.float64]) -> "CountTable":
        """Returns the same strings with other counts; strings with a count of zero are left out.

        Args:
            weights: float64 of shape (num_strings,), non-negative.
        """
        kept = np.flatnonzero(weights > 0)
        return replace(
            self,
            bits=self.bits[kept],
            weights=weights[kept],
            keys=tuple(self.keys[row] for row in kept),
            unseen_keys=(),
            _order=kept,
        )
