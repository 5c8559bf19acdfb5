"""Counts in files: JSON and CSV as people save them, and mitigated counts as `quell mitigate --save` writes them.

A JSON file holds a dict of counts, a record {"counts": {…}, …}, several records in a list or by name, or what
qiskit-ibm-runtime's RuntimeEncoder wrote. A CSV file has a bit string and a count in each line, with or without a
header; with a header that names both it may have further columns.
"""

import csv
import importlib
import io
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from quell.errors import DataError, InputError, StorageError
from quell.mitigation.formats import is_key
from quell.mitigation.intervals import share_interval
from quell.mitigation.result import Interval, MitigatedCounts
from quell.mitigation.sources import CountRecord, from_mapping
from quell.mitigation.table import BitOrder

__all__ = ["check_suffix", "read_records", "write_mitigated"]

_KEY_COLUMNS = ("bitstring", "bitstrings", "key", "outcome", "state")
_COUNT_COLUMNS = ("count", "counts")


def read_records(path: str | Path) -> list[Any]:
    """Returns every set of counts in a file, as `CountRecord`s or, from a RuntimeEncoder's file, as Qiskit's objects.

    Args:
        path: A JSON or CSV file; one whose name ends with neither is taken for what it looks like.

    Raises:
        DataError: If the file is empty or cut off, or does not hold counts.
        StorageError: If the file cannot be read.

    Examples:
        >>> import pathlib, tempfile
        >>> from quell.mitigation.files import read_records
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "counts.csv"
        ...     _ = path.write_text("bitstring,count\\n01,3\\n11,1\\n")
        ...     read_records(path)[0].counts
        {'01': 3, '11': 1}
    """
    path = Path(path)
    try:
        # Spreadsheets put a mark of three bytes in front.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: this is no text in UTF-8, so neither JSON nor CSV") from error
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    looks_like_json = path.suffix.lower() == ".json" or (path.suffix.lower() != ".csv" and text.lstrip()[0] in "[{")
    try:
        return list(_json_records(text) if looks_like_json else [CountRecord(_csv_counts(text))])
    except InputError as error:
        raise DataError(f"{path}: {error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _json_records(text: str) -> Iterator[Any]:
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise DataError("this is no file of counts: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise DataError(f"this is not JSON, or it is cut off: {error}") from error
    except ValueError as error:
        raise DataError(f"this is no file of counts: {error}") from error
    if isinstance(value, dict) and "__type__" in value:
        yield _runtime_decoded(text)
        return
    values = value if isinstance(value, list) else [value]
    if not values:
        raise DataError("the list is empty: there are no counts in it")
    for each in values:
        if not isinstance(each, dict):
            raise DataError(
                f'expected a dict of counts, a record with "counts", or a list of these, got {json.dumps(each):.40}'
            )
        yield from from_mapping(each)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (repeated, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise DataError(f"{repeated!r} stands there twice")
    return found


def _runtime_decoded(text: str) -> Any:
    """What qiskit-ibm-runtime's encoder wrote, as the Qiskit object it was."""
    try:
        runtime = importlib.import_module("qiskit_ibm_runtime")
    except ImportError as error:
        raise DataError(
            "this was written with qiskit-ibm-runtime's RuntimeEncoder: pip install qiskit-ibm-runtime to read it"
        ) from error
    return json.loads(text, cls=runtime.RuntimeDecoder)


def _csv_counts(text: str) -> dict[str, int | float]:
    try:
        rows = [
            (number, [cell.strip() for cell in row])
            for number, row in enumerate(csv.reader(io.StringIO(text), strict=True), start=1)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise DataError(f"this is not CSV, or it is cut off: {error}") from error
    header = rows[0][1]
    # A first line that is cut off after its key must not pass for a header.
    has_header = not is_key(header[0]) and (len(header) < 2 or _number(header[1]) is None)
    key, count = _columns(header, has_header)
    if has_header and len(rows) == 1:
        raise DataError("there is a header, but no counts under it")
    counts: dict[str, int | float] = {}
    for number, row in rows[has_header:]:
        if len(row) != len(header):
            raise DataError(f"line {number} has {len(row)} columns where the first has {len(header)}: is it cut off?")
        value = _number(row[count])
        if value is None:
            raise DataError(f"line {number}: the count {row[count]!r} is no number")
        if row[key] in counts:
            raise DataError(f"line {number}: {row[key]!r} stands there twice")
        counts[row[key]] = value
    return counts


def _columns(first: list[str], has_header: bool) -> tuple[int, int]:
    """Which columns hold the keys and the counts."""
    names = [cell.lower() for cell in first] if has_header else []
    keys = [names.index(name) for name in _KEY_COLUMNS if name in names]
    counts = [names.index(name) for name in _COUNT_COLUMNS if name in names]
    if keys and counts:
        return keys[0], counts[0]
    if len(first) != 2:
        raise DataError(
            f"expected two columns, bitstring,count, or a header that names these, got {len(first)} columns in line 1"
        )
    return 0, 1


def _number(text: str) -> int | float | None:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def check_suffix(path: Path) -> None:
    """Raises `InputError` unless a file to save to ends with .json or .csv."""
    if path.suffix.lower() not in (".json", ".csv"):
        raise InputError(f"cannot save to {path}: its name must end with .json or .csv")


def write_mitigated(
    path: str | Path,
    mitigated: MitigatedCounts,
    intervals: Mapping[Hashable, Interval],
    *,
    confidence: float = 0.95,
    bit_order: BitOrder = "little",
) -> None:
    """Writes mitigated counts, every number with its interval, so that `read_counts` can read them.

    JSON holds all probabilities and the report. CSV holds one string in a line; its column "count" is the mitigated
    probability in whole shots. Keys that are no text are written as bit strings.

    Args:
        path: Where to write, .json or .csv.
        mitigated: What to write.
        intervals: Of the mitigated probabilities, as `mitigated.intervals()` returns them.
        confidence: Of the intervals.
        bit_order: How the keys are written.

    Raises:
        InputError: If the name ends with neither .json nor .csv.
        StorageError: If the file cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    keys = sorted(mitigated, key=lambda key: (-mitigated[key], -mitigated.raw[key], str(key)))
    lows, highs = share_interval([mitigated.raw[key] for key in keys], mitigated.shots, confidence)
    raw_intervals = [Interval(float(low), float(high)) for low, high in zip(lows, highs, strict=True)]
    names = {key: _as_text(key, mitigated.report.num_bits) for key in keys}
    if path.suffix.lower() == ".json":
        value = mitigated.to_dict() | {
            "probabilities": {names[key]: mitigated[key] for key in keys},
            "intervals": {names[key]: list(intervals[key]) for key in keys},
            "raw": {names[key]: mitigated.raw[key] for key in keys},
            "raw_intervals": {names[key]: list(each) for key, each in zip(keys, raw_intervals, strict=True)},
            "confidence": confidence,
            "num_bits": mitigated.report.num_bits,
            "bit_order": bit_order,
        }
        text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    else:
        counts = mitigated.counts()
        rows = (
            [names[key], counts.get(key, 0), mitigated[key], *intervals[key], mitigated.raw[key], *each]
            for key, each in zip(keys, raw_intervals, strict=True)
        )
        text = _csv_text(rows)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def _csv_text(rows: Iterable[list[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["bitstring", "count", "probability", "low", "high", "raw", "raw_low", "raw_high"])
    writer.writerows(rows)
    return buffer.getvalue()


def _as_text(key: Hashable, num_bits: int) -> str:
    if isinstance(key, str):
        return key
    return "".join(map(str, key)) if isinstance(key, tuple) else f"{key:0{num_bits}b}"
