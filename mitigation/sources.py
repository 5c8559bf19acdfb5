"""Counts as the libraries that make them hold them: Qiskit's primitives and results, Cirq's, Braket's, arrays of shots.

Objects are known by what they offer, not by their class, so that none of these libraries is imported. A library's own
object says which bit comes first; a dict or an array does not, so there the caller has to, or Qiskit's order is taken.
"""

import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError
from quell.mitigation.formats import TextFormat, check_bit_order, in_order
from quell.mitigation.result import MitigatedCounts
from quell.mitigation.table import BitOrder, CountTable

__all__ = ["CountRecord", "count_shots", "from_array", "from_mapping", "from_object"]

_READABLE = (
    "a dict of counts, a Qiskit Counts, BitArray, DataBin, PubResult, PrimitiveResult or Result, a Cirq Result, "
    "a Braket result, an array of shots, or the path of a JSON or CSV file"
)


@dataclass(frozen=True)
class CountRecord:
    """One set of counts as it was found, and what its source says about it.

    Attributes:
        counts: Numbers of shots, or probabilities, by key.
        name: What the source calls it; empty if it has no name.
        num_bits: How many bits were measured, if the source says so.
        bit_order: Whether bit 0 is a key's rightmost or leftmost character, if the source says so.
        shots: How many shots were taken, if the source says so; needed for probabilities alone.
        padded: Whether bit strings are written with the zeros in front.
        notes: What a reader should know, in sentences.
    """

    counts: Mapping[Any, object]
    name: str = ""
    num_bits: int | None = None
    bit_order: BitOrder | None = None
    shots: int | None = None
    padded: bool = True
    notes: tuple[str, ...] = ()


def from_mapping(source: Mapping[Any, Any]) -> Iterator[CountRecord | CountTable]:
    """Yields the counts in a mapping: itself, one record with its "counts", or several under their names."""
    if not source:
        raise InputError("the counts are empty: there is nothing to mitigate")
    values = list(source.values())
    if isinstance(source.get("counts", source.get("probabilities")), Mapping):
        yield _described(source)
    elif all(isinstance(value, Mapping) for value in values):
        for name, inner in source.items():
            for record in from_mapping(inner):
                yield record if isinstance(record, CountTable) else CountRecord(**{**vars(record), "name": str(name)})
    elif all(isinstance(value, np.ndarray) for value in values):
        yield _from_cirq(source)
    else:
        yield _plain(source)


def _described(source: Mapping[Any, Any]) -> CountRecord:
    """A dict with "counts" or "probabilities", and with what is known about them beside."""
    for field in ("num_bits", "shots"):
        value = source.get(field)
        if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            raise InputError(f"{field} of the counts must be a positive integer, got {value!r}")
    check_bit_order(source.get("bit_order"))
    notes: tuple[str, ...] = ()
    if isinstance(source.get("report"), Mapping):
        notes = (f"The counts were mitigated before, with {source['report'].get('method')}.",)
    return CountRecord(
        source["counts"] if isinstance(source.get("counts"), Mapping) else source["probabilities"],
        str(source.get("id", source.get("name", ""))),
        source.get("num_bits"),
        source.get("bit_order"),
        source.get("shots"),
        notes=notes,
    )


def _plain(source: Mapping[Any, object]) -> CountRecord:
    """A dict of counts, also Qiskit's `Counts`, `QuasiDistribution` and `ProbDistribution`."""
    # Counts made of numbers without their width write them without the zeros in front.
    from_numbers = getattr(source, "int_raw", None) is not None
    padded = not from_numbers or bool(getattr(source, "memory_slots", None) or getattr(source, "creg_sizes", None))
    num_bits = None
    if hasattr(source, "binary_probabilities"):
        width = len(next(iter(source.binary_probabilities())))
        # The object calls the width of the largest key its own where it was given numbers; then nothing is known.
        num_bits = width if width > max(key.bit_length() for key in source) else None
    shots = getattr(source, "shots", None)
    notes: tuple[str, ...] = ()
    if isinstance(source, MitigatedCounts):
        notes = (f"The counts were mitigated before, with {source.report.method}.",)
    return CountRecord(
        source,
        num_bits=num_bits,
        shots=int(shots) if isinstance(shots, numbers.Integral) else None,
        padded=padded,
        notes=notes,
    )


def from_array(shots: NDArray[Any], bit_order: BitOrder | None) -> CountTable:
    """Returns the counts of an array of shots, shape (num_shots, num_bits), whose columns are a key's characters.

    Raises:
        InputError: If the array has another shape, holds something other than bits, or `bit_order` is None.
    """
    if shots.ndim != 2:
        raise InputError(f"an array of shots must have shape (num_shots, num_bits), got {shots.shape}")
    if bit_order is None:
        raise InputError(
            "an array of shots does not say which column is bit 0: pass bit_order='big' if it is the first, as in "
            "Cirq and Stim, or 'little' if it is the last, as in Qiskit's to_bool_array()"
        )
    columns = in_order(_checked_bits(shots, "the array"), bit_order)
    return count_shots([(np.packbits(columns, axis=1, bitorder="little"), shots.shape[1])], bit_order)


def from_object(source: Any) -> Iterator[Any]:
    """Yields what a library's object holds: counts, or further objects that do.

    Raises:
        InputError: If nothing is known about such an object, or it holds no counts.
    """
    if _is_bit_array(source):
        yield from _from_registers({"": source})
    elif hasattr(source, "records") and hasattr(source, "repetitions"):
        yield _from_cirq(source.records)
    elif hasattr(source, "measurement_counts"):
        if not source.measurement_counts:
            raise InputError("the Braket result holds no measurement counts: run the circuit with shots")
        yield CountRecord(source.measurement_counts, bit_order="big")
    elif hasattr(source, "get_counts") and hasattr(source, "results"):
        found = source.get_counts()
        yield from found if isinstance(found, list) else [found]
    elif hasattr(source, "items") and hasattr(source, "ndim"):
        yield from _from_registers(dict(source.items()))
    elif hasattr(source, "data") and hasattr(source.data, "items"):
        yield source.data
    elif all(hasattr(source, name) for name in ("__len__", "__getitem__", "metadata")):
        yield from source
    else:
        hint = "pass its .result()" if callable(getattr(source, "result", None)) else f"pass {_READABLE}"
        raise InputError(f"cannot read counts from a {type(source).__name__}: {hint}")


def _is_bit_array(source: object) -> bool:
    array = getattr(source, "array", None)
    return isinstance(array, np.ndarray) and hasattr(source, "num_bits") and hasattr(source, "num_shots")


def _from_registers(registers: Mapping[str, Any]) -> Iterator[CountTable]:
    """Yields the counts at each index of a broadcast, Qiskit `BitArray`s joined shot by shot."""
    for name, register in registers.items():
        if not _is_bit_array(register):
            raise InputError(
                f"{name!r} holds a {type(register).__name__} and no BitArray: only the classified shots of a sampler "
                "can be mitigated"
            )
    used = {name: register for name, register in registers.items() if register.num_bits}
    if not used:
        raise InputError("the result holds no measured bits: measure into a classical register")
    if len({(register.num_shots, register.shape) for register in used.values()}) > 1:
        raise InputError(f"registers {', '.join(used)} differ in shape or in their number of shots: pass one of them")
    notes: tuple[str, ...] = ()
    if len(used) > 1:
        notes = (f"Registers are joined as in Qiskit, the first on the right: {' '.join(reversed(used))}.",)
    for index in np.ndindex(next(iter(used.values())).shape):
        packed = [(_lowest_first(each.array[index], each.num_bits), each.num_bits) for each in used.values()]
        yield count_shots(packed, "little", notes)


def _lowest_first(packed: NDArray[np.uint8], num_bits: int) -> NDArray[np.uint8]:
    """Returns the bytes of a `BitArray`, highest first, in the order of `np.packbits(bitorder="little")`."""
    turned = packed[:, ::-1].copy()
    # Qiskit allows anything in the bits above the highest.
    turned[:, -1] &= 0xFF >> (-num_bits % 8)
    return turned


def _from_cirq(records: Mapping[str, NDArray[Any]]) -> CountTable:
    """Cirq's measurements: by key, shape (repetitions, qubits), or (repetitions, instances, qubits) as in `records`."""
    packed = []
    for name, array in records.items():
        bits = _checked_bits(array, f"measurement {name!r}")
        if bits.ndim not in (2, 3):
            raise InputError(f"measurement {name!r} must have shape (repetitions, qubits), got {array.shape}")
        instances = bits[:, None, :] if bits.ndim == 2 else bits
        packed += [
            (np.packbits(instances[:, i], axis=1, bitorder="little"), instances.shape[2])
            for i in range(instances.shape[1])
        ]
    if len({len(rows) for rows, _ in packed}) != 1:
        raise InputError(f"measurements {', '.join(map(repr, records))} must have the same number of repetitions")
    notes = (f"Measurements are joined from left to right: {' '.join(records)}.",) if len(records) > 1 else ()
    return count_shots(packed, "big", notes)


def _checked_bits(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if array.dtype.kind not in "bui" or (array.size and (array.min() < 0 or array.max() > 1)):
        raise InputError(
            f"{name} must hold bits, zeros and ones as integers or booleans, got dtype {array.dtype}"
            + (f" up to {array.max()}: is it bit-packed?" if array.dtype.kind in "ui" and array.size else "")
        )
    return array.astype(np.uint8)


def count_shots(
    registers: Sequence[tuple[NDArray[np.uint8], int]], bit_order: BitOrder, notes: tuple[str, ...] = ()
) -> CountTable:
    """Returns how often each string occurs among shots, without unpacking more than the distinct ones.

    Args:
        registers: For each register, the lowest bits first, the shots as uint8 of shape (num_shots, num_bytes), packed
            as by `np.packbits(bitorder="little")`, and its number of bits.
        bit_order: How keys are written: the first register is on the right for "little", on the left for "big".
        notes: Passed on to the table.

    Raises:
        InputError: If there are no shots or no bits.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.sources import count_shots
        >>> table = count_shots([(np.array([[1], [1], [2]], dtype=np.uint8), 2)], "little")
        >>> dict(zip(table.keys, table.weights.tolist()))
        {'10': 1.0, '01': 2.0}
    """
    used = [(rows, width) for rows, width in registers if width]
    if not used or not len(used[0][0]):
        raise InputError("the counts are empty: there are no shots, or no bits in them")
    packed = np.hstack([rows for rows, _ in used])
    words = np.zeros((len(packed), -(-packed.shape[1] // 8)), dtype=np.uint64)
    words.view(np.uint8)[:, : packed.shape[1]] = packed
    order = np.lexsort(words.T)
    starts = np.flatnonzero(np.r_[True, (words[order[1:]] != words[order[:-1]]).any(axis=1)])
    weights = np.diff(np.r_[starts, len(order)]).astype(np.float64)
    distinct = packed[order[starts]]
    ends = np.cumsum([rows.shape[1] for rows, _ in used])[:-1]
    columns = [
        np.unpackbits(part, axis=1, count=width, bitorder="little")
        for part, (_, width) in zip(np.split(distinct, ends, axis=1), used, strict=True)
    ]
    widths = [width for _, width in used]
    layout = " ".join("0" * width for width in (widths[::-1] if bit_order == "little" else widths))
    make_key = TextFormat(layout, bit_order)
    bits = np.hstack(columns)
    return CountTable(bits, weights, tuple(make_key.keys(bits)), make_key, bit_order, notes=notes)
