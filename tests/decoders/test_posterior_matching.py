"""Matching on posteriors against PyMatching, against brute force, and chains of detectors by hand.

Where each edge flips an observable of its own, the mask of observables says which edges were chosen; so weights and
syndromes can be checked, and not only predictions. Every test has a fixed seed and none fails by chance.
"""

import dataclasses
import functools
import itertools
import math
import pickle
import subprocess
import sys

import networkx
import numpy as np
import pymatching
import pytest
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.matching_blossom import perfect_matching
from quell.decoders.posterior_matching import MatchingCounts, PosteriorMatching
from quell.decoders.posteriors import LOG_ODDS_UNIT
from quell.errors import InputError, MissingExtraError

NO_LIMIT = 10**6


def graph_of(ends: list[tuple[int, int]], num_detectors: int) -> EdgeGraph:
    """A graph of edges that each flip an observable of their own."""
    return EdgeGraph(
        num_detectors=num_detectors,
        num_observables=len(ends),
        ends=np.array(ends, dtype=np.int32).reshape(-1, 2),
        observables=np.uint64(1) << np.arange(len(ends), dtype=np.uint64),
        mechanism_probabilities=np.full(len(ends), 0.1),
        mechanism_edges=np.arange(len(ends), dtype=np.int32).reshape(-1, 1),
        components=np.zeros(num_detectors, dtype=np.int32),
        flipped_detectors=np.zeros(-(-num_detectors // 8), dtype=np.uint8),
        flipped_observables=0,
    )


def spread(graph: EdgeGraph, places: NDArray[np.int64]) -> EdgeGraph:
    """The same graph, whose observable k has become observable `places[k]`, the last one the largest."""
    num_observables = int(places.max()) + 1
    flips = np.zeros((graph.num_edges, -(-num_observables // 64) * 64), dtype=np.uint8)
    flips[:, places] = bits(graph.observables, len(places))
    words = np.packbits(flips, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    return dataclasses.replace(graph, num_observables=num_observables, observables=words)


def spread_bits(words: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8 (shots, observables): what the words, uint64 (shots, W), say of the observables in these places."""
    flips = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    assert flips.sum() == flips[:, places].sum()
    return flips[:, places]


def random_graph(rng: np.random.Generator, *, boundary: bool, parallel: bool = False, most: int = 14) -> EdgeGraph:
    num_detectors = int(rng.integers(2, 9))
    pairs = [*itertools.combinations(range(num_detectors), 2)]
    if boundary:
        pairs += [(detector, -1) for detector in range(num_detectors)]
    size = min(int(rng.integers(2, most + 1)), most if parallel else len(pairs))
    return graph_of([pairs[k] for k in rng.choice(len(pairs), size, replace=parallel)], num_detectors)


def random_odds(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.int16]:
    """Log-odds of which a few say that their edge was flipped."""
    return rng.integers(-2000, 500, shape).astype(np.int16)


def checks(graph: EdgeGraph) -> NDArray[np.uint8]:
    """uint8 (E, D): the detectors of each edge."""
    matrix = np.zeros((graph.num_edges, graph.num_detectors + 1), dtype=np.uint8)
    for side in range(2):
        matrix[np.arange(graph.num_edges), graph.ends[:, side]] = 1
    return matrix[:, :-1]


def packed(events: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.packbits(events, axis=1, bitorder="little")


def unpacked(events: NDArray[np.uint8], num_detectors: int) -> NDArray[np.uint8]:
    return np.unpackbits(events, axis=1, bitorder="little", count=num_detectors)


def bits(masks: NDArray[np.uint64], size: int) -> NDArray[np.uint8]:
    return ((masks[:, None] >> np.arange(size, dtype=np.uint64)) & np.uint64(1)).astype(np.uint8)


def chosen_edges(
    graph: EdgeGraph, log_odds: NDArray[np.int16], events: NDArray[np.uint8], **settings: float
) -> tuple[NDArray[np.uint8], MatchingCounts]:
    """uint8 (shots, E): the edges of the matching, 64 at a time; and the counts of one time."""
    parts = []
    for start in range(0, graph.num_edges, 64):
        own = np.zeros(graph.num_edges, dtype=np.uint64)
        size = min(64, graph.num_edges - start)
        own[start : start + size] = np.uint64(1) << np.arange(size, dtype=np.uint64)
        matching = PosteriorMatching(
            dataclasses.replace(graph, observables=own),
            np.arange(graph.num_edges),
            **settings,  # type: ignore[arg-type]
        )
        parts.append(bits(matching.match(log_odds, events), size))
    return np.concatenate(parts, axis=1), matching.counts


def least_weight(graph: EdgeGraph, row: NDArray[np.int16], events: NDArray[np.uint8], kept: NDArray[np.bool_]) -> float:
    """PyMatching's weight of the best matching in the edges that are kept, or infinity if there is none."""
    matching = pymatching.Matching()
    for edge in np.flatnonzero(kept):
        a, b = graph.ends[edge].tolist()
        if b < 0:
            matching.add_boundary_edge(a, weight=-int(row[edge]))
        else:
            matching.add_edge(a, b, weight=-int(row[edge]))
    syndrome = np.zeros(max(matching.num_detectors, graph.num_detectors), dtype=np.uint8)
    syndrome[: len(events)] = events
    if matching.num_detectors < len(syndrome):
        if syndrome[matching.num_detectors :].any():
            return math.inf
        syndrome = syndrome[: matching.num_detectors]
    if not len(syndrome):
        return 0.0
    try:
        return float(matching.decode(syndrome, return_weight=True)[1])
    except ValueError:
        return math.inf


@functools.cache
def surface(distance: int, p: float) -> tuple[EdgeGraph, stim.DetectorErrorModel]:
    circuit = rotated_surface_memory(distance, distance, "Z", NoiseModel.uniform_depolarizing(p))
    dem = circuit.detector_error_model(decompose_errors=True)
    return EdgeGraph.of(dem), dem


def surface_shots(
    distance: int, p: float, num_shots: int, *, knowledge: float = 6.0
) -> tuple[EdgeGraph, NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint64]]:
    """Shots, calibrated log-odds of their edges, bit-packed events and masks of observables.

    The log-odds are those of the prior and of a normal variable that was seen for each edge, of variance 2 `knowledge`.
    """
    graph, dem = surface(distance, p)
    events, observables, errors = dem.compile_sampler(seed=7).sample(num_shots, return_errors=True)
    kept = np.array(
        [any(t.is_relative_detector_id() for t in e.targets_copy()) for e in dem.flattened() if e.type == "error"]
    )
    flips = np.zeros((num_shots, graph.num_edges), dtype=np.uint8)
    for mechanism, fired in enumerate(errors[:, kept].T):
        for edge in graph.mechanism_edges[mechanism]:
            if edge >= 0:
                flips[:, edge] ^= fired
    assert np.array_equal(flips @ checks(graph) % 2, events)
    seen = np.random.default_rng(8).normal(np.where(flips, knowledge, -knowledge), math.sqrt(2 * knowledge))
    prior = np.log(graph.probabilities / (1 - graph.probabilities))
    log_odds = np.clip(np.round((seen + prior) / LOG_ODDS_UNIT), -32768, 32767).astype(np.int16)
    return graph, log_odds, packed(events), observables[:, 0].astype(np.uint64)


@pytest.mark.parametrize("boundary", [True, False])
@pytest.mark.parametrize("parallel", [True, False])
def test_the_matching_is_the_best_of_all_sets_of_edges(boundary: bool, parallel: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        graph = random_graph(rng, boundary=boundary, parallel=parallel)
        sets = bits(np.arange(1 << graph.num_edges, dtype=np.uint64), graph.num_edges)
        flipped = packed(sets @ checks(graph) % 2)
        log_odds = random_odds(rng, (8, graph.num_edges))
        events = flipped[rng.integers(0, len(sets), 8)]
        edges, counts = chosen_edges(graph, log_odds, events, min_probability=0, num_neighbors=NO_LIMIT)
        assert counts.fallbacks == 0
        for row, wanted, found in zip(log_odds.astype(np.int64), events, edges, strict=True):
            fits = (flipped == wanted).all(axis=1)
            assert np.array_equal(packed(found[None] @ checks(graph) % 2)[0], wanted)
            assert -(found @ row) == (-(sets[fits] @ row)).min()


@pytest.mark.parametrize("boundary", [True, False])
def test_weights_are_those_of_pymatching_and_unlikely_edges_a_last_resort(boundary: bool) -> None:
    rng = np.random.default_rng(2)
    fallbacks = 0
    for _ in range(150):
        graph = random_graph(rng, boundary=boundary, most=36)
        log_odds = random_odds(rng, (4, graph.num_edges))
        events = rng.integers(0, 2, (4, graph.num_edges)).astype(np.uint8) @ checks(graph) % 2
        edges, counts = chosen_edges(graph, log_odds, packed(events), min_probability=0.02, num_neighbors=NO_LIMIT)
        likely = log_odds * LOG_ODDS_UNIT >= math.log(0.02 / 0.98)
        wanted = [least_weight(graph, *shot) for shot in zip(log_odds, events, likely, strict=True)]
        assert counts.fallbacks == np.isinf(wanted).sum()
        fallbacks += counts.fallbacks
        for shot, weight in enumerate(wanted):
            if math.isinf(weight):
                weight = least_weight(graph, log_odds[shot], events[shot], np.ones(graph.num_edges, dtype=np.bool_))
            assert np.array_equal(edges[shot] @ checks(graph) % 2, events[shot])
            assert -(edges[shot] @ log_odds[shot].astype(np.int64)) == pytest.approx(weight, rel=1e-3, abs=0.5)
    assert 20 < fallbacks < 400


@pytest.mark.parametrize(("distance", "knowledge"), [(3, 3.0), (5, 1.0), (5, 6.0)])
def test_weights_of_surface_code_shots_are_those_of_pymatching(distance: int, knowledge: float) -> None:
    graph, log_odds, events, _ = surface_shots(distance, 0.012, 60, knowledge=knowledge)
    assert len(np.unique(graph.ends, axis=0)) == graph.num_edges
    edges, counts = chosen_edges(graph, log_odds, events, num_neighbors=NO_LIMIT)
    dense = unpacked(events, graph.num_detectors)
    assert np.array_equal(edges @ checks(graph) % 2, dense)
    assert distance == 3 or counts.large_groups > 10
    threshold = math.log(1e-3 / (1 - 1e-3))
    fallbacks = 0
    for row, wanted, found in zip(log_odds, dense, edges, strict=True):
        weight = least_weight(graph, row, wanted, row * LOG_ODDS_UNIT >= threshold)
        fallbacks += math.isinf(weight)
        if math.isinf(weight):
            weight = least_weight(graph, row, wanted, np.ones(graph.num_edges, dtype=np.bool_))
        assert -(found @ row.astype(np.int64)) == pytest.approx(weight, rel=1e-3, abs=1)
    assert counts.fallbacks == fallbacks


def test_the_models_own_odds_give_plain_matching() -> None:
    circuit = stim.Circuit.generated(
        "repetition_code:memory",
        distance=9,
        rounds=9,
        after_clifford_depolarization=0.05,
        before_measure_flip_probability=0.03,
    )
    dem = circuit.detector_error_model()
    graph = EdgeGraph.of(dem)
    events = dem.compile_sampler(seed=1).sample(300, bit_packed=True)[0]
    prior = np.round(np.log(graph.probabilities / (1 - graph.probabilities)) / LOG_ODDS_UNIT).astype(np.int16)
    edges, counts = chosen_edges(graph, np.tile(prior, (300, 1)), events, min_probability=0, num_neighbors=NO_LIMIT)
    assert counts.largest_group > 10
    plain = pymatching.Matching.from_detector_error_model(dem)
    weights = plain.decode_batch(events, bit_packed_shots=True, return_weights=True)[1]
    # Up to 1/512 nat is lost for each edge where its odds are rounded.
    lost = -(edges @ prior.astype(np.int64)) * LOG_ODDS_UNIT - weights
    assert (np.abs(lost) <= edges.sum(axis=1) / 256 + 1e-3 * weights).all()


def test_posteriors_that_know_more_decode_better() -> None:
    graph, log_odds, events, observables = surface_shots(5, 0.012, 1000)
    plain = pymatching.Matching.from_detector_error_model(surface(5, 0.012)[1])
    errors = plain.decode_batch(events, bit_packed_shots=True)[:, 0] != observables
    edges = np.flatnonzero(graph.matters)
    matching = PosteriorMatching(graph, edges)
    found = matching.match(log_odds[:, edges], events)
    assert (found != observables).sum() < errors.sum() / 4
    assert matching.counts.shots == 1000
    assert np.array_equal(PosteriorMatching(graph, np.arange(graph.num_edges)).match(log_odds, events), found)


def test_few_neighbors_are_nearly_as_good() -> None:
    graph, log_odds, events, _ = surface_shots(5, 0.012, 300, knowledge=1.0)
    best, _ = chosen_edges(graph, log_odds, events, num_neighbors=NO_LIMIT)
    near, _ = chosen_edges(graph, log_odds, events, num_neighbors=4)
    assert np.array_equal(near @ checks(graph) % 2, unpacked(events, graph.num_detectors))
    weights = log_odds.astype(np.int64)
    more = (best * weights).sum(axis=1) - (near * weights).sum(axis=1)
    # Shots that fall back on all edges under one limit only can weigh less under it.
    assert (more == 0).mean() > 0.9


@pytest.mark.parametrize("confidence", [0.5, 0.7, 0.99, 1 - 1e-12, 1.0])
def test_the_residual_is_what_committed_edges_leave(confidence: float) -> None:
    rng = np.random.default_rng(3)
    committed = 0
    for trial in range(80):
        graph = random_graph(rng, boundary=trial % 2 == 0, parallel=trial % 3 == 0, most=40)
        log_odds = rng.choice([-32768, -32767, -2000, -300, -1, 0, 1, 300, 2000, 32767], (6, graph.num_edges))
        log_odds = np.where(rng.random(log_odds.shape) < 0.5, log_odds, random_odds(rng, log_odds.shape)).astype(
            np.int16
        )
        events = packed(rng.integers(0, 2, (6, graph.num_detectors)).astype(np.uint8))
        before = events.copy()
        matching = PosteriorMatching(graph, np.arange(graph.num_edges), num_neighbors=3)
        residual, masks = matching.commit(log_odds, events, confidence=confidence)
        edges = bits(masks, graph.num_edges)
        assert np.array_equal(residual, events ^ packed(edges @ checks(graph) % 2))
        assert np.array_equal(events, before)
        committed += int(edges.sum())
    assert (committed > 0) == (confidence < 1)


@pytest.mark.parametrize("most", [5, 40])
def test_many_observables_are_matched_and_committed_as_few_are(most: int) -> None:
    rng = np.random.default_rng(5)
    committed = []
    for trial in range(60):
        graph = random_graph(rng, boundary=trial % 2 == 0, parallel=trial % 3 == 0, most=40)
        # Paths that flip the same observables are told from those that do not.
        graph = dataclasses.replace(graph, observables=graph.observables & np.uint64((1 << most) - 1))
        places = np.append(rng.permutation(500)[: graph.num_edges - 1], rng.integers(500, 600))
        log_odds = random_odds(rng, (6, graph.num_edges))
        events = packed(rng.integers(0, 2, (6, graph.num_detectors)).astype(np.uint8))
        few, many = (
            PosteriorMatching(each, np.arange(graph.num_edges), num_neighbors=3)
            for each in (graph, spread(graph, places))
        )
        wanted = bits(few.match(log_odds, events), graph.num_edges)
        assert np.array_equal(spread_bits(many.match(log_odds, events), places), wanted)
        for confidence in (0.5, 0.8, 0.99, 1.0):
            residual, masks = few.commit(log_odds, events, confidence=confidence)
            own_residual, words = many.commit(log_odds, events, confidence=confidence)
            assert words.dtype == np.uint64
            assert np.array_equal(own_residual, residual)
            assert np.array_equal(spread_bits(words, places), bits(masks, graph.num_edges))
            committed.append(int(masks.astype(np.bool_).sum()))
        assert many.counts == few.counts
    assert np.array(committed).reshape(-1, 4).sum(axis=0)[:3].min() > 10


def test_every_edge_of_a_surface_code_may_have_an_observable_of_its_own() -> None:
    graph, log_odds, events, _ = surface_shots(5, 0.012, 100)
    num_words = -(-graph.num_edges // 64)
    words = np.zeros((graph.num_edges, num_words), dtype=np.uint64)
    number = np.arange(graph.num_edges)
    words[number, number // 64] = np.uint64(1) << (number % 64).astype(np.uint64)
    matching = PosteriorMatching(dataclasses.replace(graph, num_observables=graph.num_edges, observables=words), number)
    edges = np.unpackbits(matching.match(log_odds, events).astype("<u8").view(np.uint8), axis=1, bitorder="little")
    edges = edges[:, : graph.num_edges]
    assert np.array_equal(edges, chosen_edges(graph, log_odds, events)[0])
    assert np.array_equal(edges @ checks(graph) % 2, unpacked(events, graph.num_detectors))


@pytest.mark.parametrize("knowledge", [1.0, 6.0])
def test_all_or_nothing_is_committed_at_the_ends_of_confidence(knowledge: float) -> None:
    graph, log_odds, events, _ = surface_shots(5, 0.012, 200, knowledge=knowledge)
    matching = PosteriorMatching(graph, np.arange(graph.num_edges), num_neighbors=NO_LIMIT)
    residual, masks = matching.commit(log_odds, events, confidence=0.5)
    assert not residual.any()
    assert np.array_equal(masks, matching.match(log_odds, events))
    residual, masks = matching.commit(log_odds, events, confidence=1.0)
    assert np.array_equal(residual, events)
    assert not masks.any()
    left = [
        int(np.unpackbits(matching.commit(log_odds, events, confidence=confidence)[0]).sum())
        for confidence in (0.6, 0.9, 0.99, 0.9999)
    ]
    assert 0 < left[0] < left[1] < left[2] < left[3]


def test_odds_that_say_nothing_still_match() -> None:
    graph, _, events, _ = surface_shots(3, 0.012, 50)
    log_odds = np.full((50, graph.num_edges), -32768, dtype=np.int16)
    matching = PosteriorMatching(graph, np.arange(graph.num_edges))
    plain = PosteriorMatching(graph, np.arange(graph.num_edges), min_probability=0.0)
    equal = np.full_like(log_odds, -1000)
    assert np.array_equal(matching.match(log_odds, events), plain.match(equal, events))
    assert matching.counts.fallbacks == events.any(axis=1).sum()
    # Nothing is proposed, and nothing is committed.
    for confidence in (0.5, 1.0):
        residual, masks = matching.commit(log_odds, events, confidence=confidence)
        assert np.array_equal(residual, events)
        assert not masks.any()


# A chain: boundary - D0 - D1 - D2 - D3 - boundary. Its first edge flips the observable.
CHAIN = stim.DetectorErrorModel("error(.1) D0 L0\nerror(.1) D0 D1\nerror(.1) D1 D2\nerror(.1) D2 D3\nerror(.1) D3")


def chain_commits(log_odds: dict[tuple[int, int], int], events: set[int], log_confidence: float) -> set[int]:
    """The events that are left, with edges and confidence as log-odds in units of 1/256 nat."""
    graph = EdgeGraph.of(CHAIN)
    row = np.array([[log_odds[a, b] for a, b in graph.ends.tolist()]], dtype=np.int16)
    bit_packed = packed(np.array([[detector in events for detector in range(4)]], dtype=np.uint8))
    confidence = 1 / (1 + math.exp(-log_confidence * LOG_ODDS_UNIT))
    residual, _ = PosteriorMatching(graph, np.arange(5)).commit(row, bit_packed, confidence=confidence)
    return set(np.flatnonzero(unpacked(residual, 4)[0]).tolist())


@pytest.mark.parametrize(
    ("odds", "events", "margin"),
    [
        # One event with two ways to the boundary, 900 + 1000 and 300 + 400 + 500.
        ([-900, -1000, -300, -400, -500], {1}, 1900 - 1200),
        # A pair at 300, or both to the boundary, 1000 and 900.
        ([-200, -800, -300, -500, -400], {1, 2}, 1000 + 900 - 300),
        # Both to the boundary, 400 and 500, or a pair at 1700, which is farther than twice either way.
        ([-400, -600, -600, -500, -500], {0, 3}, 1700 - 900),
        # Pairs at 100 and 200, or the first with the third, 150, and the second with the fourth, 250.
        ([-250, -100, -50, -200, -300], {0, 1, 2, 3}, 150 + 250 - 300),
        # The first to the boundary, 100, and a pair at 100, or a pair at 300 and the third to the boundary, 200.
        ([-100, -300, -100, -100, -100], {0, 1, 2}, 300 + 200 - 200),
        # An edge that explains all events.
        ([-2000, 700, -2000, -2000, -2000], {0, 1}, 700),
    ],
)
def test_a_cluster_is_as_sure_as_its_next_best_exchange(odds: list[int], events: set[int], margin: int) -> None:
    row = dict(zip([(0, -1), (0, 1), (1, 2), (2, 3), (3, -1)], odds, strict=True))
    assert chain_commits(row, events, margin - 0.5) == set()
    assert chain_commits(row, events, margin + 0.5) & events == events


def test_clusters_are_committed_one_by_one() -> None:
    row = {(0, -1): 900, (0, 1): -1700, (1, 2): -1700, (2, 3): -1700, (3, -1): 300}
    assert chain_commits(row, {0, 3}, 500) == {3}


def test_events_without_edges_are_left_alone() -> None:
    graph, log_odds, events, _ = surface_shots(3, 0.012, 100)
    edges = np.flatnonzero(graph.matters)
    outside = np.isin(graph.components, graph.components[graph.ends[edges, 0]], invert=True)
    matching = PosteriorMatching(graph, edges)
    residual, _ = matching.commit(log_odds[:, edges], events, confidence=0.5)
    assert np.array_equal(
        unpacked(residual, graph.num_detectors), unpacked(events, graph.num_detectors) * outside.astype(np.uint8)
    )
    assert residual.any()
    assert matching.counts.unmatched_events == 0


def test_events_that_nothing_explains_are_left_alone() -> None:
    ring = graph_of([(0, 1), (1, 2), (0, 2), (3, 4)], 5)
    matching = PosteriorMatching(ring, np.arange(4))
    log_odds = np.full((1, 4), -300, dtype=np.int16)
    residual, masks = matching.commit(log_odds, np.array([[0b01111]], dtype=np.uint8), confidence=0.5)
    edges = bits(masks, 4)
    assert np.array_equal(residual, np.array([[0b01111]]) ^ packed(edges @ checks(ring) % 2))
    assert edges[0].tolist() in ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0])
    assert dataclasses.replace(matching.counts, settled=0) == MatchingCounts(
        shots=1, open_events=4, single_events=2, small_groups=2, largest_group=3, fallbacks=1, unmatched_events=2
    )


def test_perfect_matchings_of_larger_groups_are_those_of_networkx() -> None:
    rng = np.random.default_rng(4)
    for trial in range(150):
        size = 2 * int(rng.integers(1, 11 if trial % 10 else 21))
        if trial % 3:
            points = rng.random((size, trial % 3))
            cost = np.round(200 * np.abs(points[:, None] - points[None]).sum(axis=2)).astype(np.int64)
        else:
            cost = rng.integers(0, 40, (size, size))
            cost = np.minimum(cost, cost.T)
        mate = perfect_matching(cost)
        assert np.array_equal(mate[mate], np.arange(size))
        assert (mate != np.arange(size)).all()
        other = networkx.Graph()
        other.add_weighted_edges_from((i, j, int(cost[i, j])) for i, j in itertools.combinations(range(size), 2))
        best = networkx.min_weight_matching(other)
        assert cost[np.arange(size), mate].sum() == 2 * sum(cost[i, j] for i, j in best)


def test_no_shots_and_odd_memory_layouts() -> None:
    graph, log_odds, events, _ = surface_shots(3, 0.012, 20)
    matching = PosteriorMatching(graph, np.arange(graph.num_edges))
    assert matching.match(log_odds[:0], events[:0]).shape == (0,)
    residual, masks = matching.commit(log_odds[:0], events[:0], confidence=0.9)
    assert residual.shape == (0, events.shape[1])
    assert masks.dtype == np.uint64
    expected = matching.match(log_odds, events)
    assert np.array_equal(matching.match(np.asfortranarray(log_odds), np.asfortranarray(events)), expected)
    log_odds.flags.writeable = events.flags.writeable = False
    assert np.array_equal(matching.match(log_odds, events), expected)
    assert np.array_equal(matching.commit(log_odds, events, confidence=0.5)[1], expected)


def test_it_can_be_pickled() -> None:
    graph, log_odds, events, _ = surface_shots(3, 0.012, 20)
    matching = PosteriorMatching(graph, np.arange(graph.num_edges))
    again = pickle.loads(pickle.dumps(matching))
    assert np.array_equal(again.match(log_odds, events), matching.match(log_odds, events))
    assert again.counts == matching.counts


def test_bad_input_is_refused() -> None:
    graph = EdgeGraph.of(CHAIN)
    matching = PosteriorMatching(graph, np.arange(5))
    log_odds, events = np.zeros((2, 5), dtype=np.int16), np.zeros((2, 1), dtype=np.uint8)
    with pytest.raises(
        InputError, match=r'shape \(2, 4\); pack them with np.packbits\(events, axis=1, bitorder="little"\)'
    ):
        matching.match(log_odds, np.zeros((2, 4), dtype=np.uint8))
    with pytest.raises(InputError, match=r"log_odds must be int16 of shape \(2, 5\).*got float64 of shape \(2, 5\)"):
        matching.match(log_odds.astype(np.float64), events)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"got int16 of shape \(1, 5\)"):
        matching.commit(log_odds[:1], events, confidence=0.9)
    for confidence in (0.4, 1.1, math.nan, "0.9"):
        with pytest.raises(InputError, match="confidence must be between"):
            matching.commit(log_odds, events, confidence=confidence)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="edges must be numbers from 0 to 4, got 0 to 5"):
        PosteriorMatching(graph, np.arange(6))
    with pytest.raises(InputError, match=r"edges must be one row of integers, got float64"):
        PosteriorMatching(graph, np.zeros(2))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="min_probability must be a probability"):
        PosteriorMatching(graph, np.arange(5), min_probability=0.7)
    with pytest.raises(InputError, match="num_neighbors must be an integer >= 1"):
        PosteriorMatching(graph, np.arange(5), num_neighbors=0)


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(
        MissingExtraError, match=r"numba is not installed: this needs pip install 'quell\[predecoder\]'"
    ):
        PosteriorMatching(EdgeGraph.of(CHAIN), np.arange(5))


def test_numba_is_imported_only_when_it_is_used() -> None:
    script = "import sys, quell.decoders.posterior_matching; print({'numba', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
