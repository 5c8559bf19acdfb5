"""What each task has and what it still needs: the book that a sweep keeps, from files and from its own workers."""

import collections
import dataclasses
import math
import numbers
import warnings
from collections.abc import Iterable

import sinter

from quell.errors import IdentityError, InputError, check_integer
from quell.qec.analysis.intervals import binomial_interval
from quell.qec.sweeps.identity import base_name, other_key_orders
from quell.qec.sweeps.store import metadata_text
from quell.qec.sweeps.tasks import Job

__all__ = ["Book", "Limits"]

_DEFAULT_MAX_SHOTS = 10_000_000
_MAX_SHOTS = 10**15
_Z = 1.959964  # the normal quantile of a 95 % interval


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a task is done: at the first of these.

    Attributes:
        max_shots: Shots, those in files included.
        max_errors: Errors, those in files included.
        target_relative_error: Half the width of the 95 % likelihood interval over the error rate.
    """

    max_shots: int
    max_errors: int | None
    target_relative_error: float | None

    @staticmethod
    def checked(max_shots: int | None, max_errors: int | None, target_relative_error: float | None) -> "Limits | None":
        """Returns the limits, or None if there are none, which is right where every task has its own."""
        if max_shots is not None:
            max_shots = check_integer("max_shots", max_shots, minimum=0)
            if max_shots > _MAX_SHOTS:
                years = max_shots * 1e-6 / 3.15e7
                raise InputError(
                    f"max_shots must be <= 10^15, got {max_shots}: even at a microsecond a shot that would take "
                    f"{years:,.0f} core years; for such rates plain sampling is not the tool"
                )
        if max_errors is not None:
            max_errors = check_integer("max_errors", max_errors, minimum=1)
        number = isinstance(target_relative_error, numbers.Real)
        if target_relative_error is not None and not (number and 0 < target_relative_error < math.inf):
            raise InputError(f"target_relative_error must be > 0, got {target_relative_error!r}; 0.1 is usual")
        if max_shots is None and max_errors is None and target_relative_error is None:
            return None
        return Limits(_DEFAULT_MAX_SHOTS if max_shots is None else max_shots, max_errors, target_relative_error)

    def with_options(self, options: sinter.CollectionOptions) -> "Limits":
        """Returns these limits, tightened by those of a task."""
        errors = [limit for limit in (self.max_errors, options.max_errors) if limit is not None]
        return Limits(
            max_shots=min(self.max_shots, _MAX_SHOTS if options.max_shots is None else options.max_shots),
            max_errors=min(errors, default=None),
            target_relative_error=self.target_relative_error,
        )

    def done(self, stats: sinter.AnonTaskStats) -> bool:
        """Whether `stats` are enough."""
        if stats.shots >= self.max_shots or (self.max_errors is not None and stats.errors >= self.max_errors):
            return True
        if self.target_relative_error is None or not stats.errors:
            return False
        kept = stats.shots - stats.discards
        rate = stats.errors / kept
        # The normal approximation, by a factor two, spares most calls the exact interval.
        if _Z * math.sqrt((1 - rate) / stats.errors) > 2 * self.target_relative_error:
            return False
        low, high = binomial_interval(stats.errors, kept)
        return bool((high - low) / 2 <= self.target_relative_error * rate)

    def errors_wanted(self) -> int | None:
        """How many errors a task has, more or less, when it is done; None if only shots count."""
        wanted = [] if self.max_errors is None else [self.max_errors]
        if self.target_relative_error is not None:
            wanted.append(math.ceil((_Z / self.target_relative_error) ** 2))
        return min(wanted, default=None)


class Book:
    """Books rows and chunks to jobs.

    Args:
        jobs: What is to be done.
        limits: For all jobs; None if each has limits of its own.
        mix_settings: Whether rows of the same task under other settings of its decoder are let pass.
    """

    def __init__(self, jobs: list[Job], limits: Limits | None, *, mix_settings: bool) -> None:
        self.jobs = jobs
        self.collected = sinter.AnonTaskStats()  # in this run, over all jobs
        self.refuse_other_settings = not mix_settings
        self._limits = {job.key: _limits_of(job, limits) for job in jobs}
        self._stats = {job.key: sinter.AnonTaskStats() for job in jobs}
        self._open = {job.key: job for job in jobs}
        self._aliases: dict[str, str | None] = {key: key for key in self._stats}
        self._orders: dict[str, frozenset[str]] = {}  # of a job's metadata, once a row is in doubt
        self._by_metadata: dict[str, list[Job]] = collections.defaultdict(list)
        for job in jobs:
            self._by_metadata[metadata_text(job.task.json_metadata)].append(job)
        self._close_done(self._stats)

    def add(self, job: Job, stats: sinter.AnonTaskStats) -> None:
        """Books a chunk of this run."""
        self._stats[job.key] += stats
        self.collected += stats
        self._close_done([job.key])

    def add_rows(self, rows: Iterable[sinter.TaskStats]) -> None:
        """Books rows of files: to the job they belong to, under whatever order of metadata keys, if there is one.

        Raises:
            IdentityError: A row is a job's but for the settings of its decoder.
        """
        touched = set()
        for row in rows:
            if row.strong_id not in self._aliases:
                self._aliases[row.strong_id] = self._job_of(row)
            key = self._aliases[row.strong_id]
            if key is not None:
                self._stats[key] += row.to_anon_stats()
                touched.add(key)
        self._close_done(touched)

    def _job_of(self, row: sinter.TaskStats) -> str | None:
        """Finds the job of a row that was written with another order of keys."""
        alike = self._by_metadata.get(metadata_text(row.json_metadata), [])
        same = [job for job in alike if job.decoder_name == row.decoder]
        for job in same:
            if job.key not in self._orders:
                self._orders[job.key] = frozenset(other_key_orders(job.task, job.given_metadata))
            if row.strong_id in self._orders[job.key]:
                return job.key
        if same and row.json_metadata is not None:
            warnings.warn(
                f"the file holds {row.shots:,} shots with decoder {row.decoder!r} and metadata {row.json_metadata} "
                f"that do not count: they belong to another circuit or detector error model than yours, or sinter "
                f"wrote them with more than eight metadata keys in an order that cannot be found out",
                stacklevel=2,
            )
        elif self.refuse_other_settings:
            self._refuse_other_settings(row, alike)
        return None

    def _refuse_other_settings(self, row: sinter.TaskStats, alike: list[Job]) -> None:
        if any(row.decoder == job.decoder_name for job in alike):
            return
        for job in alike:
            if base_name(row.decoder) == base_name(job.decoder_name):
                raise IdentityError(
                    f"the file holds {row.shots:,} shots with metadata {row.json_metadata} by {row.decoder}, and "
                    f"this sweep's decoder is {job.decoder_name}: the same name with other settings, or with settings "
                    f"that nobody wrote down. Give the decoder another name, save to another file, or pass "
                    f"mix_settings=True to keep both apart in this one"
                )

    def _close_done(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key in self._open and self._limits[key].done(self._stats[key]):
                del self._open[key]

    def unfinished(self) -> Iterable[Job]:
        """The jobs that need more, in order."""
        return self._open.values()

    def num_unfinished(self) -> int:
        """How many jobs need more."""
        return len(self._open)

    def finished(self) -> bool:
        """Whether no job needs more."""
        return not self._open

    def done(self, job: Job) -> bool:
        """Whether the job needs no more."""
        return job.key not in self._open

    def shots_left(self, job: Job) -> int:
        """Shots until the job's limit."""
        return max(0, self._limits[job.key].max_shots - self._stats[job.key].shots)

    def errors_left(self, job: Job) -> int | None:
        """Errors until the job is done, at least 1; None if it has no such limit."""
        wanted = self._limits[job.key].errors_wanted()
        return None if wanted is None else max(1, wanted - self._stats[job.key].errors)

    def most_useful_workers(self) -> int:
        """More workers than this would have nothing to do."""
        return max(1, sum(self.shots_left(job) for job in self.unfinished()))

    def tasks_done(self) -> float:
        """How many jobs are done, fractions of unfinished ones included."""
        return len(self.jobs) - sum(1 - self._fraction(key) for key in self._open)

    def _fraction(self, key: str) -> float:
        limits, stats = self._limits[key], self._stats[key]
        wanted = limits.errors_wanted()
        by_errors = 0.0 if wanted is None else stats.errors / wanted
        return min(1.0, max(stats.shots / limits.max_shots, by_errors))

    def results(self) -> list[sinter.TaskStats]:
        """The statistics of every job, in order."""
        return [job.stats(self._stats[job.key]) for job in self.jobs]


def _limits_of(job: Job, limits: Limits | None) -> Limits:
    options = job.task.collection_options
    if limits is None:
        limits = Limits.checked(options.max_shots, options.max_errors, None)
        if limits is None:
            raise InputError(
                "nothing says when to stop: pass max_shots, max_errors or target_relative_error, for example "
                "max_errors=1000"
            )
    return limits.with_options(options)
