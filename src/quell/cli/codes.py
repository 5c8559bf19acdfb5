"""`quell codes`: the catalogue of codes that were found, and what can be said of a code of one's own."""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter

from quell.cli.options import Count, Duration, Json, print_json
from quell.errors import DataError, InputError, QuellError, check_known

__all__ = ["codes"]

codes = App(
    name="codes",
    help="List, show and verify codes: of the catalogue, of a file of `quell search`, or of check matrices of yours.",
    default_parameter=Parameter(negative=()),
)

File = Annotated[Path | None, Parameter(help="A file that `quell search --save` wrote, instead of quell's catalogue.")]
TimeLimit = Annotated[Duration, Parameter(help="For the distance of a code, about.")]
_MATRICES = (".npz", ".alist", ".mtx")


@codes.command(name="list")
def list_(
    *,
    file: File = None,
    k: Annotated[Count | None, Parameter(help="Only codes with this many logical qubits, or more.")] = None,
    distance: Annotated[Count | None, Parameter(help="Only codes with this distance, or more.")] = None,
    max_weight: Annotated[Count | None, Parameter(help="Only codes with checks as light as this.")] = None,
    max_degree: Annotated[Count | None, Parameter(help="Only codes with qubits in as few checks of a type.")] = None,
    json: Json = False,
) -> None:
    """List codes, the shortest first.

    quell codes list --k 12 --distance 12 --max-weight 6

    quell codes list --file found.jsonl --json
    """
    chosen = [
        entry
        for entry in sorted(_entries(file), key=lambda entry: (entry.n, entry.name))
        if (k is None or entry.k >= k)
        and (distance is None or entry.lower >= distance)
        and (max_weight is None or entry.max_weight <= max_weight)
        and (max_degree is None or entry.max_degree <= max_degree)
    ]
    if json:
        print_json({"results": [entry.summary() for entry in chosen]})
        return
    if not chosen:
        print("there is no code like that: `quell search` looks for one")
        return
    width = max(len(entry.name) for entry in chosen)
    print(f"{'name':{width}}      n    k       d  weight  degree  k d²/n  distance by")
    for entry in chosen:
        d = str(entry.lower) if entry.distance is not None else f"{entry.lower}–{entry.upper}"
        print(
            f"{entry.name:{width}}  {entry.n:5}  {entry.k:3}  {d:>6}  {entry.max_weight:6}  {entry.max_degree:6}"
            f"  {entry.efficiency:6.2f}  {entry.d_method}"
        )


@codes.command
def show(
    name: str,
    /,
    *,
    file: File = None,
    out: Annotated[Path | None, Parameter(alias="-o", help="Write the checks: .npz, .alist or .mtx.")] = None,
    time_limit: TimeLimit = 60.0,
    json: Json = False,
) -> None:
    """Show a code: its parameters, what it is made of, and how its distance is known.

    quell codes show bb-144-12-12 --out gross.npz

    quell codes show mine.alist --time-limit 5m

    Args:
        name: Of the catalogue, or a file with check matrices of your own, whose distance is then searched for.
    """
    from quell.qec.codes import write_code

    if _is_matrices(name):
        if file is not None:
            raise InputError(f"{name} holds matrices, and --file is a catalogue: leave one out")
        shown, code = _own(Path(name), time_limit)
    else:
        entry = _named([name], file)[0]
        code = entry.code
        shown = {**entry.summary(), "construction": entry.construction, "found_by": entry.found_by}
        shown |= {"witness": list(entry.witness), "basis": entry.basis}
    if out is not None:
        shown["out"] = [str(path) for path in write_code(out, code)]
    if json:
        print_json({"results": [shown]})
        return
    width = max(len(key) for key in shown)
    for key, value in shown.items():
        print(f"{key:{width}}  {_line(value)}")


@codes.command
def verify(
    names: Annotated[list[str], Parameter(show_default=False)] = [],  # noqa: B006 (never changed)
    /,
    *,
    file: File = None,
    time_limit: TimeLimit = 600.0,
    json: Json = False,
) -> None:
    """Derive every number of a code anew from what it is made of, its distance too. The exit code is 1 if one fails.

    quell codes verify bb-144-12-12 hgp-1325-49-12

    quell codes verify --file found.jsonl --time-limit 60s

    Args:
        names: Of the catalogue. [default: all]
    """
    from quell.qec.search.catalogue import distance_fields, verify_entry

    files = [name for name in names if _is_matrices(name)]
    if files:
        raise InputError(f"{files[0]} claims nothing that could be verified: `quell codes show {files[0]}` measures it")
    results: list[dict[str, Any]] = []
    for entry in _named(names, file) if names else _entries(file):
        try:
            found = verify_entry(entry, time_limit)
            failures, unproven, seconds, method = list(found.failures), found.unproven, found.seconds, found.method
            bounds = distance_fields(found.lower, found.upper)
            interrupted = found.interrupted
        except DataError as error:
            failures, unproven, seconds, method, bounds, interrupted = [str(error)], "", 0.0, "none", {}, False
        wrong = "; ".join([*failures, unproven] if unproven else failures)
        row = {"name": entry.name, "verified": not wrong, **bounds, "d_method": method, "failures": failures}
        results.append({**row, "unproven": unproven or None, "seconds": round(seconds, 3)})
        if not json:
            d = " to ".join(str(bound) for bound in bounds.values())
            print(f"{entry.name}: {wrong or f'verified, d = {d} by {method}'}", flush=True)
        if interrupted:
            raise KeyboardInterrupt
    if json:
        print_json({"results": results})
    if not results:
        raise QuellError(f"there is no code in {file}")
    failed = [row["name"] for row in results if not row["verified"]]
    if failed:
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise QuellError(f"{len(failed)} of {len(results)} codes are not verified: {', '.join(failed[:3])}{more}")


def _entries(file: Path | None) -> list[Any]:
    from quell.qec.search.catalogue import catalogue, read_catalogue

    return catalogue() if file is None else read_catalogue(file)


def _named(names: list[str], file: Path | None) -> list[Any]:
    entries = {entry.name: entry for entry in _entries(file)}
    return [entries[check_known("code", name, tuple(entries))] for name in names]


def _is_matrices(name: str) -> bool:
    return Path(name).suffix in _MATRICES


def _own(path: Path, time_limit: float | None) -> tuple[dict[str, Any], Any]:
    """What can be said of check matrices in a file."""
    from quell.qec.codes import CSSCode, distance, read_code
    from quell.qec.search.catalogue import distance_fields

    code = read_code(path)
    kind = "CSS code" if isinstance(code, CSSCode) else "classical code"
    shown: dict[str, Any] = {"name": code.name or path.name, "kind": kind, "n": code.n, "k": code.k}
    if code.k:
        found = distance(code, time_limit=time_limit, progress=sys.stderr.isatty())
        shown |= distance_fields(found.lower, found.upper)
        shown |= {"d_method": found.method, "witness": np.flatnonzero(found.witness).tolist()}
        shown |= {} if found.basis is None else {"basis": found.basis}
    if isinstance(code, CSSCode):
        shown |= {"max_weight": code.max_weight, "max_degree": code.max_degree}
    else:
        rows, columns = code.row_weights, code.column_weights
        shown |= {"max_weight": int(rows.max(initial=0)), "max_degree": int(columns.max(initial=0))}
    return shown, code


def _line(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
