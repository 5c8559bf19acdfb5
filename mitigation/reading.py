"""Reads counts in the forms people have them in, into a `CountTable`.

What a count may be is decided here: whole numbers of shots, or probabilities together with the number of shots behind
them. How keys are written is in `quell.mitigation.formats`, what objects hold in `quell.mitigation.sources`, and files
in `quell.mitigation.files`.
"""

import contextlib
import math
import numbers
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError, InputError, check_integer
from quell.mitigation.files import read_records
from quell.mitigation.formats import check_bit_order, is_key, parse_keys, shown
from quell.mitigation.sources import CountRecord, from_array, from_mapping, from_object
from quell.mitigation.table import BitOrder, CountTable

__all__ = ["find_counts", "read_counts", "read_many"]

# Probabilities printed to a few digits do not sum to one exactly.
_SUM_TOLERANCE = 0.01
# Probabilities that are shares of whole shots give these back to rounding.
_SHOT_TOLERANCE = 0.01


def find_counts(source: object, *, bit_order: BitOrder | None = None) -> list[CountRecord | CountTable]:
    """Returns every set of counts in a source with its name, for a choice among them; `read_counts` reads any of them.

    Args:
        source: As in `read_many`.
        bit_order: As in `read_counts`; only arrays of shots need it already here.

    Raises:
        InputError: If the source is unknown or empty.
        DataError: If a file does not hold counts.
        StorageError: If a file cannot be read.

    Examples:
        >>> from quell.mitigation.reading import find_counts
        >>> [found.name for found in find_counts({"bell": {"00": 5, "11": 4}, "ghz": {"000": 9}})]
        ['bell', 'ghz']
    """
    check_bit_order(bit_order)
    return list(_pieces(source, bit_order))


def read_counts(
    source: object,
    *,
    num_bits: int | None = None,
    bit_order: BitOrder | None = None,
    shots: int | None = None,
) -> CountTable:
    """Returns one set of counts as a `CountTable`.

    A dict's keys may be bit strings, also with spaces or underscores between registers, "0x1f", "0b101", integers, or
    tuples of zeros and ones, all of one kind. A key with a count of zero is kept in `unseen_keys`.

    Args:
        source: A dict of counts; Qiskit's `Counts`, `QuasiDistribution`, `BitArray`, `DataBin`, a pub's result or a
            `PrimitiveResult` with one pub, or a backend's `Result`; Cirq's `Result`; Braket's result; a list of the
            bit strings of all shots; an array of shots of shape (num_shots, num_bits); or the path of a JSON or CSV
            file. Several classical registers are joined shot by shot in Qiskit's order, the first on the right.
        num_bits: How many bits were measured. Keys that are numbers do not say; without this they have the bits of the
            largest, as in Qiskit, and a note in the table says so.
        bit_order: Whether bit 0 is a key's rightmost character, "little" as in Qiskit, or its leftmost, "big" as in
            Cirq and Braket. Results of a library know their own; dicts and files are taken to be "little"; for an
            array it must be given, "big" if column 0 is bit 0.
        shots: How many shots probabilities were taken from; they are read only with it, or if the source has it.

    Raises:
        InputError: If the source is unknown or holds several sets of counts; if counts are empty, all zero, negative,
            infinite, not whole or no numbers; if keys do not fit together; or if an argument contradicts the source.
        DataError: If a file does not hold counts.
        StorageError: If a file cannot be read.

    Examples:
        >>> from quell.mitigation import read_counts
        >>> table = read_counts({"0x1": 3, "0x4": 1}, num_bits=4)
        >>> table.bits.tolist(), table.weights.tolist()
        ([[0, 0, 1, 0], [1, 0, 0, 0]], [1.0, 3.0])
        >>> read_counts({0: 0.75, 3: 0.25}, shots=100).weights.tolist()
        [75.0, 25.0]
    """
    _check_arguments(num_bits, shots)
    found = find_counts(source, bit_order=bit_order)
    if len(found) != 1:
        names = ", ".join(piece.name for piece in found[:6] if isinstance(piece, CountRecord) and piece.name)
        raise InputError(
            f"{_named(source)} holds {len(found)} sets of counts{f' ({names})' if names else ''}: pick one of them, or "
            "read all with read_many"
        )
    with _blaming(source):
        return _table(found[0], num_bits, bit_order, shots)


def read_many(
    source: object,
    *,
    num_bits: int | None = None,
    bit_order: BitOrder | None = None,
    shots: int | None = None,
) -> list[CountTable]:
    """Returns every set of counts that a source holds, one table for each circuit.

    Args:
        source: Whatever `read_counts` reads, a list of it, a result of several pubs or circuits, a `BitArray` of any
            shape, a dict of counts by name, or a file with several records.
        num_bits: As in `read_counts`, for each.
        bit_order: As in `read_counts`, for each.
        shots: As in `read_counts`, for each.

    Raises:
        InputError: As in `read_counts`; the message says in which set of counts.
        DataError: If a file does not hold counts.
        StorageError: If a file cannot be read.

    Examples:
        >>> from quell.mitigation.reading import read_many
        >>> [table.shots for table in read_many([{"0": 3, "1": 1}, {"00": 7}])]
        [4, 7]
    """
    _check_arguments(num_bits, shots)
    found = find_counts(source, bit_order=bit_order)
    tables = []
    with _blaming(source):
        for index, piece in enumerate(found):
            try:
                tables.append(_table(piece, num_bits, bit_order, shots))
            except InputError as error:
                if len(found) == 1:
                    raise
                name = f" ({piece.name})" if isinstance(piece, CountRecord) and piece.name else ""
                raise InputError(f"counts {index}{name} of {len(found)}: {error}") from error
    return tables


def _check_arguments(num_bits: int | None, shots: int | None) -> None:
    if num_bits is not None:
        check_integer("num_bits", num_bits, minimum=1)
    if shots is not None:
        check_integer("shots", shots, minimum=1)


def _named(source: object) -> str:
    return str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"


@contextlib.contextmanager
def _blaming(source: object) -> Iterator[None]:
    """Lets an error about the contents of a file name the file."""
    try:
        yield
    except InputError as error:
        if isinstance(source, str | Path):
            raise DataError(f"{source}: {error}") from error
        raise


def _pieces(source: object, bit_order: BitOrder | None) -> Iterator[CountRecord | CountTable]:
    """Yields each set of counts in a source, its keys not read yet."""
    if isinstance(source, CountTable | CountRecord):
        yield source
    elif isinstance(source, str | Path):
        for found in read_records(source):
            yield from _pieces(found, bit_order)
    elif isinstance(source, Mapping):
        yield from from_mapping(source)
    elif isinstance(source, np.ndarray):
        yield from_array(source, bit_order)
    elif isinstance(source, list | tuple):
        yield from _listed(source, bit_order)
    else:
        for inner in from_object(source):
            yield from _pieces(inner, bit_order)


def _listed(source: Sequence[object], bit_order: BitOrder | None) -> Iterator[CountRecord | CountTable]:
    """Yields the counts of a list: one set if it lists the bit strings of all shots, else those of each item."""
    if not source:
        raise InputError("the list is empty: there are no counts in it")
    if isinstance(source[0], str) and is_key(source[0]):
        yield CountRecord(Counter(source))
        return
    for item in source:
        if isinstance(item, numbers.Number) or (isinstance(item, list | tuple) and item and item[0] in (0, 1)):
            raise InputError(
                "a list of numbers says neither what a shot is nor which bit comes first: pass the shots as bit "
                "strings, or as an array of shape (num_shots, num_bits) with bit_order="
            )
        yield from _pieces(item, bit_order)


def _table(
    piece: CountRecord | CountTable, num_bits: int | None, bit_order: BitOrder | None, shots: int | None
) -> CountTable:
    """Returns one set of counts as a table, after a check that the arguments do not contradict it."""
    for name, given, known in (
        ("num_bits", num_bits, piece.num_bits),
        ("bit_order", bit_order, piece.bit_order),
        ("shots", shots, piece.shots),
    ):
        if given is not None and known is not None and given != known:
            raise InputError(f"{name} is {given!r}, but the source itself says {known!r}: leave {name} out")
    if isinstance(piece, CountTable):
        return piece
    keys = list(piece.counts)
    if not keys:
        raise InputError("the counts are empty: there is nothing to mitigate")
    weights, notes = _read_weights(keys, list(piece.counts.values()), shots, piece.shots)
    order = bit_order or piece.bit_order or "little"
    parsed = parse_keys(keys, num_bits=num_bits or piece.num_bits, bit_order=order, padded=piece.padded)
    seen = np.flatnonzero(weights)
    return CountTable(
        parsed.bits[seen],
        weights[seen],
        tuple(keys[row] for row in seen),
        parsed.make_key,
        order,
        tuple(keys[row] for row in np.flatnonzero(weights == 0)),
        (*piece.notes, *parsed.notes, *notes),
    )


def _read_weights(
    keys: Sequence[object], values: Sequence[object], shots: int | None, known_shots: int | None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Returns the number of shots for each key, and notes.

    Args:
        keys: For messages.
        values: Whole numbers of shots, or probabilities.
        shots: What the caller says was taken.
        known_shots: What the source says was taken; it counts only for probabilities, as it may include shots that
            were sorted out later.
    """
    weights = _checked_numbers(keys, values)
    total = math.fsum(weights)
    fractions = np.flatnonzero(weights != np.floor(weights))
    taken = shots or known_shots
    all_integers = all(isinstance(value, numbers.Integral) for value in values)
    if not len(fractions) and (total != 1 or (all_integers and taken is None)):
        if shots not in (None, total):
            raise InputError(f"shots is {shots}, but the counts sum to {total:.0f}: leave shots out")
        return weights, ()
    if abs(total - 1) > _SUM_TOLERANCE:
        row = fractions[0]
        raise InputError(
            f"counts must be whole numbers of shots, or probabilities that sum to one, got {weights[row]:g} for "
            f"{shown(keys[row])} and a sum of {total:g}"
        )
    if taken is None:
        raise InputError("the counts are probabilities, for they sum to one: pass shots=, how many shots they are from")
    expected = weights / total * taken
    whole = np.round(expected)
    if np.abs(expected - whole).max() < _SHOT_TOLERANCE and whole.sum() == taken:
        return whole, ()
    return expected, (f"The probabilities are no whole numbers out of {taken} shots; they were taken as they are.",)


def _checked_numbers(keys: Sequence[object], values: Sequence[object]) -> NDArray[np.float64]:
    """Returns the values as numbers, after a check that they are finite, not negative and not all zero."""
    for kind in set(map(type, values)):
        if not issubclass(kind, numbers.Real) or issubclass(kind, bool):
            key, value = next(pair for pair in zip(keys, values, strict=True) if type(pair[1]) is kind)
            raise InputError(f"counts must be numbers, got {shown(value)}, a {kind.__name__}, for {shown(key)}")
    try:
        weights = np.array(values, dtype=np.float64)
    except OverflowError:
        raise InputError("counts must be finite, and one is too large for a float") from None
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        row = wrong[0]
        quasi = ": make probabilities of quasi-probabilities first" if -1 < weights[row] < 0 else ""
        raise InputError(f"counts must be finite and not negative, got {weights[row]:g} for {shown(keys[row])}{quasi}")
    if not weights.any():
        raise InputError("all counts are zero: there are no shots to mitigate")
    return weights
