"""Plans of windows: what cannot be cut and what is said of it, repeated blocks, and models that windows share."""

import numpy as np
import pytest
import stim

from quell import circuits
from quell.decoders.windows.windowed import plan_windows
from quell.errors import InputError, UnknownNameError
from tests.decoders.windows.models import torus

NOISE = circuits.NoiseModel.uniform_depolarizing(0.004)
SETTINGS = [
    {"commit": 3, "buffer": 2},
    {"commit": 2, "buffer": 3, "scheme": "parallel"},
    {"commit": (3, 2), "buffer": (2, 2), "axis": "space-time"},
]
REPETITION = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=8, after_clifford_depolarization=0.01)


def memory(distance: int, rounds: int) -> stim.DetectorErrorModel:
    return circuits.rotated_surface_memory(distance, rounds=rounds, noise=NOISE).detector_error_model(
        decompose_errors=True
    )


def test_ways_out_do_not_keep_windows_of_a_torus_from_sharing_models() -> None:
    numbers = [
        len(plan_windows(torus(3, rounds, 0.02), commit=2, buffer=2, scheme="parallel").models)
        for rounds in (120, 200, 300)
    ]
    assert numbers[0] == numbers[1] == numbers[2] < 30


@pytest.mark.parametrize("kind", SETTINGS)
def test_repeat_blocks_change_nothing(kind: dict[str, object]) -> None:
    dem = memory(3, 20)
    assert "repeat" in str(dem)
    one, other = plan_windows(dem, **kind), plan_windows(dem.flattened(), **kind)  # type: ignore[arg-type]  # of several types
    assert one.models == other.models
    assert [window.model for window in one.windows] == [window.model for window in other.windows]


def test_a_window_over_everything_has_the_model_as_it_is() -> None:
    dem = memory(3, 4)
    for kind in (
        {"commit": 3, "buffer": 2},
        {"commit": 5, "buffer": 0},
        {"commit": 5, "buffer": 1, "scheme": "parallel"},
    ):
        plan = plan_windows(dem, **kind)  # type: ignore[arg-type]  # of several types
        assert plan.models == (dem,)
        np.testing.assert_array_equal(plan.windows[0].detectors, np.arange(dem.num_detectors))


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("error(0.1) D0\ndetector D1", {}, "2 of 2 detectors have no time .D0 .*DETECTOR"),
        ("error(0.1) D0\ndetector(0) D0\nerror(0.1) D1", {}, "1 of 2 detectors have no time .D1 "),
        ("detector(0, 0) D0\ndetector(0) D1", {}, "D1 has 1 coordinates and others have 2"),
        ("detector(0, 0) D0\ndetector(0, 1) D1", {"axis": "space-time"}, "2 of 2 detectors have no x, y and time"),
        ("detector(0) D0\ndetector(1) D1", {"buffer": 2}, "buffer=2 rounds are more than the 2 layers"),
        ("detector(0) D0\ndetector(1) D1", {"commit": 3, "buffer": 0}, "commit=3 .* the 2 layers"),
        (
            "detector(0) D0\ndetector(1) D1\ndetector(2) D2\nerror(0.1) D0 D1 D2",
            {"scheme": "parallel"},
            "flips 3 detectors and is not decomposed",
        ),
    ],
)
def test_models_that_cannot_be_cut(text: str, kind: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan_windows(stim.DetectorErrorModel(text), **{"commit": 1, "buffer": 1, **kind})  # type: ignore[arg-type]  # of several types


def test_a_buffer_that_is_too_small_is_told_the_smallest_that_works() -> None:
    lines = [f"detector({t}) D{t}" for t in range(12)] + [f"error(0.1) D{t}" for t in range(12)]
    lines += [f"error(0.1) D{t} D{t + 1}" for t in range(11)] + [f"error(0.1) D{t} D{t + 3}" for t in range(9)]
    dem = stim.DetectorErrorModel("\n".join(lines))
    for buffer in (0, 1, 2):
        with pytest.raises(InputError, match=r"the error D\d+, D\d+ .* reach over 3 layers in time.*at least that"):
            plan_windows(dem, commit=2, buffer=buffer)
    assert len(plan_windows(dem, commit=2, buffer=3).windows) == 5
    with pytest.raises(InputError, match="commit and gap must be at least 3 in time"):
        plan_windows(dem, commit=3, buffer=4, gap=2, scheme="parallel")
    assert len(plan_windows(dem, commit=3, buffer=3, gap=3, scheme="parallel").windows) == 4


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ({"commit": 0}, "commit must be an integer >= 1, got 0"),
        ({"commit": ()}, "one number of layers in time for axis='time'"),
        ({"commit": 1.5}, "commit must be an integer >= 1, got 1.5"),
        ({"buffer": -1}, "buffer must be an integer >= 0, got -1"),
        ({"buffer": (1, 1)}, "one number of layers in time for axis='time'"),
        ({"commit": (1, 1, 1), "axis": "space-time"}, "or two, in time and in space"),
        ({"gap": 0, "scheme": "parallel"}, "gap must be an integer >= 1, got 0"),
    ],
)
def test_lengths_that_are_none(kind: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan_windows(REPETITION.detector_error_model(), **{"commit": 1, "buffer": 1, **kind})  # type: ignore[arg-type]  # of several types


def test_names_and_types_that_are_wrong() -> None:
    dem = REPETITION.detector_error_model()
    with pytest.raises(UnknownNameError, match="did you mean 'space-time'"):
        plan_windows(dem, commit=1, buffer=1, axis="space_time")
    with pytest.raises(UnknownNameError, match="did you mean 'sliding'"):
        plan_windows(dem, commit=1, buffer=1, scheme="slide")
    with pytest.raises(InputError, match="is needed, got Circuit"):
        plan_windows(REPETITION, commit=1, buffer=1)  # type: ignore[arg-type]  # a wrong one
    assert plan_windows(stim.DetectorErrorModel("logical_observable L2"), commit=1, buffer=1).windows == ()
