"""Edges and mechanisms against PyMatching's edges, Stim's sampled errors and closed forms."""

import itertools
import math
from collections.abc import Set

import numpy as np
import pymatching
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.circuits import ORIENTATIONS, ROTATED_ORDERS, NoiseModel, rotated_surface_memory, unrotated_surface_memory
from quell.decoders.edge_graph import EdgeGraph
from quell.errors import InputError

UNIFORM = NoiseModel.uniform_depolarizing(0.004)


def repetition_model(distance: int, *, decompose: bool = True) -> stim.DetectorErrorModel:
    return stim.Circuit.generated(
        "repetition_code:memory",
        distance=distance,
        rounds=distance,
        after_clifford_depolarization=0.02,
        before_round_data_depolarization=0.01,
        before_measure_flip_probability=0.03,
    ).detector_error_model(decompose_errors=decompose)


def surface_model(distance: int = 3, rounds: int = 3, basis: str = "X", **options: str) -> stim.DetectorErrorModel:
    circuit = rotated_surface_memory(distance, rounds, basis, UNIFORM, **options)
    return circuit.detector_error_model(decompose_errors=True)


def mechanisms_of(dem: stim.DetectorErrorModel) -> list[tuple[bool, list[tuple[frozenset[int], int]]]]:
    """Of every error: whether the graph keeps it, and its parts."""
    found = []
    flat = dem.flattened()
    for instruction in (flat[i] for i in range(len(flat))):
        if not isinstance(instruction, stim.DemInstruction) or instruction.type != "error":
            continue
        parts = []
        for group in instruction.target_groups():
            detectors = frozenset(target.val for target in group if target.is_relative_detector_id())
            parts.append((detectors, sum(1 << t.val for t in group if t.is_logical_observable_id())))
        keeps = instruction.args_copy()[0] > 0 and any(detectors for detectors, _ in parts)
        found.append((keeps, parts))
    return found


def edge_list(graph: EdgeGraph) -> list[tuple[Set[int], int]]:
    return [
        (frozenset(end for end in ends if end >= 0), mask)
        for ends, mask in zip(graph.ends.tolist(), graph.observables.tolist(), strict=True)
    ]


def flips_of(graph: EdgeGraph, fired: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The detectors and observables that the edges of fired mechanisms flip: H e and L e."""
    edges = np.zeros((len(fired), graph.num_edges), dtype=np.int64)
    for number, row in enumerate(graph.mechanism_edges):
        edges[:, row[row >= 0]] += fired[:, number, None]
    flipped = np.zeros((graph.num_edges, graph.num_detectors), dtype=np.int64)
    logical = np.zeros((graph.num_edges, graph.num_observables), dtype=np.int64)
    for number, (detectors, mask) in enumerate(edge_list(graph)):
        flipped[number, sorted(detectors)] = 1
        logical[number] = [mask >> k & 1 for k in range(graph.num_observables)]
    return edges @ flipped % 2 == 1, edges @ logical % 2 == 1


def check_pymatching(graph: EdgeGraph, dem: stim.DetectorErrorModel) -> None:
    theirs = {
        frozenset(end for end in (first, second) if end is not None): (
            sum(1 << k for k in attributes["fault_ids"]),
            attributes["error_probability"],
        )
        for first, second, attributes in pymatching.Matching.from_detector_error_model(dem).edges()
    }
    mine = {
        detectors: (mask, pytest.approx(float(p), rel=1e-9))
        for (detectors, mask), p in zip(edge_list(graph), graph.probabilities, strict=True)
    }
    assert theirs == mine
    assert len(mine) == graph.num_edges


@pytest.mark.parametrize(("distance", "rounds", "basis"), [(3, 3, "Z"), (5, 2, "X")])
def test_edges_and_probabilities_are_those_of_pymatching(distance: int, rounds: int, basis: str) -> None:
    # Under this noise a fault flips one edge, which Stim leaves whole.
    circuit = rotated_surface_memory(distance, rounds, basis, NoiseModel.phenomenological(0.03))
    dem = circuit.detector_error_model(decompose_errors=True)
    check_pymatching(EdgeGraph.of(dem), dem)


@pytest.mark.parametrize("distance", [3, 5])
def test_joined_edges_are_those_that_stim_split(distance: int) -> None:
    # Without decomposing, the model of a repetition code is a graph; decomposing splits some of its edges in two.
    graph = EdgeGraph.of(repetition_model(distance))
    check_pymatching(graph, repetition_model(distance, decompose=False))
    assert graph.mechanism_edges.shape[1] == 1
    assert "^" in str(repetition_model(distance))


@pytest.mark.parametrize("order", ROTATED_ORDERS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_edges_are_parts_that_the_model_names(order: str, orientation: str) -> None:
    dem = surface_model(order=order, orientation=orientation)
    graph = EdgeGraph.of(dem)
    named = {part for _, parts in mechanisms_of(dem) for part in parts}
    edges = edge_list(graph)
    assert set(edges) <= named
    assert len(set(edges)) == graph.num_edges
    assert edges == sorted(edges, key=lambda edge: (sorted(edge[0]), edge[1]))
    assert (graph.ends[:, 1] != graph.ends[:, 0]).all()
    assert ((graph.ends[:, 1] == -1) | (graph.ends[:, 0] < graph.ends[:, 1])).all()


def test_parts_that_stim_split_at_a_boundary_are_joined() -> None:
    # In a rotated surface code a fault flips at most one edge of the X checks' graph and one of the Z checks'.
    dem = surface_model(5, 3)
    graph = EdgeGraph.of(dem)
    split = [len(parts) for keeps, parts in mechanisms_of(dem) if keeps]
    joined = (graph.mechanism_edges >= 0).sum(axis=1)
    assert max(split) > 2 == joined.max()
    assert (joined <= split).all()
    for row in graph.mechanism_edges:
        parts = graph.components[graph.ends[row[row >= 0], 0]]
        assert len(set(parts.tolist())) == len(parts)


@pytest.mark.parametrize(
    ("text", "edges", "mechanisms"),
    [
        ("error(0.1) D0 ^ D1\nerror(0.2) D0 D1", [({0, 1}, 0)], [[0], [0]]),
        ("error(0.1) D0 L0 ^ D1\nerror(0.2) D0 D1 L0", [({0, 1}, 1)], [[0], [0]]),
        ("error(0.1) D0 ^ D1\nerror(0.2) D0 D1 L0", [({0}, 0), ({0, 1}, 1), ({1}, 0)], [[0, 2], [1]]),
        (
            "error(0.1) D0 ^ D2\nerror(0.2) D0 D1\nerror(0.2) D1 D2",
            [({0}, 0), ({0, 1}, 0), ({1, 2}, 0), ({2}, 0)],
            None,
        ),
        ("error(0.1) D0 ^ D2\nerror(0.2) D0 D1\nerror(0.2) D2 D3", None, [[0, 2], [1], [3]]),
        ("error(0.1) D0 D1 ^ D1 D2\nerror(0.2) D0 D2", [({0, 2}, 0)], [[0], [0]]),
        ("error(0.1) D0 ^ L1\nerror(0.2) D0", [({0}, 0), ({0}, 2)], [[1], [0]]),
        ("error(0.1) D0 ^ D0\nerror(0.2) D0", [({0}, 0)], [[], [0]]),
        ("error(0.1) D0 ^ D1 ^ D0", [({1}, 0)], [[0]]),
        ("error(0.1) L0\nerror(0) D0\nerror(0.2) D1", [({1}, 0)], [[0]]),
    ],
)
def test_small_models(text: str, edges: list[tuple[set[int], int]] | None, mechanisms: list[list[int]] | None) -> None:
    graph = EdgeGraph.of(stim.DetectorErrorModel(text))
    if edges is not None:
        assert edge_list(graph) == edges
    if mechanisms is not None:
        rows = [sorted(edge for edge in row if edge >= 0) for row in graph.mechanism_edges.tolist()]
        assert rows == mechanisms


@st.composite
def models(draw: st.DrawFn) -> stim.DetectorErrorModel:
    """Decomposed models, whose errors flip edges of the model or others, along with observables."""
    detectors = st.integers(0, 5).map(lambda d: f"D{d}")
    part = st.tuples(st.lists(detectors, min_size=1, max_size=2, unique=True), st.lists(st.sampled_from(["L0", "L2"])))
    error = st.tuples(st.integers(1, 49), st.lists(part, min_size=1, max_size=4))
    lines = [
        f"error({percent / 100}) {' ^ '.join(' '.join(ends + mask) for ends, mask in parts)}"
        for percent, parts in draw(st.lists(error, min_size=1, max_size=8))
    ]
    return stim.DetectorErrorModel("\n".join(lines))


def check_flips(dem: stim.DetectorErrorModel, shots: int) -> None:
    graph = EdgeGraph.of(dem)
    dets, obs, errors = dem.compile_sampler(seed=7).sample(shots, return_errors=True)
    assert errors is not None
    kept = [keeps for keeps, _ in mechanisms_of(dem)]
    events, observables = flips_of(graph, errors[:, kept])
    np.testing.assert_array_equal(events, dets)
    np.testing.assert_array_equal(observables, obs)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(dem=models())
def test_edges_flip_what_stims_errors_flip(dem: stim.DetectorErrorModel) -> None:
    check_flips(dem, 40)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(dem=models())
def test_probabilities_are_sums_over_all_ways(dem: stim.DetectorErrorModel) -> None:
    graph = EdgeGraph.of(dem)
    ways = np.array(list(itertools.product([False, True], repeat=len(graph.mechanism_probabilities))))
    chances = np.where(ways, graph.mechanism_probabilities, 1 - graph.mechanism_probabilities).prod(axis=1)
    several = np.array([len(set(row[row >= 0].tolist())) > 1 for row in graph.mechanism_edges])
    for edge in range(graph.num_edges):
        flips = (graph.mechanism_edges == edge).any(axis=1)
        odd = chances[(ways & flips).sum(axis=1) % 2 == 1].sum()
        shared = chances[(ways & flips & several).sum(axis=1) % 2 == 1].sum()
        assert math.isclose(graph.probabilities[edge], odd, rel_tol=1e-9, abs_tol=1e-15)
        assert math.isclose(graph.shared_probabilities[edge], shared, rel_tol=1e-9, abs_tol=1e-15)


@pytest.mark.parametrize("order", ["stim", "hooks_along_logical"])
@pytest.mark.parametrize("basis", ["X", "Z"])
def test_edges_of_surface_codes_flip_what_stims_errors_flip(order: str, basis: str) -> None:
    check_flips(surface_model(basis=basis, order=order), 2000)


def test_edges_of_other_codes_flip_what_stims_errors_flip() -> None:
    check_flips(repetition_model(5), 1000)
    check_flips(unrotated_surface_memory(3, 3, "Z", UNIFORM).detector_error_model(decompose_errors=True), 1000)
    biased = rotated_surface_memory(3, 2, "X", NoiseModel.biased(0.01, 10))
    check_flips(biased.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True), 1000)


@pytest.mark.parametrize("basis", ["X", "Z"])
def test_what_matters_is_the_graph_of_the_kind_that_is_read(basis: str) -> None:
    dem = surface_model(3, 3, basis)
    graph = EdgeGraph.of(dem)
    at = dem.get_detector_coordinates()
    colours = np.array([(at[d][0] + at[d][1]) % 4 for d in range(graph.num_detectors)])
    assert [len(set(graph.components[colours == colour].tolist())) for colour in (0, 2)] == [1, 1]
    # In the first round there are detectors only of the kind that is prepared and read.
    (read,) = {colours[d] for d in range(graph.num_detectors) if at[d][2] == 0}
    np.testing.assert_array_equal(graph.matters, colours[graph.ends[:, 0]] == read)


def test_repeated_blocks_are_unrolled() -> None:
    text = "error(0.1) D0\nrepeat 5 {\nerror(0.2) D0 D1\nshift_detectors(0, 0, 1) 1\n}\nerror(0.1) D0 L0"
    graph = EdgeGraph.of(stim.DetectorErrorModel(text))
    chain = [({i, i + 1}, 0) for i in range(5)]
    assert edge_list(graph) == [({0}, 0), *chain, ({5}, 1)]


@pytest.mark.parametrize("text", ["", "detector(1, 2, 3) D2", "error(0.1) L0", "error(0) D0 D1"])
def test_models_without_errors_have_no_edges(text: str) -> None:
    dem = stim.DetectorErrorModel(text)
    graph = EdgeGraph.of(dem)
    assert (graph.num_detectors, graph.num_observables) == (dem.num_detectors, dem.num_observables)
    assert graph.num_edges == 0
    assert graph.ends.shape == (0, 2)
    assert graph.mechanism_edges.shape == (0, 1)
    assert graph.components.shape == (dem.num_detectors,)
    for values in (graph.probabilities, graph.shared_probabilities, graph.matters, graph.observables):
        assert values.shape == (0,)


def test_hyperedges_are_refused() -> None:
    with pytest.raises(InputError, match=r"flips 3 detectors \(D0, D1, D4\) and is not decomposed: make"):
        EdgeGraph.of(stim.DetectorErrorModel("error(0.1) D0 D1\nerror(0.1) D4 D1 D0 L0"))
    undecomposed = rotated_surface_memory(3, 2, "X", UNIFORM).detector_error_model()
    with pytest.raises(InputError, match="is not decomposed"):
        EdgeGraph.of(undecomposed)


def test_more_observables_than_bits_of_a_word_fill_further_words() -> None:
    assert EdgeGraph.of(stim.DetectorErrorModel("error(0.1) D0 L63")).observables.tolist() == [1 << 63]
    dem = stim.DetectorErrorModel("error(0.1) D0 L64\nerror(0.1) D0 D1 L0 L127\nerror(0.7) D1 L1 L128\nerror(0.1) D2")
    graph = EdgeGraph.of(dem)
    assert graph.observables.dtype == np.uint64
    assert graph.observables.tolist() == [[0, 1, 0], [1, 1 << 63, 0], [2, 0, 1], [0, 0, 0]]
    assert graph.flipped_observables == 1 << 128 | 2
    assert graph.matters.tolist() == [True, True, True, False]
    empty = EdgeGraph.of(stim.DetectorErrorModel("logical_observable L64\ndetector D0"))
    assert empty.observables.shape == (0, 2)
    assert empty.matters.shape == (0,)


def test_an_error_more_likely_than_not_counts_as_its_absence() -> None:
    dem = stim.DetectorErrorModel("error(0.9) D0 D1 L1\nerror(0.2) D0 L0\nerror(1) D2\nerror(0.6) D2 D1")
    graph = EdgeGraph.of(dem)
    likely = EdgeGraph.of(stim.DetectorErrorModel("error(0.1) D0 D1 L1\nerror(0.2) D0 L0\nerror(0.4) D2 D1"))
    assert np.array_equal(graph.ends, likely.ends)
    np.testing.assert_allclose(graph.probabilities, likely.probabilities)
    # The three likely errors together: D0 D1, D2, D2 D1.
    assert graph.flipped_detectors.tolist() == [0b001]
    assert graph.flipped_observables == 0b10
    assert not likely.flipped_detectors.any()
