"""Pooled rates against dense normal algebra, numerical integrals, Jeffreys intervals, and repeated experiments."""

from collections.abc import Callable

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.noise_learning import pooling
from quell.decoders.noise_learning.closed_form import RateEstimates, closed_form
from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
from quell.decoders.noise_learning.pooling import PooledRates, _posterior, _Tree, pooled_rates
from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of, rates_of
from quell.decoders.noise_learning.translation import translation_classes

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]

FAULTS = 1000
WIDEST = 1e7  # the variance that stands for means that can be anything


def lone(rates: Floats) -> FaultStructure:
    """A detector for each fault."""
    rows = [f"error({p!r}) D{d}" for d, p in enumerate(probabilities_of(rates).tolist())]
    return FaultStructure.of(stim.DetectorErrorModel("\n".join(rows)))


def estimated(structure: FaultStructure, shots: int, seed: int) -> RateEstimates:
    """From shots of the structure itself."""
    counts = ParityCounts(ParitySets.of(structure))
    counts.add(structure.model(structure.nominal).compile_sampler(seed=seed).sample(shots, bit_packed=True)[0])
    return closed_form(structure, counts)


def nested(faults: int, *members: int) -> Classes:
    """Classes of so many faults each, for each level, and one of all."""
    columns = [np.arange(faults) // each for each in members]
    return np.stack([*columns, np.zeros(faults, dtype=np.int64)], axis=1)


def error(found: Floats, true: Floats) -> float:
    return float(np.sqrt(np.mean((found - true) ** 2)) / true.mean())


def missed(pooled: PooledRates, true: Floats) -> tuple[int, int]:
    """How many true rates lie below and above their intervals."""
    return int((pooled.intervals[:, 0] > true).sum()), int((pooled.intervals[:, 1] < true).sum())


@st.composite
def trees(draw: st.DrawFn) -> tuple[Classes, Floats, Floats, Floats]:
    """Nested classes, what was met, its variances, and scatters."""
    faults, levels = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = [rng.integers(0, draw(st.integers(1, 6)), faults)]
    for _ in range(levels - 1):
        columns.append(rng.integers(0, draw(st.integers(1, 4)), 6)[columns[-1]])
    columns = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in columns]
    scatters = rng.choice([0.0, 0.1, 0.5, 1.0], levels)
    return np.stack(columns, axis=1), rng.normal(1, 0.5, faults), rng.uniform(0.02, 0.4, faults), scatters


def covariance(classes: Classes, scatters: Floats) -> Floats:
    """Of the faults themselves: each has a part of its own, one of its class, of the wider class, and so on."""
    alike = [np.eye(len(classes)), *((level[:, None] == level).astype(np.float64) for level in classes.T)]
    variances = [*(scatters**2).tolist(), WIDEST]
    return np.asarray(sum(v * same for v, same in zip(variances, alike, strict=True)), dtype=np.float64)


def down(tree: _Tree, levels: list[tuple[Floats, Floats]], scatters: Floats) -> tuple[Floats, Floats]:
    """What others say of each, none of them standing apart before."""
    apart = [np.zeros(len(parent)) for parent in tree.parents]
    means, variances, _ = tree.down(levels, scatters, apart, levels[0][1])
    return means, variances


@settings(max_examples=60, deadline=None)
@given(trees())
def test_what_others_say_is_dense_normal_conditioning(tree: tuple[Classes, Floats, Floats, Floats]) -> None:
    classes, values, noise, scatters = tree
    latent = covariance(classes, scatters)
    of_values = latent + np.diag(noise)
    search = _Tree(classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "_FAR", np.inf)
        means, variances = down(search, search.up(values, noise, list(scatters**2)), scatters)
    for fault in range(len(values)):
        others = np.flatnonzero(np.arange(len(values)) != fault)
        informed = (classes[others, -1] == classes[fault, -1]).any()
        assert np.isfinite(variances[fault]) == informed
        if informed:
            pull = np.linalg.solve(of_values[np.ix_(others, others)], latent[others, fault])
            assert means[fault] == pytest.approx(pull @ values[others], abs=1e-4)
            assert variances[fault] == pytest.approx(latent[fault, fault] - pull @ latent[others, fault], abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(trees(), st.sampled_from([0.0, 0.2, 0.7]))
def test_likelihoods_differ_as_dense_normal_ones(tree: tuple[Classes, Floats, Floats, Floats], other: float) -> None:
    classes, values, noise, scatters = tree
    found, expected = [], []
    for each in (scatters, np.full_like(scatters, other)):
        found.append(_Tree(classes).log_likelihood(values, noise, list(each**2)))
        of_values = covariance(classes, each) + np.diag(noise)
        expected.append(-0.5 * (np.linalg.slogdet(of_values)[1] + values @ np.linalg.solve(of_values, values)))
    assert found[0] - found[1] == pytest.approx(expected[0] - expected[1], abs=1e-4)


def test_others_lie_where_others_are_though_they_err_together() -> None:
    # Members that share detectors widen the mean of their class; what the others say stays among what they are.
    classes = np.array([[0, 0], [0, 0], [1, 0], [1, 0], [2, 0], [2, 0]])
    values, noise, scatters = np.array([1.0, 1.3, 0.9, 1.0, 1.1, 1.0]), np.full(6, 0.01), np.array([0.0, 0.1])
    tree = _Tree(classes)
    levels = tree.up(values, noise, list(scatters**2))
    for excess in (0.0, 0.004, 0.0051, 0.02, 1.0):
        mean, variance = levels[1][0], levels[1][1] + excess
        weight = 1 / (variance + scatters[1] ** 2)
        top = (np.array([np.average(mean, weights=weight)]), np.array([1 / weight.sum()]))
        means, variances = down(tree, [levels[0], (mean, variance), top], scatters)
        assert (means >= values.min() - 1e-9).all(), excess
        assert (means <= values.max() + 1e-9).all(), excess
        assert (variances > 0).all()


# Events and chance events for so many shots, and mean and variance of the others; 0 and inf: they say nothing.
CASES = [
    *((rate, chance, 0.0, np.inf) for rate in (-3.0, 0.0, 0.4, 2.0, 50.0) for chance in (0.0, 1.0, 300.0)),
    *((rate, chance, 10.0, 4.0) for rate in (-3.0, 0.0, 2.0, 10.0, 200.0) for chance in (0.0, 1.0, 300.0)),
    *((rate, chance, 1.0, 1.5) for rate in (0.0, 1.0, 30.0) for chance in (0.0, 20.0)),
    # Where a fault is nothing like its class.
    *((rate, chance, 1000.0, 100.0) for rate in (0.0, 3.0, 100.0, 5000.0) for chance in (0.0, 5.0)),
]


@pytest.mark.parametrize(("rate", "chance", "mean", "variance"), CASES)
def test_posteriors_are_those_of_integrals(rate: float, chance: float, mean: float, variance: float) -> None:
    """The gamma density of the others, or w^(-1/2), times the Poisson chance of what was met."""
    shots = 1e4
    count = max(rate + chance, 0.0)
    shape, slope = (mean**2 / variance, mean / variance) if np.isfinite(variance) else (0.5, 0.0)

    def log_density(root: float) -> float:  # of the square root of the rate, in units of one per all shots
        x = root**2
        return float((2 * shape - 1) * np.log(root) - (1 + slope) * x + (count * np.log(x + chance) if count else 0.0))

    # So far that nothing is beyond, and where the density is at all.
    roots = np.linspace(1e-9, np.sqrt(5 * (count + mean) + 40), 200_001)
    logs = np.array(
        (2 * shape - 1) * np.log(roots) - (1 + slope) * roots**2 + (count * np.log(roots**2 + chance) if count else 0.0)
    )
    there = roots[logs > logs.max() - 45]
    low, high = 0.0 if there[0] == roots[0] else there[0], there[-1]

    def integral(of: Callable[[float], float], first: float, last: float) -> float:
        return float(integrate.quad(lambda r: of(r) * np.exp(log_density(r) - logs.max()), first, last, limit=200)[0])

    total = integral(lambda _: 1.0, low, high)
    true_mean = integral(lambda r: r**2, low, high) / total
    deviation = np.sqrt(integral(lambda r: (r**2 - true_mean) ** 2, low, high) / total)
    means, intervals = _posterior(
        np.array([rate]) / shots,
        np.array([chance]) / shots,
        shots,
        np.array([mean]) / shots,
        np.array([variance]) / shots**2,
    )
    assert means[0] * shots == pytest.approx(true_mean, abs=0.03 * deviation)
    ends = np.clip(np.sqrt(intervals[0] * shots), low, high)
    # The mass below each end, as the density of the ends may be nearly flat.
    assert integral(lambda _: 1.0, low, ends[0]) / total == pytest.approx(0.025, abs=0.005)
    assert integral(lambda _: 1.0, ends[1], high) / total == pytest.approx(0.025, abs=0.005)


def test_estimates_grow_with_what_others_say() -> None:
    means = np.array([-3.0, -0.1, 0.0, 0.001, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0])
    for count in (0.0, 1.0, 5.0):
        same = np.full(len(means), 1e-4)
        found, _ = _posterior(count * same, 5 * same, 1e4, means * 1e-4, same**2)
        assert (np.diff(found) >= -1e-9).all(), count


@pytest.mark.parametrize("events", [0, 1, 2, 3, 8, 30])
def test_one_fault_by_itself_has_the_interval_of_jeffreys(events: int) -> None:
    """With no chance events the probability is that of a binomial: Brown, Cai & DasGupta, Stat. Sci. 16, 101 (2001)."""
    shots = 32_000
    structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0"))
    counts = ParityCounts(ParitySets.of(structure))
    fired = np.zeros((shots, 1), dtype=np.uint8)
    fired[:: shots // 32][:events] = 1
    counts.add(fired)
    pooled = pooled_rates(structure, closed_form(structure, counts))
    low, high = (float(stats.beta.ppf(share, events + 0.5, shots - events + 0.5)) for share in (0.025, 0.975))
    assert probabilities_of(pooled.rates[0]) == pytest.approx((events + 0.5) / shots, rel=0.03)
    assert probabilities_of(pooled.intervals[0, 1]) == pytest.approx(high, rel=0.03)
    assert probabilities_of(pooled.intervals[0, 0]) == pytest.approx(low, rel=0.05, abs=0.005 / shots)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([1e-9, 1e-3, 1.0]))
def test_rates_are_above_zero_and_within_their_intervals(seed: int, faults: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    rows = [f"error({rng.choice([0.0, 1e-9, 0.1])}) D{d} " + f"D{d + 1}" * int(rng.integers(2)) for d in range(faults)]
    structure = FaultStructure.of(stim.DetectorErrorModel("\n".join(rows)))
    influences = rng.normal(0, unit, (4, structure.num_faults)) * rng.choice([0.0, 1.0, 50.0], structure.num_faults)
    estimates = RateEstimates(
        unit * rng.normal(0.5, rng.choice([0.0, 1.0, 10.0]), structure.num_faults),
        influences - influences.mean(axis=0),
        np.full(4, 0.25),
        float(rng.choice([100.0, 1e5, 1e12])),
    )
    narrow = rng.integers(0, 3, structure.num_faults) * 10 + structure.sizes
    narrow = np.unique(narrow, return_inverse=True)[1].reshape(-1)
    for classes in (None, np.stack([narrow, np.zeros_like(narrow)], axis=1)):
        pooled = pooled_rates(structure, estimates, classes)
        assert np.isfinite(pooled.rates).all()
        assert (pooled.rates > 0).all()
        assert (pooled.intervals[:, 0] >= 0).all()
        assert (pooled.intervals[:, 0] <= pooled.rates).all()
        assert (pooled.rates <= pooled.intervals[:, 1]).all()


def test_classes_of_one_member_change_nothing() -> None:
    structure = lone(np.linspace(0.001, 0.2, 30))
    estimates = estimated(structure, 3000, 3)
    alone = pooled_rates(structure, estimates)
    single = pooled_rates(structure, estimates, np.arange(30).reshape(-1, 1))
    assert single.rates == pytest.approx(alone.rates, rel=1e-9)
    assert single.intervals == pytest.approx(alone.intervals, rel=1e-9)
    assert alone.scatters == {}


@pytest.mark.parametrize("events", [1.0, 5.0, 50.0])
@pytest.mark.parametrize("members", [(), (50,), (5, 100)], ids=["one level", "two levels", "three levels"])
def test_equal_rates_are_found_together(events: float, members: tuple[int, ...]) -> None:
    shots = 2000
    true = np.full(FAULTS, float(rates_of(np.array(events / shots))))
    structure = lone(true)
    estimates = estimated(structure, shots, 5)
    pooled = pooled_rates(structure, estimates, nested(FAULTS, *members))
    alone = pooled_rates(structure, estimates)
    # The best that could be had is the mean of all; a fifth of the error of one fault is far from that.
    assert error(pooled.rates, true) < 0.2 * error(alone.rates, true)
    # And the mean stays that of the shots: 1000 * events of them, so that the truth is six standard errors away at
    # most (false alarm 2e-9).
    assert pooled.rates.mean() == pytest.approx(estimates.rates.mean(), rel=0.04)
    assert pooled.rates.mean() == pytest.approx(true.mean(), rel=0.04 + 6 / np.sqrt(FAULTS * events))


@pytest.mark.parametrize("events", [2.0, 10.0, 100.0])
def test_intervals_of_faults_by_themselves_hold_95_percent(events: float) -> None:
    shots = 4000
    true = np.full(FAULTS, float(rates_of(np.array(events / shots))))
    structure = lone(true)
    low, high = missed(pooled_rates(structure, estimated(structure, shots, 6)), true)
    # Counts are whole, so that no interval holds 95 % of all: up to 7 % are let through, binomially, at 1e-7.
    assert low + high <= stats.binom.isf(1e-7, FAULTS, 0.07)
    assert max(low, high) <= stats.binom.isf(1e-7, FAULTS, 0.05)


@pytest.mark.parametrize("shots", [300, 3000, 30_000])
def test_intervals_hold_95_percent_where_rates_scatter_as_gamma(shots: int) -> None:
    true = np.random.default_rng(7).gamma(1 / 0.4**2, 0.4**2 * 0.02, FAULTS)
    structure = lone(true)
    estimates = estimated(structure, shots, 8)
    pooled = pooled_rates(structure, estimates, nested(FAULTS))
    # 7 % let through, as above.
    assert sum(missed(pooled, true)) <= stats.binom.isf(1e-7, FAULTS, 0.07)
    assert error(pooled.rates, true) < 1.02 * error(pooled_rates(structure, estimates).rates, true)


def test_the_scatter_is_found() -> None:
    true = np.random.default_rng(9).gamma(1 / 0.3**2, 0.3**2 * 0.02, FAULTS)
    structure = lone(np.full(FAULTS, 0.02))
    counts = ParityCounts(ParitySets.of(structure))
    counts.add(structure.model(true).compile_sampler(seed=10).sample(20_000, bit_packed=True)[0])
    # That of 1000 values is known to 2.3 %, the next ones tried are a third away: false alarm below 1e-9.
    assert pooled_rates(structure, closed_form(structure, counts), nested(FAULTS)).scatters[1].tolist() == [0.3]


def test_the_structure_is_a_scale_if_the_shots_bear_it_out() -> None:
    rng = np.random.default_rng(11)
    believed = 0.01 * np.exp(rng.normal(0, 1, FAULTS))
    structure = lone(believed)
    for true, best in ((1.7 * believed, 0.1), (rng.permutation(believed), 1.02)):
        counts = ParityCounts(ParitySets.of(structure))
        counts.add(structure.model(true).compile_sampler(seed=12).sample(2000, bit_packed=True)[0])
        estimates = closed_form(structure, counts)
        pooled, alone = pooled_rates(structure, estimates, nested(FAULTS)), pooled_rates(structure, estimates)
        assert error(pooled.rates, true) < best * error(alone.rates, true)


def test_a_fault_that_is_unlike_its_class_stands_out() -> None:
    true = np.full(FAULTS, 0.02)
    true[:10], true[10:20] = 0.2, 1e-9
    structure = lone(np.full(FAULTS, 0.02))
    counts = ParityCounts(ParitySets.of(structure))
    counts.add(structure.model(true).compile_sampler(seed=13).sample(20_000, bit_packed=True)[0])
    rates = pooled_rates(structure, closed_form(structure, counts), nested(FAULTS)).rates
    assert rates[:10] == pytest.approx(0.2, rel=0.15)
    assert (rates[10:20] < 0.005).all()
    assert rates[20:].mean() == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shots", [2000, 50_000])
def test_pooling_on_a_surface_code(spread: float, shots: int) -> None:
    """Rates of all faults times lognormal factors: pooling helps, and where they differ much it does not hurt."""
    structure = FaultStructure.of(rotated_surface_memory(3, 8, "X", NoiseModel.uniform_depolarizing(0.004)))
    true = structure.nominal * np.exp(spread * np.random.default_rng(14).normal(size=structure.num_faults))
    counts = ParityCounts(ParitySets.of(structure))
    counts.add(structure.model(true).compile_sampler(seed=15).sample(shots, bit_packed=True)[0])
    estimates = closed_form(structure, counts)
    pooled = pooled_rates(structure, estimates, translation_classes(structure))
    alone = pooled_rates(structure, estimates)
    assert error(pooled.rates, true) < (0.5 if spread == 0 else 1.02) * error(alone.rates, true)
    off = [float(np.sqrt(np.mean(np.log(each.rates / true) ** 2))) for each in (pooled, alone)]
    assert off[0] < (0.6 if spread == 0 else 1.0) * off[1]
    assert pooled.rates.sum() == pytest.approx(true.sum(), rel=0.1)


def test_a_bad_gate_is_let_go_its_own_way() -> None:
    """One CX of a d = 5 memory is twenty times worse than the others; classes pull what it does to theirs.

    Of 45 sets of detectors that it makes at least four times likelier, intervals hold at least 33. If each held the
    truth with 95 %, by itself, fewer would come by chance with less than 1e-6; without letting go it is 23 of them.
    """
    bad = 60
    structure = FaultStructure.of(stim_memory(0.01))
    sets, classes = ParitySets.of(structure), translation_classes(structure)
    counts = ParityCounts(sets)
    circuit = stim_memory(0.001, bad=bad)
    counts.add(circuit.compile_detector_sampler(seed=2).sample(20_000, bit_packed=True))
    found = pooled_rates(structure, closed_form(structure, counts), classes)
    true, usual = (FaultStructure.of(each).nominal for each in (circuit, stim_memory(0.001)))
    hot = true > 4 * usual
    assert hot.sum() == 45
    inside = (found.intervals[:, 0] <= true) & (true <= found.intervals[:, 1])
    assert inside[hot].sum() >= 33
    assert inside.mean() > 0.93


def stim_memory(p: float, *, bad: int | None = None) -> stim.Circuit:
    """Stim's memory, in which all CX between one pair of qubits are twenty times worse if `bad` says which."""
    circuit = stim.Circuit.generated(
        "surface_code:rotated_memory_x",
        distance=5,
        rounds=10,
        after_clifford_depolarization=p,
        before_measure_flip_probability=p,
    ).flattened()
    pairs = [tuple(group) for each in circuit if each.name == "CX" for group in each.target_groups()]
    found = stim.Circuit()
    for instruction in circuit:
        if instruction.name != "DEPOLARIZE2":
            found.append(instruction)
            continue
        for group in instruction.target_groups():
            worse = bad is not None and tuple(group) == pairs[bad]
            found.append("DEPOLARIZE2", group, p * (20 if worse else 1))
    return found
