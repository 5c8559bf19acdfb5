"""The results file: sinter's CSV, used as a ledger that several processes and tools may add to at once.

Rows are only ever appended, each append is one write under a file lock, and nothing counts as reported before
its row is in the file. So a run that is killed loses at most the batches that were still being sampled.
"""

import collections
import contextlib
import csv
import errno
import fcntl
import io
import itertools
import json
import os
import secrets
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import NoReturn

import sinter

from quell.errors import DataError, StorageError
from quell.whole_files import no_folder_hint

__all__ = ["ResultsFile", "csv_lines", "metadata_text", "read_stats"]

_COLUMNS = [name.strip() for name in sinter.CSV_HEADER.split(",")]
_REQUIRED = [name for name in _COLUMNS if name != "custom_counts"]
_MAX_FIELD = 100_000  # characters; sinter's reader refuses a field of more than 131,072
_LOCK_SECONDS = 30.0
_ROWS_OF_A_COPY = 3  # with the header: one or two rows may well come out alike by chance
_field_limit_lock = threading.Lock()


def read_stats(*paths: str | os.PathLike[str], unlike: "ResultsFile | None" = None) -> list[sinter.TaskStats]:
    """Reads CSV files written by sinter or quell, and sums the rows of each task.

    A file that is named twice, by whatever path or link, is counted once. Whether two files of the same content are
    a copy or two short runs that came out alike cannot be known, so both count, and a warning says so.

    Args:
        *paths: The files.
        unlike: A file in use, of which a copy is warned of too.

    Returns:
        One `sinter.TaskStats` for each task (each `strong_id`), in the order of first appearance.

    Raises:
        StorageError: A file cannot be read.
        DataError: A file is empty, cut off, or not a CSV of sinter's; the message names file and line.

    Examples:
        >>> import pathlib, tempfile
        >>> from quell.qec import read_stats
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "sweep.csv"
        >>> _ = path.write_text(
        ...     "shots,errors,discards,seconds,decoder,strong_id,json_metadata,custom_counts\\n"
        ...     '1000,42,0,0.1,pymatching,9c31,"{""d"":9}",\\n'
        ...     '3000,24,0,0.1,pymatching,9c31,"{""d"":9}",\\n')
        >>> read_stats(path, path)
        [sinter.TaskStats(strong_id='9c31', decoder='pymatching', json_metadata={'d': 9}, shots=4000, errors=66, seconds=0.2)]
        >>> folder.cleanup()
    """  # noqa: E501 (the last line is what Python prints)
    contents: dict[tuple[int, int], tuple[bytes, Path]] = {}
    for path in map(Path, paths):
        try:
            with path.expanduser().open("rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_dev, status.st_ino) not in contents:
                    contents[status.st_dev, status.st_ino] = (file.read(), path)
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
    in_use = [] if unlike is None else [(unlike.content(), unlike.path)]
    _warn_of_copies([*in_use, *contents.values()])
    total: dict[str, sinter.TaskStats] = {}
    for content, path in contents.values():
        columns, start = _read_header(content, path)
        for row in _parse_rows(content[start:], columns, path, first_line=2):
            _add(total, row, path)
    return list(total.values())


def _warn_of_copies(contents: list[tuple[bytes, Path]]) -> None:
    """Warns of every file with which another one begins, if it has rows enough to make that strange."""
    # In sorted order a file stands directly before those that begin with it.
    for (content, path), (longer, other) in itertools.pairwise(sorted(contents)):
        if content.count(b"\n") > _ROWS_OF_A_COPY and longer.startswith(content):
            warnings.warn(
                f"{other} begins with all rows of {path}: if that is a copy, its shots are counted twice; "
                f"name only one of them",
                stacklevel=3,
            )


def _add(total: dict[str, sinter.TaskStats], stat: sinter.TaskStats, path: Path) -> None:
    known = total.get(stat.strong_id)
    if known is None:
        total[stat.strong_id] = stat
        return
    if (known.decoder, known.json_metadata) != (stat.decoder, stat.json_metadata):
        raise DataError(
            f"{path}: two rows share strong_id {stat.strong_id[:12]}… but not decoder and metadata: "
            f"{known.decoder} {known.json_metadata} and {stat.decoder} {stat.json_metadata}; one was edited"
        )
    total[stat.strong_id] = known + stat


def _read_header(content: bytes, path: Path) -> tuple[list[str], int]:
    """Returns the column names and the position where the rows begin."""
    if not content.strip():
        raise DataError(f"{path} is empty: expected the header {','.join(_COLUMNS)}")
    first, newline, _ = content.partition(b"\n")
    try:
        names = next(csv.reader([first.decode("utf-8-sig", errors="replace")]), [])
    except csv.Error:
        names = []
    columns = [name.strip() for name in names]
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"{path} is not a results file: its header lacks {', '.join(missing)}; "
            f"expected the columns of sinter, {','.join(_COLUMNS)}"
        )
    return columns, len(first) + len(newline)


def _parse_rows(content: bytes, columns: list[str], path: Path, first_line: int) -> Iterator[sinter.TaskStats]:
    """Yields the rows; `content` starts at a row, and must end with a whole one."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file: {error}") from error
    try:
        with _no_field_limit():
            rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}") from error
    for index, fields in enumerate(rows):
        if not any(field.strip() for field in fields):
            continue
        where = f"{path}, line {first_line + index}"
        # A last row without its newline may be whole, since editors drop it; one that was cut off lacks fields.
        unfinished = index == len(rows) - 1 and not text.endswith("\n")
        try:
            if len(fields) == len(columns) - 1 and columns[-1] == "custom_counts" and not unfinished:
                fields = [*fields, ""]  # sinter's reader allows this too
            stat = _parse_row(dict(zip(columns, fields, strict=True)))
        except (ValueError, TypeError, KeyError, AssertionError) as error:
            if [field.strip() for field in fields] == columns:
                raise DataError(
                    f"{where}: the header stands here again, as when files are joined with cat: "
                    f"join them with `sinter combine a.csv b.csv`"
                ) from error
            if unfinished:
                raise DataError(
                    f"{where}: the file is cut off in the middle of this row, which was never reported; "
                    f"delete the line and go on"
                ) from error
            raise DataError(f"{where}: not a row of a results file ({error}): {','.join(fields)[:80]!r}") from error
        yield stat


def _parse_row(row: dict[str, str]) -> sinter.TaskStats:
    numbers = {name: int(row[name]) for name in ("shots", "errors", "discards")}
    if min(numbers.values()) < 0 or numbers["errors"] + numbers["discards"] > numbers["shots"]:
        raise ValueError(f"{numbers} are impossible counts")
    counts = json.loads(row["custom_counts"]) if row.get("custom_counts") else {}
    if not isinstance(counts, dict) or not all(isinstance(value, int) for value in counts.values()):
        raise ValueError("custom_counts must map names to integers")
    return sinter.TaskStats(
        strong_id=row["strong_id"],
        decoder=row["decoder"],
        json_metadata=json.loads(row["json_metadata"]),
        seconds=float(row["seconds"]),
        custom_counts=collections.Counter(counts),
        **numbers,
    )


@contextlib.contextmanager
def _no_field_limit() -> Iterator[None]:
    """Lets the csv module read fields of any length, and sets its limit back."""
    with _field_limit_lock:
        limit = csv.field_size_limit(2**31 - 1)
        try:
            yield
        finally:
            csv.field_size_limit(limit)


def csv_lines(stat: sinter.TaskStats) -> str:
    """Returns the rows that hold `stat`, each ending with a newline.

    It is one row, unless its custom counts would make a field that sinter cannot read back: then the further
    counts follow in rows of zero shots, which sum up to the same on reading.
    """
    pieces: list[dict[str, int]] = [{}]
    length = 0
    for key, count in sorted(stat.custom_counts.items()):
        width = len(json.dumps(key)) + len(str(count)) + 2
        if length + width > _MAX_FIELD and pieces[-1]:
            pieces.append({})
            length = 0
        pieces[-1][key] = int(count)
        length += width
    first = stat.with_edits(custom_counts=collections.Counter(pieces[0])) if len(pieces) > 1 else stat
    rows = [first] + [
        stat.with_edits(shots=0, errors=0, discards=0, seconds=0, custom_counts=collections.Counter(piece))
        for piece in pieces[1:]
    ]
    return "".join(f"{row.to_csv_line()}\n" for row in rows)


class ResultsFile:
    """A CSV file that is being added to. Use it in a `with` statement.

    Args:
        path: The file. It is made, with its folder, if it does not exist; an empty one gets the header.

    Raises:
        StorageError: The file cannot be opened, locked or written.
        DataError: It exists, and is not a CSV of sinter's.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()  # the program may change its folder
        self.patience = _LOCK_SECONDS  # how long to wait for a file that another process has locked
        self._name = path
        self._descriptor = -1
        self._position = 0  # up to here the file was read
        self._line = 1

    def __enter__(self) -> "ResultsFile":
        try:
            self.path.parent.mkdir(exist_ok=True)  # one folder, as sinter does; more may be a slip of the pen
            if not self.path.exists():
                _create_with_header(self.path)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise StorageError(f"cannot save to {self._name}: {error.strerror}{no_folder_hint(self.path)}") from error
        try:
            if not S_ISREG(os.fstat(self._descriptor).st_mode):
                raise StorageError(f"cannot save to {self._name}: it is not a regular file")
            with self._locked():
                if os.fstat(self._descriptor).st_size == 0:
                    self._write((sinter.CSV_HEADER + "\n").encode(), at=0)
        except BaseException:
            os.close(self._descriptor)
            self._descriptor = -1
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            # What a full or failing disk says this late is about rows that were reported: it must be heard.
            try:
                os.fsync(self._descriptor)
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def content(self) -> bytes:
        """Everything that is in the file now."""
        return self._read(0, os.fstat(self._descriptor).st_size)

    def same_file(self, path: str | os.PathLike[str]) -> bool:
        """Tells whether `path` is this file under another name."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._descriptor))
        except OSError:
            return False

    def read_new(self) -> list[sinter.TaskStats]:
        """Returns the rows, not summed, that others added since the last call; the first call returns all."""
        with self._locked():
            return self._read_new()

    def append(self, stat: sinter.TaskStats) -> list[sinter.TaskStats]:
        """Adds `stat` in one write, and returns the rows that others added since the last call."""
        data = csv_lines(stat).encode()
        with self._locked():
            theirs = self._read_new()
            self._write(data, at=self._position)
            self._position += len(data)
            self._line += data.count(b"\n")
        return theirs

    def _read_new(self) -> list[sinter.TaskStats]:
        size = os.fstat(self._descriptor).st_size
        if size < self._position:
            raise StorageError(f"{self._name} became shorter while it was in use: something else rewrote it")
        content = self._read(self._position, size)
        if self._position == 0:
            columns, start = _read_header(content, self.path)
            if columns != _COLUMNS:
                raise DataError(
                    f"cannot add to {self._name}: its columns are {','.join(columns)}, not {','.join(_COLUMNS)}; "
                    f"convert it with `sinter combine {self._name}`"
                )
            content = content[start:]
            self._line = 2
        rows = list(_parse_rows(content, _COLUMNS, self.path, first_line=self._line))
        self._line += content.count(b"\n")
        self._position = size
        if content and not content.endswith(b"\n"):
            self._write(b"\n", at=size)
            self._position += 1
            self._line += 1
        return rows

    def _read(self, start: int, end: int) -> bytes:
        pieces = []
        while start < end:
            piece = os.pread(self._descriptor, end - start, start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def _write(self, data: bytes, at: int) -> None:
        """Appends `data` at position `at`, the end of the file, whole or not at all."""
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, at)
            self._refuse(error)

    def _refuse(self, error: OSError) -> NoReturn:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        way_out = "make room and run again to go on from there" if full else "run again to go on from there"
        raise StorageError(
            f"cannot save to {self._name}: {error.strerror}; all that was reported is in the file, {way_out}"
        ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        begin = time.monotonic()
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                waited = time.monotonic() - begin
                if waited > self.patience:
                    raise StorageError(
                        f"{self._name} has been locked by another process for {waited:.1f} s: "
                        f"end that process, or save to another file"
                    ) from error
                time.sleep(0.01)
            except OSError as error:
                raise StorageError(
                    f"cannot lock {self._name}: {error.strerror}; save to a file system that knows file locks, "
                    f"a local one for example, and copy the file afterwards"
                ) from error
        try:
            self._check_not_replaced()
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _check_not_replaced(self) -> None:
        if not self.same_file(self.path):
            raise StorageError(f"{self._name} was removed or replaced while it was in use")


def _create_with_header(path: Path) -> None:
    """Makes the file together with its header, so that nobody ever sees it without; leaves an existing one alone.

    Where the file system knows no hard links nothing happens here, and the header is written under the lock.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with open(draft, "x") as file:
        file.write(sinter.CSV_HEADER + "\n")
    try:
        with contextlib.suppress(OSError):
            os.link(draft, path)
    finally:
        draft.unlink()


def metadata_text(metadata: object) -> str:
    """Returns metadata as it stands in a file: the same text for the same metadata, whatever the order of its keys."""
    return json.dumps(metadata, separators=(",", ":"), sort_keys=True)
