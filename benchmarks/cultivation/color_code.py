"""Cultivation at distance 3 on the color code and on RP²: how many attempts are kept, and how often those are wrong.

S stands in for T except where a row says T. The color code's numbers with S are exact, by the Walsh-Hadamard transform
of the distribution of its 19 detectors; sampling in stages stands beside them as a check. RP² is sampled with S, and
its row with T is the published series. True T on the color code needs symft, and is left out where that is missing.

python benchmarks/cultivation/color_code.py [--p 0.001] [--shots 1e9] [--true-t-shots 3e8] [--json]
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import stim

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

from quell.circuits import NoiseModel, cultivation, true_t_series
from quell.circuits.color_cultivation import color_cultivation
from quell.decoders.post_selection import sample_stages, to_true_t
from quell.qec.analysis import Estimate, binomial_interval

BATCH = 10**7
NOTES = """Uniform depolarizing noise, cultivation alone, a noiseless projection at the end that is post-selected;
intervals hold 95 %. The proxy S is optimistic: with true T two faults can pass the check, and with S it takes three.
The published color code circuit has 15 qubits and 40 layers; ours has 13 qubits and 31 layers, or 33 with the
transversal gates in layers of their own, as both published protocols have them."""


class Counts(NamedTuple):
    shots: int
    kept: int
    errors: int


# By gate and p: Strilanc/magic-state-cultivation, assets/stats.csv, inject[unitary]+cultivate, d1 = 3, uniform noise;
# decoders perfectionist for S and vec_intercept_t for T.
PUBLISHED = {
    ("S", 0.0005): Counts(30_952_001_331, 30_952_001_331 - 5_305_074_614, 1026),
    ("S", 0.001): Counts(4_377_310_754, 4_377_310_754 - 1_371_081_100, 1029),
    ("S", 0.002): Counts(744_115_473, 744_115_473 - 392_699_580, 1000),
    ("T", 0.001): Counts(505_758_066, 505_758_066 - 158_418_964, 338),
    ("T", 0.002): Counts(561_960_533, 561_960_533 - 296_570_090, 1555),
}
# arXiv:2503.18657, at p = 0.001: attempts and error rate, without counts.
PUBLISHED_RP2 = {("S", 0.001): (1 / 1.945, 8.33e-7)}


class Row(NamedTuple):
    circuit: str
    gate: str
    how: str
    kept: Estimate
    error_rate: Estimate


def exact_row(name: str, circuit: stim.Circuit) -> Row:
    """Both rates from the whole distribution of symptoms: independent flips convolve, so their transforms multiply."""
    bits = circuit.num_detectors + 1
    logarithms = np.zeros(1 << bits)
    for error in circuit.detector_error_model().flattened():
        if error.type == "error":
            symptom = 0
            for target in error.targets_copy():
                symptom ^= 1 << (target.val if target.is_relative_detector_id() else bits - 1)
            logarithms[symptom] += np.log1p(-2 * error.args_copy()[0])
    total = logarithms.sum()
    table = logarithms.reshape([2] * bits)
    for axis in range(bits):
        zero, one = table.take(0, axis), table.take(1, axis)
        table = np.stack([zero + one, zero - one], axis)
    kept, difference = (float(x) for x in np.exp((total - table.ravel()) / 2).reshape(2, -1).mean(axis=1))
    rate = (kept - difference) / 2 / kept
    return Row(name, "S", "exact", Estimate(kept, kept, kept, 1.0), Estimate(rate, rate, rate, 1.0))


def counted_row(name: str, gate: str, how: str, counts: Counts) -> Row:
    kept, rate = (
        Estimate(hits / of, *(float(end) for end in binomial_interval(hits, of)))
        for hits, of in ((counts.kept, counts.shots), (counts.errors, counts.kept))
    )
    return Row(name, gate, f"{how}, {counts.shots:.2g} shots, {counts.errors} errors", kept, rate)


def sampled(circuit: stim.Circuit, shots: int, seed: int) -> Counts:
    kept = errors = 0
    for batch in range(0, shots, BATCH):
        samples = sample_stages(circuit, min(BATCH, shots - batch), seed=seed + batch)
        kept += int(samples.kept[-1])
        errors += int((samples.flips != 0).any(axis=1).sum())
    return Counts(shots, kept, errors)


def sampled_with_true_t(circuit: stim.Circuit, shots: int, seed: int) -> Counts:
    import symft

    found = symft.Circuit(to_true_t(circuit)).sample_counts(shots=shots, seed=seed, postselect_detectors=True)
    return Counts(found["shots"], found["accepted"], found["logical_errors"])


def rows_at(p: float, shots: int, true_t_shots: int) -> list[Row]:
    noise = NoiseModel.uniform_depolarizing(p)
    ours = {
        "color code, shared layers": color_cultivation(3, noise),
        "color code, layers of their own": color_cultivation(3, noise, shared_layers=False),
    }
    rows = [
        counted_row("color code, published", gate, "published", counts)
        for (gate, at), counts in PUBLISHED.items()
        if at == p and gate == "S"
    ]
    rows += [exact_row(name, circuit) for name, circuit in ours.items()]
    for seed, (name, circuit) in enumerate(ours.items()):
        rows.append(counted_row(name, "S", "in stages", sampled(circuit, shots, seed)))
    for (gate, at), (kept, rate) in PUBLISHED_RP2.items():
        if at == p:
            rows.append(_without_interval("RP², published", gate, "published", kept, rate))
    rows.append(counted_row("RP²", "S", "in stages", sampled(cultivation(3, noise=noise), shots, 2)))
    if ("T", p) in PUBLISHED:
        rows.append(counted_row("color code, published", "T", "published", PUBLISHED["T", p]))
    if importlib.util.find_spec("symft") and true_t_shots:
        true_t = {
            "color code, shared layers": color_cultivation(3, noise, gate="T"),
            "color code, layers of their own": color_cultivation(3, noise, gate="T", shared_layers=False),
        }
        for seed, (name, circuit) in enumerate(true_t.items(), start=1):
            rows.append(counted_row(name, "T", "symft", sampled_with_true_t(circuit, true_t_shots, seed)))
    series = true_t_series(3, p)
    if series is not None:
        rows.append(_without_interval("RP², series of arXiv:2609.18922", "T", "published", float("nan"), series))
    return rows


def _without_interval(name: str, gate: str, how: str, kept: float, rate: float) -> Row:
    nan = float("nan")
    return Row(name, gate, how, Estimate(kept, nan, nan), Estimate(rate, nan, nan))


def _shown(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return ""
    return f"{estimate.value:.4g}" if not estimate.high > estimate.low else str(estimate)


def _as_json(row: Row) -> dict[str, Any]:
    return {**row._asdict(), "kept": row.kept.to_json(), "error_rate": row.error_rate.to_json()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--p", type=float, default=0.001)
    parser.add_argument("--shots", type=float, default=1e9, help="with S, for each circuit")
    parser.add_argument("--true-t-shots", type=float, default=3e8)
    parser.add_argument("--json", action="store_true", help="print JSON and write no table")
    options = parser.parse_args()
    rows = rows_at(options.p, int(options.shots), int(options.true_t_shots))
    if options.json:
        print(json.dumps([_as_json(row) for row in rows], indent=1))
        return
    suffix = "" if options.p == 0.001 else f"_{options.p:g}"
    write_table(
        Path(__file__).with_name(f"color_code{suffix}.md"),
        f"Cultivation at distance 3, p = {options.p:g}: color code and RP²",
        f"python benchmarks/cultivation/color_code.py --p {options.p:g} --shots {options.shots:g} "
        f"--true-t-shots {options.true_t_shots:g}",
        ("circuit", "gate", "how", "kept", "error rate of what is kept"),
        [(row.circuit, row.gate, row.how, _shown(row.kept), _shown(row.error_rate)) for row in rows],
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
