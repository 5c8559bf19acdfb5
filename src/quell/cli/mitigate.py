"""`quell mitigate`: from a file of measured counts to better ones, with intervals."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from quell.cli.options import Count, Json, print_json, save_figure
from quell.errors import DataError, InputError, check_integer, import_extra
from quell.mitigation import CountTable, Interval, MitigatedCounts
from quell.mitigation.automatic import MITIGATION_METHODS
from quell.mitigation.automatic import mitigate as mitigate_counts
from quell.mitigation.files import check_suffix, write_mitigated
from quell.mitigation.intervals import share_interval
from quell.mitigation.plots import plot_counts
from quell.mitigation.reading import find_counts, read_counts
from quell.qec import Estimate

__all__ = ["mitigate"]

_PICTURES = {".jpg", ".pdf", ".png", ".svg"}


def mitigate(
    file: Annotated[Path, Parameter(help="JSON or CSV file of counts.")],
    *,
    method: Annotated[
        str,
        Parameter(help=f"{', '.join(MITIGATION_METHODS)}; auto picks by the counts alone, and says what it picked."),
    ] = "auto",
    flip_rate: float | None = None,
    num_bits: Count | None = None,
    bit_order: Literal["little", "big"] | None = None,
    shots: Count | None = None,
    record: str | None = None,
    save: Path | None = None,
    plot: Path | None = None,
    resamples: Count = 200,
    confidence: float = 0.95,
    seed: Count = 0,
    top: Count = 10,
    json: Json = False,
) -> None:
    """Clean measured counts, and say how sure the result is and why counts were left alone.

    The file holds a dict of counts as JSON, a record {"counts": {...}}, a list of records, what qiskit-ibm-runtime's
    RuntimeEncoder wrote, or lines of bitstring,count. Keys are bit strings, or "0x..." with --num-bits.

    Intervals come from drawing the shots again: they tell what luck did, not whether the noise is what the method
    takes it for.

    quell mitigate counts.json --save better.json --plot better.png

    Args:
        flip_rate: The probability that a bit is read wrongly, for methods that are told it.
        num_bits: How many bits were measured, where the keys are numbers.
        bit_order: Whether bit 0 is the rightmost character (little, Qiskit) or the leftmost (big, Cirq and Braket).
        shots: How many shots were taken, where the file holds probabilities.
        record: Which set of counts of the file: its id, or its number from 0.
        save: Write all strings with their intervals into this file (json, csv). Either can be read again.
        plot: Draw the most probable strings into this file (png, pdf, svg).
        resamples: How often the shots are drawn again.
        confidence: How often the intervals should hold the truth.
        seed: Seed of the drawing.
        top: How many strings to print.
    """
    # Whatever can go wrong without the counts is said before the work.
    check_integer("resamples", resamples, minimum=20)
    check_integer("top", top, minimum=1)
    if save is not None:
        check_suffix(save)
    if plot is not None:
        import_extra("matplotlib", "plots")
        if plot.suffix.lower() not in _PICTURES:
            raise InputError(f"--plot must end in one of {', '.join(sorted(_PICTURES))}, got {plot}")
    table = _read(file, record, num_bits, bit_order, shots)
    mitigated = mitigate_counts(table, method, flip_rate=flip_rate)
    progress = sys.stderr is not None and sys.stderr.isatty()
    bootstrap = mitigated.bootstrap(resamples, confidence=confidence, seed=seed, progress=progress)
    intervals = bootstrap.probabilities
    if save is not None:
        write_mitigated(save, mitigated, intervals, confidence=confidence, bit_order=table.bit_order)
    if plot is not None:
        save_figure(plot_counts(mitigated, top=top, intervals=intervals, confidence=confidence), plot)
    rows = _rows(mitigated, intervals, confidence, top)
    notes = [note for note in table.notes if note not in mitigated.report.notes]
    if json:
        results = [{"key": key, "raw": raw.to_json(), "mitigated": better.to_json()} for key, raw, better in rows]
        print_json(
            {
                "report": mitigated.report.to_dict(),
                "intervals": {"flip_rate": bootstrap.flip_rate, "background": bootstrap.background},
                "notes": notes,
                "shots": mitigated.shots,
                "num_strings": len(mitigated),
                "results": results,
                "save": None if save is None else str(save),
                "plot": None if plot is None else str(plot),
            }
        )
    else:
        print(mitigated.report.text(bootstrap), *notes, "", sep="\n")
        print(_as_text(rows, confidence))
        if len(rows) < len(mitigated):
            print(f"and {len(mitigated) - len(rows)} more strings")


def _read(
    file: Path,
    record: str | None,
    num_bits: int | None,
    bit_order: Literal["little", "big"] | None,
    shots: int | None,
) -> CountTable:
    found = find_counts(file)
    names = [str(getattr(each, "name", "")) for each in found]
    if record is None and len(found) == 1:
        chosen = found[0]
    elif record is not None and names.count(record) == 1:
        chosen = found[names.index(record)]
    elif record is not None and record.isdecimal() and int(record) < len(found):
        chosen = found[int(record)]
    else:
        shown = ", ".join(name for name in names[:8] if name)
        known = f"their number from 0 to {len(found) - 1}" + (f", or their name: {shown}" if shown else "")
        given = "" if record is None else f", and none of them is {record!r}"
        raise InputError(f"{file} holds {len(found)} sets of counts{given}: choose one with --record by {known}")
    try:
        return read_counts(chosen, num_bits=num_bits, bit_order=bit_order, shots=shots)
    except InputError as error:
        # Without options it is the file that is at fault.
        told = num_bits is not None or bit_order is not None or shots is not None
        raise (InputError if told else DataError)(f"{file}: {error}") from error


def _rows(
    mitigated: MitigatedCounts, intervals: dict[object, Interval], confidence: float, top: int
) -> list[tuple[str, Estimate, Estimate]]:
    """The most probable strings, each with its raw and its mitigated probability."""
    keys = sorted(mitigated, key=lambda key: (-mitigated[key], -mitigated.raw[key], str(key)))[:top]
    rows = []
    for key in keys:
        low, high = share_interval(mitigated.raw[key], mitigated.shots, confidence)
        raw = Estimate(mitigated.raw[key], float(low), float(high), confidence)
        rows.append((str(key), raw, Estimate(mitigated[key], *intervals[key], confidence)))
    return rows


def _as_text(rows: list[tuple[str, Estimate, Estimate]], confidence: float) -> str:
    percent = f"({100 * confidence:g} %)"
    cells = [("string", f"raw {percent}", f"mitigated {percent}")]
    cells += [(key, str(raw), str(better)) for key, raw, better in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
