"""The sweep: one loop that gives chunks of tasks to an engine, books what comes back, and stops in time.

Nothing is reported before it is on disk. Two sweeps on one file see each other's rows and share the work.
"""

import concurrent.futures
import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict, Unpack

import sinter

from quell.errors import InputError, StorageError, SweepError, TooLargeError, check_integer
from quell.qec.sweeps.booking import Book, Limits
from quell.qec.sweeps.chunk import ChunkLimits, Work
from quell.qec.sweeps.engine import MAX_DEATHS, Engine, EngineLost, WorkerDied, default_num_workers
from quell.qec.sweeps.executor import check_executor, engine_for
from quell.qec.sweeps.identity import AnyDecoder
from quell.qec.sweeps.progress import ProgressBar
from quell.qec.sweeps.shipping import ShippedDecoder
from quell.qec.sweeps.store import ResultsFile, read_stats
from quell.qec.sweeps.tasks import Decoders, Job, Tasks, memory_bytes, prepare_jobs
from quell.qec.sweeps.under_way import LAST_LOCK_SECONDS, Future, UnderWay, uninterrupted

__all__ = ["SweepOptions", "iter_sweep", "sweep"]

_FIRST_CHUNK_SECONDS = 0.1
_CHUNK_SECONDS = 2.0  # what a killed run may have to repeat, for each worker
_CHUNKS_PER_SECOND = 100  # that a sweep takes in at most, from however many workers: longer chunks, if need be
_LAST_CHUNK_SECONDS = 1.0  # how long an interrupted run waits for batches under way
_SMALLEST_CHUNK = 1024  # shots: less is not worth a row
_BYTES_PER_WORKER = 150_000_000


class SweepOptions(TypedDict, total=False):
    """The keyword arguments of `iter_sweep`, which are those of `sweep`; `sweep` explains them."""

    custom_decoders: Mapping[str, AnyDecoder] | None
    max_shots: int | None
    max_errors: int | None
    target_relative_error: float | None
    save: str | os.PathLike[str] | None
    existing: Iterable[str | os.PathLike[str]]
    executor: concurrent.futures.Executor | None
    num_workers: int | None
    progress: bool | None
    mix_settings: bool
    count_observable_error_combos: bool
    count_detection_events: bool


def sweep(
    tasks: Tasks,
    decoders: Decoders = (),
    *,
    custom_decoders: Mapping[str, AnyDecoder] | None = None,
    max_shots: int | None = None,
    max_errors: int | None = None,
    target_relative_error: float | None = None,
    save: str | os.PathLike[str] | None = None,
    existing: Iterable[str | os.PathLike[str]] = (),
    executor: concurrent.futures.Executor | None = None,
    num_workers: int | None = None,
    progress: bool | None = None,
    mix_settings: bool = False,
    count_observable_error_combos: bool = False,
    count_detection_events: bool = False,
) -> list[sinter.TaskStats]:
    """Samples and decodes tasks on all cores until each has enough shots or errors.

    Works in scripts without a main guard, in notebooks, and with decoders defined there. Ctrl-C, or killing it,
    loses nothing that was reported: run it again with the same `save` to go on.

    Args:
        tasks: `stim.Circuit`s or `sinter.Task`s. A task may name its own decoder, bring its own detector error model,
            masks for post-selection, and `collection_options` (the smaller limit holds; batches start with one shot
            whatever `start_batch_size` says). Give tasks metadata such as `{"d": 5, "p": 0.003, "r": 5}`: fits and
            plots read it.
        decoders: For tasks that name none: names, `sinter.Decoder`s or `sinter.Sampler`s, or a dict of them by name.
            Names are sinter's (`"pymatching"`, `"pymatching-correlated"`, …) or keys of `custom_decoders`.
        custom_decoders: Decoders that names may refer to. Any decoder that is not sinter's own goes into the results
            as `name@<12 hex digits>`, the digits standing for its settings: what its method `settings_id() -> str`
            returns, or all of its state.
        max_shots: Shots of a task after which it is done. Default: 10,000,000, if another limit is given.
        max_errors: Errors of a task after which it is done. As with sinter, the batches under way still count, so
            that a small limit may be passed by some: with many workers, by a few batches' worth.
        target_relative_error: A task is done when half the width of its 95 % likelihood interval is at most this
            fraction of its error rate. 0.1 takes about 400 errors.
        save: A CSV file of sinter's to go on from and to add to. Several sweeps may share it at the same time; they
            see each other's rows, and together pass a limit by no more than the chunks under way, of 2 s each.
        existing: Further CSV files whose rows count. A file named twice, or its copy, counts once.
        executor: Any `concurrent.futures.Executor` to sample on instead of processes of this machine; for a Dask
            cluster `client.get_executor()`. It is not shut down. Its workers need the same versions of quell, stim,
            sinter, PyMatching and the decoder's package as this process, and must find the same settings for the
            decoder; one that does not ends the sweep with a message that names both. For decoders on GPUs, start a
            worker for each device, as dask-cuda does, or pass `client.get_executor(resources={"GPU": 1})`.
        num_workers: Worker processes. Default: one for each core that this process may use. With an executor: chunks
            under way at once; by default as many as the workers of a Dask cluster have threads, also when some come
            or go, and for another executor one for each core of this machine. A cluster that grows with what it is
            given to do needs a number.
        progress: Whether to show a progress bar. Default: in a terminal and in a notebook.
        mix_settings: Allows rows of the same task, taken by a decoder of the same name with other settings, to stand
            in `save` or `existing`. They are never added up, with or without this.
        count_observable_error_combos: As in `sinter.collect`.
        count_detection_events: As in `sinter.collect`.

    Returns:
        One `sinter.TaskStats` for each task and decoder, tasks first, in the order given, each with all its shots
        from files and from this call. Samples are drawn from fresh entropy, as sinter draws them.

    Raises:
        InputError: An argument, a circuit or a decoder is not usable.
        DataError: A file is not a CSV of sinter's, or is cut off.
        IdentityError: See `mix_settings`.
        StorageError: A file cannot be read or written.
        SweepError: A decoder failed, or the executor was lost, at once; or, when everything else is done, workers
            kept dying on a task.

    Examples:
        >>> import quell, sinter, stim
        >>> tasks = [
        ...     sinter.Task(
        ...         circuit=stim.Circuit.generated("repetition_code:memory", distance=d, rounds=d,
        ...                                        before_round_data_depolarization=0.1),
        ...         json_metadata={"d": d, "p": 0.1},
        ...     )
        ...     for d in (3, 5)
        ... ]
        >>> for stat in quell.sweep(tasks, "pymatching", max_shots=1000, num_workers=1):
        ...     print(stat.json_metadata, stat.shots)
        {'d': 3, 'p': 0.1} 1000
        {'d': 5, 'p': 0.1} 1000
    """
    options = SweepOptions(
        custom_decoders=custom_decoders,
        max_shots=max_shots,
        max_errors=max_errors,
        target_relative_error=target_relative_error,
        save=save,
        existing=existing,
        executor=executor,
        num_workers=num_workers,
        progress=progress,
        mix_settings=mix_settings,
        count_observable_error_combos=count_observable_error_combos,
        count_detection_events=count_detection_events,
    )
    run = _Sweep(tasks, decoders, options)
    for _ in run.run():
        pass
    return run.book.results()


def iter_sweep(
    tasks: Tasks,
    decoders: Decoders = (),
    **options: Unpack[SweepOptions],
) -> Iterator[sinter.TaskStats]:
    """Does what `sweep` does, and yields statistics as they come in.

    Args:
        tasks: As for `sweep`.
        decoders: As for `sweep`.
        **options: As for `sweep`.

    Yields:
        What was added to a task by this call: already on disk, where there is a file. Leaving the loop ends the
        workers.

    Examples:
        >>> import stim
        >>> from quell.qec import iter_sweep
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=3,
        ...                                  before_round_data_depolarization=0.1)
        >>> sum(stat.shots for stat in iter_sweep(circuit, "pymatching", max_shots=500, num_workers=1))
        500
    """
    return _Sweep(tasks, decoders, options).run()


class _Sweep:
    """One call of `sweep`: checks everything at once, then runs."""

    def __init__(
        self,
        tasks: Tasks,
        decoders: Decoders,
        options: SweepOptions,
    ) -> None:
        _check_options(options)
        limits = Limits.checked(
            options.get("max_shots"), options.get("max_errors"), options.get("target_relative_error")
        )
        self.options = options
        self.num_workers = _checked_num_workers(options)
        # The memory of an executor's workers is not known here; that of this machine must hold each task once.
        local = 1 if options.get("executor") is not None else self.num_workers or default_num_workers()
        self.jobs = prepare_jobs(tasks, decoders, options.get("custom_decoders") or {}, local)
        self.book = Book(self.jobs, limits, mix_settings=options.get("mix_settings", False))
        self.file: ResultsFile | None = None
        self.under_way = UnderWay()
        self.decoders: dict[tuple[int, str], ShippedDecoder] = {}  # by identity of the decoder, and its name
        self.work: dict[str, bytes] = {}  # of the tasks that are being sampled
        self.num_chunks: dict[str, int] = {}
        self.deaths: dict[str, int] = {}  # in a row, of workers on a task
        self.given_up: dict[str, SweepError] = {}  # tasks on which workers kept dying

    def run(self) -> Iterator[sinter.TaskStats]:
        """Samples until all is done; yields what comes in."""
        with contextlib.ExitStack() as stack:
            self._read_files(stack)
            bar = ProgressBar(len(self.jobs), self.options.get("progress"))
            stack.callback(bar.close)
            bar.update(self.book.tasks_done(), self.book.collected)
            if self.book.finished():
                return
            # Everything that can go wrong with a decoder's pickle goes wrong before the first worker starts.
            for job in self.book.unfinished():
                self._shipped(job)
            engine = self._engine()
            stack.callback(engine.close)
            stack.callback(self._drain, engine, os.getpid())
            while self._fill(engine):
                # One at a time: then the worker that has just become idle gets the task that it knows.
                stat = self._receive(self.under_way.finished.get(), engine)
                bar.update(self.book.tasks_done(), self.book.collected)
                if stat is not None:
                    yield stat
        self._raise_given_up()

    def _engine(self) -> Engine:
        executor = self.options.get("executor")
        if executor is not None:
            return engine_for(executor, self.num_workers)
        return engine_for(None, min(self.num_workers or default_num_workers(), self.book.most_useful_workers()))

    def _read_files(self, stack: contextlib.ExitStack) -> None:
        save = self.options.get("save")
        others = list(self.options.get("existing", ()))
        if save is not None:
            self.file = stack.enter_context(ResultsFile(save))
            others = [path for path in others if not self.file.same_file(path)]
        if others:
            self.book.add_rows(read_stats(*others, unlike=self.file))
        if self.file is not None:
            self.book.add_rows(self.file.read_new())
        self.book.refuse_other_settings = False  # others may add what they like from now on

    def _shipped(self, job: Job) -> ShippedDecoder:
        key = id(job.decoder), job.decoder_name
        if key not in self.decoders:
            self.decoders[key] = ShippedDecoder.of(job)
        return self.decoders[key]

    def _work_of(self, job: Job) -> bytes:
        if job.key not in self.work:
            self.work[job.key] = Work(
                job.task,
                self._shipped(job),
                count_observable_error_combos=self.options.get("count_observable_error_combos", False),
                count_detection_events=self.options.get("count_detection_events", False),
            ).to_bytes()
        return self.work[job.key]

    def _fill(self, engine: Engine) -> bool:
        """Gives every idle worker a chunk; returns whether any is under way."""
        num_workers = engine.num_workers
        while len(self.under_way.futures) < num_workers:
            job = self._next_job()
            if job is None:
                break
            limits = self._limits(job, num_workers)
            self.num_chunks[job.key] = self.num_chunks.get(job.key, 0) + 1
            self.under_way.add(engine.submit(job.key, self._work_of(job), limits), job, limits.max_shots)
        return bool(self.under_way.futures)

    def _next_job(self) -> Job | None:
        """The least served job first: so that a worker stays with its task, and the last tasks are shared.

        Of the jobs beside which workers died, one is tried at a time: a job that is not to blame then comes through.
        """
        best = None
        suspect_runs = any(self.under_way.running[key] for key in self.deaths)
        for job in self.book.unfinished():
            if self.book.shots_left(job) <= self.under_way.shots[job.key] or job.key in self.given_up:
                continue
            if suspect_runs and job.key in self.deaths:
                continue
            running = self.under_way.running[job.key]
            if running == 0:
                return job
            if best is None or running < self.under_way.running[best.key]:
                best = job
        return best

    def _limits(self, job: Job, num_workers: int) -> ChunkLimits:
        shots_free = self.book.shots_left(job) - self.under_way.shots[job.key]
        sharing = max(1, num_workers // self.book.num_unfinished())
        # Chunks that begin together share the errors too, or each would bring all of them.
        sharing_errors = max(sharing, self.under_way.running[job.key] + 1)
        errors_left = self.book.errors_left(job)
        options = job.task.collection_options
        ramp = _FIRST_CHUNK_SECONDS * 2 ** min(self.num_chunks.get(job.key, 0), 10)
        longest = max(_CHUNK_SECONDS, num_workers / _CHUNKS_PER_SECOND)
        return ChunkLimits(
            max_shots=max(-(-shots_free // sharing), min(shots_free, _SMALLEST_CHUNK)),
            max_errors=None if errors_left is None else -(-errors_left // sharing_errors),
            max_seconds=min(ramp, longest, options.max_batch_seconds or longest),
            max_batch=options.max_batch_size,
        )

    def _receive(self, future: Future, engine: Engine) -> sinter.TaskStats | None:
        """Books a chunk, on disk first; a chunk of a worker that died is left to be sampled again."""
        with uninterrupted(self.file):
            job = self.under_way.remove(future)
            try:
                stats = future.result()
            except WorkerDied as death:
                self._count_death(job, death)
                return None
            except EngineLost as lost:
                if lost.chunk_ran:
                    lost.add_note(f"Under way was {job}, which need not be the reason.")
                raise
            except SweepError as failure:
                error = SweepError(f"{job}: {failure}")
                for note in getattr(failure, "__notes__", ()):
                    error.add_note(note)
                raise error from None
            self.deaths.pop(job.key, None)
            stat = self._save(job, stats)
        if self.book.done(job):
            engine.interrupt(job.key)
            self.work.pop(job.key, None)
        return stat

    def _count_death(self, job: Job, death: WorkerDied) -> None:
        """Counts a death; a task with too many is given up, and if others are left, they go on."""
        self.deaths[job.key] = self.deaths.get(job.key, 0) + 1
        if self.deaths[job.key] < MAX_DEATHS or job.key in self.given_up:
            return
        error = SweepError(
            f"{death}, while it worked on {job}: that was the death number {self.deaths.pop(job.key)} in a row of a "
            f"worker on this task"
        )
        error.__cause__ = death
        self.given_up[job.key] = error
        self.work.pop(job.key, None)
        if self.book.num_unfinished() > len(self.given_up):
            warnings.warn(f"{error}; it is given up, and the other tasks go on", stacklevel=2)

    def _raise_given_up(self) -> None:
        """Raises for tasks that were given up and that no other sweep on the same file has done."""
        errors = [self.given_up[job.key] for job in self.book.unfinished() if job.key in self.given_up]
        if not errors:
            return
        for other in errors[1:]:
            errors[0].add_note(f"Another task that was given up: {other}")
        raise errors[0]

    def _save(self, job: Job, stats: sinter.AnonTaskStats) -> sinter.TaskStats:
        stat = job.stats(stats)
        if self.file is not None:
            self.book.add_rows(self.file.append(stat))
        self.book.add(job, stats)
        return stat

    def _drain(self, engine: Engine, owner: int) -> None:
        """Saves what workers have when a sweep is ended early; without early end there is nothing."""
        if not self.under_way.futures or self.file is None or os.getpid() != owner:
            return
        engine.interrupt()
        concurrent.futures.wait(self.under_way.futures, timeout=_LAST_CHUNK_SECONDS)
        self.file.patience = LAST_LOCK_SECONDS
        for future in [future for future in self.under_way.futures if future.done()]:
            job = self.under_way.remove(future)
            if future.exception() is None:
                with contextlib.suppress(StorageError):  # the error that ended the sweep is the one to be seen
                    self._save(job, future.result())


def _check_options(options: SweepOptions) -> None:
    known = SweepOptions.__annotations__
    for name in options:
        if name not in known:
            raise TypeError(f"sweep() got an unexpected argument {name!r}; it takes {', '.join(known)}")
    existing = options.get("existing", ())
    if isinstance(existing, (str, os.PathLike)):
        raise InputError(f"existing must be a list of files, got {existing!r}: write existing=[{existing!r}]")
    if options.get("save") == "":
        raise InputError("save must be the name of a file, got an empty one; leave it out to save nothing")


def _checked_num_workers(options: SweepOptions) -> int | None:
    num_workers = options.get("num_workers")
    if num_workers is not None:
        num_workers = check_integer("num_workers", num_workers, minimum=1)
    executor = options.get("executor")
    if executor is not None:
        check_executor(executor)
    elif num_workers is not None and num_workers * _BYTES_PER_WORKER > memory_bytes():
        raise TooLargeError(
            f"num_workers = {num_workers} need about {num_workers * _BYTES_PER_WORKER / 2**30:,.0f} GiB, and this "
            f"machine has {memory_bytes() / 2**30:,.0f} GiB: a worker for each core is enough"
        )
    return num_workers
