"""Staged sampling against enumeration, against Stim's sampling of the whole circuit, and inside sinter."""

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
from quell.decoders import StagedSampler, post_selection_stages, sample_stages
from quell.decoders.post_selection.fault_table import FaultTable
from quell.errors import CircuitError, InputError
from quell.qec import cuts, stage_survival

NOISE = NoiseModel.uniform_depolarizing


def unpacked(rows: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    return np.unpackbits(rows, axis=1, count=count, bitorder="little").astype(bool)


# Six faults, three stages of which the second has no fault of its own, a likely error and one of each kind.
TINY = """
X_ERROR(0.1) 0
X_ERROR(0.2) 1
X_ERROR(0.7) 2
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


def test_every_outcome_of_a_small_circuit_has_its_probability() -> None:
    # All 2^6 sets of faults, by hand: qubits that each flips.
    faults = [(0.1, [0]), (0.2, [1]), (0.7, [2]), (0.05, [3]), (0.15, [0, 2]), (0.25, [1, 3, 4])]
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
    samples = sample_stages(stim.Circuit(TINY), shots, seed=11)
    # Seven binomial numbers, each at odds of 1e-7 to be called wrong.
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
    assert table.ends == pytest.approx([0, np.log(2)])
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
    decoders = {"staged": StagedSampler(), "plain": StagedSampler("pymatching")}
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
