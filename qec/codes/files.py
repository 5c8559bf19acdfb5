"""Codes in files, by their suffixes: `.alist` (MacKay), `.mtx` (MatrixMarket, coordinates) and `.npz` (numpy).

A classical code is one file. A CSS code is one `.npz` file, or two files of the other formats: `steane.x.alist` and
`steane.z.alist`, which reading and writing know by `steane.alist`. Only `.npz` holds what is no check matrix: signs,
logicals, coordinates, symmetries and the name. Nothing is ever unpickled.
"""

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import DataError, InputError, TooLargeError
from quell.qec.codes.alist import LARGEST_MATRIX, parse_alist, to_alist
from quell.qec.codes.css import CSSCode
from quell.qec.codes.gf2 import as_bits
from quell.qec.codes.linear import LinearCode
from quell.whole_files import read_file, write_whole

__all__ = ["read_checks", "read_code", "read_css_code", "write_checks", "write_code"]

Bits = NDArray[np.uint8]
PathLike = str | os.PathLike[str]

_SUFFIXES = (".alist", ".mtx", ".npz")
_UNREADABLE = (ValueError, OverflowError, TypeError, KeyError, EOFError, OSError, RuntimeError, MemoryError)
_OPTIONAL = ("x_signs", "z_signs", "logical_x", "logical_z", "coordinates", "symmetries")


def read_checks(path: PathLike) -> Bits:
    """Returns the matrix that a file holds, uint8 (R, n).

    Args:
        path: An `.alist` or `.mtx` file; or an `.npz` file of `write_checks` or of `scipy.sparse.save_npz`.

    Raises:
        InputError: The suffix is another.
        DataError: The file is empty or cut off, or holds anything but one matrix of 0 and 1.
        TooLargeError: The matrix would have more than 4·10^8 entries.
        StorageError: The file cannot be read.
    """
    path = _known(path)
    if path.suffix == ".npz":
        arrays = _arrays(path)
        if "checks" not in arrays:
            hint = ": read it with read_code" if "x_checks" in arrays else f", got {', '.join(arrays) or 'nothing'}"
            raise DataError(f"{path} must hold one array named checks, or a sparse matrix of scipy{hint}")
        return _bits(path, "checks", arrays["checks"])
    content = read_file(path)
    if path.suffix == ".alist":
        try:
            text = content.decode("ascii")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text: byte {error.start} is {content[error.start]:#x}") from None
        return parse_alist(text, str(path))
    return _matrix_market(path, content)


def write_checks(path: PathLike, matrix: ArrayLike) -> None:
    """Writes a matrix of 0 and 1, whole or not at all. A file of that name is replaced.

    Args:
        path: Ends in `.alist`, `.mtx` or `.npz`.
        matrix: (R, n), or a sparse matrix of scipy.

    Raises:
        InputError: The suffix is another, or the matrix is not of 0 and 1 or has no columns.
        StorageError: The file cannot be written; nothing has changed then.

    Examples:
        >>> import pathlib, tempfile
        >>> from quell.qec.codes import read_checks, write_checks
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_checks(f"{folder}/repetition.mtx", [[1, 1, 0], [0, 1, 1]])
        ...     print(pathlib.Path(folder, "repetition.mtx").read_text(), read_checks(f"{folder}/repetition.mtx"))
        %%MatrixMarket matrix coordinate pattern general
        2 3 4
        1 1
        1 2
        2 2
        2 3
         [[1 1 0]
         [0 1 1]]
    """
    path = _known(path)
    bits = as_bits("matrix", matrix)
    if bits.shape[1] == 0:
        raise InputError("matrix has no columns: there is nothing to write")
    if path.suffix == ".npz":
        write_whole(path, _packed({"checks": bits}))
    elif path.suffix == ".alist":
        write_whole(path, to_alist(bits).encode())
    else:
        rows, columns = (np.nonzero(bits)[axis] + 1 for axis in (0, 1))
        lines = [f"{row} {column}\n" for row, column in zip(rows.tolist(), columns.tolist(), strict=True)]
        head = f"%%MatrixMarket matrix coordinate pattern general\n{len(bits)} {bits.shape[1]} {len(lines)}\n"
        write_whole(path, (head + "".join(lines)).encode())


def read_code(path: PathLike) -> CSSCode | LinearCode:
    """Returns the code that a file, or a pair of files, holds.

    Args:
        path: A file with one matrix of checks, for a classical code; an `.npz` file of `write_code`; or the name that
            a pair has in common: `steane.mtx` for `steane.x.mtx` and `steane.z.mtx`. For pairs with other names, and
            for classical codes known to be one half of a pair, see `read_css_code` and `read_checks`.

    Returns:
        A code that is named after the file, where the file itself gives no name.

    Raises:
        InputError: The suffix is none of the three, or there are both a file and a pair of that name.
        DataError: A file is empty, cut off or contradicts itself, or the checks of the pair do not commute.
        TooLargeError: A matrix would have more than 4·10^8 entries.
        StorageError: A file cannot be read.
    """
    path = _known(path)
    if path.suffix != ".npz":
        pair = _pair(path)
        found = [each for each in pair if each.exists()]
        if found and path.exists():
            raise InputError(f"there are {path} and {found[0]}: move one away, or read one with read_checks")
        return read_css_code(*pair, name=path.stem) if found else _linear(path, read_checks(path), path.stem)
    arrays = _arrays(path)
    name = str(arrays.pop("name", path.stem))
    if set(arrays) == {"checks"}:
        return _linear(path, _bits(path, "checks", arrays["checks"]), name)
    unknown = sorted(set(arrays) - {"x_checks", "z_checks", *_OPTIONAL})
    if unknown or not {"x_checks", "z_checks"} <= set(arrays):
        raise DataError(
            f"{path} must hold the array checks, or x_checks and z_checks and maybe {', '.join(_OPTIONAL)}, "
            f"got {', '.join(sorted(arrays)) or 'nothing'}"
        )
    return _css(str(path), name=name, **arrays)


def read_css_code(x_checks: PathLike, z_checks: PathLike, *, name: str = "") -> CSSCode:
    """Returns the CSS code whose checks are two files, each as `read_checks` reads it.

    Args:
        x_checks: The file of H_X.
        z_checks: The file of H_Z.
        name: Of the code.

    Raises:
        InputError: A suffix is none of the three.
        DataError: A file is empty, cut off or contradicts itself, or the checks do not commute.
        TooLargeError: A matrix would have more than 4·10^8 entries.
        StorageError: A file cannot be read.
    """
    first, second = Path(x_checks), Path(z_checks)
    matrices = {"x_checks": read_checks(first), "z_checks": read_checks(second)}
    return _css(f"{first} and {second}", name=name, **matrices)


def write_code(path: PathLike, code: CSSCode | LinearCode) -> tuple[Path, ...]:
    """Writes a code, each file whole or not at all, and returns the files. Files of those names are replaced.

    Args:
        path: Ends in `.alist`, `.mtx` or `.npz`. Of a CSS code, `steane.alist` writes `steane.x.alist` and
            `steane.z.alist`, and drops logicals, coordinates, symmetries and the name; `steane.npz` keeps them.
        code: Any code.

    Raises:
        InputError: The suffix is another; or a sign is -1, which only `.npz` can hold.
        StorageError: A file cannot be written; that file has not changed then.

    Examples:
        >>> import tempfile
        >>> from quell.qec.codes import bivariate_bicycle, read_code, write_code
        >>> code = bivariate_bicycle(6, 6, "x^3 + y + y^2", "y^3 + x + x^2")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [file.name for file in write_code(f"{folder}/bicycle.alist", code)]
        ...     read_code(f"{folder}/bicycle.alist")
        ['bicycle.x.alist', 'bicycle.z.alist']
        <bicycle: [[72, 12]] CSS code, 36 X and 36 Z checks>
    """
    path = _known(path)
    if isinstance(code, LinearCode):
        if path.suffix == ".npz":
            write_whole(path, _packed({"checks": code.checks, "name": np.array(code.name)}))
        else:
            write_checks(path, code.checks)
        return (path,)
    if not isinstance(code, CSSCode):
        raise InputError(f"code must be a CSSCode or a LinearCode, got {type(code).__name__}")
    if path.suffix == ".npz":
        held = {field: getattr(code, field) for field in ("x_checks", "z_checks", *_OPTIONAL)}
        kept = {field: value for field, value in held.items() if value is not None}
        write_whole(path, _packed({**kept, "name": np.array(code.name)}))
        return (path,)
    if (code.x_signs == -1).any() or (code.z_signs == -1).any():
        raise InputError(f"{path.suffix} cannot hold signs of -1: write {path.with_suffix('.npz').name}")
    pair = _pair(path)
    for each, checks in zip(pair, (code.x_checks, code.z_checks), strict=True):
        write_checks(each, checks)
    return pair


def _known(path: PathLike) -> Path:
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}, for that is its format")
    return path


def _pair(path: Path) -> tuple[Path, Path]:
    return path.with_suffix(f".x{path.suffix}"), path.with_suffix(f".z{path.suffix}")


def _linear(path: Path, checks: Bits, name: str) -> LinearCode:
    with _as_data(str(path)):
        return LinearCode(checks, name=name)


def _css(where: str, **fields: Any) -> CSSCode:
    with _as_data(where):
        return CSSCode(**fields)


def _bits(path: Path, name: str, array: Any) -> Bits:
    with _as_data(str(path)):
        return as_bits(name, array)


@contextlib.contextmanager
def _as_data(where: str) -> Iterator[None]:
    """What is wrong with an argument is wrong with the file that it came from."""
    try:
        yield
    except TooLargeError:
        raise
    except InputError as error:
        raise DataError(f"{where}: {error}") from error


def _matrix_market(path: Path, content: bytes) -> Bits:
    from scipy.io import mminfo, mmread

    if not content.strip():
        raise DataError(f"{path} is empty: expected a matrix in MatrixMarket format")
    try:
        rows, columns, _, _, kind, _ = mminfo(io.BytesIO(content))
        _check_entries(path, int(rows), int(columns))
        if kind == "complex":
            raise ValueError("its numbers are complex, and must be 0 and 1")
        matrix = mmread(io.BytesIO(content))
    except TooLargeError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"{path} is no matrix in MatrixMarket format: {error}") from error
    return _bits(path, "the matrix", matrix)


def _arrays(path: Path) -> dict[str, Any]:
    """All arrays of an `.npz` file; a sparse matrix of scipy's comes as `checks`."""
    content = io.BytesIO(read_file(path))
    try:
        file = np.load(content, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array without a name")
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
        if {"format", "shape", "data"} <= set(arrays):
            from scipy.sparse import load_npz

            _check_entries(path, *(int(size) for size in arrays["shape"]))
            content.seek(0)
            return {"checks": load_npz(content).toarray()}
    except TooLargeError:
        raise
    except (*_UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is no npz file of a code: {error}") from error
    return arrays


def _check_entries(path: Path, rows: int, columns: int) -> None:
    if rows * columns > LARGEST_MATRIX:
        raise TooLargeError(
            f"{path}: {rows} rows and {columns} columns are {rows * columns:.1e} entries, the limit is "
            f"{LARGEST_MATRIX:.0e}"
        )


def _packed(arrays: dict[str, NDArray[Any]]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return content.getvalue()
