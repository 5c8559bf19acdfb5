"""The pre-decoder around other decoders: what is handed over, what comes back, and how often it is wrong."""

import pickle
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pymatching
import pytest
import sinter
import stim
from numpy.typing import NDArray
from scipy.stats import binomtest

import quell
from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders import BeliefPropagation, PreDecoded, PreDecoder, sinter_decoders
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.predecoder.predecoded import compiled_inner
from quell.errors import InputError, MissingExtraError, UnknownNameError
from quell.qec.sweeps.identity import settings_digest

from .sources import RandomOdds, WorkedOut, constant, unpacked
from .tools import stims_memory

Bytes = NDArray[np.uint8]
CHANCE = 1e-6


def surface(basis: str = "x", distance: int = 3, rounds: int = 3, p: float = 0.02) -> stim.Circuit:
    return stims_memory(distance, rounds, basis, p).circuit


def model_of(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    return circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)


def sampled(circuit: stim.Circuit, num_shots: int, seed: int) -> tuple[Bytes, Bytes]:
    dets, actual = circuit.compile_detector_sampler(seed=seed).sample(
        num_shots, separate_observables=True, bit_packed=True
    )
    return dets, actual


def decoded(decoder: sinter.Decoder, dem: stim.DetectorErrorModel, dets: Bytes) -> Bytes:
    compiled = decoder.compile_decoder_for_dem(dem=dem)
    return compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets)


class Parity(sinter.Decoder):
    """Predicts the parity of the events in each byte of observables, and may discard shots with an odd byte."""

    def __init__(self, discards: bool = False, extra: int = 0, dtype: Any = np.uint8) -> None:
        self.discards, self.extra, self.dtype = discards, extra, dtype

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        return _CompiledParity(self, -(-dem.num_observables // 8))


class _CompiledParity(sinter.CompiledDecoder):
    def __init__(self, settings: Parity, width: int) -> None:
        self.settings, self.width = settings, width

    def predicted(self, events: Bytes) -> Bytes:
        parity = (np.bitwise_count(events).sum(axis=1) % 2).astype(np.uint8)
        return np.repeat(parity[:, None], self.width + self.settings.extra, axis=1)

    def discarded(self, events: Bytes) -> Bytes:
        return (events[:, :1] * 85 + 3).astype(np.uint8)

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: Bytes) -> Bytes:
        found = self.predicted(bit_packed_detection_event_data)
        if self.settings.discards:
            found = np.concatenate((found, self.discarded(bit_packed_detection_event_data)), axis=1)
        found = found.astype(self.settings.dtype)
        found.flags.writeable = False  # a decoder may hand out what it keeps
        return found


class ThroughFiles(sinter.Decoder):
    """A decoder that cannot be compiled."""

    def decode_via_files(self, **files: Any) -> None:
        del files
        raise AssertionError


# How often it is wrong.


def errors_of(names: list[str], circuit: stim.Circuit, num_shots: int, seed: int) -> dict[str, NDArray[np.bool_]]:
    dets, actual = sampled(circuit, num_shots, seed)
    dem = model_of(circuit)
    known = {**sinter.BUILT_IN_DECODERS, **sinter_decoders(device="cpu")}
    return {name: (decoded(known[name], dem, dets) != actual).any(axis=1) for name in names}


def is_worse(mine: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether one decoder is wrong more often than another on the same shots, by the exact test of McNemar.

    For decoders that are equally good this is true once in a million times.
    """
    lost, won = int((mine & ~other).sum()), int((other & ~mine).sum())
    return bool(lost + won and binomtest(lost, lost + won, alternative="greater").pvalue < CHANCE)


@pytest.mark.parametrize("name", ["predecoder", "predecoder-residual-pymatching"])
def test_it_is_wrong_less_often_than_matching(name: str) -> None:
    """12,000 seeded shots, decoded by all.

    Of the shots that one of the two alone decodes wrongly, plain matching has 73 % (of 219) or 81 % (of 57) of them.
    With such shares it would have no more than half of so many in fewer than one of a million samples.
    """
    found = errors_of(["pymatching", "pymatching-correlated", name], surface("x", 5, 5, 0.006), 12_000, seed=11)
    assert 250 < found["pymatching"].sum() < 400
    assert found[name].sum() < found["pymatching"].sum()
    assert not is_worse(found[name], found["pymatching-correlated"])


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        ("predecoder", NoiseModel.si1000(0.006)),
        ("predecoder-residual-pymatching", NoiseModel.si1000(0.006)),
        ("predecoder", NoiseModel.biased(0.006, 1)),
        ("predecoder-residual-pymatching", NoiseModel.biased(0.006, 1)),
        ("predecoder", NoiseModel.pauli25_from_uniform(0.008)),
        ("predecoder-residual-pymatching", NoiseModel.pauli25_from_uniform(0.008)),
    ],
)
def test_under_noise_that_it_was_not_trained_on_it_is_not_worse_than_matching(name: str, noise: NoiseModel) -> None:
    circuit = rotated_surface_memory(5, 5, "X", noise)
    found = errors_of(["pymatching", name], circuit, 2_500, seed=12)
    assert found["pymatching"].sum() > 5
    assert not is_worse(found[name], found["pymatching"])


@pytest.mark.parametrize("noise", [NoiseModel.biased(0.02, 10), NoiseModel.biased(0.02, "inf")])
def test_where_edges_are_independent_it_decodes_as_without(noise: NoiseModel) -> None:
    circuit = rotated_surface_memory(3, 3, "X", noise)
    dets, actual = sampled(circuit, 300, seed=12)
    assert actual.any()
    dem = model_of(circuit)
    plain = decoded(sinter.BUILT_IN_DECODERS["pymatching"], dem, dets)
    for name, decoder in sinter_decoders(device="cpu").items():
        if name.startswith("bp"):
            continue
        assert isinstance(decoder, PreDecoded)
        with pytest.warns(UserWarning, match="the pre-decoder steps aside"):
            found = decoded(decoder, dem, dets)
        inner = "pymatching" if name.endswith("pymatching") else "pymatching-correlated"
        expected = plain if inner == "pymatching" else decoded(sinter.BUILT_IN_DECODERS[inner], dem, dets)
        np.testing.assert_array_equal(found, expected)


def test_a_worse_decoder_is_found_out() -> None:
    circuit = surface("x", 5, 5, 0.006)
    found = errors_of(["pymatching", "pymatching-correlated"], circuit, 20_000, seed=13)
    assert is_worse(found["pymatching"], found["pymatching-correlated"])
    assert not is_worse(found["pymatching-correlated"], found["pymatching"])
    assert not is_worse(found["pymatching"], found["pymatching"])


# What is handed over.


@pytest.mark.parametrize("confidence", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("inner", ["pymatching", "pymatching-correlated", Parity()], ids=["plain", "correlated", "own"])
def test_the_inner_decoder_gets_the_residual(inner: Any, confidence: float) -> None:
    circuit = surface()
    dem = model_of(circuit)
    dets, _ = sampled(circuit, 200, seed=14)
    source = RandomOdds(4)
    residual, frame = PreDecoder(source, confidence=confidence).compile(dem).apply(dets)
    alone = sinter.BUILT_IN_DECODERS[inner] if isinstance(inner, str) else inner
    around = PreDecoded(inner, source=source, handover="residual", confidence=confidence)
    np.testing.assert_array_equal(decoded(around, dem, dets), decoded(alone, dem, residual) ^ frame)


def test_the_models_own_odds_as_weights_are_plain_matching() -> None:
    circuit = surface("z", 5, 5, 0.006)
    dem = model_of(circuit)
    dets, _ = sampled(circuit, 1000, seed=15)

    def prior(graph: Any, edges: Any, events: Bytes) -> Any:
        p = graph.probabilities[edges]
        return np.broadcast_to((256 * np.log(p / (1 - p))).round().astype(np.int16), (len(events), len(edges)))

    found = decoded(PreDecoded("pymatching", source=WorkedOut(prior)), dem, dets)
    expected = decoded(sinter.BUILT_IN_DECODERS["pymatching"], dem, dets)
    # Weights are rounded in both, differently, so that of matchings of nearly equal weight either may be taken.
    assert (found != expected).mean() < 0.02


def test_a_byte_of_discards_passes_through_untouched() -> None:
    circuit = surface()
    last = circuit.flattened()[-1]
    assert last.name == "OBSERVABLE_INCLUDE"
    for observable in range(1, 12):  # two bytes of observables, all alike
        circuit.append("OBSERVABLE_INCLUDE", last.targets_copy(), observable)
    dem = model_of(circuit)
    dets, actual = sampled(circuit, 100, seed=16)
    assert actual.shape == (100, 2)
    source = RandomOdds(5)
    residual, frame = PreDecoder(source, confidence=0.7).compile(dem).apply(dets)
    assert frame.any(axis=0).all()
    inner = Parity(discards=True)
    compiled = _CompiledParity(inner, 2)
    found = decoded(PreDecoded(inner, source=source, confidence=0.7), dem, dets)
    assert found.shape == (100, 3)
    np.testing.assert_array_equal(found[:, 2:], compiled.discarded(residual))
    np.testing.assert_array_equal(found[:, :2], compiled.predicted(residual) ^ frame)


@pytest.mark.parametrize(
    ("inner", "got"),
    [
        (Parity(extra=2), r"got uint8 of shape \(50, 3\)"),
        (Parity(discards=True, extra=1), r"got uint8 of shape \(50, 3\)"),
        (Parity(extra=-1), r"got uint8 of shape \(50, 0\)"),
        (Parity(dtype=np.bool_), r"got bool of shape \(50, 1\)"),
    ],
)
def test_inner_decoders_that_return_nonsense_are_named(inner: Parity, got: str) -> None:
    circuit = surface()
    dets, _ = sampled(circuit, 50, seed=17)
    with pytest.raises(
        InputError, match=r"the inner decoder must return uint8 of shape \(50, 1\), or one byte.*" + got
    ):
        decoded(PreDecoded(inner, source=constant(0)), model_of(circuit), dets)


def test_decoders_that_work_through_files_only_are_refused() -> None:
    with pytest.raises(InputError, match="works through files only: it needs the method compile_decoder_for_dem"):
        PreDecoded(ThroughFiles(), source=constant(0)).compile_decoder_for_dem(dem=model_of(surface()))


@pytest.mark.parametrize(
    ("options", "handover"),
    [
        ({}, "reweight"),
        ({"inner": "pymatching"}, "reweight"),
        ({"inner": "pymatching-correlated"}, "reweight"),
        ({"inner": "pymatching", "handover": "residual"}, "residual"),
        ({"inner": "pymatching-correlated", "handover": "reweight"}, "reweight"),
        ({"inner": "vacuous"}, "residual"),
        ({"inner": "fusion_blossom"}, "residual"),
        ({"inner": Parity()}, "residual"),
        ({"inner": pymatching.Matching()}, "reweight"),
        ({"inner": pymatching.Matching(), "handover": "residual"}, "residual"),
    ],
)
def test_what_is_handed_over_follows_from_the_inner_decoder(options: dict[str, Any], handover: str) -> None:
    assert PreDecoded(**options).handover == handover


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"handover": "residul"}, "unknown handover 'residul': did you mean 'residual'"),
        ({"inner": "pymatchin"}, "unknown decoder 'pymatchin': did you mean 'pymatching'"),
        ({"source": "acurate"}, "unknown weights 'acurate': did you mean 'accurate'"),
        ({"inner": Parity(), "handover": "reweight"}, "only a matching can be reweighted"),
        ({"inner": "vacuous", "handover": "reweight"}, "only a matching can be reweighted, and inner is 'vacuous'"),
        ({"confidence": 0.9}, "confidence is a setting of handover='residual'"),
        ({"confidence": 0.4, "handover": "residual"}, r"confidence must be between 0\.5 .*, got 0\.4"),
        ({"confidence": np.nan, "inner": "vacuous"}, r"confidence must be between 0\.5 .*, got nan"),
        ({"inner": 7}, r"inner must be the name of a decoder, a sinter\.Decoder or a pymatching\.Matching, got 7"),
        ({"inner": Parity}, "inner must be the name of a decoder"),
        ({"source": Parity()}, "source must be the name of weights, a path"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"source": BeliefPropagation(), "batch_size": 5}, "batch_size is a setting of networks"),
    ],
)
def test_arguments_have_limits(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PreDecoded(**options)


def test_unknown_names_are_of_that_type() -> None:
    with pytest.raises(UnknownNameError):
        PreDecoded("pymatchin")


# pymatching.Matching


def own_matching(dem: stim.DetectorErrorModel, factor: float = 1.0) -> pymatching.Matching:
    """A matching of the model with weights that are drawn at random, as a user may have measured them."""
    rng = np.random.default_rng(6)
    matching = pymatching.Matching(dem)
    changed = pymatching.Matching()
    for first, second, attributes in matching.edges():
        known = {"fault_ids": attributes["fault_ids"], "weight": factor * attributes["weight"] * rng.uniform(0.2, 3)}
        if second is None:
            changed.add_boundary_edge(first, **known)
        else:
            changed.add_edge(first, second, **known)
    changed.ensure_num_fault_ids(dem.num_observables)
    return changed


def test_a_matching_of_the_users_decodes_the_residual() -> None:
    circuit = surface("z", 3, 3, 0.02)
    dem = model_of(circuit)
    dets, _ = sampled(circuit, 500, seed=18)
    mine = own_matching(dem)
    source = RandomOdds(7)
    residual, frame = PreDecoder(source, confidence=0.8).compile(dem).apply(dets)
    expected = mine.decode_batch(residual, bit_packed_shots=True, bit_packed_predictions=True) ^ frame
    around = PreDecoded(mine, source=source, handover="residual", confidence=0.8)
    found = decoded(around, dem, dets)
    np.testing.assert_array_equal(found, expected)
    assert (found != decoded(PreDecoded(source=source, handover="residual", confidence=0.8), dem, dets)).any()

    again = pickle.loads(pickle.dumps(around))
    assert again.settings_id() == around.settings_id()
    np.testing.assert_array_equal(decoded(again, dem, dets), found)
    # A second journey, and the original goes on working.
    np.testing.assert_array_equal(decoded(pickle.loads(pickle.dumps(again)), dem, dets), found)
    np.testing.assert_array_equal(decoded(around, dem, dets), found)


def boundary_nodes() -> pymatching.Matching:
    matching = pymatching.Matching()
    matching.add_edge(0, 1, fault_ids={0}, weight=1.5, error_probability=0.1)
    matching.add_edge(1, 2, weight=-0.5)
    matching.add_edge(2, 3, fault_ids={0, 2}, weight=2.0)
    matching.add_boundary_edge(0, fault_ids={1}, weight=0.0)
    matching.set_boundary_nodes({3})
    return matching


def silent_nodes() -> pymatching.Matching:
    text = "error(0.1) D0 L0\nerror(0.2) D0 D1\nerror(0.1) D1\ndetector D19\nlogical_observable L11"
    return pymatching.Matching(stim.DetectorErrorModel(text))


@pytest.mark.parametrize(
    "make",
    [
        pymatching.Matching,
        boundary_nodes,
        silent_nodes,
        lambda: pymatching.Matching(model_of(surface())),
        lambda: pymatching.Matching(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])),
        lambda: pymatching.Matching(np.array([[1, 1, 0], [0, 1, 1]]), repetitions=3, timelike_weights=0.3),
    ],
    ids=["empty", "boundary nodes", "silent nodes", "model", "check matrix", "repetitions"],
)
def test_a_matching_travels_whole(make: Callable[[], pymatching.Matching]) -> None:
    mine = make()
    other = pickle.loads(pickle.dumps(PreDecoded(mine))).inner
    assert other.edges() == mine.edges()
    assert (other.num_detectors, other.num_fault_ids) == (mine.num_detectors, mine.num_fault_ids)
    assert other.boundary == mine.boundary
    shots = np.random.default_rng(8).integers(0, 2, (40, mine.num_detectors)).astype(np.uint8)
    shots[:, 2:] *= mine.num_detectors != 20  # silent nodes cannot be matched
    np.testing.assert_array_equal(other.decode_batch(shots), mine.decode_batch(shots))


@pytest.mark.parametrize("handover", ["residual", "reweight"])
def test_a_matching_of_another_model_is_refused(handover: str) -> None:
    dem = model_of(surface("x", 3, 3))
    other = pymatching.Matching(model_of(surface("x", 3, 4)))
    with pytest.raises(InputError, match=r"has 32 detectors and 1 observables \(fault_ids\), and the model 24 and 1"):
        PreDecoded(other, source=constant(0), handover=handover).compile_decoder_for_dem(dem=dem)
    faults = np.eye(24, dtype=np.uint8)  # its fault_ids are columns and not observables
    with pytest.raises(InputError, match=r"has 24 detectors and 24 observables"):
        PreDecoded(pymatching.Matching(faults), source=constant(0), handover=handover).compile_decoder_for_dem(dem=dem)


def test_sweeps_name_the_settings_and_take_matchings_to_their_workers() -> None:
    circuit = surface("z", 3, 3, 0.02)
    dem = model_of(circuit)
    # Negative weights: as wrong a matching as there is, so that one that was lost on the way would be noticed.
    wrong = own_matching(dem, factor=-1.0)
    decoders: dict[str, Any] = {
        "wrong": PreDecoded(wrong, source=constant(0), handover="residual", confidence=1.0),
        "right": PreDecoded(pymatching.Matching(dem), source=constant(0), handover="residual", confidence=1.0),
    }
    stats = quell.sweep(
        sinter.Task(circuit=circuit, detector_error_model=dem, json_metadata={"d": 3}),
        ["wrong", "right", "predecoder"],
        custom_decoders=decoders,
        max_shots=2000,
        num_workers=1,
    )
    errors = {stat.decoder.partition("@")[0]: stat.errors for stat in stats}
    assert {stat.shots for stat in stats} == {2000}
    dets, actual = sampled(circuit, 20_000, seed=19)
    for name, matching in (("wrong", wrong), ("right", pymatching.Matching(dem))):
        predicted = matching.decode_batch(dets, bit_packed_shots=True, bit_packed_predictions=True)
        rate = (predicted != actual).any(axis=1).mean()
        # Six standard deviations of both samples: fewer than one of a million would be further off.
        assert abs(errors[name] / 2000 - rate) < 6 * np.sqrt(rate * (1 - rate) * (1 / 2000 + 1 / 20_000))
    # Their rates are 0.387 and 0.172: nine standard deviations between.
    assert errors["wrong"] > 1.4 * errors["right"]

    names = {stat.decoder for stat in stats}
    assert all(re.fullmatch(r"(wrong|right|predecoder)@[0-9a-f]{12}", name) for name in names)
    assert f"predecoder@{settings_digest(PreDecoded('pymatching-correlated', device='cpu'))}" in names
    assert settings_digest(PreDecoded(source="accurate")) != settings_digest(PreDecoded())


# Settings


def test_every_setting_that_changes_an_answer_counts() -> None:
    dem = model_of(surface())
    decoders = [
        PreDecoded(),
        PreDecoded(source="accurate"),
        PreDecoded(source=BeliefPropagation()),
        PreDecoded(source=BeliefPropagation(damping=0.1)),
        PreDecoded("pymatching-correlated"),
        PreDecoded(handover="residual", confidence=0.8),
        PreDecoded(handover="residual", confidence=0.81),
        PreDecoded("pymatching-correlated", handover="residual", confidence=0.8),
        PreDecoded("vacuous", confidence=0.8),
        PreDecoded(Parity(), confidence=0.8),
        PreDecoded(Parity(discards=True), confidence=0.8),
        PreDecoded(PreDecoded(), confidence=0.8),
        PreDecoded(PreDecoded("vacuous", confidence=0.8), confidence=0.8),
        PreDecoded(pymatching.Matching(dem), handover="residual", confidence=0.8),
        PreDecoded(own_matching(dem), handover="residual", confidence=0.8),
        PreDecoded(own_matching(dem, 1.0001), handover="residual", confidence=0.8),
    ]
    ids = [decoder.settings_id() for decoder in decoders]
    assert len(set(ids)) == len(ids)
    assert [pickle.loads(pickle.dumps(decoder)).settings_id() for decoder in decoders] == ids


@pytest.mark.parametrize("options", [{}, {"handover": "residual"}, {"inner": Parity(discards=True)}])
def test_where_and_in_what_batches_it_runs_does_not_count(options: dict[str, Any]) -> None:
    ids = {
        PreDecoded(**options, device=device, batch_size=batch_size).settings_id()
        for device in ("auto", "cpu", "cuda:1")
        for batch_size in (None, 10)
    }
    assert len(ids) == 1


def test_the_confidence_that_was_chosen_counts_as_if_it_were_given() -> None:
    class Chooses(RandomOdds):
        def confidence_before(self, inner: str) -> float:
            return {"pymatching": 0.6, "pymatching-correlated": 0.7, "other": 0.8}[inner]

    for inner, confidence in (("pymatching", 0.6), ("pymatching-correlated", 0.7), ("vacuous", None), (Parity(), 0.8)):
        if confidence is None:
            continue
        chosen = PreDecoded(inner, source=Chooses(), handover="residual")
        given = PreDecoded(inner, source=Chooses(), handover="residual", confidence=confidence)
        assert chosen.settings_id() == given.settings_id()
    matching = PreDecoded(pymatching.Matching(), source=Chooses(), handover="residual")
    assert "confidence=0.6" in matching.settings_id()
    assert "confidence=0.95" in PreDecoded("vacuous", source=RandomOdds()).settings_id()


# Edges


@pytest.mark.parametrize("options", [{}, {"handover": "residual"}, {"inner": Parity(discards=True)}])
def test_no_shots_and_odd_layouts(options: dict[str, Any]) -> None:
    circuit = surface()
    dem = model_of(circuit)
    compiled = PreDecoded(**options, device="cpu").compile_decoder_for_dem(dem=dem)
    dets, _ = sampled(circuit, 40, seed=20)
    expected = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets.copy())
    none = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets[:0])
    assert none.shape == (0, expected.shape[1])
    assert none.dtype == np.uint8
    wide = np.zeros((80, 2 * dets.shape[1]), dtype=np.uint8)
    wide[::2, ::2] = dets
    frozen = dets.copy()
    frozen.flags.writeable = False
    for layout in (np.asfortranarray(dets), wide[::2, ::2], frozen):
        before = layout.copy()
        found = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=layout)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(layout, before)
    with pytest.raises(InputError, match="bit_packed_detection_event_data must be bit-packed"):
        compiled.decode_shots_bit_packed(bit_packed_detection_event_data=unpacked(dets, dem.num_detectors))


@pytest.mark.parametrize("handover", ["reweight", "residual"])
def test_batches_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch, handover: str) -> None:
    circuit = surface()
    dets, _ = sampled(circuit, 50, seed=21)
    decoder = PreDecoded(source=RandomOdds(9), handover=handover)
    expected = decoded(decoder, model_of(circuit), dets)
    monkeypatch.setattr("quell.decoders.predecoder.predecoded._SHOTS_AT_A_TIME", 7)
    np.testing.assert_array_equal(decoded(decoder, model_of(circuit), dets), expected)


def test_a_model_without_observables() -> None:
    text = "\n".join(line for line in str(model_of(surface()).flattened()).splitlines() if "logical" not in line)
    dem = stim.DetectorErrorModel(re.sub(r" L\d+", "", text))
    assert dem.num_observables == 0
    dets, _ = sampled(surface(), 20, seed=22)
    for handover in ("reweight", "residual"):
        found = decoded(PreDecoded(source=RandomOdds(), handover=handover), dem, dets)
        assert found.shape == (20, 0)


@pytest.mark.parametrize("handover", ["reweight", "residual"])
def test_other_codes_are_for_sources_without_a_lattice(handover: str) -> None:
    circuit = stim.Circuit.generated("repetition_code:memory", distance=5, rounds=5, after_clifford_depolarization=0.06)
    dem = model_of(circuit)
    dets, actual = sampled(circuit, 3000, seed=23)
    mine = decoded(PreDecoded(source=BeliefPropagation(), handover=handover), dem, dets) != actual
    plain = decoded(sinter.BUILT_IN_DECODERS["pymatching"], dem, dets) != actual
    assert plain.sum() > 20
    assert not is_worse(mine.any(axis=1), plain.any(axis=1))
    with pytest.raises(InputError, match="reads memories of the rotated surface code"):
        PreDecoded(handover=handover, device="cpu").compile_decoder_for_dem(dem=dem)


def test_what_an_inner_decoder_raises_is_its_own() -> None:
    class Refuses(sinter.Decoder):
        def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
            raise ValueError(f"{dem.num_detectors} detectors are too many")

    with pytest.raises(ValueError, match="24 detectors are too many") as caught:
        compiled_inner(Refuses(), model_of(surface()))
    assert not isinstance(caught.value, quell.errors.QuellError)


@pytest.mark.parametrize("missing", ["torch", "numba"])
@pytest.mark.parametrize("handover", ["reweight", "residual"])
def test_what_is_not_installed_is_named_at_compile_time(
    monkeypatch: pytest.MonkeyPatch, missing: str, handover: str
) -> None:
    dem = model_of(surface())
    monkeypatch.setitem(sys.modules, missing, None)
    decoders = [PreDecoded(handover=handover), PreDecoded(source=BeliefPropagation(), handover=handover)]
    named = [decoder for decoder in sinter_decoders().values() if isinstance(decoder, PreDecoded)]
    assert len(named) == 4
    for decoder in [*decoders, *named]:
        with pytest.raises(MissingExtraError, match=rf"{missing} is not installed: .*'quell\[predecoder\]'"):
            decoder.compile_decoder_for_dem(dem=dem)


@pytest.mark.parametrize("probability", [0.7, 1.0])
def test_an_error_more_likely_than_not_is_decoded_as_its_absence(probability: float) -> None:
    """A readout that is nearly always wrong tells as much as one that is nearly always right."""
    plain = stim.Circuit.generated(
        "surface_code:rotated_memory_z", distance=3, rounds=4, after_clifford_depolarization=0.01
    ).flattened()
    models = {}
    for flip in (probability, 1 - probability):
        circuit, done = stim.Circuit(), False
        for step in plain:
            if step.name == "MR" and not done:
                circuit.append("X_ERROR", step.targets_copy()[3:4], flip)
                done = True
            circuit.append(step)
        models[flip] = circuit.detector_error_model(decompose_errors=True)
    dets = plain.compile_detector_sampler(seed=5).sample(400, bit_packed=True)
    flipped = EdgeGraph.of(models[probability]).flipped_detectors
    assert flipped.any()
    for settings in ({}, {"handover": "residual", "confidence": 0.6}):
        decoders = {
            flip: PreDecoded("pymatching", device="cpu", **settings).compile_decoder_for_dem(dem=dem)  # type: ignore[arg-type]
            for flip, dem in models.items()
        }
        if probability == 1.0 and settings:
            continue  # PyMatching itself refuses a certain error
        likely = decoders[probability].decode_shots_bit_packed(bit_packed_detection_event_data=dets ^ flipped)
        rare = decoders[1 - probability].decode_shots_bit_packed(bit_packed_detection_event_data=dets)
        # A flip of one measurement flips no observable.
        np.testing.assert_array_equal(likely, rare)
