"""Keys of counts: bit strings, hexadecimal, binary and plain integers, and tuples of bits, to arrays and back.

Every format remembers how the caller wrote the keys, so that an answer that no shot gave exactly gets a key that looks
like the others. Column i of an array of bits is bit i; with `bit_order="little"`, Qiskit's, bit 0 is the rightmost
character of a key, with "big", that of Cirq and Braket, the leftmost.
"""

import numbers
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, TooLargeError, check_known
from quell.mitigation.hamming import pack_words
from quell.mitigation.table import BitOrder

__all__ = [
    "MAX_BITS_IN_ALL",
    "NumberFormat",
    "ParsedKeys",
    "TextFormat",
    "TupleFormat",
    "check_bit_order",
    "find_repeated",
    "is_key",
    "parse_keys",
    "shown",
]

MAX_BITS_IN_ALL = 2**32
"""The largest number of strings times bits: beyond it a typing error in `num_bits` would fill the memory."""

_SEPARATORS = " _"
_BITS = frozenset((0, 1))


class ParsedKeys(NamedTuple):
    """What `parse_keys` returns.

    Attributes:
        bits: uint8 of shape (num_keys, num_bits), column i for bit i.
        make_key: Turns one row of bits into a key of the same format.
        notes: What was assumed, in sentences.
    """

    bits: NDArray[np.uint8]
    make_key: Callable[[NDArray[np.uint8]], Hashable]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextFormat:
    """Bit strings such as "0101", or "01 01" and "01_01" with a separator between registers.

    Attributes:
        layout: A key whose bits are all "0", with its separators.
        bit_order: Whether bit 0 is the rightmost ("little") or the leftmost ("big") character.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.formats import TextFormat
        >>> TextFormat("00 0", "little")(np.array([1, 0, 0], dtype=np.uint8))
        '00 1'
    """

    layout: str
    bit_order: BitOrder

    def __call__(self, bits: NDArray[np.uint8]) -> str:
        """Returns the key of one string, bits of shape (num_bits,)."""
        return self.keys(bits[None, :])[0]

    def keys(self, bits: NDArray[np.uint8]) -> list[str]:
        """Returns the key of each row of bits, shape (num_strings, num_bits)."""
        layout = np.frombuffer(self.layout.encode("ascii"), dtype=np.uint8)
        characters = np.tile(layout, (len(bits), 1))
        characters[:, layout == ord("0")] += in_order(bits, self.bit_order)
        text, width = characters.tobytes().decode("ascii"), len(self.layout)
        return [text[start : start + width] for start in range(0, len(text), width)]


@dataclass(frozen=True)
class NumberFormat:
    """Integers: Python's own, "0x1f", "0b101", or "101" without the zeros in front.

    Attributes:
        code: As for `format`: "x", "X" or "b"; empty for Python's integers.
        prefix: "0x", "0b" or empty.
        num_digits: To how many digits keys are filled with zeros; 0 where they are not.
        bit_order: Whether bit 0 is the lowest ("little") or the highest ("big") digit.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.formats import NumberFormat
        >>> NumberFormat("x", "0x", 0, "little")(np.array([0, 1, 0, 1, 1], dtype=np.uint8))
        '0x1a'
    """

    code: Literal["", "x", "X", "b"]
    prefix: str
    num_digits: int
    bit_order: BitOrder

    def __call__(self, bits: NDArray[np.uint8]) -> str | int:
        """Returns the key of one string, bits of shape (num_bits,)."""
        lowest_first = bits if self.bit_order == "little" else bits[::-1]
        number = int.from_bytes(np.packbits(lowest_first, bitorder="little").tobytes(), "little")
        return self.prefix + format(number, f"0{self.num_digits}{self.code}") if self.code else number


@dataclass(frozen=True)
class TupleFormat:
    """Tuples of zeros and ones, read as the characters of a bit string are.

    Attributes:
        bit_order: Whether bit 0 is the last ("little") or the first ("big") entry.
    """

    bit_order: BitOrder

    def __call__(self, bits: NDArray[np.uint8]) -> tuple[int, ...]:
        """Returns the key of one string, bits of shape (num_bits,)."""
        return tuple(in_order(bits[None, :], self.bit_order)[0].tolist())


def in_order(bits: NDArray[np.uint8], bit_order: BitOrder) -> NDArray[np.uint8]:
    """Returns columns in the order of the characters of a key, or characters in the order of bits."""
    return bits[:, ::-1] if bit_order == "little" else bits


def check_bit_order(bit_order: str | None) -> None:
    """Raises `UnknownNameError` unless `bit_order` is None, "little" or "big"."""
    if bit_order is not None:
        check_known("bit_order", bit_order, ("little", "big"))


def parse_keys(
    keys: Sequence[object], *, num_bits: int | None = None, bit_order: BitOrder = "little", padded: bool = True
) -> ParsedKeys:
    """Returns the bits of each key, and how to write further keys in the same format.

    Args:
        keys: At least one, all of one kind: bit strings, "0x1f", "0b101", integers, or tuples of zeros and ones.
        num_bits: How many bits were measured. Keys that are numbers have the bits of the largest of them if this is
            not given, as in Qiskit, and a note says so.
        bit_order: Whether bit 0 is the rightmost ("little") or leftmost ("big") character or digit.
        padded: Whether bit strings are written in full. False for Qiskit `Counts` that were made of numbers without
            their width: their keys lack the zeros in front.

    Raises:
        InputError: If a key holds something other than bits, or if keys differ in kind or length, mean the same
            string, or do not have `num_bits` bits.
        TooLargeError: If the bits of all keys would not fit into a reasonable memory.

    Examples:
        >>> from quell.mitigation.formats import parse_keys
        >>> parsed = parse_keys(["01 1", "00 0"])
        >>> parsed.bits.tolist(), parsed.make_key(parsed.bits[0])
        ([[1, 1, 0], [0, 0, 0]], '01 1')
    """
    kind = _common_kind(keys)
    _check_size(len(keys), num_bits or 1)
    if kind == "a tuple":
        parsed = _parse_tuples([key for key in keys if isinstance(key, tuple)], num_bits, bit_order)
    elif kind == "a bit string" and padded:
        parsed = _parse_text([str(key) for key in keys], num_bits, bit_order)
    else:
        parsed = _parse_numbers(keys, kind, num_bits, bit_order)
    repeated = find_repeated(parsed.bits)
    if repeated is not None:
        first, second = (keys[row] for row in repeated)
        raise InputError(
            f"keys {shown(first)} and {shown(second)} mean the same bits: add their counts up, and keep one of them"
        )
    return parsed


def shown(key: object) -> str:
    """Returns a key or another value for a message: its `repr`, shortened where that would fill a page.

    Examples:
        >>> from quell.mitigation.formats import shown
        >>> shown("01"), len(shown("0" * 5000))
        ("'01'", 161)
    """
    try:
        text = repr(key)
    except ValueError:
        # Python prints no integer of more than some thousand digits.
        return f"a {type(key).__name__} too long to print"
    return text if len(text) <= 200 else f"{text[:140]}…{text[-20:]}"


def is_key(text: str) -> bool:
    """Whether a text is a bit string or a number with a prefix, rather than a name or a path.

    Examples:
        >>> from quell.mitigation.formats import is_key
        >>> is_key("01 1"), is_key("0x1f"), is_key("counts.json")
        (True, True, False)
    """
    return bool(text) and (not text.strip("01" + _SEPARATORS) or text[:2].lower() in ("0x", "0b"))


def find_repeated(bits: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Returns two rows that hold the same bits, the earlier first, or None if all rows differ.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.formats import find_repeated
        >>> find_repeated(np.array([[0, 1], [1, 1], [0, 1]], dtype=np.uint8))
        (0, 2)
    """
    words = pack_words(bits)
    order = np.lexsort(words.T)
    same = np.flatnonzero((words[order[1:]] == words[order[:-1]]).all(axis=1))
    return (int(order[same[0]]), int(order[same[0] + 1])) if len(same) else None


def _common_kind(keys: Sequence[object]) -> str:
    """What all keys are, in words."""
    kinds: dict[str, object] = {}
    for key in keys:
        kinds.setdefault(_kind(key), key)
    if len(kinds) > 1:
        (kind, key), (other_kind, other_key) = list(kinds.items())[:2]
        raise InputError(
            f"keys must all be of one kind, got {shown(key)}, {kind}, and {shown(other_key)}, {other_kind}"
        )
    return next(iter(kinds))


def _kind(key: object) -> str:
    if isinstance(key, str):
        prefix = key[:2].lower()
        return {"0x": "a hexadecimal number", "0b": "a binary number"}.get(prefix, "a bit string")
    if isinstance(key, tuple):
        return "a tuple"
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        return "an integer"
    raise InputError(
        f"keys must be bit strings, '0x…', '0b…', integers or tuples of bits, got {shown(key)}, a {type(key).__name__}"
    )


def _check_size(num_keys: int, num_bits: int) -> None:
    if num_keys * num_bits > MAX_BITS_IN_ALL:
        raise TooLargeError(
            f"{num_keys} strings of {num_bits} bits need {num_keys * num_bits / 2**30:.0f} GiB: is num_bits right?"
        )


def _check_width(width: int, num_bits: int | None, key: object) -> None:
    """Raises `InputError` unless keys as long as `key` are what `num_bits` says."""
    if width == 0:
        raise InputError(f"key {shown(key)} has no bits")
    if num_bits not in (None, width):
        raise InputError(f"num_bits is {num_bits}, but key {shown(key)} has {width} bits: leave num_bits out")


def _parse_text(keys: Sequence[str], num_bits: int | None, bit_order: BitOrder) -> ParsedKeys:
    text = "".join(keys)
    width = len(keys[0])
    if any(len(key) != width for key in keys):
        # A foreign character is the likelier mistake of the two, and the message about it tells more.
        _refuse_foreign(keys)
        other = next(key for key in keys if len(key) != width)
        raise InputError(
            f"keys must have equal lengths, got {shown(keys[0])} and {shown(other)}: write the zeros in front, or use "
            "'0x…' keys"
        )
    if not text.isascii():
        _refuse_foreign(keys)
    characters = np.frombuffer(text.encode("ascii"), dtype=np.uint8).reshape(len(keys), width)
    separators = np.isin(characters[0], list(_SEPARATORS.encode()))
    _check_width(int(np.count_nonzero(~separators)), num_bits, keys[0])
    bits = characters[:, ~separators] - np.uint8(ord("0"))
    misplaced = (characters[:, separators] != characters[0, separators]).any(axis=1) | (bits > 1).any(axis=1)
    if misplaced.any():
        _refuse_foreign(keys)
        other = keys[int(np.flatnonzero(misplaced)[0])]
        raise InputError(f"keys must all be separated alike, got {shown(keys[0])} and {shown(other)}")
    layout = "".join(character if character in _SEPARATORS else "0" for character in keys[0])
    return ParsedKeys(np.ascontiguousarray(in_order(bits, bit_order)), TextFormat(layout, bit_order))


def _refuse_foreign(keys: Sequence[str]) -> None:
    """Raises `InputError` about the first character that is neither a bit nor a separator, if there is one."""
    for key in keys:
        foreign = key.strip("01" + _SEPARATORS)
        for character in foreign:
            if character not in "01" + _SEPARATORS:
                hint = ": turn decimal keys into numbers with int(key)" if character.isdecimal() else ""
                raise InputError(f"key {shown(key)} has the character {character!r}, which is no bit{hint}")


def _parse_tuples(keys: Sequence[tuple[object, ...]], num_bits: int | None, bit_order: BitOrder) -> ParsedKeys:
    width = len(keys[0])
    for key in keys:
        if len(key) != width:
            raise InputError(f"keys must have equal lengths, got {shown(keys[0])} and {shown(key)}")
    _check_width(width, num_bits, keys[0])
    for key in keys:
        if not _BITS.issuperset(key):
            entry = next(entry for entry in key if entry not in _BITS)
            raise InputError(f"key {shown(key)} has the entry {shown(entry)}, which is no bit")
    bits = np.array(keys, dtype=np.uint8)
    return ParsedKeys(np.ascontiguousarray(in_order(bits, bit_order)), TupleFormat(bit_order))


def _parse_numbers(keys: Sequence[object], kind: str, num_bits: int | None, bit_order: BitOrder) -> ParsedKeys:
    values = [_number(key, kind) for key in keys]
    largest = max(range(len(values)), key=values.__getitem__)
    needed = max(1, values[largest].bit_length())
    notes: tuple[str, ...] = ()
    if num_bits is None:
        if bit_order == "big":
            raise InputError(
                f"keys such as {shown(keys[largest])} do not say how many bits there are, and with bit_order 'big' "
                "bit 0 is the highest of them: pass num_bits="
            )
        num_bits = needed
        note = f"The number of bits, {needed}, is that of the largest key, {shown(keys[largest])}"
        notes = (f"{note}: pass num_bits= if more were measured.",)
    elif num_bits < needed:
        raise InputError(f"num_bits is {num_bits}, but key {shown(keys[largest])} needs {needed} bits")
    _check_size(len(keys), num_bits)
    num_bytes = -(-num_bits // 8)
    packed = np.frombuffer(b"".join(value.to_bytes(num_bytes, "little") for value in values), dtype=np.uint8)
    bits = np.unpackbits(packed.reshape(len(keys), num_bytes), axis=1, count=num_bits, bitorder="little")
    lowest_first = bits if bit_order == "little" else np.ascontiguousarray(bits[:, ::-1])
    return ParsedKeys(lowest_first, _number_format(keys, kind, bit_order), notes)


def _number(key: object, kind: str) -> int:
    if isinstance(key, numbers.Integral):
        if key < 0:
            raise InputError(f"keys must not be negative, got {shown(key)}")
        return int(key)
    digits = str(key) if kind == "a bit string" else str(key)[2:]
    # Python's own reader would take underscores, signs, spaces and the digits of other scripts.
    known = "0123456789abcdefABCDEF" if kind == "a hexadecimal number" else "01"
    if not digits or digits.strip(known):
        raise InputError(f"key {shown(key)} is not {kind}")
    return int(digits, 16 if kind == "a hexadecimal number" else 2)


def _number_format(keys: Sequence[object], kind: str, bit_order: BitOrder) -> NumberFormat:
    """The format of integer keys; filled with zeros where the caller's keys are."""
    texts = [key for key in keys if isinstance(key, str)]
    if not texts:
        return NumberFormat("", "", 0, bit_order)
    if kind == "a bit string":
        return NumberFormat("b", "", 0, bit_order)
    digits = [text[2:] for text in texts]
    lengths = {len(each) for each in digits}
    num_digits = lengths.pop() if len(lengths) == 1 and any(each.startswith("0") for each in digits) else 0
    prefix = max(text[:2] for text in texts)
    if kind == "a binary number":
        return NumberFormat("b", prefix, num_digits, bit_order)
    return NumberFormat("X" if "".join(digits).isupper() else "x", prefix, num_digits, bit_order)
