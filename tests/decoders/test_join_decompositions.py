"""Joined errors: the distribution stays what it was, and matching decoders err no more."""

import itertools

import numpy as np
import pymatching
import pytest
import stim

from quell import circuits
from quell.decoders import join_equal_errors
from quell.errors import InputError


def distribution(dem: stim.DetectorErrorModel) -> dict[tuple[bytes, bytes], float]:
    """The probability of each pattern of events and observables, by enumeration of all errors."""
    found: dict[tuple[bytes, bytes], float] = {}
    errors = [dem[i] for i in range(len(dem)) if dem[i].type == "error"]
    for happens in itertools.product((False, True), repeat=len(errors)):
        probability = 1.0
        detectors, observables = np.zeros(dem.num_detectors, bool), np.zeros(dem.num_observables, bool)
        for error, happened in zip(errors, happens, strict=True):
            p = error.args_copy()[0]
            probability *= p if happened else 1 - p
            for target in error.targets_copy() if happened else []:
                if not target.is_separator():
                    (detectors if target.is_relative_detector_id() else observables)[target.val] ^= True
        key = detectors.tobytes(), observables.tobytes()
        found[key] = found.get(key, 0.0) + probability
    return found


@pytest.mark.parametrize("seed", range(10))
def test_distribution_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dem = stim.DetectorErrorModel("detector D4\nlogical_observable L1")
    for _ in range(9):
        parts: list[stim.DemTarget] = []
        for part in range(rng.integers(1, 4)):
            parts += [stim.target_separator()] * (part > 0)
            parts += [
                stim.target_relative_detector_id(int(d)) for d in rng.choice(3, rng.integers(1, 3), replace=False)
            ]
            parts += [stim.target_logical_observable_id(0)] * int(rng.integers(2))
        dem.append("error", float(rng.uniform(0, 0.6)), parts)
    joined = join_equal_errors(dem)
    assert joined.num_detectors == 5
    assert joined.num_observables == 2
    before, after = distribution(dem), distribution(joined)
    for key in before.keys() | after.keys():
        assert before.get(key, 0.0) == pytest.approx(after.get(key, 0.0), abs=1e-12)


def test_each_effect_is_in_as_few_parts_as_it_was_anywhere() -> None:
    circuit = circuits.rotated_surface_memory(5, rounds=5, noise=circuits.NoiseModel.uniform_depolarizing(0.004))
    dem = circuit.detector_error_model(decompose_errors=True)
    joined = join_equal_errors(dem)
    assert joined.num_errors < dem.num_errors

    def parts(model: stim.DetectorErrorModel) -> dict[tuple[frozenset[int], frozenset[int]], set[int]]:
        found: dict[tuple[frozenset[int], frozenset[int]], set[int]] = {}
        flat = model.flattened()
        for error in (flat[i] for i in range(len(flat)) if flat[i].type == "error"):
            detectors: set[int] = set()
            observables: set[int] = set()
            for group in error.target_groups():
                detectors ^= {t.val for t in group if t.is_relative_detector_id()}
                observables ^= {t.val for t in group if t.is_logical_observable_id()}
            found.setdefault((frozenset(detectors), frozenset(observables)), set()).add(len(error.target_groups()))
        return found

    before, after = parts(dem), parts(joined)
    assert before.keys() == after.keys()
    assert all(after[effect] == {min(before[effect])} for effect in before)


def test_matching_errs_less() -> None:
    # With this seed 727 shots get better and 411 worse, 9.4 standard errors; that chance makes it 3 has odds of 1e-10.
    circuit = stim.Circuit.generated(
        "surface_code:unrotated_memory_z",
        distance=3,
        rounds=3,
        after_clifford_depolarization=0.01,
        before_measure_flip_probability=0.01,
    )
    dem = circuit.detector_error_model(decompose_errors=True)
    dets, flips = circuit.compile_detector_sampler(seed=8).sample(100_000, separate_observables=True)
    wrong = []
    for model in (dem, join_equal_errors(dem)):
        matching = pymatching.Matching.from_detector_error_model(model, enable_correlations=True)
        wrong.append((matching.decode_batch(dets, enable_correlations=True) != flips).any(axis=1))
    worse, better = int((wrong[1] & ~wrong[0]).sum()), int((wrong[0] & ~wrong[1]).sum())
    assert better - worse > 3 * (better + worse) ** 0.5


def test_no_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"a stim.DetectorErrorModel is needed, got Circuit"):
        join_equal_errors(stim.Circuit())  # type: ignore[arg-type]  # what the test is about
