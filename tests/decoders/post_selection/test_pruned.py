"""Pruned models against Stim: its detecting regions for bases, its decomposition where that works, its sampled errors.

Every test is deterministic.
"""

import collections
import functools

import numpy as np
import pymatching
import pytest
import stim

from quell.circuits import NoiseModel, cultivation, rotated_surface_memory
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.post_selection.pruned import PrunedModel, post_selected_detectors, pruned_model
from quell.errors import InputError


@functools.cache
def noisy(name: str) -> stim.Circuit:
    circuits = {
        "msc3": lambda: cultivation(3, 7),
        "msc5": lambda: cultivation(5, 9),
        "rotated_z": lambda: rotated_surface_memory(5, 4),
        "rotated_x": lambda: rotated_surface_memory(3, 3, "X"),
    }
    return NoiseModel.uniform_depolarizing(2e-3).apply(circuits[name]())


def region_bases(circuit: stim.Circuit) -> list[str]:
    """The Paulis, I left out, of the region of each detector where it ends: X or Z on a CSS code."""
    regions = {
        target.val: region for target, region in circuit.detecting_regions().items() if target.is_relative_detector_id()
    }
    found = []
    for detector in range(circuit.num_detectors):
        last = regions[detector][max(regions[detector])]
        found.append("".join(sorted({"IXYZ"[last[qubit]] for qubit in last.pauli_indices()})))
    return found


@pytest.mark.parametrize("name", ["msc3", "msc5", "rotated_z", "rotated_x"])
def test_bases_are_those_of_the_detecting_regions(name: str) -> None:
    circuit = noisy(name)
    model = PrunedModel.of(circuit)
    regions = region_bases(circuit)
    pairs = collections.Counter((int(basis), regions[d]) for d, basis in enumerate(model.bases) if basis >= 0)
    assert len(pairs) == 2
    assert {region for _, region in pairs} == {"X", "Z"}
    assert set(np.flatnonzero(model.bases < 0)) == set(post_selected_detectors(circuit).tolist())


@pytest.mark.parametrize(("name", "unsplit"), [("msc3", 0), ("msc5", 1)])
def test_no_probability_is_lost_and_every_error_is_the_sum_of_its_parts(name: str, unsplit: int) -> None:
    circuit = noisy(name)
    model = PrunedModel.of(circuit)
    assert model.parallel == 0
    assert model.undetected == 0
    rejecting = set(post_selected_detectors(circuit).tolist())
    plain = collections.Counter[tuple[frozenset[int], int]]()
    for error in circuit.detector_error_model().flattened():
        if error.type == "error":
            detectors = frozenset(t.val for t in error.targets_copy() if t.is_relative_detector_id())
            label = sum(t.is_logical_observable_id() for t in error.targets_copy())
            if detectors.isdisjoint(rejecting):
                plain[detectors, label] += error.args_copy()[0]
    pruned = collections.Counter[tuple[frozenset[int], int]]()
    for error in model.dem:
        if error.type == "error":
            detectors, label = frozenset[int](), 0
            for part in error.target_groups():
                ends = frozenset(t.val for t in part if t.is_relative_detector_id())
                assert 1 <= len(ends) <= 2
                assert len({int(model.bases[d]) for d in ends}) == 1
                detectors ^= ends
                label ^= sum(t.is_logical_observable_id() for t in part)
            pruned[detectors, label] += error.args_copy()[0]
    assert sum(plain.values()) == pytest.approx(model.kept, rel=1e-12)
    left = plain - pruned
    assert pruned + left == plain
    assert [len(detectors) for detectors, _ in left] == [8] * unsplit
    assert sum(left.values()) == pytest.approx(model.unsplit)
    assert model.unsplit <= 1e-4 * model.kept


@pytest.mark.parametrize("name", ["rotated_z", "rotated_x"])
def test_without_post_selection_the_graph_is_that_of_stims_decomposition(name: str) -> None:
    circuit = noisy(name)
    # Near boundaries Stim takes edges apart into two that end there; an EdgeGraph joins them again.
    stims = EdgeGraph.of(circuit.detector_error_model(decompose_errors=True))
    ours = PrunedModel.of(circuit)
    assert ours.ends.tolist() == stims.ends.tolist()
    assert ours.labels.tolist() == stims.observables.tolist()
    assert ours.probabilities == pytest.approx(stims.probabilities, rel=1e-9)
    graph = pymatching.Matching.from_detector_error_model(pruned_model(circuit))
    assert graph.num_edges == len(ours.ends)


def test_probabilities_are_those_of_an_odd_number_of_flips() -> None:
    model = PrunedModel.of(
        stim.DetectorErrorModel(
            "error(0.1) D0 D1 \n error(0.2) D0 D1 D2 \n error(0.3) D2 \n error(0.05) D1 D3 \n logical_observable L0"
        )
    )
    assert model.bases.tolist() == [0, 0, 1, 0]
    found = dict(zip(map(tuple, model.ends.tolist()), model.probabilities.tolist(), strict=True))
    assert found == pytest.approx({(0, 1): 0.26, (1, 3): 0.05, (2, -1): 0.3 * 0.8 + 0.2 * 0.7})


def test_observables_of_parts_that_never_stand_alone_follow_from_those_that_do() -> None:
    """D0 D1 flips the observable and D2 D3 does not; the part D4 D5 is only met together with the first."""
    model = PrunedModel.of(
        stim.DetectorErrorModel(
            "error(.1) D0 D1 L0 \n error(.1) D2 D3 \n error(.1) D0 D1 D2 D3 L0 \n error(.1) D0 D1 D4 D5 \n"
            "error(.1) D2 D4 \n error(.1) D3 D5"
        )
    )
    assert model.unsplit == 0
    labels = {tuple(ends): int(label) for ends, label in zip(model.ends.tolist(), model.labels, strict=True)}
    assert labels == {(0, 1): 1, (2, 3): 0, (4, 5): 1, (2, 4): 0, (3, 5): 0}


def test_of_parallel_edges_the_likelier_one_stays_in_the_model_for_pymatching() -> None:
    model = PrunedModel.of(stim.DetectorErrorModel("error(.1) D0 D1 \n error(.02) D0 D1 L0 \n error(.1) D1 D2"))
    assert model.labels.tolist() == [0, 1, 0]
    assert model.parallel == pytest.approx(0.02)
    assert [str(line) for line in model.dem[:2]] == ["error(0.1) D0 D1", "error(0.1) D1 D2"]
    pymatching.Matching.from_detector_error_model(model.dem)


def test_what_cannot_be_split_is_counted_and_refused() -> None:
    dem = stim.DetectorErrorModel("error(.1) D0 D1 L0 \n error(.01) D0 D1 D2 D3 D4")
    model = PrunedModel.of(dem)
    assert model.unsplit == pytest.approx(0.01)
    with pytest.raises(InputError, match=r"0\.01 times on average, of 0\.11, cannot be split.*the limit is 1%"):
        pruned_model(dem)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="one observable, got 2"):
        pruned_model(stim.DetectorErrorModel("error(.1) D0 L0 L1"))
    with pytest.raises(InputError, match="from 0 to 0, got 3"):
        pruned_model(stim.DetectorErrorModel("error(.1) D0 L0"), post_selected=[3])
