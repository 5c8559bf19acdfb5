"""Plots: what is drawn is what was counted and fitted, without pyplot."""

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sinter
from matplotlib.figure import Figure

from quell.errors import DataError, InputError, MissingExtraError
from quell.qec.analysis import (
    crossings,
    fit_lambda,
    fit_lambdas,
    fit_threshold,
    plot_collapse,
    plot_drift,
    plot_error_rate,
    plot_lambda,
    sample_scaling_law,
)

ROWS = sample_scaling_law(
    threshold=0.1, nu=1.5, coefficients=(0.15, 1.0, 0.5), distances=[5, 9, 13],
    ps=[0.09, 0.095, 0.1, 0.105, 0.11], shots=100_000, seed=1,
)  # fmt: skip


def low_rates() -> list[sinter.TaskStats]:
    return [
        sinter.TaskStats(
            strong_id=f"{d}{p}", decoder="any", json_metadata={"d": d, "p": p, "r": 5}, shots=10_000, errors=k
        )
        for p, counts in [(0.001, (30, 3, 0)), (0.01, (900, 400, 150))]
        for d, k in zip((3, 5, 7), counts, strict=True)
    ]


def drawn(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def heights(ax: Any) -> list[float]:
    return sorted(float(y) for box in ax.containers if box.lines[0] for y in box.lines[0].get_ydata())


def test_error_rates_are_those_counted() -> None:
    fit = fit_threshold(ROWS, num_bootstrap=100)
    figure = plot_error_rate(ROWS, fit=fit)
    [ax] = figure.axes
    assert heights(ax) == pytest.approx(sorted(r.errors / r.shots for r in ROWS))
    assert ax.get_xscale() == "linear"
    assert ax.get_xlabel() == "physical error rate p"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:3] == ["5", "9", "13"]
    assert str(fit.threshold) in labels[3]
    assert drawn(figure).startswith(b"\x89PNG")


def test_the_legend_covers_no_data() -> None:
    figure = plot_error_rate(ROWS)
    figure.canvas.draw()
    [ax] = figure.axes
    assert ax.get_legend().get_window_extent().x0 > ax.get_window_extent().x1


def test_wide_data_get_logarithmic_axes_and_limits_for_zeros() -> None:
    [ax] = plot_error_rate(low_rates(), per="round").axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert all(y > 0 for y in heights(ax))
    assert ax.get_ylabel() == "logical error rate per round"
    [ax] = plot_error_rate(low_rates(), scale="linear").axes
    assert len(heights(ax)) == 6


def test_the_collapse_has_residuals_of_unit_size() -> None:
    figure = plot_collapse(ROWS, fit_threshold(ROWS, num_bootstrap=100))
    top, bottom = figure.axes
    pulls = np.concatenate([np.atleast_1d(line.get_ydata()) for line in bottom.lines[:-1]])
    # 15 points less 5 parameters: a chi-square of 60 or more has probability 4e-9
    assert float(np.sum(np.square(pulls, dtype=np.float64))) < 60
    assert "less" not in top.get_ylabel() or "D" in top.get_ylabel()
    assert drawn(figure)


def test_drift_and_lambda_draw_on_given_axes() -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    fit = fit_threshold(ROWS, num_bootstrap=100)
    assert plot_drift(fit, crossings=crossings(ROWS), ax=left) is figure
    assert plot_lambda(fit_lambdas(low_rates()), ax=right) is figure
    assert right.get_yscale() == "log"
    assert drawn(figure)
    assert drawn(plot_lambda(fit_lambda(low_rates(), p=0.01)))
    assert drawn(plot_error_rate(ROWS, ax=Figure().subplots()))


def test_a_notebook_shows_the_figure() -> None:
    figure: Any = plot_error_rate(ROWS)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="scale"):
        plot_error_rate(ROWS, scale="cubic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="per='round' needs"):
        plot_error_rate(ROWS, per="round")
    with pytest.raises(InputError, match="at least one fit"):
        plot_lambda([])
    with pytest.raises(InputError, match="at least one fit"):
        plot_lambda([fit_lambda(low_rates(), p=0.01), fit_lambda(low_rates(), p=0.01, per="shot")])
    with pytest.raises(DataError, match="groups"):
        plot_error_rate(ROWS + low_rates())
    with pytest.raises(InputError, match="window of the fit"):
        plot_collapse(low_rates(), fit_threshold(ROWS, num_bootstrap=100))


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from quell.qec.analysis import plot_style

    plot_style._figure_class.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"quell\[plots\]"):
        plot_error_rate(ROWS)


def test_neither_matplotlib_nor_scipy_is_imported_before_it_is_needed() -> None:
    # sinter itself may bring scipy along, so only what the analysis adds is looked at.
    code = (
        "import sys, stim, sinter; before = set(sys.modules); import quell.qec.analysis; "
        "print([m for m in set(sys.modules) - before if m.split('.')[0] in ('scipy', 'matplotlib')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
