"""Learning in one call: against the simulated truth, against scipy's intervals, and what decoders make of it."""

import collections
import json
import math
import re
import warnings
from typing import Any

import numpy as np
import pymatching
import pytest
import scipy.stats
import stim

from quell.circuits import rotated_surface_memory
from quell.decoders import join_equal_errors
from quell.decoders.noise_learning.fit_of_structure import deviations_limit
from quell.decoders.noise_learning.learn import (
    learn_detector_error_model,
    learn_detector_error_model_with_intervals,
)
from quell.decoders.noise_learning.noise_design import pauli25_noise
from quell.errors import InputError

pytest.importorskip("numba")

FALSE_ALARM = 1e-6
NUMBER = r"\d(?:\.\d+)?(?:e-\d+)?"


def surface_code(gates: float, measurement: float, idle: float) -> stim.Circuit:
    return stim.Circuit.generated(
        "surface_code:rotated_memory_z",
        distance=3,
        rounds=4,
        after_clifford_depolarization=gates,
        before_measure_flip_probability=measurement,
        before_round_data_depolarization=idle,
    )


def targets(dem: stim.DetectorErrorModel) -> list[str]:
    return [re.sub(r"\(.*\)", "", str(dem[i])) if dem[i].type == "error" else str(dem[i]) for i in range(len(dem))]


def by_detectors(dem: stim.DetectorErrorModel) -> dict[frozenset[int], float]:
    """-log(1 - 2p), summed over all errors that flip the same detectors."""
    found: dict[frozenset[int], float] = collections.defaultdict(float)
    flat = dem.flattened()
    for error in (flat[i] for i in range(len(flat)) if flat[i].type == "error"):
        flips: set[int] = set()
        for target in error.targets_copy():
            if target.is_relative_detector_id():
                flips ^= {target.val}
        found[frozenset(flips)] -= math.log(1 - 2 * error.args_copy()[0])
    return found


def test_the_structure_stays_and_the_probabilities_become_those_of_the_shots() -> None:
    true, believed = surface_code(0.004, 0.03, 0.01), surface_code(0.001, 0.001, 0.001)
    events, _ = true.compile_detector_sampler(seed=1).sample(200_000, separate_observables=True, bit_packed=True)
    structure = believed.detector_error_model(decompose_errors=True)
    learned = learn_detector_error_model(events, believed, bit_packed=True)
    assert learned == learn_detector_error_model(events, structure, bit_packed=True)
    assert targets(learned) == targets(join_equal_errors(structure.flattened()))
    assert learned.get_detector_coordinates() == structure.get_detector_coordinates()
    assert learned.num_observables == structure.num_observables
    # Merged edges do not depend on how errors with the same detectors share: these are what a matching weighs.
    edges, wanted = (
        {tuple(sorted(n for n in edge[:2] if n is not None)): edge[2]["error_probability"] for edge in graph.edges()}
        for graph in map(
            pymatching.Matching.from_detector_error_model,
            (learned, join_equal_errors(true.detector_error_model(decompose_errors=True))),
        )
    )
    assert edges.keys() == wanted.keys()
    # 200,000 shots tell 1 % to 0.02 %; eight of these.
    assert max(abs(edges[key] - wanted[key]) for key in wanted) < 0.0018
    assert max(wanted.values()) > 0.03


def test_what_was_learned_decodes_better_than_what_was_believed() -> None:
    """Measurements err ten times as often as believed, gates half as often. Paired: a sign test over what differs."""
    true, believed = surface_code(0.002, 0.06, 0.01), surface_code(0.004, 0.004, 0.02)
    learned = learn_detector_error_model(true.compile_detector_sampler(seed=2).sample(50_000), believed)
    events, flips = true.compile_detector_sampler(seed=3).sample(60_000, separate_observables=True)
    wrong = [
        (pymatching.Matching.from_detector_error_model(dem).decode_batch(events) != flips).any(axis=1)
        for dem in (
            learned,
            believed.detector_error_model(decompose_errors=True),
            true.detector_error_model(decompose_errors=True),
        )
    ]
    better, worse = int((wrong[1] & ~wrong[0]).sum()), int((wrong[0] & ~wrong[1]).sum())
    assert scipy.stats.binomtest(better, better + worse, alternative="greater").pvalue < FALSE_ALARM
    # The true model is as good as any: what was learned comes within a tenth of it.
    assert wrong[0].sum() < 1.1 * wrong[2].sum()


def test_single_errors_have_the_intervals_of_scipy() -> None:
    """An error that flips a detector of its own is a binomial variable; with Jeffreys' prior its posterior is beta."""
    number, shots = 200, 3_000
    chances = np.geomspace(0.003, 0.2, number)
    dem = stim.DetectorErrorModel("\n".join(f"error({p}) D{d}" for d, p in enumerate(chances)))
    events = dem.compile_sampler(seed=4).sample(shots)[0]
    noise = learn_detector_error_model_with_intervals(events, dem, classes=None)
    count = events.sum(axis=0)
    for side, share in ((0, 0.025), (1, 0.975)):
        wanted = scipy.stats.beta.ppf(share, count + 0.5, shots - count + 0.5)
        half = np.abs(wanted - count / shots)
        away = (noise.intervals[:, side] - wanted) / half
        # Widths are measured from 32 blocks, to an eighth, and where few shots have events they come out wide.
        assert np.abs(away).max() < 1
        assert abs(away.mean()) < 0.2
    np.testing.assert_allclose(noise.probabilities, (count + 0.5) / (shots + 1), rtol=0.2)


@pytest.mark.parametrize("shots", [1_000, 20_000])
def test_intervals_hold_the_truth_as_often_as_they_say(shots: int) -> None:
    """Independent blocks of an edge, a hyperedge, and what flips one detector: misses are binomial in each kind."""
    blocks = 400
    chances = np.random.default_rng(5).uniform(0.002, 0.05, (blocks, 3))
    dem = stim.DetectorErrorModel()
    for block, row in enumerate(chances.tolist()):
        for size, chance in enumerate(row, 1):
            dem.append("error", chance, [stim.target_relative_detector_id(3 * block + d) for d in range(size)])
    events = dem.compile_sampler(seed=6).sample(shots)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the detectors that did not fire yet
        noise = learn_detector_error_model_with_intervals(events, dem, classes=None)
    missed = (noise.intervals[:, 0] > chances.ravel()) | (noise.intervals[:, 1] < chances.ravel())
    most = scipy.stats.binom.isf(FALSE_ALARM, blocks, 0.07)
    assert missed.reshape(blocks, 3).sum(axis=0).max() <= most
    assert missed.sum() >= scipy.stats.binom.ppf(FALSE_ALARM, 3 * blocks, 0.03)


def test_models_that_do_not_decompose_are_learned_too() -> None:
    true, believed = (
        stim.Circuit(f"""
            R 0 1 2 3 4 5
            X_ERROR({p}) 0
            X_ERROR({p / 2}) 5
            CX 0 1 0 2 0 3 5 2 5 3 5 4
            M 1 2 3 4
            DETECTOR(1, 0) rec[-4]
            DETECTOR(2, 0) rec[-3]
            DETECTOR(3, 0) rec[-2]
            DETECTOR(4, 0) rec[-1]
        """)
        for p in (0.08, 0.005)
    )
    with pytest.raises(ValueError, match="decompose"):
        true.detector_error_model(decompose_errors=True)
    events = true.compile_detector_sampler(seed=7).sample(100_000)
    learned = learn_detector_error_model(events, believed)
    wanted = true.detector_error_model().flattened()
    assert targets(learned) == targets(wanted)
    assert learned.approx_equals(wanted, atol=0.005)  # 8 % from 1e5 shots: five standard deviations


def test_the_text_is_a_table_in_which_each_number_has_its_interval() -> None:
    true, believed = surface_code(0.004, 0.03, 0.01), surface_code(0.001, 0.001, 0.001)
    events = true.compile_detector_sampler(seed=8).sample(20_000)
    noise = learn_detector_error_model_with_intervals(events, believed)
    head, empty, columns, *rows = str(noise).split("\n")
    assert (head, empty) == ("closed-form, from 20,000 shots", "")
    assert columns.split("  ")[0] == "errors"
    row = re.compile(rf"\d+ +(D\d+ ?)+ +{NUMBER} +{NUMBER} \[{NUMBER}, {NUMBER}\]")
    assert [bool(row.fullmatch(each)) for each in rows[:13]] == [True] * 12 + [False]
    assert rows[12] == f"and {len(noise.classes) - 12} more (all are in .to_json(), --json)"
    assert "errors that flip the same detectors as others: " in str(noise)
    alone = learn_detector_error_model_with_intervals(events, believed, classes=None)
    row = re.compile(rf"\d+ +[DL\d^ ]+ +{NUMBER} +{NUMBER} \[{NUMBER}, {NUMBER}\]")
    assert sum(bool(row.fullmatch(each)) for each in str(alone).split("\n")) == 12
    found = json.loads(json.dumps(alone.to_json(), allow_nan=False))
    assert len(found["errors"]) == alone.dem.num_errors
    assert found["classes"] == []
    first = found["errors"][0]
    assert first["interval"][0] < first["probability"] < first["interval"][1]


def with_a_bad_qubit(p: float, bad: float, times: int) -> stim.Circuit:
    """Qubit 3 of a repetition code is read wrongly with probability `bad` in the first so many rounds."""
    text = str(repetition_code(p).flattened())
    good, worse = f"X_ERROR({p}) 1 3 5 7\n", f"X_ERROR({p}) 1 5 7\nX_ERROR({bad}) 3\n"
    assert text.count(good) == 12
    return stim.Circuit(text.replace(good, worse, times))


def repetition_code(p: float) -> stim.Circuit:
    return stim.Circuit.generated(
        "repetition_code:memory", distance=5, rounds=12, before_measure_flip_probability=p,
        before_round_data_depolarization=p,
    )  # fmt: skip


def test_a_bad_qubit_is_named_under_the_table_of_classes() -> None:
    """Detectors of qubit 3 are 1, 5, 9, …; it is read wrongly eight times as often as the others."""
    events = with_a_bad_qubit(0.01, 0.08, 12).compile_detector_sampler(seed=20).sample(20_000)
    noise = learn_detector_error_model_with_intervals(events, repetition_code(0.001))
    assert noise.fit.good
    assert noise.outliers
    for one in noise.outliers:
        assert one.such_as[1] - one.such_as[0] == 4
        assert one.such_as[0] % 4 == 1
        assert [each[0] for each in one.coordinates] == [3, 3]
        # Three and more standard errors of a learned probability, and of the mean of 36 and more others.
        assert one.interval[0] < one.probability < one.interval[1]
        assert abs(one.probability - 0.08) < 0.01
        assert abs(one.class_probability - 0.01) < 0.001
        assert one.deviations > 8
    assert noise.outliers[0].size > 5
    assert abs(noise.outliers[0].deviations) == max(abs(one.deviations) for one in noise.outliers)
    row = re.compile(rf"(\d+) +D(\d+) D\d+ +\(3, \d+\) \(3, \d+\) +{NUMBER} +{NUMBER} \[{NUMBER}, {NUMBER}\] +\+\d+")
    found = [match for line in str(noise).split("\n") if (match := row.fullmatch(line))]
    assert len(found) == min(len(noise.outliers), 6)
    assert json.loads(json.dumps(noise.to_json()))["outliers"][0]["such_as"] == list(noise.outliers[0].such_as)
    # What happened in one round, and in no other.
    text, bad = str(repetition_code(0.01).flattened()), "X_ERROR(0.01) 1 3 5 7\n"
    parts = text.split(bad)
    parts[6] = "X_ERROR(0.09) 5\n" + parts[6]
    events = stim.Circuit(bad.join(parts)).compile_detector_sampler(seed=21).sample(20_000)
    noise = learn_detector_error_model_with_intervals(events, repetition_code(0.001))
    assert [(one.such_as, one.size) for one in noise.outliers] == [((22, 26), 1)]
    many = with_a_bad_qubit(0.01, 0.08, 12)
    classes = np.zeros(repetition_code(0.001).detector_error_model().flattened().num_errors, dtype=np.int64)
    noise = learn_detector_error_model_with_intervals(
        many.compile_detector_sampler(seed=22).sample(20_000), repetition_code(0.001), classes=classes
    )
    assert len(noise.outliers) > 6
    assert f"\nand {len(noise.outliers) - 6} more (.outliers, --json)" in str(noise)


def test_noise_that_is_the_same_everywhere_has_no_outliers_and_fits() -> None:
    """The limits let false alarms through once in a million structures."""
    for shots, p in ((300, 0.02), (20_000, 0.002), (50_000, 0.01)):
        true, believed = surface_code(p, p, p), surface_code(0.001, 0.001, 0.001)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the detectors that did not fire yet
            noise = learn_detector_error_model_with_intervals(
                true.compile_detector_sampler(seed=23).sample(shots), believed
            )
        assert noise.outliers == ()
        assert noise.fit.good
        assert noise.fit.lowest > -noise.fit.limit
        assert noise.fit.notes() == []


@pytest.mark.parametrize("wrong", ["permuted", "bits", "rolled", "observable first"])
def test_a_structure_that_cannot_explain_the_events_is_named(wrong: str) -> None:
    events, flips = repetition_code(0.01).compile_detector_sampler(seed=24).sample(20_000, separate_observables=True)
    detectors = events.shape[1]
    if wrong == "permuted":
        events = events[:, np.random.default_rng(25).permutation(detectors)]
    elif wrong == "bits":
        packed = np.packbits(events, axis=1, bitorder="big")
        events = np.unpackbits(packed, axis=1, bitorder="little")[:, :detectors].astype(np.bool_)
    elif wrong == "rolled":
        events = np.roll(events, 1, axis=1)
    else:
        events = np.concatenate([flips, events[:, :-1]], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where bits of the last byte went
        noise = learn_detector_error_model_with_intervals(events, repetition_code(0.001))
    assert not noise.fit.good
    assert "the structure does not explain the events" in str(noise)
    assert 'bitorder="little"' in str(noise)
    assert json.loads(json.dumps(noise.to_json()))["fit"]["good"] is False


def test_rates_far_below_zero_speak_against_the_structure() -> None:
    """Events that exclude each other are correlated below zero, which no independent errors are."""
    dem = stim.DetectorErrorModel("error(.1) D0 \n error(.1) D1 \n error(.1) D0 D1")
    rng = np.random.default_rng(26)
    which = rng.choice(3, size=20_000, p=[0.2, 0.2, 0.6])
    noise = learn_detector_error_model_with_intervals(np.eye(3, dtype=np.bool_)[which][:, :2], dem, classes=None)
    assert (noise.fit.num_below_zero, noise.fit.below_zero) == (1, ((0, 1),))
    assert noise.fit.lowest < -20
    assert "rates below zero by more than" in noise.notes()[0]
    assert "(worst: D0 D1, by " in noise.notes()[0]


def test_the_limit_of_standard_errors_is_students() -> None:
    for trials, blocks in ((10, 32), (50_000, 32), (1_000, 12)):
        limit = deviations_limit(np.full(blocks, 1 / blocks), trials)
        assert limit == pytest.approx(scipy.stats.t.isf(FALSE_ALARM / trials, blocks - 1))


def test_class_means_hold_the_truth() -> None:
    """Each misses the truth in 5 % of all cases; of 400 independent ones, so many as this once in a million."""
    rows = [f"error({0.002 + 0.00005 * c}) D{3 * c + d}" for c in range(400) for d in range(3)]
    dem = stim.DetectorErrorModel("\n".join(rows))
    events = dem.compile_sampler(seed=9).sample(10_000)[0]
    noise = learn_detector_error_model_with_intervals(events, dem, classes=np.repeat(np.arange(400), 3))
    assert {one.size for one in noise.classes} == {3}
    assert sorted(one.such_as for one in noise.classes) == [(3 * c,) for c in range(400)]
    missed = sum(not one.interval[0] < one.structure < one.interval[1] for one in noise.classes)
    assert 2 <= missed <= scipy.stats.binom.isf(FALSE_ALARM, 400, 0.06)


def test_parameters_of_a_noise_are_learned_with_the_model_they_make() -> None:
    pytest.importorskip("torch")
    circuit = rotated_surface_memory(3, 3)
    noisy = pauli25_noise([0.006] * 4 + [0.002] * 6 + [0.0004] * 15).apply(circuit)
    events = noisy.compile_detector_sampler(seed=10).sample(50_000)
    noise = learn_detector_error_model_with_intervals(events, circuit, method="pauli25")
    assert noise.parameters is not None
    assert (len(noise.parameters.names), noise.classes) == (25, ())
    assert noise.parameters.noise_model().apply(circuit).num_detectors == circuit.num_detectors
    learned, wanted = by_detectors(noise.dem), by_detectors(noisy.detector_error_model(decompose_errors=True))
    assert learned.keys() == wanted.keys()
    # Rates up to 0.07, whose standard deviations over repetitions are 0.001 at most.
    assert max(abs(learned[key] - wanted[key]) for key in wanted) < 0.006
    text = str(noise).split("\n")
    row = re.compile(rf"\w+\[[A-Z]+\] +{NUMBER} \[{NUMBER}, {NUMBER}\]")
    assert sum(bool(row.fullmatch(line)) for line in text) == 25
    assert set(noise.parameters.unidentified) <= set(text)
    assert json.loads(json.dumps(noise.to_json()))["parameters"].keys() == set(noise.parameters.names)
    with pytest.raises(InputError, match=r"structure must be a stim\.Circuit, got DetectorErrorModel"):
        learn_detector_error_model(events, noise.dem, method="pauli25")


@pytest.mark.parametrize(
    ("events", "options", "message"),
    [
        (np.zeros((500, 3), dtype=np.bool_), {}, "no detector fired in any of 500 shots"),
        (np.zeros((500, 4), dtype=np.bool_), {}, "must have shape"),
        (np.eye(3, dtype=np.bool_), {}, "100 shots or more, got 3"),
        (np.eye(3, dtype=np.bool_), {"classes": "translation"}, "classes=None"),
        (np.eye(3, dtype=np.bool_), {"method": "magic"}, "Known: closed-form, likelihood, pauli25"),
        ([], {}, "100 shots or more, got 0"),
    ],
)
def test_what_cannot_be_learned_is_refused(events: Any, options: dict[str, Any], message: str) -> None:
    dem = stim.DetectorErrorModel("error(.1) D0 \n error(.1) D1 D2")
    with pytest.raises(InputError, match=message):
        learn_detector_error_model(events, dem, **{"classes": None, **options})


@pytest.mark.parametrize("structure", ["X_ERROR(0.1) 0", stim.Circuit("X_ERROR(0.1) 0"), None])
def test_what_is_no_structure_is_refused(structure: Any) -> None:
    with pytest.raises(InputError, match="structure"):
        learn_detector_error_model(np.zeros((500, 1), dtype=np.bool_), structure)
