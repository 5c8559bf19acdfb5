"""What a rare-event run leaves on disk: a table of results, and beside it what it needs to go on.

The table is a CSV with a row for each task, decoder and method. Both are replaced whole, by a rename, so that a run
that is killed leaves the last state and not half of one. States are arrays and JSON; nothing in them is code.
"""

import contextlib
import csv
import fcntl
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError, StorageError
from quell.qec.analysis.intervals import Estimate
from quell.qec.rare_events.estimate import METHODS, RareEstimate
from quell.whole_files import write_whole

__all__ = ["StateFile", "read_rare_estimates", "write_rare_estimates"]

_COLUMNS = (
    "error_rate", "low", "high", "confidence", "method", "trusted", "shots", "seconds", "acceptance",
    "acceptance_low", "acceptance_high", "decoder", "strong_id", "json_metadata", "reason", "assumes", "details",
)  # fmt: skip


def write_rare_estimates(path: str | os.PathLike[str], estimates: Iterable[RareEstimate]) -> None:
    """Puts estimates into a CSV file; rows of the same task, decoder and method are replaced, others stay.

    Args:
        path: The file; it is made if there is none.
        estimates: The rows.

    Raises:
        StorageError: The file cannot be written.
        DataError: It exists, and holds something else.

    Examples:
        >>> import pathlib, tempfile
        >>> from quell.qec import Estimate, RareEstimate, read_rare_estimates, write_rare_estimates
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "rare.csv"
        >>> one = RareEstimate("ab12", "pymatching", {"d": 9}, "splitting", Estimate(2.1e-7, 1.9e-7, 2.3e-7))
        >>> write_rare_estimates(path, [one])
        >>> write_rare_estimates(path, [one])
        >>> read_rare_estimates(path) == [one]
        True
        >>> folder.cleanup()
    """
    target = Path(path).expanduser()
    try:
        with _locked(target):
            known = {(row.strong_id, row.method): row for row in (read_rare_estimates(target) if _has(target) else [])}
            known.update({(row.strong_id, row.method): row for row in estimates})
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(_fields(row) for row in known.values())
            write_whole(target, text.getvalue().encode())
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot save to {path}: {error.strerror}") from error


def read_rare_estimates(path: str | os.PathLike[str]) -> list[RareEstimate]:
    """Reads what `write_rare_estimates` wrote.

    Raises:
        StorageError: The file cannot be read.
        DataError: It is something else, or cut off; the message names the line.
    """
    try:
        text = Path(path).expanduser().read_text()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file: {error}") from error
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise DataError(f"{path} is no table of rare-event results: expected the columns {','.join(_COLUMNS)}")
    if not text.endswith("\n"):
        raise DataError(f"{path}, line {len(rows)}: the file is cut off in the middle of this row; delete the line")
    found = []
    for line, fields in enumerate(rows[1:], start=2):
        try:
            found.append(_estimate(dict(zip(_COLUMNS, fields, strict=True))))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}, line {line}: not a row of rare-event results ({error})") from error
    return found


def _has(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _fields(row: RareEstimate) -> list[str]:
    kept = row.acceptance
    return [
        *(repr(float(each)) for each in (row.error_rate.value, row.error_rate.low, row.error_rate.high)),
        repr(row.error_rate.confidence),
        row.method,
        "yes" if row.trusted else "no",
        str(row.shots),
        f"{row.seconds:.3f}",
        *(("", "", "") if kept is None else (repr(float(each)) for each in (kept.value, kept.low, kept.high))),
        row.decoder,
        row.strong_id,
        json.dumps(row.json_metadata),
        row.reason,
        row.assumes,
        json.dumps(row.details),
    ]


def _estimate(row: dict[str, str]) -> RareEstimate:
    confidence = float(row["confidence"])
    rate = Estimate(float(row["error_rate"]), float(row["low"]), float(row["high"]), confidence)
    if row["method"] not in METHODS or not 0 <= rate.low <= rate.value <= rate.high <= 1 or math.isnan(rate.value):
        raise ValueError(f"{row['method']} {rate} is impossible")
    kept = None
    if row["acceptance"]:
        value, low, high = (float(row[name]) for name in ("acceptance", "acceptance_low", "acceptance_high"))
        kept = Estimate(value, low, high, confidence)
    return RareEstimate(
        strong_id=row["strong_id"],
        decoder=row["decoder"],
        json_metadata=json.loads(row["json_metadata"]),
        method=row["method"],
        error_rate=rate,
        acceptance=kept,
        shots=int(row["shots"]),
        seconds=float(row["seconds"]),
        trusted=row["trusted"] == "yes",
        reason=row["reason"],
        assumes=row["assumes"],
        details=json.loads(row["details"]),
    )


class StateFile:
    """What a run needs to go on: arrays, and a description that is JSON.

    Args:
        table: The table beside which it stands, in a folder of the same name and `.state`.
        key: Of what is computed: another key is another file.
    """

    def __init__(self, table: str | os.PathLike[str], key: str) -> None:
        table = Path(table).expanduser().absolute()
        self.path = table.with_name(table.name + ".state") / f"{key[:32]}.npz"

    def read(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Returns the description and the arrays; None if there are none.

        Raises:
            DataError: The file is damaged.
            StorageError: The file cannot be read.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return json.loads(str(arrays.pop("description"))), arrays
        except OSError as error:
            raise StorageError(f"cannot read {self.path}: {error.strerror or error}") from error
        except Exception as error:  # zipfile, numpy and json each have their own for what is damaged
            raise DataError(f"{self.path} is damaged ({error}): remove it to begin anew") from error

    def write(self, description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Replaces the file.

        Raises:
            StorageError: It cannot be written.
        """
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, description=np.array(json.dumps(description)), **arrays)
        try:
            self.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot save to {self.path}: {error.strerror}") from error
        write_whole(self.path, buffer.getvalue())


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds others back who would replace the file between our reading and our writing it."""
    folder = path.absolute().parent
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
