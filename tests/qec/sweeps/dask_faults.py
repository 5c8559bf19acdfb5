"""A sweep on a Dask cluster whose workers and scheduler are killed, and what must hold then.

The tests do this a few times; `benchmarks/cluster_faults.py` does it often.
"""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

import distributed

import quell
from quell.errors import SweepError
from quell.qec import iter_sweep, read_stats

from .tools import Guess, repetition_task

ROOT = Path(__file__).parents[3]
TASKS = 4


class Cluster:
    """A scheduler and a nanny with two workers of one thread, in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = (folder / "cluster.log").open("a")
        self.address_file = folder / "scheduler.json"
        self.address_file.unlink(missing_ok=True)
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(self.address_file))
        while not self.address_file.exists() or not self.address_file.read_text().strip().endswith("}"):
            time.sleep(0.02)
        file = str(self.address_file)
        self.nanny = self._start("worker", "--scheduler-file", file, "--nworkers", "2", "--nthreads", "1")
        self.client = distributed.Client(scheduler_file=file, set_as_default=False)
        self.client.wait_for_workers(2, timeout=60)

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"),
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )

    def worker_processes(self) -> list[int]:
        return list(self.client.run(os.getpid).values())

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in (self.nanny, self.scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.client.close(timeout=1)
        self.output.close()


@dataclasses.dataclass
class Kill:
    """What was found after a worker or the scheduler had been killed and the run had ended."""

    victim: str
    after: float  # seconds since the run began
    reported: int  # shots that all runs so far have reported
    saved: int  # shots in the file
    seconds_to_end: float | None  # from the death of the scheduler to the error; None if the run went on


class Study:
    """One sweep, run as often as it takes on as many clusters as it takes."""

    def __init__(self, folder: Path, shots: int, batch_seconds: float) -> None:
        self.folder = folder
        self.shots = shots
        self.path = folder / "sweep.csv"
        self.tasks = [repetition_task(d, 0.08) for d in (3, 5, 7, 9)]
        self.decoder = Guess(seconds=batch_seconds)
        self.reported = 0

    def run(self, cluster: Cluster, *, stop_after: float | None = None) -> None:
        """Runs the sweep: to its end, or until `stop_after` seconds have passed."""
        begin = time.monotonic()
        executor = cluster.client.get_executor()
        stats = iter_sweep(self.tasks, self.decoder, max_shots=self.shots, save=self.path, executor=executor)
        with contextlib.closing(stats):
            for stat in stats:
                self.reported += stat.shots
                if stop_after is not None and time.monotonic() - begin > stop_after:
                    break

    def saved(self) -> int:
        if not self.path.exists():
            return 0
        counts = [stat.shots for stat in read_stats(self.path)]
        assert all(count <= self.shots for count in counts), "a shot was counted twice"
        return sum(counts)

    def kill_once(self, cluster: Cluster, victim: str, after: float, longer: float = 3.0) -> Kill:
        """Kills a worker or the scheduler at a moment of the run, which goes on for a while or ends with an error."""
        workers = cluster.worker_processes()
        process = cluster.scheduler.pid if victim == "scheduler" else random.Random(after).choice(workers)
        died: list[float] = []

        def kill() -> None:
            os.kill(process, signal.SIGKILL)
            died.append(time.monotonic())

        timer = threading.Timer(after, kill)
        timer.start()
        seconds, message = None, ""
        try:
            self.run(cluster, stop_after=after + longer)
        except SweepError as error:
            seconds, message = time.monotonic() - died[0], str(error)
        timer.join()
        assert (seconds is not None) == (victim == "scheduler"), message or "the lost scheduler was not noticed"
        assert seconds is None or "run again" in message, message
        saved = self.saved()
        assert saved >= self.reported, "a reported shot is not in the file"
        return Kill(victim, after, self.reported, saved, seconds)

    def check_end(self) -> None:
        """All of it is there, once; a run more has nothing to do."""
        assert [stat.shots for stat in read_stats(self.path)] == [self.shots] * TASKS
        stats = quell.sweep(self.tasks, self.decoder, max_shots=self.shots, save=self.path)
        assert [stat.shots for stat in stats] == [self.shots] * TASKS
