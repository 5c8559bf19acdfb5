"""`quell demo`: a small threshold sweep with a table, a fit and a picture."""

from pathlib import Path

import quell
from quell.cli.options import Count, Json, MemoryOptions, print_json, save_figure
from quell.errors import import_extra
from quell.qec import fit_threshold, format_table, plot_error_rate, table_rows

__all__ = ["demo"]

DISTANCES = (3, 5, 7, 9)
RATES = (0.004, 0.005, 0.006, 0.007, 0.008, 0.009)


def demo(
    *, out: Path = Path("quell-demo"), max_errors: Count = 4000, workers: Count | None = None, json: Json = False
) -> None:
    """Sweep the rotated surface code under circuit noise, and find its threshold, in a minute or two.

    Writes demo.csv and demo.png. Run it again and it goes on from demo.csv, so it is done at once.

    Args:
        out: Folder for the two files.
        max_errors: Errors for each point. Fewer are faster, and the interval says what it costs.
        workers: Processes. [default: one for each core]
    """
    import_extra("matplotlib", "plots")  # said before the sweep rather than after it
    tasks = MemoryOptions().tasks(DISTANCES, RATES, ["Z"])
    stats = quell.sweep(tasks, "pymatching", max_errors=max_errors, save=out / "demo.csv", num_workers=workers)
    fit = fit_threshold(stats)
    picture = out / "demo.png"
    save_figure(plot_error_rate(stats, fit=fit), picture)
    if json:
        print_json({**fit.to_json(), "results": table_rows(stats), "picture": str(picture)})
    else:
        print(format_table(stats), fit, f"The picture is {picture}, the counts are {out / 'demo.csv'}.", sep="\n\n")
