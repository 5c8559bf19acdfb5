"""Weights of either parity against brute force over all corrections, PyMatching, and the complementary gap.

Statistical tests have a fixed seed; the bounds of each are wide enough for a false alarm below 1e-6.
"""

import dataclasses
import functools
import itertools
import math
import pickle

import numpy as np
import pymatching
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, cultivation, rotated_surface_memory
from quell.decoders.post_selection.double_cover import LabelledGraph, labelled_graphs
from quell.decoders.post_selection.partners import partner_lists, without_partners
from quell.decoders.post_selection.pruned import PrunedModel, post_selected_detectors, pruned_model
from quell.decoders.post_selection.soft_output import CompiledSoftOutput, SoftOutputDecoder
from quell.errors import InputError

pytest.importorskip("numba")

from quell.decoders.post_selection.alternating_walks import any_weights, lightest_pairs, weigh_many
from quell.decoders.post_selection.parity_matching import MAX_EVENTS, parity_weights


def random_graph(rng: np.random.Generator, *, has_boundary: bool) -> LabelledGraph:
    """A graph with up to 10 edges, parallel ones and ties among them, and weights of zero."""
    num_detectors = int(rng.integers(2, 7))
    size = num_detectors + int(has_boundary)
    pairs = list(itertools.combinations(range(size), 2))
    chosen = rng.choice(len(pairs), size=int(rng.integers(size - 1, 11)))
    return LabelledGraph(
        detectors=np.arange(num_detectors, dtype=np.int32),
        has_boundary=has_boundary,
        ends=np.array([pairs[k] for k in chosen], dtype=np.int32),
        labels=rng.integers(0, 2, len(chosen)).astype(np.uint8),
        weights=rng.integers(0, 6, len(chosen)).astype(np.float64) if rng.random() < 0.5 else rng.random(len(chosen)),
        edges=np.arange(len(chosen), dtype=np.int32),
    )


def by_brute_force(graph: LabelledGraph) -> dict[tuple[int, ...], list[float]]:
    """The least weight of even and of odd parity for each set of events that a subset of the edges makes."""
    best: dict[tuple[int, ...], list[float]] = {}
    num_detectors = len(graph.detectors)
    for subset in itertools.product((0, 1), repeat=len(graph.ends)):
        chosen = np.flatnonzero(subset)
        degrees = np.bincount(graph.ends[chosen].ravel(), minlength=num_detectors)[:num_detectors] % 2
        weights = best.setdefault(tuple(np.flatnonzero(degrees).tolist()), [math.inf, math.inf])
        parity = int(graph.labels[chosen].sum()) % 2
        weights[parity] = min(weights[parity], float(graph.weights[chosen].sum()))
    return best


@pytest.mark.parametrize("has_boundary", [False, True])
def test_both_parities_agree_with_brute_force(has_boundary: bool) -> None:
    rng = np.random.default_rng(7 + has_boundary)
    table = np.empty((1 << MAX_EVENTS, 2))
    inexact = total = 0
    for _ in range(40):
        graph = random_graph(rng, has_boundary=has_boundary)
        distances = graph.distances()
        odd_cycle = float(np.einsum("vvs->vs", distances)[:, 1].min())
        boundary = len(graph.detectors) if has_boundary else -1
        expected = by_brute_force(graph)
        for size in range(len(graph.detectors) + 1):
            for events in itertools.combinations(range(len(graph.detectors)), size):
                picked = np.array(events, dtype=np.int32)
                truth = pytest.approx(expected.get(events, [math.inf, math.inf]), abs=1e-9)
                even, odd, _ = parity_weights(distances, boundary, odd_cycle, picked, size, table)
                assert [even, odd] == truth
                walked = np.array(weigh_many(distances, boundary, odd_cycle, picked))
                assert (walked >= np.array([even, odd]) - 1e-9).all()
                inexact += list(walked) != truth
                total += 1
    assert total > 700
    assert inexact <= 0.01 * total


@functools.cache
def sampled(p: float, num_attempts: int) -> tuple[stim.Circuit, NDArray[np.uint8], NDArray[np.uint8]]:
    """MSC-3 to SC7, and the events and flips of the attempts that post-selection keeps."""
    circuit = NoiseModel.uniform_depolarizing(p).apply(cultivation(3, 7))
    rejecting = np.zeros(circuit.num_detectors, dtype=np.bool_)
    rejecting[post_selected_detectors(circuit)] = True
    mask = np.packbits(rejecting, bitorder="little")
    events, flips = circuit.compile_detector_sampler(seed=5).sample(
        num_attempts, separate_observables=True, bit_packed=True
    )
    kept = ~(events & mask).any(axis=1)
    return circuit, events[kept], flips[kept]


@functools.cache
def decoded(correlated: bool) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which predictions of 140,000 attempts are wrong, and their gaps."""
    circuit, events, flips = sampled(3e-3, 140_000)
    predictions, gaps = SoftOutputDecoder(correlated=correlated).compile(circuit).decode_with_gaps(events)
    return (predictions != flips)[:, 0], gaps


def test_the_lighter_parity_is_pymatchings_correction() -> None:
    circuit, events, _ = sampled(3e-3, 30_000)
    decoder = SoftOutputDecoder(correlated=False).compile(circuit)
    matching = pymatching.Matching.from_detector_error_model(pruned_model(circuit))
    predicted, weights = matching.decode_batch(
        events, bit_packed_shots=True, bit_packed_predictions=True, return_weights=True
    )
    found = decoder.weights(events)
    assert len(events) > 4000
    # PyMatching rounds weights to whole numbers, of which there are 2^24 or so to the largest weight.
    assert found.min(axis=2).sum(axis=1) == pytest.approx(weights, abs=1e-4)
    predictions, gaps = decoder.decode_with_gaps(events)
    differ = predictions[:, 0] != predicted[:, 0]
    assert gaps[differ] == pytest.approx(0, abs=1e-3)
    assert differ.sum() < 10
    assert (gaps >= 0).all()


def test_many_events_are_weighed_like_few() -> None:
    circuit, events, _ = sampled(3e-3, 30_000)
    decoder = SoftOutputDecoder(correlated=False).compile(circuit)
    weights = decoder.weights(events)
    graphs = labelled_graphs(PrunedModel.of(circuit))
    detectors = np.unpackbits(events, axis=1, bitorder="little", count=circuit.num_detectors)
    compared = 0
    for number, graph in enumerate(graphs):
        distances = graph.distances()
        odd_cycle = float(np.einsum("vvs->vs", distances)[:, 1].min())
        counts = detectors[:, graph.detectors].sum(axis=1)
        for shot in np.flatnonzero((counts >= 8) & (counts <= MAX_EVENTS - 1))[:150]:
            picked = np.flatnonzero(detectors[shot, graph.detectors]).astype(np.int32)
            found = weigh_many(distances, len(graph.detectors), odd_cycle, picked)
            assert found == pytest.approx(weights[shot, number], abs=1e-6)
            compared += 1
    assert compared == 300


def complementary_gaps(graph: LabelledGraph, events: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The weights of odd less even corrections, from two matchings with the observable as one more detector.

    Without odd cycles away from the boundary, labels can be moved to the boundary edges; those of label 1 then end at
    the detector that stands for the observable.
    """
    size = len(graph.detectors)
    moved = np.full(size, -1)
    moved[0] = 0
    while (moved < 0).any():
        for (a, b), label in zip(graph.ends.tolist(), graph.labels.tolist(), strict=True):
            for here, there in ((a, b), (b, a)):
                if max(a, b) < size and moved[here] >= 0 > moved[there]:
                    moved[there] = moved[here] ^ label
    matching = pymatching.Matching()
    for (a, b), label, weight in zip(graph.ends.tolist(), graph.labels.tolist(), graph.weights.tolist(), strict=True):
        if b < size:
            assert label == moved[a] ^ moved[b]
            matching.add_edge(a, b, weight=weight)
        elif label == moved[a]:
            matching.add_boundary_edge(a, weight=weight, merge_strategy="smallest-weight")
        else:
            matching.add_edge(a, size, weight=weight, merge_strategy="smallest-weight")
    gauge = events @ moved % 2
    even, odd = (
        matching.decode_batch(np.column_stack([events, gauge ^ parity]).astype(np.uint8), return_weights=True)[1]
        for parity in (0, 1)
    )
    return np.asarray(odd - even, dtype=np.float64)


def test_on_a_planar_code_the_gap_is_the_complementary_gap() -> None:
    circuit = NoiseModel.uniform_depolarizing(8e-3).apply(rotated_surface_memory(5, 5))
    events = circuit.compile_detector_sampler(seed=3).sample(3000)
    packed = np.packbits(events, axis=1, bitorder="little")
    decoder = SoftOutputDecoder(correlated=False).compile(circuit)
    graphs = labelled_graphs(PrunedModel.of(circuit))
    weights = decoder.weights(packed)
    with_observable = [number for number, graph in enumerate(graphs) if graph.labels.any()]
    assert len(graphs) == 2
    assert len(with_observable) == 1
    (number,) = with_observable
    expected = complementary_gaps(graphs[number], events[:, graphs[number].detectors].astype(np.uint8))
    differences = weights[:, number, 1] - weights[:, number, 0]
    assert differences == pytest.approx(expected, abs=1e-4)
    assert np.isinf(weights[:, 1 - number, 1]).all()  # that graph cannot flip the observable
    _, gaps = decoder.decode_with_gaps(packed)
    assert gaps == pytest.approx(10 * np.abs(expected) / math.log(10), abs=1e-3)


def test_around_a_ring_the_gap_is_the_difference_of_the_arcs() -> None:
    """No boundary: the observable is flipped by one edge of the only cycle, as across a projective plane."""
    lines = [f"error(0.01) D{i} D{(i + 1) % 7}" + (" L0" if i == 3 else "") for i in range(7)]
    decoder = CompiledSoftOutput(PrunedModel.of(stim.DetectorErrorModel("\n".join(lines))))
    step = math.log(99)
    for events, even, odd in (((), 0, 7), ((0, 2), 2, 5), ((3, 4), 6, 1), ((0, 3), 3, 4), ((0, 2, 4, 5), 3, 4)):
        packed = np.packbits(np.isin(np.arange(7), events), bitorder="little")[None]
        assert decoder.weights(packed)[0, 0] == pytest.approx([even * step, odd * step])
        predictions, gaps = decoder.decode_with_gaps(packed)
        assert predictions[0, 0] == (odd < even)
        assert gaps[0] == pytest.approx(10 * abs(odd - even) * math.log10(99))


def test_gaps_of_two_graphs_combine_like_independent_coins() -> None:
    """Two detectors with a path to the boundary on either side; each graph is wrong with the odds of its gap."""
    decoder = CompiledSoftOutput(
        PrunedModel.of(stim.DetectorErrorModel("error(.1) D0 L0 \n error(.2) D0 \n error(.1) D1 \n error(.3) D1 L0 \n"))
    )
    predictions, gaps = decoder.decode_with_gaps(np.array([[0b11]], dtype=np.uint8))
    a, b = (1 / 9) / (1 / 9 + 1 / 4), (1 / 9) / (1 / 9 + 3 / 7)
    right = a * b + (1 - a) * (1 - b)
    assert predictions[0, 0] == 1
    assert gaps[0] == pytest.approx(10 * math.log10(right / (1 - right)))


def test_an_observable_that_flips_unseen_bounds_every_gap() -> None:
    decoder = CompiledSoftOutput(PrunedModel.of(stim.DetectorErrorModel("error(.1) D0 \n error(.01) L0")))
    assert decoder.decode_with_gaps(np.array([[1]], dtype=np.uint8))[1] == pytest.approx(10 * math.log10(99))


def test_events_that_nothing_explains_have_no_gap() -> None:
    decoder = CompiledSoftOutput(PrunedModel.of(stim.DetectorErrorModel("error(.1) D0 D1 \n error(.1) D1 D2 L0")))
    predictions, gaps = decoder.decode_with_gaps(np.array([[0b001], [0b101]], dtype=np.uint8))
    assert predictions.tolist() == [[0], [1]]
    assert gaps.tolist() == [0, math.inf]


def test_a_second_look_is_a_matching_graph_with_the_partners_of_the_first_corrections_made_likely() -> None:
    """Weights of 60 shots against graphs that are built anew for each, with their edges reweighted."""
    circuit, events, _ = sampled(3e-3, 30_000)
    model = PrunedModel.of(circuit)
    conditional = without_partners(model)
    first, partner, partner_weight = partner_lists(model, conditional)
    graphs, otherwise = labelled_graphs(model), labelled_graphs(conditional)
    paths = [(graph.distances(), graph.last_edges()) for graph in graphs]
    found = SoftOutputDecoder().compile(circuit).weights(events[:60])
    detectors = np.unpackbits(events[:60], axis=1, bitorder="little", count=circuit.num_detectors)
    table = np.empty((1 << MAX_EVENTS, 2))
    for shot in range(60):
        corrections: list[set[int]] = []
        picked = []
        for graph, (distances, last_edges) in zip(graphs, paths, strict=True):
            picked.append(np.flatnonzero(detectors[shot, graph.detectors]).astype(np.int32))
            ends, mates = lightest_pairs(distances, len(graph.detectors), picked[-1])
            flipped: set[int] = set()
            for i in np.flatnonzero(mates > np.arange(len(mates))):
                a, b = int(ends[i]), int(ends[mates[i]])
                parity = int(distances[a, b].argmin())
                length = distances[a, b, parity]
                while b != a or parity:
                    edge = int(last_edges[a, b, parity])
                    place = int(np.flatnonzero(graph.edges == edge)[0])
                    length -= graph.weights[place]
                    flipped ^= {edge}
                    b = int(graph.ends[place].sum()) - b
                    parity ^= int(graph.labels[place])
                assert length == pytest.approx(0, abs=1e-9)
            corrections.append(flipped)
        for number, graph in enumerate(otherwise):
            weights = dict(zip(graph.edges.tolist(), graph.weights.tolist(), strict=True))
            for edge in set().union(*(c for other, c in enumerate(corrections) if other != number)):
                for place in range(first[edge], first[edge + 1]):
                    if int(partner[place]) in weights:
                        weights[partner[place]] = min(weights[partner[place]], float(partner_weight[place]))
            anew = dataclasses.replace(graph, weights=np.array(list(weights.values())))
            distances = anew.distances()
            odd_cycle = float(np.einsum("vvs->vs", distances)[:, 1].min())
            boundary = len(graph.detectors)
            size = len(picked[number])
            even, odd = any_weights(distances, boundary, odd_cycle, picked[number], size, table)
            assert found[shot, number] == pytest.approx([even, odd], abs=1e-9)


@pytest.mark.parametrize("correlated", [False, True])
def test_wrong_predictions_become_rare_as_the_gap_says(correlated: bool) -> None:
    wrong, gaps = decoded(correlated)
    rates = []
    for low in range(0, 20, 5):
        chosen = (gaps >= low) & (gaps < low + 5)
        said = (1 / (1 + 10 ** (gaps[chosen] / 10))).mean()
        rates.append(wrong[chosen].mean())
        # Of 2e6 attempts the rates are within 30 % of what is said; every bin holds more than 25 errors here, and a
        # factor of two is further from that than five standard deviations.
        assert said / 2.5 < rates[-1] < 2.5 * said
    assert rates == sorted(rates, reverse=True)


def test_correlations_leave_fewer_errors_at_any_cut() -> None:
    """Paired on the same shots: all that are kept, and the surest four fifths of them."""
    circuit, events, flips = sampled(3e-3, 140_000)
    errors = []
    for correlated in (False, True):
        wrong, gaps = decoded(correlated)
        surest = np.argsort(-gaps, kind="stable")[: int(0.8 * len(gaps))]
        errors.append((int(wrong.sum()), int(wrong[surest].sum())))
    (all_without, cut_without), (all_with, cut_with) = errors
    # Measured with 1e7 attempts: 0.042 and 0.030 of all, 0.010 and 0.003 of the surest; here 1,000 and 200 errors.
    assert all_with < 0.85 * all_without
    assert cut_with < 0.6 * cut_without
    matching = pymatching.Matching.from_detector_error_model(pruned_model(circuit), enable_correlations=True)
    predicted = matching.decode_batch(
        events, bit_packed_shots=True, bit_packed_predictions=True, enable_correlations=True
    )
    assert all_with < 1.1 * int((predicted != flips).sum())


def test_sinter_takes_it() -> None:
    """sinter hands over a model: what is post-selected must be found from that alone."""
    circuit, events, _ = sampled(3e-3, 30_000)
    decoder = pickle.loads(pickle.dumps(SoftOutputDecoder(correlated=False)))
    assert (
        decoder.settings_id() == SoftOutputDecoder(correlated=False).settings_id() != SoftOutputDecoder().settings_id()
    )
    predictions = sinter.predict_observables(
        dem=circuit.detector_error_model(),
        dets=events,
        decoder="soft",
        custom_decoders={"soft": decoder},
        bit_pack_result=True,
    )
    assert (predictions == decoder.compile(circuit).decode_with_gaps(events)[0]).all()


def test_bad_input_is_refused() -> None:
    model = PrunedModel.of(stim.DetectorErrorModel("error(.1) D0 L0 \n error(.1) D0"))
    with pytest.raises(InputError, match="bit-packed"):
        CompiledSoftOutput(model).decode_with_gaps(np.zeros((3, 2), dtype=np.uint8))
    with pytest.raises(InputError, match=r"probability 0\.7, the limit is 0\.5"):
        CompiledSoftOutput(PrunedModel.of(stim.DetectorErrorModel("error(.7) D0 L0")))
    with pytest.raises(InputError, match=r"probability 0\.6, the limit is 0\.5"):
        CompiledSoftOutput(PrunedModel.of(stim.DetectorErrorModel("error(.6) L0")))
