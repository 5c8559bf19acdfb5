"""Looks through all two-block codes with supports of three elements, or of three and two, over all groups of an order.

The codes have checks of weight 6 or 5 and qubits in three checks of each type at most. What is found is added to
direct.jsonl, one line for each code and one for each group that is done; a run that was stopped goes on where it was.

python benchmarks/code_search/direct.py --orders 3..75            (all groups)
python benchmarks/code_search/direct.py --orders 76..180 --least 8 --time 1h
python benchmarks/code_search/direct.py --table                   (writes frontier.md from direct.jsonl, nothing else)
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell.qec.codes.group_algebra import Group
from quell.qec.search.found_codes import FoundCode
from quell.qec.search.groups import groups_of_order
from quell.qec.search.two_block import scan_two_block

HERE = Path(__file__).parent
RESULTS = HERE / "direct.jsonl"
SIZES = ((3, 3), (3, 2))
# Codes with checks of weight 6 that are published or public: n, k, d, and whether d is an upper bound only there.
# arXiv:2308.07915, 2408.10001, 2503.03827 (twisted tori), 2511.13560 (covering graphs), 2606.17268 (coset codes), and
# the data sets of Lin and Pryadko (QEC-pages/2BGA-codes).
PUBLISHED = (
    (56, 6, 8, False), (72, 12, 6, False), (72, 8, 8, False), (84, 6, 10, False), (90, 8, 10, False),
    (98, 6, 12, False), (108, 8, 10, False), (112, 12, 8, False), (120, 8, 12, False), (126, 12, 10, False),
    (144, 12, 12, False), (154, 6, 16, False), (168, 16, 10, False), (170, 16, 10, False), (180, 8, 16, False),
    (186, 10, 14, False), (192, 12, 14, False), (192, 16, 12, False), (200, 16, 12, False), (210, 10, 16, False),
    (216, 12, 14, False), (224, 12, 16, False), (240, 8, 20, False), (248, 10, 18, False), (252, 12, 16, False),
    (254, 14, 16, False), (266, 6, 22, True), (288, 12, 18, False), (288, 16, 16, True), (294, 10, 20, False),
    (310, 10, 22, True), (336, 12, 20, False), (340, 16, 18, False), (360, 12, 24, True),
)  # fmt: skip
SLOW = 32  # beyond order 75, all groups of a multiple of this order take too long to list
NOTES = """Lines are the codes whose k d²/n is above that of every shorter one of the same weight, and those that meet
or pass the bar: the greatest k d²/n of a published or public code with checks of weight 6 and at most as many qubits,
from the list in direct.py, which may not be complete. Distances are proven, or what is proven stands before the weight
of an operator that is known; k d²/n is that of what is proven. Up to order 75 all connected codes of all groups were
looked through, so that no connected two-block code with three and three or three and two elements is better for its n
and k. Beyond, only codes of k d²/n above 8 were looked for; of order 120 all groups but SL(2,5), and of orders that are
multiples of 32 only the semidirect products of two cyclic groups."""


def groups(order: int) -> Iterator[Group]:
    """All groups of an order, or of a slow one those with a cyclic or abelian subgroup of a simple kind."""
    if order <= 75 or order % SLOW:
        yield from groups_of_order(order)
        return
    for n in range(3, order + 1):
        m = order // n
        if n * m == order:
            for r in range(1, n):
                if pow(r, m, n) == 1:
                    yield Group.semidirect(n, m, r)


def read() -> tuple[dict[tuple[int, int, int], FoundCode], dict[tuple[str, tuple[int, int]], float]]:
    """The best code for each n, k and weight, and the groups that are done, with their seconds."""
    best: dict[tuple[int, int, int], FoundCode] = {}
    done: dict[tuple[str, tuple[int, int]], float] = {}
    for line in RESULTS.read_text().splitlines() if RESULTS.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut off when the run was stopped
        if "done" in record:
            done[record["done"], tuple(record["sizes"])] = record["seconds"]
        else:
            keep(best, FoundCode.from_record(record))
    return best, done


def keep(best: dict[tuple[int, int, int], FoundCode], code: FoundCode) -> None:
    key = code.n, code.k, len(code.a) + len(code.b)
    if key not in best or (code.lower, code.upper) > (best[key].lower, best[key].upper):
        best[key] = code


def run(orders: range, seconds: float, proof_seconds: float, least: float) -> None:
    best, done = read()
    deadline = time.monotonic() + seconds
    with RESULTS.open("a") as results:
        if RESULTS.stat().st_size and not RESULTS.read_text().endswith("\n"):
            results.write("\n")
        for order in orders:
            for group in groups(order):
                for sizes in SIZES:
                    if (group.spec, sizes) in done:
                        continue
                    if time.monotonic() > deadline:
                        return
                    start = time.perf_counter()
                    known = {k: math.isqrt(int(least * 2 * order / k)) for k in range(1, 2 * order + 1)}
                    for (n, k, weight), code in best.items():
                        if n == 2 * order and weight == sum(sizes):
                            known[k] = max(known[k], code.lower)
                    for code in scan_two_block(group, sizes, better_than=known, time_limit=proof_seconds):
                        keep(best, code)
                        results.write(json.dumps(code.to_record()) + "\n")
                        print(code, f"{code.efficiency:.2f}", flush=True)
                    spent = round(time.perf_counter() - start, 2)
                    line = {"done": group.spec, "sizes": sizes, "least": least, "seconds": spent}
                    results.write(json.dumps(line) + "\n")
                    results.flush()
                    done[group.spec, sizes] = spent


def bar(n: int) -> tuple[float, str]:
    """The greatest k d²/n of the published codes of at most n qubits."""
    return max(
        ((k * d * d / m, f"[[{m}, {k}, {d}]]" + " (bound)" * bound) for m, k, d, bound in PUBLISHED if m <= n),
        default=(0.0, ""),
    )


def table() -> None:
    best, done = read()
    rows = []
    for weight in (6, 5):
        record = 0.0
        for n in sorted({code.n for code in best.values()}):
            codes = [code for (m, _, w), code in best.items() if m == n and w == weight]
            if not codes:
                continue
            code = max(codes, key=lambda each: each.efficiency)
            bar_value, bar_name = bar(n)
            published = [k for m, k, d, _ in PUBLISHED if (m, d) == (n, code.lower) and k == code.k]
            mark = "known" if published else ""
            if bar_name and not published and code.efficiency > bar_value:
                mark = "**passes**"
            if code.efficiency <= record and not mark:
                continue
            record = max(record, code.efficiency)
            d = code.distance if code.distance is not None else f"{code.lower}–{code.upper}"
            bar_text = f"{bar_value:.2f} {bar_name}" if bar_name else ""
            rows.append(
                (weight, f"[[{code.n}, {code.k}, {d}]]", f"{code.efficiency:.2f}", bar_text, mark, f"`{code.group}`",
                 code.a, code.b)
            )  # fmt: skip
    orders = sorted({Group.parse(spec).order for spec, _ in done})
    write_table(
        HERE / "frontier.md",
        "Two-block codes: the frontier of k d²/n",
        "python benchmarks/code_search/direct.py",
        ("weight", "code", "k d²/n", "bar", "", "group", "a", "b"),
        rows,
        notes=f"{len(done)} searches of groups of order {orders[0]} to {orders[-1]}, "
        f"{sum(done.values()) / 3600:.2f} hours on one core.\n\n{NOTES}",
    )


def seconds_of(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", default="3..75", help="orders of groups, for example 3..75")
    parser.add_argument("--time", default="1h", type=seconds_of, help="begin nothing after this: 90s, 20m, 1h")
    parser.add_argument("--proof-time", default="30s", type=seconds_of, help="for one proof of a distance")
    parser.add_argument("--least", default=0.0, type=float, help="look only for codes with k d²/n above this")
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    if not arguments.table:
        first, _, last = arguments.orders.partition("..")
        try:
            run(range(int(first), int(last or first) + 1), arguments.time, arguments.proof_time, arguments.least)
        except KeyboardInterrupt:
            print("stopped; the same command goes on", file=sys.stderr)
    table()
