"""Sampling with true T against exact series, state vectors, a near-Clifford simulator and Stim."""

import collections
import itertools
import sys
from fractions import Fraction

import numpy as np
import pytest
import sinter
import stim

from quell.circuits import NoiseModel, cultivation
from quell.decoders.post_selection import to_true_t
from quell.decoders.post_selection.bit_sums import as_ints
from quell.decoders.post_selection.true_t import TrueTCounts, TrueTSampler, sample_true_t
from quell.decoders.post_selection.true_t_faults import TrueTFaults, read_faults
from quell.decoders.post_selection.true_t_paths import Paths, silent_products
from quell.errors import CircuitError, InputError, MissingExtraError, UnknownNameError
from tests.state_vector import ImpossibleError, StateVector

FEW = NoiseModel.uniform_depolarizing(1e-3)


def flips_and_frames(faults: TrueTFaults) -> list[tuple[int, int]]:
    flips = as_ints(np.concatenate([faults.detectors, faults.observables], axis=1))
    return list(zip(flips, as_ints(faults.frames), strict=True))


def wrong(paths: Paths, flipped: int, frame: int) -> Fraction:
    """How likely it is that this is kept with the observable flipped."""
    likely = paths.likelihood(flipped, frame, paths.num_stages)
    if likely == 0:
        return Fraction(0)
    flips = paths.flips(flipped, frame)
    return Fraction(likely) * (Fraction(1, 2) if flips.choices else Fraction(int(flips.flipped != 0)))


def test_the_first_term_of_the_error_rate_at_distance_3_is_the_published_one() -> None:
    # Wan and Zapirain, arXiv:2609.18922: 131/450 x², x = p / (1 - p), exactly; they take the published circuit.
    circuit = cultivation(3, noise=FEW, gate="T", as_published=True)
    faults = read_faults(circuit)
    paths = Paths(circuit, faults)
    sizes = np.diff(faults.starts).tolist()
    sites = np.repeat(np.arange(len(sizes)), sizes).tolist()
    shares: dict[tuple[int, int], dict[int, Fraction]] = collections.defaultdict(collections.Counter)
    for kind, site in zip(flips_and_frames(faults), sites, strict=True):
        shares[kind][site] += Fraction(1, sizes[site])
    # What no path changes must cancel by itself.
    fixed = paths.masks[-1] & ~paths.reached[-1]
    alike = collections.defaultdict(list)
    for kind in shares:
        alike[kind[0] & fixed].append(kind)
    assert all(wrong(paths, *kind) == 0 for kind in alike[0])
    total = Fraction(0)
    for kinds in alike.values():
        for a, b in itertools.combinations_with_replacement(kinds, 2):
            if likely := wrong(paths, a[0] ^ b[0], a[1] ^ b[1]):
                apart = sum(shares[a].values()) * sum(shares[b].values())
                apart -= sum(share * shares[b].get(site, 0) for site, share in shares[a].items())
                total += likely * apart / (2 if a == b else 1)
    assert total == Fraction(131, 450)


@pytest.mark.parametrize(("distance", "least"), [(3, 8), (5, 40)])
def test_signs_of_silent_products_are_those_of_the_sign_rule(distance: int, least: int) -> None:
    # On SRP codes Z on the support s of a check is (-1)^(|s|/2): the rule under which T is transversal there.
    circuit = cultivation(distance, gate="T")
    faults = read_faults(circuit)
    layers = [position.instruction for position in faults.positions]
    double_checks = [layer for layer in dict.fromkeys(layers) if layers.count(layer) > 1]
    checked = 0
    for product, sign in silent_products(circuit, faults).values():
        chosen = [position for index, position in enumerate(faults.positions) if product >> index & 1]
        if any(position.instruction not in double_checks for position in chosen):
            continue
        # Z before and after a double check are the same operator; each double check has layers of its own.
        support: set[tuple[int, int]] = set()
        for position in chosen:
            support ^= {(double_checks.index(position.instruction) // 2, position.qubit)}
        assert sign == (-1) ** (len(support) // 2)
        assert len(support) % 2 == 0
        checked += 1
    assert checked >= least


Fault = tuple[int, tuple[tuple[str, int], ...]]
ONE, TWO = ["X", "Y", "Z"], [a + b for a in "IXYZ" for b in "IXYZ"][1:]
WORDS = {"X_ERROR": ["X"], "Z_ERROR": ["Z"], "DEPOLARIZE1": ONE, "DEPOLARIZE2": TWO}


def all_faults(circuit: stim.Circuit) -> list[Fault]:
    """Every Pauli that the noise may apply, as (instruction, what): one for each row of the table of faults."""
    return [
        (index, tuple((pauli, t.value) for pauli, t in zip(word, group, strict=True) if pauli != "I"))
        for index, each in enumerate(circuit)
        if isinstance(each, stim.CircuitInstruction)
        for group in (each.target_groups() if each.name in WORDS else [])
        for word in WORDS[each.name]
    ]


def with_gates(circuit: stim.Circuit, faults: list[Fault]) -> stim.Circuit:
    """The circuit with these faults as gates, and no other noise."""
    result = stim.Circuit()
    for index, each in enumerate(circuit):
        assert isinstance(each, stim.CircuitInstruction)
        if each.name not in WORDS:
            result.append(each)
        for at, paulis in faults:
            for pauli, qubit in paulis if at == index else ():
                result.append(pauli, [qubit])
    return result


def state_vector_says(circuit: stim.Circuit, num_detectors: int, seed: int) -> tuple[list[float], float]:
    """How likely no event is up to each stage, and a flipped observable given none; from the state."""
    reference = [0] * num_detectors
    ends: dict[int, list[tuple[int, list[int]]]] = collections.defaultdict(list)
    measured = detector = 0
    observable = -1
    for each in circuit:
        assert isinstance(each, stim.CircuitInstruction)
        measured += each.num_measurements
        records = [measured + target.value for target in each.targets_copy()] if each.name in ANNOTATIONS else []
        if each.name == "DETECTOR":
            ends[max(records)].append((detector, records))
            detector += 1
        elif each.name == "OBSERVABLE_INCLUDE":
            (observable,) = records
    stages = [int(place[3]) for _, place in sorted(circuit.get_detector_coordinates().items())]
    for index in FLIPPED_BY_THE_GATE:
        reference[index] = 1
    survival = [1.0] * (max(stages) + 1)
    flipped = [0.0]
    rng = np.random.default_rng(seed)

    def decide(index: int, ones: float) -> int:
        if index == observable:
            flipped[0] = ones
            return int(ones > 0.5)
        if not ends[index]:
            return int(rng.random() < ones)
        detector, records = ends[index][0]
        result = (reference[detector] + sum(state.records[r] for r in records if r != index)) % 2
        stage = stages[detector]
        survival[stage:] = [likely * (ones if result else 1 - ones) for likely in survival[stage:]]
        return result

    state = StateVector(decide)
    try:
        state.run(circuit)
    except ImpossibleError:
        return survival[1:], 0.0
    return survival[1:], flipped[0]


ANNOTATIONS = ("DETECTOR", "OBSERVABLE_INCLUDE")
# Detectors of cultivation(3) that are 1 without noise.
FLIPPED_BY_THE_GATE: list[int] = []


def find_flipped() -> None:
    circuit = cultivation(3, gate="T")
    rng = np.random.default_rng(0)
    state = StateVector(lambda _, ones: int(rng.random() < ones))
    state.run(circuit)
    measured = detector = 0
    FLIPPED_BY_THE_GATE.clear()
    for each in circuit:
        assert isinstance(each, stim.CircuitInstruction)
        measured += each.num_measurements
        if each.name == "DETECTOR":
            if sum(state.records[measured + target.value] for target in each.targets_copy()) % 2:
                FLIPPED_BY_THE_GATE.append(detector)
            detector += 1


def test_what_becomes_of_faults_is_what_a_state_vector_says() -> None:
    find_flipped()
    noisy = cultivation(3, noise=FEW, gate="T")
    faults = read_faults(noisy)
    paths, kinds, places = Paths(noisy, faults), flips_and_frames(faults), all_faults(noisy)
    assert len(places) == len(kinds)
    rng = np.random.default_rng(2)
    seen: collections.Counter[str] = collections.Counter()
    for _ in range(30_000):
        chosen = rng.integers(len(places) // 4, len(places), rng.integers(1, 5))
        flipped = frame = 0
        for index in chosen:
            flipped, frame = flipped ^ kinds[index][0], frame ^ kinds[index][1]
        survival = [paths.likelihood(flipped, frame, stage) for stage in range(1, paths.num_stages + 1)]
        # Most sets are seen by detectors that T gates do not matter for: of each case a few are enough.
        case = "kept" if survival[-1] else "lost" if survival[2] in (0, 1) else "lost by the double check"
        case += f" {frame.bit_count() > 2}"
        if seen[case] >= 12:
            continue
        seen[case] += 1
        exact, flip = state_vector_says(
            with_gates(noisy, [places[index] for index in chosen]), noisy.num_detectors, int(chosen[0])
        )
        assert survival == pytest.approx(exact, abs=1e-9), chosen
        if survival[-1]:
            flips = paths.flips(flipped, frame)
            assert flip == pytest.approx(0.5 if flips.choices else float(flips.flipped != 0), abs=1e-9), chosen
    assert min(seen.values()) == 12, seen
    assert len(seen) == 6, seen


def deviations(a: TrueTCounts, b: TrueTCounts) -> list[float]:
    """Differences of kept fractions, in standard deviations."""
    found = []
    for x, y in zip(a.kept, b.kept, strict=True):
        mean = (x + y) / (a.shots + b.shots)
        spread = np.sqrt(mean * (1 - mean) * (1 / a.shots + 1 / b.shots))
        found.append(abs(x / a.shots - y / b.shots) / spread if spread else 0.0)
    return found


@pytest.mark.parametrize(("distance", "p", "shots"), [(3, 5e-3, 40_000), (5, 2e-3, 250)])
def test_a_near_clifford_simulator_keeps_as_many(distance: int, p: float, shots: int) -> None:
    pytest.importorskip("symft")
    circuit = cultivation(distance, noise=NoiseModel.uniform_depolarizing(p), gate="T")
    theirs = sample_true_t(circuit, shots, seed=3, simulator="symft")
    ours = sample_true_t(circuit, 10 * shots, seed=3)
    enough = [d for d, kept in zip(deviations(ours, theirs), theirs.kept, strict=True) if kept > 30]
    # False alarm: at most 20 differences beyond 5.5 standard deviations, 1e-6.
    assert len(enough) >= 5
    assert max(enough) < 5.5


def test_where_t_does_not_matter_stim_keeps_as_many() -> None:
    circuit = cultivation(3, noise=NoiseModel.uniform_depolarizing(2e-3), gate="T")
    shots = 300_000
    events = circuit.compile_detector_sampler(seed=4).sample(shots)
    stages = np.array([int(place[3]) for _, place in sorted(circuit.get_detector_coordinates().items())])
    kept = [int((~events[:, (stages > 0) & (stages <= stage)].any(axis=1)).sum()) for stage in (1, 2)]
    ours = sample_true_t(circuit, shots, seed=5)
    # False alarm: 2 differences beyond 5.5 standard deviations, 1e-7.
    assert max(deviations(TrueTCounts(shots, ours.kept[:2], 0), TrueTCounts(shots, tuple(kept), 0))) < 5.5


def test_the_error_rate_at_high_noise_lies_above_that_of_the_proxy_and_near_the_series() -> None:
    # Four terms of the series at p = 0.003, 2.70e-5 of what is kept, the last one 8 %; 1e6 shots hold some 4 errors.
    circuit = cultivation(3, noise=NoiseModel.uniform_depolarizing(3e-3), gate="T", as_published=True)
    counts = sample_true_t(circuit, 3_000_000, seed=6)
    expected = 2.7e-5 * counts.kept[-1]
    # False alarm below 1e-6 for a Poisson variable of this mean.
    assert abs(counts.errors - expected) < 5.5 * np.sqrt(expected) + 3


def test_sampling_repeats_with_the_seed_and_counts_add_up() -> None:
    circuit = cultivation(3, noise=NoiseModel.uniform_depolarizing(5e-3), gate="T")
    first, second = (sample_true_t(circuit, 20_000, seed=7) for _ in range(2))
    assert first == second
    assert first != sample_true_t(circuit, 20_000, seed=8)
    assert list(first.kept) == sorted(first.kept, reverse=True)
    assert first.discards == first.shots - first.kept[-1]
    assert sample_true_t(cultivation(3, gate="T"), 100).kept == (100,) * 6
    task = sinter.Task(circuit=circuit)
    counted = TrueTSampler(seed=7).compiled_sampler_for_task(task).sample(4096)
    assert counted.shots == 4096
    assert counted.discards == 4096 - counted.custom_counts["kept_6"]


def test_channels_that_are_not_depolarizing_are_drawn_as_they_are() -> None:
    # One qubit in |+>, checked in X after a T gate and its inverse: of three Paulis Z and Y are seen; X is after T.
    circuit = stim.Circuit(
        """
        RX 0
        S[T] 0
        PAULI_CHANNEL_1(0.1, 0.2, 0.3) 0
        S_DAG[T] 0
        MX 0
        DETECTOR(0, 0, 0, 1) rec[-1]
        R 1
        M 1
        OBSERVABLE_INCLUDE(0) rec[-1]
        """
    )
    shots = 200_000
    counts = sample_true_t(circuit, shots, seed=9)
    # T† X T|+> is kept with probability |<+|T† X T|+>|² = cos²(π/4) = 1/2, and so is T† Y T|+>; Z is never kept.
    expected = 0.4 + 0.5 * 0.1 + 0.5 * 0.2
    assert abs(counts.kept[0] / shots - expected) < 5 * np.sqrt(expected * (1 - expected) / shots)


@pytest.mark.parametrize(
    ("circuit", "options", "error", "message"),
    [
        (cultivation(3, noise=FEW), {}, CircuitError, "no T gate.*gate='T'"),
        (cultivation(3, 7, FEW, gate="T"), {}, InputError, "218 of 252 detectors have no stage.*leave out expand_to"),
        (cultivation(3, noise=FEW, gate="T"), {"shots": 0}, InputError, "shots must be an integer >= 1, got 0"),
        (cultivation(3, gate="T"), {"simulator": "frame"}, UnknownNameError, "did you mean 'frames'"),
        (stim.Circuit("R 0\nS[T] 0\nM(0.1) 0\nDETECTOR(0, 0, 0, 1) rec[-1]"), {}, CircuitError, "M with an argument"),
        (stim.Circuit("R 0\nS[T] 0\nM 0"), {}, CircuitError, "no detector is post-selected"),
        (
            stim.Circuit("RX 0\nS[T] 0\nH 0\nS[T] 0\nM 0\nDETECTOR(0, 0, 0, 1) rec[-1]"),
            {},
            CircuitError,
            "turns up as X at another",
        ),
    ],
)
def test_bad_input_is_named(
    circuit: stim.Circuit, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sample_true_t(circuit, **({"shots": 10} | options))  # type: ignore[arg-type]


def test_a_missing_simulator_says_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "symft", None)
    with pytest.raises(MissingExtraError, match=r"quell\[true-t\].*simulator='frames'.*optimistic"):
        sample_true_t(cultivation(3, noise=FEW, gate="T"), 10, simulator="symft")


def test_the_text_for_simulators_has_t_and_no_tags() -> None:
    text = to_true_t(cultivation(3, gate="T"))
    assert text.count("T_DAG") == 2
    assert "[" not in text.replace("rec[", "").replace("PAULI", "")
    with pytest.raises(CircuitError, match="tagged"):
        to_true_t(cultivation(3))
