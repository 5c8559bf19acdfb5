"""Suppression factors against closed forms and a brute-force likelihood."""

import json
import math

import numpy as np
import pytest
import sinter
from scipy import optimize
from scipy import stats as scipy_stats

from quell.errors import DataError, InputError, NoThresholdError
from quell.qec.analysis import fit_lambda, fit_lambdas


def rows(
    errors: dict[int, int], *, shots: int = 100_000, rounds: int | None = 10, p: float | None = 0.01
) -> list[sinter.TaskStats]:
    return [
        sinter.TaskStats(
            strong_id=f"{d},{p},{rounds}",
            decoder="any",
            json_metadata={"d": d} | ({} if rounds is None else {"r": rounds}) | ({} if p is None else {"p": p}),
            shots=shots,
            errors=k,
        )
        for d, k in errors.items()
    ]


def expected(shots: int, factor: float, *, prefactor: float = 0.05, rounds: int = 10) -> dict[int, int]:
    return {d: round(shots * (1 - (1 - 2 * prefactor * factor ** (-(d + 1) / 2)) ** rounds) / 2) for d in (3, 5, 7, 9)}


@pytest.mark.parametrize("factor", [0.8, 1.5, 4.0, 30.0])
def test_exact_rates_give_back_the_factor(factor: float) -> None:
    fit = fit_lambda(rows(expected(10**12, factor), shots=10**12))
    assert fit.factor.value == pytest.approx(factor, rel=1e-4)
    assert fit.prefactor.value == pytest.approx(0.05, rel=1e-4)
    assert fit.predict([3, 5]) == pytest.approx(0.05 * factor ** -np.array([2.0, 3.0]), rel=1e-4)
    assert [pair.factor.value for pair in fit.pairs] == pytest.approx([factor] * 3, rel=0.02)


@pytest.mark.parametrize(
    "errors",
    [
        {3: 542, 5: 40, 7: 3, 9: 0},
        {3: 2162, 5: 398, 7: 67, 9: 9},
        {3: 28628, 5: 22870, 7: 17434, 9: 13081},
        {3: 3085, 5: 3628, 7: 4000},
        {3: 50, 7: 1},
    ],
)
def test_fit_and_interval_are_those_of_the_profile_likelihood(errors: dict[int, int]) -> None:
    n = 100_000
    d, k = np.array(list(errors)), np.array(list(errors.values()))

    def loss(offset: float, slope: float) -> float:
        q = np.minimum(np.exp(offset - slope * (d + 1) / 2), 0.4999999)
        return -float(scipy_stats.binom.logpmf(k, n, (1 - (1 - 2 * q) ** 10) / 2).sum())

    def profile(slope: float) -> float:
        # minimal over the offset, searched around where the counts put it
        centre = float(np.average(np.log(np.maximum(k, 0.5) / n / 10) + slope * (d + 1) / 2, weights=k + 1e-9))
        found = optimize.minimize_scalar(
            lambda o: loss(o, slope), bounds=(centre - 3, centre + 3), options={"xatol": 1e-11}
        )
        return float(found.fun)

    fit = fit_lambda(rows(errors, shots=n))
    assert [warning for warning in fit.warnings if "no suppression" not in warning] == []
    at, low, high = (math.log(x) for x in (fit.factor.value, fit.factor.low, fit.factor.high))
    least = optimize.minimize_scalar(profile, bounds=(at - 1, at + 1), options={"xatol": 1e-9})
    assert at == pytest.approx(least.x, abs=1e-4)
    rise = scipy_stats.chi2.ppf(0.95, 1) / 2
    assert profile(low) - least.fun == pytest.approx(rise, rel=1e-3)
    assert profile(high) - least.fun == pytest.approx(rise, rel=1e-3)


def test_two_distances_have_a_closed_form() -> None:
    fit = fit_lambda(rows({3: 900, 7: 100}, rounds=1))
    assert fit.factor.value == pytest.approx(3.0)
    assert math.isnan(fit.chi2_per_dof)
    # delta method for (900/100)^(1/2): relative error sqrt((1/900 + 1/100) - 2/n)/2
    sigma = math.sqrt(1 / 900 + 1 / 100 - 2e-5) / 2
    assert math.log(fit.factor.high / fit.factor.low) == pytest.approx(2 * 1.96 * sigma, rel=0.01)


def test_a_distance_without_errors_counts() -> None:
    with_zero = fit_lambda(rows({3: 1000, 5: 100, 7: 0}))
    without = fit_lambda(rows({3: 1000, 5: 100}))
    assert with_zero.factor.value > without.factor.value
    last = with_zero.pairs[-1].factor
    assert math.isinf(last.value)
    # 100 errors against fewer than 3/n: the limit is near 100/3 and below 100/1.9
    assert 20 < last.low < 50
    json.dumps(with_zero.pairs[-1].to_json(), allow_nan=False)


def test_rates_that_do_not_follow_the_law_are_reported() -> None:
    fit = fit_lambda(rows({3: 20_000, 5: 1000, 7: 500}))
    assert "p-value" in fit.warnings[0]
    assert fit.chi2_per_dof > 10
    assert json.loads(json.dumps(fit.to_json(), allow_nan=False))["warnings"]


def test_rounds_that_follow_the_distance() -> None:
    shots = 10**10
    stats = []
    for d in (3, 5, 7):
        q = 0.05 * 4.0 ** (-(d + 1) / 2)
        stats += rows({d: round(shots * (1 - (1 - 2 * q) ** (3 * d)) / 2)}, shots=shots, rounds=3 * d)
    fit = fit_lambda(stats)
    assert fit.factor.value == pytest.approx(4, rel=1e-6)
    assert fit.chi2_per_dof < 1e-3


def test_coverage() -> None:
    rng = np.random.default_rng(11)
    q = 0.05 * 4.0 ** (-(np.array([3, 5, 7]) + 1) / 2)
    rate = (1 - (1 - 2 * q) ** 10) / 2
    hits = 0
    for _ in range(40):
        k = rng.binomial(20_000, rate)
        fit = fit_lambda(rows(dict(zip((3, 5, 7), k.tolist(), strict=True)), shots=20_000))
        hits += fit.factor.low <= 4.0 <= fit.factor.high
    # Fewer than 28 of 40 at a coverage of 95 %: false alarm below 1e-6
    assert scipy_stats.binom.cdf(27, 40, 0.95) < 1e-6
    assert hits >= 28


def test_several_error_rates() -> None:
    both = rows({3: 900, 5: 300}) + rows({3: 1600, 5: 1000}, p=0.02) + rows({3: 5, 5: 0}, p=0.001)
    assert [fit.p for fit in fit_lambdas(both)] == [0.01, 0.02]
    assert fit_lambda(both, p=0.02) == fit_lambdas(both)[1]
    with pytest.raises(InputError, match="choose one with p="):
        fit_lambda(both)
    with pytest.raises(InputError, match="one of the sampled"):
        fit_lambda(both, p=0.5)
    assert fit_lambda(rows({3: 900, 5: 300}, p=None)).p is None
    assert len(fit_lambdas(rows({3: 900, 5: 300}, p=None))) == 1


def test_refusals() -> None:
    for few in ({3: 10}, {3: 10, 5: 0}, {3: 0, 5: 0}):
        with pytest.raises(NoThresholdError, match="two distances"):
            fit_lambda(rows(few))
        with pytest.raises(NoThresholdError, match="two distances"):
            fit_lambdas(rows(few))
    with pytest.raises(DataError, match="rounds"):
        fit_lambda(rows({3: 10, 5: 5}, rounds=None))
    with pytest.raises(DataError, match="different numbers of rounds"):
        fit_lambda(rows({3: 10}, rounds=3) + rows({5: 5}, rounds=5), per="shot")
    with pytest.raises(InputError, match="per must be"):
        fit_lambda(rows({3: 10, 5: 5}), per="hour")  # type: ignore[arg-type]
    assert fit_lambda(rows({3: 90, 5: 30}, rounds=None), per="shot").factor.value == pytest.approx(3)


def test_rates_of_one_half_are_refused() -> None:
    with pytest.raises(NoThresholdError, match="as good as random"):
        fit_lambda(rows({3: 50_200, 5: 49_900, 7: 50_100}))
