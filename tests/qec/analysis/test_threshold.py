"""Threshold fits against known scaling laws, scipy, and data without a crossing."""

import json
import math
from typing import Any

import numpy as np
import pytest
import sinter
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as scipy_stats

from quell.errors import DataError, InputError, NoThresholdError
from quell.qec.analysis import ThresholdFit, crossings, fit_threshold, group_stats, sample_scaling_law

TRUTH = 0.103
PS = [round(TRUTH * (1 + 0.03 * i), 6) for i in range(-4, 5)]
DISTANCES = [5, 7, 9, 11, 13, 17]


def sample(**changes: Any) -> list[sinter.TaskStats]:
    law: dict[str, Any] = {
        "threshold": TRUTH,
        "nu": 1.5,
        "coefficients": (0.16, 0.9, 0.4),
        "distances": DISTANCES,
        "ps": PS,
        "shots": 100_000,
        "seed": 1,
    }
    return sample_scaling_law(**{**law, **changes})


def curves(rate: Any, *, distances: list[int], ps: list[float], shots: int = 20_000) -> list[sinter.TaskStats]:
    """Statistics without noise from any function of distance and p."""
    return [
        sinter.TaskStats(
            strong_id=f"{d},{p}",
            decoder="any",
            json_metadata={"d": d, "p": p, "r": d},
            shots=shots,
            errors=round(shots * rate(d, p)),
        )
        for d in distances
        for p in ps
    ]


def arrays(rows: list[sinter.TaskStats]) -> tuple[NDArray[np.float64], ...]:
    d, p, n, k = np.array(
        [(r.json_metadata["d"], r.json_metadata["p"], r.shots, r.errors) for r in rows], dtype=np.float64
    ).T
    return d, p, n, k


@pytest.mark.parametrize("corrected", [False, True])
def test_a_single_fit_is_the_maximum_of_the_likelihood(corrected: bool) -> None:
    rows = sample(correction=(-0.15, 1.0) if corrected else None)
    fit = fit_threshold(
        rows, correction=corrected, correction_exponents=[1.0], window=(0, 1), min_distance=5, num_bootstrap=100
    )
    d, p, n, k = arrays(rows)

    def law(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        x = (p - theta[0]) * d ** theta[1]
        return np.asarray(theta[2] + theta[3] * x + theta[4] * x**2 + (theta[5] / d if corrected else 0))

    def loss(theta: NDArray[np.float64]) -> float:
        return -float(scipy_stats.binom.logpmf(k, n, np.clip(law(theta), 1e-9, 1 - 1e-9)).sum())

    c = [fit.coefficients[name].value for name in ("ABCD" if corrected else "ABC")]
    ours = np.array([fit.threshold.value, 1 / fit.exponent.value, *c])
    scale = np.abs(ours)
    best = optimize.minimize(
        lambda u: loss(u * scale), ours / scale * 1.02, method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-9, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True},
    )  # fmt: skip
    assert loss(ours) <= best.fun + 1e-3
    assert fit.predict(d, p) == pytest.approx(law(ours))
    pearson = float(np.sum(n * (k / n - law(ours)) ** 2 / (law(ours) * (1 - law(ours)))))
    dof = len(rows) - 5 - corrected
    assert fit.chi2_per_dof == pytest.approx(pearson / dof, rel=1e-4)
    assert fit.p_value == pytest.approx(scipy_stats.chi2.sf(pearson, dof), rel=1e-3)


def test_the_bootstrap_agrees_with_the_curvature_of_the_likelihood() -> None:
    fit = fit_threshold(
        sample(), correction=False, window=(0, 1), min_distance=5, num_bootstrap=2000, confidence=0.6827
    )
    half = (fit.threshold.high - fit.threshold.low) / 2
    # 2000 resamplings know a standard deviation to 1.6 %; 15 % is more than 9 sigma
    assert half == pytest.approx(fit.fits[0].threshold_error, rel=0.15)
    assert fit.systematic_spread == pytest.approx(0, abs=1e-12)


def test_noiseless_data_give_back_the_law() -> None:
    def law(d: float, p: float) -> float:
        x = (p - 0.103) * d ** (1 / 1.5)
        return 0.16 + 0.9 * x + 0.4 * x * x - 0.1 / d

    rows = curves(law, distances=DISTANCES, ps=PS, shots=10**12)
    fit = fit_threshold(rows, correction_exponents=[1.0])
    assert fit.threshold.value == pytest.approx(0.103, rel=1e-6)
    assert fit.exponent.value == pytest.approx(1.5, rel=1e-5)
    got = [fit.coefficients[name].value for name in ("A", "B", "C", "D", "mu")]
    assert got == pytest.approx([0.16, 0.9, 0.4, -0.1, 1.0], rel=1e-3)
    assert fit.correction_weight == pytest.approx(1)


def coverage(repetitions: int, **law: Any) -> float:
    hits = 0
    for seed in range(repetitions):
        fit = fit_threshold(sample(seed=seed, **law), num_bootstrap=300, seed=seed)
        hits += fit.threshold.low <= TRUTH <= fit.threshold.high
    return hits / repetitions


@pytest.mark.parametrize(
    "law",
    [
        {"shots": 20_000, "distances": [5, 7, 9, 11, 13]},
        {"shots": 50_000, "correction": (-0.1, 1.0), "distances": [5, 7, 9, 11, 13]},
    ],
)
def test_the_interval_covers_the_truth(law: dict[str, Any]) -> None:
    # Below 24 of 40 has probability 1e-10 at a coverage of 95 %, and 3e-7 even at one of 90 %.
    assert scipy_stats.binom.cdf(23, 40, 0.9) < 1e-6
    assert coverage(40, **law) >= 24 / 40


def test_json_has_what_is_promised() -> None:
    fit = fit_threshold(sample())
    out = json.loads(json.dumps(fit.to_json(), allow_nan=False))
    assert list(out)[:5] == ["threshold", "interval", "confidence", "exponent", "chi2_per_dof"]
    assert out["interval"][0] < out["threshold"] < out["interval"][1]
    assert out["confidence"] == 0.95
    assert out["exponent"]["interval"][0] < out["exponent"]["value"] < out["exponent"]["interval"][1]
    assert 0 < out["chi2_per_dof"] < 3
    assert out["window"][0] < TRUTH < out["window"][1]
    assert sum(f.weight for f in fit.fits) == pytest.approx(1)
    assert "threshold 0.10" in str(fit)
    assert len({len(line) for line in fit.table().splitlines()}) == 1


def test_the_same_seed_gives_the_same_numbers_and_order_does_not_matter() -> None:
    rows = sample(shots=10_000)
    first = fit_threshold(rows, num_bootstrap=200, seed=3)
    assert fit_threshold(rows[::-1], num_bootstrap=200, seed=3) == first
    halves = [r.with_edits(shots=r.shots // 2, errors=n) for r in rows for n in (r.errors // 2, -(-r.errors // 2))]
    assert fit_threshold(halves, num_bootstrap=200, seed=3).threshold == first.threshold


def test_a_drift_with_distance_is_reported() -> None:
    fit = fit_threshold(sample(correction=(-0.15, 1.0), shots=400_000))
    plain = [f for f in fit.drift if f.correction_exponent is None]
    assert plain[0].threshold < plain[1].threshold < TRUTH
    assert plain[0].threshold < fit.threshold.low < TRUTH < fit.threshold.high
    assert any("finite-size drift" in warning for warning in fit.warnings)
    assert not any("drift" in warning for warning in fit_threshold(sample()).warnings)


def test_a_law_that_does_not_hold_is_reported_and_stretches_the_interval() -> None:
    rng = np.random.default_rng(5)
    rows = [
        row.with_edits(errors=round(row.errors * (1 + 0.02 * rng.standard_normal()))) for row in sample(shots=10**6)
    ]
    fit = fit_threshold(rows)
    assert any("p-value" in warning for warning in fit.warnings)
    assert fit.threshold.low < TRUTH < fit.threshold.high


def test_rates_per_round() -> None:
    # Equal rounds: the crossing of rates per round is that of rates per shot.
    rows = [r.with_edits(json_metadata={**r.json_metadata, "r": 10}) for r in sample()]
    fit = fit_threshold(rows, per="round", num_bootstrap=200)
    assert fit.per == "round"
    assert fit.threshold.low < TRUTH < fit.threshold.high
    # Exactly as if the law were that of the rate per round.
    d, p, n, k = arrays(rows)
    q = fit.predict(d, p)
    pearson = np.sum(n * (k / n - (1 - (1 - 2 * q) ** 10) / 2) ** 2 / (k / n * (1 - k / n)))
    # 54 points: a chi-square above 140 has probability 3e-9
    assert float(pearson) < 140
    growing = [*rows[:-1], rows[-1].with_edits(json_metadata={**rows[-1].json_metadata, "r": 11})]
    assert any("rounds differ" in w for w in fit_threshold(growing, per="round", num_bootstrap=100).warnings)


def test_window_and_smallest_distance_can_be_fixed() -> None:
    fit = fit_threshold(sample(), window=(PS[1], PS[7]), min_distance=9, num_bootstrap=200)
    assert fit.window == (PS[1], PS[7])
    assert fit.distances == (9, 11, 13, 17)
    assert {(f.min_distance, f.window) for f in fit.fits} == {(9, fit.window)}


def test_a_wide_sweep_is_cut_to_where_the_law_holds() -> None:
    def rate(d: float, p: float) -> float:
        # Far below it falls exponentially, far above it saturates at one half.
        x = (p - 0.1) * d ** (1 / 1.5)
        return 0.5 / (1 + math.exp(-6 * x) * 2)

    ps = [0.001, 0.003, 0.01, 0.03, 0.05, 0.07, 0.08, 0.09, 0.095, 0.1, 0.105, 0.11, 0.12, 0.15, 0.2, 0.3, 0.5]
    fit = fit_threshold(curves(rate, distances=[5, 7, 9, 11, 13], ps=ps, shots=100_000))
    assert fit.threshold.low < 0.1 < fit.threshold.high
    assert fit.threshold.high - fit.threshold.low < 0.02
    assert fit.window[0] >= 0.01
    assert fit.window[1] <= 0.3


def below(d: float, p: float) -> float:
    return float(0.1 * (p / 0.1) ** ((d + 1) / 2))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (sample(distances=[5, 9]), "at least 3 distances; the data has 2"),
        (sample(ps=PS[3:6]), "at least 4 physical error rates; the data has 3"),
        (curves(below, distances=[3, 5, 7], ps=[0.05, 0.06, 0.07, 0.08]), "below the threshold: .* above 0.08"),
        (sample(ps=[0.12, 0.125, 0.13, 0.135]), r"above the threshold: sample error rates below 0\.12"),
        (sample(ps=[0.08, 0.083, 0.086, 0.09]), r"below the threshold: sample error rates above 0\.09"),
        (sample(shots=100), "no crossing"),
        (curves(lambda *_: 0.2, distances=[3, 5, 7], ps=PS), "told from noise"),
        (curves(lambda *_: 0, distances=[3, 5, 7], ps=PS), "fewer than 10 errors"),
    ],
)
def test_data_without_a_crossing_are_refused(rows: list[sinter.TaskStats], message: str) -> None:
    with pytest.raises(NoThresholdError, match=message):
        fit_threshold(rows)


def test_random_data_without_a_crossing_do_not_slip_through() -> None:
    # All curves lie well above the threshold: 30 samplings, each further than 5 sigma from an order below.
    for seed in range(30):
        with pytest.raises(NoThresholdError):
            fit_threshold(sample(ps=[0.112, 0.116, 0.12, 0.124, 0.128], shots=20_000, seed=seed))


def test_mixed_groups_are_named_and_can_be_split() -> None:
    rows = sample(shots=20_000)
    other = [r.with_edits(strong_id=f"b{r.strong_id}", decoder="second") for r in rows]
    with pytest.raises(DataError, match=r"2 groups: decoder=scaling_law; decoder=second.*group_stats"):
        fit_threshold(rows + other)
    fits = {name: fit_threshold(part, num_bootstrap=100) for name, part in group_stats(rows + other).items()}
    assert [fit.group for fit in fits.values()] == list(fits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": (0.2, 0.1)},
        {"window": "wide"},
        {"min_distance": 0},
        {"correction": "always"},
        {"correction_exponents": []},
        {"correction_exponents": [0]},
        {"per": "hour"},
        {"per": "round"},
        {"confidence": 1},
        {"num_bootstrap": 5},
    ],
)
def test_bad_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        fit_threshold(sample(shots=1000), **wrong)


def test_crossings_drift_to_the_threshold() -> None:
    rows = sample(correction=(-0.15, 1.0), shots=10**7, distances=[5, 9, 17, 33], ps=[0.09, 0.095, *PS[3:]])
    found = crossings(rows)
    assert [c.distances for c in found] == [(5, 9), (9, 17), (17, 33)]
    at = [c.p for c in found]
    assert all(p is not None and p.low < p.value < p.high for p in at)
    values = [p.value for p in at if p is not None]
    assert values[0] < values[1] < values[2] < TRUTH
    for (small, large), p in zip([c.distances for c in found], values, strict=True):

        def gap(q: float, pair: tuple[float, float] = (small, large)) -> float:
            rates = []
            for d in pair:
                x = (q - TRUTH) * d ** (1 / 1.5)
                rates.append(0.16 + 0.9 * x + 0.4 * x * x - 0.15 / d)
            return rates[1] - rates[0]

        # five decimals are ten standard errors or more at 10^7 shots
        assert p == pytest.approx(optimize.brentq(gap, 0.08, 0.12), abs=1e-3)


def test_a_pair_without_a_crossing_says_so() -> None:
    found = crossings(sample(ps=[0.12, 0.125, 0.13, 0.135]))
    assert {c.p for c in found} == {None}
    assert found[0].to_json() == {"distances": [5, 7], "p": None}
    with pytest.raises(NoThresholdError, match="share 3 physical error rates"):
        crossings(sample(distances=[5]))


def test_sampling_a_law_that_leaves_the_unit_interval_is_refused() -> None:
    with pytest.raises(InputError, match="the law's rate"):
        sample(coefficients=(0.1, 9.0, 0.0))
    with pytest.raises(InputError, match="three coefficients"):
        sample(coefficients=(0.1, 9.0))


def test_a_fit_can_be_compared_and_printed() -> None:
    fit = fit_threshold(sample(), num_bootstrap=100)
    assert isinstance(fit, ThresholdFit)
    assert fit.scaled(9, fit.fits[0].threshold) == pytest.approx(0)
    assert fit.predict([5, 9], 0.1).shape == (2,)


def test_an_interval_never_leaves_the_probabilities_and_says_when_it_leaves_the_data() -> None:
    # So few shots that a resampled fit may run away, even to negative thresholds.
    ps = [0.0907, 0.0968, 0.103, 0.1092, 0.1154]
    wide = 0
    for seed in range(30):
        rows = sample_scaling_law(
            threshold=0.103,
            nu=1.5,
            coefficients=(0.16, 0.9, 0.4),
            distances=[5, 9, 13, 17],
            ps=ps,
            shots=1_000,
            seed=seed,
        )
        try:
            fit = fit_threshold(rows, num_bootstrap=100, seed=seed)
        except NoThresholdError:
            continue
        low, high = fit.threshold.low, fit.threshold.high
        assert 0 <= low < high <= 1
        beyond = low < ps[0] or high > ps[-1]
        assert any("reaches beyond the sampled" in warning for warning in fit.warnings) == beyond
        wide += beyond
    assert wide > 0
