"""Where noise goes: against a naive reading of the unrolled circuit, over random circuits and case by case."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.circuits import NoiseModel, rotated_surface_memory, unrotated_surface_memory
from quell.errors import CircuitError, InputError

NUM_QUBITS = 4
UNIFORM = NoiseModel.uniform_depolarizing(0.125)
SI1000 = NoiseModel.si1000(0.01)
WINDOWS = NoiseModel.pauli25(
    preparation=(0.01, 0.02),
    measurement=(0.03, 0.04),
    idle_cx=(0.1, 0, 0),
    idle_spam=(0, 0, 0.2),
    cx=[0.001] * 15,
)

ONE = ["H", "S", "SQRT_X", "C_XYZ", "X", "I", "H_NXY"]
TWO = ["CX", "CZ", "SWAP", "ISWAP", "XCY", "SQRT_ZZ", "CXSWAP"]
RESETS = ["R", "RX", "RY"]
MEASUREMENTS = ["M", "MX", "MY", "MR", "MRX", "MRY"]


@st.composite
def bodies(draw: st.DrawFn, depth: int = 2) -> str:
    """Lines of a circuit in which every kind of instruction may follow every other, qubits repeated."""
    qubits = st.lists(st.integers(0, NUM_QUBITS - 1), min_size=1, max_size=5)
    # Gives later rec[-1] targets something to point to; without a TICK, a repeated qubit is refused.
    lines = ["M 0", "TICK"]
    for _ in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["one", "two", "reset", "measure", "tick", "tick", "repeat", "other"]))
        if kind == "tick":
            lines.append("TICK")
        elif kind == "two":
            pairs = [draw(st.permutations(range(NUM_QUBITS)))[:2] for _ in range(draw(st.integers(1, 3)))]
            lines.append(draw(st.sampled_from(TWO)) + "".join(f" {a} {b}" for a, b in pairs))
        elif kind == "repeat" and depth:
            count = draw(st.integers(1, 6))
            lines.append(f"REPEAT {count} {{\n{draw(bodies(depth - 1))}\n}}")
        elif kind == "other":
            others = [
                *("MPP X0*Z1 !Y2", "MPP X0*X1*X2", "MXX 0 1 !1 2", "SPP X0*Y3", "SPP_DAG Z2"),
                *("CX rec[-1] 3 0 1 1 2 rec[-1] 2", "CZ sweep[0] 1", "DETECTOR rec[-1]", "MPAD 0 1"),
                *("M[noiseless] !1 2", "H[noiseless] 0", "CX[some-tag] 2 3", "R[noiseless] 3"),
            ]
            lines.append(draw(st.sampled_from(others)))
        else:
            names = {"one": ONE, "reset": RESETS, "measure": MEASUREMENTS}.get(kind, ONE)
            lines.append(" ".join([draw(st.sampled_from(names)), *map(str, draw(qubits))]))
    return "\n".join(lines)


def unrolled(circuit: stim.Circuit) -> Iterator[stim.CircuitInstruction]:
    for instruction in circuit:
        if isinstance(instruction, stim.CircuitRepeatBlock):
            for _ in range(instruction.repeat_count):
                yield from unrolled(instruction.body_copy())
        else:
            yield instruction


def tokens(circuit: stim.Circuit) -> list[tuple[object, ...]]:
    """The circuit operation by operation, so that neither fusing nor splitting nor loops show."""
    found: list[tuple[object, ...]] = []
    for instruction in unrolled(circuit):
        head = (instruction.name, instruction.tag, *instruction.gate_args_copy())
        groups = [tuple(map(str, group)) for group in instruction.target_groups()]
        if instruction.name == "DETECTOR":
            groups = [tuple(map(str, instruction.targets_copy()))]
        found += [(*head, *group) for group in groups] or [head]
    return found


@given(bodies())
@settings(max_examples=120, deadline=None)
def test_taking_the_noise_off_gives_the_circuit_back(text: str) -> None:
    circuit = stim.Circuit(text)
    assert tokens(UNIFORM.apply(circuit).without_noise()) == tokens(circuit)


@given(bodies())
@settings(max_examples=120, deadline=None)
@pytest.mark.parametrize("noise", [UNIFORM, SI1000, NoiseModel.stim_memory(0.01, data_qubits=[0, 1])])
def test_loops_get_the_noise_of_their_unrolling(noise: NoiseModel, text: str) -> None:
    circuit = stim.Circuit(text)
    flat = stim.Circuit()
    for instruction in unrolled(circuit):
        flat.append(instruction)
    try:
        noisy = noise.apply(circuit)
    except CircuitError:
        with pytest.raises(CircuitError, match=r"no round found|rounds begin|are not in the circuit"):
            noise.apply(flat)
        return
    # Unrolling fuses instructions across iterations, which moves noise only among operations on other qubits.
    assert sites_by_qubit(noisy) == sites_by_qubit(noise.apply(flat))


def sites_by_qubit(circuit: stim.Circuit) -> dict[int, list[tuple[object, ...]]]:
    """For each qubit, what happens to it, in order."""
    found: dict[int, list[tuple[object, ...]]] = {qubit: [] for qubit in range(NUM_QUBITS)}
    for instruction in unrolled(circuit):
        for group in instruction.target_groups():
            for target in group:
                if target.value in found and not target.is_measurement_record_target:
                    found[target.value].append((instruction.name, *instruction.gate_args_copy(), *map(str, group)))
    return found


def touches(instruction: stim.CircuitInstruction) -> set[int]:
    data = stim.gate_data(instruction.name)
    acts = data.is_unitary or data.is_reset or data.produces_measurements
    if not acts or instruction.name == "MPAD":
        return set()
    return {
        target.value
        for group in instruction.target_groups()
        if not any(t.is_measurement_record_target or t.is_sweep_bit_target for t in group)
        for target in group
    }


def idle_sites(circuit: stim.Circuit) -> Counter[tuple[int, bool]]:
    """Counts (qubit, layer has a preparation or measurement) by the definition, in quadratic time."""
    steps = list(unrolled(circuit))
    ends = [i for i, step in enumerate(steps) if step.name == "TICK"]
    starts = [0, *(end + 1 for end in ends)]
    found: Counter[tuple[int, bool]] = Counter()
    for start, end in zip(starts, ends, strict=False):
        layer = steps[start:end]
        spam = any(
            touches(step) and (stim.gate_data(step.name).is_reset or stim.gate_data(step.name).produces_measurements)
            for step in layer
        )
        for qubit in range(NUM_QUBITS):
            used_before = any(qubit in touches(step) for step in steps[:start])
            busy = any(qubit in touches(step) for step in layer)
            following = next((step for step in steps[end:] if qubit in touches(step)), None)
            if used_before and not busy and following is not None and following.name not in RESETS:
                found[qubit, spam] += 1
    return found


@given(bodies())
@settings(max_examples=120, deadline=None)
def test_idle_noise_is_where_the_definition_says(text: str) -> None:
    circuit = stim.Circuit(text)
    found: Counter[tuple[int, bool]] = Counter()
    # si1000 idles with p/10 and 2p; its one-qubit gates also have p/10, so take those away by their count.
    for instruction in unrolled(SI1000.apply(circuit)):
        if instruction.name == "DEPOLARIZE1":
            for target in instruction.targets_copy():
                found[target.value, instruction.gate_args_copy()[0] == 0.02] += 1
    for instruction in unrolled(circuit):
        data = stim.gate_data(instruction.name)
        if instruction.tag == "noiseless" or not touches(instruction):
            continue
        if data.is_unitary and data.is_single_qubit_gate:
            for target in instruction.targets_copy():
                found[target.value, False] -= 1
        elif data.takes_pauli_targets:
            for group in instruction.target_groups():
                if len(group) != 2:
                    for target in group:
                        found[target.value, False] -= 1
    assert +found == idle_sites(circuit)
    assert min(found.values(), default=0) >= 0


def test_noise_stands_between_two_gates_on_one_qubit() -> None:
    assert UNIFORM.apply(stim.Circuit("TICK\nH 0 0 1")) == stim.Circuit(
        "TICK\nH 0\nDEPOLARIZE1(0.125) 0\nH 0 1\nDEPOLARIZE1(0.125) 0 1"
    )
    noisy = UNIFORM.apply(stim.Circuit("TICK\nCX 0 1 1 2"))
    assert noisy == stim.Circuit("TICK\nCX 0 1\nDEPOLARIZE2(0.125) 0 1\nCX 1 2\nDEPOLARIZE2(0.125) 1 2")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("R 0", "R 0\nX_ERROR(0.125) 0"),
        ("RX 0", "RX 0\nZ_ERROR(0.125) 0"),
        ("RY 0", "RY 0\nX_ERROR(0.125) 0"),
        ("M !0", "X_ERROR(0.125) 0\nM !0"),
        ("MX 0", "Z_ERROR(0.125) 0\nMX 0"),
        ("MY 0", "X_ERROR(0.125) 0\nMY 0"),
        ("MR 0", "X_ERROR(0.125) 0\nMR 0\nX_ERROR(0.125) 0"),
        ("MRX 0", "Z_ERROR(0.125) 0\nMRX 0\nZ_ERROR(0.125) 0"),
        ("MPP X0*Z1", "MPP(0.125) X0*Z1\nDEPOLARIZE2(0.125) 0 1"),
        ("MPP X0*Z1*Y2 Z3", "MPP(0.125) X0*Z1*Y2 Z3\nDEPOLARIZE1(0.125) 0 1 2 3"),
        ("MZZ 0 !1", "MZZ(0.125) 0 !1\nDEPOLARIZE2(0.125) 0 1"),
        ("SPP X0*X1", "SPP X0*X1\nDEPOLARIZE2(0.125) 0 1"),
        ("CX rec[-1] 1 0 2", "CX rec[-1] 1 0 2\nDEPOLARIZE2(0.125) 0 2"),
        ("CZ sweep[0] 1", "CZ sweep[0] 1"),
        ("H[tag] 0", "H[tag] 0\nDEPOLARIZE1(0.125) 0"),
        ("H[noiseless] 0", "H[noiseless] 0"),
        ("S_DAG[T,noiseless] 0", "S_DAG[T,noiseless] 0"),
        ("S[T] 0", "S[T] 0\nDEPOLARIZE1(0.125) 0"),
        ("MPAD 0 1", "MPAD 0 1"),
        ("H", "H"),
    ],
)
def test_single_instructions(line: str, expected: str) -> None:
    # Stim prints a split instruction fused again once its parts are neighbours.
    before = "M[noiseless] 5\n"
    assert tokens(UNIFORM.apply(stim.Circuit(before + line))) == tokens(stim.Circuit(before + expected))


def test_a_correction_in_software_leaves_its_qubit_idle_and_a_noiseless_gate_does_not() -> None:
    waiting = "R 0 1\nTICK\n{} 0\nH 1\nTICK\nM 0 1"
    for name, sites in (("X[noiseless]", 2), ("Z[noiseless]", 2), ("H[noiseless]", 1), ("I[noiseless]", 1)):
        report = UNIFORM.report(stim.Circuit(waiting.format(name)))
        assert report.sites["DEPOLARIZE1"] == sites, name


@pytest.mark.parametrize(
    "line",
    [
        "X_ERROR(0.1) 0",
        "DEPOLARIZE2(0.1) 0 1",
        "M(0.01) 0",
        "MPP(0.01) X0*X1",
        "MPAD(0.01) 0",
        "E(0.1) X0",
        "ELSE_CORRELATED_ERROR(0.1) X0",
        "HERALDED_ERASE(0.1) 0",
        "I_ERROR(0.1) 0",
        "X_ERROR[noiseless](0.1) 0",
        "REPEAT[noiseless] 2 {\nH 0\n}",
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_what_takes_no_noise_is_refused_by_name(line: str, inside: bool) -> None:
    name = line.split("(")[0].split("[")[0].split(" ")[0]
    prefix = "E(0.1) Y0\n" if name.startswith("ELSE") else ""
    text = f"REPEAT 3 {{\n{prefix}{line}\n}}" if inside else prefix + line
    with pytest.raises(CircuitError, match="E" if prefix else name):
        UNIFORM.apply(stim.Circuit(text))


def test_only_circuits_are_taken() -> None:
    with pytest.raises(InputError, match=r"circuit must be a stim\.Circuit, got str"):
        UNIFORM.apply("H 0")


def test_report_counts_sites_and_says_what_was_left_alone() -> None:
    circuit = stim.Circuit(
        "R 0 1\nREPEAT 10 {\nCX 0 1 rec[-1] 1\nMR 1\nTICK\n}\nM[noiseless] 0".replace("R 0 1", "R 0 1\nM 2")
    )
    report = UNIFORM.report(circuit)
    assert report.sites == {"DEPOLARIZE2": 10, "X_ERROR": 3 + 20}
    assert [tuple(skipped) for skipped in report.skipped] == [
        ("CX rec[-1] 1", "classically controlled", 10),
        ("M[noiseless] 0", "tagged noiseless", 1),
    ]
    joint = UNIFORM.report(stim.Circuit("MPP X0*X1 Z2*Z3")).sites
    assert joint == {"DEPOLARIZE2": 2, "MPP": 2}


@pytest.mark.parametrize("memory", [rotated_surface_memory, unrotated_surface_memory])
@pytest.mark.parametrize(
    ("gate_set", "noise"),
    [
        ("native", WINDOWS),  # has no Hadamards
        *itertools.product(
            ["native", "stim"],
            [UNIFORM, SI1000, NoiseModel.phenomenological(0.01), NoiseModel.stim_memory(0.01)],
        ),
    ],
)
def test_memories_get_the_noise_of_their_flattening(
    memory: Callable[..., stim.Circuit], gate_set: str, noise: NoiseModel
) -> None:
    circuit = memory(3, 5, "X", gate_set=gate_set)
    options = {"approximate_disjoint_errors": True}
    looped = noise.apply(circuit).flattened().detector_error_model(**options)
    flat = noise.apply(circuit.flattened()).detector_error_model(**options)
    assert looped.approx_equals(flat, atol=1e-15)


def test_a_window_of_preparation_and_measurement_is_one_channel() -> None:
    noisy = WINDOWS.apply(stim.Circuit("R 0 1\nTICK\nCX 0 1\nTICK\nM 1\nTICK\nR 1\nTICK\nCX 0 1\nTICK\nM 0"))
    names = [i.name for i in noisy if i.name in ("Z_ERROR", "X_ERROR") and i.gate_args_copy()[0] >= 0.1]
    # Qubit 0 waits through M 1 and R 1: one window. Qubit 1 is not used again after the last CX.
    assert names == ["Z_ERROR"]


def test_data_noise_stands_once_before_each_round() -> None:
    noise = NoiseModel.phenomenological(0.01)
    for rounds in (1, 2, 5, 1000):
        for gate_set in ("native", "stim"):
            sites = noise.report(rotated_surface_memory(3, rounds, "Z", gate_set=gate_set)).sites
            # X and Z on 9 data qubits, and 8 ancilla readouts: 4 of each type when native.
            flips = {"X_ERROR": 9 + 4, "Z_ERROR": 9 + 4} if gate_set == "native" else {"X_ERROR": 17, "Z_ERROR": 9}
            assert sites == {name: count * rounds for name, count in flips.items()}


def test_code_capacity_is_the_check_matrix() -> None:
    p = 0.01
    circuit = rotated_surface_memory(3, 1, "Z", NoiseModel.code_capacity(p))
    model = circuit.detector_error_model()
    coordinates = model.get_detector_coordinates()
    expected: Counter[tuple[frozenset[tuple[float, ...]], bool]] = Counter()
    z_checks = [(2, 2), (4, 4), (6, 2), (0, 4)]
    for x in (1, 3, 5):
        for y in (1, 3, 5):
            flipped = frozenset((a, b, 0) for a, b in z_checks if abs(a - x) == abs(b - y) == 1)
            expected[flipped, y == 1] += 1
    found = {}
    for error in model:
        if error.type == "error":
            targets = error.targets_copy()
            places = frozenset(tuple(coordinates[t.val]) for t in targets if t.is_relative_detector_id())
            found[places, any(t.is_logical_observable_id() for t in targets)] = error.args_copy()[0]
    assert found.keys() == expected.keys()
    for key, count in expected.items():
        assert found[key] == pytest.approx((1 - (1 - 2 * p) ** count) / 2, abs=1e-15)


def test_code_capacity_is_for_one_round() -> None:
    for rounds in (2, 3, 10):
        with pytest.raises(CircuitError, match="rounds=1"):
            rotated_surface_memory(3, rounds, noise=NoiseModel.code_capacity(0.01))


def test_data_qubits_can_be_given() -> None:
    steane_like = stim.Circuit("R 0 1 2\nTICK\nCX 0 2 1 2\nTICK\nMR 2\nTICK\nCX 0 2 1 2\nTICK\nMR 2\nMR 0 1")
    with pytest.raises(CircuitError, match="pass data_qubits="):
        NoiseModel.phenomenological(0.01).apply(steane_like)
    noise = NoiseModel.phenomenological(0.01, data_qubits=[0, 1])
    assert noise.report(steane_like).sites == {"X_ERROR": 2 * 2 + 2, "Z_ERROR": 2 * 2}
    with pytest.raises(CircuitError, match="no round found"):
        NoiseModel.phenomenological(0.01).apply(stim.Circuit("R 0\nTICK\nM 0"))


def test_a_loop_whose_noise_alternates_keeps_its_rhythm() -> None:
    """The idle layer at a loop's end belongs to the next iteration, so the first and last may differ."""
    circuit = stim.Circuit("R 0 1\nREPEAT 100 {\nTICK\nH 0\nTICK\nM 1\n}\nM 0")
    noisy = UNIFORM.apply(circuit)
    assert sum(isinstance(i, stim.CircuitRepeatBlock) for i in noisy) == 1
    flat = stim.Circuit()
    for instruction in unrolled(circuit):
        flat.append(instruction)
    assert sites_by_qubit(noisy) == sites_by_qubit(UNIFORM.apply(flat))


def test_a_window_that_runs_through_a_loop_is_still_one() -> None:
    body = "M 1\nTICK\nR 1\nTICK\n"
    circuit = stim.Circuit(f"R 0 1\nTICK\nCX 0 1\nTICK\nREPEAT 50 {{\n{body}}}\nCX 0 1")
    noisy = WINDOWS.apply(circuit)
    windows = [i for i in unrolled(noisy) if i.name == "Z_ERROR" and i.gate_args_copy() == [0.2]]
    assert len(windows) == 1
    assert sum(isinstance(i, stim.CircuitRepeatBlock) for i in noisy) == 1


def test_idle_noise_needs_layers() -> None:
    circuit = stim.Circuit("R 0 1\nCX 0 1\nM 0 1")
    for noise in (UNIFORM, SI1000, WINDOWS, NoiseModel.biased(0.01, 3)):
        with pytest.raises(CircuitError, match=r"qubit \d is used more than once and the circuit has no TICK"):
            noise.apply(circuit)
        noise.apply(stim.Circuit("R 0 1"))
    with pytest.raises(CircuitError, match="no TICK"):
        UNIFORM.apply(stim.Circuit("REPEAT 2 {\nH 0\n}"))
    NoiseModel.uniform_depolarizing(0).apply(circuit)
    NoiseModel.stim_memory(0.01, before_round_data_depolarization=0, data_qubits=[0]).apply(circuit)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("M[Noiseless] 0", r"M\[Noiseless\] means nothing here: write \[noiseless\] on this"),
        ("H[noise-less] 0", r"write \[noiseless\]"),
        ("TICK[noiseless]", "a TICK has no noise itself"),
        ("REPEAT[NOISELESS] 2 {\nH 0\n}", r"write \[noiseless\]"),
        ("TICK[rounds]", r"a round begins at TICK\[round\]"),
        ("TICK[Round]", r"a round begins at TICK\[round\]"),
    ],
)
def test_a_tag_that_was_meant_for_us_is_not_passed_over(line: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        UNIFORM.apply(stim.Circuit(line))
    UNIFORM.apply(stim.Circuit("H[noisy] 0\nTICK[d=3]\nM[bound] 0"))


def test_refusals_give_a_way_out_that_helps() -> None:
    for line in ("X_ERROR(0.1) 0", "M(0.1) 0"):
        with pytest.raises(CircuitError, match=r"call circuit\.without_noise"):
            UNIFORM.apply(stim.Circuit(line))
    with pytest.raises(CircuitError, match="no rate for MRY, only"):
        WINDOWS.apply(stim.Circuit("MRY 0"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("noise", [SI1000, NoiseModel.phenomenological(0.01, data_qubits=[0])])
def test_loops_in_loops_cost_no_more_than_what_they_write_out(noise: NoiseModel) -> None:
    def nested(depth: int) -> stim.Circuit:
        body = "CX 0 1\nTICK\nMR 1\nTICK\n"
        for level in range(depth):
            body = f"REPEAT 3 {{\n{'TICK' if level % 2 else 'S 0'}\n{body}}}\n"
        return stim.Circuit(f"R 0 1\n{body}M 0 1")

    shallow = nested(4)
    flat = stim.Circuit()
    for instruction in unrolled(shallow):
        flat.append(instruction)
    assert sites_by_qubit(noise.apply(shallow)) == sites_by_qubit(noise.apply(flat))
    deepest = noise.report(nested(12))
    assert sum(deepest.sites.values()) > 3**12
    for depth in (13, 300):
        with pytest.raises(CircuitError, match="REPEAT blocks nest more than 12 deep"):
            noise.apply(nested(depth))
