"""`quell threshold`, `quell lambda` and `quell table`: from a file of counts to numbers with intervals."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Parameter

from quell.cli.options import Count, Json, print_json, save_figure
from quell.errors import DataError, InputError, check_known
from quell.qec import (
    RareEstimate,
    fit_lambdas,
    fit_rare_lambdas,
    fit_threshold,
    format_rare_table,
    format_table,
    group_stats,
    plot_collapse,
    plot_error_rate,
    plot_lambda,
    rare_table_rows,
    read_rare_estimates,
    read_stats,
    table_rows,
)
from quell.qec.analysis.intervals import Described
from quell.qec.rare_events.points import best_estimates

__all__ = ["lambda_", "table", "threshold"]

Row = TypeVar("Row", bound=Described)

Files = Annotated[list[Path], Parameter(help="CSV files of sinter's or quell's.")]
RareFiles = Annotated[list[Path], Parameter(help="CSV files of sinter's or quell's, or of `quell rare`.")]
Where = Annotated[
    list[str], Parameter(consume_multiple=True, help="Only rows with this metadata: KEY=VALUE …; decoder=NAME too.")
]
DistanceKey = Annotated[str, Parameter(help="Metadata key of the code distance.")]
Ignore = Annotated[
    list[str],
    Parameter(consume_multiple=True, help="Metadata keys that do not tell curves apart, such as a qubit count."),
]
PKey = Annotated[str, Parameter(help="Metadata key of the physical error rate.")]


def threshold(
    files: Files,
    *,
    plot: Path | None = None,
    collapse: Path | None = None,
    per: Literal["shot", "round"] = "shot",
    window: tuple[float, float] | None = None,
    min_distance: Count | None = None,
    correction: Literal["auto", "yes", "no"] = "auto",
    confidence: float = 0.95,
    bootstrap: Count = 1000,
    seed: Count = 0,
    where: Where = [],  # noqa: B006 (never changed)
    distance_key: DistanceKey = "d",
    p_key: PKey = "p",
    ignore: Ignore = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Fit the threshold and the critical exponent by finite-size scaling.

    The window of error rates, the smallest distance and the finite-size correction are chosen and averaged by a rule
    that is stated in `help(quell.qec.fit_threshold)`; the interval holds their spread. Each decoder, basis and noise
    model in the files gets its own fit.

    With --json one fit is one object, with "threshold" and "interval"; several are {"fits": [...]}.

    quell threshold sweep.csv --plot threshold.png

    Args:
        plot: Draw error rates and threshold into this file (png, pdf, svg).
        collapse: Draw the data collapse into this file.
        per: Fit rates per shot or per round.
        window: Use only error rates from LOW to HIGH, and do not vary that.
        min_distance: Use only distances from here on, and do not vary that.
        correction: The finite-size correction: averaged over, always, or never.
        confidence: How often the intervals should hold the truth.
        bootstrap: Resamplings of the errors.
        seed: Seed of the resampling.
    """
    if _are_rare(files):
        raise InputError("rare events lie far below the threshold: give `quell threshold` the counts of a sweep")
    groups = _groups(read_stats(*files), where, distance_key, p_key, ignore)
    if len(groups) > 1 and (plot or collapse):
        raise InputError(f"a plot shows one threshold, and the files hold {len(groups)}: choose with --where, "
                         f"for example --where {_hint(groups)}")  # fmt: skip
    fits = [
        fit_threshold(
            stats,
            distance_key=distance_key,
            p_key=p_key,
            per=per,
            window="auto" if window is None else window,
            min_distance="auto" if min_distance is None else min_distance,
            correction={"auto": "auto", "yes": True, "no": False}[correction],  # type: ignore[arg-type]
            confidence=confidence,
            num_bootstrap=bootstrap,
            seed=seed,
            ignore=ignore,
        )
        for stats in groups.values()
    ]
    for path, draw in ((plot, plot_error_rate), (collapse, plot_collapse)):
        if path is not None:
            save_figure(
                draw(next(iter(groups.values())), fit=fits[0], distance_key=distance_key, p_key=p_key, ignore=ignore),
                path,
            )
    _print_all(fits, json)


def lambda_(
    files: RareFiles,
    *,
    plot: Path | None = None,
    per: Literal["round", "shot"] = "round",
    confidence: float = 0.95,
    where: Where = [],  # noqa: B006
    distance_key: DistanceKey = "d",
    p_key: PKey = "p",
    ignore: Ignore = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Fit the suppression factor Λ, by which two more units of distance divide the error rate, at each error rate.

    quell lambda sweep.csv --plot lambda.png

    quell lambda rare.csv --where p=1e-4

    Args:
        plot: Draw error rate against distance, with the fits, into this file.
        per: Fit rates per round or per shot.
        confidence: How often the intervals should hold the truth.
    """
    keys: dict[str, Any] = {"distance_key": distance_key, "p_key": p_key, "ignore": ignore}
    if _are_rare(files):
        parts = _groups(_read_rare(files), where, **keys).values()
        fits = [fit for part in parts for fit in fit_rare_lambdas(part, per=per, confidence=confidence, **keys)]
    else:
        groups = _groups(read_stats(*files), where, **keys).values()
        fits = [fit for stats in groups for fit in fit_lambdas(stats, per=per, confidence=confidence, **keys)]
    if plot is not None:
        save_figure(plot_lambda(fits), plot)
    _print_all(fits, json)


def table(
    files: RareFiles,
    *,
    confidence: float = 0.95,
    where: Where = [],  # noqa: B006
    distance_key: DistanceKey = "d",
    p_key: PKey = "p",
    json: Json = False,
) -> None:
    """Print every task with its error rate and interval, per shot and per round.

    Where a file of rare events has a task by both methods, the narrower interval is shown; --where method=NAME chooses.

    quell table sweep.csv --where basis=X decoder=pymatching

    quell table rare.csv --where method=splitting

    Args:
        confidence: How often the intervals should hold the truth; those of rare events are fixed.
    """
    if _are_rare(files):
        if confidence != 0.95:
            raise InputError("the intervals of rare events were made at 95 %: leave out --confidence")
        estimates = _chosen(_read_rare(files), where)
        if not any(condition.startswith("method=") for condition in where):
            estimates = best_estimates(estimates)
        if json:
            print_json({"results": rare_table_rows(estimates, distance_key=distance_key, p_key=p_key)})
        else:
            print(format_rare_table(estimates, distance_key=distance_key, p_key=p_key))
        return
    stats = _chosen(read_stats(*files), where)
    if json:
        rows = table_rows(stats, distance_key=distance_key, p_key=p_key, confidence=confidence)
        print_json({"results": rows})
    else:
        print(format_table(stats, distance_key=distance_key, p_key=p_key, confidence=confidence))


def _are_rare(files: Sequence[Path]) -> bool:
    """Whether the files are tables of rare events, all or none of them."""
    rare = {_is_rare(path) for path in files}
    if len(rare) > 1:
        names = ", ".join(str(path) for path in files if _is_rare(path))
        raise InputError(f"counts of a sweep and estimates of rare events cannot be mixed: {names} holds rare events")
    return rare == {True}


def _is_rare(path: Path) -> bool:
    try:
        with path.expanduser().open() as file:
            columns = file.readline().strip().split(",")
    except (OSError, UnicodeDecodeError):
        return False  # the reader of counts says what is wrong with it
    return {"error_rate", "method", "strong_id"} <= set(columns)


def _read_rare(files: Sequence[Path]) -> list[RareEstimate]:
    return [row for path in files for row in read_rare_estimates(path)]


def _groups(
    rows: Sequence[Row], where: list[str], distance_key: str, p_key: str, ignore: list[str]
) -> dict[str, list[Row]]:
    return group_stats(_chosen(rows, where), distance_key=distance_key, p_key=p_key, ignore=ignore)


def _chosen(rows: Sequence[Row], where: list[str]) -> list[Row]:
    """The rows whose metadata are as `where` says: the same text, or the same number."""
    if not rows:
        raise DataError("the files hold no rows, only headers: there is nothing to analyse yet")
    chosen = list(rows)
    for condition in where:
        key, equals, value = condition.partition("=")
        if not equals:
            raise InputError(f"--where takes KEY=VALUE, got {condition!r}")
        keys = {"decoder"}.union(*(row.json_metadata for row in chosen if isinstance(row.json_metadata, dict)))
        if isinstance(chosen[0], RareEstimate):
            keys.add("method")
        check_known("metadata key", key, keys)
        kept = [row for row in chosen if _is(_value(row, key), value)]
        if not kept:
            values = sorted({str(_value(row, key)) for row in chosen})
            raise InputError(f"no row has {condition}: {key} is {', '.join(values)}")
        chosen = kept
    return chosen


def _is(value: Any, text: str) -> bool:
    try:
        return bool(value == float(text)) or str(value) == text
    except ValueError:
        return str(value) == text


def _value(row: Described, key: str) -> Any:
    if key == "decoder":
        return row.decoder
    if key == "method" and isinstance(row, RareEstimate):
        return row.method
    return row.json_metadata.get(key) if isinstance(row.json_metadata, dict) else None


def _hint(groups: dict[str, list[Row]]) -> str:
    """A --where that tells the first group from the second."""
    first, second = (members[0] for members in list(groups.values())[:2])
    keys = ["decoder", *sorted(first.json_metadata)]
    return next(
        (f"{key}={_value(first, key)}" for key in keys if _value(first, key) != _value(second, key)), "KEY=VALUE"
    )


def _print_all(fits: list[Any], json: bool) -> None:
    """Prints one fit as it is, and several as a list of them."""
    if json:
        values = [fit.to_json() for fit in fits]
        print_json(values[0] if len(values) == 1 else {"fits": values})
    else:
        for group, members in itertools.groupby(fits, key=lambda fit: fit.group):
            print(group, *members, "", sep="\n")
