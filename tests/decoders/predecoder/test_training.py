"""Training: it learns, it stops and goes on as if it had not, and it refuses what is not its own."""

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quell.errors import DataError, InputError, StorageError

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from quell.decoders.predecoder import training
from quell.decoders.predecoder.interrupts import held_interrupts
from quell.decoders.predecoder.muon import Muon
from quell.decoders.predecoder.network import NetworkConfig, PosteriorNetwork
from quell.decoders.predecoder.network_file import StoredNetwork, read_tensors, write_tensors
from quell.decoders.predecoder.training import Progress, Trainer, TrainingConfig, cross_entropy, training_circuits

TINY = TrainingConfig(width=4, depth=1, volumes=((3, 1), (3, 2)), num_steps=8, sites_per_step=640, seed=3)


def trainer(config: TrainingConfig = TINY) -> Trainer:
    return Trainer(config, device="cpu", mixed_precision=False, num_processes=1)


def weights_of(done: Trainer) -> dict[str, Any]:
    return {name: value.clone() for name, value in done.network.state_dict().items()}


def check_same(first: Trainer, second: Trainer) -> None:
    """Checks that two trainings are bit for bit in the same state."""
    ours, theirs = weights_of(first), weights_of(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert dataclasses.replace(first.progress, seconds=0, loss=0) == dataclasses.replace(
        second.progress, seconds=0, loss=0
    )


@pytest.fixture(scope="module")
def uninterrupted() -> Trainer:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    done = trainer()
    assert done.run()
    torch.set_num_threads(threads)
    return done


def test_it_learns() -> None:
    config = TrainingConfig(
        width=8,
        depth=2,
        volumes=((3, 3),),
        num_steps=40,
        sites_per_step=8192,
        learning_rate=0.02,
        min_p=0.004,
        max_p=0.01,
    )
    found: list[Progress] = []
    assert trainer(config).run(report=found.append, report_seconds=0)
    # Before the first step the network adds nothing to the prior.
    assert found[0].loss == pytest.approx(1, abs=1e-4)
    assert found[-1].loss < 0.7
    assert [progress.step for progress in found[:40]] == list(range(1, 41))
    assert found[-1].shots == 40 * (8192 // 64)
    assert 0 < found[0].seconds < found[-1].seconds < 60


def test_a_small_network_learns_from_a_larger_one(tmp_path: Path, uninterrupted: Trainer) -> None:
    path = tmp_path / "teacher.safetensors"
    StoredNetwork.of(uninterrupted.network, {}).save(path)
    taught = trainer(dataclasses.replace(TINY, teacher=str(path), teacher_share=1.0))
    assert taught.run()
    assert any(not torch.equal(value, weights_of(uninterrupted)[name]) for name, value in weights_of(taught).items())
    ignored = trainer(dataclasses.replace(TINY, teacher=str(path), teacher_share=0.0))
    assert ignored.run()
    check_same(ignored, uninterrupted)
    with pytest.raises(StorageError, match=r"cannot read .*none.safetensors"):
        trainer(dataclasses.replace(TINY, teacher=str(tmp_path / "none.safetensors")))


def test_the_same_seed_trains_the_same_and_leaves_the_global_state_alone(uninterrupted: Trainer) -> None:
    state = torch.get_rng_state()
    again = trainer()
    assert again.run()
    assert torch.equal(torch.get_rng_state(), state)
    check_same(again, uninterrupted)
    other = trainer(dataclasses.replace(TINY, seed=4))
    assert not torch.equal(other.network.events.weight, trainer().network.events.weight)


def test_the_weights_begin_as_they_do_with_the_seed_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TINY.seed)
        expected = PosteriorNetwork(NetworkConfig(TINY.width, TINY.depth)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(trainer()).items())


@pytest.mark.parametrize("stops", [(1,), (3,), (2, 5)])
def test_a_training_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, uninterrupted: Trainer, stops: tuple[int, ...]
) -> None:
    path = tmp_path / "a.checkpoint.safetensors"
    for stop in stops:
        started = trainer()
        if path.exists():
            started.load(path)

        def stop_there(progress: Progress, stop: int = stop) -> None:
            if progress.step == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            started.run(checkpoint=path, report=stop_there, report_seconds=0)
        assert started.progress.step == stop
    last = trainer()
    last.load(path)
    assert last.progress.step == stops[-1]
    assert last.progress.shots == started.progress.shots
    assert last.progress.seconds == started.progress.seconds
    assert last.run(checkpoint=path)
    check_same(last, uninterrupted)
    # What is done is done.
    done = trainer()
    done.load(path)
    assert done.run()
    check_same(done, uninterrupted)


def test_it_stops_when_its_time_is_up(tmp_path: Path, uninterrupted: Trainer) -> None:
    path = tmp_path / "a.checkpoint.safetensors"
    runs = 0
    while True:
        started = trainer()
        if path.exists():
            started.load(path)
        runs += 1
        if started.run(max_seconds=1e-9, checkpoint=path):
            break
        assert started.progress.step == runs
    assert runs == TINY.num_steps
    check_same(started, uninterrupted)


def test_checkpoints_are_written_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint.safetensors"
    steps = []

    def look(progress: Progress) -> None:
        if path.exists():
            steps.append((progress.step, read_tensors(path, "quell_predecoder_training")[1]["step"]))

    assert trainer().run(checkpoint=path, checkpoint_seconds=0, report=look, report_seconds=0)
    assert steps[:-1] == [(step, step - 1) for step in range(2, TINY.num_steps + 1)]
    assert list(tmp_path.iterdir()) == [path]


class Signals:
    """Sends this process a signal in the middle of a step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *numbers: int) -> None:
        self.calls = 0

        def interrupted(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == at:
                for number in numbers:
                    os.kill(os.getpid(), number)
            return cross_entropy(*args, **options)

        monkeypatch.setattr(training, "cross_entropy", interrupted)


def test_ctrl_c_waits_for_the_end_of_the_step(
    tmp_path: Path, uninterrupted: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.checkpoint.safetensors"
    before = signal.getsignal(signal.SIGINT)
    Signals(monkeypatch, 3, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer().run(checkpoint=path)
    assert signal.getsignal(signal.SIGINT) is before
    last = trainer()
    last.load(path)
    assert last.progress.step == 3
    assert last.run()
    check_same(last, uninterrupted)


def test_a_second_ctrl_c_ends_the_step_and_saves_nothing_of_it(
    tmp_path: Path, uninterrupted: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.checkpoint.safetensors"
    Signals(monkeypatch, 3, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer().run(checkpoint=path, checkpoint_seconds=0)
    last = trainer()
    last.load(path)
    assert last.progress.step == 2
    assert last.run()
    check_same(last, uninterrupted)


@pytest.fixture
def sigterm_raises() -> Iterator[None]:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_raises")
def test_a_queues_sigterm_is_held_back_too() -> None:
    steps = []

    def work(*, ends: bool = False, fails: bool = False) -> None:
        with held_interrupts() as release:
            signal.raise_signal(signal.SIGTERM)
            steps.append("whole")
            if fails:
                raise ValueError("its own")
            if not ends:
                release()
                steps.append("next")

    with pytest.raises(KeyboardInterrupt):
        work()
    with pytest.raises(KeyboardInterrupt):
        work(ends=True)
    with pytest.raises(ValueError, match="its own"):
        work(fails=True)
    assert steps == ["whole"] * 3


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "a.checkpoint.safetensors"
    trainer().run(max_seconds=1e-9, checkpoint=path)
    return path


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"num_steps": 9}, {"width": 5}, {"volumes": ((3, 1),)}, {"max_p": 0.01}]
)
def test_checkpoints_of_another_config_are_refused(checkpoint: Path, change: dict[str, Any]) -> None:
    other = trainer(dataclasses.replace(TINY, **change))
    before = weights_of(other)
    with pytest.raises(
        DataError, match=r"a.checkpoint.safetensors is a checkpoint of another config: .*give another --checkpoint, or"
    ):
        other.load(checkpoint)
    assert all(torch.equal(value, before[name]) for name, value in weights_of(other).items())


def test_checkpoints_of_another_device_are_refused(checkpoint: Path) -> None:
    tensors, facts = read_tensors(checkpoint, "quell_predecoder_training")
    write_tensors(checkpoint, tensors, "quell_predecoder_training", {**facts, "device": "cuda"})
    with pytest.raises(DataError, match=r"is a checkpoint of another device: 'cuda', and this training has 'cpu'"):
        trainer().load(checkpoint)


def test_damaged_checkpoints_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[: len(content) // 2], b"", b"\x80\x04"):
        checkpoint.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a.checkpoint.safetensors is (no safetensors file, or is )?damaged"):
            trainer().load(checkpoint)
    weights = tmp_path / "weights.safetensors"
    StoredNetwork.of(trainer().network, {}).save(weights)
    with pytest.raises(DataError, match=r"not one of quell's pre-decoder: it has no 'quell_predecoder_training'"):
        trainer().load(weights)
    with pytest.raises(StorageError, match=r"cannot read .*: No such file"):
        trainer().load(tmp_path / "none.safetensors")


def test_training_circuits_are_both_bases_of_both_makers() -> None:
    circuits = training_circuits(3, 2)
    assert len({str(circuit) for circuit in circuits}) == 6
    assert {(circuit.num_detectors, circuit.num_observables) for circuit in circuits} == {(16, 1)}


def test_a_config_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("width = 8\nvolumes = [[3, 3], [5, 2]]\nmin_p = 0.002\nteacher = 'large.safetensors'\n")
    config = TrainingConfig.load(path)
    assert config == TrainingConfig(
        width=8, volumes=((3, 3), (5, 2)), min_p=0.002, teacher=str(tmp_path / "large.safetensors")
    )
    path.write_text("")
    assert TrainingConfig.load(path) == TrainingConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht = 8", r"a.toml has the setting 'widht', which there is not: depth, learning_rate, max_p, "),
        ("width = 0", "width must be an integer >= 1, got 0"),
        ("depth = 2.0", "depth must be an integer >= 1, got 2.0"),
        ("num_steps = true", "num_steps must be an integer >= 1, got True"),
        ("seed = -1", "seed must be an integer >= 0, got -1"),
        ("volumes = []", "volumes must name at least one"),
        ("volumes = [[4, 3]]", "distance must be odd and >= 3, got 4"),
        ("volumes = [[3, 0]]", "rounds must be an integer >= 1, got 0"),
        ("volumes = [3, 3]", r"volumes in .*a.toml must be a list of \[distance, rounds\], got \[3, 3\]"),
        ("volumes = [[3, 3, 3]]", r"volumes in .*a.toml must be a list of \[distance, rounds\], got \[\[3, 3, 3\]\]"),
        ("volumes = 3", r"volumes in .*a.toml must be a list"),
        ("volumes = ['ab']", "distance must be odd and >= 3, got 'a'"),
        ("min_p = 0.02\nmax_p = 0.01", "must be 0 < min_p <= max_p <= 0.05, got 0.02 and 0.01"),
        ("min_p = 0", "must be 0 < min_p <= max_p <= 0.05, got 0 and 0.012"),
        ("max_p = 0.2", "must be 0 < min_p <= max_p <= 0.05, got 0.0015 and 0.2"),
        ("min_p = '0.01'", "min_p must be a number >= 0, got '0.01'"),
        ("max_p = nan", "max_p must be a number >= 0, got nan"),
        ("learning_rate = -1", "learning_rate must be a number >= 0, got -1"),
        ("spread_by_kind = inf", "spread_by_kind must be a number >= 0, got inf"),
        ("teacher_share = 1.5", "teacher_share must be a probability between 0 and 1, got 1.5"),
        ("teacher = 5", "teacher must be the path of a safetensors file, got 5"),
        ("width = ", "a.toml is no TOML: "),
    ],
)
def test_what_is_wrong_in_a_config_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        TrainingConfig.load(path)


def test_configs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*none.toml: No such file"):
        TrainingConfig.load(tmp_path / "none.toml")
    path = tmp_path / "a.toml"
    path.write_bytes(b"width = \xff")
    with pytest.raises(InputError, match=r"a.toml is no TOML: 'utf-8' codec"):
        TrainingConfig.load(path)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")
def test_muon_is_that_of_torch() -> None:
    def trained(kind: Any, **options: Any) -> list[Any]:
        generator = torch.Generator().manual_seed(1)
        shapes = [(4, 8), (4, 8), (8, 4), (6, 6)]
        matrices = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
        optimizer = kind(matrices, lr=0.05, momentum=0.9, weight_decay=0.1, **options)
        for _ in range(5):
            for matrix in matrices:
                matrix.grad = torch.randn(matrix.shape, generator=generator)
            optimizer.step()
        return [matrix.detach() for matrix in matrices]

    ours, theirs = trained(Muon), trained(torch.optim.Muon)
    for mine, other in zip(ours, theirs, strict=True):
        # The iteration is in bfloat16, which has eight bits: the five steps of 0.05 agree to a few percent.
        torch.testing.assert_close(mine, other, rtol=0, atol=0.0125)
