"""Rates in closed form: exact on exact parities, the published p_ij, and variances against repeated experiments.

Repetitions are independent copies of one small model, side by side in the same shots.
"""

import dataclasses
import itertools

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from quell.decoders.noise_learning.closed_form import RateEstimates, closed_form
from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of, rates_of

Floats = NDArray[np.float64]

COPIES = 2000
# Of one copy: a fault that is part of two others, its complements, a triple, and one by itself.
SMALL = (("D0", 0.05), ("D1", 0.1), ("D0 D1", 0.03), ("D2", 0.04), ("D0 D1 D2", 0.02))


def counts_of(structure: FaultStructure) -> ParityCounts:
    return ParityCounts(ParitySets.of(structure))


def odd_chances(faults: list[tuple[frozenset[int], float]], sets: list[frozenset[int]]) -> list[float]:
    """By adding up all combinations of faults: how likely each set of detectors has an odd number of events."""
    found = [0.0] * len(sets)
    for happened in itertools.product([False, True], repeat=len(faults)):
        chance = float(np.prod([p if there else 1 - p for there, (_, p) in zip(happened, faults, strict=True)]))
        events: frozenset[int] = frozenset()
        for there, (fault, _) in zip(happened, faults, strict=True):
            events = events ^ fault if there else events
        for number, members in enumerate(sets):
            found[number] += chance * (len(members & events) % 2)
    return found


def with_shares(structure: FaultStructure, shares: Floats, shots: float) -> ParityCounts:
    """Counts in which each set had an odd number of events in the same share of every block's shots."""
    counts = counts_of(structure)
    counts.shots[:] = shots / len(counts.shots)
    counts.odd[:] = shares * counts.shots[:, None]
    counts.squares = shots
    return counts


def copies(rows: tuple[tuple[str, float], ...], detectors: int, number: int = COPIES) -> stim.DetectorErrorModel:
    body = "\n".join(f"error({p}) {targets}" for targets, p in rows)
    return stim.DetectorErrorModel(f"repeat {number} {{\n{body}\nshift_detectors {detectors}\n}}")


def by_kind(structure: FaultStructure, detectors: int) -> list[NDArray[np.int64]]:
    """For each kind of fault of `SMALL` in order, which faults are its copies."""
    found = []
    for targets, _ in SMALL:
        kind = [int(name[1:]) for name in targets.split()]
        rows = structure.detectors % detectors
        alike = (structure.sizes == len(kind)) & (rows[:, : len(kind)] == kind).all(axis=1)
        found.append(np.flatnonzero(alike))
        assert len(found[-1]) == COPIES
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.frozensets(st.integers(0, 5), min_size=1, max_size=6), st.sampled_from([0, 1e-4, 0.01, 0.1, 0.2])),
        min_size=1,
        max_size=7,
        unique_by=lambda row: row[0],
    )
)
def test_exact_on_exact_parities(faults: list[tuple[frozenset[int], float]]) -> None:
    text = "\n".join("error(.1) " + " ".join(f"D{d}" for d in sorted(fault)) for fault, _ in faults)
    structure = FaultStructure.of(stim.DetectorErrorModel(text))
    sets = [frozenset(d for d in row if d >= 0) for row in ParitySets.of(structure).sets.tolist()]
    counts = with_shares(structure, np.array(odd_chances(faults, sets)), 1e20)
    expected = dict(faults)
    own = [expected[frozenset(d for d in row if d >= 0)] for row in structure.detectors.tolist()]
    estimates = closed_form(structure, counts)
    assert probabilities_of(estimates.rates) == pytest.approx(own, abs=1e-9)
    assert estimates.variances == pytest.approx(np.zeros(len(own)), abs=1e-9)


def test_pairs_are_the_published_correlations() -> None:
    """Google Quantum AI, Nature 595, 383 (2021): p_ij from the means of x_i, x_j and x_i x_j."""
    text = "\n".join(f"error(.03) D{i} D{i + 1}\nerror(.05) D{i}" for i in range(6)) + "\nerror(.1) D0 D5"
    dem = stim.DetectorErrorModel(text)
    packed = dem.compile_sampler(seed=7).sample(20_000, bit_packed=True)[0]
    structure = FaultStructure.of(dem)
    counts = counts_of(structure)
    counts.add(packed)
    # As if these shares had come from very many shots: what remains is the formula, without its bias.
    for array in (counts.odd, counts.shots):
        array *= 1e12
    counts.squares *= 1e12
    x = np.unpackbits(packed, axis=1, count=7, bitorder="little").astype(np.float64)
    first, second = structure.detectors[structure.sizes == 2].T
    both, one, other = (x[:, first] * x[:, second]).mean(axis=0), x[:, first].mean(axis=0), x[:, second].mean(axis=0)
    published = 0.5 - np.sqrt(0.25 - (both - one * other) / (1 - 2 * one - 2 * other + 4 * both))
    found = probabilities_of(closed_form(structure, counts).rates)
    assert found[structure.sizes == 2] == pytest.approx(published, abs=1e-9)
    # And for single detectors, that the odd number of all that flips one is what was seen.
    for detector in range(6):
        through = found[(structure.detectors == detector).any(axis=1)]
        assert (1 - np.prod(1 - 2 * through)) / 2 == pytest.approx(x[:, detector].mean(), abs=1e-9)


@pytest.fixture(scope="module")
def repeated() -> tuple[FaultStructure, RateEstimates]:
    dem = copies(SMALL, 3)
    structure = FaultStructure.of(dem)
    counts = counts_of(structure)
    counts.add(dem.compile_sampler(seed=11).sample(6400, bit_packed=True)[0])
    return structure, closed_form(structure, counts)


def test_estimates_scatter_around_the_truth(repeated: tuple[FaultStructure, RateEstimates]) -> None:
    structure, estimates = repeated
    for kind in by_kind(structure, 3):
        errors = estimates.rates[kind] - structure.nominal[kind]
        # Six standard errors: false alarm 2e-9 each.
        assert abs(errors.mean()) < 6 * errors.std() / np.sqrt(COPIES)


def test_variances_are_those_of_repeated_experiments(repeated: tuple[FaultStructure, RateEstimates]) -> None:
    structure, estimates = repeated
    for kind in by_kind(structure, 3):
        met, said = estimates.rates[kind].var(), estimates.variances[kind].mean()
        # The variance of 2000 values is known to sqrt(2/2000) = 3.2 %; six of these are 19 %: false alarm 2e-9 each.
        assert said == pytest.approx(met, rel=0.2)


def test_variance_of_the_rate_of_a_single_detector() -> None:
    p, shots = 0.1, 3200
    dem = copies((("D0", p),), 1)
    structure = FaultStructure.of(dem)
    counts = counts_of(structure)
    counts.add(dem.compile_sampler(seed=12).sample(shots, bit_packed=True)[0])
    # w = -log(1 - 2 f), and the share f of a binomial has the variance p (1 - p) / n. The mean of 2000 variances from
    # 32 blocks each is known to sqrt(2/31/2000) = .6 %; six of these and terms of order 1/n: false alarm 2e-9.
    assert closed_form(structure, counts).variances.mean() == pytest.approx(
        4 * p * (1 - p) / shots / (1 - 2 * p) ** 2, rel=0.04
    )


def test_variances_of_sums_hold_correlations(repeated: tuple[FaultStructure, RateEstimates]) -> None:
    structure, estimates = repeated
    first, second, pair, third, triple = by_kind(structure, 3)
    for sign in (1, -1):
        sums = estimates.rates[first] + sign * estimates.rates[pair] + estimates.rates[triple]
        pulls = estimates.influences[:, first] + sign * estimates.influences[:, pair] + estimates.influences[:, triple]
        # 3.2 % from 2000 values, as above: false alarm 2e-9 each.
        assert estimates.variance_of(pulls).mean() == pytest.approx(sums.var(), rel=0.2)
    for kind in (second, third):
        assert estimates.variance_of(estimates.influences[:, kind]) == pytest.approx(estimates.variances[kind])


def test_scores_are_students(repeated: tuple[FaultStructure, RateEstimates]) -> None:
    structure, estimates = repeated
    for kind in by_kind(structure, 3):
        scores = (estimates.rates[kind] - structure.nominal[kind]) / np.sqrt(estimates.variances[kind])
        outside = int((np.abs(scores) > stats.t.ppf(0.975, 31)).sum())
        # 5 % of 2000 copies, and a percent for skewness: binomial, false alarm below 1e-6 for five kinds together.
        assert stats.binom.ppf(1e-7, COPIES, 0.04) <= outside <= stats.binom.isf(1e-7, COPIES, 0.06)


def test_forgotten_shots_add_to_the_variance_as_their_squares() -> None:
    dem = copies((("D0", 0.1), ("D0 D1", 0.05)), 2)
    structure = FaultStructure.of(dem)
    counts = counts_of(structure)
    sampler = dem.compile_sampler(seed=13)
    for _ in range(4):
        counts.decay(0.5)
        counts.add(sampler.sample(1600, bit_packed=True)[0])
    estimates = closed_form(structure, counts)
    assert estimates.effective_shots == pytest.approx(
        1600 * (1 + 0.5 + 0.25 + 0.125) ** 2 / (1 + 1 / 4 + 1 / 16 + 1 / 64)
    )
    for size in (1, 2):
        chosen = structure.sizes == size
        # 3.2 % from 2000 values: false alarm 2e-9 each.
        assert estimates.variances[chosen].mean() == pytest.approx(estimates.rates[chosen].var(), rel=0.2)


def test_less_biased_than_the_logarithm() -> None:
    p, shots = 0.25, 100
    dem = copies((("D0", p),), 1)
    structure = FaultStructure.of(dem)
    errors, plain = [], []
    for seed in range(10):
        counts = counts_of(structure)
        counts.add(dem.compile_sampler(seed=seed).sample(shots, bit_packed=True)[0])
        errors.append(closed_form(structure, counts).rates - rates_of(np.array(p)))
        plain.append(-np.log(1 - 2 * counts.odd.sum(axis=0) / shots) - rates_of(np.array(p)))
    # The standard deviation of each of 20,000 is .17, that of their mean .0012: false alarm 1e-9.
    assert abs(np.mean(errors)) < 0.008
    assert np.mean(plain) > 0.011


@pytest.mark.parametrize("share", [0.5, 0.500001, 0.7, 1.0])
def test_detectors_that_fire_in_half_of_all_shots_or_more_are_as_good_as_unknown(share: float) -> None:
    structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0\nerror(.1) D1\nerror(.1) D0 D1"))
    counts = counts_of(structure)
    events = np.random.default_rng(17).random((10_000, 2)) < [share, 0.1]
    counts.add(np.packbits(events, axis=1, bitorder="little"))
    estimates = closed_form(structure, counts)
    assert np.isfinite(estimates.rates).all()
    assert np.isfinite(estimates.variances).all()
    assert estimates.rates[0] > 2
    assert estimates.variances[0] > 0.5**2
    assert probabilities_of(estimates.rates[1]) == pytest.approx(0.1, abs=0.5)


@pytest.mark.parametrize("shots", [1, 2, 3, 31, 33])
def test_few_shots_give_finite_rates(shots: int) -> None:
    dem = copies(SMALL, 3, 100)
    structure = FaultStructure.of(dem)
    counts = counts_of(structure)
    counts.add(dem.compile_sampler(seed=shots).sample(shots, bit_packed=True)[0])
    estimates = closed_form(structure, counts)
    assert np.isfinite(estimates.rates).all()
    assert np.isfinite(estimates.variances).all()
    assert estimates.weights.sum() == pytest.approx(1)
    assert estimates.effective_shots == shots


def test_what_never_fires_has_rate_zero() -> None:
    structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0\nerror(.1) D0 D1 D2\nerror(.1) D1 D2"))
    counts = counts_of(structure)
    counts.add(np.zeros((1000, 1), dtype=np.uint8))
    estimates = closed_form(structure, counts)
    assert estimates.rates.tolist() == [0.0] * 3
    assert estimates.variances.tolist() == [0.0] * 3


def test_nominal_rates_are_not_looked_at() -> None:
    dem = stim.DetectorErrorModel("error(.1) D0\nerror(.2) D0 D1\nerror(.1) D1 D2 D3")
    structure = FaultStructure.of(dem)
    counts = counts_of(structure)
    counts.add(dem.compile_sampler(seed=1).sample(1000, bit_packed=True)[0])
    other = dataclasses.replace(structure, nominal=np.array([0.0, 9.0, 1e-9]))
    assert closed_form(other, counts).rates.tolist() == closed_form(structure, counts).rates.tolist()


def test_blocks_do_not_change_the_rates() -> None:
    dem = copies(SMALL, 3, 300)
    structure = FaultStructure.of(dem)
    events = dem.compile_sampler(seed=21).sample(500, bit_packed=True)[0]
    found = []
    for blocks in (2, 50, 500):
        counts = ParityCounts(ParitySets.of(structure), num_blocks=blocks)
        counts.add(events)
        found.append(closed_form(structure, counts))
    for each in found[1:]:
        assert each.rates == pytest.approx(found[0].rates, abs=1e-12)
    # With a block for each shot it is the sample variance. The mean of 1500 from 50 blocks each is known to
    # sqrt(2/49/1500) = .5 %, some more for correlations: false alarm below 1e-6.
    assert found[1].variances.mean() == pytest.approx(found[2].variances.mean(), rel=0.06)
