"""Chunks on any `concurrent.futures.Executor`: threads, processes, or the workers of a Dask cluster.

The one engine here serves them all. It learns of lost workers and closed executors from the futures, and of wrong
versions from the workers' answers, and tells the sweep in each case what to do.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import multiprocessing
import os
import pickle
import sys
import threading
import time
import uuid
from concurrent.futures import Future
from typing import Any

from quell.errors import InputError, SweepError
from quell.qec.sweeps.engine import Engine, EngineLost, LocalProcesses, WorkerDied, default_num_workers
from quell.qec.sweeps.executor_orders import packed_order, packed_work
from quell.qec.sweeps.executor_watch import SCHEDULER_SECONDS, WorkerWatch
from quell.qec.sweeps.versions import own_versions

__all__ = ["ExecutorEngine", "check_executor", "engine_for"]

_WORKERS_ASKED_EVERY = 5.0  # seconds: workers of a cluster come and go
_GO_ON = "make a new executor and run again: with `save`, everything reported so far counts"


def engine_for(executor: concurrent.futures.Executor | None, num_workers: int | None = None) -> Engine:
    """Returns the engine that runs chunks on an executor, or on new processes of this machine; close it after use.

    Args:
        executor: Any executor; it stays open when the engine is closed. None starts processes of quell's own.
        num_workers: How many chunks are under way at most. Default: for Dask as many as its workers have threads at
            that moment, otherwise one for each core that this process may use.

    Raises:
        InputError: It is no executor, or a Dask client that is closed or asynchronous.
        SweepError: The processes cannot be started.

    Examples:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> import sinter, stim
        >>> from quell.qec.sweeps.chunk import ChunkLimits, Work
        >>> from quell.qec.sweeps.executor import engine_for
        >>> from quell.qec.sweeps.shipping import ShippedDecoder
        >>> from quell.qec.sweeps.tasks import prepare_jobs
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=2,
        ...                                  before_round_data_depolarization=0.1)
        >>> (job,) = prepare_jobs(circuit, "pymatching", {}, num_workers=1)
        >>> work = Work(job.task, ShippedDecoder.of(job)).to_bytes()
        >>> with ThreadPoolExecutor() as executor:
        ...     engine = engine_for(executor)
        ...     engine.submit(job.key, work, ChunkLimits(max_shots=100)).result().shots
        100
    """
    if executor is not None:
        return ExecutorEngine(executor, num_workers)
    engine = LocalProcesses(default_num_workers() if num_workers is None else num_workers)
    try:
        engine.start()
    except BaseException:
        engine.close()
        raise
    return engine


def check_executor(executor: object) -> None:
    """Refuses what is no executor, with the way out.

    Raises:
        InputError: See there.

    Examples:
        >>> from quell.qec.sweeps.executor import check_executor
        >>> check_executor("dask")
        Traceback (most recent call last):
        quell.errors.InputError: executor must be a concurrent.futures.Executor, got str: 'dask'
    """
    if not isinstance(executor, concurrent.futures.Executor):
        hint = "; of a Dask client pass client.get_executor()" if hasattr(executor, "get_executor") else ""
        if hasattr(executor, "scheduler_address"):
            hint = "; of a Dask cluster pass dask.distributed.Client(cluster).get_executor()"
        raise InputError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}: {executor!r:.80}{hint}"
        )
    client = _dask_client(executor)
    if client is not None and client.status in ("closed", "closing"):
        raise InputError("the executor's Dask client is closed: connect a new one")
    if client is not None and client.asynchronous:
        raise InputError("the executor's Dask client is asynchronous, and a sweep waits: make it with Client(address)")


def _dask_client(executor: object) -> Any:
    """The Dask client behind an executor, if it is one of Dask's."""
    module = sys.modules.get("distributed.cfexecutor")  # whoever has such an executor has imported it
    if module is None or not isinstance(executor, module.ClientExecutor):
        return None
    return getattr(executor, "_client", None)


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """What is to be run, and the future that the sweep waits for."""

    key: str
    work: bytes
    limits: Any
    answer: "Future[Any]"


class ExecutorEngine:
    """Runs chunks on an executor; see `engine_for`."""

    def __init__(self, executor: concurrent.futures.Executor, num_workers: int | None = None) -> None:
        check_executor(executor)
        self._executor: Any = executor
        self._client = _dask_client(executor)
        self._fixed = num_workers is not None or self._client is None
        self._num_workers = default_num_workers() if num_workers is None else num_workers
        self._asked = float("-inf")
        self._versions = own_versions()
        self._name_and_pack = functools.lru_cache(maxsize=8)(_named_and_packed)
        self._sent: set[str] = set()  # keys that some worker has met
        self._under_way: dict[Future[bytes], Future[Any]] = {}  # the executor's, and what the sweep waits for
        self._lock = threading.Lock()
        self._closed = False
        self._owner = os.getpid()
        self._watch: WorkerWatch | None = None
        if self._client is not None:
            resources = getattr(executor, "_kwargs", {}).get("resources")
            self._watch = WorkerWatch(self._client, resources, lambda: bool(self._under_way), self._end)

    @property
    def num_workers(self) -> int:
        """How many chunks are to be under way: for Dask this follows the workers that come and go."""
        if not self._fixed and time.monotonic() - self._asked > _WORKERS_ASKED_EVERY:
            self._asked = time.monotonic()
            self._num_workers = max(1, self._dask_threads())
        return self._num_workers

    def _dask_threads(self) -> int:
        try:
            return sum(self._client.nthreads(callback_timeout=SCHEDULER_SECONDS).values())
        except Exception:  # a scheduler that is lost is heard of through the chunks
            return self._num_workers

    def submit(self, key: str, work: bytes, limits: Any) -> "Future[Any]":
        """Gives a chunk to the executor; the problem travels with the first of its key, and where a worker needs it."""
        # Workers outlive a sweep: the next one may have the same task with a decoder that was edited since.
        key = f"{key} {self._name_and_pack(work)[0]}"
        chunk = _Chunk(key, work, limits, Future())
        with self._lock:
            known = key in self._sent
            self._sent.add(key)
        self._send(chunk, with_work=not known)
        return chunk.answer

    def _send(self, chunk: _Chunk, *, with_work: bool) -> None:
        packed = self._name_and_pack(chunk.work)[1] if with_work else None
        order = packed_order(self._versions, chunk.key, chunk.limits, packed)
        # Dask takes calls that look alike for one call, unless each has a key of its own.
        keywords = {} if self._client is None else {"key": f"quell-chunk-{uuid.uuid4().hex}"}
        try:
            future = self._executor.submit(pickle.loads, order, **keywords)
        except Exception as error:
            way_out = _GO_ON
            if isinstance(self._executor, concurrent.futures.ProcessPoolExecutor) and _is_daemon():
                way_out = "leave the executor out, then the sweep starts processes of its own, which may be done here"
            chunk.answer.set_exception(EngineLost(f"the executor takes no more chunks ({_line(error)}); {way_out}"))
            return
        with self._lock:
            self._under_way[future] = chunk.answer
        future.add_done_callback(functools.partial(self._receive, chunk, with_work))

    def _receive(self, chunk: _Chunk, with_work: bool, future: "Future[bytes]") -> None:
        with self._lock:
            known = self._under_way.pop(future, None) is not None
            if self._closed or not known:
                return
        if self._watch is not None:
            self._watch.heard()
        # Whatever goes wrong here, the sweep must hear of it, or it would wait for ever.
        try:
            self._settle(chunk, with_work, future)
        except BaseException as error:
            chunk.answer.set_exception(SweepError(f"the answer of a worker is not usable: {_line(error)}"))

    def _settle(self, chunk: _Chunk, with_work: bool, future: "Future[bytes]") -> None:
        if future.cancelled():
            chunk.answer.set_exception(EngineLost(f"the executor dropped its chunks, {self._why_dropped()}; {_GO_ON}"))
            return
        error = future.exception()
        if error is not None:
            chunk.answer.set_exception(_explained(error))
            return
        kind, *rest = pickle.loads(future.result())
        if kind == "need" and not with_work:
            self._send(chunk, with_work=True)
        elif kind == "done":
            chunk.answer.set_result(rest[0])
        elif kind == "refused":
            chunk.answer.set_exception(EngineLost(f"{rest[0]}: {_needed()}" if "no quell" in rest[0] else rest[0]))
        else:
            failure = SweepError(rest[0])
            failure.add_note(f"In the worker:\n{rest[1]}")
            chunk.answer.set_exception(failure)

    def _end(self, why: str) -> None:
        """Fails all chunks that are under way."""
        with self._lock:
            left = dict(self._under_way)
            self._under_way.clear()
        for future, answer in left.items():
            future.cancel()
            answer.set_exception(EngineLost(f"{why}; then run again: with `save`, everything reported so far counts"))

    def _why_dropped(self) -> str:
        if self._client is None:
            return "as when it is shut down"
        return "as when it is shut down, its Dask client is closed, or the connection to the scheduler is lost"

    def interrupt(self, key: str | None = None) -> None:
        """Does nothing: what is far away ends by its limits."""

    def close(self) -> None:
        """Cancels what is under way, and leaves the executor open."""
        if os.getpid() != self._owner:
            return  # a fork of the user's program: the chunks are not its own
        with self._lock:
            self._closed = True
            left = list(self._under_way)
        if self._watch is not None:
            self._watch.stop()
        for future in left:
            future.cancel()


def _named_and_packed(work: bytes) -> tuple[str, bytes]:
    return hashlib.sha256(work).hexdigest()[:16], packed_work(work)


def _is_daemon() -> bool:
    return bool(multiprocessing.current_process().daemon)


def _explained(error: BaseException) -> SweepError:
    """Says what became of a chunk that gave no answer."""
    distributed = sys.modules.get("distributed")
    if distributed is not None and isinstance(error, distributed.KilledWorker):
        last = getattr(error.last_worker, "address", error.last_worker)
        return WorkerDied(f"Dask's workers died one after another, the last at {last}, perhaps because memory ran out")
    if isinstance(error, concurrent.futures.BrokenExecutor):
        lost = EngineLost(
            f"the executor is broken, most likely by a worker that died, perhaps because memory ran out "
            f"({_line(error)}); {_GO_ON}"
        )
        lost.chunk_ran = True
        return lost
    if isinstance(error, (ImportError, AttributeError)):
        return EngineLost(f"a worker of the executor has another quell, or not all of it ({_line(error)}): {_needed()}")
    return EngineLost(f"the executor could not run a chunk: {_line(error)}")


def _needed() -> str:
    return f"this sweep needs quell {own_versions()['quell']} on every worker, with what it depends on"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
