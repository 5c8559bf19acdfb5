"""Splitting against closed forms, and against sums over all outcomes."""

import math
import re
from typing import Any

import numpy as np
import pytest
import sinter
import stim

from quell import circuits
from quell.qec import rare_error_rates
from quell.qec.rare_events import methods
from quell.qec.rare_events.chains import ChainOrder, ChainProblem, ChainRunner, ChainYield, Ladder
from quell.qec.rare_events.splitting import join_histograms

from .test_strata import phenomenological
from .truths import HERE, assert_near, exact_rate, job_of, majority_failure, problem_of, repetition, surface


def test_histograms_of_expected_counts_give_the_density() -> None:
    log_scales = np.array([2.0, 1.2, 0.5, 0.0])
    sizes = np.arange(3, 13)
    density = np.array([math.comb(12, int(w)) * 0.05**w * (1 + 0.1 * (w % 3)) for w in sizes])
    histogram = np.zeros((4, 20), np.int64)
    for level, scale in enumerate(log_scales):
        weight = density * np.exp(scale * sizes)
        histogram[level, sizes] = np.round(weight / weight.sum() * (10**9 * (level + 1)))
    found, log_density, log_top = join_histograms(histogram, log_scales)
    np.testing.assert_array_equal(found, sizes)
    np.testing.assert_allclose(np.diff(log_density), np.diff(np.log(density)), atol=1e-3)  # whole counts
    assert log_top - log_density[0] == pytest.approx(
        math.log((density * np.exp(log_scales[0] * sizes)).sum() / density[0]), abs=1e-5
    )


def test_histograms_of_draws_give_the_ratio_of_two_noises() -> None:
    """Fourteen levels from 0.2 down to 0.001: 60 standard deviations of a count, and a factor of 10^11 between."""
    rng = np.random.default_rng(1)
    sizes = np.arange(5, 10)
    odds = 0.001 / 0.999
    log_scales = np.linspace(math.log(0.25 / odds), 0.0, 14)
    histogram = np.zeros((14, 10), np.int64)
    density = np.array([math.comb(9, int(w)) * odds**w for w in sizes])
    for level, scale in enumerate(log_scales):
        weight = density * np.exp(scale * sizes)
        histogram[level, sizes] = rng.multinomial(40_000, weight / weight.sum())
    _, log_density, log_top = join_histograms(histogram, log_scales)
    ratio = float(np.logaddexp.reduce(log_density)) - log_top
    expected = math.log(density.sum() / (density * np.exp(log_scales[0] * sizes)).sum())
    assert expected < -20
    assert ratio == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("circuit", [repetition([0.01] * 9), surface(5, 0.001)])
def test_a_top_is_found_whatever_the_seed(circuit: stim.Circuit) -> None:
    runner = ChainRunner(ChainProblem(problem_of(circuit)), None)
    for seed in range(12):
        log_scale, failing = runner._find_top(np.random.default_rng(seed))
        assert len(failing) >= 32
        assert log_scale > math.log(3)


def test_a_stop_in_between_changes_nothing_about_the_chains() -> None:
    runner = ChainRunner(ChainProblem(problem_of(repetition([0.01] * 5))), None)
    ladder = Ladder(np.array([2.5, 1.5, 0.5, 0.0]), 64)
    start = runner.run(ChainOrder("start", seed=1, ladder=ladder, num_ladders=2, anchor_failures=100), None)
    assert isinstance(start, ChainYield)
    assert start.anchor_failed >= 100

    def go_on(found: ChainYield, steps: int) -> ChainYield:
        after = runner.run(ChainOrder("go on", ladder=ladder, state=found.state, steps=steps), None)
        assert isinstance(after, ChainYield)
        return after

    through = go_on(start, 60)
    first = go_on(start, 20)
    second = go_on(first, 40)
    np.testing.assert_array_equal(first.histogram + second.histogram, through.histogram)
    np.testing.assert_array_equal(second.state.sets, through.state.sets)
    np.testing.assert_array_equal(first.trips + second.trips, through.trips)
    assert through.state.steps == 60
    assert through.anchor_shots == 0


@pytest.mark.parametrize(("size", "p"), [(9, 0.01), (9, 0.001), (5, 1e-5), (15, 0.01)])
def test_splitting_agrees_with_a_majority_vote(size: int, p: float) -> None:
    circuit = repetition([p] * size)
    (result,) = rare_error_rates(
        circuit, "pymatching", method="splitting", seed=2, target_relative_error=0.2, **HERE
    )  # fmt: skip
    assert result.method == "splitting"
    assert result.relative_error() <= 0.2
    assert_near(result, majority_failure(size, p), 5)


OUR_NOISE = circuits.NoiseModel.uniform_depolarizing(3e-4)
CIRCUITS: dict[str, tuple[stim.Circuit, str]] = {
    "uneven repetition": (repetition([0.01, 0.002, 0.02, 0.001, 0.005, 1e-4, 0.03]), "pymatching"),
    "surface code": (surface(3, 1e-4, rounds=2), "pymatching"),
    "ours, correlated": (circuits.rotated_surface_memory(3, 2, "Z", OUR_NOISE), "pymatching-correlated"),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_splitting_agrees_with_the_sum_over_all_outcomes(name: str) -> None:
    circuit, decoder = CIRCUITS[name]
    job = job_of(circuit, decoder)
    own: Any = job.decoder
    (result,) = rare_error_rates(
        circuit, decoder, method="splitting", seed=3, target_relative_error=0.2, **HERE
    )  # fmt: skip
    assert result.method == "splitting"
    assert_near(result, exact_rate(job.model, own), 5)


def test_one_run_serves_a_curve_whose_odds_do_not_scale_together() -> None:
    strengths = (4.8e-4, 5e-4, 5.2e-4)
    tasks = [sinter.Task(circuit=phenomenological(p, 0.001), json_metadata={"p": p}) for p in strengths]
    models = [job_of(task).model for task in tasks]
    results = rare_error_rates(
        tasks, "pymatching", method="splitting", seed=4, target_relative_error=0.25, **HERE
    )  # fmt: skip
    for result, model in zip(results, models, strict=True):
        assert result.method == "splitting"
        assert_near(result, exact_rate(model, weights=models[1]), 5)
    assert "weights of p = 0.0005" in results[0].assumes
    assert "up to 0.04" in results[0].assumes


def test_auto_splits_where_strata_would_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_PILOT_SECONDS", 0.0)
    monkeypatch.setattr(methods, "_LONG_SECONDS", 0.0)
    circuit = surface(5, 1e-3)
    (result,) = rare_error_rates(circuit, "pymatching", seed=6, target_relative_error=0.2, **HERE)
    assert result.method == "splitting"
    (strata,) = rare_error_rates(circuit, "pymatching", method="strata", seed=6, target_relative_error=0.1, **HERE)
    assert_near(result, strata.error_rate.value, 6)  # one more, for the error of the strata


def test_the_same_seed_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quell.qec.rare_events.splitting._BLOCK_DECODES", 8_192)
    options: Any = {"method": "splitting", "target_relative_error": 0.5, **HERE}
    first, again, other = (
        rare_error_rates(repetition([0.01] * 5), "pymatching", seed=s, **options)[0] for s in (7, 7, 8)
    )
    assert (first.error_rate, first.shots, first.details) == (again.error_rate, again.shots, again.details)
    assert first.error_rate != other.error_rate


def test_a_decoder_that_throws_coins_is_refused() -> None:
    class Sometimes(sinter.Decoder):
        def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
            return _Sometimes(dem)

    class _Sometimes(sinter.CompiledDecoder):
        def __init__(self, dem: stim.DetectorErrorModel) -> None:
            self.plain = sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)

        def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: np.ndarray) -> np.ndarray:
            right = self.plain.decode_shots_bit_packed(bit_packed_detection_event_data=bit_packed_detection_event_data)
            wrong = np.random.default_rng().random(len(right)) < 0.5
            busy = bit_packed_detection_event_data.any(axis=1)
            return right ^ (wrong & busy).astype(np.uint8)[:, None]

    (result,) = rare_error_rates(repetition([0.001] * 5), Sometimes(), method="splitting", seed=5, **HERE)
    assert not result.trusted
    assert re.search(r'different answers to the same shots.*method="strata"', result.reason)
