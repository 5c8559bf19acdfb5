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
    assert rows[12] == f"and {len(noise.classes) - 12} more"
    assert "errors that flip the same detectors as others: " in str(noise)
    alone = learn_detector_error_model_with_intervals(events, believed, classes=None)
    row = re.compile(rf"\d+ +[DL\d^ ]+ +{NUMBER} +{NUMBER} \[{NUMBER}, {NUMBER}\]")
    assert sum(bool(row.fullmatch(each)) for each in str(alone).split("\n")) == 12
    found = json.loads(json.dumps(alone.to_json(), allow_nan=False))
    assert len(found["errors"]) == alone.dem.num_errors
    assert found["classes"] == []
    first = found["errors"][0]
    assert first["interval"][0] < first["probability"] < first["interval"][1]


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
