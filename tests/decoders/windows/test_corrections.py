"""Corrections committed in windows explain all events, in graphs with and without boundaries; error rates; sinter."""

import math
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell import circuits
from quell.decoders.windows.windowed import Windowed
from quell.errors import InputError
from tests.decoders.windows.models import random_memory, torus, with_an_observable_for_each_part

WAYS: dict[str, dict[str, Any]] = {
    "sliding": {"commit": 3, "buffer": 2},
    "parallel": {"commit": 3, "buffer": 3, "scheme": "parallel"},
    "small gaps": {"commit": 3, "buffer": 3, "scheme": "parallel", "gap": 1},
    "blocks": {"commit": (3, 3), "buffer": (2, 1), "axis": "space-time"},
}


def decode(decoder: sinter.Decoder, dem: stim.DetectorErrorModel, dets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    packed = np.packbits(dets, axis=1, bitorder="little")
    found = decoder.compile_decoder_for_dem(dem=dem).decode_shots_bit_packed(bit_packed_detection_event_data=packed)
    return np.unpackbits(found, axis=1, count=dem.num_observables, bitorder="little").astype(np.bool_)


def measurement_errors() -> stim.DetectorErrorModel:
    """Chains in time alone: a gap of one layer holds detectors of which no error is left."""
    circuit = stim.Circuit.generated(
        "repetition_code:memory", distance=3, rounds=12, before_measure_flip_probability=0.2
    )
    return circuit.detector_error_model()


@pytest.mark.parametrize("inner", ["pymatching", "pymatching-correlated"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["torus", "measurement errors"])
def test_models_without_boundary_in_space(name: str, way: str, inner: str) -> None:
    if name == "torus":
        whole = torus(4, 12, 0.05)
        # Around the torus errors reach across all columns, so that only time is cut.
        kind = {"commit": (3, 4), "buffer": (2, 3), "axis": "space-time"} if way == "blocks" else WAYS[way]
    elif way == "blocks":
        pytest.skip("it has no area")
    else:
        whole, kind = measurement_errors(), WAYS[way]
    dem, checks, _ = with_an_observable_for_each_part(whole)
    dets = dem.compile_sampler(seed=3).sample(200)[0]
    decoder = Windowed(inner, **kind)
    assert len(decoder.plan(dem).windows) > 3
    errors = decode(decoder, dem, dets)
    np.testing.assert_array_equal(errors.astype(np.int64) @ checks % 2, dets)
    assert dets.sum() > 1000


def corrections_of(seed: int, way: str) -> int:
    """Checks a random model; the number of its windows, or 0 where one would see everything."""
    rng = np.random.default_rng(seed)
    dem, checks, _ = with_an_observable_for_each_part(random_memory(rng))
    kind: dict[str, Any] = {"axis": way} if way == "space-time" else {"scheme": way}
    if way != "sliding":
        kind["gap"] = int(rng.integers(1, 4))
    decoder = Windowed(commit=int(rng.integers(1, 4)), buffer=int(rng.integers(1, 3)), **kind)
    dets = dem.compile_sampler(seed=seed % 1000).sample(20)[0]
    try:
        windows = decoder.plan(dem).windows
    except InputError as error:
        if "one window would see all of it" in str(error):
            return 0
        raise
    errors = decode(decoder, dem, dets)
    np.testing.assert_array_equal(errors.astype(np.int64) @ checks % 2, dets)
    return len(windows)


@pytest.mark.parametrize("way", ["sliding", "parallel", "space-time"])
def test_random_graphs(way: str) -> None:
    """Many at once: closed windows with odd events come in every combination of boundaries and ways out."""
    assert sum(corrections_of(seed, way) > 2 for seed in range(1000, 1120)) > 20


@pytest.mark.parametrize("scheme", ["parallel", "sliding"])
def test_codes_without_boundary_keep_their_error_rate(scheme: str) -> None:
    """On the same shots: a tenth more errors, and 5 standard deviations of the shots that differ, are let pass.

    That it fails by chance has a probability below 1e-6.
    """
    circuit = circuits.rp2_memory(3, 30, noise=circuits.NoiseModel.uniform_depolarizing(0.002))
    dem = circuit.detector_error_model(decompose_errors=True)
    dets, flips = circuit.compile_detector_sampler(seed=12).sample(10000, separate_observables=True)
    whole = (decode(sinter.BUILT_IN_DECODERS["pymatching"], dem, dets) != flips).any(axis=1)
    wrong = (decode(Windowed(commit=3, buffer=3, scheme=scheme), dem, dets) != flips).any(axis=1)
    assert whole.sum() > 300
    assert wrong.sum() < 1.1 * whole.sum() + 5 * math.sqrt((whole != wrong).sum())
