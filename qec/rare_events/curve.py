"""Tasks that one run can serve: the same faults with other odds, one decoder."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import sinter
import stim

from quell.qec.rare_events.decoding import DecodingProblem
from quell.qec.rare_events.faults import FaultModel, log_odds_ratios
from quell.qec.sweeps.tasks import Job

__all__ = ["Curve"]

# By what the odds of two faults may change differently, as a factor less one. More would leave the weights of shots,
# and those of the decoder, to luck.
_LARGEST_SPREAD = 0.1


@dataclasses.dataclass(frozen=True)
class Curve:
    """Tasks over the same faults; the first is the one whose odds and weights are used.

    Attributes:
        jobs: The tasks with their decoder.
        problem: Of the first.
        models: The faults of each.
    """

    jobs: tuple[Job, ...]
    problem: DecodingProblem
    models: tuple[FaultModel, ...]

    @staticmethod
    def of_jobs(jobs: list[Job], *, one_run: bool) -> Iterator["Curve"]:
        """Sorts tasks into curves: into one of its own if `one_run` is false, or if its odds scale too differently."""
        members: dict[Any, list[tuple[Job, DecodingProblem, FaultModel]]] = {}
        for job in jobs:
            problem = DecodingProblem.of(job)
            faults = problem.faults()
            masks = (job.task.postselection_mask, job.task.postselected_observables_mask)
            bits = tuple(None if mask is None else mask.tobytes() for mask in masks)
            same = (job.decoder_name, faults.num_detectors, bits, frozenset(faults.fault_keys()))
            members.setdefault(same if one_run else job.key, []).append((job, problem, faults))
        for alike in members.values():
            alike.sort(key=lambda member: float(member[2].odds.sum()))
            # Shots of the middle are worth something at both ends, and its weights are wrong at neither by much.
            middle = len(alike) // 2
            others = [*alike[:middle], *alike[middle + 1 :]]
            spread = log_odds_ratios(alike[middle][2], tuple(other[2] for other in others))[1:, :-1]
            together = np.expm1(np.ptp(spread, axis=1)) <= _LARGEST_SPREAD
            served = [alike[middle], *(other for other, is_served in zip(others, together, strict=True) if is_served)]
            yield Curve(tuple(m[0] for m in served), served[0][1], tuple(m[2] for m in served))
            for other, is_served in zip(others, together, strict=True):
                if not is_served:
                    yield Curve((other[0],), other[1], (other[2],))

    @property
    def others(self) -> tuple[stim.DetectorErrorModel, ...]:
        """The detector error models of all but the first."""
        return tuple(job.model for job in self.jobs[1:])

    def trusts_decoder(self) -> bool:
        """Whether the decoder is sinter's own: others may bring a process down, or need threads or devices."""
        return any(self.jobs[0].decoder is known for known in sinter.BUILT_IN_SAMPLERS.values())

    def name_of_first(self, index: int) -> str:
        """What tells the first task from another: the metadata in which they differ."""
        first, other = self.jobs[0].task.json_metadata, self.jobs[index].task.json_metadata
        if not isinstance(first, dict) or not isinstance(other, dict):
            return "another task of the run"
        return (
            ", ".join(f"{key} = {value}" for key, value in first.items() if other.get(key) != value) or "another task"
        )

    @functools.cached_property
    def key(self) -> str:
        """Says what is run: 64 hexadecimal digits."""
        return hashlib.sha256(" ".join(job.key for job in self.jobs).encode()).hexdigest()
