"""The adapter for M3 against the linear system it solves, written out with numpy."""

import itertools
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quell.errors import InputError, MissingExtraError
from quell.mitigation import M3, read_counts
from quell.mitigation import m3 as module


def nearest_distribution(quasi: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the projection onto the simplex, by bisection of the amount that is taken off."""
    low, high = quasi.min() - 1, quasi.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(quasi - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(quasi - low, 0)


def by_linear_algebra(counts: dict[str, int], matrices: NDArray[np.float64], distance: int) -> dict[str, float]:
    """Returns what M3 is defined to return: the system on the strings seen, columns scaled to sum to one."""
    keys = list(counts)
    system = np.zeros((len(keys), len(keys)))
    for (i, read), (j, was) in itertools.product(enumerate(keys), repeat=2):
        # bit 0 is a key's last character
        bits = list(zip(read[::-1], was[::-1], strict=True))
        if sum(a != b for a, b in bits) <= distance:
            system[i, j] = np.prod([matrices[bit][int(a), int(b)] for bit, (a, b) in enumerate(bits)])
    system /= system.sum(axis=0)
    measured = np.array(list(counts.values())) / sum(counts.values())
    return dict(zip(keys, nearest_distribution(np.linalg.solve(system, measured)), strict=True))


COUNTS = {"0000": 500, "0001": 60, "0010": 41, "0100": 70, "1000": 30, "1111": 240, "0111": 22, "1011": 5, "1100": 3}
MATRICES = np.array(
    [[[1 - up, down], [up, 1 - down]] for up, down in ((0.1, 0.02), (0.03, 0.15), (0.0, 0.2), (0.05, 0.0))]
)


def test_the_linear_system() -> None:
    estimator = M3(assignment_matrices=list(MATRICES))
    mitigated = estimator.mitigate(COUNTS)
    assert dict(mitigated) == pytest.approx(by_linear_algebra(COUNTS, MATRICES, 3), abs=2e-5)
    assert mitigated.report.flip_rates_0_to_1 == pytest.approx([0.1, 0.03, 0.0, 0.05])
    assert mitigated.report.flip_rates_1_to_0 == pytest.approx([0.02, 0.15, 0.2, 0.0])
    assert estimator.flip_rates_ == pytest.approx([0.06, 0.09, 0.1, 0.025])


@pytest.mark.parametrize("distance", [1, 2, 4, 9])
def test_the_distance(distance: int) -> None:
    mitigated = M3(assignment_matrices=list(MATRICES), distance=distance).mitigate(COUNTS)
    assert dict(mitigated) == pytest.approx(by_linear_algebra(COUNTS, MATRICES, distance), abs=2e-5)


def test_a_flip_rate_is_a_symmetric_matrix_for_each_bit() -> None:
    rates = [0.02, 0.1, 0.05, 0.08]
    symmetric = np.array([[[1 - p, p], [p, 1 - p]] for p in rates])
    assert dict(M3(rates).mitigate(COUNTS)) == pytest.approx(by_linear_algebra(COUNTS, symmetric, 3), abs=2e-5)


def test_many_strings_are_solved_iteratively_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = M3(0.03).mitigate(COUNTS)
    monkeypatch.setattr(module, "_MAX_DIRECT", 1)
    assert dict(M3(0.03).mitigate(COUNTS)) == pytest.approx(dict(direct), abs=1e-3)


def test_what_was_negative_is_told() -> None:
    # at 10 % flips two strings this close must owe each other more than the second one has
    mitigated = M3(0.1).mitigate({"00": 950, "01": 20, "10": 20, "11": 10})
    assert mitigated["01"] == 0
    assert mitigated.report.scores["negative"] > 0.01
    assert any("were negative; this is the nearest probability distribution" in note for note in mitigated.report.notes)
    assert M3(0.01).mitigate({"00": 900, "01": 100}).report.scores["negative"] == 0


def test_where_there_is_no_solution_counts_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_DIRECT", 1)
    drawn = np.random.default_rng(0).multinomial(8192, np.full(1024, 1 / 1024))
    mitigated = M3(0.45).mitigate({f"{x:010b}": int(number) for x, number in enumerate(drawn)})
    assert not mitigated.report.changed
    assert "mthree found no solution" in mitigated.report.reason
    assert {key: value for key, value in mitigated.items() if value} == {k: v for k, v in mitigated.raw.items() if v}


def test_a_flip_rate_of_zero_changes_nothing() -> None:
    mitigated = M3(0.0).mitigate(COUNTS)
    assert not mitigated.report.changed
    assert dict(mitigated) == mitigated.raw


def test_without_mthree_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mthree", None)
    with pytest.raises(MissingExtraError, match=r"mthree is not installed: this needs pip install 'quell\[m3\]'"):
        M3(0.1).mitigate(COUNTS)


good = [[0.9, 0.1], [0.1, 0.9]]


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([good], r"one 2x2 matrix for each of the 4 bits, bit 0 first, got an array of shape \(1, 2, 2\)"),
        ([good, good, good, [1, 2]], "got a list of something else"),
        ("abcd", "got a str of something else"),
        ([good, good, [[0.9, 0.2], [0.1, 0.9]], good], r"assignment_matrices\[2\] must have columns that .* sum to 1"),
        ([good, [[1.1, 0.1], [-0.1, 0.9]], good, good], r"assignment_matrices\[1\] must have columns that are prob"),
        ([good, [[float("nan"), 0.1], [0.1, 0.9]], good, good], r"assignment_matrices\[1\] must have columns"),
        ([[[0.4, 0.6], [0.6, 0.4]], good, good, good], r"assignment_matrices\[0\] must read 0 more often"),
    ],
)
def test_matrices_are_checked(matrices: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        M3(assignment_matrices=matrices).mitigate(COUNTS)


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="flip_rate and assignment_matrices say the same thing"):
        M3(0.1, assignment_matrices=list(MATRICES)).mitigate(COUNTS)
    with pytest.raises(InputError, match="distance must be an integer >= 1, got 0"):
        M3(0.1, distance=0).mitigate(COUNTS)
    with pytest.raises(InputError, match=r"flip_rate must be a probability below 0\.5"):
        M3(0.5).mitigate(COUNTS)


def test_resamples_keep_the_matrices() -> None:
    table = read_counts(COUNTS)
    for estimator in (M3(assignment_matrices=list(MATRICES)), M3(0.05)):
        estimated = estimator.estimate(table)
        again = estimator.resumed(estimated).estimate(table)
        assert again.probabilities == pytest.approx(estimated.probabilities)
