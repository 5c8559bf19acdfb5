"""`quell sweep`: circuits of a family, sampled and decoded until there are enough errors."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import quell
from quell.cli.options import (
    Count,
    Counts,
    CustomDecoders,
    Json,
    Many,
    MemoryOptions,
    Rates,
    Workers,
    load_custom_decoders,
    print_json,
)
from quell.decoders import sinter_decoders
from quell.errors import import_extra
from quell.qec import format_table, table_rows
from quell.qec.sweeps.identity import AnyDecoder

__all__ = ["sweep"]


def sweep(
    *,
    distances: Annotated[Counts, Parameter(show_default=False)] = [],  # noqa: B006 (never changed; likewise below)
    p: Rates,
    basis: Annotated[list[str], Many] = ["Z"],  # noqa: B006 (never changed; shown as the default)
    memory: MemoryOptions = MemoryOptions(),  # noqa: B008 (likewise)
    decoders: Annotated[list[str], Parameter(consume_multiple=True, show_default=False)] = [],  # noqa: B006
    max_errors: Count | None = None,
    max_shots: Count | None = None,
    target_relative_error: float | None = None,
    save: Path | None = None,
    existing: Annotated[list[Path], Many] = [],  # noqa: B006
    workers: Workers = None,
    custom_decoders: CustomDecoders = None,
    device: str | None = None,
    mix_settings: bool = False,
    json: Json = False,
) -> None:
    """Sample memory experiments and decode them, on all cores.

    Interrupt it whenever you like: with --save, the same command goes on where it stopped, and sinter reads the file.

    quell sweep --distances 3 5 7 --p 0.004 0.006 0.008 --noise si1000 --max-errors 1000 --save sweep.csv

    quell sweep --code css --file code.npz --distances 6 --p 0.003 --detectors basis --decoders bp-osd --max-errors 100

    Args:
        distances: Code distances, for example 3 5 7. For the code of --file its distance, or --rounds instead.
        p: Physical error rates, for example 0.004 0.006 0.008, and ranges: 1e-4:1e-3, or 1e-4:1e-3:7 for 7 points.
        basis: Z or X, or both: which logical observable is kept.
        decoders: Names: pymatching, pymatching-correlated, … as sinter knows them; predecoder,
            predecoder-residual-pymatching, predecoder-residual-pymatching-correlated, bp-pymatching, bp-osd and bp-lsd,
            which are quell's; and those of --custom-decoders. [default: pymatching; bp-osd for the code of --file if a
            qubit is in more than two of its checks of a type]
        max_errors: Errors after which a task is done.
        max_shots: Shots after which a task is done. [default: 10,000,000 if another limit is given]
        target_relative_error: A task is done when its 95 % interval is this narrow, for example 0.1.
        save: CSV file to go on from and to add to.
        existing: Further CSV files whose shots count.
        device: Where quell's own decoders run: auto, cpu, cuda or cuda:1. A GPU that is named gets batches of 16,384
            shots, and its results a decoder id of their own. [default: auto, in batches as they grow]
        mix_settings: Allow the file to hold the same decoder with other settings, kept apart.
    """
    stats = quell.sweep(
        memory.tasks(distances, p, [letter.upper() for letter in basis]),
        decoders or memory.default_decoders(),
        custom_decoders={**_on_device(device), **load_custom_decoders(custom_decoders)},
        max_errors=max_errors,
        max_shots=max_shots,
        target_relative_error=target_relative_error,
        save=save,
        existing=existing,
        num_workers=workers,
        mix_settings=mix_settings,
    )
    if json:
        print_json({"results": table_rows(stats)})
    else:
        print(format_table(stats))


def _on_device(device: str | None) -> dict[str, AnyDecoder]:
    if device is None:
        return {}
    import_extra("torch", "predecoder")
    from quell.decoders.predecoder.network_posteriors import check_device

    check_device(device)  # at once, and not in a worker
    return sinter_decoders(device=device)
