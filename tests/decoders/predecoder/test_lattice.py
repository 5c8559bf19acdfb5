"""The lattice of every rotated surface code that quell and Stim make, and the refusal of everything else."""

import itertools
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import stim

from quell.circuits import (
    GATE_SETS,
    ORIENTATIONS,
    ROTATED_ORDERS,
    NoiseModel,
    rotated_surface_memory,
    unrotated_surface_memory,
)
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.predecoder.lattice import NUM_CLASSES, Lattice
from quell.errors import InputError

UNIFORM = NoiseModel.uniform_depolarizing(0.003)
PAULI25 = NoiseModel.pauli25(
    preparation=(0.001, 0.002),
    measurement=(0.003, 0.004),
    idle_cx=(0.0003, 0.0001, 0.001),
    idle_spam=(0.0002, 0.0001, 0.002),
    cx=[0.0001 * (i + 1) for i in range(15)],
)
NOISES = {
    "uniform": UNIFORM,
    "si1000": NoiseModel.si1000(0.002),
    "phenomenological": NoiseModel.phenomenological(0.01),
    "code_capacity": NoiseModel.code_capacity(0.05),
    "biased": NoiseModel.biased(0.003, 10),
    "pure Z": NoiseModel.biased(0.003, "inf"),
    "pauli25": PAULI25,
}


def model_of(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    return circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)


def check_fits(circuit: stim.Circuit, distance: int, rounds: int) -> Lattice:
    """Checks that a memory has a lattice, with a place for each detector and each edge."""
    dem = model_of(circuit)
    graph = EdgeGraph.of(dem)
    lattice = Lattice.of(graph, dem.get_detector_coordinates())
    assert lattice.shape == (rounds + 1, distance + 1, distance + 1)
    volume = (rounds + 1) * (distance + 1) ** 2
    assert len(set(lattice.sites.tolist())) == graph.num_detectors == rounds * (distance**2 - 1)
    assert 0 <= lattice.sites.min() <= lattice.sites.max() < volume
    assert set(lattice.kinds.tolist()) <= {0, 1}
    placed = lattice.places[lattice.places >= 0]
    assert len(set(placed.tolist())) == len(placed)
    assert placed.max() < volume * NUM_CLASSES
    # The edge lies at one of its ends, and class 0 is the boundary.
    ends = np.where(graph.ends >= 0, lattice.sites[graph.ends], -1)
    known = lattice.places >= 0
    assert (lattice.places // NUM_CLASSES == ends.T)[:, known].any(axis=0).all()
    np.testing.assert_array_equal(lattice.places[known] % NUM_CLASSES == 0, graph.ends[known, 1] < 0)
    # Edges of the X checks' graph and of the Z checks' stay apart.
    joined = graph.ends[graph.ends[:, 1] >= 0]
    np.testing.assert_array_equal(lattice.kinds[joined[:, 0]], lattice.kinds[joined[:, 1]])
    if not known.all():
        # Two edges between the same detectors that differ in their observables: two faults make a logical error.
        assert len(circuit.shortest_graphlike_error()) < 3
        pairs = list(map(tuple, graph.ends.tolist()))
        for edge in np.flatnonzero(~known):
            twins = [other for other in range(graph.num_edges) if pairs[other] == pairs[edge] and known[other]]
            assert len(twins) == 1
            assert graph.probabilities[twins[0]] >= graph.probabilities[edge]
    return lattice


@pytest.mark.parametrize("order", ROTATED_ORDERS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("gate_set", GATE_SETS)
def test_every_small_memory_fits(order: str, orientation: str, gate_set: str) -> None:
    for name, rounds, basis in itertools.product(NOISES, (1, 2, 3), "XZ"):
        if (name == "code_capacity" and rounds > 1) or (name == "pauli25" and gate_set != "native"):
            continue  # noise that is for one round, or for other gates
        options = {"gate_set": gate_set, "order": order, "orientation": orientation}
        circuit = rotated_surface_memory(3, rounds, basis, NOISES[name], **options)
        check_fits(circuit, 3, rounds)


@pytest.mark.parametrize(
    ("order", "orientation", "distance", "rounds"),
    [*itertools.product(ROTATED_ORDERS, ORIENTATIONS, (5, 7), (1, 2, 0))],
)
def test_larger_memories_fit(order: str, orientation: str, distance: int, rounds: int) -> None:
    # The rest is drawn, with a seed of its own for each case.
    rng = random.Random(f"{order} {orientation} {distance} {rounds}")
    rounds = rounds or distance
    gate_set, basis = rng.choice(GATE_SETS), rng.choice("XZ")
    names = [name for name in NOISES if (name != "code_capacity" or rounds == 1)]
    names = [name for name in names if name != "pauli25" or gate_set == "native"]
    circuit = rotated_surface_memory(
        distance, rounds, basis, NOISES[rng.choice(names)], gate_set=gate_set, order=order, orientation=orientation
    )
    lattice = check_fits(circuit, distance, rounds)
    assert (lattice.places >= 0).all()


@pytest.mark.parametrize("basis", ["x", "z"])
@pytest.mark.parametrize("distance", [3, 5, 7])
def test_stims_own_memories_fit(basis: str, distance: int) -> None:
    for rounds in (1, 2, distance):
        circuit = stim.Circuit.generated(
            f"surface_code:rotated_memory_{basis}",
            distance=distance,
            rounds=rounds,
            after_clifford_depolarization=0.003,
            before_round_data_depolarization=0.002,
            before_measure_flip_probability=0.004,
            after_reset_flip_probability=0.001,
        )
        assert (check_fits(circuit, distance, rounds).places >= 0).all()


@pytest.mark.parametrize(
    ("basis", "order", "orientation"),
    [("X", "mirrored_xy", "stim"), ("Z", "stim", "exchanged"), ("Z", "mirrored_xy", "exchanged")],
)
def test_half_a_turn_and_duality_change_nothing_for_the_network(basis: str, order: str, orientation: str) -> None:
    # Half a turn maps the code to itself and this order of gates to Stim's. So does the exchange of X and Z.
    def strengths(basis: str, order: str, orientation: str) -> list[tuple[int, int, float]]:
        dem = model_of(rotated_surface_memory(5, 3, basis, UNIFORM, order=order, orientation=orientation))
        graph = EdgeGraph.of(dem)
        lattice = lattice_of(dem)
        classes, kinds = lattice.places % NUM_CLASSES, lattice.kinds[graph.ends[:, 0]]
        return sorted(zip(kinds.tolist(), classes.tolist(), graph.probabilities.round(9).tolist(), strict=True))

    assert strengths(basis, order, orientation) == strengths("X", "stim", "stim")


def shifted(dem: stim.DetectorErrorModel, *shift: float) -> stim.DetectorErrorModel:
    before = stim.DetectorErrorModel(f"shift_detectors({', '.join(map(str, shift))}) 0")
    return before + dem


def changed(
    dem: stim.DetectorErrorModel,
    *,
    numbers: Sequence[int] | None = None,
    place: Callable[[list[float]], list[float]] = list,
) -> stim.DetectorErrorModel:
    """A model whose detectors have other numbers or coordinates."""
    found = stim.DetectorErrorModel()
    flat = dem.flattened()
    for instruction in (flat[i] for i in range(len(flat))):
        assert isinstance(instruction, stim.DemInstruction)
        targets: list[object] = []
        for target in instruction.targets_copy():
            if numbers is not None and isinstance(target, stim.DemTarget) and target.is_relative_detector_id():
                target = stim.target_relative_detector_id(numbers[target.val])
            targets.append(target)
        args = instruction.args_copy()
        found.append(instruction.type, place(args) if instruction.type == "detector" else args, targets)
    return found


def lattice_of(dem: stim.DetectorErrorModel) -> Lattice:
    return Lattice.of(EdgeGraph.of(dem), dem.get_detector_coordinates())


@pytest.mark.parametrize("shift", [(0, 0, 17), (4, -6, -3), (2, 0, 0), (2, 4, 1000)])
def test_a_shift_of_coordinates_changes_nothing(shift: tuple[float, ...]) -> None:
    dem = model_of(rotated_surface_memory(3, 3, "Z", UNIFORM))
    before, after = lattice_of(dem), lattice_of(shifted(dem, *shift))
    assert after.shape == before.shape
    # Which reflection is found first may differ; the places of edges relative to each other may not.
    assert len(set(after.places.tolist())) == len(set(before.places.tolist()))
    np.testing.assert_array_equal(np.bincount(after.places % NUM_CLASSES), np.bincount(before.places % NUM_CLASSES))


def test_numbers_of_detectors_do_not_matter() -> None:
    dem = model_of(rotated_surface_memory(5, 3, "X", UNIFORM))
    numbers = np.random.default_rng(3).permutation(dem.num_detectors)
    before, after = lattice_of(dem), lattice_of(changed(dem, numbers=numbers.tolist()))
    np.testing.assert_array_equal(after.sites[numbers], before.sites)
    np.testing.assert_array_equal(after.kinds[numbers], before.kinds)
    assert sorted(after.places.tolist()) == sorted(before.places.tolist())


def test_a_noiseless_memory_has_a_lattice_without_edges() -> None:
    dem = model_of(rotated_surface_memory(3, 3, "X"))
    lattice = lattice_of(dem)
    assert lattice.shape == (4, 4, 4)
    assert lattice.places.shape == (0,)


def memory() -> stim.DetectorErrorModel:
    return model_of(rotated_surface_memory(3, 2, "Z", UNIFORM))


def moved(place: Callable[[list[float]], list[float]]) -> stim.DetectorErrorModel:
    """A memory whose detectors are somewhere else."""
    return changed(memory(), place=place)


def generated(code: str) -> stim.DetectorErrorModel:
    return model_of(stim.Circuit.generated(code, distance=3, rounds=3, after_clifford_depolarization=0.003))


def color_code() -> stim.DetectorErrorModel:
    # Most of its errors flip three detectors and cannot be decomposed; flips of measurements are a graph.
    circuit = stim.Circuit.generated(
        "color_code:memory_xyz", distance=3, rounds=3, before_measure_flip_probability=0.01
    )
    return circuit.detector_error_model()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (stim.DetectorErrorModel, "the model has no detectors: the pre-decoder reads memories of the rotated surface"),
        (
            lambda: moved(lambda _: []),
            r"16 of 16 detectors have no three coordinates x, y, round \(D0 has \[\]\), by which the lattice is found",
        ),
        (lambda: moved(lambda at: at if at[2] else []), r"4 of 16 detectors .* \(D0 has \[\]\)"),
        (
            lambda: generated("repetition_code:memory"),
            r"8 of 8 detectors .* \(D0 has \[1.0, 0.0\]\)",
        ),
        (lambda: generated("surface_code:unrotated_memory_x"), "detectors are not at even x, even y and a whole round"),
        (
            lambda: model_of(unrotated_surface_memory(3, 3, "Z", UNIFORM)),
            r"detectors are not at even x, even y and a whole round \(D\d+ is at x=\d, y=\d, round 0\)",
        ),
        (color_code, r"flips 3 detectors .* no decomposition, such as a colour code's, has no matching graph"),
        (lambda: moved(lambda at: [0, 0, at[2]]), "some detectors share their coordinates"),
        (lambda: moved(lambda at: [at[0] + 0.5, *at[1:]]), r"16 of 16 .* \(D0 is at x=2.5, y=2, round 0\)"),
        (lambda: moved(lambda at: [at[0] / 2, at[1] / 2, at[2]]), "not at even x, even y and a whole round"),
        (lambda: moved(lambda at: [*at[:2], at[2] * 1e300]), "not at even x, even y and a whole round"),
        (
            lambda: moved(lambda at: [*at[:2], at[2] * 1e6]),
            "16 detectors lie on a grid of 2000001 rounds",
        ),
        (
            lambda: moved(lambda at: [2 * at[0], *at[1:]]),
            "the detectors fill 4 rows and 7 columns",
        ),
        (
            lambda: moved(lambda at: [6 - at[0], *at[1:]] if at[2] == 1 else at),
            r"\d+ of \d+ edges of the model join detectors that are no neighbours in a rotated surface code under any",
        ),
    ],
)
def test_other_models_are_refused(make: Callable[[], stim.DetectorErrorModel], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lattice_of(make())
