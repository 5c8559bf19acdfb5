"""The pre-decoder: whatever the network says, what it returns is what its corrections do to the events."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stim

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders import BeliefPropagation, EdgeGraph, PreDecoder
from quell.decoders.posteriors import check_confidence
from quell.decoders.predecoder.predecoder import observable_bytes, source_of
from quell.errors import CircuitError, InputError, MissingExtraError, StorageError, UnknownNameError

from .sources import RandomOdds, Replayed, Undeterred, binary_rank, constant, mechanism_columns, packed, unpacked
from .tools import stims_memory

SOURCES: list[Any] = ["fast", RandomOdds(1), RandomOdds(2, sharpness=200), constant(-1500), BeliefPropagation()]
NAMES = ["network", "random", "unsure", "little is flipped", "belief propagation"]


def surface(basis: str, distance: int, rounds: int, p: float) -> stim.Circuit:
    return stims_memory(distance, rounds, basis, p).circuit


def with_echoes(circuit: stim.Circuit) -> stim.Circuit:
    """The circuit with an observable after its own for each detector, which repeats that detector.

    So the frame must say of every detector whether the corrections flipped it.
    """
    flat = circuit.flattened()
    echoed = stim.Circuit()
    for instruction in flat:
        echoed.append(instruction)
        if instruction.name == "DETECTOR":
            echoed.append("OBSERVABLE_INCLUDE", instruction.targets_copy(), echoed.num_detectors)
    return echoed


def labelled(dem: stim.DetectorErrorModel) -> tuple[stim.DetectorErrorModel, list[tuple[tuple[int, ...], int]]]:
    """The model with an observable of its own for each part; and the detectors and old observables of each."""
    parts: dict[tuple[tuple[int, ...], int], int] = {}
    model = stim.DetectorErrorModel()
    for instruction in dem.flattened():
        if instruction.type != "error":
            model.append(instruction)
            continue
        targets: list[stim.DemTarget] = []
        for group in instruction.target_groups():
            detectors = tuple(sorted(target.val for target in group if target.is_relative_detector_id()))
            mask = sum(1 << target.val for target in group if target.is_logical_observable_id())
            number = parts.setdefault((detectors, mask), len(parts))
            targets += [stim.target_separator()] if targets else []
            targets += [stim.target_relative_detector_id(detector) for detector in detectors]
            targets += [stim.target_logical_observable_id(number)]
        model.append("error", instruction.args_copy(), targets)
    return model, list(parts)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("rounds", [3, 9])  # 25 observables and 73
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_residual_and_frame_are_a_sum_of_mechanisms(source: Any, rounds: int, confidence: float) -> None:
    circuit = with_echoes(surface("x", 3, rounds, 0.02))
    dem = circuit.detector_error_model(decompose_errors=True)
    num_detectors, num_observables = dem.num_detectors, dem.num_observables
    assert num_observables == 1 + num_detectors
    dets = circuit.compile_detector_sampler(seed=5).sample(150, separate_observables=True, bit_packed=True)[0]
    residual, frame = PreDecoder(source, confidence=confidence, device="cpu").compile(circuit).apply(dets)
    flipped = unpacked(residual ^ dets, num_detectors)
    observables = unpacked(frame, num_observables)

    # In the span of the mechanisms' columns; which is a small part of everything.
    mechanisms = mechanism_columns(dem)
    rank = binary_rank(mechanisms)
    assert rank == num_detectors + 1 < len(mechanisms)
    found = np.concatenate((flipped, observables), axis=1).T
    assert binary_rank(np.concatenate((mechanisms, found), axis=1)) == rank
    # The same without algebra: the echoes are the detectors.
    np.testing.assert_array_equal(observables[:, 1:], flipped)
    if confidence == 1:
        assert not flipped.any()
        assert not frame.any()
    elif source == "fast":
        assert flipped.any(axis=1).mean() > 0.3
        assert residual.any() == (confidence > 0.5)


@pytest.mark.parametrize("confidence", [0.5, 0.9])
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_residual_and_frame_are_those_of_edges_that_labels_name(source: Any, confidence: float) -> None:
    circuit = surface("z", 3, 2, 0.02)
    dem = circuit.detector_error_model(decompose_errors=True)
    dets = circuit.compile_detector_sampler(seed=6).sample(200, bit_packed=True)
    residual, frame = PreDecoder(source, confidence=confidence, device="cpu").compile(dem).apply(dets)

    # The same odds again, in a model that has an observable for each edge.
    graph = EdgeGraph.of(dem)
    edges = np.arange(graph.num_edges)
    coordinates = dem.get_detector_coordinates()
    log_odds = source_of(source).compile(graph, coordinates, edges, device="cpu").log_odds(dets)
    model, parts = labelled(dem)
    assert model.num_observables == graph.num_edges <= 64
    again = PreDecoder(Replayed.of(log_odds, graph), confidence=confidence).compile(model)
    residual_again, labels = again.apply(dets)
    corrections = unpacked(labels, len(parts))
    assert corrections.any()

    checks = np.array([[d in part[0] for d in range(dem.num_detectors)] for part in parts], dtype=np.uint8)
    logicals = np.array([[part[1]] for part in parts], dtype=np.uint8)
    np.testing.assert_array_equal(unpacked(residual_again ^ dets, dem.num_detectors), corrections @ checks % 2)
    # Labels make ways to the boundary differ that else are as good as each other, so that fewer are sure.
    if confidence == 0.5:
        np.testing.assert_array_equal(residual_again, residual)
        np.testing.assert_array_equal(frame, corrections @ logicals % 2)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 1.0])
def test_a_source_that_proposes_nothing_returns_the_input(confidence: float) -> None:
    model = stims_memory(3, 3, "z", 0.02)
    dets = model.events(100, seed=8)
    residual, frame = PreDecoder(constant(-32000), confidence=confidence).compile(model.circuit).apply(dets)
    np.testing.assert_array_equal(residual, dets)
    assert not frame.any()


def test_a_source_that_knows_nothing_leaves_all_that_could_flip_an_observable() -> None:
    model = stims_memory(3, 3, "x", 0.02)
    dets = model.events(100, seed=7)
    residual, frame = PreDecoder(constant(0), confidence=0.6).compile(model.circuit).apply(dets)
    assert not frame.any()
    counts = np.zeros(model.graph.num_detectors, dtype=bool)
    counts[model.graph.ends[model.graph.matters, 0]] = True
    left, events = (unpacked(rows, model.graph.num_detectors) for rows in (residual, dets))
    np.testing.assert_array_equal(left[:, counts], events[:, counts])


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_no_event_that_nothing_explains_is_made(source: Any) -> None:
    circuit = surface("x", 3, 3, 0.01)
    if isinstance(source, RandomOdds):
        pytest.skip("random odds see errors where there is no event")
    none = np.zeros((20, -(-circuit.num_detectors // 8)), dtype=np.uint8)
    residual, frame = PreDecoder(source, device="cpu").compile(circuit).apply(none)
    assert not residual.any()
    assert not frame.any()


@pytest.mark.parametrize("p", [1e-4, 0.006, 0.02])
@pytest.mark.parametrize("distance", [3, 5, 7])
@pytest.mark.parametrize("maker", ["stim", "quell"])
def test_every_rotated_memory_is_read(maker: str, distance: int, p: float) -> None:
    for basis in "xz":
        for rounds in (1, 2, distance):
            if maker == "stim":
                circuit = surface(basis, distance, rounds, p)
            else:
                noise = NoiseModel.uniform_depolarizing(p)
                circuit = rotated_surface_memory(distance, rounds, basis.upper(), noise)
            dets, actual = circuit.compile_detector_sampler(seed=8).sample(
                20, separate_observables=True, bit_packed=True
            )
            residual, frame = PreDecoder(Undeterred(), device="cpu").compile(circuit).apply(dets)
            assert residual.shape == dets.shape
            assert residual.dtype == frame.dtype == np.uint8
            assert frame.shape == actual.shape
            assert np.bitwise_count(residual).sum() <= np.bitwise_count(dets).sum()
            # Where nothing is left, it decoded; at p = 1e-4 no shot of these has as many errors as it takes to fail.
            explained = ~residual.any(axis=1)
            if p == 1e-4:
                np.testing.assert_array_equal(frame[explained], actual[explained])


@pytest.mark.parametrize(
    "circuit",
    [
        surface("x", 3, 1, 0.01),  # one kind of check alone
        rotated_surface_memory(3, 3, "X", NoiseModel.phenomenological(0.02)),
        rotated_surface_memory(3, 3, "X", NoiseModel.biased(0.02, 100)),
    ],
    ids=["one round", "phenomenological", "biased"],
)
def test_where_edges_are_independent_it_steps_aside(circuit: stim.Circuit) -> None:
    dets = circuit.compile_detector_sampler(seed=8).sample(50, bit_packed=True)
    assert dets.any()
    for confidence in (0.5, None):
        with pytest.warns(UserWarning, match=r"the pre-decoder steps aside: \d\.\d% of the noise .* is correlated"):
            compiled = PreDecoder(confidence=confidence, device="cpu").compile(circuit)
        residual, frame = compiled.apply(dets)
        np.testing.assert_array_equal(residual, dets)
        assert not np.shares_memory(residual, dets)
        assert frame.shape == (50, 1)
        assert not frame.any()
        with pytest.raises(InputError, match="dets must be bit-packed"):
            compiled.apply(dets[:, 1:])
    # Sources that do not say whether they help are always asked.
    assert not PreDecoder(BeliefPropagation(), confidence=0.5).compile(circuit).apply(dets)[0].any()


def test_confidence_decides_how_much_is_left() -> None:
    circuit = surface("z", 5, 5, 0.006)
    dets = circuit.compile_detector_sampler(seed=9).sample(300, bit_packed=True)
    left = [
        int(np.bitwise_count(PreDecoder(confidence=confidence, device="cpu").compile(circuit).apply(dets)[0]).sum())
        for confidence in (0.5, 0.7, 0.9, 0.99, 0.9999, 1)
    ]
    assert left == sorted(left)
    assert left[0] == 0 < left[1]
    assert left[2] < 0.4 * left[-1]
    assert left[-1] == np.bitwise_count(dets).sum()


def test_batches_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = surface("z", 3, 3, 0.02)
    dets = circuit.compile_detector_sampler(seed=10).sample(100, bit_packed=True)
    compiled = PreDecoder(RandomOdds(3), confidence=0.8).compile(circuit)
    residual, frame = compiled.apply(dets)
    monkeypatch.setattr("quell.decoders.predecoder.predecoder._SHOTS_AT_A_TIME", 7)
    for other in (
        compiled.apply(dets),
        [np.concatenate(x) for x in zip(compiled.apply(dets[:9]), compiled.apply(dets[9:]), strict=True)],
    ):
        np.testing.assert_array_equal(other[0], residual)
        np.testing.assert_array_equal(other[1], frame)


def test_any_layout_of_the_events_will_do_and_they_stay_as_they_are() -> None:
    circuit = rotated_surface_memory(3, 4, "X", NoiseModel.uniform_depolarizing(0.006))
    dets = circuit.compile_detector_sampler(seed=11).sample(50, bit_packed=True)
    compiled = PreDecoder(device="cpu").compile(circuit)
    expected = compiled.apply(dets.copy())
    assert expected[0].any(axis=1).sum() < dets.any(axis=1).sum()
    wide = np.zeros((100, 2 * dets.shape[1]), dtype=np.uint8)
    wide[::2, ::2] = dets
    frozen = dets.copy()
    frozen.flags.writeable = False
    for layout in (np.asfortranarray(dets), wide[::2, ::2], frozen):
        before = layout.copy()
        found = compiled.apply(layout)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(layout, before)
        assert not np.shares_memory(found[0], layout)
        assert found[0].flags.writeable


@pytest.mark.parametrize("rounds", [1, 3])
def test_detectors_need_not_fill_the_last_byte(rounds: int) -> None:
    model = surface("x", 3, rounds, 0.02).detector_error_model(decompose_errors=True)
    # Three detectors more, which never fire.
    shift = "\n".join(f"detector({2 * x}, 0, 40) D{model.num_detectors + x}" for x in range(3))
    model += stim.DetectorErrorModel(shift)
    num_detectors = model.num_detectors
    assert num_detectors % 8
    bits = np.random.default_rng(1).random((60, num_detectors)) < 0.1
    bits[:, -3:] = False
    residual, frame = PreDecoder(BeliefPropagation(), confidence=0.5).compile(model).apply(packed(bits))
    assert residual.shape == (60, -(-num_detectors // 8))
    assert frame.shape == (60, 1)
    assert not residual.any()
    # An event that nothing explains stays.
    bits[:, -1] = True
    residual, again = PreDecoder(BeliefPropagation(), confidence=0.5).compile(model).apply(packed(bits))
    left = unpacked(residual, num_detectors)
    assert left[:, -1].all()
    assert not left[:, :-1].any()
    np.testing.assert_array_equal(frame, again)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_no_shots(source: Any) -> None:
    circuit = surface("x", 3, 3, 0.02)
    none = np.zeros((0, -(-circuit.num_detectors // 8)), dtype=np.uint8)
    residual, frame = PreDecoder(source, device="cpu").compile(circuit).apply(none)
    assert residual.shape == none.shape
    assert frame.shape == (0, 1)


@pytest.mark.parametrize(
    ("dets", "got"),
    [
        (np.zeros((5, 24), dtype=np.bool_), r"got bool of shape \(5, 24\); pack them with np.packbits"),
        (np.zeros((5, 2), dtype=np.uint8), r"uint8 of shape \(shots, 3\) for 24 bits, got uint8 of shape \(5, 2\)"),
        (np.zeros((5, 3), dtype=np.int8), "got int8"),
        (np.zeros(3, dtype=np.uint8), r"got uint8 of shape \(3,\)"),
        ([[0, 0, 0]], "got list"),
    ],
)
def test_events_of_another_shape_are_refused(dets: Any, got: str) -> None:
    compiled = PreDecoder(constant(0)).compile(surface("x", 3, 3, 0.02))
    with pytest.raises(InputError, match=f"dets must be bit-packed.*{got}"):
        compiled.apply(dets)


@pytest.mark.parametrize("confidence", [0.49, 1.01, -1, np.nan, np.inf, "0.9", True, [0.9]])
def test_confidence_has_limits(confidence: Any) -> None:
    with pytest.raises(InputError, match=r"confidence must be between 0\.5"):
        PreDecoder(confidence=confidence)


@pytest.mark.parametrize("confidence", [0.5, 1, np.float32(0.75), np.float64(0.9), np.int64(1)])
def test_confidence_may_be_any_number(confidence: Any) -> None:
    assert check_confidence(confidence) == float(confidence)
    assert type(check_confidence(confidence)) is float


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown weights 'fats': did you mean 'fast'"):
        PreDecoder("fats")
    with pytest.raises(InputError, match=r"source must be the name of weights.*got 3"):
        PreDecoder(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch_size is a setting of networks"):
        PreDecoder(BeliefPropagation(), batch_size=100)
    with pytest.raises(InputError, match="batch_size must be an integer >= 1, got 0"):
        PreDecoder(batch_size=0)
    missing = PreDecoder(tmp_path / "none.safetensors")
    with pytest.raises(StorageError, match=r"none.safetensors"):
        missing.compile(surface("x", 3, 1, 0.01))


def stripped(circuit: stim.Circuit) -> stim.Circuit:
    """The circuit without coordinates."""
    return stim.Circuit(
        "\n".join(
            line if not line.startswith("DETECTOR") else "DETECTOR " + line.partition(") ")[2]
            for line in str(circuit.flattened()).splitlines()
            if not line.startswith("SHIFT_COORDS")
        )
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stripped(surface("x", 3, 2, 0.01)), r"16 of 16 detectors have no three coordinates x, y, round"),
        (
            lambda: stim.Circuit.generated(
                "surface_code:unrotated_memory_x", distance=3, rounds=3, after_clifford_depolarization=0.01
            ),
            "reads memories of the rotated surface code",
        ),
        (
            lambda: stim.Circuit.generated(
                "repetition_code:memory", distance=5, rounds=5, after_clifford_depolarization=0.01
            ),
            "reads memories of the rotated surface code",
        ),
        (
            lambda: stim.Circuit.generated(
                "color_code:memory_xyz", distance=3, rounds=3, after_clifford_depolarization=0.01
            ),
            "3 of 9 detectors are not at even x, even y and a whole round",
        ),
        (lambda: surface("x", 3, 2, 0.01).detector_error_model(), "is not decomposed"),
        (lambda: "surface code", "a stim.DetectorErrorModel or a stim.Circuit is needed, got str"),
        (stim.Circuit, "the model has no detectors"),
    ],
    ids=[
        "no coordinates",
        "unrotated",
        "repetition",
        "color",
        "not decomposed",
        "text",
        "empty",
    ],
)
def test_models_that_cannot_be_read(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PreDecoder(device="cpu").compile(make())


def test_a_circuit_without_a_decomposed_model_is_named() -> None:
    circuit = stim.Circuit("R 0 1 2\nX_ERROR(0.1) 0\nM 0\nDETECTOR rec[-1]\nDETECTOR rec[-1]\nDETECTOR rec[-1]")
    with pytest.raises(CircuitError, match="the circuit has no decomposed detector error model"):
        PreDecoder(BeliefPropagation()).compile(circuit)


def test_a_source_without_a_lattice_reads_other_codes() -> None:
    circuit = stim.Circuit.generated("repetition_code:memory", distance=5, rounds=5, after_clifford_depolarization=0.02)
    dets, actual = circuit.compile_detector_sampler(seed=12).sample(1000, separate_observables=True, bit_packed=True)
    residual, frame = PreDecoder(BeliefPropagation(), confidence=0.5).compile(circuit).apply(dets)
    assert not residual.any()
    # A distance of 5 at p = 0.02: the guess that nothing was flipped is wrong far more often.
    assert (frame != actual).mean() < 0.3 * actual.any(axis=1).mean()


def test_masks_become_bytes() -> None:
    masks = np.array([0, 1, 1 << 63, 0x0102030405060708], dtype=np.uint64)
    expected = [[0] * 8, [1] + [0] * 7, [0] * 7 + [128], [8, 7, 6, 5, 4, 3, 2, 1]]
    for num_observables in (64, 57, 56, 9, 8, 1):
        width = -(-num_observables // 8)
        np.testing.assert_array_equal(observable_bytes(masks, num_observables), np.array(expected)[:, :width])
    words = np.array([[0x0807060504030201, 0x09], [0, 1]], dtype=np.uint64)
    assert observable_bytes(words, 72).tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9], [0] * 8 + [1]]
    assert observable_bytes(np.asfortranarray(words), 66).tolist() == observable_bytes(words, 72).tolist()
    assert observable_bytes(words[:0], 66).shape == (0, 9)
    assert observable_bytes(masks, 0).shape == (4, 0)
    assert observable_bytes(masks[:0], 12).shape == (0, 2)
    assert observable_bytes(masks[:0], 0).shape == (0, 0)


def test_settings_can_be_pickled() -> None:
    circuit = surface("x", 3, 3, 0.02)
    dets = circuit.compile_detector_sampler(seed=13).sample(50, bit_packed=True)
    mine = PreDecoder(confidence=0.8, device="cpu")
    other = pickle.loads(pickle.dumps(mine))
    assert other.settings_id() == mine.settings_id()
    for found, expected in zip(other.compile(circuit).apply(dets), mine.compile(circuit).apply(dets), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_every_setting_that_changes_an_answer_is_part_of_the_settings(tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(PreDecoder().source.path.read_bytes())  # type: ignore[attr-defined]
    ids = [
        PreDecoder(source, confidence=confidence).settings_id()
        for source in ("fast", "accurate", BeliefPropagation(), BeliefPropagation(num_iterations=3))
        for confidence in (0.9, 0.90001)
    ]
    assert len(set(ids)) == len(ids)
    # The weights count, and not where they lie.
    assert PreDecoder(weights, confidence=0.9, device="cpu", batch_size=7).settings_id() == ids[0]


@pytest.mark.parametrize("missing", ["torch", "safetensors", "numba"])
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    circuit = surface("x", 3, 1, 0.01)
    monkeypatch.setattr("quell.decoders.predecoder.network_source._stored", _read_again)
    if missing == "safetensors":
        for name in [name for name in sys.modules if name.startswith("safetensors.")]:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    decoder = PreDecoder(confidence=0.9)
    with pytest.raises(
        MissingExtraError, match=rf"{missing} is not installed: this needs pip install 'quell\[predecoder\]'"
    ):
        decoder.compile(circuit)


def _read_again(path: Path, changed: int | None) -> Any:
    from quell.decoders.predecoder.network_file import StoredNetwork

    del changed
    return StoredNetwork.load(path)
