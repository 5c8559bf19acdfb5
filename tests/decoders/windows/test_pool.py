"""Pools of processes against PyMatching in this process, and what happens when one is killed, stopped or forgotten."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pymatching
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.windows.model_decoders import SerialDecoders, compile_models, in_a_worker
from quell.decoders.windows.pool import WindowPool, model_decoders
from quell.errors import InputError, SweepError


def model(distance: int) -> stim.DetectorErrorModel:
    return stim.Circuit.generated(
        "repetition_code:memory",
        distance=distance,
        rounds=distance,
        after_clifford_depolarization=0.05,
        before_measure_flip_probability=0.03,
    ).detector_error_model()


MODELS = [model(3), model(5), model(7)]


def jobs_of(*sizes: tuple[int, int]) -> list[tuple[int, NDArray[np.uint8]]]:
    """Jobs of models and numbers of shots."""
    return [
        (number, MODELS[number].compile_sampler(seed=number + shots).sample(shots, bit_packed=True)[0])
        for number, shots in sizes
    ]


def expected(jobs: list[tuple[int, NDArray[np.uint8]]]) -> list[NDArray[np.uint8]]:
    return [
        pymatching.Matching(MODELS[number]).decode_batch(events, bit_packed_shots=True, bit_packed_predictions=True)
        for number, events in jobs
    ]


def check(found: list[NDArray[np.uint8]], wanted: list[NDArray[np.uint8]]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


class Odd(sinter.Decoder):
    """Misbehaves as it is told to, when it is compiled or when it decodes; the models count their detectors."""

    def __init__(self, **orders: object) -> None:
        self.orders = orders

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        if self.orders.get("refuse") == dem.num_detectors:
            raise InputError(f"no models of {dem.num_detectors} detectors")
        if "warn" in self.orders:
            warnings.warn(f"a model of {dem.num_detectors} detectors", stacklevel=1)
        return OddDecoder(self.orders)


class CannotBePickled(Exception):
    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


class OddDecoder(sinter.CompiledDecoder):
    def __init__(self, orders: dict[str, object]) -> None:
        self.orders = orders

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if "exit" in self.orders:
            os._exit(7)
        if "wait" in self.orders:
            time.sleep(600)
        if "print" in self.orders:
            print("a decoder that prints")
        if "threads" in self.orders:
            return np.full(
                (len(bit_packed_detection_event_data), 1), int(os.environ[str(self.orders["threads"])]), np.uint8
            )
        if "fail" in self.orders:
            raise ZeroDivisionError("these events")
        if "strange" in self.orders:
            raise CannotBePickled("this", "that")
        return np.full((len(bit_packed_detection_event_data), 1), os.getpid() % 251, dtype=np.uint8)


@pytest.fixture(scope="module")
def pool() -> WindowPool:
    return WindowPool("pymatching", MODELS, 2)


@pytest.mark.parametrize(
    "sizes",
    [
        [(0, 500), (1, 500), (2, 500)],
        [(2, 1001)],
        [(1, 1)],
        [(1, 0), (0, 3)],
        [(number % 3, 40) for number in range(17)],
        [],
    ],
)
def test_predictions_are_those_of_one_process(pool: WindowPool, sizes: list[tuple[int, int]]) -> None:
    jobs = jobs_of(*sizes)
    check(pool.decode(jobs), expected(jobs))
    check(SerialDecoders("pymatching", MODELS).decode(jobs), expected(jobs))


def test_jobs_larger_than_what_a_socket_holds_pass(pool: WindowPool) -> None:
    jobs = jobs_of((2, 300_000), (2, 300_001))
    assert jobs[0][1].nbytes > 1 << 20
    check(pool.decode(jobs), expected(jobs))


def test_one_window_is_shared_among_all_processes() -> None:
    events = np.zeros((1000, 1), dtype=np.uint8)
    with WindowPool(Odd(), MODELS[:1], 2) as pool:
        processes = {worker.process.pid for worker in pool._workers}
        (found,) = pool.decode([(0, events)])
        assert set(found[:, 0].tolist()) == {pid % 251 for pid in processes}
        # Two shots, one for each.
        (found,) = pool.decode([(0, events[:2])])
        assert len(set(found[:, 0].tolist())) == 2
    assert os.getpid() not in processes


@pytest.mark.parametrize(
    ("orders", "kind", "text"),
    [
        ({"fail": 1}, ZeroDivisionError, "these events"),
        ({"strange": 1}, SweepError, "CannotBePickled: this and that"),
        (
            {"exit": 1},
            SweepError,
            "a process that decodes windows ended with exit code 7; what it printed is on stderr",
        ),
    ],
)
def test_what_goes_wrong_in_a_process_is_said_here(orders: dict[str, object], kind: type[Exception], text: str) -> None:
    with WindowPool(Odd(**orders), MODELS[:1], 1) as pool:
        with pytest.raises(kind, match=text) as caught:
            pool.decode([(0, np.zeros((10, 1), dtype=np.uint8))])
        assert "exit" in orders or "in decode_shots_bit_packed" in caught.value.__notes__[0]
        assert not pool._workers


def test_a_model_that_is_refused_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="no models of 24 detectors"):
        WindowPool(Odd(refuse=MODELS[1].num_detectors), MODELS, 1)
    with pytest.raises(InputError, match="works through files only"):
        WindowPool(sinter.Decoder(), MODELS, 1)


def test_warnings_come_once_from_all_models_and_processes() -> None:
    for make in (lambda: WindowPool(Odd(warn=1), MODELS, 2), lambda: SerialDecoders(Odd(warn=1), MODELS)):
        with pytest.warns(UserWarning, match="a model of 8 detectors") as caught:
            make()
        assert len(caught) == 1


def test_other_warnings_are_not_lost() -> None:
    class Two(Odd):
        def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
            warnings.warn("one", DeprecationWarning, stacklevel=1)
            warnings.warn("two", stacklevel=1)
            return super().compile_decoder_for_dem(dem=dem)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(compile_models(Two(), MODELS)) == 3
    assert sorted(str(each.message) for each in caught) == ["one", "two"]


def test_a_killed_process_is_an_error_and_the_next_batch_goes_on(pool: WindowPool) -> None:
    jobs = jobs_of((0, 100), (1, 100))
    check(pool.decode(jobs), expected(jobs))
    os.kill(pool._workers[1].process.pid, signal.SIGKILL)
    with pytest.raises(SweepError, match="was killed by SIGKILL, perhaps because memory ran out"):
        pool.decode(jobs)
    check(pool.decode(jobs), expected(jobs))


def test_a_process_killed_while_it_decodes_is_an_error() -> None:
    with WindowPool(Odd(wait=1), MODELS[:1], 1) as pool:
        victim = pool._workers[0].process
        threading.Timer(0.3, victim.kill).start()
        start = time.monotonic()
        with pytest.raises(SweepError, match="was killed by SIGKILL"):
            pool.decode([(0, np.zeros((10, 1), dtype=np.uint8))])
        assert time.monotonic() - start < 10


def ended(pids: list[int]) -> bool:
    """Whether processes end within some seconds."""
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_processes_end_when_the_pool_does() -> None:
    with WindowPool("pymatching", MODELS[:1], 2) as pool:
        pids = [worker.process.pid for worker in pool._workers]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert ended(pids)
    other = WindowPool("pymatching", MODELS[:1], 1)
    pids = [worker.process.pid for worker in other._workers]
    del other
    gc.collect()
    assert ended(pids)


SCRIPT = """
import os, sys, time
import numpy as np, sinter, stim
from quell.decoders.windows.pool import WindowPool

class Mine(sinter.Decoder):
    def compile_decoder_for_dem(self, *, dem): return Compiled()

class Compiled(sinter.CompiledDecoder):
    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data):
        print("worker prints", flush=True)
        if WAIT: time.sleep(600)
        return np.full((len(bit_packed_detection_event_data), 1), 5, dtype=np.uint8)

WAIT = len(sys.argv) > 1
pool = WindowPool(Mine(), [stim.DetectorErrorModel("error(0.1) D0 L2")], 2)
print(*[worker.process.pid for worker in pool._workers], flush=True)
try:
    print(pool.decode([(0, np.zeros((2, 1), dtype=np.uint8))])[0].tolist())
except KeyboardInterrupt:
    print("interrupted", len(pool._workers))
"""


def test_scripts_need_no_main_guard_and_their_classes_travel(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=True)
    pids, found = done.stdout.splitlines()
    assert found == "[[5], [5]]"
    assert done.stderr.count("worker prints") == 2
    assert ended([int(pid) for pid in pids.split()])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_an_interrupted_or_killed_program(how: signal.Signals) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "wait"], stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    assert program.stderr is not None
    pids = [int(pid) for pid in program.stdout.readline().split()]
    assert program.stderr.readline() == "worker prints\n"
    program.send_signal(how)
    out, _ = program.communicate(timeout=30)
    assert out == ("interrupted 0\n" if how == signal.SIGINT else "")
    # Though they are in the middle of a batch of ten minutes.
    assert ended(pids)


def test_libraries_in_the_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "9")
    events = np.zeros((1, 1), dtype=np.uint8)
    for variable, wanted in (("OMP_NUM_THREADS", os.cpu_count() or 1), ("MKL_NUM_THREADS", 9)):
        with WindowPool(Odd(threads=variable), MODELS[:1], 1) as pool:
            assert pool.decode([(0, events)])[0].item() == wanted


def decode_in_a_child(connection: "multiprocessing.connection.Connection") -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = model_decoders("pymatching", MODELS, workers=2)
    connection.send((type(made).__name__, [str(each.message) for each in caught]))


def test_one_of_several_processes_decodes_alone_and_says_so() -> None:
    assert not in_a_worker()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=decode_in_a_child, args=(theirs,))
    child.start()
    name, messages = ours.recv()
    child.join()
    assert name == "SerialDecoders"
    assert len(messages) == 1
    assert messages[0].startswith("workers=2 is left out: this process is itself one of several")


def test_quells_own_workers_are_known_by_how_they_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = type("Spec", (), {"name": "quell.qec.sweeps.worker"})
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec, raising=False)
    assert in_a_worker()
    monkeypatch.setattr(spec, "name", "quell.__main__")
    assert not in_a_worker()


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WindowPool, "_start", lambda _: None)
    made = model_decoders("pymatching", MODELS, workers=3)
    assert isinstance(made, WindowPool)
    assert made._number == 3
    assert isinstance(model_decoders("pymatching", MODELS, workers=1), SerialDecoders)
    for workers in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="workers must be an integer >= 1"):
            model_decoders("pymatching", MODELS, workers=workers)  # type: ignore[arg-type]


def test_threads_share_a_pool() -> None:
    batches = [jobs_of((1, 400 + k), (2, 300 + k)) for k in range(4)]
    wanted = [expected(jobs) for jobs in batches]
    with WindowPool("pymatching", MODELS, 2) as pool, ThreadPoolExecutor(4) as threads:
        for found, answer in zip(threads.map(pool.decode, batches * 5), wanted * 5, strict=True):
            check(found, answer)


IN_A_FORK = """
import multiprocessing
import numpy as np, stim
from quell.decoders.windows.pool import WindowPool
model = stim.DetectorErrorModel("error(0.1) D0 L0 \\n error(0.1) D0 D1 \\n error(0.1) D1")
events = np.array([[1], [2], [3]], dtype=np.uint8)
pool = WindowPool("pymatching", [model], 2)
def decode(_):
    return pool.decode([(0, events)])[0].tolist()
with multiprocessing.get_context("fork").Pool(2) as forks:
    print(forks.map(decode, range(4)))
print(decode(0))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there are no forks")
def test_forks_have_processes_of_their_own() -> None:
    result = subprocess.run([sys.executable, "-c", IN_A_FORK], capture_output=True, text=True, timeout=120, check=True)
    once = [[1], [0], [0]]
    assert result.stdout.splitlines() == [str([once] * 4), str(once)]
