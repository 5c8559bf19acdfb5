"""What windows refuse, with messages that say the way out; and that the limits they name are the right ones."""

from typing import Any

import numpy as np
import pymatching
import pytest
import stim

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.windows.windowed import Windowed, plan_windows
from quell.errors import InputError

CHAIN = "\n".join([*(f"error(0.1) D{d} D{d + 1}" for d in range(7)), "error(0.05) D0 L0", "error(0.01) D7"])
TIMES = "\n".join(f"detector({d}) D{d}" for d in range(8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"commit": 0}, "commit must be an integer >= 1, got 0"),
        ({"buffer": -1}, "buffer must be an integer >= 0, got -1"),
        ({"commit": 2.5}, "commit must be .*2.5"),
        ({"commit": ()}, "commit must be one number of layers in time for axis='time', got"),
        ({"commit": (2, 2)}, "commit must be one number of layers in time for axis='time', got"),
        ({"buffer": (1, 2, 3), "axis": "space-time"}, "buffer must be one number of layers, or two, in time and in"),
        ({"gap": 0, "scheme": "parallel"}, "gap must be an integer >= 1, got 0"),
        ({"gap": 2}, "gap is what lies between parallel blocks: leave it out, or pass scheme='parallel'"),
        ({"axis": "space"}, "axis.*'space'"),
        ({"scheme": "serial"}, "scheme.*'serial'"),
        ({"axis": "space-time", "scheme": "sliding"}, "blocks in space are parallel: leave scheme='sliding' out"),
        ({"time": -2}, "time must be an integer >= -1, got -2"),
        ({"workers": 0}, "workers must be an integer >= 1, got 0"),
        ({"inner": "mwpm"}, "decoder.*'mwpm'"),
        ({"inner": 3}, "inner must be the name of a decoder"),
        ({"inner": pymatching.Matching()}, "inner is a pymatching.Matching, which has one model.*inner='pymatching'"),
    ],
)
def test_settings_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Windowed(**{"commit": 2, "buffer": 2, **arguments})


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (CHAIN, {}, "8 of 8 detectors have no time"),
        (f"{CHAIN}\n{TIMES}", {"axis": "space-time"}, r"8 of 8 detectors have no x, y and time \(D0 has"),
        (f"{CHAIN}\n{TIMES}\ndetector(1, 2) D8", {}, "D0 has 1 coordinates and others have 2, so"),
        (f"{CHAIN}\n{TIMES}", {"commit": 9}, "commit=9 and buffer=2 rounds are more than the 8 layers of detectors"),
        (f"{CHAIN}\n{TIMES}", {"buffer": 8}, "commit=2 and buffer=8 rounds are more than the 8 layers of detectors"),
        (f"{CHAIN}\n{TIMES}", {"buffer": 0}, "does not see D2, so that .* 1 layers in time, and the buffer must be at"),
        (
            f"{CHAIN}\n{TIMES}\nerror(0.1) D2 D5",
            {"scheme": "parallel", "gap": 1, "buffer": 3},
            "reaches over the gap between two blocks: commit and gap must be at least 3 in time",
        ),
        (
            f"{CHAIN}\n{TIMES}\nerror(0.1) D0 D1 D2",
            {"scheme": "parallel"},
            "an error of the model flips 3 detectors and is not decomposed, which .* decompose_errors=True, or pass",
        ),
    ],
)
def test_models_that_are_refused(text: str, arguments: dict[str, Any], message: str) -> None:
    dem = stim.DetectorErrorModel(text)
    decoder = Windowed(**{"commit": 2, "buffer": 2, **arguments})
    for refuse in (decoder.plan, lambda dem: decoder.compile_decoder_for_dem(dem=dem), decoder.stream):
        with pytest.raises(InputError, match=message):
            refuse(dem)
    with pytest.raises(InputError, match=r"a stim\.DetectorErrorModel is needed, got str"):
        decoder.plan(text)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("reach", [1, 2, 4])
@pytest.mark.parametrize("scheme", ["sliding", "parallel"])
def test_the_smallest_buffer_that_is_said_to_work_works(reach: int, scheme: str) -> None:
    lines = [*(f"error(0.1) D{d} D{d + 1}" for d in range(29)), *(f"detector({d}) D{d}" for d in range(30))]
    lines += [f"error(0.1) D{d} D{d + reach}" for d in range(0, 30 - reach)]
    dem = stim.DetectorErrorModel("\n".join([*lines, "error(0.01) D0 L0"]))
    for buffer in range(reach):
        with pytest.raises(InputError, match=f"reach over {reach} layers in time, and the buffer must be at least"):
            plan_windows(dem, commit=4, buffer=buffer, scheme=scheme)
    plan_windows(dem, commit=4, buffer=reach, scheme=scheme)
    if scheme == "parallel":
        for gap in range(1, reach):
            with pytest.raises(InputError, match=f"commit and gap must be at least {reach} in time"):
                plan_windows(dem, commit=4, buffer=reach, gap=gap, scheme=scheme)
        plan_windows(dem, commit=4, buffer=reach, gap=reach, scheme=scheme)


def test_the_smallest_buffer_in_space() -> None:
    dem = rotated_surface_memory(5, 8, noise=NoiseModel.uniform_depolarizing(0.01)).detector_error_model(
        decompose_errors=True
    )
    coordinates = dem.get_detector_coordinates()
    columns = [sorted({place[axis] for place in coordinates.values()}) for axis in (0, 1)]
    reach = max(
        abs(columns[axis].index(coordinates[a][axis]) - columns[axis].index(coordinates[b][axis]))
        for axis in (0, 1)
        for a, b in edges_of(dem)
    )
    assert reach == 2
    way: dict[str, Any] = {"commit": (3, 3), "axis": "space-time"}
    with pytest.raises(InputError, match="over 1 layers in time and 2 in space, and the buffer must be at least that"):
        plan_windows(dem, buffer=(2, reach - 1), **way)
    plan_windows(dem, buffer=(2, reach), **way)
    with pytest.raises(InputError, match="commit and gap must be at least 1 in time and 2 in space"):
        plan_windows(dem, buffer=(2, reach), gap=(3, 1), **way)


def edges_of(dem: stim.DetectorErrorModel) -> set[tuple[int, int]]:
    flat = dem.flattened()
    groups = [
        sorted(target.val for target in group if target.is_relative_detector_id())
        for instruction in (flat[i] for i in range(len(flat)))
        if instruction.type == "error"
        for group in instruction.target_groups()
    ]
    return {(group[0], group[1]) for group in groups if len(group) == 2}


def test_shots_of_another_width_are_refused() -> None:
    compiled = Windowed(commit=3, buffer=3).compile_decoder_for_dem(
        dem=stim.DetectorErrorModel("\n".join(f"error(0.1) D{d}\ndetector({d // 4}) D{d}" for d in range(64)))
    )
    for events in (np.zeros((5, 7), np.uint8), np.zeros((5, 64), np.bool_), np.zeros(8, np.uint8)):
        with pytest.raises(InputError, match=r"must be bit-packed: uint8 of shape \(shots, 8\)"):
            compiled.decode_shots_bit_packed(bit_packed_detection_event_data=events)
