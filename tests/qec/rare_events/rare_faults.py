"""A run that is killed, again and again, while it saves; also a script for a process of its own."""

import random
import subprocess
import sys
import time
from pathlib import Path

import sinter

from quell.qec import RareEstimate, read_rare_estimates

from .truths import surface

SCRIPT = """
import sys
from quell.qec import rare_error_rates
from quell.qec.rare_events import methods
from tests.qec.rare_events.rare_faults import tasks

methods._SAVE_SECONDS = 0.05
if __name__ == "__main__":
    rare_error_rates(tasks(), "pymatching", method=sys.argv[2], target_relative_error=float(sys.argv[3]), seed=1,
                     save=sys.argv[1], num_workers=1, progress=False)
"""


def tasks() -> list[sinter.Task]:
    return [sinter.Task(circuit=surface(3, p, rounds=2), json_metadata={"p": p}) for p in (0.0005, 0.001)]


def start(table: Path, method: str, target: float) -> subprocess.Popen[str]:
    root = Path(__file__).parent.parent.parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(table), method, str(target)],
        cwd=root, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def rows(table: Path) -> list[RareEstimate]:
    return read_rare_estimates(table) if table.exists() else []


def wait_for_rows(table: Path, process: "subprocess.Popen[str]", more_than: int = 0) -> None:
    """Waits until something is saved beyond so many shots, or the process has ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and max((row.shots for row in rows(table)), default=0) <= more_than:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_once(table: Path, method: str, target: float, rng: random.Random) -> list[RareEstimate]:
    """Starts a run or goes on with it, kills it at a random moment after it has begun to save, and reads the table."""
    process = start(table, method, target)
    wait_for_rows(table, process)
    time.sleep(rng.uniform(0.0, 0.5))
    process.kill()
    _, errors = process.communicate(timeout=20)
    assert process.returncode in (-9, 0), errors
    return rows(table)
