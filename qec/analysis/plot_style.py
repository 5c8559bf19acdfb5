"""How the plots look: figures without pyplot's global state, and colours whose order survives in grey.

The colours are those of viridis (van der Walt and Smith 2015), which rise evenly in lightness and are told
apart by colour-blind readers; every series has a marker of its own besides.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from quell.errors import import_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MARKERS", "MARKER_STYLE", "figure_of", "new_figure", "ordered_colors", "outside_legend", "tidy"]

MARKERS = "osD^vPX<>ph*"
MARKER_STYLE: dict[str, Any] = {"markersize": 6.0, "markeredgecolor": "white", "markeredgewidth": 0.3}
INK = "#333333"
BAND = "#c44e52"


@functools.cache
def _figure_class() -> type[Figure]:
    """A figure that a notebook shows although pyplot never heard of it."""
    figure = import_extra("matplotlib.figure", "plots")

    class NotebookFigure(figure.Figure):  # type: ignore[misc, name-defined]
        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=144)
            return buffer.getvalue()

    return NotebookFigure


def new_figure(width: float = 7.0, height: float = 4.4) -> Figure:
    """Returns an empty figure of the given size in inches."""
    return _figure_class()(figsize=(width, height), layout="constrained", facecolor="white")


def figure_of(ax: Axes) -> Figure:
    """Returns the figure on which `ax` stands, also when that is part of a larger one."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def ordered_colors(count: int) -> list[tuple[float, float, float, float]]:
    """Returns one colour for each of `count` ordered series, dark to light; the palest end is left out."""
    colormaps = import_extra("matplotlib", "plots").colormaps
    return [tuple(colormaps["viridis"](at)) for at in np.linspace(0.0, 0.86, max(count, 2))[:count]]


def tidy(ax: Axes, xlabel: str, ylabel: str) -> None:
    """Labels the axes and leaves a light grid behind the data."""
    ax.set_xlabel(xlabel, color=INK)
    ax.set_ylabel(ylabel, color=INK)
    ax.set_axisbelow(True)
    ax.grid(True, which="major", color="#dddddd", linewidth=0.7)
    ax.grid(True, which="minor", color="#eeeeee", linewidth=0.4)
    ax.tick_params(which="both", direction="in", colors=INK, labelsize=9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color("#888888")


def outside_legend(ax: Axes, title: str | None = None) -> None:
    """Puts the legend to the right of the axes, where it can cover no data; data first, then lines."""
    handles, labels = ax.get_legend_handles_labels()
    lines = import_extra("matplotlib.lines", "plots")
    chosen = sorted(range(len(handles)), key=lambda i: isinstance(handles[i], lines.Line2D))
    legend = ax.legend(
        [handles[i] for i in chosen],
        [labels[i] for i in chosen],
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=9,
        title_fontsize=9,
    )
    legend.set_alignment("left")
