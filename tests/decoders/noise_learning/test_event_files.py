"""Detection events from arrays and files: against what Stim wrote, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stim
from numpy.typing import NDArray

from quell.decoders.noise_learning import event_files
from quell.decoders.noise_learning.event_files import event_portions
from quell.errors import DataError, InputError, StorageError

FORMATS = ("b8", "01", "dets", "hits", "ptb64", "r8")
D = 11


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shots(number: int = 640, bits: int = D) -> NDArray[np.bool_]:
    return np.random.default_rng(bits).random((number, bits)) < 0.3


def packed(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(bits, axis=1, bitorder="little")


def read(events: Any, **options: Any) -> list[NDArray[np.uint8]]:
    return list(event_portions(events, D, **options))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("observables", [0, 2, 6])
def test_files_are_read_as_stim_wrote_them(kind: Any, observables: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = shots(bits=D + observables)
    path = f"events.{kind}"
    stim.write_shot_data_file(data=data, path=path, format=kind, num_detectors=D, num_observables=observables)
    [whole] = read(path, appended_observables=observables)
    np.testing.assert_array_equal(whole, packed(data[:, :D]))
    monkeypatch.setattr(event_files, "_PORTION_BYTES", 777)
    portions = read(Path(path), appended_observables=observables)
    assert (len(portions) == 1) == (kind == "r8" or (kind == "ptb64" and Path(path).stat().st_size < 777))
    assert all(len(portion) for portion in portions)
    np.testing.assert_array_equal(np.concatenate(portions), whole)


@pytest.mark.parametrize("width", [1, 8, 11, 16])
def test_arrays_of_all_kinds_are_the_same(width: int) -> None:
    data = shots(5, width)
    for given, bit_packed in ((data, False), (data.astype(np.uint8), False), (packed(data), True)):
        [found] = event_portions(given, width, bit_packed=bit_packed)
        np.testing.assert_array_equal(found, packed(data))
    [found] = event_portions(np.asfortranarray(data), width)
    np.testing.assert_array_equal(found, packed(data))
    [found] = event_portions(np.concatenate([data, data[:, :1]], axis=1), width, appended_observables=1)
    np.testing.assert_array_equal(found, packed(data))
    assert list(event_portions(data[:0], width)) == []


@pytest.mark.parametrize(
    ("events", "options", "message"),
    [
        (shots(3, 12), {}, "must have shape (shots, 11) for 11 detectors, got bool of shape (3, 12)"),
        (shots(3)[0], {}, "got bool of shape (11,)"),
        (packed(shots(3)), {}, "got uint8 of shape (3, 2): these look bit-packed: pass bit_packed=True"),
        (shots(3), {"bit_packed": True}, 'pack them with np.packbits(events, axis=1, bitorder="little")'),
        (
            packed(shots(3, 17)),
            {"bit_packed": True},
            "uint8 of shape (shots, 2) for 11 bits, got uint8 of shape (3, 3)",
        ),
        (packed(shots(9, 12)), {"bit_packed": True}, "bits are set after the 11 of a shot"),
        (
            shots(3).astype(np.int64),
            {},
            "got int64 of shape (3, 11): zeros and ones become so with events.astype(bool)",
        ),
        (np.full((3, D), np.nan), {}, "got float64 of shape (3, 11): 1 or True where a detector fired"),
        (np.full((3, D), None), {}, "got object of shape (3, 11): 1 or True where a detector fired"),
        (np.full((3, D), 7), {}, "got int64 of shape (3, 11): 1 or True where a detector fired"),
        (shots(640).T, {}, "got bool of shape (11, 640): transpose? That is events.T"),
        (packed(shots(640)).T, {"bit_packed": True}, "of 2 bytes, got uint8 of shape (2, 640): transpose?"),
        (shots(3).astype(np.uint8) * 2, {}, "must be 0 or 1, got 2"),
        (shots(3).tolist(), {}, "must be a numpy array of detection events, or the path of a file of them, got list"),
        (None, {}, "got NoneType"),
        (shots(3), {"appended_observables": -1}, "appended_observables must be an integer >= 0, got -1"),
        ("events.csv", {}, "one of .b8, .01, .dets, .hits, .ptb64, .r8, got events.csv"),
        ("events", {}, "got events"),
    ],
)
def test_what_is_no_events_is_refused(events: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read(events, **options)
    assert message in str(error.value)


def written(kind: Any, data: NDArray[np.bool_], observables: int = 0) -> str:
    path = f"events.{kind}"
    bits = data.shape[1] - observables
    stim.write_shot_data_file(data=data, path=path, format=kind, num_detectors=bits, num_observables=observables)
    return path


@pytest.mark.parametrize(
    ("kind", "bits", "observables", "message"),
    [
        ("b8", 17, 0, "has 1923 bytes, and a shot has 2 with 11 detectors"),
        ("b8", 12, 0, "bits are set after the 11 of a shot, so that shots have more bits"),
        ("b8", 13, 2, "if observables follow, say how many with appended_observables"),
        ("ptb64", 13, 0, "64 shots have 88 with 11 detectors"),
        ("01", 12, 0, "after 0 shots: a shot has 12 characters, expected 11 detectors"),
        ("01", 10, 0, "after 0 shots: a shot has 10 characters, expected 11 detectors"),
        ("dets", 12, 0, "Got D11 but expected length of D space to be 11"),
        ("dets", 13, 2, "how many observables are appended is said with appended_observables"),
        ("hits", 13, 0, "hit index is too large. Expected 11 detectors"),
        ("r8", 13, 0, "r8 data jumped past expected end"),
    ],
)
def test_shots_of_another_width_are_refused(kind: str, bits: int, observables: int, message: str) -> None:
    path = written(kind, shots(641 if kind == "b8" else 640, bits), observables)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).startswith(path)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", FORMATS)
def test_files_that_are_cut_off_or_empty_are_refused(kind: str) -> None:
    path = Path(written(kind, shots()))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="holds no shots"):
        read(path)


def test_where_a_file_goes_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files, "_PORTION_BYTES", 30 * (D + 1) - 5)
    path = Path(written("01", shots()))
    lines = path.read_text().splitlines()
    lines[100] = lines[100][:-1] + "2"
    path.write_text("\n".join(lines) + "\n")
    found: list[NDArray[np.uint8]] = []
    with pytest.raises(DataError, match=r"events\.01, after 90 shots: .*character in 01 format data"):
        found.extend(event_portions(path, D))
    assert sum(map(len, found)) == 90
    path.write_bytes(path.read_bytes().replace(b"2", b"1").replace(b"\n", b"\r\n"))
    assert sum(map(len, event_portions(path, D))) == 640


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(StorageError, match=r"cannot read none\.b8: No such file"):
        read("none.b8")
    Path("folder.b8").mkdir()
    with pytest.raises(StorageError, match=r"cannot read folder\.b8: Is a directory"):
        read("folder.b8")
    Path("noise.dets").write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataError, match="after 0 shots"):
        read("noise.dets")
