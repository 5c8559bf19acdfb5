"""Survival, cuts and curves from counts whose answer can be worked out by hand."""

import collections
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sinter

from quell.errors import DataError, InputError
from quell.qec.analysis import (
    cut_at,
    cuts,
    format_post_selection,
    plot_attempts,
    plot_survival,
    post_selection_rows,
    stage_survival,
)
from quell.qec.analysis.post_selection import GAP_BIN_DB


def counted(shots: int, discards: int, errors: int, **counts: int) -> sinter.TaskStats:
    return sinter.TaskStats(
        strong_id="a",
        decoder="staged",
        json_metadata={"d": 3},
        shots=shots,
        discards=discards,
        errors=errors,
        custom_counts=collections.Counter(counts),
    )


BINNED = counted(10_000, 4_000, 66, C0=1000, E0=60, C3=900, E3=5, C40=2034, E40=1, C400=2000, kept_1=8000, kept_3=6000)


def test_survival_counts_every_stage_also_one_that_nobody_reached() -> None:
    left = stage_survival(BINNED)
    assert [(each.stage, each.kept) for each in left] == [(1, 8000), (2, 0), (3, 6000)]
    # Wilson's interval, from scipy, is close to the likelihood interval at this size.
    expected = scipy.stats.binomtest(8000, 10_000).proportion_ci(0.95, "wilson")
    assert left[0].rate.low == pytest.approx(expected.low, rel=1e-3)
    assert left[0].rate.high == pytest.approx(expected.high, rel=1e-3)
    assert left[1].rate.low == 0


def test_cuts_accumulate_from_the_largest_gap_down() -> None:
    assert [(cut.gap, cut.kept, cut.errors) for cut in cuts(BINNED)] == [
        (0, 6000, 66),
        (3 * GAP_BIN_DB, 4940, 6),
        (40 * GAP_BIN_DB, 4035, 1),
        (400 * GAP_BIN_DB, 2000, 0),
    ]
    first = cuts(BINNED)[0]
    assert first.attempts.value == pytest.approx(10_000 / 6000)
    assert first.attempts.low < first.attempts.value < first.attempts.high
    assert first.error_rate.value == pytest.approx(66 / 6000)
    assert cuts(BINNED)[-1].error_rate.high == pytest.approx(-np.expm1(np.log(0.05) / 2000))


def test_without_gaps_the_only_cut_is_none() -> None:
    (only,) = cuts(counted(100, 50, 3))
    assert (only.gap, only.kept, only.errors) == (0, 50, 3)
    # And without the bin at 0 the smallest cut still keeps all.
    assert [cut.gap for cut in cuts(counted(20, 10, 0, C7=4, C9=6))] == [0, 4.5]


@pytest.mark.parametrize(
    ("options", "gap"),
    [
        ({"gap": 0}, 0),
        ({"gap": 0.1}, 1.5),
        ({"gap": 1.5}, 1.5),
        ({"gap": 1.6}, 20),
        ({"attempts": 2}, 0),
        ({"attempts": 2.1}, 1.5),
        ({"attempts": 99}, 200),
    ],
)
def test_a_cut_is_found_by_gap_and_by_attempts(options: dict[str, float], gap: float) -> None:
    assert cut_at(BINNED, **options).gap == gap


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either gap or attempts"),
        ({"gap": 1, "attempts": 2}, "either gap or attempts"),
        ({"gap": -1}, "gap must be >= 0 dB"),
        ({"gap": float("nan")}, "gap must be >= 0 dB"),
        ({"gap": 201}, "a cut at 201 dB keeps none of 6,000 shots.* largest gap among them is in the bin from 200 dB"),
        ({"attempts": 1.5}, "post-selection alone needs 1.667"),
    ],
)
def test_a_cut_that_keeps_nothing_says_so(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cut_at(BINNED, **options)


def test_counts_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match="kept none of 100 shots"):
        cuts(counted(100, 100, 0))
    with pytest.raises(DataError, match="the bins hold 9 shots and 1 errors, but 10 shots were kept and 1"):
        cuts(counted(20, 10, 1, C0=8, E0=1))
    with pytest.raises(DataError, match="have no stages"):
        stage_survival(counted(20, 10, 1))


def test_results_are_json_and_curves_have_bands_and_limits() -> None:
    assert cuts(BINNED)[0].to_json()["error_rate"]["interval"][0] > 0
    assert stage_survival(BINNED)[0].to_json()["rate"]["confidence"] == 0.95
    published = {"published": [(2.38, 1.5e-6)]}
    figure = plot_attempts({"a": BINNED, "b": counted(100, 50, 3)}, published=published)
    (axes,) = figure.axes
    solid, dotted, marks = axes.lines[0], axes.lines[1], axes.lines[-1]
    assert list(solid.get_ydata()) == [cut.error_rate.value for cut in cuts(BINNED) if cut.errors]
    assert list(dotted.get_ydata()) == [cuts(BINNED)[-1].error_rate.high]
    assert list(np.asarray(marks.get_xdata())) == [2.38]
    survival = plot_survival({"a": BINNED})
    assert list(survival.axes[0].get_xticks()) == [1, 2, 3]


@pytest.mark.parametrize("draw", [plot_attempts, plot_survival])
def test_nothing_to_draw_is_refused(draw: Any) -> None:
    with pytest.raises(InputError, match="no curve"):
        draw({})


def test_tables_list_cuts_until_the_first_without_errors() -> None:
    (row,) = post_selection_rows([BINNED])
    assert [cut["gap_db"] for cut in row["cuts"]] == [0, 20, 200]
    assert (row["kept"], row["shots"], len(row["stages"])) == (6000, 10_000, 3)
    text = format_post_selection([BINNED], gaps=[1.5])
    assert "d=3, decoder=staged: 10000 shots" in text
    assert len(text.splitlines()) == 1 + 4 + 2
    # Rows of one task are one.
    assert post_selection_rows([BINNED, BINNED])[0]["shots"] == 20_000


def test_tables_of_nothing_and_of_too_much() -> None:
    nothing = counted(100, 100, 0, kept_1=3)
    assert post_selection_rows([nothing])[0]["cuts"] == []
    assert format_post_selection([nothing]).endswith("nothing was kept")
    with pytest.raises(InputError, match="a cut at 300 dB keeps none of the 6,000 shots"):
        format_post_selection([BINNED], gaps=[0, 300])
