"""Sweeps on a Dask cluster of this machine: two workers, each a process with one thread."""

import asyncio
import collections
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sinter
import stim

import quell
from quell.errors import InputError, SweepError
from quell.qec import iter_sweep, read_stats
from quell.qec.sweeps import executor, executor_watch
from quell.qec.sweeps import versions as own
from quell.qec.sweeps.chunk import ChunkLimits, Work
from quell.qec.sweeps.executor import engine_for
from quell.qec.sweeps.shipping import ShippedDecoder
from quell.qec.sweeps.tasks import prepare_jobs

from .tools import Broken, Guess, repetition_task, surface_task

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

TASKS = [repetition_task(d) for d in (3, 5, 7)]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", resources={"GPU": 1}
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Noted(Guess):
    """Leaves a line in a file each time that it is compiled."""

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        super().__init__(seconds=seconds)
        self.path = path

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        with self.path.open("a") as file:
            file.write("compiled\n")
        return super().compile_decoder_for_dem(dem=dem)


def test_exactly_max_shots_are_taken_and_saved(client: Any, tmp_path: Path) -> None:
    class Mine(sinter.Decoder):
        def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
            return sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)

    path = tmp_path / "sweep.csv"
    options: Any = {"max_shots": 23_456, "executor": client.get_executor(), "save": path}
    yielded: collections.Counter[str] = collections.Counter()
    for stat in iter_sweep(TASKS, ["pymatching", Mine()], **options):
        yielded[stat.strong_id] += stat.shots
        assert {stat.strong_id: stat.shots for stat in read_stats(path)} == yielded
    assert [stat.shots for stat in read_stats(path)] == [23_456] * 6


def test_rates_agree_with_those_of_sinter(client: Any) -> None:
    task, shots = surface_task(3, 0.01), 200_000
    (there,) = quell.sweep(task, "pymatching", max_shots=shots, executor=client.get_executor())
    (here,) = sinter.collect(num_workers=1, tasks=[task], decoders=["pymatching"], max_shots=shots)
    # Fails by chance less than once in 10^6: a difference of two counts at 5.2 standard deviations.
    assert abs(there.errors - here.errors) < 5.2 * (there.errors + here.errors) ** 0.5


def test_a_sampler_is_compiled_once_for_each_worker(client: Any, tmp_path: Path) -> None:
    note = tmp_path / "compiled.txt"
    chunks = list(
        iter_sweep(TASKS, Noted(note, 0.005), max_shots=60_000, executor=client.get_executor(), num_workers=2)
    )
    assert len(note.read_text().splitlines()) <= len(TASKS) * 2 < len(chunks)


class Random(sinter.Sampler):
    """Counts by chance, so that no two chunks are alike."""

    def compiled_sampler_for_task(self, task: sinter.Task) -> sinter.CompiledSampler:  # noqa: ARG002
        return CompiledRandom()


class CompiledRandom(sinter.CompiledSampler):
    def sample(self, suggested_shots: int) -> sinter.AnonTaskStats:
        counts = collections.Counter({"chance": int.from_bytes(os.urandom(6))})
        return sinter.AnonTaskStats(shots=suggested_shots, custom_counts=counts)


def test_chunks_that_look_alike_are_all_run(client: Any) -> None:
    (job,) = prepare_jobs(TASKS[0], Random(), {}, num_workers=1)
    work, limits = Work(job.task, ShippedDecoder.of(job)).to_bytes(), ChunkLimits(max_shots=1)
    for keywords in ({}, {"pure": True}):
        engine = engine_for(client.get_executor(**keywords))
        futures = [engine.submit(job.key, work, limits) for _ in range(10)]
        assert len({future.result().custom_counts["chance"] for future in futures}) == 10


def test_the_number_of_chunks_under_way_follows_the_cluster(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, fixed = engine_for(client.get_executor()), engine_for(client.get_executor(), 5)
    assert (engine.num_workers, fixed.num_workers) == (2, 5)
    monkeypatch.setattr(executor, "_WORKERS_ASKED_EVERY", 0.0)
    threads = {"a": 8, "b": 3}
    monkeypatch.setattr(client, "nthreads", lambda **_: threads)
    assert (engine.num_workers, fixed.num_workers) == (11, 5)
    threads.clear()
    assert engine.num_workers == 1  # one chunk waits for the first worker


def test_resources_of_workers_are_kept_to(client: Any) -> None:
    one_per_device = client.get_executor(resources={"GPU": 1})
    stats = quell.sweep(TASKS, "pymatching", max_shots=2_000, executor=one_per_device, num_workers=4)
    assert [stat.shots for stat in stats] == [2_000] * 3


def sweep_here() -> int:
    (stat,) = quell.sweep(TASKS[0], "pymatching", max_shots=500, num_workers=1)
    return stat.shots


def test_a_worker_may_sweep_on_processes_of_its_own(client: Any) -> None:
    assert client.submit(sweep_here, pure=False).result(timeout=60) == 500


def test_other_versions_on_a_worker_are_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {**own.own_versions(), "sinter": "1.99.0"}
    monkeypatch.setattr(executor, "own_versions", lambda: versions)
    message = r"worker \d+ on .* has sinter 1\.\d+\.\d, and the work was given out with sinter 1\.99\.0"
    with pytest.raises(SweepError, match=message):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=client.get_executor())


def test_a_client_is_no_executor_and_must_be_open_and_wait(client: Any) -> None:
    with pytest.raises(InputError, match=r"got Client: .*of a Dask client pass client\.get_executor\(\)"):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=client)
    with pytest.raises(InputError, match=r"of a Dask cluster pass dask\.distributed\.Client\(cluster\)\.get_executor"):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=client.cluster)
    with distributed.Client(client.scheduler.address, set_as_default=False) as other:
        closed = other.get_executor()
    with pytest.raises(InputError, match="Dask client is closed: connect a new one"):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=closed)


def test_an_asynchronous_client_is_refused(client: Any) -> None:
    async def sweep() -> None:
        async with distributed.Client(client.scheduler.address, asynchronous=True, set_as_default=False) as other:
            quell.sweep(TASKS, "pymatching", max_shots=10, executor=other.get_executor())

    with pytest.raises(InputError, match="Dask client is asynchronous, and a sweep waits"):
        asyncio.run(sweep())


def test_a_client_that_is_closed_during_a_sweep_is_said(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    other = distributed.Client(client.scheduler.address, set_as_default=False)
    options: Any = {"max_shots": 10**7, "executor": other.get_executor(), "save": path}
    stats = iter_sweep(TASKS, Guess(seconds=0.01), **options)
    seen = next(stats).shots
    other.close()
    with pytest.raises(SweepError, match=r"the executor (takes no more|dropped its) chunks.*make a new executor"):
        collections.deque(stats)
    assert sum(stat.shots for stat in read_stats(path)) >= seen


def test_a_task_that_kills_workers_is_given_up_and_the_rest_goes_on(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    first, second = TASKS[:2]
    deadly = sinter.Task(circuit=first.circuit, decoder="deadly", json_metadata={"d": 3})
    with (
        pytest.warns(UserWarning, match="it is given up, and the other tasks go on"),
        pytest.raises(
            SweepError,
            match=r"Dask's workers died .* the last at tcp://.*decoder 'deadly@\w+' of task .*'d': 3.* 3 in a row",
        ),
    ):
        quell.sweep(
            [deadly, second],
            Guess(seconds=0.01),
            custom_decoders={"deadly": Broken("die")},
            max_shots=400_000,
            executor=client.get_executor(),
            save=path,
        )
    assert [(stat.json_metadata["d"], stat.shots) for stat in read_stats(path)] == [(5, 400_000)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_LOOK_EVERY", 0.1), ("_WARN_SECONDS", 0.2), ("_END_SECONDS", 1.0)):
        monkeypatch.setattr(executor_watch, name, seconds)


def small_cluster(num_workers: int) -> Any:
    return distributed.LocalCluster(
        n_workers=num_workers, threads_per_worker=1, processes=False, dashboard_address=":0", protocol="inproc://"
    )


@pytest.mark.usefixtures("impatient")
def test_a_cluster_that_loses_all_workers_is_said_and_given_up(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    with small_cluster(1) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        stats = iter_sweep(TASKS, Guess(seconds=0.01), max_shots=10**7, executor=client.get_executor(), save=path)
        seen = next(stats).shots
        client.retire_workers(list(client.nthreads()))
        with (
            pytest.warns(UserWarning, match="the Dask cluster has no worker; waiting for one; Ctrl-C ends it"),
            pytest.raises(
                SweepError, match=r"all workers of the Dask cluster were lost.* start new ones; then run again"
            ),
        ):
            collections.deque(stats)
    assert sum(stat.shots for stat in read_stats(path)) >= seen


@pytest.mark.usefixtures("impatient")
def test_a_cluster_whose_workers_come_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_watch, "_END_SECONDS", 0.3)  # which is for clusters that had workers
    with small_cluster(0) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        started = []

        def start(text: object, **_: object) -> None:
            started.append(str(text))
            cluster.scale(1)

        monkeypatch.setattr(warnings, "warn", start)
        (stat,) = quell.sweep(TASKS[0], "pymatching", max_shots=100, executor=client.get_executor())
    assert stat.shots == 100
    assert started[0].startswith("the Dask cluster has no worker;")


@pytest.mark.usefixtures("impatient")
def test_resources_that_no_worker_has_are_said(client: Any) -> None:
    nowhere = client.get_executor(resources={"TPU": 1})
    # Where warnings are errors, as in these tests, the sweep ends with it.
    with pytest.raises(SweepError, match=r"no worker with resources \{'TPU': 1\}; waiting for one"):
        quell.sweep(TASKS, "pymatching", max_shots=10, executor=nowhere)
