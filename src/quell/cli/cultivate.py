"""`quell cultivate`: magic states grown on RP² codes, kept or rejected stage by stage, and what they are worth."""

from pathlib import Path
from typing import Annotated, Any

import sinter

import quell
from quell import circuits
from quell.cli.options import Count, Json, Many, NoiseOptions, Rates, Workers, print_json, save_figure
from quell.decoders import StagedSampler, TrueTSampler
from quell.errors import InputError, check_integer, import_extra
from quell.qec import format_post_selection, plot_attempts, plot_survival, post_selection_rows
from quell.qec.analysis.post_selection_tables import check_gaps

__all__ = ["cultivate"]


def cultivate(
    *,
    distance: Count = 3,
    expand_to: Count | None = None,
    p: Rates,
    noise: NoiseOptions = NoiseOptions(),  # noqa: B008 (never changed; shown as the default)
    shots: Count,
    gate: str = "S",
    rounds: Count | None = None,
    as_published: bool = False,
    gaps: Annotated[list[float], Many] = [],  # noqa: B006
    save: Path | None = None,
    plot: Path | None = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Cultivate magic states on RP² codes: which part of the attempts survives each stage, and what is kept.

    Rejected attempts stop at once, and faults are drawn sparsely, so that millions of attempts take seconds. After an
    expansion every kept state has a gap, and the table lists cuts on it: more attempts, fewer errors. Interrupt it
    whenever you like: with --save, the same command goes on where it stopped.

    Gate S stands in for T, and is optimistic. Without expansion the exact series for true T stands beside it; --gate T
    samples it.

    quell cultivate --distance 3 --p 0.001 --shots 1e7

    quell cultivate --distance 3 --expand-to 7 --p 0.002 --shots 1e7 --save msc3.csv --plot msc3.png

    Args:
        distance: 3 or 5.
        expand_to: Distance of the rotated surface code at the end. [default: no expansion]
        p: Physical error rates, for example 0.001 0.002, and ranges such as 1e-3:3e-3:3.
        shots: Attempts for each error rate.
        gate: S, or T: exact, a hundred times slower, and without expansion only.
        rounds: Rounds of checks after the expanding one. [default: the distance]
        as_published: Add what the authors' circuit files have beyond the protocol, to reproduce their figures.
        gaps: Cuts to list, in dB. [default: every 5 dB, to the first without errors]
        save: CSV file to go on from and to add to; sinter reads it.
        plot: Draw survival by stage, and after an expansion errors against attempts, into this file (png, pdf, svg).
    """
    if plot is not None:
        import_extra("matplotlib", "plots")
    check_gaps(gaps)
    check_integer("shots", shots, minimum=1)
    tasks = []
    for rate in p:
        circuit = circuits.cultivation(
            distance, expand_to, noise.noise_model(rate), gate=gate, rounds=rounds, as_published=as_published
        )
        metadata: dict[str, Any] = {"protocol": "rp2-cultivation", "d": distance, "gate": gate, "p": rate}
        metadata |= noise.noise_metadata()
        if expand_to is not None:
            metadata |= {"expand_to": expand_to, "rounds": distance if rounds is None else rounds}
        if as_published:
            metadata["as_published"] = True
        tasks.append(sinter.Task(circuit=circuit, json_metadata=metadata))
    sampler = TrueTSampler() if gate == "T" else StagedSampler()
    for task in tasks:
        sampler.compiled_sampler_for_task(task)  # what cannot be sampled is refused at once, and not in a worker
    stats = quell.sweep(tasks, {"staged": sampler}, max_shots=shots, save=save, num_workers=workers)
    if plot is not None:
        _draw(stats, plot, expanded=expand_to is not None)
    try:
        report(stats, gaps or None, json)
    except InputError:
        report(stats, None, json)  # what was counted is not lost for a cut that keeps nothing
        raise


def report(stats: list[sinter.TaskStats], gaps: list[float] | None, json: bool) -> None:
    """Prints the counts, and beside what the S proxy gives what is known of true T."""
    rows = post_selection_rows(stats, gaps=gaps)
    for row in rows:
        row["true_t_series"] = _series(row["metadata"])
    if json:
        print_json({"results": rows})
        return
    for index, row in enumerate(rows):
        print(format_post_selection([stats[index]], gaps=gaps))
        print(_about_true_t(row["metadata"], row["true_t_series"]))
        if index < len(rows) - 1:
            print()


def _series(metadata: dict[str, Any]) -> dict[str, Any] | None:
    """The error rate of cultivation alone with true T, where it is known, and of which circuits."""
    value = None
    if metadata["noise"] == "uniform_depolarizing":
        value = circuits.true_t_series(metadata["d"], metadata["p"])
    return None if value is None else {"rate": value, "circuits": "as published, without expansion", "terms": 4}


def _about_true_t(metadata: dict[str, Any], series: dict[str, Any] | None) -> str:
    if series is None:
        return "with true T: not known here" + ("" if metadata["gate"] == "T" else "; --gate T samples it")
    known = f"{series['rate']:.3g} in the circuits as published, without expansion"
    if not metadata.get("as_published", False):
        known += f"; in these the first term is {13 if metadata['d'] == 3 else 53} % larger"
    return f"with true T: {known} (four terms of the series of Wan and Zapirain, arXiv:2609.18922)"


def _draw(stats: list[sinter.TaskStats], path: Path, expanded: bool) -> None:
    from quell.qec.analysis.plot_style import new_figure

    labels = {f"p = {row.json_metadata['p']:g}": row for row in stats}
    figure = new_figure(11.0 if expanded else 7.0)
    axes = figure.subplots(1, 2 if expanded else 1, squeeze=False)[0]
    plot_survival(labels, ax=axes[0])
    kept = {label: row for label, row in labels.items() if row.shots > row.discards}
    if expanded and kept:
        plot_attempts(kept, ax=axes[1])
    save_figure(figure, path)
