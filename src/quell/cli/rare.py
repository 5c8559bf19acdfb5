"""`quell rare`: logical error rates far below what plain sampling reaches, each with its method and its interval."""

from pathlib import Path
from typing import Annotated

import sinter
from cyclopts import Parameter

from quell.cli.options import (
    CircuitFiles,
    Count,
    Counts,
    CustomDecoders,
    Duration,
    Json,
    Many,
    MemoryOptions,
    Rates,
    Workers,
    load_custom_decoders,
    print_json,
    save_figure,
    tasks_of,
)
from quell.decoders import sinter_decoders
from quell.errors import InputError, SweepError, import_extra
from quell.qec import (
    RareEstimate,
    format_rare_table,
    plot_rare_error_rates,
    rare_error_rates,
    rare_table_rows,
    read_stats,
)

__all__ = ["rare"]


def rare(
    circuits: CircuitFiles = [],  # noqa: B006 (never changed; likewise below)
    /,
    *,
    distances: Annotated[Counts, Parameter(show_default=False)] = [],  # noqa: B006
    p: Annotated[Rates, Parameter(show_default=False)] = [],  # noqa: B006
    basis: Annotated[list[str], Many] = ["Z"],  # noqa: B006
    memory: MemoryOptions = MemoryOptions(),  # noqa: B008
    decoders: Annotated[list[str], Many] = ["pymatching"],  # noqa: B006
    method: str = "auto",
    target_relative_error: float = 0.1,
    time: Duration | None = None,
    own_runs: bool = False,
    save: Path | None = None,
    plot: Path | None = None,
    sampled: Annotated[list[Path], Many, Parameter(show_default=False)] = [],  # noqa: B006
    seed: Count | None = None,
    workers: Workers = None,
    custom_decoders: CustomDecoders = None,
    json: Json = False,
) -> None:
    """Estimate logical error rates that plain sampling cannot reach, on all cores.

    Nothing is fitted or extrapolated: faults are drawn where they matter, and weighed. The methods check themselves.
    Where they fail, or too little time was given, a row has no interval and says why, and the exit code is 1.

    The error rates of a code at one distance share a run. Interrupt it whenever you like: with --save, the same
    command goes on where it stopped. `quell table` and `quell lambda` read the file.

    quell rare --distances 5 7 9 11 --p 1e-4:1e-3 --save rare.csv --plot rare.png

    quell rare --distances 3 5 --p 1e-3 --noise si1000 --time 10m --json

    quell rare circuits/*.stim --decoders pymatching-correlated --save rare.csv

    Args:
        distances: Code distances, for example 5 7 9 11.
        p: Physical error rates and ranges of them: 1e-4:1e-3 are 5 rates in even ratios, 1e-4:1e-3:7 are 7.
        basis: Z or X, or both: which logical observable is kept.
        decoders: Names: pymatching, pymatching-correlated, … as sinter knows them, and those of --custom-decoders.
        method: strata or splitting; auto takes strata unless they would take more than a minute.
        target_relative_error: A run is done when half its 95 % intervals are this small beside the rates.
        time: Stop each run after this long: 90s, 10m, 2h. [default: when the intervals are narrow]
        own_runs: A run for each error rate, instead of one for all of them at a distance.
        save: CSV file to go on from and to add to. What else is needed to go on stands beside it, in a folder.
        plot: Draw error rates with intervals into this file (png, pdf, svg).
        sampled: CSV files of a sweep, whose points the plot shows as well.
        seed: Of the random numbers. [default: fresh]
    """
    tasks = tasks_of("estimate", circuits, distances, p, basis, memory)
    stats = read_stats(*sampled) if sampled else []
    if sampled and plot is None:
        raise InputError("--sampled is for the plot: pass --plot, for example --plot rare.png")
    if plot is not None:
        _check_plot(tasks)
    estimates = rare_error_rates(
        tasks,
        decoders,
        custom_decoders={**sinter_decoders(), **load_custom_decoders(custom_decoders)},
        method=method,
        target_relative_error=target_relative_error,
        max_seconds=time,
        one_run=not own_runs,
        save=save,
        seed=seed,
        num_workers=workers,
    )
    if json:
        print_json({"results": rare_table_rows(estimates)})
    else:
        print(format_rare_table(estimates))
    if plot is not None:
        save_figure(plot_rare_error_rates(estimates, stats=stats), plot)
    _end_without_intervals(estimates, save)


def _check_plot(tasks: list[sinter.Task]) -> None:
    """Says before a long run, rather than after it, that there can be no plot."""
    import_extra("matplotlib", "plots")
    for task in tasks:
        if not {"d", "p"} <= task.json_metadata.keys():
            raise InputError(
                f"--plot needs the distance and the error rate, and {task.circuit_path} does not say them: name the "
                "files like d=5,p=0.001.stim, or leave out --plot"
            )


def _end_without_intervals(estimates: list[RareEstimate], save: Path | None) -> None:
    missing = sum(not one.trusted for one in estimates)
    if missing:
        way_out = "run the same command to go on" if save is not None else "give them more --time, and a --save file"
        raise SweepError(f"{missing} of {len(estimates)} error rates have no interval: {way_out}")
