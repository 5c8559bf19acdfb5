"""Staged sampling against enumeration, against Stim's sampling of the whole circuit, and inside sinter."""

import dataclasses
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sinter
import stim
from numpy.typing import NDArray

import quell
from quell.circuits import NoiseModel, cultivation
from quell.circuits.color_cultivation import color_cultivation
from quell.decoders import SoftOutputDecoder, StagedSampler, post_selection_stages, sample_stages
from quell.decoders.post_selection import sampler as sampler_module
from quell.decoders.post_selection.fault_table import FaultTable
from quell.errors import CircuitError, InputError, TooLargeError
from quell.qec import cuts, stage_survival

NOISE = NoiseModel.uniform_depolarizing


def unpacked(rows: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    return np.unpackbits(rows, axis=1, count=count, bitorder="little").astype(bool)


# Six faults, three stages of which the second has no fault of its own, an error that may be likely, one of each kind.
TINY = """
X_ERROR(0.1) 0
X_ERROR(0.2) 1
X_ERROR({likely}) 2
X_ERROR(0.05) 3
E(0.15) X0 X2
E(0.25) X1 X3 X4
M 0 1 2 3 4
DETECTOR(0, 0, 0, 1) rec[-5]
DETECTOR(1, 0, 0) rec[-4]
DETECTOR(2, 0, 0, 3) rec[-3] rec[-4]
DETECTOR(3, 0, 0, 2) rec[-2] rec[-4]
OBSERVABLE_INCLUDE(0) rec[-1]
OBSERVABLE_INCLUDE(1) rec[-4]
"""


@pytest.mark.parametrize("likely", [0.3, 0.7])
def test_every_outcome_of_a_small_circuit_has_its_probability(likely: float) -> None:
    # All 2^6 sets of faults, by hand: qubits that each flips.
    faults = [(0.1, [0]), (0.2, [1]), (likely, [2]), (0.05, [3]), (0.15, [0, 2]), (0.25, [1, 3, 4])]
    kept = np.zeros(3)
    outcomes: dict[tuple[int, ...], float] = {}
    for chosen in itertools.product((0, 1), repeat=6):
        p, flipped = 1.0, np.zeros(5, dtype=int)
        for happens, (rate, qubits) in zip(chosen, faults, strict=True):
            p *= rate if happens else 1 - rate
            flipped[qubits] ^= happens
        stages = [flipped[0], flipped[3] ^ flipped[1], flipped[2] ^ flipped[1]]
        for stage in range(3):
            kept[stage] += p * (not any(stages[: stage + 1]))
        if not any(stages):
            outcome = (flipped[1], flipped[4], flipped[1])
            outcomes[outcome] = outcomes.get(outcome, 0) + p
    shots = 2_000_000
    samples = sample_stages(stim.Circuit(TINY.format(likely=likely)), shots, seed=11)
    # Fifteen binomial numbers in both cases, each at odds of 1e-7 to be called wrong; their seed is fixed.
    limit = scipy.stats.norm.isf(5e-8)
    for seen, p in zip(samples.kept, kept, strict=True):
        assert abs(seen - shots * p) < limit * np.sqrt(shots * p * (1 - p))
    events, flips = unpacked(samples.events, 4), unpacked(samples.flips, 2)
    assert not events[:, [0, 2, 3]].any()
    counted = {(0, 0, 0): samples.num_clean}
    for row in np.concatenate([events[:, [1]], flips], axis=1).astype(int):
        counted[tuple(row)] = counted.get(tuple(row), 0) + 1
    assert set(counted) == set(outcomes)
    for outcome, p in outcomes.items():
        assert abs(counted[outcome] - shots * p) < limit * np.sqrt(shots * p * (1 - p)), outcome


@pytest.mark.parametrize("seed", range(4))
def test_every_outcome_of_a_random_circuit_has_its_probability(seed: int) -> None:
    # Twelve faults on six qubits: of which three stages see four, many faults cancel each other in part.
    rng = np.random.default_rng(seed)
    logarithms = np.zeros(64)
    text = ""
    for _ in range(12):
        flipped, p = int(rng.integers(1, 64)), float(rng.uniform(0.02, 0.3))
        logarithms[flipped] += np.log1p(-2 * p)
        text += f"E({p!r}) " + " ".join(f"X{q}" for q in range(6) if flipped >> q & 1) + "\n"
    text += "M 0 1 2 3 4 5\n" + "".join(f"DETECTOR({q}, 0, 0, {(1, 2, 2, 3)[q]}) rec[{q - 6}]\n" for q in range(4))
    circuit = stim.Circuit(f"{text}DETECTOR(4, 0, 0) rec[-2]\nOBSERVABLE_INCLUDE(0) rec[-1]")
    outcomes = walsh_hadamard(np.exp((logarithms.sum() - walsh_hadamard(logarithms)) / 2)) / 64
    shots = 20_000_000
    samples = sample_stages(circuit, shots, seed=seed)
    kept = [outcomes[np.arange(64) & mask == 0].sum() for mask in (1, 7)]
    found = [*samples.kept[:2], samples.num_clean]
    keys = samples.events[:, 0] >> 4 & 1 | samples.flips[:, 0] << 1
    found += [int((keys == key).sum()) for key in (1, 2, 3)]
    # Six binomial numbers for each circuit, at odds of 1e-8.
    limit = scipy.stats.norm.isf(5e-9)
    for seen, rate in zip(found, [*kept, *outcomes[[0, 16, 32, 48]]], strict=True):
        assert abs(seen - shots * rate) < limit * np.sqrt(shots * rate * (1 - rate))


CIRCUITS: dict[str, Callable[[], stim.Circuit]] = {
    "MSC-3": lambda: cultivation(3, noise=NOISE(0.004)),
    "MSC-3, si1000": lambda: cultivation(3, noise=NoiseModel.si1000(0.003)),
    "MSC-3 to SC5": lambda: cultivation(3, 5, NOISE(0.004), rounds=1),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_kept_shots_are_those_of_whole_circuit_sampling(name: str) -> None:
    circuit = CIRCUITS[name]()
    stages = post_selection_stages(circuit)
    shots = 400_000
    events, flips = circuit.compile_detector_sampler(seed=3).sample(shots, separate_observables=True)
    ours = sample_stages(circuit, shots, seed=4)
    limit = scipy.stats.norm.isf(1e-10)  # some thousand comparisons
    alive = np.ones(shots, dtype=bool)
    for stage, kept in enumerate(ours.kept, 1):
        alive &= ~events[:, stages == stage].any(axis=1)
        theirs = alive.sum()
        assert abs(theirs - kept) < limit * np.sqrt(theirs * (1 - theirs / shots) + kept * (1 - kept / shots))
    decoded = np.flatnonzero(stages == 0)
    theirs = np.concatenate([events[alive][:, decoded], flips[alive]], axis=1).astype(float)
    mine = np.concatenate([unpacked(ours.events, len(stages))[:, decoded], unpacked(ours.flips, 1)], axis=1).astype(
        float
    )
    assert ours.num_clean + len(mine) == ours.kept[-1]
    # How often each fires, and each pair together.
    pairs, own = theirs.T @ theirs, mine.T @ mine
    spread = np.sqrt(pairs + own + 25)
    assert (abs(pairs / len(theirs) - own / ours.kept[-1]) * len(theirs) < limit * spread).all()
    quiet = (~theirs.any(axis=1)).sum()
    assert abs(quiet - ours.num_clean) < limit * np.sqrt(2 * quiet)


@pytest.mark.parametrize("p", [0.001, 0.02])
def test_counts_have_the_exact_distribution_of_the_color_code(p: float) -> None:
    # Independent flips convolve, so their Walsh-Hadamard transforms multiply: all 2^20 outcomes at once.
    circuit = color_cultivation(3, NOISE(p))
    stages = post_selection_stages(circuit)
    bits = circuit.num_detectors + 1
    logarithms = np.zeros(1 << bits)
    for error in circuit.detector_error_model().flattened():
        if error.type == "error":
            targets = [t.val if t.is_relative_detector_id() else bits - 1 for t in error.targets_copy()]
            logarithms[sum(1 << target for target in targets)] += np.log1p(-2 * error.args_copy()[0])
    transform = np.exp((logarithms.sum() - walsh_hadamard(logarithms)) / 2)
    outcomes = walsh_hadamard(transform) / len(transform)
    shots = 20_000_000
    counted = sinter.AnonTaskStats()
    sampler = StagedSampler().compiled_sampler_for_task(sinter.Task(circuit=circuit))
    while counted.shots < shots:
        counted += sampler.sample(shots - counted.shots)
    limit = scipy.stats.norm.isf(5e-8)
    for stage in range(1, int(stages.max()) + 1):
        rejecting = sum(1 << int(detector) for detector in np.flatnonzero((stages > 0) & (stages <= stage)))
        kept = outcomes[np.arange(1 << bits) & rejecting == 0].sum()
        assert abs(counted.custom_counts[f"kept_{stage}"] - shots * kept) < limit * np.sqrt(shots * kept * (1 - kept))
    assert 1e-7 < scipy.stats.poisson.cdf(counted.errors, shots * outcomes[1 << (bits - 1)]) < 1 - 1e-7


def walsh_hadamard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    table = values.reshape([2] * (len(values).bit_length() - 1))
    for axis in range(table.ndim):
        zero, one = table.take(0, axis), table.take(1, axis)
        table = np.stack([zero + one, zero - one], axis)
    return table.ravel()


def test_faults_of_very_different_rates_keep_theirs() -> None:
    # One that nearly always happens among rare ones; what is kept is (1 - p) for each detector that only p flips.
    rates = [0.4999, 1e-4, 3e-6, 0.2, 1e-4]
    text = "".join(f"X_ERROR({p}) {q}\nM {q}\nDETECTOR({q}, 0, 0, {q + 1}) rec[-1]\n" for q, p in enumerate(rates))
    shots = 300_000_000
    draws = sampler_module._Draws(stim.Circuit(text), 5)
    kept = sum((piece.kept for piece in draws.draw(shots)), np.zeros(5, dtype=np.int64))
    before = shots
    for alive, p in zip(kept, rates, strict=True):
        # A Poisson number where p is small, and spread as one at most where it is not: each at odds of 1e-8.
        assert abs(before - alive - before * p) < 6 * np.sqrt(before * p) + 15
        before = alive


def test_kept_shots_that_do_not_fit_at_once_come_in_pieces() -> None:
    circuit = cultivation(3, 5, NOISE(0.004))
    whole, parted = sampler_module._Draws(circuit, 9), sampler_module._Draws(circuit, 9)
    parted.found = parted.found[:100]
    (one,) = whole.draw(50_000)
    pieces = [
        dataclasses.replace(piece, events=piece.events.copy(), flips=piece.flips.copy())
        for piece in parted.draw(50_000)
    ]
    assert len(pieces) > 10
    assert sum(piece.shots for piece in pieces) == one.shots == 50_000
    assert np.array_equal(sum(piece.kept for piece in pieces), one.kept)
    assert np.array_equal(np.concatenate([piece.events for piece in pieces]), one.events)
    assert np.array_equal(np.concatenate([piece.flips for piece in pieces]), one.flips)
    assert sum(piece.num_clean for piece in pieces) == one.num_clean


def test_survival_is_the_published_one() -> None:
    # 10 million attempts: three standard deviations are 0.0005 and rounding is as much, so the odds to fail are small.
    published = {3: [0.912, 0.831, 0.771, 0.642, 0.562, 0.514], 5: [0.0945]}
    for distance, expected in published.items():
        samples = sample_stages(cultivation(distance, noise=NOISE(0.001), as_published=True), 10_000_000, seed=7)
        rates = samples.kept / samples.shots
        assert np.abs(rates[-len(expected) :] - expected).max() < 0.0013


def test_likely_errors_count_as_their_absence_and_equal_ones_are_merged() -> None:
    errors = "X_ERROR(0.25) 0\nX_ERROR(0.5) 0\nX_ERROR(1) 1"
    circuit = stim.Circuit(f"{errors}\nM 0 1\nDETECTOR(0, 0, 0, 1) rec[-2]\nOBSERVABLE_INCLUDE(0) rec[-1]")
    table = FaultTable.of(circuit)
    assert table.silence == pytest.approx([1, 0.5])
    samples = sample_stages(circuit, 100_000, seed=1)
    assert unpacked(samples.flips, 1).all()
    assert samples.num_clean == 0
    assert abs(samples.kept[0] - 50_000) < 1000


def test_without_noise_everything_is_kept() -> None:
    samples = sample_stages(cultivation(3), 1000)
    assert samples.num_clean == samples.kept[-1] == 1000
    assert samples.events.shape == (0, 6)


def test_seeds_repeat_and_differ() -> None:
    circuit = cultivation(3, 5, NOISE(0.01))
    first, again, other = (sample_stages(circuit, 2000, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.events, again.events)
    assert not np.array_equal(first.kept, other.kept)


def mask_of_stages(circuit: stim.Circuit) -> NDArray[np.uint8]:
    return np.packbits(post_selection_stages(circuit) > 0, bitorder="little")


def test_sinter_collects_with_it_what_its_own_sampler_gives() -> None:
    circuit = cultivation(3, noise=NOISE(0.01))
    tasks = [
        sinter.Task(circuit=circuit, decoder="staged", json_metadata={"by": "staged"}),
        sinter.Task(
            circuit=circuit,
            decoder="pymatching",
            detector_error_model=stim.DetectorErrorModel("detector D43\nlogical_observable L0"),
            postselection_mask=mask_of_stages(circuit),
            json_metadata={"by": "sinter"},
        ),
    ]
    ours, theirs = sorted(
        sinter.collect(num_workers=2, tasks=tasks, custom_decoders={"staged": StagedSampler()}, max_shots=200_000),
        key=lambda row: row.json_metadata["by"],
        reverse=True,
    )
    assert ours.custom_counts["kept_6"] == ours.shots - ours.discards
    for name in ("discards", "errors"):
        mine, other = getattr(ours, name) / ours.shots, getattr(theirs, name) / theirs.shots
        assert abs(mine - other) < 6 * np.sqrt((mine + other) / 200_000 + 1e-10)


def test_a_sweep_saves_every_count_and_goes_on(tmp_path: Path) -> None:
    task = sinter.Task(circuit=cultivation(3, 5, NOISE(0.003)), json_metadata={"d": 3, "p": 0.003})
    decoders = {"staged": StagedSampler(SoftOutputDecoder(correlated=False)), "plain": StagedSampler("pymatching")}
    first = quell.sweep(task, decoders, max_shots=100_000, save=tmp_path / "kept.csv", num_workers=1)
    second = quell.sweep(task, decoders, max_shots=150_000, save=tmp_path / "kept.csv", num_workers=1)
    for row, before in zip(second, first, strict=True):
        assert before.shots == 100_000
        assert row.shots == 150_000
        survival = stage_survival(row)
        assert survival[-1].kept == row.shots - row.discards
        assert [each.kept for each in survival] == sorted((each.kept for each in survival), reverse=True)
    soft, plain = second
    assert len(cuts(soft)) > 10
    assert len(cuts(plain)) == 1
    rates = [row.errors / (row.shots - row.discards) for row in second]
    assert abs(rates[0] - rates[1]) < 6 * np.sqrt(sum(rates) / 90_000)


def test_samplers_are_pickled_and_named_by_their_decoder() -> None:
    given = StagedSampler(sinter.BUILT_IN_DECODERS["pymatching"])
    samplers = [StagedSampler(), StagedSampler("pymatching"), given]
    assert pickle.loads(pickle.dumps(samplers[1])).decoder == "pymatching"
    assert len({sampler.settings_id() for sampler in samplers}) == 3


def test_a_call_takes_half_a_second_of_shots_at_most() -> None:
    sampler = StagedSampler().compiled_sampler_for_task(sinter.Task(circuit=cultivation(3, noise=NOISE(0.001))))
    assert sampler.handles_throttling()
    taken = [sampler.sample(10**12) for _ in range(8)]
    assert taken[-1].shots > 1_000_000
    assert max(row.seconds for row in taken) < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("M 0\nDETECTOR(0, 0, 0) rec[-1]", "no post-selected detector: give those that reject a shot four coordinates"),
        ("M 0\nDETECTOR(0, 0, 0, 0) rec[-1]", "detector 0 has stage 0 .* count stages from 1"),
        ("M 0\nDETECTOR(0, 0, 0, 1.5) rec[-1]", "detector 0 has stage 1.5 .* whole numbers"),
        ("M 0\nDETECTOR(0, 0, 0, 2) rec[-1]", "detector 0 has stage 2 .* has 1 detectors: number the stages"),
        (
            "R 0\nRX 1\nCX 1 0\nPAULI_CHANNEL_1(0.1, 0, 0.2) 0\nMXX 0 1\nMZZ 0 1\n"
            "DETECTOR(0, 0, 0, 1) rec[-1]\nDETECTOR(0, 0, 0, 1) rec[-2]",
            "no product of independent errors",
        ),
        ("RX 0\nS[T] 0\nM 0\nDETECTOR(0, 0, 0, 1) rec[-1]", r"S\[T\].*TrueTSampler"),
        ("RX 0\nM 0\nDETECTOR(0, 0, 0, 1) rec[-1]", "no detector error model can be computed: .*non-deterministic"),
    ],
)
def test_circuits_that_cannot_be_sampled_say_why(text: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        sample_stages(stim.Circuit(text), 10)


def test_more_faults_than_can_be_drawn_one_by_one_are_refused() -> None:
    text = "".join(f"X_ERROR(0.4) {q}\nM {q}\nDETECTOR({q}, 0, 0, 1) rec[-1]\n" for q in range(1200))
    with pytest.raises(TooLargeError, match=r"a shot holds 613 faults on average, .* at most 600: lower the noise"):
        sample_stages(stim.Circuit(text), 10)


def test_bad_arguments_are_named() -> None:
    circuit = cultivation(3, 5)
    with pytest.raises(InputError, match="shots must be"):
        sample_stages(circuit, 0)
    with pytest.raises(InputError, match="decoder"):
        StagedSampler("pymatchin")
    with pytest.raises(InputError, match=r"decoder must be a sinter.Decoder, its name, or None, got 3"):
        StagedSampler(3)  # type: ignore[arg-type]
    mask = np.full(-(-circuit.num_detectors // 8), 255, dtype=np.uint8)
    with pytest.raises(InputError, match="postselection_mask rejects on detector 34, which has no stage"):
        StagedSampler().compiled_sampler_for_task(sinter.Task(circuit=circuit, postselection_mask=mask))
    observables = np.array([1], dtype=np.uint8)
    with pytest.raises(InputError, match="rejects on observables"):
        StagedSampler().compiled_sampler_for_task(
            sinter.Task(circuit=circuit, postselected_observables_mask=observables)
        )
    StagedSampler("pymatching").compiled_sampler_for_task(
        sinter.Task(circuit=circuit, postselection_mask=mask_of_stages(circuit))
    )


def test_a_decoder_of_ones_own_takes_several_observables() -> None:
    circuit = stim.Circuit("""
        X_ERROR(0.1) 0 1 2 3
        M 0 1 2 3
        DETECTOR(0, 0, 0, 1) rec[-4]
        DETECTOR(1, 0, 0) rec[-3]
        DETECTOR(2, 0, 0) rec[-2]
        OBSERVABLE_INCLUDE(0) rec[-3]
        OBSERVABLE_INCLUDE(1) rec[-1]
    """)
    task = sinter.Task(circuit=circuit)
    with pytest.raises(InputError, match="one observable"):
        StagedSampler().compiled_sampler_for_task(task)
    counted = StagedSampler("pymatching").compiled_sampler_for_task(task).sample(10_000)
    assert counted.shots == 10_000
    # Observable 0 is always right, and observable 1 wrong one time in ten.
    assert abs(counted.errors - 900) < 6 * 30
