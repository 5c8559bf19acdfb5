"""Sweeps that are killed, interrupted, or run out of disk."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quell.errors import StorageError
from quell.qec import read_stats, sweep
from quell.qec.sweeps.store import ResultsFile

from . import faults
from .tools import repetition_task

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@linux
def test_killed_sweeps_lose_nothing_that_was_reported(tmp_path: Path) -> None:
    rng = random.Random(1)
    shots = 1_500_000
    stops = [faults.stop_once(tmp_path, shots, rng, longest=2.5) for _ in range(3)]
    while not stops[-1].saved and len(stops) < 8:  # a busy machine may take longer until anything is
        stops.append(faults.stop_once(tmp_path, shots, rng, longest=2.5 * len(stops)))
    assert 0 < stops[-1].saved < shots * faults.TASKS, "it was killed before the end"
    assert stops[-1].unreported_rows <= len(stops)  # one for each kill, at most
    faults.finish(tmp_path, shots)


@linux
def test_ctrl_c_ends_within_two_seconds_with_everything_on_disk(tmp_path: Path) -> None:
    shots = 400_000
    process = faults.start(tmp_path, shots)
    while not faults.reported_shots(tmp_path):
        time.sleep(0.05)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - begin < 2
    assert "KeyboardInterrupt" in errors
    reported = faults.reported_shots(tmp_path)
    saved = faults.saved_shots(tmp_path)
    assert all(saved[key] >= shots for key, shots in reported.items())
    assert sum(saved.values()) > sum(reported.values())  # the batches under way were saved too
    faults.finish(tmp_path, shots)


FULL_DISK = """
import resource, signal, sys
import quell
from tests.qec.sweeps.tools import repetition_task
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (800, 800))
try:
    tasks = [repetition_task(d) for d in (3, 5, 7, 9)]
    quell.sweep(tasks, "pymatching", max_shots=10**8, num_workers=1, save="out.csv")
except quell.errors.StorageError as error:
    print(error)
"""


def test_a_full_disk_is_said_and_the_file_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(FULL_DISK)
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[3]))
    result = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "cannot save to out.csv" in result.stdout, result.stderr
    assert "make room and run again" in result.stdout
    assert (tmp_path / "out.csv").read_text().endswith("\n")
    (stat,) = read_stats(tmp_path / "out.csv")
    assert stat.shots > 0
    (stat,) = sweep(repetition_task(3), "pymatching", max_shots=stat.shots, save=tmp_path / "out.csv")


def test_a_write_that_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.csv"
    (stat,) = sweep(repetition_task(), "pymatching", max_shots=10, num_workers=1, save=path)
    whole = path.read_bytes()
    write = os.write

    def half_a_write(descriptor: int, data: bytes) -> int:
        if len(data) < 30:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:-20])

    with ResultsFile(path) as file:
        monkeypatch.setattr(os, "write", half_a_write)
        with pytest.raises(StorageError, match=r"No space left on device.*make room"):
            file.append(stat)
        monkeypatch.undo()
    assert path.read_bytes() == whole


def test_a_file_that_vanishes_in_use_is_said(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    (stat,) = sweep(repetition_task(), "pymatching", max_shots=10, num_workers=1, save=path)
    with ResultsFile(path) as file:
        path.unlink()
        with pytest.raises(StorageError, match="removed or replaced"):
            file.append(stat)


def test_a_file_that_another_process_keeps_locked_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quell.qec.sweeps.store._LOCK_SECONDS", 0.1)
    path = tmp_path / "out.csv"
    sweep(repetition_task(), "pymatching", max_shots=10, num_workers=1, save=path)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="locked by another process"):
            sweep(repetition_task(), "pymatching", max_shots=20, num_workers=1, save=path)


@linux
def test_ctrl_c_is_heard_while_another_process_keeps_the_file_locked(tmp_path: Path) -> None:
    process = faults.start(tmp_path, 10**8)
    while not faults.reported_shots(tmp_path):
        time.sleep(0.05)
    with (tmp_path / "sweep.csv").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        time.sleep(3)  # by now it waits for the lock
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - begin < 2.5
    assert "KeyboardInterrupt" in errors
