"""Every wrong way to ask for a sweep gets an error that names the value, the limit and the way out."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import sinter
import stim

import quell
from quell.errors import (
    CircuitError,
    DataError,
    InputError,
    QuellError,
    StorageError,
    TooLargeError,
    UnknownNameError,
)
from quell.qec import read_stats

from .tools import Guess, repetition_task

HEADER = sinter.CSV_HEADER + "\n"
ROW = '1000,42,0,0.1,pymatching,9c31,"{""d"":3,""p"":0.1}",\n'


def sweep_one(**options: object) -> sinter.TaskStats:
    tasks = options.pop("tasks", repetition_task())
    decoders = options.pop("decoders", "pymatching")
    (stat,) = quell.sweep(tasks, decoders, **{"max_shots": 10, "num_workers": 1, **options})  # type: ignore[arg-type]
    return stat


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_shots": None}, InputError, "nothing says when to stop: pass max_shots, max_errors or"),
        ({"max_shots": -1}, InputError, "max_shots must be an integer >= 0, got -1"),
        ({"max_shots": 1e6}, InputError, "max_shots must be an integer >= 0, got 1000000.0"),
        ({"max_shots": 10**18}, InputError, r"max_shots must be <= 10\^15.*core years"),
        ({"max_errors": 0}, InputError, "max_errors must be an integer >= 1, got 0"),
        ({"target_relative_error": 0}, InputError, "target_relative_error must be > 0, got 0"),
        ({"target_relative_error": "0.1"}, InputError, "target_relative_error must be > 0, got '0.1'"),
        ({"save": ""}, InputError, "save must be the name of a file"),
        ({"target_relative_error": float("nan")}, InputError, "target_relative_error must be > 0, got nan"),
        ({"num_workers": 0}, InputError, "num_workers must be an integer >= 1, got 0"),
        ({"num_workers": 10**6}, TooLargeError, "num_workers = 1000000 need about .* GiB, and this machine has"),
        ({"decoders": "pymatchin"}, UnknownNameError, "unknown decoder 'pymatchin': did you mean 'pymatching'"),
        ({"decoders": ()}, InputError, "task 0 names no decoder: pass decoders="),
        ({"decoders": [Guess]}, InputError, r"decoder Guess is a class: pass an instance, Guess\(\.\.\.\)"),
        ({"decoders": [3]}, InputError, r"decoder 'int' must be a sinter.Decoder or sinter.Sampler, got 3"),
        ({"decoders": {"a@b": Guess()}}, InputError, "decoder name 'a@b' must be printable and without '@'"),
        ({"tasks": ["d3.stim"]}, InputError, r"tasks\[0\] must be a stim.Circuit or sinter.Task, got str"),
        ({"tasks": [repetition_task(), repetition_task()]}, InputError, "is given twice: remove one, or tell"),
        ({"tasks": stim.Circuit("R 0\nM 0\nDETECTOR rec[-1]")}, CircuitError, "has no observables"),
        ({"existing": "a.csv"}, InputError, r"existing must be a list of files, got 'a.csv'"),
        ({"existing": ["no_such_file.csv"]}, StorageError, "cannot read no_such_file.csv: No such file"),
    ],
)
def test_bad_arguments(options: dict[str, object], error: type[QuellError], message: str) -> None:
    with pytest.raises(error, match=message):
        sweep_one(**options)


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="max_shot"):
        quell.sweep(repetition_task(), "pymatching", max_shot=10)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected argument 'max_shot'"):
        next(quell.iter_sweep(repetition_task(), "pymatching", max_shot=10))  # type: ignore[call-arg]


def test_random_detectors_are_named() -> None:
    circuit = stim.Circuit("RX 0\nM 0\nDETECTOR(1, 2, 3) rec[-1]\nOBSERVABLE_INCLUDE(0) rec[-1]")
    with pytest.raises(CircuitError, match="random even without noise"):
        sweep_one(tasks=circuit)


def test_a_model_of_another_circuit_is_refused() -> None:
    task = sinter.Task(
        circuit=repetition_task(3).circuit,
        detector_error_model=repetition_task(5).circuit.detector_error_model(),
        skip_validation=True,
    )
    with pytest.raises(InputError, match="num_detectors = 8, but its detector error model has 24"):
        sweep_one(tasks=task)


def test_a_circuit_too_large_for_the_machine_is_refused_before_any_work() -> None:
    circuit = stim.Circuit("REPEAT 1000000000 {\n R 0\n M 0\n DETECTOR rec[-1]\n}\nOBSERVABLE_INCLUDE(0) rec[-1]")
    with pytest.raises(TooLargeError, match=r"1,000,000,000 detectors need about [\d,]+ GiB.*this machine has"):
        sweep_one(tasks=circuit)


def test_a_circuit_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d3.stim"
    path.write_text("NOT A GATE 5\n")
    with pytest.raises(CircuitError, match=r"cannot read a circuit from .*d3\.stim"):
        sweep_one(tasks=sinter.Task(circuit_path=path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: expected the header"),
        ("\n\n", "is empty: expected the header"),
        ("name,score\nalice,3\n", "is not a results file: its header lacks shots, errors"),
        (HEADER + ROW + ROW[:30], "line 3: the file is cut off in the middle of this row"),
        (HEADER + ROW + ROW[:-2], "line 3: the file is cut off in the middle of this row"),
        (HEADER + ROW.replace("1000", "many"), "line 2: not a row of a results file"),
        (HEADER + ROW.replace("42", "4200"), "line 2: not a row of a results file .*impossible counts"),
        (HEADER + ROW.replace("0.1,py", "soon,py"), "line 2: not a row of a results file"),
        (HEADER + ROW + HEADER, "line 3: the header stands here again.*sinter combine"),
        (HEADER + ROW.replace("{", "["), "line 2: not a row of a results file"),
        (HEADER + ROW + ROW.replace('"d"', '"e"'), "two rows share strong_id 9c31"),
        (b"\x93NUMPY\x01\x00shots,errors", "is not a results file"),
        (b"\x00\r,\x01\rshots", "is not a results file"),
        (HEADER.encode() + b"1,2\r3,4\x00\n", "is not a CSV file|not a row"),
        (HEADER.encode() + b"\xff\xfe\x00", "is not a text file"),
    ],
)
def test_bad_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "sweep.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_stats(path)
    if content in (b"", ""):
        return  # an empty file, such as `mktemp` makes, is a good place for new results
    if isinstance(content, str) and "two rows" in message:
        return  # found when the file is read as a whole; a sweep looks at its own tasks only
    before = path.read_bytes()
    with pytest.raises(DataError, match=message):
        sweep_one(save=path)
    assert path.read_bytes() == before


def test_a_byte_order_mark_and_a_quoted_header_are_read(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    path.write_text("\ufeff" + HEADER + ROW)
    assert read_stats(path)[0].shots == 1000
    path.write_text('"' + '","'.join(HEADER.strip().split(",")) + '"\n' + ROW)
    assert read_stats(path)[0].shots == 1000


def test_a_path_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    sweep_one(save="~/sweep.csv")
    assert read_stats(tmp_path / "sweep.csv")[0].shots == 10


def test_settings_id_must_be_a_method() -> None:
    decoder = Guess()
    decoder.settings_id = "v1"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="settings_id must be a method"):
        sweep_one(decoders=[decoder])


def test_a_whole_last_row_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    path.write_text((HEADER + ROW).replace('""p"":0.1', '""p"":0.2').removesuffix("\n"))
    assert read_stats(path)[0].shots == 1000
    sweep_one(save=path)
    assert [stat.shots for stat in read_stats(path)] == [1000, 10]


def test_a_file_with_other_columns_is_read_but_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text('shots,errors,discards,seconds,decoder,strong_id,json_metadata\n1000,4,0,1,a,b,"{}"\n')
    assert read_stats(path)[0].shots == 1000
    with pytest.raises(DataError, match=r"cannot add to .*convert it with `sinter combine"):
        sweep_one(save=path)


def test_paths_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    missing = tmp_path / "no" / "such" / "folder" / "sweep.csv"
    for path in (tmp_path, tmp_path / "file" / "sweep.csv", Path("/proc/no/sweep.csv"), missing, tmp_path / "pipe"):
        with pytest.raises(StorageError, match="cannot save to"):
            sweep_one(save=path)


def test_metadata_that_json_cannot_hold_is_refused() -> None:
    for metadata, message in [
        ({"p": float("nan")}, "metadata cannot hold nan"),
        ({"p": object()}, "metadata cannot hold <object"),
        ({3: 1}, "metadata keys must be strings"),
    ]:
        with pytest.raises(InputError, match=message):
            sweep_one(tasks=repetition_task(metadata=metadata))


def test_numpy_numbers_in_metadata_are_welcome(tmp_path: Path) -> None:
    metadata = {"d": np.int64(3), "p": np.float64(0.1), "distances": (3, 5)}
    stat = sweep_one(tasks=repetition_task(metadata=metadata), save=tmp_path / "sweep.csv")
    assert stat.json_metadata == {"d": 3, "distances": [3, 5], "p": 0.1}
    assert read_stats(tmp_path / "sweep.csv") == [
        stat.with_edits(seconds=read_stats(tmp_path / "sweep.csv")[0].seconds)
    ]


def test_another_circuit_under_the_same_metadata_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    sweep_one(tasks=repetition_task(3, 0.1, {"d": 3}), save=path)
    with pytest.warns(UserWarning, match="belong to another circuit or detector error model than yours"):
        stat = sweep_one(tasks=repetition_task(5, 0.1, {"d": 3}), save=path)
    assert stat.shots == 10


def test_a_decoder_that_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(InputError, match=r"Guess\.weights.*cannot be pickled.*settings_id\(\) -> str"):
        sweep_one(decoders=[Guess(weights=threading.Lock())])
