"""Codes in files: round trips, files written by hand and by scipy, and files that are not what they should be."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from quell.errors import DataError, InputError, StorageError, TooLargeError
from quell.qec.codes import (
    CSSCode,
    LinearCode,
    bivariate_bicycle,
    hamming_code,
    read_checks,
    read_code,
    read_css_code,
    rotated_surface_code,
    write_checks,
    write_code,
)
from quell.qec.codes.alist import parse_alist, to_alist

SUFFIXES = (".alist", ".mtx", ".npz")
STEANE = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]

# The Hamming code as its alist is given in textbooks: first full of zeros, then without them.
HAMMING_ALIST = """7 3
3 4
1 1 2 1 2 2 3
4 4 4
1 0 0
2 0 0
1 2 0
3 0 0
1 3 0
2 3 0
1 2 3
1 3 5 7
2 3 6 7
4 5 6 7
"""

matrices = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1))


@settings(deadline=None)
@given(matrix=matrices)
def test_matrices_come_back_as_written(tmp_path_factory: pytest.TempPathFactory, matrix: NDArray[np.uint8]) -> None:
    folder = tmp_path_factory.mktemp("matrices")
    for suffix in SUFFIXES:
        path = folder / f"matrix.code{suffix}"
        for given_matrix in (matrix, scipy.sparse.csr_array(matrix)):
            write_checks(path, given_matrix)
            assert np.array_equal(read_checks(path), matrix)
        assert [file.name for file in folder.iterdir()] == [path.name]
        code = read_code(path)
        assert isinstance(code, LinearCode)
        assert np.array_equal(code.checks, matrix)
        path.unlink()
    # Without the zeros that fill up, and with blank lines for what is empty, it is the same matrix.
    short = "\n".join(line.replace(" 0", "") if i > 3 else line for i, line in enumerate(to_alist(matrix).splitlines()))
    assert np.array_equal(parse_alist(short), matrix)
    assert np.array_equal(parse_alist("\n".join(" ".join(w for w in line.split() if w != "0") if i > 3 else line
                                                for i, line in enumerate(short.splitlines()))), matrix)  # fmt: skip


def test_matrices_without_rows(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        write_checks(tmp_path / f"free{suffix}", np.zeros((0, 3)))
        assert read_checks(tmp_path / f"free{suffix}").shape == (0, 3)
        with pytest.raises(InputError, match="matrix has no columns"):
            write_checks(tmp_path / f"none{suffix}", np.zeros((3, 0)))


def test_an_alist_written_by_hand(tmp_path: Path) -> None:
    assert to_alist(STEANE) == HAMMING_ALIST
    for text in (HAMMING_ALIST, HAMMING_ALIST.replace(" 0", ""), HAMMING_ALIST.replace("\n", "\r\n") + "\n\n"):
        (tmp_path / "hamming.alist").write_text(text)
        code = read_code(tmp_path / "hamming.alist")
        assert isinstance(code, LinearCode)
        assert (code.name, code.parameters) == ("hamming", (7, 4))
        assert np.array_equal(code.checks, STEANE)


def test_scipy_reads_and_writes_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    matrix = (rng.random((40, 70)) < 0.1).astype(np.uint8)
    write_checks(tmp_path / "ours.mtx", matrix)
    assert np.array_equal(scipy.io.mmread(tmp_path / "ours.mtx").toarray(), matrix)
    for number, fields in enumerate(({"field": "integer"}, {"field": "real"}, {"field": "pattern"}, {})):
        path = tmp_path / f"theirs{number}.mtx"
        scipy.io.mmwrite(path, scipy.sparse.coo_array(matrix), comment="by scipy", **fields)
        assert np.array_equal(read_checks(path), matrix)
    scipy.io.mmwrite(tmp_path / "dense.mtx", matrix)
    assert np.array_equal(read_checks(tmp_path / "dense.mtx"), matrix)
    symmetric = np.triu(matrix[:, :40]) | np.triu(matrix[:, :40]).T
    scipy.io.mmwrite(tmp_path / "symmetric.mtx", scipy.sparse.coo_array(symmetric), symmetry="symmetric")
    assert np.array_equal(read_checks(tmp_path / "symmetric.mtx"), symmetric)
    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_matrix, scipy.sparse.coo_array):
        scipy.sparse.save_npz(tmp_path / "theirs.npz", kind(matrix))
        assert np.array_equal(read_checks(tmp_path / "theirs.npz"), matrix)
    code = read_code(tmp_path / "theirs.npz")
    assert isinstance(code, LinearCode)
    assert code.name == "theirs"


def same(one: Any, other: Any) -> bool:
    fields = ("x_checks", "z_checks", "x_signs", "z_signs", "logical_x", "logical_z", "coordinates", "symmetries",
              "name", "k")  # fmt: skip
    return all(np.array_equal(getattr(one, field), getattr(other, field)) for field in fields)


def test_css_codes_come_back_whole_from_npz(tmp_path: Path) -> None:
    signed = CSSCode(STEANE, STEANE, x_signs=[1, -1, 1], z_signs=[-1, 1, 1], logical_x=np.ones((1, 7)), name="Steane²")
    bicycle = bivariate_bicycle(6, 6, "x^3 + y + y^2", "y^3 + x + x^2")
    for code in (signed, bicycle, rotated_surface_code(3), CSSCode([], STEANE)):
        assert write_code(tmp_path / "code.npz", code) == (tmp_path / "code.npz",)
        assert same(read_code(tmp_path / "code.npz"), code)
    linear = hamming_code(3)
    write_code(tmp_path / "linear.npz", linear)
    back = read_code(tmp_path / "linear.npz")
    assert isinstance(back, LinearCode)
    assert (back.name, back.checks.tolist()) == ("Hamming 7", linear.checks.tolist())
    with pytest.raises(DataError, match=r"must hold one array named checks.*: read it with read_code"):
        read_checks(tmp_path / "code.npz")


@pytest.mark.parametrize("suffix", [".alist", ".mtx"])
def test_css_codes_are_pairs_of_other_files(tmp_path: Path, suffix: str) -> None:
    code = rotated_surface_code(3)
    pair = write_code(tmp_path / f"d.3{suffix}", code)
    assert sorted(tmp_path.iterdir()) == [tmp_path / f"d.3.x{suffix}", tmp_path / f"d.3.z{suffix}"] == list(pair)
    back = read_code(tmp_path / f"d.3{suffix}")
    assert isinstance(back, CSSCode)
    assert np.array_equal(back.x_checks, code.x_checks)
    assert np.array_equal(back.z_checks, code.z_checks)
    assert (back.name, back.coordinates) == ("d.3", None)
    other = read_css_code(pair[1], pair[0], name="turned")
    assert (other.name, other.z_checks.tolist()) == ("turned", code.x_checks.tolist())
    half = read_code(pair[0])
    assert isinstance(half, LinearCode)
    with pytest.raises(InputError, match=r"cannot hold signs of -1: write signed\.npz"):
        write_code(tmp_path / f"signed{suffix}", CSSCode(STEANE, STEANE, z_signs=[1, 1, -1]))
    write_code(tmp_path / f"d.3{suffix}", hamming_code(3))
    with pytest.raises(InputError, match="move one away, or read one with read_checks"):
        read_code(tmp_path / f"d.3{suffix}")
    (tmp_path / f"d.3{suffix}").unlink()
    pair[1].unlink()
    with pytest.raises(StorageError, match=rf"cannot read .*d\.3\.z\{suffix}: No such file"):
        read_code(tmp_path / f"d.3{suffix}")
    write_checks(pair[1], [[1] + [0] * 8])
    with pytest.raises(DataError, match=r"d\.3\.x.* and .*d\.3\.z.*: X check 0 and Z check 0 do not commute"):
        read_code(tmp_path / f"d.3{suffix}")
    write_checks(pair[1], [[1, 1]])
    with pytest.raises(DataError, match="x_checks must have 2 columns, got 9"):
        read_code(tmp_path / f"d.3{suffix}")


def edited(line: int, text: str) -> str:
    """The alist with one line, counted from 1, replaced."""
    lines = HAMMING_ALIST.splitlines()
    lines[line - 1] = text
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.alist is empty"),
        (" \n\n", "a.alist is empty"),
        ("7", "line 1: expected the numbers of columns and rows, 2 numbers, got 1"),
        ("7 3", "ends early: expected the greatest weights"),
        (edited(1, "7 -3"), "line 1: expected whole numbers of 0 or more, got '-3'"),
        (edited(1, "7 x"), "line 1: expected whole numbers of 0 or more, got 'x'"),
        (edited(1, "0 3"), "line 1: there must be at least one column"),
        (edited(1, "8 3"), "line 3: expected the weight of each of 8 columns, 8 numbers, got 7"),
        (edited(1, "7 2"), "line 4: expected the weight of each of 2 rows, 2 numbers, got 3"),
        (edited(2, "2 4"), "line 3: a column has the weight 3, the greatest is 2"),
        (edited(6, "2 1 0"), "line 6: column 2 must have 1 ones, got 2"),
        (edited(6, "4 0 0"), "line 6: column 2 has a one in row 4 of 3"),
        (edited(7, "1 1 0"), "line 7: column 3 names a row twice"),
        (edited(12, "1 3 5 8"), "line 12: row 1 has a one in column 8 of 7"),
        (edited(12, "1 3 5 6"), "row 1 and column 6 meet in a one in the list of the row, but not in that of the col"),
        (edited(14, ""), "ends early: expected the ones of row 3 of 3"),
        ("\n".join(HAMMING_ALIST.splitlines()[:11]), "ends early: expected the ones of row 1 of 3"),
        (HAMMING_ALIST + "1 2", "line 15: nothing may follow"),
        (edited(1, "7 3.0"), "got '3.0'"),
        ("π", "a.alist is no text: byte 0 is 0xcf"),
    ],
)
def test_bad_alists_say_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.alist").write_text(text)
    for read in (read_checks, read_code):
        with pytest.raises(DataError, match=message):
            read(tmp_path / "a.alist")


MATRIX_MARKET = "%%MatrixMarket matrix coordinate pattern general\n2 3 2\n1 1\n2 3\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.mtx is empty"),
        ("1 2 3\n", "a.mtx is no matrix in MatrixMarket format: Line 1"),
        (MATRIX_MARKET.replace("2 3\n", ""), "a.mtx is no matrix in MatrixMarket format: "),
        (MATRIX_MARKET.replace("1 1", "3 1"), "Line 3: Row index out of bounds"),
        (MATRIX_MARKET.replace("1 1", "1 0"), "Line 3: Column index out of bounds"),
        (MATRIX_MARKET.replace("1 1", "1 x"), "Line 3"),
        (MATRIX_MARKET + "2 2\n", "Line 5"),
        (MATRIX_MARKET.replace("1 1", "2 3"), r"the matrix must hold 0 and 1 only, got 2\.0 in row 1, column 2"),
        (MATRIX_MARKET.replace("pattern", "integer").replace("1 1", "1 1 1").replace("\n2 3\n", "\n2 3 -1\n"),
         "the matrix must hold 0 and 1 only, got -1 in row 1, column 2"),
        (MATRIX_MARKET.replace("pattern", "complex").replace("1 1", "1 1 1 0").replace("\n2 3\n", "\n2 3 1 0\n"),
         "its numbers are complex"),
    ],
)  # fmt: skip
def test_bad_matrix_market_files_say_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.mtx").write_text(text)
    with pytest.raises(DataError, match=message):
        read_checks(tmp_path / "a.mtx")


class Opened:
    """What runs if a file of it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("it was unpickled",))


def npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.npz is no npz file of a code: No data left"),
        (b"hello", "a.npz is no npz file"),
        (npz(checks=np.eye(2))[:100], "a.npz is no npz file"),
        (pickle.dumps(Opened()), "a.npz is no npz file"),
        (npz(checks=np.array([Opened()], dtype=object)), "a.npz is no npz file of a code: Object arrays cannot be"),
        (npz(other=np.eye(2)), "a.npz must hold the array checks, or x_checks and z_checks.*got other"),
        (npz(), "a.npz must hold the array checks.*got nothing"),
        (npz(x_checks=np.eye(2)), "must hold the array checks, or x_checks and z_checks"),
        (npz(x_checks=[[1, 1]], z_checks=[[1, 1]], more=1), "got more, x_checks, z_checks"),
        (npz(checks=np.ones(3)), "a.npz: checks must be a matrix, got 1 dimensions"),
        (npz(checks=np.full((1, 2), 2)), "a.npz: checks must hold 0 and 1 only, got 2"),
        (npz(checks=np.zeros((2, 0))), "a.npz: checks has no columns"),
        (npz(x_checks=[[1, 0]], z_checks=[[1, 1]]), "a.npz: X check 0 and Z check 0 do not commute"),
        (npz(x_checks=[[1, 1]], z_checks=[[1, 1]], symmetries=[[0, 0]]), "a.npz: symmetry 0 is no permutation"),
        (npz(format="csr", shape=[2, 2], data=[1]), "a.npz is no npz file of a code"),
    ],
)
def test_bad_npz_files_say_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_code(tmp_path / "a.npz")


def test_npz_files_of_other_kinds(tmp_path: Path) -> None:
    with open(tmp_path / "single.npz", "wb") as file:
        np.save(file, np.eye(2))
    with pytest.raises(DataError, match="it holds a single array without a name"):
        read_code(tmp_path / "single.npz")
    # One bit of a compressed array turned.
    write_checks(tmp_path / "turned.npz", np.eye(50))
    content = bytearray((tmp_path / "turned.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "turned.npz") as archive:
        place = archive.infolist()[0].header_offset + 60 + archive.infolist()[0].compress_size // 2
    content[place] ^= 1
    (tmp_path / "turned.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"turned\.npz is no npz file of a code"):
        read_code(tmp_path / "turned.npz")


def test_matrices_too_large_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.alist").write_text("100000 100000\n3 3\n")
    (tmp_path / "a.mtx").write_text("%%MatrixMarket matrix coordinate pattern general\n100000 100000 0\n")
    scipy.sparse.save_npz(tmp_path / "a.npz", scipy.sparse.csr_array((100_000, 100_000)))
    for suffix in SUFFIXES:
        with pytest.raises(TooLargeError, match=r"100000 rows and 100000 columns are 1\.0e\+10 entries, the limit is"):
            read_code(tmp_path / f"a{suffix}")


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    code = hamming_code(3)
    for name in ("code.txt", "code", "code.ALIST", ".alist"):
        for function in (read_checks, read_code, lambda path: write_code(path, code), lambda p: write_checks(p, [[1]])):
            with pytest.raises(InputError, match=r"must end in \.alist, \.mtx or \.npz"):
                function(tmp_path / name)
    for suffix in SUFFIXES:
        with pytest.raises(StorageError, match=r"cannot read .*: No such file or directory"):
            read_code(tmp_path / f"missing{suffix}")
        with pytest.raises(StorageError, match="make its folder first: mkdir -p"):
            write_code(str(tmp_path / "missing" / f"code{suffix}"), code)
        (tmp_path / f"folder{suffix}").mkdir()
        with pytest.raises(StorageError, match="Is a directory"):
            read_code(tmp_path / f"folder{suffix}")
        with pytest.raises(StorageError, match="cannot write"):
            write_code(tmp_path / f"folder{suffix}", code)
    with pytest.raises(InputError, match="code must be a CSSCode or a LinearCode, got list"):
        write_code(tmp_path / "code.npz", [[1, 1]])  # type: ignore[arg-type]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.alist", "folder.mtx", "folder.npz"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_code(tmp_path / "code.alist", hamming_code(3))

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(StorageError, match="No space left on device"):
        write_code(tmp_path / "code.alist", hamming_code(4))
    assert [file.name for file in tmp_path.iterdir()] == ["code.alist"]
    assert read_checks(tmp_path / "code.alist").shape == (3, 7)
