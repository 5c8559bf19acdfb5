"""Surface-code memories against Stim's own circuits, the theory of hook errors, and their symmetries."""

from collections import Counter
from collections.abc import Callable

import pytest
import stim

from quell.circuits import (
    GATE_SETS,
    ORIENTATIONS,
    ROTATED_ORDERS,
    UNROTATED_ORDERS,
    NoiseModel,
    rotated_surface_memory,
    unrotated_surface_memory,
)
from quell.errors import InputError, TooLargeError, UnknownNameError

Memory = Callable[..., stim.Circuit]
FAMILIES: dict[str, Memory] = {"rotated": rotated_surface_memory, "unrotated": unrotated_surface_memory}
FOUR_RATES = {
    "after_clifford_depolarization": 0.01,
    "before_round_data_depolarization": 0.02,
    "before_measure_flip_probability": 0.03,
    "after_reset_flip_probability": 0.04,
}
UNIFORM = NoiseModel.uniform_depolarizing(0.001)

Mechanisms = dict[frozenset[tuple[object, ...]], float]


def mechanisms(circuit: stim.Circuit) -> Mechanisms:
    """Every error mechanism as the coordinates it flips and its probability."""
    model = circuit.detector_error_model()
    coordinates = model.get_detector_coordinates()
    found: Mechanisms = {}
    for error in model.flattened():
        if error.type != "error":
            continue
        symptoms = frozenset(
            tuple(coordinates[target.val]) if target.is_relative_detector_id() else ("observable", target.val)
            for target in error.targets_copy()
        )
        p, q = error.args_copy()[0], found.get(symptoms, 0.0)
        found[symptoms] = p + q - 2 * p * q
    return found


def assert_same(first: Mechanisms, second: Mechanisms) -> None:
    assert first.keys() == second.keys()
    assert max(abs(first[key] - second[key]) for key in first) < 1e-12


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize("distance", [3, 5, 7])
@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_stims_gate_set_has_stims_error_model(family: str, basis: str, distance: int, rounds: int) -> None:
    task = f"surface_code:{family}_memory_{basis.lower()}"
    theirs = stim.Circuit.generated(task, distance=distance, rounds=rounds, **FOUR_RATES)
    ours = FAMILIES[family](distance, rounds, basis, NoiseModel.stim_memory(0.5, **FOUR_RATES), gate_set="stim")
    assert_same(mechanisms(ours), mechanisms(theirs))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("basis", "XZ")
def test_stim_memory_noise_on_stims_own_circuit(family: str, basis: str) -> None:
    task = f"surface_code:{family}_memory_{basis.lower()}"
    rates = dict.fromkeys(FOUR_RATES, 0.003)
    theirs = stim.Circuit.generated(task, distance=5, rounds=4, **rates)
    bare = stim.Circuit.generated(task, distance=5, rounds=4)
    assert_same(mechanisms(NoiseModel.stim_memory(0.003).apply(bare)), mechanisms(theirs))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_layout_is_stims(family: str, rounds: int) -> None:
    """Same coordinates, and the same observable: data and logical are where Stim has them."""
    for basis in "xz":
        theirs = stim.Circuit.generated(f"surface_code:{family}_memory_{basis}", distance=5, rounds=rounds)
        for gate_set in GATE_SETS:
            ours = FAMILIES[family](5, rounds, basis, gate_set=gate_set)
            assert ours.get_final_qubit_coordinates() == theirs.get_final_qubit_coordinates()
            places = [Counter(map(tuple, c.get_detector_coordinates().values())) for c in (ours, theirs)]
            assert places[0] == places[1]
            assert ours.num_observables == 1


@pytest.mark.parametrize("gate_set", GATE_SETS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("basis", "XZ")
def test_the_default_order_keeps_the_distance_and_the_wrong_one_halves_it(
    gate_set: str, orientation: str, basis: str
) -> None:
    # The hooks of a wrong order lie in different rounds, so that few rounds would hide them.
    for distance in (3, 5, 7, 9):
        options = {"gate_set": gate_set, "orientation": orientation}
        circuit = rotated_surface_memory(distance, distance, basis, UNIFORM, **options)
        assert len(circuit.shortest_graphlike_error()) == distance
        circuit = rotated_surface_memory(distance, distance, basis, UNIFORM, order="hooks_along_logical", **options)
        assert len(circuit.shortest_graphlike_error()) == (distance + 1) // 2


@pytest.mark.parametrize("gate_set", GATE_SETS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize("order", ROTATED_ORDERS)
def test_only_the_wrong_order_halves_the_distance(gate_set: str, orientation: str, basis: str, order: str) -> None:
    distance = 5
    options = {"gate_set": gate_set, "orientation": orientation, "order": order}
    circuit = rotated_surface_memory(distance, distance, basis, UNIFORM, **options)
    expected = (distance + 1) // 2 if order == "hooks_along_logical" else distance
    assert len(circuit.shortest_graphlike_error()) == expected


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize("order", UNROTATED_ORDERS)
def test_no_order_hurts_the_unrotated_code(orientation: str, basis: str, order: str) -> None:
    """Hypergraph products keep their distance under every order of gates (arXiv:2308.15520)."""
    for distance in (3, 4, 5):
        circuit = unrotated_surface_memory(distance, 3, basis, UNIFORM, order=order, orientation=orientation)
        assert len(circuit.shortest_graphlike_error()) == distance


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("gate_set", GATE_SETS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("rounds", [1, 2, 3, 6])
def test_detectors_are_deterministic(family: str, gate_set: str, orientation: str, rounds: int) -> None:
    orders = ROTATED_ORDERS if family == "rotated" else UNROTATED_ORDERS
    num_checks = 24 if family == "rotated" else 40
    for basis in "XZ":
        for order in orders:
            circuit = FAMILIES[family](5, rounds, basis, gate_set=gate_set, orientation=orientation, order=order)
            # Raises if a detector or the observable is random.
            circuit.detector_error_model(allow_gauge_detectors=False)
            assert circuit.num_detectors == num_checks * rounds
            detections, flips = circuit.compile_detector_sampler(seed=1).sample(8, separate_observables=True)
            assert not detections.any()
            assert not flips.any()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("gate_set", GATE_SETS)
def test_x_and_z_are_mirror_images(family: str, gate_set: str) -> None:
    """Exchanging the two types of check exchanges the two memories, exactly."""
    noise = UNIFORM if gate_set == "native" else NoiseModel.phenomenological(0.01)
    x_memory = FAMILIES[family](5, 4, "X", noise, gate_set=gate_set)
    z_memory = FAMILIES[family](5, 4, "Z", noise, gate_set=gate_set, orientation="exchanged")
    assert_same(mechanisms(x_memory), mechanisms(z_memory))


def test_x_and_z_of_one_circuit_agree_in_size_and_without_gate_noise_exactly() -> None:
    noise = NoiseModel.phenomenological(0.01)
    x_memory, z_memory = (rotated_surface_memory(5, 4, basis, noise) for basis in "XZ")
    assert x_memory.num_detectors == z_memory.num_detectors
    # A quarter turn takes the X checks to the Z checks.
    turned = {
        frozenset((10 - s[1], s[0], s[2]) if len(s) == 3 else s for s in symptoms): p  # type: ignore[operator]
        for symptoms, p in mechanisms(x_memory).items()
    }
    straight = mechanisms(z_memory)
    without_logical = [
        Counter(frozenset(s for s in key if len(s) == 3) for key in found) for found in (turned, straight)
    ]
    assert without_logical[0] == without_logical[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_size_does_not_grow_with_rounds(family: str) -> None:
    for noise in (None, UNIFORM, NoiseModel.stim_memory(0.01), NoiseModel.phenomenological(0.01)):
        short = FAMILIES[family](3, 5, "X", noise)
        long = FAMILIES[family](3, 10**9, "X", noise)
        assert len(long) == len(short)
        assert long.num_detectors == short.num_detectors // 5 * 10**9


def test_the_native_set_has_no_hadamards_and_a_layer_for_each_step() -> None:
    circuit = rotated_surface_memory(3, 1, "X")
    assert {instruction.name for instruction in circuit} == {
        *("QUBIT_COORDS", "RX", "R", "TICK", "CX", "MX", "M", "DETECTOR", "OBSERVABLE_INCLUDE")
    }
    assert circuit.num_ticks == 6
    # A later round prepares its ancillas in a layer of its own.
    assert rotated_surface_memory(3, 4, "X").num_ticks == 6 + 3 * 6


def test_lower_case_basis_and_large_distances() -> None:
    assert rotated_surface_memory(3, 2, "x") == rotated_surface_memory(3, 2, "X")
    assert rotated_surface_memory(101, 10**6).num_detectors == (101**2 - 1) * 10**6


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4, 3), {}, "distance must be odd and >= 3, got 4"),
        ((1, 3), {}, "distance must be odd and >= 3, got 1"),
        ((3.0, 3), {}, "distance must be odd and >= 3, got 3.0"),
        ((3, 0), {}, "rounds must be an integer >= 1, got 0"),
        ((3, 3, "Y"), {}, "basis must be 'X' or 'Z', got 'Y'"),
        ((3, 3, "Z", 0.001), {}, "noise must be a NoiseModel or None, got 0.001"),
        ((3, 3), {"gate_set": "nativ"}, "did you mean 'native'"),
        ((3, 3), {"order": "hooks"}, "did you mean 'hooks_along_logical'"),
        ((3, 3), {"orientation": "exchange"}, "did you mean 'exchanged'"),
    ],
)
def test_bad_requests(arguments: tuple[object, ...], options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        rotated_surface_memory(*arguments, **options)  # type: ignore[arg-type]


def test_requests_that_differ_for_the_unrotated_code() -> None:
    with pytest.raises(InputError, match="distance must be an integer >= 2, got 1"):
        unrotated_surface_memory(1, 1)
    with pytest.raises(UnknownNameError, match="unknown order"):
        unrotated_surface_memory(3, 1, order="hooks_along_logical")


@pytest.mark.parametrize("family", FAMILIES)
def test_absurd_requests_are_refused_at_once_with_numbers(family: str) -> None:
    with pytest.raises(TooLargeError, match=r"distance 10001 needs \d+,\d+,\d+ qubits and about \d+ GiB"):
        FAMILIES[family](10001, 1)
    with pytest.raises(TooLargeError, match="detectors"):
        FAMILIES[family](3, 10**15)
    with pytest.raises(TooLargeError, match=r"distance 10\^5000 needs 10\^\d+ qubits"):
        FAMILIES[family](10**5000 + 1, 3)
    with pytest.raises(TooLargeError, match=r"10\^5000 rounds"):
        FAMILIES[family](3, 10**5000)
    with pytest.raises(InputError, match=r"distance must be .* a int too long to print"):
        FAMILIES[family](-(10**5000), 3)


def test_the_estimate_of_a_request_counts_its_noise() -> None:
    with pytest.raises(TooLargeError, match=r"about 2 GiB for the circuit alone"):
        rotated_surface_memory(1001, 1)
    with pytest.raises(TooLargeError, match=r"about 16 GiB and 400 seconds for the circuit and its noise alone"):
        rotated_surface_memory(1001, 1, noise=UNIFORM)
