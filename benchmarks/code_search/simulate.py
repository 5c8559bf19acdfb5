"""Samples memories of codes and of as many patches of the surface code on as many qubits, and compares error rates.

python benchmarks/code_search/simulate.py CODE ... [--p 0.002 0.003 0.005] [--decoders bp-osd] [--max-errors 100]
    [--max-shots 20000] [--patch-shots 1000000] [--table]

Counts go into simulate.csv beside this file: the same command goes on from there, larger limits add to it, and --table
writes the table of what is there. CODE is a name of the catalogue, or FILE[:ROUNDS], a code as
`quell.qec.codes.write_code` writes it, and its distance, which is computed where it is left out.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import sinter

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell import sweep
from quell.circuits import NoiseModel, css_memory, css_schedule, rotated_surface_memory
from quell.qec import error_rate, read_stats
from quell.qec.analysis import per_round_probability
from quell.qec.codes import CSSCode, distance, read_code
from quell.qec.search import catalogue

HERE = Path(__file__).parent
CSV = HERE / "simulate.csv"
PATCH_ERRORS = 1000
FURTHER = 3  # sizes of patches, from the largest that the code's qubits hold


@dataclasses.dataclass(frozen=True)
class Case:
    """A code, and the rounds of its memory."""

    name: str
    code: CSSCode
    rounds: int

    @property
    def qubits(self) -> int:
        return self.code.n + len(self.code.x_checks) + len(self.code.z_checks)

    def patches(self) -> list[int]:
        """Distances of surface-code patches: the largest of which k fit on as many qubits, or 3, and the next."""
        d = 3
        while self.code.k * (2 * (d + 2) ** 2 - 1) <= self.qubits:
            d += 2
        return [d + 2 * step for step in range(FURTHER)]


def case_of(text: str) -> Case:
    """A code of the catalogue, or of a file."""
    entries = {entry.name: entry for entry in catalogue()}
    if text in entries:
        entry = entries[text]
        return Case(f"[[{entry.n}, {entry.k}, {entry.lower}]]", entry.code, entry.lower)
    path, _, rounds = text.partition(":")
    code = read_code(path)
    if not isinstance(code, CSSCode):
        raise SystemExit(f"{path} holds a classical code; this samples CSS codes")
    found = int(rounds) if rounds else distance(code, time_limit=60).upper
    return Case(f"{Path(path).stem} [[{code.n}, {code.k}, {found}]]", code, found)


def tasks_of(cases: list[Case], rates: list[float]) -> tuple[list[sinter.Task], list[sinter.Task]]:
    """The memories of the codes and those of the patches, all in the Z basis."""
    codes, patches = [], {}
    for p in sorted(rates, reverse=True):
        noise = NoiseModel.uniform_depolarizing(p)
        for case in cases:
            circuit = css_memory(case.code, case.rounds, "Z", noise, detectors="basis")
            about = {"code": case.name, "k": case.code.k, "p": p, "r": case.rounds}
            codes.append(sinter.Task(circuit=circuit, json_metadata=about))
            for d in case.patches():
                circuit = rotated_surface_memory(d, d, "Z", noise)
                patches[d, p] = sinter.Task(circuit=circuit, json_metadata={"code": "patch", "d": d, "p": p, "r": d})
    return codes, list(patches.values())


def per_logical_and_round(stats: sinter.TaskStats) -> list[float]:
    """The rate and its 95 % interval, for one logical qubit and one round.

    A shot fails if any of k observables is wrong: P = 1 - (1 - P1)^k for k independent ones, which is exact for patches
    and for a block the convention; where its logical qubits fail together, each of them fails more often than P1.
    """
    rate = error_rate(stats)
    shot = np.array([rate.value, rate.low, rate.high])
    one = -np.expm1(np.log1p(-shot) / stats.json_metadata.get("k", 1))
    return [float(value) for value in per_round_probability(one, stats.json_metadata["r"])]


def shown(values: list[float]) -> str:
    value, low, high = values
    return f"{value:.2g} [{low:.2g}, {high:.2g}]" if value else f"< {high:.2g}"


def speed(stats: sinter.TaskStats) -> str:
    return f"{stats.shots / stats.seconds:,.0f}"


def rows_of(case: Case, p: float, found: list[sinter.TaskStats]) -> list[list[object]]:
    rows: list[list[object]] = []
    k = case.code.k
    matching = {}
    for stats in found:
        about = stats.json_metadata
        if about["p"] != p or stats.shots == 0:
            continue
        if about["code"] == "patch" and about["d"] in case.patches():
            matching[about["d"]] = stats
        if about["code"] == case.name:
            name = stats.decoder.partition("@")[0]
            rate = shown(list(dataclasses.astuple(error_rate(stats))[:3]))
            counts = [stats.shots, stats.errors, rate, shown(per_logical_and_round(stats))]
            rows.append([p, case.name, case.qubits, case.rounds, name, *counts, speed(stats)])
    for d, stats in sorted(matching.items()):
        qubits = k * (2 * d**2 - 1)
        more = "" if qubits <= case.qubits else f" ({qubits / case.qubits:.1f} times)"
        rate = error_rate(stats)
        any_of_k = [-float(np.expm1(k * np.log1p(-value))) for value in (rate.value, rate.low, rate.high)]
        counts = [stats.shots, stats.errors, shown(any_of_k), shown(per_logical_and_round(stats))]
        rows.append([p, f"{k} patches, d = {d}", f"{qubits}{more}", d, "pymatching", *counts, speed(stats)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", nargs="+", metavar="CODE", help="a name of `quell codes list`, or FILE[:ROUNDS]")
    parser.add_argument("--p", nargs="+", type=float, default=[0.002, 0.003, 0.005])
    parser.add_argument("--decoders", nargs="+", default=["bp-osd"])
    parser.add_argument("--max-errors", type=int, default=100)
    parser.add_argument("--max-shots", type=int, default=20_000)
    parser.add_argument("--patch-shots", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="sample nothing")
    given = parser.parse_args()
    cases = [case_of(text) for text in given.codes]
    codes, patches = tasks_of(cases, given.p)
    where = {"num_workers": given.workers, "save": CSV}
    if not given.table:
        sweep(patches, "pymatching", max_errors=PATCH_ERRORS, max_shots=given.patch_shots, **where)
    # One task after the other, so that what is interrupted has finished points.
    for task in [] if given.table else codes:
        sweep(task, given.decoders, max_errors=given.max_errors, max_shots=given.max_shots, **where)
    found = read_stats(CSV)
    rows = [row for case in cases for p in sorted(given.p) for row in rows_of(case, p, found)]
    layers = ", ".join(f"{case.name} in {len(css_schedule(case.code))}" for case in cases)
    notes = f"""\
Memories in the Z basis under uniform depolarizing noise of strength p, as many rounds as the distance (a patch: as its
own), checks of the kept basis as detectors, one ancilla a check. Layers of gates, as `css_schedule` orders them:
{layers}; a patch in 4.

Qubits are data and ancillas of all k logical qubits. A shot of a code fails if any of its k observables is wrong; for k
patches that is 1 - (1 - P)^k of one patch's P. The last rate is for one logical qubit and one round,
1 - (1 - P)^(1/k) and then as `quell.qec.error_rate_per_round`; it compares where rounds differ. Brackets are 95 %
intervals; "<" is the upper end where there was no error. Shots per second are per core. PyMatching decodes patches
without correlations, from all of their detectors.
"""
    header = ["p", "code", "qubits", "rounds", "decoder", "shots", "errors"]
    header += ["any of k, per shot", "one logical, per round", "shots/s"]
    command = " ".join(["python benchmarks/code_search/simulate.py", *sys.argv[1:]])
    write_table(HERE / "simulate.md", "Codes and patches of the surface code on as many qubits", command, header, rows,
                notes=notes.strip())  # fmt: skip


if __name__ == "__main__":
    main()
