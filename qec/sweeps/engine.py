"""Where chunks run: the engine that a sweep asks for results, and the one that uses processes of this machine.

The processes are quell's own, each with a socket and a thread here that waits on it. A process that dies is noticed
at once, because its socket closes; another takes its place.
"""

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Any, Protocol

from quell.errors import SweepError
from quell.worker_processes import how_it_ended, start_worker, worker_environment

__all__ = ["MAX_DEATHS", "Engine", "EngineLost", "LocalProcesses", "WorkerDied", "default_num_workers"]

MAX_DEATHS = 3  # of workers in a row, after which what they worked on is given up
_POLL_SECONDS = 0.2


class WorkerDied(SweepError):
    """A worker process ended while it had something to do."""


class EngineLost(SweepError):
    """The engine, or a worker of it, cannot be used any more, whatever it is given to do.

    Attributes:
        chunk_ran: Whether the chunk that failed may have run, and so may be the reason.
    """

    chunk_ran = False


class Engine(Protocol):
    """Something that runs chunks. `quell.qec.sweeps.executor.engine_for` returns one."""

    @property
    def num_workers(self) -> int:
        """How many chunks may be under way, which is for the caller to keep to; it may change with time."""

    def submit(self, key: str, work: bytes, limits: Any) -> "Future[Any]":
        """Runs `run_chunk(key, lambda: work, limits)` somewhere; for a sweep that gives `sinter.AnonTaskStats`.

        The future fails with `WorkerDied` if a worker died of it or beside it, with `EngineLost` if nothing can be run
        any more, and with another `SweepError` if the problem failed.
        """

    def interrupt(self, key: str | None = None) -> None:
        """Asks the chunks of a task, or all, to end soon and return what they have. May do nothing."""

    def close(self) -> None:
        """Ends everything at once."""


def default_num_workers() -> int:
    """Returns the number of cores that this process may use.

    Examples:
        >>> from quell.qec.sweeps.engine import default_num_workers
        >>> default_num_workers() >= 1
        True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class LocalProcesses:
    """Runs chunks in processes of this machine, from `start` to `close`.

    Args:
        num_workers: How many. Numerical libraries in them share the cores evenly, unless the environment says
            otherwise (`OMP_NUM_THREADS` and the like).
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []
        self._folder: str | None = None
        self._owner = os.getpid()

    def start(self) -> None:
        """Starts the processes.

        Raises:
            SweepError: They cannot be started, for want of memory or file handles.
        """
        try:
            self._folder = tempfile.mkdtemp(prefix="quell-")
            # Temporary files go into the folder, since a worker that is killed cannot remove its own.
            environment = worker_environment(self.num_workers) | {"TMPDIR": self._folder}
            while len(self._workers) < self.num_workers:
                self._workers.append(_Worker(environment))
                self._workers[-1].start()
        except OSError as error:
            raise SweepError(
                f"cannot start {self.num_workers} worker processes: {error.strerror}; lower num_workers"
            ) from error

    def submit(self, key: str, work: bytes, limits: Any) -> "Future[Any]":
        """Gives the chunk to an idle worker, if there is one to a worker that knows the task already."""
        future: Future[Any] = Future()
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
        """Kills the processes, and whatever they have started, and waits for their threads."""
        if os.getpid() != self._owner:
            return  # a fork of the user's program: the workers are not its own
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.join()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


_Order = tuple[str, bytes, Any, "Future[Any]"]


class _Worker:
    """One process, and the thread that talks with it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.key: str | None = None  # what it works on now
        self.last_key: str | None = None
        self.orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self.number = 0  # of the current run
        self.closed = False
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None
        self._send_lock = threading.Lock()
        self._life_lock = threading.Lock()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def start(self) -> None:
        """Starts the process and the thread."""
        self._start_process()
        self._thread.start()

    def _start_process(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.connection = Connection(ours.detach())
            self.process = start_worker("quell.qec.sweeps.worker", theirs, self.environment)

    def _loop(self) -> None:
        while (order := self.orders.get()) is not None:
            key, work, limits, future = order
            # Whatever goes wrong here, the sweep must hear of it, or it would wait for ever.
            try:
                result = self._run_or_say_why(key, work, limits)
            except SweepError as failure:
                result = failure
            except BaseException as failure:
                result = SweepError(f"the answer of a worker is not usable: {type(failure).__name__}: {failure}")
            self.key = None
            if isinstance(result, SweepError):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _run_or_say_why(self, key: str, work: bytes, limits: Any) -> Any:
        try:
            return self._run(key, work, limits)
        except (EOFError, OSError):
            return self._died()

    def _run(self, key: str, work: bytes, limits: Any) -> Any:
        self._send("run", self.number, key, limits)
        while True:
            kind, *rest = self._receive()
            if kind == "need":
                self._send("work", work)
            elif kind == "done":
                self.number += 1
                return rest[0]
            else:
                self.number += 1
                failure = SweepError(rest[0])
                failure.add_note(f"In the worker:\n{rest[1]}")
                raise failure

    def _receive(self) -> tuple[Any, ...]:
        assert self.connection is not None
        assert self.process is not None
        # A process that a decoder forked may hold the socket open after its worker has died.
        while not self.connection.poll(_POLL_SECONDS):
            if self.process.poll() is not None and not self.connection.poll(0):
                raise EOFError
        message: tuple[Any, ...] = self.connection.recv()
        return message

    def _send(self, *message: object) -> None:
        assert self.connection is not None
        with self._send_lock:
            self.connection.send(message)

    def _died(self) -> WorkerDied:
        """Says how the process ended, and starts another."""
        assert self.connection is not None
        assert self.process is not None
        self.connection.close()
        self._kill()
        how = how_it_ended(self.process.wait())
        self.last_key = None
        with self._life_lock:
            if not self.closed:
                try:
                    self._start_process()
                except OSError as error:
                    raise SweepError(f"a worker process {how}, and no other can be started: {error}") from error
        return WorkerDied(f"a worker process {how}")

    def interrupt(self) -> None:
        """Asks the current run to end soon."""
        with contextlib.suppress(OSError):
            self._send("stop", self.number)

    def close(self) -> None:
        """Kills the process."""
        with self._life_lock:
            self.closed = True
            self._kill()
        self.orders.put(None)

    def _kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def join(self) -> None:
        """Waits for the thread and the process to end."""
        if self._thread.ident is not None:
            self._thread.join()
        if self.process is not None:
            self.process.wait()
        if self.connection is not None:
            self.connection.close()
