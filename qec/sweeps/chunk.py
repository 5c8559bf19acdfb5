"""The unit of work: a problem, compiled once, that is run for a bounded time; for sweeps, a sinter sampler of a task.

`run_chunk` knows nothing of processes or files. Whatever can call a function somewhere can be an engine.
"""

import collections
import dataclasses
import numbers
import pickle
import shutil
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import sinter
import stim
from sinter._decoding._stim_then_decode_sampler import StimThenDecodeSampler

from quell.errors import SweepError
from quell.qec.sweeps.shipping import ShippedDecoder

__all__ = ["ChunkLimits", "Problem", "Runner", "Work", "failure_text", "run_chunk"]

_BATCH_SHOTS = 1024  # sinter's own bound: larger batches fall out of the cache
_BATCH_SECONDS = 0.5
_CACHED_RUNNERS = 4


class Runner(Protocol):
    """A compiled problem, which a worker keeps from chunk to chunk."""

    def run(self, limits: Any, stop: threading.Event | None) -> Any:
        """Works until `limits`, or until soon after `stop` is set, and returns what came of it; both are pickled."""


class Problem(Protocol):
    """What is sent to a worker, pickled, the first time that it meets a key."""

    def compile(self, folder: Path) -> Runner:
        """Prepares to run; `folder` is for temporary files."""


@dataclasses.dataclass(frozen=True)
class ChunkLimits:
    """When a chunk ends: at the first of these.

    Attributes:
        max_shots: Shots to take at most.
        max_errors: Errors after which no further batch is begun.
        max_seconds: Seconds after which no further batch is begun.
        max_batch: Shots in a batch at most, for samplers that let others choose.
    """

    max_shots: int
    max_errors: int | None = None
    max_seconds: float | None = None
    max_batch: int | None = None


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker needs to compile a sampler: a complete task, and what decodes it.

    Attributes:
        task: A `sinter.Task` with circuit, detector error model and decoder name.
        decoder: The decoder; it is pickled once for all tasks that it decodes.
        count_observable_error_combos: As in `sinter.collect`.
        count_detection_events: As in `sinter.collect`.
    """

    task: sinter.Task
    decoder: ShippedDecoder
    count_observable_error_combos: bool = False
    count_detection_events: bool = False

    def to_bytes(self) -> bytes:
        """Returns the work as bytes for `run_chunk`."""
        return pickle.dumps(self)

    def compile(self, folder: Path) -> Runner:
        """Compiles the sampler; decoders that work through files use `folder`.

        Raises:
            SweepError: The decoder is another one here: by the version of its package, or by its settings.
        """
        sampler = self.decoder.load()
        if not isinstance(sampler, sinter.Sampler):
            sampler = StimThenDecodeSampler(
                decoder=sampler,
                count_observable_error_combos=self.count_observable_error_combos,
                count_detection_events=self.count_detection_events,
                tmp_dir=folder,
            )
        return _BatchedSampler(sampler.compiled_sampler_for_task(self.task))


class _BatchedSampler:
    """Runs a compiled sampler in batches that grow until they take long enough, or fill the cache."""

    def __init__(self, sampler: sinter.CompiledSampler) -> None:
        self.sampler = sampler
        self.throttles_itself = sampler.handles_throttling()
        self.batch = 1
        self.seen = sinter.AnonTaskStats()  # in all runs

    def run(self, limits: ChunkLimits, stop: threading.Event | None) -> sinter.AnonTaskStats:
        start = time.monotonic()
        total = sinter.AnonTaskStats()
        while total.shots < limits.max_shots:
            shots_left = limits.max_shots - total.shots
            errors_left = None if limits.max_errors is None else limits.max_errors - total.errors
            counted = self._one_batch(shots_left, errors_left, limits.max_batch or _BATCH_SHOTS)
            total += counted
            self.seen += counted
            if limits.max_errors is not None and total.errors >= limits.max_errors:
                break
            if limits.max_seconds is not None and time.monotonic() - start >= limits.max_seconds:
                break
            if stop is not None and stop.is_set():
                break
        return total

    def _one_batch(self, shots_left: int, errors_left: int | None, max_batch: int) -> sinter.AnonTaskStats:
        shots = min(self.batch, shots_left, max_batch)
        if errors_left is not None:
            # No more than are likely to be needed: a small limit would be passed several times over in one batch.
            shots = min(shots, max(1, errors_left * (self.seen.shots + 1) // (self.seen.errors + 1)))
        if self.throttles_itself:
            shots = shots_left
        start = time.monotonic()
        stats = self.sampler.sample(shots)
        seconds = time.monotonic() - start
        counted = _checked(stats)
        if seconds > 1.3 * _BATCH_SECONDS:
            self.batch = max(1, self.batch // 2)
        elif shots == self.batch and seconds < _BATCH_SECONDS / 8:
            self.batch = min(4 * self.batch, max_batch)
        return counted


def _checked(stats: object) -> sinter.AnonTaskStats:
    """Returns what a sampler counted, in Python's own integers, or says what is wrong with it."""
    if not isinstance(stats, sinter.AnonTaskStats):
        raise SweepError(f"a sampler must return sinter.AnonTaskStats, got {stats!r:.200}")
    counts = {"shots": stats.shots, "errors": stats.errors, "discards": stats.discards, **stats.custom_counts}
    for name, count in counts.items():
        if not isinstance(name, str):
            raise SweepError(f"custom_counts must have names that are strings, got {name!r}")
        if not isinstance(count, numbers.Integral):
            raise SweepError(f"a sampler must count in whole numbers, got {name} = {count!r}")
    if stats.shots < 1:
        raise SweepError("a sampler must take at least one shot each time it is called, got 0")
    return sinter.AnonTaskStats(
        shots=int(stats.shots),
        errors=int(stats.errors),
        discards=int(stats.discards),
        seconds=float(stats.seconds),
        custom_counts=collections.Counter({key: int(value) for key, value in stats.custom_counts.items()}),
    )


def failure_text(error: BaseException) -> str:
    """Returns an error in a line; a bare assertion, such as sinter's, is quoted from the source.

    Examples:
        >>> from quell.qec.sweeps.chunk import failure_text
        >>> failure_text(ValueError("no such model"))
        'ValueError: no such model'
    """
    if isinstance(error, SweepError):
        return str(error)
    text = str(error)
    frames = traceback.extract_tb(error.__traceback__)
    if not text and frames:
        text = str(frames[-1].line)
    return f"{type(error).__name__}: {text}"


class _Folder:
    """A temporary folder, removed with this object or at the end of the process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="quell-decoder-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class _Cache(threading.local):
    """What this thread compiled last, the newest at the end."""

    def __init__(self) -> None:
        self.runners: collections.OrderedDict[str, tuple[Runner, _Folder]] = collections.OrderedDict()


_cache = _Cache()
_stim_lock = threading.Lock()
_stim_has_sampled = threading.Event()


def _let_stim_sample_once() -> None:
    """Stim loads a part of itself at its first sample; where two threads are the first together, both hang."""
    with _stim_lock:
        if not _stim_has_sampled.is_set():
            circuit = stim.Circuit("M 0\nDETECTOR rec[-1]\nOBSERVABLE_INCLUDE(0) rec[-1]")
            circuit.compile_detector_sampler().sample(1, separate_observables=True, bit_packed=True)
            _stim_has_sampled.set()


def run_chunk(key: str, work: Callable[[], bytes], limits: Any, stop: threading.Event | None = None) -> Any:
    """Runs a problem until a limit is reached; for `Work`, samples a task.

    Args:
        key: What the problem is kept under. If this thread has it compiled, it is used again; so, for as long as the
            process lives, a key must stand for the same problem.
        work: Called for the pickled `Problem` when the key is new here; only bytes of one's own, since unpickling
            runs code.
        limits: When to end, for `Work` the `ChunkLimits`.
        stop: Ends the chunk soon once it is set; samplers of tasks end after their current batch.

    Returns:
        What the problem's runner returns, for `Work` the `sinter.AnonTaskStats` of at least one shot.

    Examples:
        >>> import stim
        >>> from quell.qec.sweeps.chunk import ChunkLimits, Work, run_chunk
        >>> from quell.qec.sweeps.shipping import ShippedDecoder
        >>> from quell.qec.sweeps.tasks import prepare_jobs
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=2,
        ...                                  before_round_data_depolarization=0.1)
        >>> (job,) = prepare_jobs(circuit, "pymatching", {}, num_workers=1)
        >>> work = Work(job.task, ShippedDecoder.of(job))
        >>> run_chunk(job.key, work.to_bytes, ChunkLimits(max_shots=100)).shots
        100
    """
    _let_stim_sample_once()
    if key not in _cache.runners:
        problem: Problem = pickle.loads(work())
        while len(_cache.runners) >= _CACHED_RUNNERS:
            _cache.runners.popitem(last=False)
        folder = _Folder()
        _cache.runners[key] = (problem.compile(folder.path), folder)
    _cache.runners.move_to_end(key)
    runner, _ = _cache.runners[key]
    return runner.run(limits, stop)
