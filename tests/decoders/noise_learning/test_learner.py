"""`NoiseLearner`: what portions, breaks, forgetting and failures do to what is learned."""

import io
import math
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.noise_learning.learn import learn_detector_error_model
from quell.decoders.noise_learning.learner import NoiseLearner
from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.errors import CircuitError, DataError, InputError, StorageError

pytest.importorskip("numba")


def circuit(measurement: float, data: float = 0.01, **options: Any) -> stim.Circuit:
    return stim.Circuit.generated(
        "repetition_code:memory",
        distance=5,
        rounds=6,
        before_measure_flip_probability=measurement,
        before_round_data_depolarization=data,
        **options,
    )


def shots(of: stim.Circuit, number: int, seed: int) -> NDArray[np.uint8]:
    return of.compile_detector_sampler(seed=seed).sample(number, bit_packed=True)


NOISY = circuit(0.03)


def same(first: NoiseLearner, second: NoiseLearner) -> bool:
    one, other = first.estimate(), second.estimate()
    return (
        first.num_shots == second.num_shots
        and first.effective_shots == second.effective_shots
        and one.dem == other.dem
        and np.array_equal(one.intervals, other.intervals)
    )


@pytest.mark.parametrize("memory", [None, 20_000.0])
def test_the_state_depends_on_the_shots_and_not_on_their_portions(memory: float | None, tmp_path: Path) -> None:
    events = shots(NOISY, 40_000, seed=3)
    at_once, by_and_by, from_files = (NoiseLearner(NOISY, memory=memory) for _ in range(3))
    at_once.update(events, bit_packed=True)
    for part in np.array_split(events, [1, 1, 70, 5_000, 21_384, 21_385]):
        by_and_by.update(part, bit_packed=True)
        if len(part) > 4_000:
            by_and_by.estimate()  # looking changes nothing
    for number, kind in ((0, "b8"), (1, "dets")):
        stim.write_shot_data_file(
            data=events[number * 15_000 : (25_000 + 15_000) if number else 15_000],
            path=tmp_path / f"events.{kind}",
            format=kind,  # type: ignore[arg-type]  # one of Stim's
            num_detectors=NOISY.num_detectors,
        )
    from_files.update([tmp_path / "events.b8", str(tmp_path / "events.dets")])
    assert at_once.num_shots == 40_000
    assert same(at_once, by_and_by)
    assert same(at_once, from_files)


@pytest.mark.parametrize("memory", [None, 5_000.0])
@pytest.mark.parametrize("classes", ["translation", None, "given"])
def test_a_learner_goes_on_after_a_break_as_without(classes: Any, memory: float | None, tmp_path: Path) -> None:
    structure = circuit(1 / 300, 1 / 700)  # probabilities that no short decimal holds
    if classes == "given":
        classes = np.arange(structure.detector_error_model().flattened().num_errors) % 7
    first, second = shots(NOISY, 20_100, seed=4), shots(circuit(0.05), 20_900, seed=5)
    steady = NoiseLearner(structure, classes=classes, memory=memory)
    steady.update(first, bit_packed=True)
    steady.save(tmp_path / "state.npz")
    before = (tmp_path / "state.npz").read_bytes()
    resumed = NoiseLearner.load(str(tmp_path / "state.npz"))
    assert same(steady, resumed)
    for learner in (steady, resumed):
        learner.update(second, bit_packed=True)
    assert same(steady, resumed)
    resumed.save(tmp_path / "state.npz")
    steady.save(tmp_path / "steady.npz")
    assert (tmp_path / "state.npz").read_bytes() == (tmp_path / "steady.npz").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.npz", "steady.npz"]


@pytest.mark.parametrize("method", ["likelihood", "pauli25"])
def test_other_methods_go_on_as_well(method: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    memory = rotated_surface_memory(3, 2, "Z", NoiseModel.uniform_depolarizing(0.004))
    events = memory.compile_detector_sampler(seed=22).sample(6_000, bit_packed=True)
    steady = NoiseLearner(memory, method=method, memory=10_000)
    steady.update(events[:2_500], bit_packed=True)
    steady.save(tmp_path / "state.npz")
    resumed = NoiseLearner.load(tmp_path / "state.npz")
    for learner in (steady, resumed):
        learner.update(events[2_500:], bit_packed=True)
    assert same(steady, resumed)
    assert resumed.estimate().method == method


def mean_rate(learner: NoiseLearner) -> tuple[float, tuple[float, float]]:
    """The class of flipped measurements: two detectors, a round apart."""
    [one] = [each for each in learner.estimate().classes if each.such_as == (0, 4)]
    return one.probability, one.interval


def test_a_drift_is_followed_by_a_learner_that_forgets() -> None:
    """The mean of 20 errors from 4e4 shots has a standard deviation of 2e-4 at most: 0.03 and 0.05 are 100 apart."""
    forgetful, faithful = NoiseLearner(NOISY, memory=10_000), NoiseLearner(NOISY)
    for learner in (forgetful, faithful):
        learner.update(shots(NOISY, 60_000, seed=6), bit_packed=True)
        assert abs(mean_rate(learner)[0] - 0.03) < 0.003
        learner.update(shots(circuit(0.05), 60_000, seed=7), bit_packed=True)
    assert abs(mean_rate(forgetful)[0] - 0.05) < 0.003
    assert abs(mean_rate(faithful)[0] - 0.04) < 0.003
    low, high = mean_rate(forgetful)[1]
    assert low < 0.05 < high
    assert high - low > mean_rate(faithful)[1][1] - mean_rate(faithful)[1][0]


def test_how_much_is_remembered_is_as_the_half_life_says() -> None:
    """Weights 2^(-k/m) sum to m / ln 2 and their squares to m / (2 ln 2)."""
    learner = NoiseLearner(NOISY, memory=2_000)
    learner.update(shots(NOISY, 40_000, seed=8), bit_packed=True)
    assert learner.num_shots == 40_000
    # In portions of a sixteenth of the half-life all shots count alike.
    assert learner.effective_shots == pytest.approx(2 * 2_000 / math.log(2), rel=0.03)


def test_what_is_forgotten_at_once() -> None:
    learner, fresh = NoiseLearner(NOISY), NoiseLearner(NOISY)
    assert (learner.num_shots, learner.effective_shots) == (0, 0)
    learner.update(shots(circuit(0.2), 10_000, seed=9), bit_packed=True)
    learner.forget(0.5)
    assert learner.effective_shots == pytest.approx(10_000)
    learner.forget()
    assert learner.effective_shots == 0
    for each in (learner, fresh):
        each.update(shots(NOISY, 10_000, seed=10), bit_packed=True)
    assert learner.model() == fresh.model()
    assert (learner.num_shots, fresh.num_shots) == (20_000, 10_000)
    learner.forget(0.1)
    learner.update(shots(NOISY, 1_000, seed=11), bit_packed=True)
    assert learner.effective_shots == pytest.approx(2_000**2 / (10_000 * 0.1**2 + 1_000))
    with pytest.raises(InputError, match=r"keep must be a probability between 0 and 1, got 1\.5"):
        learner.forget(1.5)


def test_an_update_that_fails_takes_nothing_up(tmp_path: Path) -> None:
    learner, other = NoiseLearner(NOISY, memory=3_000), NoiseLearner(NOISY, memory=3_000)
    for each in (learner, other):
        each.update(shots(NOISY, 30_000, seed=12), bit_packed=True)
    good = shots(NOISY, 20_000, seed=13)
    (tmp_path / "bad.b8").write_bytes(good.tobytes()[:-1])
    with pytest.raises(DataError, match="it is cut off"):
        learner.update([good, tmp_path / "bad.b8"], bit_packed=True)
    with pytest.raises(StorageError, match="cannot read"):
        learner.update([good, tmp_path / "none.b8"], bit_packed=True)
    assert same(learner, other)


def interrupted_at(call: Callable[[], None], line: int, modules: tuple[str, ...]) -> bool:
    """Calls, with Ctrl-C before the n-th line in these modules; returns whether there was one."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.endswith(modules):
            return None
        if event == "line":
            count += 1
            if count == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("what", ["long", "short", "forget"])
def test_an_interrupt_at_any_line_takes_up_all_or_nothing(what: str) -> None:
    """With a memory of 1000 shots a portion is 62 of them: the long update counts three, the short one none."""
    events = shots(NOISY, 300, seed=30)

    def made() -> NoiseLearner:
        learner = NoiseLearner(NOISY, memory=1_000)
        learner.update(events[:110], bit_packed=True)
        return learner

    calls: dict[str, Callable[[NoiseLearner], None]] = {
        "long": lambda learner: learner.update(events[110:], bit_packed=True),
        "short": lambda learner: learner.update(events[110:111], bit_packed=True),
        "forget": lambda learner: learner.forget(0.5),
    }
    before, after = made(), made()
    calls[what](after)
    lines, learner = 0, made()
    modules = ("/learner.py", "/taken_shots.py", "/parity_counts.py")
    while interrupted_at(lambda: calls[what](learner), lines + 1, modules):
        lines += 1
        assert kept(learner) == kept(before), lines
    assert lines > 10
    assert kept(learner) == kept(after) != kept(before)


def kept(learner: NoiseLearner) -> tuple[Any, ...]:
    """All that shots change."""
    taken = learner._taken
    arrays = (taken.counts.odd, taken.counts.shots, taken.pending, taken.fired)
    return (*(each.tobytes() for each in arrays), taken.counts.squares, taken.num_shots, taken.files)


def test_an_interrupt_between_portions_takes_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, other = NoiseLearner(NOISY, memory=16_000), NoiseLearner(NOISY, memory=16_000)
    for each in (learner, other):
        each.update(shots(NOISY, 10_500, seed=31), bit_packed=True)
    add, calls = ParityCounts.add, 0

    def interrupted(counts: ParityCounts, events: NDArray[np.uint8]) -> None:
        nonlocal calls
        add(counts, events)
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    more = shots(NOISY, 20_000, seed=32)
    monkeypatch.setattr(ParityCounts, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learner.update(more, bit_packed=True)
    monkeypatch.undo()
    assert same(learner, other)


def test_ctrl_c_takes_up_all_or_nothing() -> None:
    events = np.tile(shots(NOISY, 100_000, seed=33), (20, 1))
    learner, other = NoiseLearner(NOISY, memory=2_000), NoiseLearner(NOISY, memory=2_000)
    for each in (learner, other):
        each.update(events[:1_000], bit_packed=True)

    def without_end() -> None:
        while True:
            learner.update(events, bit_packed=True)
            other.update(events, bit_packed=True)

    timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        without_end()
    timer.join()
    if learner.num_shots != other.num_shots:  # it came while the other one was at work
        other.update(events, bit_packed=True)
    assert same(learner, other)


def test_a_file_is_taken_up_once(tmp_path: Path) -> None:
    path, copy = tmp_path / "events.b8", tmp_path / "copy.b8"
    for each in (path, copy):
        each.write_bytes(shots(NOISY, 1_000, seed=34).tobytes())
    learner = NoiseLearner(NOISY)
    with pytest.raises(InputError, match=r"copy\.b8 and .*events\.b8 have the same content"):
        learner.update([path, copy])
    learner.update(path)
    with pytest.raises(InputError, match=r"copy\.b8 was taken up before, or a file of the same content"):
        learner.update([shots(NOISY, 10, seed=35), copy], bit_packed=True)
    learner.save(tmp_path / "state.npz")
    resumed = NoiseLearner.load(tmp_path / "state.npz")
    with pytest.raises(InputError, match="again=True"):
        resumed.update(copy)
    assert resumed.num_shots == 1_000
    resumed.update([path, copy], again=True)
    assert resumed.num_shots == 3_000
    resumed.forget(0.5)
    with pytest.raises(InputError, match="taken up before"):
        resumed.update(path)
    resumed.forget()
    resumed.update(path)
    assert (resumed.num_shots, resumed.effective_shots) == (4_000, 1_000)


def damaged(content: bytes) -> list[bytes]:
    places = range(40, len(content) - 40, len(content) // 12)
    flipped = [content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :] for place in places]
    return [content[:-50], content[:100], b"", b"not a zip file", *flipped]


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    learner = NoiseLearner(NOISY)
    learner.update(shots(NOISY, 20_000, seed=14), bit_packed=True)
    path = tmp_path / "state.npz"
    learner.save(path)
    refused = 0
    for content in damaged(path.read_bytes()):
        (tmp_path / "bad.npz").write_bytes(content)
        try:
            loaded = NoiseLearner.load(tmp_path / "bad.npz")
        except DataError as error:
            assert "is no whole state of a NoiseLearner" in str(error)  # noqa: PT017 (a flip may hit what is not used)
            refused += 1
        else:
            assert same(learner, loaded)
    assert refused >= 10
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, value, message in (
        ("odd", arrays["odd"] + 1, "another hash"),
        ("description", np.array(str(arrays["description"]).replace('"version": 2', '"version": 3')), "has version 3"),
        ("description", np.array(str(arrays["description"]).replace("closed-form", "likelihood")), "another hash"),
        ("description", np.array("[]"), "no whole state"),
        ("odd", np.array([None]), "no whole state"),
    ):
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays, name: value})
        (tmp_path / "bad.npz").write_bytes(buffer.getvalue())
        with pytest.raises(DataError, match=message) as caught:
            NoiseLearner.load(tmp_path / "bad.npz")
        assert "pickle" not in str(caught.value)
    (tmp_path / "bad.npz").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"cut off, damaged, or another file\): name the file that `save` wrote"):
        NoiseLearner.load(tmp_path / "bad.npz")
    with pytest.raises(StorageError, match=r"cannot read .*none\.npz"):
        NoiseLearner.load(tmp_path / "none.npz")
    with pytest.raises(StorageError, match="make its folder first"):
        learner.save(tmp_path / "none" / "state.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "closed"}, "unknown method 'closed': did you mean 'closed-form'"),
        ({"memory": 10}, "memory must be a half-life of 1000 shots or more, or None to forget nothing, got 10"),
        ({"memory": math.inf}, "got inf"),
        ({"memory": math.nan}, "got nan"),
        ({"memory": True}, "got True"),
        ({"memory": "1e6"}, "got '1e6'"),
        ({"classes": "translations"}, "unknown kind of classes 'translations': did you mean 'translation'"),
        ({"classes": "none"}, "unknown kind of classes 'none': pass None, classes=None, for none"),
        ({"classes": [0, 1]}, r"one for each error of the flattened model, got int64 of shape \(2,\)"),
        ({"classes": [0.5] * 59}, "got float64"),
    ],
)
def test_settings_outside_their_limits_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NoiseLearner(NOISY, **options)


def test_structures_without_coordinates_can_be_learned_without_classes() -> None:
    dem = stim.DetectorErrorModel("error(.1) D0 \n error(.2) D0 D1")
    with pytest.raises(InputError, match="classes=None"):
        NoiseLearner(dem)
    learner = NoiseLearner(dem, classes=None)
    learner.update(dem.compile_sampler(seed=15).sample(50_000)[0])
    assert learner.model().approx_equals(dem, atol=0.01)  # six standard deviations


def test_classes_of_ones_own_learn_from_each_other_and_from_nobody_else() -> None:
    """A hundred errors of 1 % and one of 5 %, of 2000 shots: alone they scatter by 0.22 %, together by far less."""
    dem = stim.DetectorErrorModel("\n".join(f"error({0.05 if d == 100 else 0.01}) D{d}" for d in range(101)))
    events = dem.compile_sampler(seed=16).sample(2_000)[0]

    def learned(classes: Any) -> NDArray[np.float64]:
        learner = NoiseLearner(dem, classes=classes)
        learner.update(events)
        return learner.estimate().probabilities

    alone, together = learned(None), learned([3] * 100 + [-1])
    # The square of the first is chi-squared with 100 degrees: 0.0015 is 3.8 deviations of its root below, and p = 1e-6.
    assert np.sqrt(np.mean((alone[:100] - 0.01) ** 2)) > 0.0015
    assert np.sqrt(np.mean((together[:100] - 0.01) ** 2)) < 0.001
    assert together[100] == pytest.approx(alone[100], rel=1e-9)


def test_errors_that_events_cannot_tell_apart_need_one_class() -> None:
    dem = stim.DetectorErrorModel("error(.1) D0 \n error(.1) L0 \n error(.1) D0 L0 \n error(.1) D1")
    with pytest.raises(InputError, match="errors 0 and 2 flip the same detectors, and are in classes 4 and 5"):
        NoiseLearner(dem, classes=[4, 4, 5, 4])
    learner = NoiseLearner(dem, classes=[4, 9, 4, 4])
    learner.update(dem.compile_sampler(seed=17).sample(20_000)[0])
    noise = learner.estimate()
    assert (noise.undetectable.tolist(), noise.shared.tolist()) == ([1], [0, 2])
    assert noise.dem[1].targets_copy() == dem[1].targets_copy()
    assert noise.dem[1].args_copy() == pytest.approx([0.1], rel=1e-12)
    assert math.isnan(noise.probabilities[1])
    assert noise.probabilities[0] == noise.probabilities[2]


def test_too_few_shots_are_refused() -> None:
    learner = NoiseLearner(NOISY)
    for number in (0, 99):
        with pytest.raises(InputError, match=f"takes 100 shots or more, got {number}: take more"):
            learner.estimate()
        learner.update(shots(NOISY, 99 - number, seed=18), bit_packed=True)
    learner.update(shots(NOISY, 1, seed=19), bit_packed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a detector may not have fired yet
        noise = learner.estimate()
    assert len(noise.uncertain) > 0
    assert np.all(noise.probabilities > 0)
    assert np.all(noise.probabilities < 0.5)


def test_detectors_that_never_fire_are_named() -> None:
    events = np.unpackbits(shots(NOISY, 5_000, seed=20), axis=1, count=NOISY.num_detectors, bitorder="little")
    events[:, [2, 7]] = 0
    learner = NoiseLearner(NOISY, classes=None)
    learner.update(events)
    with pytest.warns(UserWarning, match=r"^D2, D7 never fired in 5,000 shots: .* only upper limits") as caught:
        noise = learner.estimate()
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="never fired") as caught:
        learner.model()
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="never fired") as caught:
        learn_detector_error_model(events, NOISY)
    assert caught[0].filename == __file__
    assert noise.silent_detectors.tolist() == [2, 7]
    touching = [i for i, error in enumerate(noise.to_json()["errors"]) if "D2" in error["error"].split()]
    # None of 5000: with 97.5 % it is less than 3.7 in 5000; a prior that prefers small ones says less than that.
    assert touching
    assert np.all((noise.intervals[touching, 1] > 1e-5) & (noise.intervals[touching, 1] < 3.7 / 5_000))
    learner.update(np.zeros_like(events))
    with pytest.warns(UserWarning, match="in 10,000 shots"):
        learner.model()


def test_events_that_no_error_explains_are_named() -> None:
    dem = stim.DetectorErrorModel("error(.1) D0 \n detector D3")
    learner = NoiseLearner(dem, classes=None)
    learner.update(np.eye(4, dtype=np.bool_)[np.arange(1000) % 4])
    with pytest.warns(UserWarning, match="D1, D2, D3 fired, and no error of the structure flips them"):
        assert learner.estimate().unexplained_detectors.tolist() == [1, 2, 3]


def test_shots_in_which_nothing_or_too_much_fires_are_refused() -> None:
    learner = NoiseLearner(NOISY)
    learner.update(np.zeros((1_000, NOISY.num_detectors), dtype=np.bool_))
    with pytest.raises(InputError, match="no detector fired in any of 1,000 shots"):
        learner.estimate()
    events = np.unpackbits(shots(NOISY, 1_000, seed=21), axis=1, count=NOISY.num_detectors, bitorder="little")
    events[:, 5] = 1
    events[::2, 9] = 1
    learner = NoiseLearner(NOISY)
    learner.update(events)
    with pytest.raises(InputError, match=r"D5, D9 fired in about half of the 1,000 shots or more \(D5 in 100.0%\)"):
        learner.estimate()


def test_shares_that_cannot_be_told_from_half_are_refused() -> None:
    """Of 10,000 shots four standard errors below a half are 48 %."""
    dem = stim.DetectorErrorModel("error(.1) D0 \n error(.1) D1")
    events = np.zeros((10_000, 2), dtype=np.bool_)
    events[:4_790, 0] = events[:4_810, 1] = True
    learner = NoiseLearner(dem, classes=None)
    learner.update(events)
    with pytest.raises(
        InputError, match=r"^D1 fired in about half of the 10,000 shots or more \(D1 in 48\.1%\)"
    ) as caught:
        learner.estimate()
    assert "shares above 48.0% may be half: take more" in str(caught.value)
    learner = NoiseLearner(dem, classes=None)
    events[4_790:, 1] = False
    learner.update(events)
    assert learner.estimate().probabilities == pytest.approx([0.479, 0.479], abs=0.01)


def test_what_was_forgotten_is_said_where_too_few_shots_are_left() -> None:
    learner = NoiseLearner(NOISY)
    learner.update(shots(NOISY, 20_000, seed=36), bit_packed=True)
    learner.forget()
    with pytest.raises(InputError, match="got 0: take more; of 20,000 that were taken up, the others are forgotten"):
        learner.estimate()


def test_a_pair_of_events_and_observables_is_refused() -> None:
    for options in ({}, {"bit_packed": True}):
        pair = NOISY.compile_detector_sampler(seed=37).sample(500, separate_observables=True, **options)
        with pytest.raises(
            InputError, match=r"of which the second has the shape of observables: pass the first, events\[0\]"
        ):
            NoiseLearner(NOISY).update(pair, **options)
        learner = NoiseLearner(NOISY)
        learner.update((pair[0], pair[0]), **options)
        assert learner.num_shots == 1_000


def test_a_learner_says_what_it_is() -> None:
    assert repr(NoiseLearner(NOISY, memory=2_000)) == "NoiseLearner(method='closed-form', shots=0, memory=2000.0)"


def test_a_circuit_without_a_model_is_refused_in_a_sentence() -> None:
    circuit = stim.Circuit("R 0 \n H 0 \n X_ERROR(0.1) 0 \n M 0 1 \n DETECTOR rec[-1] \n DETECTOR(2, 5) rec[-2]")
    with pytest.raises(
        CircuitError, match=r"non-deterministic detectors, the first is D1 \[coords \(2, 5\)\];"
    ) as caught:
        NoiseLearner(circuit)
    assert "svg" not in str(caught.value).lower()
    assert "correct its measurements, or leave it out" in str(caught.value)
