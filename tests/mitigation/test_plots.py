"""The picture of raw and mitigated probabilities: what stands where, and that every bar has its interval."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quell.errors import InputError
from quell.mitigation import CountTable, Estimated, MitigatedCounts, Mitigator, Raw, Report
from quell.mitigation.intervals import share_interval
from quell.mitigation.plots import plot_counts

COUNTS = {"000": 500, "001": 300, "010": 150, "011": 50}


class Cut(Mitigator):
    """Takes strings below a share of one fifth out."""

    name = "cut"

    def estimate(self, table: CountTable) -> Estimated:
        kept = table.probabilities * (table.probabilities >= 0.2)
        return Estimated(kept, Report("cut", True, "as told", table.num_bits, table.num_strings, table.shots))


@pytest.fixture
def mitigated() -> MitigatedCounts:
    return Cut().mitigate(COUNTS)


def labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def bars(axes: Axes, name: str) -> list[float]:
    """The lengths of the bars of one series, from top to bottom."""
    (container,) = (each for each in axes.containers if each.get_label() == name)
    return [bar.get_width() for bar in container]


def test_bars_are_the_probabilities_with_the_largest_first(mitigated: MitigatedCounts) -> None:
    (axes,) = plot_counts(mitigated, num_resamples=20, reference={"000": 7, "111": 3}).axes
    assert labels(axes) == ["000", "001", "010", "011", "111"]
    assert bars(axes, "raw") == pytest.approx([0.5, 0.3, 0.15, 0.05, 0.0])
    assert bars(axes, "mitigated (cut)") == pytest.approx([0.625, 0.375, 0, 0, 0])
    assert bars(axes, "ideal") == pytest.approx([0.7, 0.3])
    top, bottom = axes.get_ylim()[::-1]
    assert top < 0 < 4 < bottom
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"raw", "mitigated (cut)", "ideal"}


def test_every_bar_has_its_interval(mitigated: MitigatedCounts) -> None:
    intervals = mitigated.intervals(30, confidence=0.9, seed=2)
    (axes,) = plot_counts(mitigated, num_resamples=30, confidence=0.9, seed=2).axes
    raw, after = (each.lines[2][0].get_segments() for each in axes.containers if hasattr(each, "lines"))
    low, high = share_interval([0.5, 0.3, 0.15, 0.05], 1000, 0.9)
    assert np.array([segment[:, 0] for segment in raw]) == pytest.approx(np.array([low, high]).T)
    # The last two strings are zero in every draw: they have no interval to draw.
    wanted = [list(intervals[key]) for key in ("000", "001", "010") if intervals[key].high > 0]
    assert np.array([segment[:, 0] for segment in after]) == pytest.approx(np.array(wanted))
    given = plot_counts(mitigated, intervals=intervals, confidence=0.9).axes[0]
    assert "90 % intervals" in given.get_title(loc="left")


def test_only_the_largest_are_shown(mitigated: MitigatedCounts) -> None:
    (axes,) = plot_counts(mitigated, top=2, num_resamples=20).axes
    assert labels(axes) == ["000", "001"]
    assert axes.get_title(loc="left").startswith("the 2 most probable of 4 strings, 1000 shots")
    (axes,) = plot_counts(mitigated, top=2, num_resamples=20, reference={"000": 1, "110": 2}).axes
    assert labels(axes) == ["000", "110"]


def test_counts_that_were_left_alone_are_called_so() -> None:
    (axes,) = plot_counts(Raw().mitigate(COUNTS), num_resamples=20).axes
    assert bars(axes, "left alone") == bars(axes, "raw")


def test_long_and_unusual_keys_have_labels() -> None:
    long, other = "0" * 100 + "1" * 27, "1" * 127
    (axes,) = plot_counts(Cut().mitigate({long: 3, other: 1}), num_resamples=20).axes
    assert labels(axes)[0] == "0" * 13 + "…" + "1" * 13
    (axes,) = plot_counts(Cut().mitigate({(0, 1): 3, (1, 1): 1}), num_resamples=20).axes
    assert labels(axes) == ["01", "11"]


def test_it_draws_on_given_axes_and_into_files(mitigated: MitigatedCounts, tmp_path: Path) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_counts(mitigated, num_resamples=20, ax=right) is figure
    assert not left.containers
    alone = plot_counts(mitigated, num_resamples=20)
    alone.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert alone._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top must be an integer >= 1, got 0"),
        ({"reference": {}}, "reference must hold probabilities or counts"),
        ({"reference": {"000": 0.0}}, "reference must hold probabilities or counts"),
        ({"reference": {"000": -1.0}}, "non-negative numbers, got -1.0 for '000'"),
        ({"reference": {"000": float("nan")}}, "got nan"),
        ({"reference": {0: 1.0}}, "must have keys like those of the counts, '000', and has keys like 0"),
    ],
)
def test_options_out_of_range(mitigated: MitigatedCounts, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot_counts(mitigated, num_resamples=20, **options)
