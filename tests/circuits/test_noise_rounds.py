"""Where rounds begin and which qubits are data: said, inferred, or refused because it could be either."""

import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.circuits.noise_report import NoiseReport
from quell.errors import CircuitError

P = 0.01
PHENOMENOLOGICAL = NoiseModel.phenomenological(P)
CAPACITY = NoiseModel.code_capacity(P)
MERGED = "R 0 1 2 3\nREPEAT 3 {\nTICK\nMPP X0*X1*X2*X3\nTICK\nMPP Z0*Z1 Z2*Z3\n}\nTICK\nM 0 1 2 3"
# X and Z check of two data qubits in turn, each with its own ancilla.
APART = (
    "R 0 1\nREPEAT 4 {\nTICK\nRX 2\nTICK\nCX 2 0 2 1\nTICK\nMX 2\n"
    "TICK\nR 3\nTICK\nCX 0 3 1 3\nTICK\nM 3\n}\nTICK\nM 0 1"
)


def doses(circuit: str, noise: NoiseModel = PHENOMENOLOGICAL) -> NoiseReport:
    return noise.report(stim.Circuit(circuit))


@pytest.mark.parametrize(
    ("circuit", "rounds", "sites"),
    [
        (MERGED, 3, {"MPP": 9, "X_ERROR": 12, "Z_ERROR": 12}),
        (
            "R 0 1 2\nREPEAT 3 {\nTICK\nMPP Z0*Z1 Z1*Z2\n}\nTICK\nM 0 1 2",
            3,
            {"MPP": 6, "X_ERROR": 9, "Z_ERROR": 9},
        ),
        # Signs and the order of factors do not make another check.
        ("R 0 1\nTICK\nMPP Z0*Z1\nTICK\nMPP !Z1*Z0\nTICK\nM 0 1", 2, {"MPP": 2, "X_ERROR": 4, "Z_ERROR": 4}),
        (
            "R 0 1\nTICK\nMZZ 0 1\nMXX 0 1\nTICK\nMZZ 0 1\nTICK\nM 0 1",
            2,
            {"MXX": 1, "MZZ": 2, "X_ERROR": 4, "Z_ERROR": 4},
        ),
        # The same check twice in one instruction is one round.
        ("R 0 1\nTICK\nMPP Z0*Z1 Z0*Z1\nTICK\nM 0 1", 1, {"MPP": 2, "X_ERROR": 2, "Z_ERROR": 2}),
        (APART, 4, {"X_ERROR": 8 + 4, "Z_ERROR": 8 + 4}),
        # An ancilla verified before it meets the data has measured no check.
        (
            "R 0 1\nREPEAT 2 {\nTICK\nMR 2\nTICK\nCX 0 2 1 2\nTICK\nMR 2\n}\nTICK\nM 0 1",
            2,
            {"X_ERROR": 4 + 4, "Z_ERROR": 4},
        ),
        # Without any TICK, order alone tells rounds apart.
        ("R 0 1 2\nREPEAT 3 {\nCX 0 2 1 2\nMR 2\n}\nM 0 1", 3, {"X_ERROR": 6 + 3, "Z_ERROR": 6}),
    ],
)
def test_a_round_lasts_until_one_of_its_checks_begins_again(circuit: str, rounds: int, sites: dict[str, int]) -> None:
    report = doses(circuit)
    assert report.rounds == rounds
    assert report.sites == sites


def test_checks_of_two_kinds_in_separate_layers_are_one_round_of_code_capacity() -> None:
    circuit = "R 0 1 2 3\nTICK\nMPP X0*X1*X2*X3\nTICK\nMPP Z0*Z1 Z2*Z3\nTICK\nM 0 1 2 3"
    assert doses(circuit, CAPACITY).sites == {"X_ERROR": 4, "Z_ERROR": 4}
    with pytest.raises(CircuitError, match="single round"):
        doses(MERGED, CAPACITY)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        # One ancilla for two checks in turn.
        ("CX 0 2\nTICK\nMR 2\nTICK\nCX 1 2\nTICK\nMR 2", "no check in common"),
        # Another check is under way, and never measured.
        ("CX 0 2 1 3\nTICK\nMR 2", "begins a check again while ancillas 3 still wait"),
        # Twice in one layer.
        ("CX 0 2 1 2\nMR 2\nCX 0 2 1 2\nMR 2", "in a layer that has touched checks already"),
        # Ancilla 3 meets the data through 2, which is not measured.
        ("CX 0 2 2 3 0 2\nTICK\nMR 3", "ancillas? "),
        ("R 2\nTICK\nCX 0 2 2 3\nTICK\nR 2\nTICK\nMR 3", "ancilla 3 is measured again"),
    ],
)
def test_rounds_that_could_be_cut_in_two_ways_need_marks(body: str, message: str) -> None:
    ends = "R 0 1 2 3\nREPEAT 3 {\nTICK\n", "\n}\nTICK\nM 0 1"
    with pytest.raises(CircuitError, match=message) as caught:
        doses(body.join(ends))
    assert "TICK[round]" in str(caught.value)
    marked = ends[0].replace("{\nTICK", "{\nTICK[round]")
    assert doses(body.join((marked, ends[1]))).rounds == 3


def test_marks_are_the_only_rounds_and_noise_stands_right_behind_them() -> None:
    marked = stim.Circuit("R 0 1\nTICK[round]\nMPP Z0*Z1\nTICK\nMPP Z0*Z1\nTICK\nM 0 1")
    assert CAPACITY.apply(marked) == stim.Circuit(
        "R 0 1\nTICK[round]\nX_ERROR(0.01) 0 1\nZ_ERROR(0.01) 0 1\nMPP Z0*Z1\nTICK\nMPP Z0*Z1\nTICK\nM 0 1"
    )
    assert CAPACITY.report(marked).rounds == 1
    for text in ("TICK[round]\nR 0 1\nTICK\nM 0 1", "R 0 1\nTICK\nM 0 1\nTICK[round]"):
        with pytest.raises(CircuitError, match=r"TICK\[round\] stands where no data qubit"):
            doses(text)


def test_marking_the_rounds_of_a_memory_changes_nothing() -> None:
    for gate_set in ("native", "stim"):
        circuit = rotated_surface_memory(3, 1, gate_set=gate_set)
        lines = str(circuit).splitlines()
        place = next(i for i, line in enumerate(lines) if line.startswith("CX")) - 1
        assert lines[place] == "TICK"
        marked = stim.Circuit("\n".join([*lines[:place], "TICK[round]", *lines[place + 1 :]]))
        models = [PHENOMENOLOGICAL.apply(c).detector_error_model() for c in (circuit, marked)]
        assert models[0] == models[1]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_rounds_in_loops_are_those_of_the_unrolled_circuit(counts: list[int], marked: bool) -> None:
    body = f"TICK{'[round]' if marked else ''}\nCX 0 3 1 3 1 4 2 4\nTICK\nMR 3\nTICK\nMR 4\n"
    for count in counts:
        body = f"REPEAT {count} {{\n{body}}}\n"
    circuit = stim.Circuit(f"R 0 1 2 3 4\n{body}TICK\nM 0 1 2")
    flat = PHENOMENOLOGICAL.report(circuit.flattened()) if not marked else None
    report = PHENOMENOLOGICAL.report(circuit)
    total = 1
    for count in counts:
        total *= count
    assert report.rounds == total
    assert report.sites == {"X_ERROR": 3 * total + 2 * total, "Z_ERROR": 3 * total}
    assert flat is None or (flat.sites, flat.rounds) == (report.sites, total)


def test_a_noiseless_gate_begins_its_round_like_any_other() -> None:
    noisy = PHENOMENOLOGICAL.apply(
        stim.Circuit("R 0 1 2\nTICK\nCX[noiseless] 0 2\nTICK\nCX 1 2\nTICK\nMR 2\nTICK\nM 0 1")
    )
    names = [instruction.name for instruction in noisy]
    assert names.index("Z_ERROR") < names.index("CX")
    assert names.count("Z_ERROR") == 1


@pytest.mark.parametrize("readout", ["M 0 1", "MPP Z0 Z1", "MPP !Z0\nMPP Z1", "MR 0 1"])
def test_only_the_final_readout_of_data_is_perfect(readout: str) -> None:
    noise = NoiseModel.phenomenological(P, data_qubits=[0, 1])
    checks = "R 0 1\nTICK\nMPP X0*X1\nTICK\n"
    assert noise.report(stim.Circuit(checks + readout)).sites == {"MPP": 1, "X_ERROR": 2, "Z_ERROR": 2}
    assert noise.report(stim.Circuit(f"{checks}M 0\nTICK\n{readout}")).sites == {"MPP": 1, "X_ERROR": 3, "Z_ERROR": 2}
    assert noise.report(stim.Circuit(f"{checks}M 0 0 1")).sites == {"MPP": 1, "X_ERROR": 3, "Z_ERROR": 2}
    middle = noise.report(stim.Circuit(f"{checks}MPP Z0 X0*X1 Z1\nTICK\n{readout}"))
    assert middle.sites == {"MPP": 1 + 3, "X_ERROR": 4, "Z_ERROR": 4}
    # One instruction with a readout that is final, one that is not, and a check.
    mixed = noise.apply(stim.Circuit(f"{checks}MPP Z1 Z0\nTICK\nM 0"))
    assert "MPP Z1\nMPP(0.01) Z0" in str(mixed)
    loop = noise.report(stim.Circuit(f"{checks}REPEAT 5 {{\nM 0\nTICK\n}}\n"))
    assert loop.sites == {"MPP": 1, "X_ERROR": 2 + 4, "Z_ERROR": 2}


CHECKS = "R 0 1 2 3 4\nREPEAT 2 {\nTICK\nCX 0 3 1 3\nTICK\nCX 1 4 2 4\nTICK\nMR 3 4\n}\nTICK\n"


@pytest.mark.parametrize(
    ("circuit", "data"),
    [
        (CHECKS + "M 0 1 2", (0, 1, 2)),
        (CHECKS + "M 0\nDETECTOR rec[-1] rec[-2]\nMX 1 2\nTICK", (0, 1, 2)),
        (CHECKS + "MPP Z0 Z1\nM 2", (0, 1, 2)),
        ("R 0 1 2\nTICK\nCX 0 2 1 2\nTICK\nM 2\nDETECTOR rec[-1]\nTICK\nM 0 1", (0, 1)),
        ("R 0 1 2\nREPEAT 2 {\nTICK\nCX 0 2 1 2\nTICK\nM 2\n}\nM 0 1", (0, 1)),
    ],
)
def test_data_is_what_is_read_last_and_by_nothing_else(circuit: str, data: tuple[int, ...]) -> None:
    report = doses(circuit)
    assert report.data_qubits == data
    assert NoiseModel.si1000(P).report(stim.Circuit(circuit)).data_qubits is None
    given = NoiseModel.phenomenological(P, data_qubits=data)
    assert given.report(stim.Circuit(circuit)) == report


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (CHECKS + "M 0\nTICK\nMX 1 2", "1, 2 are measured last, and 0, .* may be either"),
        (CHECKS.replace("TICK\n", "") + "M 0\nDETECTOR rec[-1]\nMX 1 2", "may be either"),
        ("R 0 1 2\nTICK\nCX 0 2 1 2\nTICK\nM 2 0 1", "gates join 0, 1, 2 to one another"),
        ("R 0 1 2 5\nTICK\nCX 0 2 1 2\nTICK\nM 2 5\nDETECTOR rec[-1]\nM 0 1", "may be either"),
        (CHECKS + "M 0\nTICK\nM 0 1 2", "the last measurements read 0, which were measured before"),
        (CHECKS + "MR 0 1 2", "does not end with measurements"),
    ],
)
def test_data_that_could_be_ancillas_must_be_named(circuit: str, message: str) -> None:
    with pytest.raises(CircuitError, match=f"cannot tell data qubits from ancillas: .*{message}.*data_qubits="):
        doses(circuit)


def test_data_qubits_must_be_in_the_circuit() -> None:
    with pytest.raises(CircuitError, match="data_qubits 100 are not in the circuit"):
        NoiseModel.phenomenological(P, data_qubits=[0, 1, 100]).apply(stim.Circuit(CHECKS + "M 0 1 2"))


@pytest.mark.parametrize("task", ["repetition_code:memory", "color_code:memory_xyz", "surface_code:rotated_memory_x"])
@pytest.mark.parametrize("rounds", [2, 3, 7])
def test_rounds_of_stims_circuits_are_stims(task: str, rounds: int) -> None:
    rates = {
        "after_clifford_depolarization": 0.01,
        "before_round_data_depolarization": 0.02,
        "before_measure_flip_probability": 0.03,
        "after_reset_flip_probability": 0.04,
    }
    theirs = stim.Circuit.generated(task, distance=5, rounds=rounds, **rates)
    bare = stim.Circuit.generated(task, distance=5, rounds=rounds)
    noise = NoiseModel.stim_memory(0.5, **rates)
    assert noise.report(bare).rounds == rounds
    ours = noise.apply(bare).detector_error_model()
    assert ours.approx_equals(theirs.detector_error_model(), atol=1e-12)
