"""The counts as they are."""

import pytest

from quell.mitigation import Raw, read_counts
from quell.mitigation.raw import left_alone


def test_raw_counts_are_scaled_and_nothing_else() -> None:
    mitigated = Raw().mitigate({"01": 3, "10": 1, "11": 0})
    assert dict(mitigated) == {"01": 0.75, "10": 0.25, "11": 0.0}
    assert mitigated.raw == dict(mitigated)
    assert mitigated.counts() == {"01": 3, "10": 1}
    assert not mitigated.report.changed


def test_counts_are_left_alone_under_the_name_of_the_method_that_did_so() -> None:
    table = read_counts({2: 30, 0: 10})
    estimated = left_alone(table, "mixture", "it does not fit", scores={"gain": 0.1}, fitted={"p_": 0.0})
    report = estimated.report
    assert (report.method, report.changed, report.reason) == ("mixture", False, "it does not fit")
    assert (report.num_bits, report.num_strings, report.shots) == (2, 2, 40)
    assert (report.scores, report.centers, report.flip_rate) == ({"gain": 0.1}, (), None)
    # What was assumed about the keys is not forgotten.
    assert report.notes == table.notes != ()
    assert estimated.probabilities.tolist() == [0.25, 0.75]
    assert estimated.fitted == {"p_": 0.0}


def test_intervals_are_those_of_the_shots_alone() -> None:
    mitigated = Raw().mitigate({"0": 900, "1": 100})
    low, high = mitigated.intervals(200)["1"]
    # 1.96 standard deviations of .0095 to either side; an end of 200 draws is known to a sixth of that.
    assert (low, high) == pytest.approx((0.1 - 0.0186, 0.1 + 0.0186), abs=0.01)
