"""What a sweep has in its hands: the chunks that workers have, and rows that a Ctrl-C must not cut in two."""

import collections
import concurrent.futures
import contextlib
import queue
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import sinter

from quell.qec.sweeps.store import ResultsFile
from quell.qec.sweeps.tasks import Job

__all__ = ["LAST_LOCK_SECONDS", "Future", "UnderWay", "uninterrupted"]

LAST_LOCK_SECONDS = 0.2  # how long an interrupted run waits for a file that another process has locked

Future = concurrent.futures.Future[sinter.AnonTaskStats]


class UnderWay:
    """The chunks that workers have, counted by task."""

    def __init__(self) -> None:
        self.futures: dict[Future, tuple[Job, int]] = {}
        self.running: collections.Counter[str] = collections.Counter()
        self.shots: collections.Counter[str] = collections.Counter()  # that they may take
        self.finished: queue.SimpleQueue[Future] = queue.SimpleQueue()

    def add(self, future: Future, job: Job, shots: int) -> None:
        """Counts a chunk that was given to a worker; it stands in `finished` when it is done."""
        self.futures[future] = (job, shots)
        self.running[job.key] += 1
        self.shots[job.key] += shots
        future.add_done_callback(self.finished.put)

    def remove(self, future: Future) -> Job:
        """Returns the job of a chunk, which is under way no longer."""
        job, shots = self.futures.pop(future)
        self.running[job.key] -= 1
        self.shots[job.key] -= shots
        return job


@contextlib.contextmanager
def uninterrupted(file: ResultsFile | None) -> Iterator[None]:
    """Holds a Ctrl-C back until what must not be cut in two is done; waiting for a locked file is cut short."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append((number, frame))
        if file is not None:
            file.patience = LAST_LOCK_SECONDS

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:
            handler(*held[0])
