"""A progress bar in a terminal or a notebook, which counts only what is safe on disk."""

import importlib.util
import sys
from typing import Any

import sinter

__all__ = ["ProgressBar"]


class ProgressBar:
    """Shows how much of a sweep is done.

    Args:
        num_tasks: The length of the bar, in tasks.
        show: Whether to show it; None means in a terminal and in a notebook.
    """

    def __init__(self, num_tasks: int, show: bool | None) -> None:
        notebook = _in_notebook()
        self._bar: Any = None
        if show is False or (show is None and not notebook and not _in_terminal()):
            return
        module = importlib.import_module("tqdm.notebook" if notebook else "tqdm")
        self._bar = module.tqdm(
            total=num_tasks,
            unit="task",
            bar_format="{l_bar}{bar}| {n:.1f}/{total} tasks [{elapsed}<{remaining}] {postfix}",
        )

    def update(self, tasks_done: float, total: sinter.AnonTaskStats) -> None:
        """Shows the sum of the tasks' fractions done, and the totals of this sweep."""
        self.show(tasks_done, f"{total.shots:,} shots, {total.errors:,} errors")

    def show(self, tasks_done: float, text: str) -> None:
        """Shows how many tasks are done, and a text."""
        if self._bar is not None:
            self._bar.n = round(tasks_done, 3)
            self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Ends the bar and leaves it on the screen."""
        if self._bar is not None:
            self._bar.close()


def _in_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel that can show a widget."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return False
    return importlib.util.find_spec("ipywidgets") is not None
