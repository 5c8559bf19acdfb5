"""One run for a curve: strata first, and splitting where strata would take too long."""

import dataclasses
import math
import os
import pickle
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from quell.errors import DataError, InputError, MissingExtraError, QuellError, SweepError, import_extra
from quell.qec.analysis.intervals import Estimate
from quell.qec.rare_events.chains import ChainOrder, ChainProblem, Refusal
from quell.qec.rare_events.crew import Crew
from quell.qec.rare_events.curve import Curve
from quell.qec.rare_events.estimate import RareEstimate
from quell.qec.rare_events.files import StateFile, write_rare_estimates
from quell.qec.rare_events.intervals import ratio_of_estimates
from quell.qec.rare_events.splitting import Group, SplittingEstimator
from quell.qec.rare_events.strata import StrataProblem
from quell.qec.rare_events.stratified import StrataEstimator
from quell.qec.sweeps.chunk import failure_text, run_chunk
from quell.qec.sweeps.engine import Engine

__all__ = ["CurveRun"]

_STATE_VERSION = 1
_PLAIN_RATE = 0.01  # from here on plain sampling is the tool
_PILOT_SECONDS = 2.0  # of work, before a method is chosen
_LONG_SECONDS = 60.0
_FIRST_CHUNK_SECONDS = 0.25
_CHUNK_SECONDS = 2.0
_SAVE_SECONDS = 5.0
_NUM_LADDERS = 6
_LEAST_GROUPS = 2
_FIRST_CHECK = 8  # chunks of every group
_NEXT_CHECK = 1.25

Progress = Iterator[tuple[float, str]]


class CurveRun:
    """Estimates the error rates of a curve.

    Args:
        curve: The tasks.
        method: `"strata"`, `"splitting"` or `"auto"`.
        target: The relative error to reach for every task.
        seed: Of all random numbers, unless the state has another.
        save: The table beside which the state stands; None to keep nothing.
    """

    def __init__(
        self, curve: Curve, method: str, target: float, seed: int, save: str | os.PathLike[str] | None
    ) -> None:
        self.curve = curve
        self.method = method
        self.target = target
        self.seed = seed
        self._save_to = save
        self._file = None if save is None else StateFile(save, curve.key)
        self._strata = StrataEstimator(curve.models, target)
        self._splitting: SplittingEstimator | None = None
        self._refusal = ""  # why there can be no chains
        self._orders = 0
        # Workers keep problems under their keys, and may outlive this run.
        self._strata_key, self._chains_key = f"strata {secrets.token_hex(8)}", f"chains {secrets.token_hex(8)}"
        self._last_saved = time.monotonic()
        self._end = math.inf
        self._restore()

    def run(self, engine: Callable[[], Engine], max_seconds: float | None) -> Progress:
        """Runs until every interval is narrow enough, or the time is up.

        Args:
            engine: Called when workers are needed.
            max_seconds: The time; None for no limit.

        Yields:
            What fraction is done, and a text on what is being done.
        """
        if max_seconds is not None:
            self._end = time.monotonic() + max_seconds
        try:
            work = self._strata_work()
            if not self._strata_done(1):
                yield from self._run_strata(engine(), work)
            self._refuse_frequent()
            if self._must_split():
                yield from self._run_acceptance(engine(), work)
                yield from self._run_splitting(engine())
        finally:
            self._save()

    # -- strata --------------------------------------------------------------------------------------------------

    def _strata_work(self) -> bytes:
        return pickle.dumps(StrataProblem(self.curve.problem, self.curve.others))

    def pilot(self) -> Progress:
        """Works for a few seconds in this process, which for most small codes is all; yields as `run` does."""
        work = self._strata_work()
        chunk = _FIRST_CHUNK_SECONDS
        while self._strata.seconds < _PILOT_SECONDS and not self._strata_done(1):
            if self._strata.shots:
                order = self._strata.next_order(self._next_seed(), chunk, 1.0)
            else:
                order = self._strata.first_order(self._next_seed(), _CHUNK_SECONDS)
            try:
                self._strata.add(run_chunk(self._strata_key, lambda: work, order))
            except QuellError:
                raise
            except Exception as error:  # the decoder's: here as from a worker
                raise SweepError(f"{self.curve.jobs[0]} failed: {failure_text(error)}") from error
            self._refuse_frequent()
            yield self._progress(self._strata_estimates(), "strata")

    def _run_strata(self, engine: Engine, work: bytes) -> Progress:
        with Crew(engine, self._strata_key, work) as crew:
            try:
                if not self._strata.shots:
                    crew.give(self._strata.first_order(self._next_seed(), _CHUNK_SECONDS))
                    for _, found in crew.answers():
                        self._strata.add(found)
                self._refuse_frequent()
                chunk = _FIRST_CHUNK_SECONDS
                while not self._strata_done(engine.num_workers):
                    while crew.has_room():
                        crew.give(self._strata.next_order(self._next_seed(), chunk, crew.share()))
                        chunk = min(_CHUNK_SECONDS, 1.5 * chunk)
                    for _, found in crew.answers():
                        self._strata.add(found)
                    yield self._progress(self._strata_estimates(), "strata")
            finally:
                for _, found in crew.last_answers():
                    self._strata.add(found)

    def _refuse_frequent(self) -> None:
        for index, job in enumerate(self.curve.jobs):
            failure = self._strata.failure(index)
            if failure.low > _PLAIN_RATE:
                raise InputError(
                    f"{job}: {failure.value:.1%} of all shots fail, and from {_PLAIN_RATE:.0%} on plain sampling is "
                    f"the tool: use quell.sweep or `quell sweep`, or leave that error rate out"
                )

    def _strata_done(self, num_workers: int) -> bool:
        if not self._strata.shots:
            return False
        if self.method == "splitting" or (self._splitting is not None and self.method == "auto"):
            return True
        if all(counts.exact for counts in self._strata.counts.values()):
            return True  # more shots would add nothing, whatever the interval is
        if time.monotonic() > self._end or all(one.relative_error() <= self.target for one in self._strata_estimates()):
            return True
        return self.method == "auto" and self._strata_take_long(num_workers)

    def _strata_take_long(self, num_workers: int) -> bool:
        strata = self._strata
        if strata.seconds < _PILOT_SECONDS:
            return False
        decoded = sum(counts.decoded for counts in strata.counts.values())
        expected = strata.shots_missing() * strata.seconds / max(1, decoded) / num_workers
        nothing = any(strata.failure(index).value <= 0 for index in range(len(self.curve.jobs)))
        return nothing or expected > _LONG_SECONDS

    def _must_split(self) -> bool:
        if self.method == "strata":
            return False
        if time.monotonic() > self._end:
            return self.method == "splitting" or self._splitting is not None
        return self.method == "splitting" or any(one.relative_error() > self.target for one in self._strata_estimates())

    def _run_acceptance(self, engine: Engine, work: bytes) -> Progress:
        """Takes shots until the acceptance, of which chains know nothing, adds little to the intervals."""
        with Crew(engine, self._strata_key, work) as crew:
            while time.monotonic() < self._end:
                while crew.has_room():
                    order = self._strata.acceptance_order(self._next_seed(), _CHUNK_SECONDS, crew.share())
                    if order is None:
                        break
                    crew.give(order)
                if not crew.has_work():
                    return
                for _, found in crew.answers():
                    self._strata.add(found)
                yield self._progress(self._strata_estimates(), "strata, for the acceptance")

    # -- splitting -----------------------------------------------------------------------------------------------

    def _run_splitting(self, engine: Engine) -> Progress:
        try:
            import_extra("numba", "rare")
        except MissingExtraError as error:
            error.add_note("Strata alone would take more than a minute here; method='strata' uses them nevertheless.")
            raise
        work = pickle.dumps(ChainProblem(self.curve.problem, self.curve.others))
        with Crew(engine, self._chains_key, work) as crew:
            if self._splitting is None:
                yield 0.0, "splitting: looking for levels"
                self._splitting = self._planned(crew, engine.num_workers)
            if self._splitting is None:
                return
            try:
                yield from self._run_chains(crew, self._splitting)
            finally:
                for group, found in crew.last_answers():
                    self._splitting.add(group, found)

    def _planned(self, crew: Crew, num_workers: int) -> SplittingEstimator | None:
        """Returns the estimator; None if there can be no chains, or no time is left."""
        parts = self.curve.models[0].num_parts()
        if parts > 1:
            self._refusal = (
                f"the errors fall into {parts} parts that share no detector, and chains that start where one part "
                f"fails would not find the others: give each part as a task of its own, and add up"
            )
            return None
        lowest = min(0.0, *(self._log_scale(index) for index in range(len(self.curve.models))))
        crew.give(ChainOrder("plan", seed=self._seed_of_chains(0), lowest=lowest))
        answers = crew.answers(timeout=self._seconds_left())
        if not answers:
            return None
        plan = answers[0][1]
        if isinstance(plan, Refusal):
            self._refusal = plan.reason
            return None
        groups = [Group(self._seed_of_chains(1 + index)) for index in range(max(_LEAST_GROUPS, num_workers))]
        estimator = SplittingEstimator(self.curve.models, plan.ladder, groups, _NUM_LADDERS, self.target)
        estimator.shots, estimator.seconds = plan.decoded, plan.seconds
        return estimator

    def _log_scale(self, index: int) -> float:
        first, other = self.curve.models[0], self.curve.models[index]
        return math.log(other.odds.sum() / first.odds.sum())

    def _run_chains(self, crew: Crew, splitting: SplittingEstimator) -> Progress:
        chunk = splitting.chunk_steps()
        next_check = max(_FIRST_CHECK * chunk, splitting.least_steps())
        busy: set[int] = set()
        while True:
            if splitting.least_steps() >= next_check:
                estimates = self.estimates()
                if all(one.relative_error() <= self.target for one in estimates) or splitting.is_stuck():
                    return
                yield self._progress(estimates, "splitting")
                next_check = math.ceil(max(splitting.least_steps(), next_check) * _NEXT_CHECK / chunk) * chunk
            if time.monotonic() > self._end:
                return
            # The group that is behind goes first, and none goes past the next check: so a seed says all.
            for group in sorted(splitting.groups, key=lambda group: group.steps):
                if crew.has_room() and id(group) not in busy and group.steps < next_check:
                    crew.give(splitting.next_order(group), group)
                    busy.add(id(group))
            for group, found in crew.answers(timeout=self._seconds_left()):
                busy.discard(id(group))
                splitting.add(group, found)
            if time.monotonic() - self._last_saved > _SAVE_SECONDS:
                self._save()

    # -- results -------------------------------------------------------------------------------------------------

    def estimates(self) -> list[RareEstimate]:
        """The results as they stand, in the order of the curve's tasks."""
        splitting = self._splitting
        if self.method != "strata" and splitting is not None and splitting.is_ready():
            return [self._split_estimate(index, splitting) for index in range(len(self.curve.jobs))]
        found = self._strata_estimates()
        if self.method != "splitting":
            return found
        return [
            dataclasses.replace(
                one,
                method="splitting",
                error_rate=Estimate(one.error_rate.value, 0.0, 1.0),
                trusted=False,
                reason=self._refusal or "the time was up before the chains had begun; give it more",
            )
            for one in found
        ]

    def _strata_estimates(self) -> list[RareEstimate]:
        strata = self._strata
        proved = [w for w, counts in strata.counts.items() if counts.exact]
        largest = next((w for w in range(len(strata.counts)) if w not in proved), len(strata.counts)) - 1
        found = []
        for index in range(len(self.curve.jobs)):
            rate, acceptance = strata.error_rate(index)
            details = {
                "proved_up_to": largest,
                "strata": {
                    str(w): [counts.shots, counts.failed] for w, counts in strata.counts.items() if counts.failed
                },
            }
            found.append(self._estimate(index, "strata", rate, acceptance, strata.shots, strata.seconds, "", details))
        return found

    def _split_estimate(self, index: int, splitting: SplittingEstimator) -> RareEstimate:
        failure, reason = splitting.failure(index)
        acceptance = self._strata.acceptance(index)
        rate = failure if acceptance is None else ratio_of_estimates(failure, acceptance)
        counted = self._strata.failure(index)
        # Twice as far as the upper end: once in 30,000 runs by chance.
        if not reason and failure.high**2 / failure.value < counted.low:
            reason = (
                f"strata have seen more: at least {counted.low:.2e} of all shots fail, so that the chains must have "
                f"missed a way to fail"
            )
        if reason:
            rate = Estimate(rate.value, 0.0, 1.0)
        return self._estimate(
            index,
            "splitting",
            rate,
            acceptance,
            splitting.shots,
            splitting.seconds + self._strata.seconds,
            reason,
            splitting.details(index),
        )

    def _estimate(
        self,
        index: int,
        method: str,
        rate: Estimate,
        acceptance: Estimate | None,
        shots: int,
        seconds: float,
        reason: str,
        details: dict[str, Any],
    ) -> RareEstimate:
        job = self.curve.jobs[index]
        trusted = not reason
        if method == "strata" and self._refusal:
            reason = f"splitting could not help: {self._refusal}"
        assumes = ["the detector error model stands for the circuit"]
        if method == "splitting":
            assumes.append("the chains have visited what matters, as far as trips, halves and sets of seeds can tell")
        if index > 0:
            spread = self._strata.odds_spread(index)
            assumes.append(
                f"decoded with the weights of {self.curve.name_of_first(index)}, and weighed for odds that scale "
                f"together up to {spread:.2g}"
            )
        return RareEstimate(
            strong_id=job.key,
            decoder=job.decoder_name,
            json_metadata=job.task.json_metadata,
            method=method,
            error_rate=rate,
            acceptance=acceptance,
            shots=shots,
            seconds=seconds,
            trusted=trusted,
            reason=reason,
            assumes="; ".join(assumes),
            details=details,
        )

    def _progress(self, estimates: list[RareEstimate], method: str) -> tuple[float, str]:
        if time.monotonic() - self._last_saved > _SAVE_SECONDS:
            self._save()
        worst = max(estimates, key=RareEstimate.relative_error)
        error = worst.relative_error()
        fraction = 0.0 if math.isinf(error) else min(1.0, (self.target / max(error, 1e-12)) ** 2)
        width = "no interval yet" if math.isinf(error) else f"± {error:.0%}"
        return fraction, f"{method}: {worst.error_rate.value:.2e} {width}"

    # -- state ---------------------------------------------------------------------------------------------------

    def _seconds_left(self) -> float | None:
        return None if math.isinf(self._end) else max(0.01, self._end - time.monotonic())

    def _next_seed(self) -> int:
        self._orders += 1
        return int(np.random.SeedSequence([self.seed, self._orders]).generate_state(1, np.uint64)[0])

    def _seed_of_chains(self, index: int) -> int:
        """Does not depend on how many orders there was time for before."""
        return int(np.random.SeedSequence([self.seed, index], spawn_key=(1,)).generate_state(1, np.uint64)[0])

    def _save(self) -> None:
        """Saves what there is: the state, and the results as they stand."""
        self._last_saved = time.monotonic()
        if self._file is None or self._save_to is None or not self._strata.shots:
            return
        description: dict[str, Any] = {
            "version": _STATE_VERSION,
            "tasks": [job.key for job in self.curve.jobs],
            "seed": str(self.seed),
            "orders": self._orders,
        }
        arrays = {f"strata_{name}": array for name, array in self._strata.to_arrays().items()}
        if self._splitting is not None:
            description["splitting"], more = self._splitting.to_state()
            arrays |= {f"splitting_{name}": array for name, array in more.items()}
        self._file.write(description, arrays)
        write_rare_estimates(self._save_to, self.estimates())

    def _restore(self) -> None:
        found = None if self._file is None else self._file.read()
        if found is None or self._file is None:
            return
        description, arrays = found
        if description.get("version") != _STATE_VERSION or description["tasks"] != [j.key for j in self.curve.jobs]:
            raise DataError(f"{self._file.path} was written by another version of quell: remove it to begin anew")
        try:
            self.seed = int(description["seed"])
            self._orders = description["orders"]
            self._strata.set_arrays({name: arrays[f"strata_{name}"] for name in ("whole", "sums", "seconds")})
            if "splitting" in description:
                own = {name.removeprefix("splitting_"): array for name, array in arrays.items() if "splitting_" in name}
                self._splitting = SplittingEstimator.from_state(
                    self.curve.models, self.target, description["splitting"], own
                )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self._file.path} is damaged ({error!r}): remove it to begin anew") from error
