"""Reads the calibration table that IBM's website offers as a CSV download, in the layouts of 2024 to 2026.

The columns have changed names and order over the years, two-qubit gates came and went, and cells may be empty. Every
column is therefore found by what it means, and an unknown one is passed over.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from quell.errors import DataError
from quell.mitigation.flip_rate.calibration import Calibration, QubitReading, assemble

__all__ = ["read_calibration_csv"]

_NANO, _MICRO = 1e-9, 1e-6
# What a column is called, in lower case and without the blanks at its end, and what it is multiplied by.
_QUBIT_COLUMNS: Mapping[str, tuple[str, float]] = {
    "t1 (us)": ("t1", _MICRO),
    "t1 (µs)": ("t1", _MICRO),
    "t2 (us)": ("t2", _MICRO),
    "t2 (µs)": ("t2", _MICRO),
    "readout assignment error": ("readout_error", 1.0),
    "prob meas0 prep1": ("prob_meas0_prep1", 1.0),
    "prob meas1 prep0": ("prob_meas1_prep0", 1.0),
    "readout length (ns)": ("readout_duration", _NANO),
}
_PAIR_TIMES = ("gate time (ns)", "gate length (ns)")
_SINGLE_TIME = "single-qubit gate length (ns)"
_EMPTY = ("", "-", "null", "undefined", "N/A", "NaN", "nan")
_GATE_NAMES = {"pauli-x": "x", "id": "id", "cnot": "cx"}

Gates = dict[tuple[str, tuple[int, ...]], tuple[float | None, float | None]]


def read_calibration_csv(path: str | Path) -> Calibration:
    """Returns the calibration in a CSV file as IBM's website offers it for download.

    Args:
        path: The file. Lines before the one that starts with "Qubit" are passed over.

    Raises:
        DataError: If the file cannot be read as such a table. The message names the row and the column.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file: give a calibration as downloaded from IBM") from error
    rows = [row for row in csv.reader(lines, skipinitialspace=True) if any(cell.strip() for cell in row)]
    start = next((i for i, row in enumerate(rows) if row[0].strip().lower() == "qubit"), None)
    if start is None:
        raise DataError(f"{path} has no line of column names that starts with 'Qubit': it is no calibration table")
    header = [name.strip().lower() for name in rows[start]]
    if not {"t1 (us)", "t1 (µs)"} & set(header):
        raise DataError(f"{path} has no column 'T1 (us)': it is no calibration table")
    cells = [_Row(path, header, row) for row in rows[start + 1 :]]
    numbers = [row.qubit for row in cells]
    if sorted(numbers) != list(range(len(numbers))):
        raise DataError(f"{path} must have one row for each qubit from 0, got {len(numbers)} rows: it may be cut off")
    cells.sort(key=lambda row: row.qubit)
    gates: Gates = {}
    for row in cells:
        gates |= row.gates()
    broken = [row.qubit for row in cells if row.text("operational").lower() in ("false", "no")]
    notes = [f"the device calls qubits {', '.join(map(str, broken))} not operational"] if broken else []
    return assemble([row.reading() for row in cells], gates, name=path.name, notes=notes)


class _Row:
    """One row of the table: one qubit, and the pairs of qubits that are listed with it."""

    def __init__(self, path: Path, header: Sequence[str], cells: Sequence[str]) -> None:
        self._path = path
        self._cells = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        if len(cells) < len(header):
            raise DataError(f"{path}, row {cells[0]!r}: {len(cells)} cells for {len(header)} columns: it is cut off")
        if not self._cells["qubit"].isdecimal():
            raise DataError(f"{path}: a qubit must be a number, got {self._cells['qubit']!r}")
        self.qubit = int(self._cells["qubit"])

    def text(self, column: str) -> str:
        """The cell of a column, empty if there is none."""
        return self._cells.get(column, "")

    def number(self, column: str, text: str | None = None) -> float | None:
        """The cell of a column as a number, None if it is empty."""
        text = self.text(column) if text is None else text
        if text in _EMPTY:
            return None
        try:
            return float(text)
        except ValueError:
            raise self._damage(column, text) from None

    def reading(self) -> QubitReading:
        """What the row says about its qubit."""
        values: dict[str, float] = {}
        for column, (name, scale) in _QUBIT_COLUMNS.items():
            value = self.number(column)
            if value is not None:
                values[name] = value * scale
        return QubitReading(**values)

    def gates(self) -> Gates:
        """What the row says about gates, by name and qubits."""
        found: Gates = {}
        single = self.number(_SINGLE_TIME)
        durations: dict[tuple[int, ...], float | None] = {}
        for column in _PAIR_TIMES:
            durations |= self._pairs(column)
        for column in self._cells:
            name = _gate_name(column)
            if name is None:
                continue
            if ":" in self.text(column) or name in ("ecr", "cz", "cx", "rzz"):
                for pair, error in self._pairs(column).items():
                    time = durations.get(pair)
                    found[name, pair] = (error, None if time is None else time * _NANO)
            else:
                time = 0.0 if name == "rz" else single
                found[name, (self.qubit,)] = (self.number(column), None if time is None else time * _NANO)
        return found

    def _pairs(self, column: str) -> dict[tuple[int, ...], float | None]:
        """Reads `1_0:0.006;1_2:0.007`, or `0:0.006;2:0.007` where the row's own qubit is left out."""
        found: dict[tuple[int, ...], float | None] = {}
        text = self.text(column)
        for entry in [] if text in _EMPTY else text.split(";"):
            match = re.fullmatch(r"\s*(?:(\d+)_)?(\d+)\s*:(.*)", entry)
            if match is None:
                raise self._damage(column, entry)
            first = self.qubit if match[1] is None else int(match[1])
            found[first, int(match[2])] = self.number(column, match[3].strip())
        return found

    def _damage(self, column: str, text: str) -> DataError:
        return DataError(f"{self._path}, qubit {self.qubit}, column {column!r}: {text!r} is no number of this column")


def _gate_name(column: str) -> str | None:
    """Returns the gate whose error a column holds: 'sx' for '√x (sx) error', 'ecr' for 'ecr error'."""
    match = re.fullmatch(r"(?:.*\((\w+)\)|([\w-]+)) error", column)
    if match is None or column == "readout assignment error":
        return None
    name = match[1] or match[2]
    return _GATE_NAMES.get(name, name)
