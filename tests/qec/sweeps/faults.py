"""A sweep that is killed at random moments, and what must hold at every stop.

The tests do this a few times; `benchmarks/sweep_faults.py` does it often.
"""

import dataclasses
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import sinter

TASKS = 4

# Reports every row the way a user would see it: after it came out of the sweep.
SCRIPT = """
import os, sys
import quell
from tests.qec.sweeps.tools import repetition_task

report = os.open("report.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
tasks = [repetition_task(d, 0.08) for d in (9, 11, 13, 15)]
for stat in quell.iter_sweep(tasks, "pymatching", max_shots=int(sys.argv[1]), num_workers=2, save="sweep.csv"):
    os.write(report, f"{stat.strong_id} {stat.shots} {stat.errors}\\n".encode())
"""


@dataclasses.dataclass
class Stop:
    """What was found after one stop."""

    reported: int  # shots that the sweep reported, over all runs so far
    saved: int  # shots in the file
    unreported_rows: int  # rows that a stop caught between the file and the report, over all runs so far
    seconds_to_end: float


def reported_shots(folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    path = folder / "report.txt"
    for line in path.read_text().splitlines() if path.exists() else []:
        if len(fields := line.split()) == 3:
            found[fields[0]] = found.get(fields[0], 0) + int(fields[1])
    return found


def count_reports(folder: Path) -> int:
    path = folder / "report.txt"
    return path.read_text().count("\n") if path.exists() else 0


def count_rows(folder: Path) -> int:
    path = folder / "sweep.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def saved_shots(folder: Path) -> dict[str, int]:
    """What `sinter combine` finds in the file."""
    if not (folder / "sweep.csv").exists():
        return {}
    return {stat.strong_id: stat.shots for stat in sinter.read_stats_from_csv_files(folder / "sweep.csv")}


def start(folder: Path, shots: int) -> subprocess.Popen[str]:
    (folder / "script.py").write_text(SCRIPT)
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[3]))
    return subprocess.Popen(
        [sys.executable, "script.py", str(shots)], cwd=folder, env=environment, text=True, stderr=subprocess.PIPE
    )


def workers_of(process_id: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(process_id), "-f", "quell.qec.sweeps.worker"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def stop_once(folder: Path, shots: int, rng: random.Random, longest: float = 3.0) -> Stop:
    """Starts or resumes the sweep, kills it at a random moment, and checks what must hold then."""
    process = start(folder, shots)
    while not (folder / "sweep.csv").exists():
        time.sleep(0.01)
    time.sleep(rng.uniform(0.0, longest))
    workers = workers_of(process.pid)
    begin = time.monotonic()
    process.kill()
    process.communicate(timeout=20)
    seconds = time.monotonic() - begin
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() - begin < 10, "a worker outlived its sweep"
        time.sleep(0.02)
    reported, saved = reported_shots(folder), saved_shots(folder)
    for strong_id, count in reported.items():
        assert saved[strong_id] >= count, "a reported shot is not in the file"
    assert all(count <= shots for count in saved.values()), "a shot was counted twice"
    return Stop(sum(reported.values()), sum(saved.values()), count_rows(folder) - count_reports(folder), seconds)


def is_alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def finish(folder: Path, shots: int) -> None:
    """Lets the sweep run to its end, and checks that all of it is there, once."""
    process = start(folder, shots)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert sorted(saved_shots(folder).values()) == [shots] * TASKS
