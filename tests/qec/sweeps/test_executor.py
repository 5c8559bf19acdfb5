"""Sweeps on threads, inline and on spawned processes; what executors do wrong, and what workers lack."""

import collections
import dataclasses
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sinter
import stim

import quell
from quell.errors import InputError, SweepError
from quell.qec import iter_sweep, read_stats
from quell.qec.sweeps import collect, executor
from quell.qec.sweeps import versions as own
from quell.qec.sweeps.chunk import ChunkLimits, Work, run_chunk
from quell.qec.sweeps.engine import WorkerDied, default_num_workers
from quell.qec.sweeps.executor import engine_for
from quell.qec.sweeps.shipping import ShippedDecoder
from quell.qec.sweeps.tasks import Job, prepare_jobs

from . import tools
from .tools import Broken, Guess, repetition_task, run_script

TASKS = [repetition_task(d) for d in (3, 5, 7)]


class Inline(Executor):
    """Runs a call at once, in the thread that submits it, and keeps what was submitted."""

    def __init__(self) -> None:
        self.orders: list[bytes] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.orders.append(args[0])
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def spawned(num_workers: int = 1, initializer: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_workers, mp_context=context, initializer=initializer)


def job_and_work(task: sinter.Task = TASKS[0], decoder: Any = "pymatching") -> tuple[Job, bytes]:
    (job,) = prepare_jobs(task, decoder, {}, num_workers=1)
    return job, Work(job.task, ShippedDecoder.of(job)).to_bytes()


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_exactly_max_shots_are_taken_on_threads(tmp_path: Path, num_workers: int) -> None:
    path = tmp_path / "sweep.csv"
    with ThreadPoolExecutor(2) as threads:
        options: Any = {"max_shots": 12_345, "executor": threads, "num_workers": num_workers, "save": path}
        yielded = sum(stat.shots for stat in iter_sweep(TASKS, "pymatching", **options))
        assert yielded == 3 * 12_345
        assert [stat.shots for stat in read_stats(path)] == [12_345] * 3
        assert [stat.shots for stat in quell.sweep(TASKS, "pymatching", **options)] == [12_345] * 3


def test_one_global_stop_over_all_workers() -> None:
    with ThreadPoolExecutor(4) as threads:
        stats = quell.sweep(TASKS, "pymatching", max_errors=200, executor=threads, num_workers=4)
        assert all(200 <= stat.errors < 400 for stat in stats)
        (stat,) = quell.sweep(TASKS[0], "pymatching", target_relative_error=0.1, executor=threads)
        assert 380 < stat.errors < 700


def test_an_executor_that_runs_at_once_sends_a_problem_once() -> None:
    inline = Inline()
    stats = quell.sweep(TASKS, Guess(seconds=0.01), max_shots=15_000, executor=inline, num_workers=1)
    assert [stat.shots for stat in stats] == [15_000] * 3
    sizes = sorted(map(len, inline.orders))
    assert len([size for size in sizes if size > 1_000]) == 3  # one for each task
    assert len(sizes) > 3


def test_a_worker_that_does_not_know_the_problem_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    job, work = job_and_work()
    inline = Inline()
    engine = engine_for(inline, 1)
    assert engine.submit(job.key, work, ChunkLimits(max_shots=7)).result().shots == 7
    assert len(inline.orders) == 1
    with ThreadPoolExecutor(1) as other:  # a thread of its own has a cache of its own
        monkeypatch.setattr(engine, "_executor", other)
        assert engine.submit(job.key, work, ChunkLimits(max_shots=8)).result().shots == 8
        assert engine.submit(job.key, work, ChunkLimits(max_shots=9)).result().shots == 9


FIRST_SAMPLES = """
from concurrent.futures import ThreadPoolExecutor
import quell
from tests.qec.sweeps.tools import repetition_task
tasks = [repetition_task(d) for d in (3, 5, 7, 9)]
with ThreadPoolExecutor(4) as threads:
    print([stat.shots for stat in quell.sweep(tasks, "pymatching", max_shots=500, executor=threads, num_workers=4)])
"""


def test_threads_that_are_stims_first_do_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    result = run_script(tmp_path, FIRST_SAMPLES, timeout=60)
    assert result.stdout == "[500, 500, 500, 500]\n", result.stderr


def test_spawned_processes_take_decoders_of_function_bodies(tmp_path: Path) -> None:
    class Mine(Guess):
        def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
            return super().compile_decoder_for_dem(dem=dem)

    path = tmp_path / "sweep.csv"
    with spawned(2) as processes:
        options: Any = {"max_shots": 6_000, "executor": processes, "num_workers": 2, "save": path}
        yielded = sum(stat.shots for stat in iter_sweep(TASKS, ["pymatching", Mine(2.0)], **options))
    assert yielded == 6 * 6_000
    assert [stat.shots for stat in read_stats(path)] == [6_000] * 6


def test_a_failing_decoder_ends_the_sweep_with_its_own_words() -> None:
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(SweepError, match=r"takes no such model.*\(worker \d+ on .+\)") as caught,
    ):
        quell.sweep(TASKS, Broken("raise"), max_shots=10, executor=threads)
    assert "decoder 'Broken@" in str(caught.value)
    assert any("In the worker" in note for note in caught.value.__notes__)


def test_the_pool_breaks_and_another_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    seen = []

    def kill_a_worker_after_each(stat: sinter.TaskStats) -> None:
        seen.append(stat.shots)
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)

    with spawned(2) as processes:
        options: Any = {"max_shots": 100_000, "num_workers": 2, "save": path}
        stats = iter_sweep(TASKS, Guess(seconds=0.01), executor=processes, **options)
        with pytest.raises(SweepError, match=r"the executor is broken.*make a new executor and run again"):
            collections.deque(map(kill_a_worker_after_each, stats))
    assert sum(stat.shots for stat in read_stats(path)) >= sum(seen) > 0
    with ThreadPoolExecutor(4) as threads:
        stats_after = quell.sweep(TASKS, Guess(seconds=0.01), max_shots=100_000, executor=threads, save=path)
    assert [stat.shots for stat in stats_after] == [100_000] * 3


@pytest.mark.parametrize("bad", ["dask", 3, ThreadPoolExecutor, object()])
def test_what_is_no_executor_is_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r"executor must be a concurrent\.futures\.Executor, got"):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=bad)


def test_an_executor_that_was_shut_down_is_said(tmp_path: Path) -> None:
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    with pytest.raises(SweepError, match=r"takes no more chunks .*after shutdown.*make a new executor and run again"):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=threads, save=tmp_path / "sweep.csv")


@pytest.mark.parametrize("cancel", [False, True])
def test_an_executor_that_is_shut_down_during_a_sweep_is_said(tmp_path: Path, cancel: bool) -> None:
    path = tmp_path / "sweep.csv"
    threads = ThreadPoolExecutor(1)
    seen = []

    def shut_down(stat: sinter.TaskStats) -> None:
        seen.append(stat.shots)
        threads.shutdown(wait=False, cancel_futures=cancel)

    options: Any = {"max_shots": 10**6, "num_workers": 3, "save": path}
    stats = iter_sweep(TASKS, Guess(seconds=0.01), executor=threads, **options)
    with pytest.raises(SweepError, match=r"the executor (takes no more|dropped its) chunks.*run again"):
        collections.deque(map(shut_down, stats))
    assert sum(stat.shots for stat in read_stats(path)) >= sum(seen) > 0


def test_leaving_a_sweep_cancels_what_waits_and_leaves_the_executor_open() -> None:
    with ThreadPoolExecutor(1) as threads:
        stats = iter_sweep(TASKS, Guess(seconds=0.01), max_shots=10**7, executor=threads, num_workers=50)
        next(stats)
        begin = time.monotonic()
        stats.close()  # type: ignore[attr-defined]
        assert threads.submit(int, "3").result() == 3
        assert time.monotonic() - begin < 10  # fifty chunks would take longer


def test_the_number_of_chunks_under_way() -> None:
    with ThreadPoolExecutor(7) as threads:
        assert engine_for(threads).num_workers == default_num_workers()
        assert engine_for(threads, 3).num_workers == 3
        for bad in (0, -1, 1.5):
            with pytest.raises(InputError, match="num_workers must be an integer >= 1"):
                quell.sweep(TASKS, "pymatching", max_shots=10, executor=threads, num_workers=bad)  # type: ignore[arg-type]
        many = 10**6  # far away they need no memory of this machine
        (stat,) = quell.sweep(TASKS[0], "pymatching", max_shots=10, executor=threads, num_workers=many)
        assert stat.shots == 10


def test_other_versions_on_a_worker_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {**own.own_versions(), "stim": "1.99.0"}
    monkeypatch.setattr(executor, "own_versions", lambda: versions)
    found = own.versions_of(["stim"])["stim"]
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(SweepError, match=rf"has stim {found}, and the work was given out with stim 1\.99\.0: install"),
    ):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=threads)


def test_another_version_of_the_decoders_package_is_refused() -> None:
    (job,) = prepare_jobs(TASKS[0], "pymatching", {}, num_workers=1)
    for versions, message in [
        ({"numpy": "0.1"}, r"has numpy \d.*with numpy 0\.1"),
        ({"no-such": "2"}, "has no no-such"),
    ]:
        work = Work(job.task, dataclasses.replace(ShippedDecoder.of(job), versions=versions)).to_bytes
        with pytest.raises(SweepError, match=message):
            run_chunk(f"versions {versions}", work, ChunkLimits(max_shots=1))


class NoQuell:
    """A finder of modules as on a machine where quell is not installed."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(self, name: str, *arguments: Any) -> Any:
        return None if name == "quell" else self.finder.find_spec(name, *arguments)


def hide_quell() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "quell"]:
        del sys.modules[name]
    sys.meta_path[:] = [NoQuell(finder) for finder in sys.meta_path]


def make_quell_another() -> None:
    sys.modules["quell.qec.sweeps.executor_orders"] = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        (hide_quell, r"^worker \d+ on .+ has no quell: this sweep needs quell \d"),
        (make_quell_another, r"has another quell, or not all of it .*: this sweep needs quell \d"),
    ],
)
def test_a_worker_without_quell_is_said(initializer: Callable[[], None], message: str) -> None:
    with spawned(1, initializer) as processes, pytest.raises(SweepError, match=message) as caught:
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=processes)
    assert not hasattr(caught.value, "__notes__")  # no task can have been the reason


def test_workers_that_outlive_a_sweep_do_not_take_the_next_one_for_it() -> None:
    cell = """
class Edited(Guess):
    def settings_id(self):
        return "always the same"
    def compile_decoder_for_dem(self, *, dem):
        return Compiled(1, 0.0)
class Compiled(_CompiledGuess):
    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data):
        return super().decode_shots_bit_packed(bit_packed_detection_event_data=bit_packed_detection_event_data) ^ ONE
"""

    def edited(one: int) -> sinter.Decoder:
        names: dict[str, Any] = {
            "Guess": Guess, "_CompiledGuess": tools._CompiledGuess, "ONE": one, "__name__": "__main__"
        }  # fmt: skip
        exec(cell, names)
        decoder: sinter.Decoder = names["Edited"]()
        return decoder

    task = repetition_task(3, 0.01)
    for executor_ in (ThreadPoolExecutor(1), spawned(1)):
        with executor_:
            options: Any = {"max_shots": 1_000, "executor": executor_}
            (plain,) = quell.sweep(task, "pymatching", **options)
            (counted,) = quell.sweep(task, "pymatching", count_detection_events=True, **options)
            assert (bool(plain.custom_counts), bool(counted.custom_counts)) == (False, True)
            errors = [quell.sweep(task, edited(one), **options)[0].errors for one in (0, 1)]
            # The shots that one of them gets wrong, the other gets right; a tie by chance is less likely than 10^-100.
            assert errors[0] < 500 < errors[1]


class FromDisk(Guess):
    """Its weights lie on disk, and its settings are what it finds there."""

    def settings_id(self) -> str:
        return os.environ.get("QUELL_TEST_WEIGHTS", "those of the user")


def change_weights() -> None:
    os.environ["QUELL_TEST_WEIGHTS"] = "others"


def test_other_weights_on_a_worker_are_refused() -> None:
    with spawned(1, change_weights) as processes:
        with pytest.raises(SweepError, match=r"FromDisk@(\w+)'.*make it FromDisk@(?!\1)\w+: files that it reads"):
            quell.sweep(TASKS, FromDisk(), max_shots=10, executor=processes)
        (stat,) = quell.sweep(TASKS[0], Guess(), max_shots=10, executor=processes)
        assert stat.shots == 10


class Deadly:
    """An engine whose workers die of one task, and take along the chunk that is started next."""

    num_workers = 2

    def __init__(self, deadly: str) -> None:
        self.deadly = deadly
        self.last = ""
        self.longest = 0.0

    def submit(self, key: str, work: bytes, limits: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.longest = max(self.longest, limits.max_seconds)
        if self.deadly in (key, self.last):
            future.set_exception(WorkerDied("a worker process was killed by SIGKILL"))
        else:
            future.set_result(run_chunk(key, lambda: work, limits))
        self.last = key
        return future

    def interrupt(self, key: str | None = None) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_task_that_workers_die_of_is_given_up_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = TASKS[:2]
    engine = Deadly(prepare_jobs(tasks, "vacuous", {}, num_workers=1)[0].key)
    monkeypatch.setattr(collect, "engine_for", lambda *_: engine)
    path = tmp_path / "sweep.csv"
    with (
        pytest.warns(UserWarning, match="'d': 3.* it is given up, and the other tasks go on"),
        pytest.raises(SweepError, match=r"SIGKILL.*task .*'d': 3.*death number 3 in a row"),
    ):
        quell.sweep(tasks, "vacuous", max_shots=10_000, save=path)
    assert [(stat.json_metadata["d"], stat.shots) for stat in read_stats(path)] == [(5, 10_000)]


class Quick(Deadly):
    """An engine that takes a thousand shots in no time."""

    def __init__(self, num_workers: int) -> None:
        super().__init__("")
        self.num_workers = num_workers

    def submit(self, key: str, work: bytes, limits: Any) -> "Future[Any]":  # noqa: ARG002
        self.longest = max(self.longest, limits.max_seconds)
        future: Future[Any] = Future()
        future.set_result(sinter.AnonTaskStats(shots=min(1_000, limits.max_shots)))
        return future


def test_chunks_grow_longer_where_workers_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for num_workers, longest in [(1, 2.0), (200, 2.0), (1_000, 10.0)]:
        engine = Quick(num_workers)
        monkeypatch.setattr(collect, "engine_for", lambda *_, engine=engine: engine)
        quell.sweep(TASKS[0], "vacuous", max_shots=100_000)
        assert engine.longest == longest


def sweep_in_a_process(path: str) -> None:
    assert multiprocessing.current_process().daemon
    with (
        ProcessPoolExecutor(1) as processes,
        pytest.raises(SweepError, match=r"daemonic processes.*; leave the executor out"),
    ):
        quell.sweep(TASKS[0], "pymatching", max_shots=500, executor=processes)
    quell.sweep(TASKS[0], "pymatching", max_shots=500, num_workers=1, save=path)


def test_a_daemonic_process_may_sweep_on_processes_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=sweep_in_a_process, args=(str(path),), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert read_stats(path)[0].shots == 500
