"""Parts of errors against a plain reading of the flattened model, error after error."""

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.windows.parts import Parts, read_parts

Part = tuple[tuple[int, ...], tuple[int, ...]]


def plainly(dem: stim.DetectorErrorModel) -> list[tuple[float, list[Part]]]:
    """Each error of the flattened model: its probability, and what its parts flip."""
    found = []
    flat = dem.flattened()
    for instruction in (flat[i] for i in range(len(flat))):
        if instruction.type != "error" or instruction.args_copy()[0] == 0:
            continue
        parts: list[Part] = []
        without: tuple[int, ...] = ()
        for group in instruction.target_groups():
            detectors = odd([target.val for target in group if target.is_relative_detector_id()])
            observables = odd([target.val for target in group if target.is_logical_observable_id()])
            if detectors:
                parts.append((detectors, observables))
            else:
                without = odd([*without, *observables])
        if parts:
            parts[0] = parts[0][0], odd([*parts[0][1], *without])
            found.append((instruction.args_copy()[0], parts))
    return found


def odd(values: list[int]) -> tuple[int, ...]:
    return tuple(value for value in sorted(set(values)) if values.count(value) % 2)


def listed(parts: Parts) -> list[tuple[float, list[Part]]]:
    def part(number: int) -> Part:
        start, stop = parts.part_starts[number : number + 2]
        return tuple(parts.detectors[start:stop].tolist()), parts.observables[parts.effects[number]]

    return [
        (float(p), [part(number) for number in range(parts.error_starts[error], parts.error_starts[error + 1])])
        for error, p in enumerate(parts.probabilities)
    ]


def check(dem: stim.DetectorErrorModel) -> None:
    parts = read_parts(dem)
    assert listed(parts) == plainly(dem)
    assert (parts.num_detectors, parts.num_observables) == (dem.num_detectors, dem.num_observables)
    assert parts.observables[0] == ()
    assert len(set(parts.observables)) == len(parts.observables)
    assert parts.error_starts[-1] == len(parts.effects) == len(parts.part_starts) - 1
    assert parts.part_starts[-1] == len(parts.detectors)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error(0.1) L0",
        "error(0.1) L0 ^ L1",
        "detector(1, 2) D7",
        "logical_observable L70",
        "error(0) D0 D1",
        "error(0.1) D0 D0",
        "error(0.1) D0 D0 L3",
        "error(0.1) D1 D0 D1 D2 L1 L1",
        "error(0.1) D0 D0 L0 ^ D3 D2 L0 L1 ^ D1",
        "error(0.1) L2 ^ D3 ^ D0 D1 L2",
        "error(1) D0 ^ D1 ^ D0 ^ D1",
        "error[tag](0.1) D0\nerror[other](0.1) D0\ndetector[x](1) D3",
        "error(0.1) D5 D4 D3 D2 D1 D0 L100",
        "shift_detectors 3\nerror(0.1) D0 D2\nshift_detectors(1, 2) 4\nerror(0.1) D1",
        "repeat 3 {\nerror(0.1) D0 D1\nerror(0) D3\nshift_detectors(0, 1) 2\nerror(0.2) D0 L1 ^ D4\n}\nerror(0.3) D0",
        "repeat 2 {\nerror(0.1) D0\nrepeat 3 {\nerror(0.1) D1 D2 L0\nshift_detectors 5\n}\nshift_detectors 1\n"
        "error(0.25) D0 D2\n}\nerror(0.1) D0 L2",
        "repeat 4 {\nshift_detectors 1\n}\nerror(0.1) D0",
        "repeat 4 {\nerror(0.1) L0\n}",
    ],
)
def test_models_by_hand(text: str) -> None:
    check(stim.DetectorErrorModel(text))


@pytest.mark.parametrize("decompose", [True, False])
def test_models_of_memories(decompose: bool) -> None:
    circuit = rotated_surface_memory(3, rounds=30, noise=NoiseModel.uniform_depolarizing(0.01))
    dem = circuit.detector_error_model(decompose_errors=decompose)
    assert any(isinstance(dem[i], stim.DemRepeatBlock) for i in range(len(dem)))
    check(dem)
    check(dem.flattened())


TARGETS = st.lists(st.integers(0, 5).map("D{}".format) | st.integers(0, 3).map("L{}".format), min_size=1, max_size=4)
ERRORS = st.tuples(st.sampled_from([0, 0.125, 0.3, 1]), st.lists(TARGETS, min_size=1, max_size=3)).map(
    lambda error: f"error({error[0]}) " + " ^ ".join(" ".join(group) for group in error[1])
)
SHIFTS = st.integers(0, 3).map("shift_detectors {}".format)
MODELS = st.recursive(
    st.lists(ERRORS | SHIFTS, min_size=1, max_size=4).map("\n".join),
    lambda inner: st.tuples(inner, st.integers(1, 3), inner).map(
        lambda each: f"{each[0]}\nrepeat {each[1]} {{\n{each[2]}\n}}\n{each[0]}"
    ),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(MODELS)
def test_any_model(text: str) -> None:
    check(stim.DetectorErrorModel(text))


def test_a_long_memory_is_read_once_a_round() -> None:
    dem = stim.DetectorErrorModel("repeat 100000 {\nerror(0.1) D0 D1\nerror(0.2) D0 L0\nshift_detectors 1\n}")
    parts = read_parts(dem)
    np.testing.assert_array_equal(parts.probabilities, np.tile([0.1, 0.2], 100000))
    np.testing.assert_array_equal(parts.detectors[::3], np.arange(100000))
    np.testing.assert_array_equal(parts.detectors[1::3], np.arange(100000) + 1)
    np.testing.assert_array_equal(parts.detectors[2::3], np.arange(100000))
    assert [parts.observables[effect] for effect in parts.effects[-2:]] == [(), (0,)]
