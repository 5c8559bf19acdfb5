"""Detection events from arrays and from files in all of Stim's result formats, in portions of bounded size.

The formats are those of Stim's doc/result_formats.md. Files that hold observables after the detectors, as those of
`stim detect --append_observables`, are read where the caller says so; else they are refused as far as they differ.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, get_args

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.posteriors import check_bit_packed
from quell.errors import DataError, InputError, StorageError, check_integer

__all__ = ["Events", "digests_of", "event_portions"]

Format: TypeAlias = Literal["b8", "01", "dets", "hits", "ptb64", "r8"]

_FORMATS: dict[str, Format] = {f".{kind}": kind for kind in get_args(Format)}  # by the ending of a file's name
_LINES = ("01", "dets", "hits")  # formats with a line a shot
_PORTION_BYTES = 1 << 22
_DIGITS = 32  # of a hash: 128 bits

Events: TypeAlias = NDArray[np.bool_] | NDArray[np.uint8] | str | os.PathLike[str]


def event_portions(
    events: Events, num_detectors: int, *, bit_packed: bool = False, appended_observables: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Yields detection events, uint8 (shots, ceil(D/8)), bit-packed in little-endian order.

    Args:
        events: bool (shots, D), or uint8 of zeros and ones; with `bit_packed` uint8 (shots, ceil(D/8)); or the path of
            a file that ends in .b8, .01, .dets, .hits, .ptb64 or .r8. Files are read a few megabytes at a time, but
            for .r8.
        num_detectors: D.
        bit_packed: Whether an array is bit-packed. It says nothing of files.
        appended_observables: How many bits follow the detectors in each shot; they are left out.

    Raises:
        InputError: An array has another shape or type, or a file another ending.
        DataError: A file is empty, cut off, or its shots have other numbers of bits.
        StorageError: A file cannot be read.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.noise_learning.event_files import event_portions
        >>> [portion.tolist() for portion in event_portions(np.eye(3, dtype=np.bool_), 3)]
        [[[1], [2], [4]]]
    """
    appended = check_integer("appended_observables", appended_observables, minimum=0)
    if isinstance(events, np.ndarray):
        packed = _packed(events, num_detectors + appended, bit_packed)
        _check_padding(packed, num_detectors + appended, InputError("events"))
        if len(packed):
            yield _without_observables(packed, num_detectors, appended)
        return
    if not isinstance(events, (str, os.PathLike)):
        raise InputError(
            f"events must be a numpy array of detection events, or the path of a file of them, got "
            f"{type(events).__name__}"
        )
    path = Path(events).expanduser()
    if path.suffix not in _FORMATS:
        raise InputError(
            f"the format of events is known by the ending of their file, one of {', '.join(_FORMATS)}, got {path}"
        )
    for packed in _portions_of_file(path, _FORMATS[path.suffix], num_detectors, appended):
        _check_padding(packed, num_detectors + appended, DataError(str(path)))
        yield _without_observables(packed, num_detectors, appended)


def digests_of(events: Sequence[Events], taken: frozenset[str], *, again: bool = False) -> frozenset[str]:
    """Returns hashes of the contents of the files among events; pipes, which are read once, have none.

    Args:
        events: Arrays and paths.
        taken: Hashes of files that were taken up before.
        again: Whether a content may come more than once.

    Raises:
        InputError: A file has the content of another one, or of one that was taken up before.
        StorageError: A file cannot be read.
    """
    found: dict[str, Path] = {}
    for one in events:
        if not isinstance(one, (str, os.PathLike)) or not (path := Path(one).expanduser()).is_file():
            continue
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        if not again and digest in taken:
            raise InputError(
                f"{path} was taken up before, or a file of the same content: its shots would count twice; leave it "
                f"out, or say again if it is meant (again=True, --again)"
            )
        if not again and digest in found:
            raise InputError(
                f"{path} and {found[digest]} have the same content: its shots would count twice; name one of them, "
                f"or say again if it is meant (again=True, --again)"
            )
        found[digest] = path
    return frozenset(found)


def _packed(events: NDArray[np.generic], num_bits: int, bit_packed: bool) -> NDArray[np.uint8]:
    got = f"got {events.dtype} of shape {events.shape}"
    width = -(-num_bits // 8) if bit_packed else num_bits
    if events.ndim == 2 and len(events) == width != events.shape[1]:
        raise InputError(
            f"events must have a row for each shot, of {width} {'bytes' if bit_packed else 'detectors'}, {got}: "
            f"transpose? That is events.T"
        )
    if bit_packed:
        return check_bit_packed("events", events, num_bits)
    if events.dtype not in (np.bool_, np.uint8):
        bits = np.issubdtype(events.dtype, np.integer) and bool(((events == 0) | (events == 1)).all())
        hint = "zeros and ones become so with events.astype(bool)" if bits else "1 or True where a detector fired"
        raise InputError(f"events must be bool, or uint8, {got}: {hint}")
    if events.ndim != 2 or events.shape[1] != num_bits:
        packed = events.dtype == np.uint8 and events.shape[1:] == (-(-num_bits // 8),)
        hint = "these look bit-packed: pass bit_packed=True" if packed else "they must be those of the structure"
        raise InputError(f"events must have shape (shots, {num_bits}) for {num_bits} detectors, {got}: {hint}")
    if events.dtype == np.uint8 and events.size and int(events.max()) > 1:
        raise InputError(
            f"events that are not bit-packed must be 0 or 1, got {int(events.max())}: pass bit_packed=True if they are"
        )
    return np.packbits(events.astype(np.bool_), axis=1, bitorder="little")


def _check_padding(packed: NDArray[np.uint8], num_bits: int, error: InputError | DataError) -> None:
    """Raises the error, completed, if bits are set after the last of a shot."""
    if num_bits % 8 and len(packed) and int(packed[:, -1].max()) >> num_bits % 8:
        raise type(error)(
            f"{error}: bits are set after the {num_bits} of a shot, so that shots have more bits than the structure "
            f"has detectors: if observables follow, say how many with appended_observables"
        )


def _without_observables(packed: NDArray[np.uint8], num_detectors: int, appended: int) -> NDArray[np.uint8]:
    if not appended:
        return packed
    kept = packed[:, : -(-num_detectors // 8)].copy()
    if num_detectors % 8:
        kept[:, -1] &= (1 << num_detectors % 8) - 1
    return kept


def _portions_of_file(path: Path, kind: Format, num_detectors: int, appended: int) -> Iterator[NDArray[np.uint8]]:
    """Yields bit-packed shots with their observables."""
    num_bits = num_detectors + appended
    shots = 0
    try:
        with open(path, "rb") as file, tempfile.TemporaryDirectory() as folder:
            _check_size(path, kind, num_detectors, appended)
            for content in _cut(file, kind, num_bits):
                if kind == "b8":
                    packed = np.frombuffer(content, dtype=np.uint8).reshape(-1, -(-num_bits // 8))
                else:
                    portion = Path(folder, f"portion.{kind}")
                    portion.write_bytes(content)
                    packed = _read(path, portion, kind, num_detectors, appended, shots)
                shots += len(packed)
                yield packed
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if not shots:
        raise DataError(f"{path} holds no shots")


def _check_size(path: Path, kind: Format, num_detectors: int, appended: int) -> None:
    """Says at once what the size of a file tells."""
    unit = _bytes_of_unit(kind, num_detectors + appended)
    if unit is None or path.stat().st_size % unit == 0:
        return
    per = "a shot has" if kind == "b8" else "64 shots have"
    raise DataError(
        f"{path} has {path.stat().st_size} bytes, and {per} {unit} with {_bits(num_detectors, appended)}: it is cut "
        f"off, or its shots are of another circuit, or have other numbers of observables appended than said with "
        f"appended_observables"
    )


def _bytes_of_unit(kind: Format, num_bits: int) -> int | None:
    """What a file can be cut into, where that has a fixed size."""
    return -(-num_bits // 8) if kind == "b8" else 8 * num_bits if kind == "ptb64" else None


def _cut(file: BinaryIO, kind: Format, num_bits: int) -> Iterator[bytes]:
    """Cuts a file between shots."""
    unit = _bytes_of_unit(kind, num_bits)
    if unit is not None:
        size = max(1, _PORTION_BYTES // unit) * unit
        while content := file.read(size):
            yield content
    elif kind in _LINES:
        while content := file.read(_PORTION_BYTES):
            yield content + file.readline()
    elif content := file.read():
        yield content


def _read(path: Path, portion: Path, kind: Format, num_detectors: int, appended: int, shots: int) -> NDArray[np.uint8]:
    """Reads a portion of a file, the one after a number of shots, with Stim."""
    with open(portion, "rb") as file:
        first = len(file.readline().rstrip(b"\r\n"))
        if kind in _LINES:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                raise DataError(f"{path} does not end with the end of a line: it is cut off")
    if kind == "01" and first != num_detectors + appended:
        raise DataError(
            f"{path}, after {shots} shots: a shot has {first} characters, expected {_bits(num_detectors, appended)}: "
            f"its shots are of another circuit, or have other numbers of observables appended than said with "
            f"appended_observables"
        )
    try:
        found = stim.read_shot_data_file(
            path=portion, format=kind, num_detectors=num_detectors, num_observables=appended, bit_packed=True
        )
    except ValueError as error:
        raise DataError(
            f"{path}, after {shots} shots: {' '.join(str(error).split())} Expected {_bits(num_detectors, appended)}; "
            f"how many observables are appended is said with appended_observables"
        ) from error
    assert isinstance(found, np.ndarray)  # a pair only if observables are asked for apart
    return found


def _bits(num_detectors: int, appended: int) -> str:
    return f"{num_detectors} detectors" + (f" and {appended} observables" if appended else "")
