"""Where chunks run: the engine that a sweep asks for results, and the one that uses processes of this machine.

The processes are quell's own, each with a socket and a thread here that waits on it. A process that dies is noticed
at once, because its socket closes; another takes its place.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Protocol

import sinter

from quell.errors import SweepError
from quell.qec.sweeps.chunk import ChunkLimits

__all__ = ["Engine", "LocalProcesses", "WorkerDied"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerDied(SweepError):
    """A worker process ended while it had something to do."""


class Engine(Protocol):
    """Something that runs chunks. A sweep never has more than `num_workers` of them under way."""

    num_workers: int

    def submit(self, key: str, work: bytes, limits: ChunkLimits) -> "Future[sinter.AnonTaskStats]":
        """Runs `run_chunk(key, lambda: work, limits)` somewhere."""

    def interrupt(self, key: str | None = None) -> None:
        """Asks the chunks of a task, or all, to end soon and return what they have. May do nothing."""

    def close(self) -> None:
        """Ends everything at once."""


class LocalProcesses:
    """Runs chunks in processes of this machine.

    Args:
        num_workers: How many. Numerical libraries in them share the cores evenly, unless the environment says
            otherwise (`OMP_NUM_THREADS` and the like).
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="quell-", ignore_cleanup_errors=True)
        environment = _worker_environment(num_workers, self._folder.name)
        self._workers = [_Worker(environment) for _ in range(num_workers)]

    def submit(self, key: str, work: bytes, limits: ChunkLimits) -> "Future[sinter.AnonTaskStats]":
        """Gives the chunk to an idle worker, if there is one to a worker that knows the task already."""
        future: Future[sinter.AnonTaskStats] = Future()
        with self._lock:
            idle = [worker for worker in self._workers if worker.key is None]
            worker = next((worker for worker in idle if worker.last_key == key), idle[0])
            worker.key = worker.last_key = key
            worker.orders.put((key, work, limits, future))
        return future

    def interrupt(self, key: str | None = None) -> None:
        """Asks the chunks of a task, or all, to end after their current batch."""
        for worker in self._workers:
            if worker.key is not None and key in (None, worker.key):
                worker.interrupt()

    def close(self) -> None:
        """Kills the processes and waits for their threads."""
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.thread.join()
        self._folder.cleanup()


_Order = tuple[str, bytes, ChunkLimits, "Future[sinter.AnonTaskStats]"]


class _Worker:
    """One process, and the thread that talks with it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.key: str | None = None  # what it works on now
        self.last_key: str | None = None
        self.orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self.number = 0  # of the current run
        self.closed = False
        self._send_lock = threading.Lock()
        self._life_lock = threading.Lock()
        self._start()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # The worker's output goes to stderr: what the user's own program prints stays clean.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "quell.qec.sweeps.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,
                env=self.environment,
                process_group=0,
            )
        self.connection = Connection(ours.detach())

    def _loop(self) -> None:
        while (order := self.orders.get()) is not None:
            key, work, limits, future = order
            try:
                stats = self._run(key, work, limits)
            except (EOFError, OSError):
                error: Exception = self._died()
            except SweepError as failure:
                error = failure
            else:
                self.key = None
                future.set_result(stats)
                continue
            self.key = None
            future.set_exception(error)
        self.connection.close()
        self.process.wait()

    def _run(self, key: str, work: bytes, limits: ChunkLimits) -> sinter.AnonTaskStats:
        self._send("run", self.number, key, limits)
        while True:
            kind, *rest = self.connection.recv()
            if kind == "need":
                self._send("work", work)
            elif kind == "done":
                self.number += 1
                stats: sinter.AnonTaskStats = rest[0]
                return stats
            else:
                self.number += 1
                failure = SweepError(rest[0])
                failure.add_note(f"In the worker:\n{rest[1]}")
                raise failure

    def _send(self, *message: object) -> None:
        with self._send_lock:
            self.connection.send(message)

    def _died(self) -> WorkerDied:
        """Says how the process ended, and starts another."""
        self.connection.close()
        code = self.process.wait()
        if code >= 0:
            how = f"ended with exit code {code}; what it printed is on stderr"
        else:
            how = f"was killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += ", perhaps because memory ran out"
        self.last_key = None
        with self._life_lock:
            if not self.closed:
                self._start()
        return WorkerDied(f"a worker process {how}")

    def interrupt(self) -> None:
        with contextlib.suppress(OSError):
            self._send("stop", self.number)

    def close(self) -> None:
        with self._life_lock:
            self.closed = True
            self.process.kill()
        self.orders.put(None)


def _worker_environment(num_workers: int, folder: str) -> dict[str, str]:
    """The user's environment, in which a worker finds the modules that this process finds.

    Temporary files go into `folder`, since a worker that is killed cannot remove its own.
    """
    environment = dict(os.environ, TMPDIR=folder)
    environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    for variable in _THREAD_VARIABLES:
        environment.setdefault(variable, str(threads))
    return environment
