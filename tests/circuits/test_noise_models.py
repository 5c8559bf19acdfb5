"""The formulas of every noise model, against closed forms and enumeration over Pauli errors."""

import itertools
import json
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import stim
from hypothesis import given
from hypothesis import strategies as st

from quell.circuits import NOISE_MODEL_NAMES, NoiseModel, noise_model, noise_registry, rotated_surface_memory
from quell.errors import CircuitError, InputError, UnknownNameError

PAIRS = [a + b for a in "IXYZ" for b in "IXYZ"][1:]


def flip_probability(circuit: stim.Circuit) -> float:
    """How often detector 0 fires, from independent mechanisms: (1 - Π(1 - 2p)) / 2."""
    product = 1.0
    for error in circuit.detector_error_model(approximate_disjoint_errors=True):
        if error.type == "error":
            product *= 1 - 2 * error.args_copy()[0]
    return (1 - product) / 2


def channel(noisy: stim.Circuit, *, last: bool = True) -> list[float]:
    """The rates of a circuit's last (or first) Pauli channel: 3 or 15 numbers."""
    found = [i for i in noisy if stim.gate_data(i.name).is_noisy_gate and i.name[0] in "DPXYZ"]
    instruction = found[-1 if last else 0]
    args = instruction.gate_args_copy()
    if instruction.name == "DEPOLARIZE1":
        return [args[0] / 3] * 3
    if instruction.name == "DEPOLARIZE2":
        return [args[0] / 15] * 15
    if instruction.name.endswith("_ERROR"):
        return [args[0] if basis == instruction.name[0] else 0.0 for basis in "XYZ"]
    return args


def waiting(layers: int, basis: str = "") -> stim.Circuit:
    ticks = "TICK\n" * layers
    return stim.Circuit(f"R{basis} 0\n{ticks}M{basis} 0\nDETECTOR rec[-1]")


@given(st.floats(0, 0.2), st.integers(1, 6), st.sampled_from(["", "X", "Y"]))
def test_uniform_depolarizing_on_a_waiting_qubit(p: float, layers: int, basis: str) -> None:
    measured = flip_probability(NoiseModel.uniform_depolarizing(p).apply(waiting(layers, basis)))
    # The layer of the preparation is busy; each of the others leaves 1 - 4p/3 of the polarisation.
    expected = (1 - (1 - 2 * p) ** 2 * (1 - 4 * p / 3) ** (layers - 1)) / 2
    assert measured == pytest.approx(expected, abs=1e-12)


@given(st.floats(0, 0.2), st.integers(1, 6))
def test_si1000_on_a_waiting_qubit(p: float, layers: int) -> None:
    noise = NoiseModel.si1000(p)
    measured = flip_probability(noise.apply(waiting(layers)))
    expected = (1 - (1 - 4 * p) * (1 - 10 * p) * (1 - 4 * p / 30) ** (layers - 1)) / 2
    assert measured == pytest.approx(expected, abs=1e-12)
    beside = stim.Circuit("R 0\nTICK\nM 1\nTICK\nR 1\nTICK\nH 1\nTICK\nM 0\nDETECTOR rec[-1]")
    measured = flip_probability(noise.apply(beside))
    expected = (1 - (1 - 4 * p) * (1 - 10 * p) * (1 - 8 * p / 3) ** 2 * (1 - 4 * p / 30)) / 2
    assert measured == pytest.approx(expected, abs=1e-12)


def test_si1000_after_gates() -> None:
    noise = NoiseModel.si1000(0.03)
    assert noise.apply(stim.Circuit("H 0")) == stim.Circuit("H 0\nDEPOLARIZE1(0.003) 0")
    assert noise.apply(stim.Circuit("CZ 0 1")) == stim.Circuit("CZ 0 1\nDEPOLARIZE2(0.03) 0 1")


@given(st.floats(0.001, 1), st.floats(0, 1e6))
def test_bias_is_the_ratio_it_says(p: float, eta: float) -> None:
    noise = NoiseModel.biased(p, eta)
    px, py, pz = channel(noise.apply(stim.Circuit("H 0")))
    assert px + py + pz == pytest.approx(p)
    assert px == pytest.approx(py)
    assert pz == pytest.approx(eta * (px + py), abs=1e-12)
    two = dict(zip(PAIRS, channel(noise.apply(stim.Circuit("CX 0 1"))), strict=True))
    assert math.fsum(two.values()) == pytest.approx(p)
    for pair, rate in two.items():
        weight = 2 * eta if pair in ("IZ", "ZI", "ZZ") else 1
        assert rate == pytest.approx(two["XX"] * weight, rel=1e-9, abs=1e-12)


def test_bias_at_its_ends() -> None:
    circuit = rotated_surface_memory(3, 3)
    unbiased = NoiseModel.biased(0.01, 0.5).apply(circuit)
    uniform = NoiseModel.uniform_depolarizing(0.01).apply(circuit)
    assert unbiased.approx_equals(uniform, atol=1e-15)
    pure = NoiseModel.biased(0.03, math.inf)
    assert channel(pure.apply(stim.Circuit("H 0"))) == [0, 0, 0.03]
    two = dict(zip(PAIRS, channel(pure.apply(stim.Circuit("CX 0 1"))), strict=True))
    assert {pair for pair, rate in two.items() if rate} == {"IZ", "ZI", "ZZ"}
    assert math.fsum(two.values()) == pytest.approx(0.03)
    # Flips of preparations and measurements know no bias.
    assert NoiseModel.biased(0.125, 9).apply(stim.Circuit("R 0")) == stim.Circuit("R 0\nX_ERROR(0.125) 0")


def test_pauli25_puts_every_parameter_where_it_belongs() -> None:
    cx = [0.001 * (i + 1) for i in range(15)]
    noise = NoiseModel.pauli25(
        preparation=(0.01, 0.02),
        measurement=(0.03, 0.04),
        idle_cx=(0.05, 0.06, 0.07),
        idle_spam=(0.08, 0.09, 0.1),
        cx=cx,
    )
    noisy = noise.apply(stim.Circuit("R 0 2\nRX 1\nTICK\nCX 0 1\nTICK\nM 0\nMX 1\nTICK\nM 2"))
    rates = ", ".join(map(repr, cx))
    assert noisy == stim.Circuit(
        f"""
        R 0 2
        X_ERROR(0.01) 0 2
        RX 1
        Z_ERROR(0.02) 1
        TICK
        CX 0 1
        PAULI_CHANNEL_2({rates}) 0 1
        PAULI_CHANNEL_1(0.05, 0.06, 0.07) 2
        TICK
        X_ERROR(0.03) 0
        M 0
        Z_ERROR(0.04) 1
        MX 1
        PAULI_CHANNEL_1(0.08, 0.09, 0.1) 2
        TICK
        X_ERROR(0.03) 2
        M 2
        """
    )
    for name in ("H 0", "CZ 0 1", "MY 0", "RY 0", "MRY 0", "MPP X0*X1"):
        with pytest.raises(CircuitError, match=f"no rate for {name.split()[0]}"):
            noise.apply(stim.Circuit(name))


def test_two_depolarising_steps_make_the_window_of_the_reference() -> None:
    p = 0.3
    noise = NoiseModel.pauli25_from_uniform(p)
    single = dict(zip("IXYZ", [1 - p, p / 3, p / 3, p / 3], strict=True))
    product = {frozenset("X"): "X", frozenset("Y"): "Y", frozenset("Z"): "Z"}
    twice = dict.fromkeys("IXYZ", 0.0)
    for first, second in itertools.product("IXYZ", repeat=2):
        left = frozenset(first) ^ frozenset(second) if first != second else frozenset("I")
        left -= {"I"}
        result = "I" if not left else product.get(left) or ({*"XYZ"} - left).pop()
        twice[result] += single[first] * single[second]
    window = noise.apply(stim.Circuit("R 0 1\nTICK\nM 1\nTICK\nR 1\nTICK\nCX 0 1"))
    idle = next(i for i in window if i.name == "DEPOLARIZE1")
    assert idle.gate_args_copy()[0] / 3 == pytest.approx(twice["X"], abs=1e-15)
    assert noise.parameters == {"p": p}
    for line in ("R 0", "RX 0", "M 0", "MX 0"):
        flips = [i.gate_args_copy() for i in noise.apply(stim.Circuit(line)) if i.name in ("X_ERROR", "Z_ERROR")]
        assert flips == [[pytest.approx(0.2)]]
    assert channel(noise.apply(stim.Circuit("CX 0 1"))) == pytest.approx([p / 15] * 15)


def test_exact_error_models_wherever_the_channel_allows() -> None:
    circuit = rotated_surface_memory(3, 3)
    for noise in (NoiseModel.pauli25_from_uniform(0.01), NoiseModel.biased(0.01, 0.5)):
        noise.apply(circuit).detector_error_model()
    with pytest.raises(ValueError, match="approximate_disjoint_errors"):
        NoiseModel.biased(0.01, 10).apply(circuit).detector_error_model()


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.5, "0.1", None, True])
@pytest.mark.parametrize("name", NOISE_MODEL_NAMES)
def test_every_model_refuses_what_is_no_probability(name: str, bad: object) -> None:
    options = {"eta": 3} if name == "biased" else {}
    with pytest.raises(InputError, match=r"p must be a probability between 0 and .* got"):
        noise_model(name, bad, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseModel.uniform_depolarizing(0.8), "between 0 and 0.75, got 0.8: DEPOLARIZE1"),
        (lambda: NoiseModel.stim_memory(0.8), "p must be .* between 0 and 0.75, got 0.8: DEPOLARIZE1"),
        (
            lambda: NoiseModel.stim_memory(0.1, before_measure_flip_probability=2),
            "before_measure_flip_probability must be .* got 2",
        ),
        (
            lambda: NoiseModel.stim_memory(0.1, after_clifford_depolarization=0.9),
            "after_clifford_depolarization must be .* 0.75, got 0.9",
        ),
        (lambda: NoiseModel.si1000(0.3), "between 0 and 0.2, got 0.3: si1000 flips measurements with 5p"),
        (lambda: NoiseModel.biased(0.1, -1), "eta must be .* got -1"),
        (lambda: NoiseModel.biased(0.1, float("nan")), "eta must be .* got nan"),
        (lambda: NoiseModel.biased(0.1, "1"), "eta must be"),  # type: ignore[arg-type]
        (lambda: NoiseModel.biased(0.1, None), "eta must be"),  # type: ignore[arg-type]
        (lambda: NoiseModel.biased(0.1, 10**400), "eta must be"),
        (lambda: NoiseModel.biased(0.1, np.array([1.0])), "eta must be"),  # type: ignore[arg-type]
        (lambda: NoiseModel.si1000(10**400), "p must be a probability"),
        (lambda: NoiseModel.si1000(10**5000), "p must be a probability .* too long to print"),
        (lambda: NoiseModel.si1000(np.array([0.1, 0.2])), "p must be a probability"),  # type: ignore[arg-type]
        (lambda: NoiseModel.si1000(np.array([0.1])), "p must be a probability"),  # type: ignore[arg-type]
        (
            lambda: NoiseModel.phenomenological(0.1, data_qubits=3),  # type: ignore[arg-type]
            "data_qubits must be a list of qubits or None, got 3",
        ),
        (lambda: NoiseModel.phenomenological(0.1, data_qubits="01"), "data_qubits must be a list"),  # type: ignore[arg-type]
        (lambda: noise_model("biased", 0.1), "cannot be made .* 'eta'"),
        (lambda: noise_model("si1000", 0.1, eta=3), "cannot be made .* 'eta'"),
        (lambda: NoiseModel.code_capacity(0.1, data_qubits=[]), "at least one qubit"),
        (lambda: NoiseModel.code_capacity(0.1, data_qubits=[-1]), "data_qubits must be an integer >= 0"),
        (lambda: five(preparation=[0.1]), "preparation must be 2 probabilities"),
        (lambda: five(measurement=[0.1, 2]), r"measurement\[1\] must be a probability"),
        (lambda: five(idle_cx=[0.5, 0.5, 0.5]), "rates of idle_cx must sum to at most 1"),
        (lambda: five(idle_spam=[0.1, float("nan"), 0]), r"idle_spam\[1\]"),
        (lambda: five(cx=[0.01] * 16), "cx must be 15 probabilities"),
    ],
)
def test_bad_parameters(make: Callable[[], NoiseModel], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def five(**changes: object) -> NoiseModel:
    rates: dict[str, object] = {
        "preparation": [0.1] * 2,
        "measurement": [0.1] * 2,
        "idle_cx": [0.1] * 3,
        "idle_spam": [0.1] * 3,
        "cx": [0.01] * 15,
    }
    return NoiseModel.pauli25(**{**rates, **changes})  # type: ignore[arg-type]


def all_models() -> list[NoiseModel]:
    return [
        *(noise_model(name, 0.01, **({"eta": 3} if name == "biased" else {})) for name in NOISE_MODEL_NAMES),
        NoiseModel.stim_memory(0.01, after_reset_flip_probability=0.02, data_qubits=(2, 1)),
        NoiseModel.biased(0.01, math.inf),
        five(),
    ]


@pytest.mark.parametrize("noise", all_models(), ids=lambda noise: noise.name)
def test_models_are_values(noise: NoiseModel) -> None:
    again = pickle.loads(pickle.dumps(noise))
    assert again == noise
    assert hash(again) == hash(noise)
    assert len(set(all_models())) == len(all_models())
    assert eval(repr(noise)) == noise
    assert json.loads(json.dumps(noise.parameters, allow_nan=False)).keys() == noise.parameters.keys()
    with pytest.raises(AttributeError):
        noise.name = "other"  # type: ignore[misc]
    circuit = stim.Circuit("R 0 1 2\nTICK\nCX 0 2 1 2\nTICK\nMR 2\nDETECTOR rec[-1]\nTICK\nM 0 1")
    assert again.apply(circuit) == noise.apply(circuit)


def test_no_noise_at_rate_zero() -> None:
    circuit = rotated_surface_memory(3, 1)
    for name in NOISE_MODEL_NAMES:
        noise = noise_model(name, 0, **({"eta": 3} if name == "biased" else {}))
        assert noise.apply(circuit) == circuit
    with pytest.raises(CircuitError, match="single round"):
        NoiseModel.code_capacity(0).apply(rotated_surface_memory(3, 2))


def test_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'si1000'"):
        noise_model("SI1000", 0.01)
    assert noise_model("pauli25", 0.01) == NoiseModel.pauli25_from_uniform(0.01)
    assert noise_model("stim_memory", 0.01).parameters == {"p": 0.01}
    assert noise_model("pauli25", 0.01).parameters == {"p": 0.01}
    assert noise_model("biased", **NoiseModel.biased(0.1, math.inf).parameters) == NoiseModel.biased(0.1, math.inf)


def test_mistakes_inside_a_model_are_not_blamed_on_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(p: float) -> NoiseModel:
        raise TypeError(f"a mistake of ours with {p}")

    monkeypatch.setitem(noise_registry._BY_NAME, "si1000", broken)
    with pytest.raises(TypeError, match="a mistake of ours"):
        noise_model("si1000", 0.01)
