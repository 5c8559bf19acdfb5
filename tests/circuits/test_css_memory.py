"""Memories of CSS codes against stabilizer flows, theorems on circuit distances, and the circuits of surface codes."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import stim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quell.circuits import NoiseModel, css_memory, css_schedule, rotated_surface_memory, rp2_code, srp_code
from quell.circuits.css_schedule import check_schedule
from quell.circuits.edge_coloring import color_edges
from quell.circuits.surface_lattice import rotated
from quell.errors import InputError, TooLargeError, UnknownNameError
from quell.qec.codes import (
    CSSCode,
    bivariate_bicycle,
    circuit_distance,
    hypergraph_product,
    repetition_code,
    rotated_surface_code,
    unrotated_surface_code,
)
from quell.qec.codes.gf2 import kernel

UNIFORM = NoiseModel.uniform_depolarizing(0.001)
HAMMING = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
STEANE = CSSCode(HAMMING, HAMMING)
BICYCLE = bivariate_bicycle(6, 6, "x^3 + y + y^2", "y^3 + x + x^2")
KINDS = ("separate", "interleaved", "auto")


@st.composite
def css_codes(draw: st.DrawFn) -> CSSCode:
    """Any X checks, and Z checks among what commutes with them."""
    n = draw(st.integers(2, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x_checks = (rng.random((draw(st.integers(1, 5)), n)) < draw(st.sampled_from([0.2, 0.5]))).astype(np.uint8)
    free = kernel(x_checks)
    z_checks = rng.integers(0, 2, (draw(st.integers(1, 5)), len(free)), dtype=np.uint8) @ free % 2
    return CSSCode(x_checks, z_checks.astype(np.uint8))


def is_measurement_of(code: CSSCode, layers: list[list[tuple[int, int]]]) -> bool:
    """All gates once, nothing twice in a layer, and X first on an even number of qubits, from the definitions."""
    gates = [gate for layer in layers for gate in layer]
    every = np.concatenate([code.x_checks, code.z_checks])
    if sorted(gates) != [tuple(gate) for gate in np.argwhere(every).tolist()]:
        return False
    for layer in layers:
        if len({c for c, _ in layer}) < len(layer) or len({q for _, q in layer}) < len(layer):
            return False
    time = {gate: t for t, layer in enumerate(layers) for gate in layer}
    num_x = len(code.x_checks)
    for x, z in itertools.product(range(num_x), range(num_x, len(every))):
        common = np.flatnonzero(every[x] & every[z]).tolist()
        if sum(time[x, q] < time[z, q] for q in common) % 2:
            return False
    return True


@given(css_codes(), st.sampled_from(KINDS))
@settings(max_examples=100, deadline=None)
def test_schedules_of_any_code_measure_it(code: CSSCode, kind: str) -> None:
    layers = css_schedule(code, kind)
    assert is_measurement_of(code, layers)
    assert check_schedule(code, layers) == layers
    assert all(layers)
    if kind != "interleaved":
        widest = [max(weights.max(), degrees.max()) for weights, degrees in (
            (code.x_weights, code.x_degrees), (code.z_weights, code.z_degrees))]  # fmt: skip
        assert max(widest) <= len(layers) <= sum(widest)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), unique=True, max_size=60))
@settings(max_examples=200, deadline=None)
def test_edge_colorings_are_proper_with_as_many_colors_as_the_largest_degree(edges: list[tuple[int, int]]) -> None:
    colors = color_edges(edges)
    for end in range(2):
        seen = [(edge[end], color) for edge, color in zip(edges, colors, strict=True)]
        assert len(set(seen)) == len(edges)
    degrees = [Counter(edge[end] for edge in edges).values() for end in range(2)]
    assert set(colors) <= set(range(max([0, *degrees[0], *degrees[1]])))


def test_edges_are_given_once() -> None:
    with pytest.raises(InputError, match="one is given twice"):
        color_edges([(0, 1), (0, 1)])


@given(css_codes(), st.sampled_from("XZ"), st.sampled_from(KINDS), st.sampled_from(["all", "basis"]), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_detectors_of_any_code_are_deterministic(
    code: CSSCode, basis: str, kind: str, detectors: str, rounds: int
) -> None:
    assume(code.k)
    circuit = css_memory(code, rounds, basis, schedule=kind, detectors=detectors)
    circuit.detector_error_model()  # raises on a detector or an observable that is random
    assert not circuit.compile_detector_sampler(seed=1).sample(64, append_observables=True).any()
    both, kept = len(code.x_checks) + len(code.z_checks), len(code.x_checks if basis == "X" else code.z_checks)
    compared = both if detectors == "all" else kept
    assert circuit.num_detectors == 2 * kept + (rounds - 1) * compared
    assert (circuit.num_observables, circuit.num_measurements) == (code.k, both * rounds + code.n)


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize("code", [STEANE, BICYCLE, rp2_code(3, for_cultivation=True), srp_code(3)], ids=repr)
def test_a_round_measures_the_checks_of_the_code_and_nothing_else(code: CSSCode, kind: str) -> None:
    circuit = css_memory(code, 1, schedule=kind)
    one_round = stim.Circuit()
    for instruction in circuit:
        if instruction.name in {"R", "RX", "CX", "M", "MX"}:
            targets = [target.value for target in instruction.targets_copy()]
            if instruction.name == "CX" or min(targets) >= code.n:
                one_round.append(instruction.name, targets)
    every = [("X", row) for row in code.x_checks] + [("Z", row) for row in code.z_checks]
    for record, (pauli, row) in enumerate(every):
        product = stim.PauliString("".join(pauli if bit else "_" for bit in row) + "_" * len(every))
        nothing = stim.PauliString(0)
        assert one_round.has_flow(stim.Flow(input=product, output=nothing, measurements=[record]))
        assert one_round.has_flow(stim.Flow(input=product, output=product))
    for pauli, rows in (("X", code.logical_x), ("Z", code.logical_z)):
        for row in rows:
            product = stim.PauliString("".join(pauli if bit else "_" for bit in row) + "_" * len(every))
            assert one_round.has_flow(stim.Flow(input=product, output=product))


@pytest.mark.parametrize(
    ("code", "layers"),
    [
        (BICYCLE, 7),  # as many as in Bravyi et al.
        (bivariate_bicycle(12, 6, "x^3 + y + y^2", "y^3 + x + x^2"), 7),
        (bivariate_bicycle(15, 3, "x^9 + y + y^2", "1 + x^2 + x^7"), 7),
        (unrotated_surface_code(5), 4),
        (hypergraph_product(repetition_code(4), repetition_code(6)), 4),
    ],
    ids=repr,
)
def test_codes_of_two_blocks_take_few_layers(code: CSSCode, layers: int) -> None:
    assert len(css_schedule(code)) == len(css_schedule(code, "interleaved")) == layers
    assert layers < len(css_schedule(code, "separate"))


@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize("kind", KINDS[:2])
def test_hypergraph_products_keep_their_distance(kind: str, basis: str) -> None:
    """Whatever the order of gates (Manes and Claes, arXiv:2308.15520)."""
    circuit = css_memory(unrotated_surface_code(3), 3, basis, UNIFORM, schedule=kind, detectors="basis")
    assert circuit_distance(circuit, exhaust=3).distance == 3
    everything = css_memory(unrotated_surface_code(3), 2, basis, UNIFORM, schedule=kind)
    assert len(everything.shortest_graphlike_error(ignore_ungraphlike_errors=True)) == 3


def test_one_ancilla_a_check_is_not_enough_for_the_steane_code() -> None:
    """Two of the four qubits of a check are a hook error, and with a third qubit a logical: two faults."""
    for basis in "XZ":
        assert circuit_distance(css_memory(STEANE, 2, basis, UNIFORM), exhaust=2).distance == 2


@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize(("d", "order", "rounds"), [(3, "stim", 3), (5, "stim", 2), (3, "hooks_along_logical", 4)])
def test_with_the_usual_order_the_rotated_surface_code_is_the_usual_circuit(
    d: int, order: str, rounds: int, basis: str
) -> None:
    lattice = rotated(d, order, "stim")
    place = {qubit: index for index, qubit in enumerate(lattice.data)}
    by_kind = [[check for check in lattice.checks if check.kind == kind] for kind in "XZ"]
    rows = [[[int(q in check.data) for q in lattice.data] for check in checks] for checks in by_kind]
    logical = [[[int(q in lattice.logicals[kind]) for q in lattice.data]] for kind in "XZ"]
    code = CSSCode(rows[0], rows[1], logical_x=logical[0], logical_z=logical[1])
    layers = [
        [
            (index, place[check.data[step]])  # type: ignore[index]
            for index, check in enumerate(by_kind[0] + by_kind[1])
            if check.data[step] is not None
        ]
        for step in range(4)
    ]
    ours = css_memory(code, rounds, basis, UNIFORM, schedule=layers)
    theirs = rotated_surface_memory(d, rounds, basis, UNIFORM, order=order)
    # Where the ancilla of each check lies tells which detectors are the same.
    sites = {(i, 1): lattice.sites[check.ancilla] for i, check in enumerate(by_kind[0])}
    sites |= {(i, 2): lattice.sites[check.ancilla] for i, check in enumerate(by_kind[1])}
    same = mechanisms(ours, lambda x, y, t: (*sites[int(x), int(y)], t))
    usual = mechanisms(theirs, lambda x, y, t: (x, y, t))
    assert same.keys() == usual.keys()
    assert all(same[key] == pytest.approx(usual[key], rel=1e-9) for key in usual)


Site = tuple[float, ...]


def mechanisms(
    circuit: stim.Circuit, place: Callable[[float, float, float], Site], keep: Callable[[Site], bool] = lambda _: True
) -> dict[tuple[frozenset[Site], frozenset[int]], float]:
    """What is flipped together, detectors by their places, and how often."""
    sites = {index: place(*site) for index, site in circuit.get_detector_coordinates().items()}
    found: defaultdict[tuple[frozenset[Site], frozenset[int]], float] = defaultdict(float)
    for error in circuit.detector_error_model().flattened():
        if error.type == "error":
            targets = error.targets_copy()
            detectors = {sites[target.val] for target in targets if target.is_relative_detector_id()}
            key = (
                frozenset(site for site in detectors if keep(site)),
                frozenset(target.val for target in targets if target.is_logical_observable_id()),
            )
            p, q = found[key], error.args_copy()[0]
            found[key] = p + q - 2 * p * q
    return {key: p for key, p in found.items() if key[0] or key[1]}


@pytest.mark.parametrize("basis", "XZ")
def test_detectors_of_one_basis_are_those_of_all_without_the_rest(basis: str) -> None:
    row = 1 if basis == "X" else 2
    code = hypergraph_product(repetition_code(3), repetition_code(3))
    code = CSSCode(code.x_checks, code.z_checks)  # without coordinates, which tell X from Z
    few = css_memory(code, 3, basis, UNIFORM, detectors="basis")
    every = css_memory(code, 3, basis, UNIFORM)
    cut = mechanisms(every, lambda *site: site, lambda site: site[1] == row)
    whole = mechanisms(few, lambda *site: site)
    assert cut.keys() == whole.keys()
    assert all(cut[key] == pytest.approx(whole[key], rel=1e-9) for key in cut)


def test_ancillas_lie_in_the_middle_of_their_checks() -> None:
    code = unrotated_surface_code(3)
    assert code.coordinates is not None
    circuit = css_memory(code, 5)
    places = circuit.get_final_qubit_coordinates()
    assert [places[q] for q in range(code.n)] == code.coordinates.tolist()
    for check, row in enumerate([*code.x_checks, *code.z_checks]):
        assert places[code.n + check] == pytest.approx(code.coordinates[row == 1].mean(axis=0).tolist(), rel=1e-5)
    times = Counter(site[2] for site in circuit.get_detector_coordinates().values())
    assert times == {0: 6, 1: 12, 2: 12, 3: 12, 4: 12, 5: 6}


def test_each_observable_is_its_logical_qubit() -> None:
    """A logical X of the code before a Z memory's rounds flips exactly the observable of its number."""
    circuit = css_memory(BICYCLE, 2)
    for index, row in enumerate(BICYCLE.logical_x):
        flipped = stim.Circuit()
        for instruction in circuit:
            flipped.append(instruction)
            if instruction.name == "R" and len(instruction.targets_copy()) == BICYCLE.n:
                flipped.append("X_ERROR", np.flatnonzero(row), 1.0)
        detections, flips = flipped.compile_detector_sampler(seed=0).sample(1, separate_observables=True)
        assert not detections.any()
        assert np.flatnonzero(flips[0]).tolist() == [index]


def test_rounds_go_into_a_loop() -> None:
    long, short = css_memory(STEANE, 10**9), css_memory(STEANE, 3)
    assert len(long) == len(short)
    assert css_memory(STEANE, 3, "z") == short
    assert long.num_detectors == 6 * 10**9


@pytest.mark.parametrize("name", ["code_capacity", "phenomenological", "si1000"])
def test_other_noise_finds_the_data_qubits(name: str) -> None:
    rounds = 1 if name == "code_capacity" else 3
    model = getattr(NoiseModel, name)(0.01)
    report = model.report(css_memory(BICYCLE, rounds))
    if name != "si1000":
        assert report.data_qubits == tuple(range(BICYCLE.n))


TWO = CSSCode([[1, 1, 0, 0]], [[1, 1, 0, 0], [0, 0, 1, 0]])
GOOD = [[(0, 0), (1, 1), (2, 2)], [(0, 1)], [(1, 0)]]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (5, "schedule must be a list of layers"),
        ([(0, 0), (0, 1)], "layer 0 must hold .* pairs of integers, got 0"),
        ([[(0, 0)], 7], "layer 1 must be a list of .* pairs, got 7"),
        ([[(0, 0.5)]], r"pairs of integers, got \(0, 0.5\)"),
        ([[(3, 0)]], "checks must be from 0 to 2, X before Z, got 3 in layer 0"),
        ([[(0, 4)]], "qubits must be from 0 to 3, got 4 in layer 0"),
        ([[(0, 0), (0, 1)]], "layer 0 uses X check 0 twice: X check 0 with qubit 0 and X check 0 with qubit 1"),
        ([[(0, 0), (1, 0)]], "layer 0 uses qubit 0 twice: X check 0 with qubit 0 and Z check 0 with qubit 0"),
        ([[(0, 0)], [(0, 0)]], "X check 0 meets qubit 0 twice, in layers 0 and 1"),
        ([[(0, 2)]], "layer 0 joins X check 0 to qubit 2, which is not in that check"),
        (GOOD[:2], "the schedule lacks the gate of Z check 0 with qubit 0"),
        ([*GOOD[:1], [(0, 1), (1, 0)]], "X check 0 and Z check 0 meet 2 qubits in common, X first on 1 of them"),
    ],
)
def test_schedules_that_measure_something_else_are_refused(schedule: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        css_memory(TWO, 2, schedule=schedule)  # type: ignore[arg-type]


def test_schedules_of_the_users_own() -> None:
    valid: Sequence[list[tuple[int, int]]] = [[(1, 0)], [(1, 1), (0, 0)], [], [(0, 1), (2, 2)]]
    circuit = css_memory(TWO, 2, schedule=valid)
    assert not circuit.compile_detector_sampler(seed=1).sample(64).any()
    # A layer with nothing in it is time to wait, which noise counts.
    assert str(circuit).count("TICK") == 2 * 5 + 2


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((HAMMING, 3), {}, InputError, "code must be a CSSCode, got"),
        ((CSSCode([[1, 1]], [[1, 1]]), 3), {}, InputError, "must have a logical qubit to keep, got k = 0"),
        ((STEANE, 0), {}, InputError, "rounds must be an integer >= 1, got 0"),
        ((STEANE, 3, "Y"), {}, InputError, "basis must be 'X' or 'Z', got 'Y'"),
        ((STEANE, 3, "Z", 0.1), {}, InputError, "noise must be a NoiseModel or None, got 0.1"),
        ((STEANE, 3), {"schedule": "interleave"}, UnknownNameError, "did you mean 'interleaved'"),
        ((STEANE, 3), {"detectors": "both"}, UnknownNameError, "Known: all, basis"),
        ((STEANE, 10**15), {}, TooLargeError, "rounds must be <= 166,666,666,666,666 for 6 checks"),
        ((STEANE, 10**5000), {}, TooLargeError, "too long to print"),
    ],
)
def test_bad_input_is_refused(
    arguments: tuple[object, ...], options: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        css_memory(*arguments, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="code must be a CSSCode"):
        css_schedule(HAMMING)  # type: ignore[arg-type]


@pytest.mark.parametrize("d", [3, 5])
def test_what_hooks_do_to_a_surface_code_is_what_the_docstring_says(d: int) -> None:
    """Half the distance, in at least one basis; with the order of the surface code's own memory it is all there."""
    noise = NoiseModel.uniform_depolarizing(0.001)
    distances = [len(css_memory(rotated_surface_code(d), d, basis, noise).shortest_graphlike_error()) for basis in "XZ"]
    assert min(distances) == (d + 1) // 2
    assert [len(rotated_surface_memory(d, d, basis, noise).shortest_graphlike_error()) for basis in "XZ"] == [d, d]
