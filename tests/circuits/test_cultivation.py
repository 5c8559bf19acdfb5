"""The cultivation circuits against the published layer lists, their counts, and what every stage should do."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import stim

from quell.circuits import CULTIVATION_STAGES, NoiseModel, cultivation, cultivation_stage, true_t_series
from quell.circuits.rp2_lattice import rp2_lattice, surface_lattice
from quell.circuits.rp2_schedule import five_layers
from quell.circuits.srp_morph import srp_morph
from quell.errors import InputError

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "rp2_codes.json"
NOISE = NoiseModel.uniform_depolarizing(1e-3)

# name in the file, arguments, and of the published table: qubits, CX, detectors, post-selected ones, noise sites, T
TABLE = [
    ("MSC-3 cultivation (rp_3_T_cult)", (3,), (25, 148, 44, 44, 678, 31)),
    ("MSC-5 cultivation (rp_3_rp_5_T_cult)", (5,), (61, 530, 132, 132, 2405, 101)),
    ("MSC-3 end2end d_sc=7", (3, 7), (103, 828, 252, 34, 2502, 31)),
    ("MSC-5 end2end d_sc=11", (5, 11), (251, 3182, 894, 106, 8861, 101)),
]


def sizes(circuit: stim.Circuit, noisy: stim.Circuit) -> tuple[int, ...]:
    targets = dict.fromkeys(("CX", "S", "S_DAG"), 0)
    for instruction in circuit:
        if instruction.name in targets:
            targets[instruction.name] += len(instruction.targets_copy())
    channels = [i for i in noisy if i.name in ("X_ERROR", "Z_ERROR", "DEPOLARIZE1", "DEPOLARIZE2")]
    places = sum(len(i.targets_copy()) // (2 if i.name == "DEPOLARIZE2" else 1) for i in channels)
    post_selected = sum(len(place) == 4 for place in circuit.get_detector_coordinates().values())
    return (
        circuit.num_qubits,
        targets["CX"] // 2,
        circuit.num_detectors,
        post_selected,
        places,
        targets["S"] + targets["S_DAG"],
    )


@pytest.mark.parametrize(("arguments", "expected"), [row[1:] for row in TABLE], ids=["3", "5", "3-7", "5-11"])
def test_sizes_are_those_of_the_published_table(arguments: tuple[int, ...], expected: tuple[int, ...]) -> None:
    circuit = cultivation(*arguments, as_published=True)
    assert sizes(circuit, NOISE.apply(circuit)) == expected
    # Without the additions, all but the places of noise are the same.
    plain = cultivation(*arguments)
    assert sizes(plain, NOISE.apply(plain))[:4] == expected[:4]


Layers = list[dict[str, set[Any]]]
Detectors = set[Any]


def read(circuit: stim.Circuit, places: dict[int, tuple[float, float]]) -> tuple[Layers, Detectors]:
    """A circuit as layers of gates on places, empty layers left out, and its detectors as sets of measurements."""
    layers: Layers = [{}]
    records: list[Any] = []
    annotations: Detectors = set()

    def put(name: str, what: Any) -> None:
        layers[-1].setdefault(name, set()).add(what)

    def measure(what: Any) -> None:
        records.append((what, sum(record[0] == what for record in records)))

    for instruction in circuit:
        assert isinstance(instruction, stim.CircuitInstruction)
        name, groups = instruction.name, instruction.target_groups()
        if name == "TICK":
            layers.append({})
        elif name in ("DETECTOR", "OBSERVABLE_INCLUDE"):
            of = frozenset(records[target.value] for target in instruction.targets_copy())
            annotations.add((name, tuple(instruction.gate_args_copy()), of))
        elif name == "MPP":
            for group in groups:
                put(name, product := frozenset((places[t.value], t.pauli_type) for t in group if not t.is_combiner))
                measure(product)
        elif name != "QUBIT_COORDS":
            for group in groups:
                for target in group if name != "CX" else ():
                    put(name, (places[target.value], target.is_inverted_result_target))
                if name == "CX":
                    control, on = group
                    by = records[control.value] if control.is_measurement_record_target else places[control.value]
                    put(name, (by, places[on.value]))
                if name in ("M", "MX"):
                    measure(places[group[0].value])
    return [layer for layer in layers if layer], annotations


def from_file(layers: list[dict[str, Any]]) -> stim.Circuit:
    """The circuit of a published layer list, its stages counted from 1."""
    lines: list[str] = []
    measured = 0
    for layer in layers:
        lines += [
            "TICK",
            *(f"{name} {' '.join(map(str, layer[name]))}" for name in ("RX", "R", "S", "S_DAG") if name in layer),
        ]
        lines += [f"CX {control} {target}" for control, target in layer.get("CX", [])]
        for name in [key for key in layer if key in ("M", "MX")]:
            qubits = [f"!{q['q']}" if isinstance(q, dict) else str(q) for q in layer[name]]
            lines.append(f"{name} {' '.join(qubits)}")
            measured += len(qubits)
        lines += [f"X {' '.join(map(str, layer['X']))}"] if "X" in layer else []
        lines += [f"CX rec[{f['rec'] - measured}] {f['target']}" for f in layer.get("FEEDFORWARD_X", [])]
        if "MPP_noiseless" in layer:
            lines.append("MPP " + " ".join("*".join(product) for product in layer["MPP_noiseless"]))
            measured += len(layer["MPP_noiseless"])
        for detector in layer.get("DETECTORS", []):
            x, y, t, *stage = detector["coords"]
            numbers = ", ".join(map(str, [x, y, t, *(s + 1 for s in stage)]))
            lines.append(f"DETECTOR({numbers}) " + " ".join(f"rec[{r - measured}]" for r in detector["recs"]))
        for record in layer.get("OBSERVABLE", []):
            lines.append(f"OBSERVABLE_INCLUDE(0) rec[{record - measured}]")
    return stim.Circuit("\n".join(lines))


def published_places(data: dict[str, Any], name: str) -> dict[int, tuple[float, float]]:
    if "MSC-3" in name:
        return {int(number): tuple(place) for number, place in data["coords_end2end_d3_sc7"].items()}
    places = {int(number): tuple(place) for number, place in data["SRP-5"]["coords"].items()}
    # The file has no places of ancillas here: they follow from the checks, which the last detectors name.
    last, round_of_checks = data["noiseless_layer_lists"][name][-1], data["noiseless_layer_lists"][name][56]
    measured = [*round_of_checks["M"], *round_of_checks["MX"]]
    by_record = dict(zip(round_of_checks["rec_index"], measured, strict=True))
    for detector in last["DETECTORS"][10:]:
        places[by_record[detector["recs"][0]]] = tuple(detector["coords"][:2])
    return places


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published layer lists are not here")
@pytest.mark.parametrize(("name", "arguments"), [row[:2] for row in TABLE[:3]], ids=["3", "5", "3-7"])
def test_layers_and_detectors_are_the_published_ones(name: str, arguments: tuple[int, ...]) -> None:
    data = json.loads(PUBLISHED.read_text())
    ours = cultivation(*arguments)
    layers, annotations = read(
        ours, {q: (place[0], place[1]) for q, place in ours.get_final_qubit_coordinates().items()}
    )
    expected = read(from_file(data["noiseless_layer_lists"][name]), published_places(data, name))
    assert len(layers) == len(expected[0])
    for index, (layer, published) in enumerate(zip(layers, expected[0], strict=True)):
        assert layer == published, index
    assert annotations == expected[1]


def circuits() -> Iterator[stim.Circuit]:
    for distance, surfaces in ((3, (None, 5, 7, 9, 15)), (5, (None, 7, 9, 11, 13))):
        for expand_to in surfaces:
            for as_published in (False, True):
                yield cultivation(distance, expand_to, NOISE, as_published=as_published)


def test_every_detector_and_the_observable_are_deterministic() -> None:
    for circuit in circuits():
        circuit.detector_error_model()  # Stim refuses what is random
        stages = [place[3] for place in circuit.get_detector_coordinates().values() if len(place) == 4]
        assert stages == sorted(stages)
        assert set(stages) == set(range(1, int(max(stages)) + 1))


def test_a_tableau_simulator_finds_the_y_eigenstate_and_no_detection_event() -> None:
    for arguments in ((3,), (5,), (3, 7)):
        circuit = cultivation(*arguments)
        simulator = stim.TableauSimulator(seed=5)
        for instruction in circuit:
            if instruction.name == "MPP":
                break
            simulator.do(instruction)
        lattice = surface_lattice(7) if len(arguments) == 2 else rp2_lattice(arguments[0])
        number = {tuple(place): q for q, place in circuit.get_final_qubit_coordinates().items()}
        logical = stim.PauliString(circuit.num_qubits)
        for kind in "XZ":
            part = stim.PauliString(circuit.num_qubits)
            for x, y in lattice.logicals[kind]:
                part[number[float(x), float(y)]] = kind
            logical = part * logical
        logical *= 1 if logical.sign in (1, -1) else 1j
        assert simulator.peek_observable_expectation(logical) in (1, -1)
        detectors, flips = circuit.compile_detector_sampler(seed=5).sample(64, separate_observables=True)
        assert not detectors.any()
        assert not flips.any()


def pauli(circuit: stim.Circuit, kind: str, places: Any) -> stim.PauliString:
    number = {tuple(place): q for q, place in circuit.get_final_qubit_coordinates().items()}
    result = stim.PauliString(circuit.num_qubits)
    for x, y in places:
        result[number[float(x), float(y)]] = kind
    return result


def carries(
    stage: stim.Circuit, before: stim.PauliString, after: stim.PauliString, free: Sequence[stim.PauliString] = ()
) -> bool:
    """Tells whether a stage turns one operator into another, up to signs, to results that it measures, and to
    operators at its start that are known, which are `free`."""
    length = stage.num_qubits
    nothing = stim.PauliString(length)
    rows = [(flow.input_copy(), flow.output_copy()) for flow in stage.flow_generators()]
    return in_span(
        [bits(*row, length) for row in [*rows, *((each, nothing) for each in free)]], bits(before, after, length)
    )


def bits(before: stim.PauliString, after: stim.PauliString, length: int) -> int:
    number = 1
    for operator in (before, after):
        for part in operator.to_numpy():
            number = (number << length) | sum(1 << i for i, bit in enumerate(part) if bit)
    return number - (1 << 4 * length)


def in_span(rows: list[int], target: int) -> bool:
    basis: dict[int, int] = {}

    def reduced(value: int) -> int:
        while value and value.bit_length() in basis:
            value ^= basis[value.bit_length()]
        return value

    for row in rows:
        if value := reduced(row):
            basis[value.bit_length()] = value
    return reduced(target) == 0


@pytest.mark.parametrize("distance", [3, 5])
def test_the_morph_makes_logicals_transversal_and_its_reversal_undoes_it(distance: int) -> None:
    morph, back = cultivation_stage("morph", distance), cultivation_stage("unmorph", distance)
    lattice, pieces = rp2_lattice(distance), srp_morph(distance)
    stabilizers = [pauli(morph, check.kind, check.data) for check in lattice.checks]
    for kind in "XZ":
        logical = pauli(morph, kind, lattice.logicals[kind])
        whole = pauli(morph, kind, [*lattice.data, *pieces.plus, *pieces.others])
        assert carries(morph, logical, whole, stabilizers)
        assert not carries(morph, logical, pauli(morph, kind, lattice.data), stabilizers)
        assert carries(morph + back, logical, logical)
    for operator in stabilizers:
        assert carries(morph + back, operator, operator)


@pytest.mark.parametrize("distance", [3, 5])
def test_the_double_check_measures_y_and_keeps_the_code(distance: int) -> None:
    stage = cultivation_stage("double_check", distance)
    lattice, pieces = rp2_lattice(distance), srp_morph(distance)
    everything = [*lattice.data, *pieces.plus, *pieces.others]
    # S X S† = Y, and the first result is that of the centre.
    whole = pauli(stage, "Y", everything)
    nothing = stim.PauliString(stage.num_qubits)
    assert stage.has_flow(stim.Flow(input=whole, measurements=[0], output=nothing), unsigned=True)
    assert carries(stage, whole, whole)
    assert not carries(stage, pauli(stage, "Z", everything), pauli(stage, "Z", everything))
    morph = cultivation_stage("morph", distance)
    gates = stim.Circuit()
    for instruction in morph:
        if instruction.name == "CX":
            gates.append(instruction)
    for check in lattice.checks:
        image = pauli(morph, check.kind, check.data).after(gates)
        assert carries(stage, image, image)


@pytest.mark.parametrize("distance", [3, 5])
def test_a_round_of_checks_measures_every_check_and_keeps_the_logicals(distance: int) -> None:
    for stage, lattice in (
        (cultivation_stage("check", distance), rp2_lattice(distance)),
        (cultivation_stage("escape", distance, 2 * distance + 1), surface_lattice(2 * distance + 1)),
    ):
        order = [*lattice.ancillas("Z"), *lattice.ancillas("X")]
        for check in lattice.checks:
            operator = pauli(stage, check.kind, check.data)
            record = order.index(check.site)
            none = stim.PauliString(stage.num_qubits)
            assert stage.has_flow(stim.Flow(input=operator, output=none, measurements=[record]))
            assert stage.has_flow(stim.Flow(input=none, output=operator, measurements=[record]))
        for kind in "XZ":
            logical = pauli(stage, kind, lattice.logicals[kind])
            assert stage.has_flow(stim.Flow(input=logical, output=logical))


def test_growth_and_expansion_carry_the_logicals() -> None:
    for stage, distance, new in (
        (cultivation_stage("grow"), 3, rp2_lattice(5)),
        (cultivation_stage("expand", 3, 7), 3, surface_lattice(7)),
        (cultivation_stage("expand", 5, 13), 5, surface_lattice(13)),
    ):
        # The morph's ancillas lie beyond everything else.
        old, pieces = rp2_lattice(distance), srp_morph(distance, int(max(y for _, y in places_of(stage))))
        morphed = [*old.data, *pieces.plus, *pieces.others]
        gates = stim.Circuit()
        number = {place: q for q, place in enumerate(places_of(stage))}
        for layer in pieces.layers:
            gates.append("CX", [number[float(x), float(y)] for pair in layer for x, y in pair])
        prepared = [pauli(stage, "X", [each]) for each in pieces.plus] + [pauli(stage, "Z", [q]) for q in pieces.others]
        stabilizers = [pauli(stage, check.kind, check.data) for check in old.checks]
        free = [operator.after(gates) for operator in [*prepared, *stabilizers]]
        for kind in "XZ":
            assert carries(stage, pauli(stage, kind, morphed), pauli(stage, kind, new.logicals[kind]), free)


def places_of(circuit: stim.Circuit) -> list[tuple[float, ...]]:
    return [tuple(place) for _, place in sorted(circuit.get_final_qubit_coordinates().items())]


def test_every_named_stage_stands_alone() -> None:
    for stage in CULTIVATION_STAGES:
        circuit = cultivation_stage(stage, 3, 7)
        assert circuit.num_detectors == circuit.num_observables == 0
        assert circuit.num_ticks or stage == "project"


def test_five_layers_never_meet_a_qubit_twice() -> None:
    for distance in (3, 5, 7, 9, 13):
        for layer in rp2_lattice(distance).layers():
            qubits = [site for pair in layer for site in pair]
            assert len(qubits) == len(set(qubits))
    # Three checks on the same four qubits in the same sequence do not fit into five layers.
    assert five_layers("XXX", ["abcd"] * 3, [None] * 3) is None


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4,), {}, "distance must be 3 or 5, got 4"),
        ((7,), {}, "distance must be 3 or 5, got 7"),
        ((True,), {}, "distance must be 3 or 5, got True"),
        ((3, 3), {}, "expand_to must be odd and >= 5, got 3"),
        ((5, 8), {}, "expand_to must be odd and >= 7, got 8"),
        ((3, 1001), {}, "expand_to must be <= 101"),
        ((3,), {"rounds": 2}, "there is none: pass expand_to"),
        ((3, 7), {"rounds": 0}, "rounds must be an integer >= 1, got 0"),
        ((3,), {"gate": "Q"}, "gate"),
        ((3,), {"noise": 0.1}, "noise must be a NoiseModel or None, got 0.1"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cultivation(*arguments, **options)


def test_a_stage_says_what_it_lacks() -> None:
    with pytest.raises(InputError, match="needs a surface code: pass expand_to, for example 7"):
        cultivation_stage("expand")
    with pytest.raises(InputError, match="growth starts from distance 3, got 5"):
        cultivation_stage("grow", 5)
    with pytest.raises(InputError, match="stage"):
        cultivation_stage("inflate")


def test_gate_t_tags_every_s_and_ends_in_the_inverse_of_logical_t() -> None:
    circuit = cultivation(3, 7, NOISE, gate="T")
    tags = {i.tag for i in circuit if i.name in ("S", "S_DAG")}
    assert tags == {"T", "T,noiseless"}
    end = str(circuit)[str(circuit).index("S_DAG[T,noiseless]") :]
    assert "DEPOLARIZE1" not in end
    assert circuit.num_detectors == cultivation(3, 7).num_detectors


@pytest.mark.parametrize(
    ("distance", "p", "published"),
    [(3, 1e-3, 1.24e-6), (5, 1e-3, 1.55e-9), (3, 2e-3, 9.08e-6)],
)
def test_the_series_of_true_t_gives_the_figures_of_its_paper(distance: int, p: float, published: float) -> None:
    assert true_t_series(distance, p) == pytest.approx(published, rel=5e-3)


def test_the_series_says_where_it_ends() -> None:
    assert true_t_series(3, 0) == 0
    assert true_t_series(5, 0.05) is None
    with pytest.raises(InputError, match="p must be at least 0 and below 1, got 1"):
        true_t_series(3, 1)
