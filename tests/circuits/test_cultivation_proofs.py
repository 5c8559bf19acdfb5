"""Proofs on state vectors that cultivation with true T at distance 3 makes the state that it should."""

import numpy as np
import pytest
import stim
from tests.state_vector import StateVector

from quell.circuits import cultivation
from quell.circuits.rp2_lattice import rp2_lattice


def random_results(seed: int) -> StateVector:
    rng = np.random.default_rng(seed)
    return StateVector(lambda _, ones: int(rng.random() < ones))


def detectors_and_observable(circuit: stim.Circuit, records: list[int]) -> tuple[list[int], int]:
    detectors, observable, measured = [], 0, 0
    for instruction in circuit:
        assert isinstance(instruction, stim.CircuitInstruction)
        measured += instruction.num_measurements
        if instruction.name in ("DETECTOR", "OBSERVABLE_INCLUDE"):
            parity = sum(records[measured + target.value] for target in instruction.targets_copy()) % 2
            if instruction.name == "DETECTOR":
                detectors.append(parity)
            else:
                observable ^= parity
    return detectors, observable


def logical(circuit: stim.Circuit, kinds: str) -> stim.PauliString:
    number = {tuple(place): q for q, place in circuit.get_final_qubit_coordinates().items()}
    total = stim.PauliString(circuit.num_qubits)
    for kind in kinds:
        part = stim.PauliString(circuit.num_qubits)
        for x, y in rp2_lattice(3).logicals[kind]:
            part[number[float(x), float(y)]] = kind
        total = total * part
    return total


@pytest.mark.parametrize("as_published", [False, True])
def test_true_t_gives_the_magic_state_and_no_random_detector(as_published: bool) -> None:
    circuit = cultivation(3, gate="T", as_published=as_published)
    text = str(circuit)
    # The end is the projection: what comes before it must hold the state already.
    before, after = (stim.Circuit(part) for part in _split(text))
    seen = set()
    for seed in range(6):
        state = random_results(seed)
        state.run(before)
        # Y = iXZ.
        x, y = logical(circuit, "X"), logical(circuit, "XZ") * 1j
        found = [state.expectation(x), state.expectation(y), state.expectation(logical(circuit, "Z"))]
        np.testing.assert_allclose(found, [np.sqrt(0.5), np.sqrt(0.5), 0], atol=1e-9)
        state.run(after)
        detectors, observable = detectors_and_observable(circuit, state.records)
        seen.add((tuple(detectors), observable))
        assert all(min(abs(likely - 0.5), abs(likely - 1)) < 1e-9 for likely in state.likely)
        # Random are the checks through the centre in the first round, of either type, alike at antipodes.
        assert sum(abs(likely - 0.5) < 1e-9 for likely in state.likely) == 2
    assert len(seen) == 1
    ((detectors, observable),) = seen
    stages = [place[3] for _, place in sorted(circuit.get_detector_coordinates().items())]
    # The table of the published circuits: four detectors of stage 1 are 1 where there is no noise.
    assert [stage for stage, parity in zip(stages, detectors, strict=True) if parity] == [2] * 4
    assert observable == 0


def _split(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if "T,noiseless" in line) - 1
    assert lines[first].startswith("CX[noiseless]")
    coordinates = [line for line in lines if line.startswith("QUBIT_COORDS")]
    kept = [line for line in lines if not line.startswith(("DETECTOR", "OBSERVABLE"))]
    cut = kept.index(lines[first])
    return "\n".join(kept[:cut]), "\n".join([*coordinates, *kept[cut:]])


def random_circuit(rng: np.random.Generator, num_qubits: int = 5) -> stim.Circuit:
    circuit = stim.Circuit()
    live: list[int] = []
    for _ in range(60):
        free = [q for q in range(num_qubits) if q not in live]
        kind = rng.choice(["reset", "gate", "gate", "gate", "measure"])
        if kind == "reset" and free:
            circuit.append(str(rng.choice(["R", "RX"])), [free[0]])
            live.append(free[0])
        elif kind == "gate" and len(live) > 1:
            a, b = (int(q) for q in rng.choice(live, 2, replace=False))
            circuit.append("CX", [a, b])
            circuit.append(str(rng.choice(["S", "S_DAG", "Z", "X", "Y"])), [b])
        elif kind == "measure" and len(live) > 2:
            qubit = live.pop(int(rng.integers(len(live))))
            circuit.append(str(rng.choice(["M", "MX"])), [qubit])
    return circuit


def test_the_state_vector_agrees_with_stim_on_clifford_circuits() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        circuit = random_circuit(rng)
        state = random_results(seed)
        state.run(circuit)
        simulator = stim.TableauSimulator()
        # Stim is made to see the same results; where one is certain, it must be the same.
        measured = 0
        steps = [stim.CircuitInstruction(each.name, group) for each in circuit for group in each.target_groups()]
        for instruction in steps:
            if instruction.name in ("M", "MX"):
                (target,) = instruction.targets_copy()
                basis = "X" if instruction.name == "MX" else "Z"
                wanted = bool(state.records[measured])
                operator = stim.PauliString(5)
                operator[target.value] = basis
                certain = simulator.peek_observable_expectation(operator)
                assert certain == 0 or certain == (-1) ** wanted
                assert state.likely[measured] == pytest.approx(1 if certain else 0.5)
                simulator.postselect_observable(operator, desired_value=wanted)
                measured += 1
                simulator.do(stim.Circuit(f"R {target.value}"))
            else:
                simulator.do(instruction)
        for _ in range(6):
            operator = stim.PauliString.random(5)
            for qubit in range(5):
                if qubit not in state.rows:
                    operator[qubit] = 0
            operator.sign = 1
            if not _reachable(state, operator):
                assert simulator.peek_observable_expectation(operator) == 0
                continue
            assert state.expectation(operator) == pytest.approx(simulator.peek_observable_expectation(operator))


def _reachable(state: StateVector, operator: stim.PauliString) -> bool:
    try:
        state.expectation(operator)
    except ValueError:  # no shift does what its X part does
        return False
    return True
