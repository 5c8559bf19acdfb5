"""Streams against the rule for batches, written out here; what they hold, what they say early, and what they refuse."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pymatching
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.windows.plan import Window, WindowPlan
from quell.decoders.windows.stream import Committed, WindowedStream
from quell.decoders.windows.windowed import Windowed
from quell.errors import InputError

Decode = Callable[[Sequence[tuple[int, NDArray[np.uint8]]]], list[NDArray[np.uint8]]]


@functools.cache
def surface(distance: int, rounds: int, basis: str = "X") -> stim.DetectorErrorModel:
    circuit = rotated_surface_memory(distance, rounds, basis, NoiseModel.uniform_depolarizing(0.012))
    return circuit.detector_error_model(decompose_errors=True)


@functools.cache
def repetition(distance: int, rounds: int) -> stim.DetectorErrorModel:
    return stim.Circuit.generated(
        "repetition_code:memory",
        distance=distance,
        rounds=rounds,
        after_clifford_depolarization=0.06,
        before_measure_flip_probability=0.05,
    ).detector_error_model()


def sampled(dem: stim.DetectorErrorModel, num_shots: int, seed: int = 1) -> NDArray[np.bool_]:
    return dem.compile_sampler(seed=seed).sample(num_shots)[0]


def packed(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(bits, axis=1, bitorder="little")


def matched(plan: WindowPlan) -> Decode:
    """Decodes windows with PyMatching."""
    matchings = [pymatching.Matching(model) for model in plan.models]
    return lambda jobs: [
        matchings[model].decode_batch(events, bit_packed_shots=True, bit_packed_predictions=True)
        for model, events in jobs
    ]


def by_the_rule(plan: WindowPlan, decode: Decode, events: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Stage after stage, all windows of a stage from the same events."""
    left = events.copy()
    frame = np.zeros((len(events), plan.num_observables), dtype=np.bool_)
    for stage in sorted({window.stage for window in plan.windows}):
        before = left.copy()
        for window in (each for each in plan.windows if each.stage == stage):
            (answer,) = decode([(window.model, packed(before[:, window.detectors]))])
            bits = np.unpackbits(answer, axis=1, bitorder="little")[:, : plan.num_observables + len(window.seam)] == 1
            frame ^= bits[:, : plan.num_observables]
            left[:, window.seam] ^= bits[:, plan.num_observables :]
    return packed(frame)


def layers_of(plan: WindowPlan, events: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    return [events[:, plan.layers == layer] for layer in range(plan.num_layers)]


def pushed(stream: WindowedStream, layers: list[NDArray[np.bool_]]) -> list[Committed]:
    return [
        stream.push(packed(layer), bit_packed=True) if number % 2 else stream.push(layer)
        for number, layer in enumerate(layers)
    ]


WAYS: dict[str, dict[str, Any]] = {
    "sliding": {"commit": 3, "buffer": 2},
    "sliding one by one": {"commit": 1, "buffer": 4},
    "parallel": {"commit": 4, "buffer": 3, "scheme": "parallel"},
    "parallel with small gaps": {"commit": 4, "buffer": 3, "scheme": "parallel", "gap": 2},
    "blocks": {"commit": (4, 2), "buffer": (3, 2), "axis": "space-time"},
}
MODELS = {"surface": surface(3, 20), "repetition": repetition(5, 17)}


# Detectors of repetition codes lie on a line, which has no blocks in x and y.
@pytest.mark.parametrize(
    ("name", "way"), [(name, way) for name in MODELS for way in WAYS if (name, way) != ("repetition", "blocks")]
)
def test_the_end_is_that_of_the_whole_batch(name: str, way: str) -> None:
    dem = MODELS[name]
    compiled = Windowed("pymatching", **WAYS[way]).compile_decoder_for_dem(dem=dem)
    plan = compiled.plan
    assert len(plan.windows) > 3
    events = sampled(dem, 300)
    wanted = by_the_rule(plan, matched(plan), events)
    assert wanted.any()
    stream = compiled.stream(num_shots=300)
    says = pushed(stream, layers_of(plan, events))
    np.testing.assert_array_equal(stream.finish(), wanted)
    np.testing.assert_array_equal(says[-1].observables, wanted)
    np.testing.assert_array_equal(
        compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed(events)), wanted
    )
    # One shot after another, each from a stream of its own.
    for shot in range(20):
        stream = compiled.stream()
        pushed(stream, layers_of(plan, events[shot : shot + 1]))
        np.testing.assert_array_equal(stream.finish(), wanted[shot : shot + 1])


def test_one_window_of_everything_is_pymatching() -> None:
    dem = repetition(5, 6)
    stream = Windowed("pymatching", commit=3, buffer=6).stream(dem, num_shots=500)
    events = sampled(dem, 500)
    layers = [events[:, number : number + 4] for number in range(0, events.shape[1], 4)]
    for layer in layers[:-1]:
        assert not stream.push(layer).observables.any()
    said = stream.push(layers[-1])
    wanted = pymatching.Matching(dem).decode_batch(packed(events), bit_packed_shots=True, bit_packed_predictions=True)
    np.testing.assert_array_equal(said.observables, wanted)
    np.testing.assert_array_equal(stream.finish(), wanted)


@pytest.mark.parametrize(("commit", "buffer"), [(1, 2), (3, 2), (4, 4)])
def test_sliding_windows_commit_as_soon_as_their_buffer_has_come(commit: int, buffer: int) -> None:
    dem = repetition(3, 25)
    stream = Windowed("pymatching", commit=commit, buffer=buffer).stream(dem)
    num_layers = stream.num_layers
    assert num_layers == 26
    for layer in range(num_layers):
        said = stream.push(np.zeros((1, stream.num_events(layer)), dtype=np.bool_))
        come = layer + 1
        # Of the windows that do not reach the end, those whose layers have come.
        closed = min((come - buffer) // commit, -(-(num_layers - commit - buffer) // commit)) if come >= buffer else 0
        assert said.num_layers_committed == (num_layers if come == num_layers else commit * closed)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_said_depends_on_what_has_come_alone(way: str) -> None:
    dem = surface(3, 20)
    compiled = Windowed("pymatching", **WAYS[way]).compile_decoder_for_dem(dem=dem)
    plan = compiled.plan
    events, other = sampled(dem, 50), sampled(dem, 50, seed=2)
    says = pushed(compiled.stream(num_shots=50), layers_of(plan, events))
    committed = [said.num_layers_committed for said in says]
    assert committed == sorted(committed)
    assert committed[-1] == plan.num_layers
    assert len({said.observables.tobytes() for said in says}) > 3
    for come in (5, 11, 16):
        mixed = np.where(plan.layers < come, events, other)
        again = pushed(compiled.stream(num_shots=50), layers_of(plan, mixed))
        for one, two in zip(says[:come], again[:come], strict=True):
            np.testing.assert_array_equal(one.observables, two.observables)
            assert one.num_layers_committed == two.num_layers_committed <= come
        assert any(not np.array_equal(a.observables, b.observables) for a, b in zip(says, again, strict=True))


def most_held(stream: WindowedStream, layers: list[NDArray[np.bool_]]) -> int:
    most = 0
    for layer in layers:
        stream.push(layer)
        most = max(most, stream.num_bytes_held)
    assert stream.num_bytes_held == 0
    return most


@pytest.mark.parametrize("way", ["sliding", "parallel", "blocks"])
def test_what_is_held_does_not_grow_with_length(way: str) -> None:
    held = []
    for rounds in (30, 120):
        dem = surface(3, rounds)
        compiled = Windowed("pymatching", **WAYS[way]).compile_decoder_for_dem(dem=dem)
        events = sampled(dem, 10)
        held.append(most_held(compiled.stream(num_shots=10), layers_of(compiled.plan, events)))
    assert held[0] == held[1]
    # A byte for each of the 8 detectors of each layer, which windows see 5 of, and one for each flip of the seam.
    assert held[1] <= 10 * 8 * {"sliding": 5 + 1, "parallel": 2 * 12, "blocks": 4 * 12}[way]


def random_plan(rng: np.random.Generator) -> WindowPlan:
    """Windows in any order of layers, whose seams lie anywhere."""
    num_detectors, num_layers = int(rng.integers(1, 30)), int(rng.integers(1, 9))
    layers = rng.integers(0, num_layers, num_detectors)
    layers = np.unique(layers, return_inverse=True)[1]
    windows, models = [], []
    for stage in range(int(rng.integers(1, 5))):
        seen: list[NDArray[np.int64]] = [
            rng.permutation(num_detectors)[: rng.integers(1, num_detectors + 1)] for _ in range(rng.integers(1, 4))
        ]
        for detectors in seen:
            seam = rng.permutation(num_detectors)[: rng.integers(0, num_detectors + 1)]
            last = int(layers[detectors].max())
            windows.append(Window(stage, detectors, len(models), seam, detectors[:0], last))
            models.append(
                stim.DetectorErrorModel(f"detector D{len(detectors) - 1}\nlogical_observable L{1 + len(seam)}")
            )
    return WindowPlan(num_detectors, 2, tuple(windows), tuple(models), layers)


def test_any_windows_run_in_their_turn() -> None:
    rng = np.random.default_rng(1)
    early = 0
    for _ in range(150):
        plan = random_plan(rng)
        tables = [rng.integers(0, 2, (model.num_detectors, model.num_observables)) for model in plan.models]

        def decode(
            jobs: Sequence[tuple[int, NDArray[np.uint8]]], tables: list[NDArray[np.int64]] = tables
        ) -> list[NDArray[np.uint8]]:
            # Not linear, so that the order in which flips come matters.
            found = []
            for model, events in jobs:
                bits = np.unpackbits(events, axis=1, bitorder="little", count=len(tables[model]))
                found.append(packed((bits @ tables[model] + bits.sum(axis=1, keepdims=True) ** 2) % 3 == 1))
            return found

        events = rng.integers(0, 2, (20, plan.num_detectors)).astype(np.bool_)
        stream = WindowedStream(plan, decode, 20)
        says = pushed(stream, layers_of(plan, events))
        np.testing.assert_array_equal(stream.finish(), by_the_rule(plan, decode, events))
        assert stream.num_bytes_held == 0
        early += len(says) > 1 and says[-2].observables.any()
    assert early > 30


def test_what_cannot_be_taken_changes_nothing() -> None:
    dem = surface(3, 12)
    compiled = Windowed("pymatching", commit=3, buffer=3).compile_decoder_for_dem(dem=dem)
    plan = compiled.plan
    events = sampled(dem, 7)
    layers = layers_of(plan, events)
    stream = compiled.stream(num_shots=7)
    with pytest.raises(InputError, match=r"the stream has 13 layers, and 0 have come: push the rest, or make"):
        stream.finish()
    for number, layer in enumerate(layers):
        width = layer.shape[1]
        before = stream.committed, stream.num_bytes_held
        for wrong in (layer[:, 1:], layer.astype(np.uint8), layer[0], layer.tolist(), np.zeros((7, width + 1), bool)):
            with pytest.raises(
                InputError, match=rf"events of layer {number} must be bool of shape \(7, {width}\), got"
            ):
                stream.push(wrong)
        for wrong in (layer, packed(layer)[:, :0], packed(layer).astype(np.int64)):
            with pytest.raises(
                InputError, match=rf"events must be bit-packed: uint8 of shape \(shots, 1\) for {width}"
            ):
                stream.push(wrong, bit_packed=True)
        with pytest.raises(InputError, match="the stream has 7 shots, got the events of 6"):
            stream.push(layer[1:])
        with pytest.raises(InputError, match="the stream has 7 shots, got the events of 6"):
            stream.push(packed(layer)[1:], bit_packed=True)
        np.testing.assert_array_equal(stream.committed.observables, before[0].observables)
        assert stream.num_layers_pushed == number
        assert stream.num_bytes_held == before[1]
        stream.push(layer)
    with pytest.raises(InputError, match="the stream has 13 layers, and all of them have come: make a new one"):
        stream.push(layers[-1])
    found = stream.finish()
    np.testing.assert_array_equal(found, by_the_rule(plan, matched(plan), events))
    with pytest.raises(InputError, match="the stream has 13 layers, and it is finished"):
        stream.push(layers[0])
    np.testing.assert_array_equal(stream.finish(), found)


def test_what_is_pushed_and_what_is_said_are_the_callers_own() -> None:
    dem = repetition(3, 20)
    compiled = Windowed("pymatching", commit=3, buffer=3).compile_decoder_for_dem(dem=dem)
    events = sampled(dem, 100)
    layers = layers_of(compiled.plan, events)
    stream = compiled.stream(num_shots=100)
    for layer in layers:
        given = layer.copy()
        said = stream.push(given)
        assert np.array_equal(given, layer)
        given[...] ^= True
        said.observables[...] = 255
    np.testing.assert_array_equal(stream.finish(), by_the_rule(compiled.plan, matched(compiled.plan), events))


def test_a_decoder_that_fails_is_asked_again() -> None:
    dem = repetition(3, 20)
    compiled = Windowed("pymatching", commit=3, buffer=3).compile_decoder_for_dem(dem=dem)
    good = matched(compiled.plan)
    calls = 0

    def flaky(jobs: Sequence[tuple[int, NDArray[np.uint8]]]) -> list[NDArray[np.uint8]]:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise KeyboardInterrupt
        return good(jobs)

    events = sampled(dem, 100)
    stream = WindowedStream(compiled.plan, flaky, 100)
    failures = 0
    for number, layer in enumerate(layers_of(compiled.plan, events)):
        try:
            stream.push(layer)
        except KeyboardInterrupt:
            failures += 1
        assert stream.num_layers_pushed == number + 1
    try:
        stream.finish()
    except KeyboardInterrupt:
        failures += 1
    np.testing.assert_array_equal(stream.finish(), by_the_rule(compiled.plan, good, events))
    assert failures > 3


class Wary(sinter.Decoder):
    """PyMatching that gives up shots with many events."""

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        return WaryDecoder(dem)


class WaryDecoder(sinter.CompiledDecoder):
    def __init__(self, dem: stim.DetectorErrorModel) -> None:
        self.matching = pymatching.Matching(dem)

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = self.matching.decode_batch(
            bit_packed_detection_event_data, bit_packed_shots=True, bit_packed_predictions=True
        )
        many = np.bitwise_count(bit_packed_detection_event_data).sum(axis=1) > 5
        return np.concatenate([found, many[:, None].astype(np.uint8)], axis=1)


def test_discards_of_any_window_discard_the_shot() -> None:
    dem = repetition(3, 20)
    compiled = Windowed(Wary(), commit=3, buffer=3).compile_decoder_for_dem(dem=dem)
    events = sampled(dem, 200)
    stream = compiled.stream(num_shots=200)
    says = pushed(stream, layers_of(compiled.plan, events))
    found = stream.finish()
    assert found.shape == (200, 2)
    discarded = found[:, 1].astype(np.bool_)
    assert 10 < discarded.sum() < 190
    np.testing.assert_array_equal(says[-1].discarded, discarded)
    np.testing.assert_array_equal(found[:, :1], by_the_rule(compiled.plan, matched(compiled.plan), events))
    np.testing.assert_array_equal(
        found, compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed(events))
    )


def test_answers_of_another_shape_are_refused() -> None:
    dem = repetition(3, 20)
    plan = Windowed("pymatching", commit=3, buffer=3).plan(dem)
    stream = WindowedStream(plan, lambda jobs: [np.zeros((1, 9), dtype=np.uint8) for _ in jobs])
    layers = layers_of(plan, sampled(dem, 1))
    for layer in layers[:5]:
        stream.push(layer)
    with pytest.raises(InputError, match=r"the inner decoder must return uint8 of shape \(1, 1\), or one byte more"):
        stream.push(layers[5])


def test_widths_and_shots() -> None:
    stream = Windowed("pymatching", commit=2, buffer=2).stream(surface(3, 5, "Z"))
    assert [stream.num_events(layer) for layer in range(6)] == [4, 8, 8, 8, 8, 4]
    for layer in (-1, 6):
        with pytest.raises(InputError, match=f"layer must be between 0 and 5, got {layer}"):
            stream.num_events(layer)
    with pytest.raises(InputError, match="num_shots must be an integer >= 1, got 0"):
        Windowed("pymatching", commit=2, buffer=2).stream(surface(3, 5), num_shots=0)
