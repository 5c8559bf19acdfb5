"""The pre-decoder in windows, and windows behind the pre-decoder.

An observable for each detector, an echo of it, says whether a correction explains the events: whatever decoder is
inside, and whatever it believes, the predicted echoes are the events.
"""

import functools
import warnings
from typing import Any

import numpy as np
import pymatching
import pytest
import sinter
import stim
from numpy.typing import NDArray
from scipy.stats import binomtest

from quell.circuits import ORIENTATIONS, ROTATED_ORDERS, NoiseModel, rotated_surface_memory
from quell.decoders import BeliefPropagation, PreDecoded
from quell.decoders.predecoder.lattice import Lattice
from quell.decoders.predecoder.network_source import NetworkSource
from quell.decoders.windows.windowed import Windowed
from quell.errors import InputError
from tests.decoders.predecoder.conftest import one_thread  # noqa: F401 (a fixture of all tests here)
from tests.decoders.predecoder.sources import RandomOdds, Undeterred

pytest.importorskip("torch")

Bytes = NDArray[np.uint8]
SLIDING = {"commit": 3, "buffer": 3}
PARALLEL = {"commit": 3, "buffer": 3, "scheme": "parallel"}
CHANCE = 1e-6


@functools.cache
def memory(distance: int, rounds: int, p: float = 0.01, basis: str = "Z") -> stim.Circuit:
    return rotated_surface_memory(distance, rounds, basis, NoiseModel.uniform_depolarizing(p))


def model_of(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    return circuit.detector_error_model(decompose_errors=True)


def with_echoes(circuit: stim.Circuit) -> stim.Circuit:
    """Every detector is also an observable, after those of the circuit."""
    echoed = stim.Circuit()
    for instruction in circuit.flattened():
        echoed.append(instruction)
        if instruction.name == "DETECTOR":
            echoed.append("OBSERVABLE_INCLUDE", instruction.targets_copy(), 1 + echoed.num_detectors - 1)
    return echoed


def decoded(decoder: sinter.Decoder, dem: stim.DetectorErrorModel, dets: Bytes) -> Bytes:
    compiled = decoder.compile_decoder_for_dem(dem=dem)
    return compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets)


def check_echoes(decoder: sinter.Decoder, circuit: stim.Circuit, num_shots: int) -> None:
    """The correction of a decoder explains all events."""
    echoed = with_echoes(circuit)
    dem = model_of(echoed)
    assert dem.num_observables == 1 + dem.num_detectors > 64
    dets = echoed.compile_detector_sampler(seed=3).sample(num_shots, bit_packed=True)
    predicted = np.unpackbits(decoded(decoder, dem, dets), axis=1, count=dem.num_observables, bitorder="little")
    events = np.unpackbits(dets, axis=1, count=dem.num_detectors, bitorder="little")
    assert events.sum() > 10 * num_shots
    np.testing.assert_array_equal(predicted[:, 1:], events)


@pytest.mark.parametrize("windows", [SLIDING, PARALLEL], ids=["sliding", "parallel"])
@pytest.mark.parametrize(
    "inner",
    [
        PreDecoded(source=RandomOdds()),
        PreDecoded("pymatching", source=RandomOdds(), handover="residual", confidence=0.6),
        PreDecoded(source=Undeterred(), device="cpu"),
        PreDecoded("pymatching", source=Undeterred(), handover="residual", device="cpu"),
        PreDecoded("pymatching", source=BeliefPropagation(), handover="residual", confidence=0.9),
    ],
    ids=["random, reweight", "random, residual", "network, reweight", "network, residual", "bp, residual"],
)
def test_corrections_of_windows_explain_all_events(inner: PreDecoded, windows: dict[str, Any]) -> None:
    check_echoes(Windowed(inner, **windows), memory(3, 16), 40)


@pytest.mark.parametrize("source", [RandomOdds(), Undeterred()], ids=["random", "network"])
@pytest.mark.parametrize("windows", [SLIDING, PARALLEL], ids=["sliding", "parallel"])
def test_corrections_of_windows_behind_the_pre_decoder_explain_all_events(source: Any, windows: dict[str, Any]) -> None:
    inner = Windowed("pymatching", **windows)
    check_echoes(PreDecoded(inner, source=source, handover="residual", confidence=0.6, device="cpu"), memory(3, 16), 40)


@pytest.mark.parametrize(
    ("order", "orientation", "distance", "basis"),
    [(order, orientation, 3, "X") for order in ROTATED_ORDERS for orientation in ORIENTATIONS]
    + [("stim", "stim", 5, "Z")],
)
def test_the_network_reads_windows_of_all_memories(
    order: str, orientation: str, distance: int, basis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = NoiseModel.uniform_depolarizing(0.01)
    dem = model_of(rotated_surface_memory(distance, 13, basis, noise, order=order, orientation=orientation))
    shapes = set()
    found = Lattice.of

    def looked(*args: Any) -> Lattice:
        lattice = found(*args)
        shapes.add(lattice.shape)
        return lattice

    monkeypatch.setattr(Lattice, "of", looked)
    for windows, lengths in ((SLIDING, {6, 5}), (PARALLEL, {6, 9, 5, 3})):
        shapes.clear()
        Windowed(PreDecoded(source=Undeterred(), device="cpu"), **windows).compile_decoder_for_dem(dem=dem)
        # Of fourteen layers three and three more on one side, or on two; the last five; gaps of three.
        assert shapes == {(length, distance + 1, distance + 1) for length in lengths}


def test_in_windows_it_is_wrong_less_often_than_matching_of_the_whole() -> None:
    # Were it as good as plain matching, this would pass once in a million times. The seed is fixed, and so it does not
    # fail by chance either.
    circuit = memory(5, 20, 0.007)
    dem = model_of(circuit)
    dets, actual = circuit.compile_detector_sampler(seed=5).sample(1200, separate_observables=True, bit_packed=True)
    found = decoded(Windowed(PreDecoded(device="cpu"), commit=5, buffer=5), dem, dets) != actual
    matching = pymatching.Matching(dem)
    plain = matching.decode_batch(dets, bit_packed_shots=True, bit_packed_predictions=True) != actual
    better, worse = int((plain & ~found).sum()), int((found & ~plain).sum())
    assert binomtest(better, better + worse, 0.5, alternative="greater").pvalue < CHANCE


@pytest.mark.parametrize("windows", [SLIDING, PARALLEL], ids=["sliding", "parallel"])
@pytest.mark.parametrize("handover", ["reweight", "residual"])
def test_where_it_steps_aside_it_says_so_once_and_leaves_all_to_matching(
    handover: str, windows: dict[str, Any]
) -> None:
    circuit = rotated_surface_memory(3, 20, "Z", NoiseModel.phenomenological(0.03))
    dem = model_of(circuit)
    dets = circuit.compile_detector_sampler(seed=5).sample(500, bit_packed=True)
    windowed = Windowed(PreDecoded("pymatching", handover=handover, device="cpu"), **windows)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = windowed.compile_decoder_for_dem(dem=dem)
    assert len(compiled.plan.models) > 2
    assert ["the pre-decoder steps aside" in str(each.message) for each in caught] == [True]
    np.testing.assert_array_equal(
        compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets),
        decoded(Windowed("pymatching", **windows), dem, dets),
    )


def test_windows_behind_tiles_are_windows_behind_the_whole_network() -> None:
    circuit = memory(3, 45)
    dem = model_of(circuit)
    dets = circuit.compile_detector_sampler(seed=6).sample(60, bit_packed=True)
    inner = Windowed("pymatching", **SLIDING)
    whole = PreDecoded(inner, source=NetworkSource("fast"), handover="residual", device="cpu")
    expected = decoded(whole, dem, dets)
    for tile in (1, 6, 30):
        source = NetworkSource("fast", tile=tile)
        tiled = PreDecoded(inner, source=source, handover="residual", device="cpu")
        np.testing.assert_array_equal(decoded(tiled, dem, dets), expected)
        assert tiled.settings_id() == whole.settings_id()


def test_before_windows_it_is_as_sure_as_before_the_decoder_in_them() -> None:
    for inner in ("pymatching", "pymatching-correlated"):
        said = [
            PreDecoded(each, handover="residual", device="cpu").settings_id().partition(" inner=")[0]
            for each in (inner, Windowed(inner, **SLIDING))
        ]
        assert said[0] == said[1]
        assert "confidence=0.95" not in said[0]


def test_a_stream_with_the_pre_decoder_inside_is_the_batch() -> None:
    circuit = memory(3, 16)
    dem = model_of(circuit)
    events = circuit.compile_detector_sampler(seed=6).sample(8)
    compiled = Windowed(PreDecoded(device="cpu"), **SLIDING).compile_decoder_for_dem(dem=dem)
    packed = np.packbits(events, axis=1, bitorder="little")
    expected = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed)
    for shots in (slice(0, 8), slice(3, 4)):
        stream = compiled.stream(num_shots=len(events[shots]))
        for layer in range(stream.num_layers):
            stream.push(events[shots, compiled.plan.layers == layer])
        np.testing.assert_array_equal(stream.finish(), expected[shots])


def test_blocks_in_space_are_refused_by_the_network_and_read_by_belief_propagation() -> None:
    blocks: dict[str, Any] = {"axis": "space-time", "commit": (5, 3), "buffer": (4, 2)}
    with pytest.raises(
        InputError, match=r"the detectors fill \d rows and \d columns, and should fill a square.*PreDecoded\(Windowed"
    ):
        Windowed(PreDecoded(device="cpu"), **blocks).compile_decoder_for_dem(dem=model_of(memory(7, 12)))
    check_echoes(Windowed(PreDecoded(source=BeliefPropagation()), **blocks), memory(5, 12), 30)
    check_echoes(
        PreDecoded(Windowed("pymatching", **blocks), source=Undeterred(), handover="residual", device="cpu"),
        memory(5, 12),
        30,
    )
