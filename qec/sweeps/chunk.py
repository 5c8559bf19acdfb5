"""The unit of work: a problem, compiled once, that is run for a bounded time; for sweeps, a sinter sampler of a task.

`run_chunk` knows nothing of processes or files. Whatever can call a function somewhere can be an engine.
"""

import collections
import dataclasses
import numbers
import pickle
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cloudpickle
import sinter
from sinter._decoding._stim_then_decode_sampler import StimThenDecodeSampler

from quell.errors import SweepError

__all__ = ["ChunkLimits", "Problem", "Runner", "Work", "run_chunk"]

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
        decoder: The decoder, or a sampler that takes its place, as `cloudpickle` saves it: classes from `__main__`
            and notebooks come along by value. It is pickled once for all tasks that it decodes.
        count_observable_error_combos: As in `sinter.collect`.
        count_detection_events: As in `sinter.collect`.
    """

    task: sinter.Task
    decoder: bytes
    count_observable_error_combos: bool = False
    count_detection_events: bool = False

    def to_bytes(self) -> bytes:
        """Returns the work as bytes for `run_chunk`."""
        return pickle.dumps(self)

    def compile(self, folder: Path) -> Runner:
        """Compiles the sampler; decoders that work through files use `folder`."""
        sampler: sinter.Decoder | sinter.Sampler = cloudpickle.loads(self.decoder)
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

    def run(self, limits: ChunkLimits, stop: threading.Event | None) -> sinter.AnonTaskStats:
        start = time.monotonic()
        total = sinter.AnonTaskStats()
        while total.shots < limits.max_shots:
            total += self._one_batch(limits.max_shots - total.shots, limits.max_batch or _BATCH_SHOTS)
            if limits.max_errors is not None and total.errors >= limits.max_errors:
                break
            if limits.max_seconds is not None and time.monotonic() - start >= limits.max_seconds:
                break
            if stop is not None and stop.is_set():
                break
        return total

    def _one_batch(self, shots_left: int, max_batch: int) -> sinter.AnonTaskStats:
        shots = shots_left if self.throttles_itself else min(self.batch, shots_left, max_batch)
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


class _Cache(threading.local):
    """What this thread compiled last, the newest at the end."""

    def __init__(self) -> None:
        self.runners: collections.OrderedDict[str, Runner] = collections.OrderedDict()
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def new_folder(self) -> Path:
        """A folder for a decoder that works through files."""
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="quell-decoder-", ignore_cleanup_errors=True)
        return Path(tempfile.mkdtemp(dir=self.folder.name))


_cache = _Cache()


def run_chunk(key: str, work: Callable[[], bytes], limits: Any, stop: threading.Event | None = None) -> Any:
    """Runs a problem until a limit is reached; for `Work`, samples a task.

    Args:
        key: What the problem is kept under, for `Work` the task's strong id. If this thread has it compiled, it is
            used again.
        work: Called for the pickled `Problem` when the key is new here; only bytes of one's own, since unpickling
            runs code.
        limits: When to end, for `Work` the `ChunkLimits`.
        stop: Ends the chunk soon once it is set; samplers of tasks end after their current batch.

    Returns:
        What the problem's runner returns, for `Work` the `sinter.AnonTaskStats` of at least one shot.

    Examples:
        >>> import cloudpickle, sinter, stim
        >>> from quell.qec.sweeps.chunk import ChunkLimits, Work, run_chunk
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=2,
        ...                                  before_round_data_depolarization=0.1)
        >>> task = sinter.Task(circuit=circuit, decoder="pymatching",
        ...                    detector_error_model=circuit.detector_error_model(decompose_errors=True))
        >>> work = Work(task, cloudpickle.dumps(sinter.BUILT_IN_DECODERS["pymatching"]))
        >>> run_chunk(task.strong_id(), work.to_bytes, ChunkLimits(max_shots=100)).shots
        100
    """
    runner = _cache.runners.get(key)
    if runner is None:
        problem: Problem = pickle.loads(work())
        runner = problem.compile(_cache.new_folder())
        while len(_cache.runners) >= _CACHED_RUNNERS:
            _cache.runners.popitem(last=False)
        _cache.runners[key] = runner
    _cache.runners.move_to_end(key)
    return runner.run(limits, stop)
