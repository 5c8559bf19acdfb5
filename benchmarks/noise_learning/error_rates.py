"""Error rates of matching with learned weights, over those with true weights, on the same fresh shots.

    python benchmarks/noise_learning/error_rates.py --minutes 60     # goes on from error_rates.jsonl
    python benchmarks/noise_learning/error_rates.py --table

One line for each batch goes to error_rates.jsonl. First every point is screened for its error rate; those whose rate is
below the floor are left out, each decoder by itself; the others follow by expected time, the shortest first. True
weights are those of the circuit's own model, errors of equal effect joined as the learner joins them (the stricter
rule: Stim's own model, an arm of its own, errs more).
"""

import argparse
import collections
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pymatching
import stim
from numpy.typing import NDArray
from points import DISTANCES, Point, grid

from quell.decoders.join_decompositions import join_equal_errors
from quell.decoders.predecoder.confidence import paired_ratio
from quell.qec.analysis import binomial_interval

RAW = Path(__file__).with_name("error_rates.jsonl")
DECODERS = ("matching", "correlated")
TRAINING = {"learned 1e5": 100_000, "learned 1e4": 10_000}
CLAIMED = tuple(TRAINING)
LIMITS = {"learned 1e5": 1.03, "learned 1e4": 1.06}
EXTRA = ("equal", "guess", "stim")  # equal probabilities; the guess's; the true ones, errors not joined
FLOOR = 2e-4
ERRORS = 3000
EXTRA_ERRORS = 1000
HALF_WIDTH = 0.015
DECIDED_HALF_WIDTH = 0.006
SCREENING_ERRORS = 60
BATCH_SECONDS = 20.0
MOST_SHOTS_IN_A_BATCH = 500_000
PACKED = {"bit_packed_shots": True, "bit_packed_predictions": True}


def true_model(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    return circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)


def equal_model(dem: stim.DetectorErrorModel) -> stim.DetectorErrorModel:
    """All probabilities the same."""
    found = stim.DetectorErrorModel()
    for step in dem.flattened():
        if step.type == "error":
            found.append("error", 0.01, step.targets_copy())
        else:
            found.append(step)
    return found


class Bench:
    """What decodes a point: two decoders, each with the weights of each arm, and where they come from."""

    def __init__(self, point: Point, screening: bool) -> None:
        self.circuit = point.circuit()
        own = true_model(self.circuit)
        self.models = {"true": join_equal_errors(own)}
        if not screening:
            for name, shots in TRAINING.items():
                self.models[name] = point.learner(shots).model()
            guess = true_model(point.guess())
            self.models |= {"equal": equal_model(join_equal_errors(guess)), "guess": guess, "stim": own}
        text = "".join(str(model) for name, model in self.models.items() if name not in EXTRA)
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self._matchings: dict[tuple[str, str], pymatching.Matching] = {}

    def wrong(self, decoder: str, arm: str, events: NDArray[np.uint8], actual: NDArray[np.uint8]) -> NDArray[np.bool_]:
        correlated = decoder == "correlated"
        if (decoder, arm) not in self._matchings:
            self._matchings[decoder, arm] = pymatching.Matching.from_detector_error_model(
                self.models[arm], enable_correlations=correlated
            )
        found = self._matchings[decoder, arm].decode_batch(events, enable_correlations=correlated, **PACKED)
        return np.asarray((found != actual).any(axis=1))

    def run(self, seed: int, num_shots: int, arms: dict[str, list[str]]) -> dict[str, Any]:
        """Decodes fresh shots with the arms that are asked for of each decoder, and counts."""
        sampler = self.circuit.compile_detector_sampler(seed=seed)
        events, actual = sampler.sample(num_shots, separate_observables=True, bit_packed=True)
        counts: dict[str, dict[str, list[int]]] = {}
        seconds: dict[str, float] = {}
        for decoder, names in arms.items():
            start = time.process_time()
            reference = self.wrong(decoder, "true", events, actual)
            seconds[decoder] = round(time.process_time() - start, 4)
            counts[decoder] = {"true": [int(reference.sum())] * 2}
            wrong = {name: self.wrong(decoder, name, events, actual) for name in names}
            for name, found in wrong.items():
                counts[decoder][name] = [int(found.sum()), int((found & reference).sum())]
                if name in EXTRA:
                    learned = wrong[CLAIMED[0]]
                    counts[decoder][name] += [int(learned.sum()), int((found & learned).sum())]
        return {"seed": seed, "shots": num_shots, "models": self.digest, "seconds": seconds, "counts": counts}


@dataclasses.dataclass
class Sums:
    """All batches of one decoder at one point.

    For each arm: shots, its errors, the true weights' errors on them, both; for the extra arms then the errors of the
    weights learned from the most shots, both. Only batches with the latest learned weights count.
    """

    arms: dict[str, NDArray[np.int64]] = dataclasses.field(default_factory=dict)
    screened: int = 0
    screened_errors: int = 0
    seconds_per_shot: float = 0.0

    @classmethod
    def of(cls, rows: list[dict[str, Any]], decoder: str) -> "Sums":
        sums = cls()
        latest = next((row["models"] for row in reversed(rows) if row["stage"] == "full"), None)
        for row in rows:
            counts = row["counts"].get(decoder)
            if counts is None:
                continue
            sums.seconds_per_shot = row["seconds"][decoder] / row["shots"]
            if row["stage"] == "screening":
                sums.screened += row["shots"]
                sums.screened_errors += counts["true"][0]
            elif row["models"] == latest:
                for arm, (errors, both, *learned) in counts.items():
                    numbers = np.array([row["shots"], errors, counts["true"][0], both, *learned])
                    sums.arms[arm] = sums.arms.get(arm, np.zeros_like(numbers)) + numbers
        return sums

    @property
    def true(self) -> NDArray[np.int64]:
        return self.arms.get("true", np.zeros(4, dtype=np.int64))

    def rate(self) -> tuple[float, tuple[float, float]]:
        """With the true weights: of the full shots once there are more of them."""
        shots, errors = max((int(self.true[0]), int(self.true[1])), (self.screened, self.screened_errors))
        return (errors / shots, binomial_interval(errors, shots)) if shots else (0.0, (0.0, 1.0))

    def below(self) -> bool:
        return self.rate()[1][1] < FLOOR

    def is_screened(self) -> bool:
        return self.below() or self.rate()[1][0] > FLOOR or self.screened_errors >= SCREENING_ERRORS

    def ratio(self, arm: str) -> tuple[float, tuple[float, float]]:
        _, errors, alone, both = map(int, self.arms.get(arm, np.zeros(4))[:4])
        return paired_ratio(errors, alone, both)

    def gain(self, arm: str) -> tuple[float, tuple[float, float]]:
        """Errors of an extra arm over those of the learned weights."""
        _, errors, _, _, learned, both = map(int, self.arms.get(arm, np.zeros(6)))
        return paired_ratio(errors, learned, both)

    def half_width(self, arm: str) -> float:
        low, high = self.ratio(arm)[1]
        return (high - low) / 2

    def done(self) -> bool:
        return bool(self.true[1] >= ERRORS) and all(self.half_width(arm) <= HALF_WIDTH for arm in CLAIMED)

    def meets(self, arm: str) -> bool | None:
        """Whether the limit is above or below the whole interval, or in it."""
        low, high = self.ratio(arm)[1]
        return True if high <= LIMITS[arm] else False if low > LIMITS[arm] else None

    def decided(self) -> bool:
        """Done, and no arm whose ratio is within its limit has an interval that is not, and not narrow either."""
        open_arms = [arm for arm in CLAIMED if self.meets(arm) is None and self.ratio(arm)[0] <= LIMITS[arm]]
        return self.done() and all(self.half_width(arm) <= DECIDED_HALF_WIDTH for arm in open_arms)

    def wanted(self) -> list[str]:
        """The arms that the next batch decodes."""
        extra = [arm for arm in EXTRA if self.arms.get(arm, np.zeros(4))[2] < EXTRA_ERRORS]
        return [*CLAIMED, *extra]

    def seconds_left(self) -> float:
        rate = max(self.rate()[0], FLOOR / 2)
        arms = 1 + len(CLAIMED) + len(EXTRA) * (EXTRA_ERRORS / ERRORS)
        return max(0.1 * ERRORS, ERRORS - int(self.true[1])) / rate * self.seconds_per_shot * arms


class Results:
    """The rows so far, by point."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[Point, list[dict[str, Any]]] = collections.defaultdict(list)
        batches: dict[tuple[Point, str, int, str], dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                key = Point(**row["point"]), row["stage"], row["seed"], row["models"]
                # Two runs at a time might have decoded the same shots.
                if key not in batches or batches[key]["shots"] < row["shots"]:
                    batches[key] = row
        for key, row in batches.items():
            self.rows[key[0]].append(row)

    def sums(self, point: Point) -> dict[str, Sums]:
        return {decoder: Sums.of(self.rows[point], decoder) for decoder in DECODERS}

    def unscreened(self, point: Point) -> list[str]:
        return [decoder for decoder, sums in self.sums(point).items() if not sums.is_screened()]

    def unfinished(self, point: Point) -> list[str]:
        return [decoder for decoder, sums in self.sums(point).items() if not (sums.below() or sums.done())]

    def undecided(self, point: Point) -> list[str]:
        return [decoder for decoder, sums in self.sums(point).items() if not (sums.below() or sums.decided())]

    def seconds_left(self, point: Point) -> float:
        sums = self.sums(point)
        return sum(sums[decoder].seconds_left() for decoder in self.unfinished(point))

    def batch_shots(self, point: Point, decoders: Iterable[str]) -> int:
        """As many as take about as long as a batch should, by the time that the last one took."""
        sums = self.sums(point)
        per_shot = sum(sums[d].seconds_per_shot * (1 + len(sums[d].wanted())) for d in decoders)
        enough = 1.1 * ERRORS / max(FLOOR, min(sums[d].rate()[0] for d in decoders))
        return int(min(MOST_SHOTS_IN_A_BATCH, enough, max(1000, BATCH_SECONDS / per_shot))) if per_shot else 4000

    def next_seed(self, point: Point, stage: str) -> int:
        return max((row["seed"] + 1 for row in self.rows[point] if row["stage"] == stage), default=point.seed(stage))


def work(points: list[Point], path: Path, minutes: float) -> None:
    end = time.monotonic() + 60 * minutes
    results = Results(path)

    def batch(bench: Bench, point: Point, stage: str, arms: dict[str, list[str]]) -> None:
        shots = results.batch_shots(point, arms)
        row = bench.run(results.next_seed(point, stage), shots, arms)
        row = {"point": dataclasses.asdict(point), "stage": stage, **row}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        results.rows[point].append(row)

    def screen(point: Point) -> None:
        bench = Bench(point, screening=True)
        while (decoders := results.unscreened(point)) and time.monotonic() < end:
            batch(bench, point, "screening", {decoder: [] for decoder in decoders})

    def finish(point: Point, which: Callable[[Point], list[str]]) -> None:
        print(f"{point}: about {results.seconds_left(point):.0f} s", flush=True)
        bench = Bench(point, screening=False)
        while (decoders := which(point)) and time.monotonic() < end:
            sums = results.sums(point)
            batch(bench, point, "full", {decoder: sums[decoder].wanted() for decoder in decoders})

    # What is quick is done first, so that there is much to see early.
    for largest, longest in ((7, 300.0), (9, 300.0), (max(DISTANCES), 300.0), (max(DISTANCES), math.inf)):
        some = [point for point in points if point.distance <= largest]
        for point in some:
            if time.monotonic() < end and results.unscreened(point):
                screen(point)
        for point in sorted(some, key=results.seconds_left):
            if time.monotonic() < end and results.unfinished(point) and results.seconds_left(point) <= longest:
                finish(point, results.unfinished)
    for point in points:
        if time.monotonic() < end and results.undecided(point):
            finish(point, results.undecided)
    left = [point for point in points if results.unscreened(point) or results.undecided(point)]
    print(f"{len(left)} of {len(points)} points unfinished, about {sum(map(results.seconds_left, left)):.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    parser.add_argument("--noises", nargs="*")
    parser.add_argument("--distances", type=int, nargs="*")
    arguments = parser.parse_args()
    points = [
        point
        for point in grid()
        if (not arguments.noises or point.noise in arguments.noises)
        and (not arguments.distances or point.distance in arguments.distances)
    ]
    if arguments.table:
        import error_rates_table

        error_rates_table.write(points, Results(arguments.raw))
        return
    work(points, arguments.raw, arguments.minutes)


if __name__ == "__main__":
    main()
