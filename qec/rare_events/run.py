"""Error rates of tasks whose failures are rare: curve after curve, saved, and gone on from there."""

import concurrent.futures
import contextlib
import functools
import hashlib
import numbers
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from quell.errors import InputError, check_integer, check_known
from quell.qec.rare_events.estimate import METHODS, RareEstimate
from quell.qec.rare_events.files import StateFile, read_rare_estimates, write_rare_estimates
from quell.qec.sweeps.engine import Engine, default_num_workers
from quell.qec.sweeps.executor import engine_for
from quell.qec.sweeps.identity import AnyDecoder
from quell.qec.sweeps.progress import ProgressBar
from quell.qec.sweeps.tasks import Decoders, Job, Tasks, prepare_jobs

if TYPE_CHECKING:
    from quell.qec.rare_events.curve import Curve

__all__ = ["rare_error_rates"]


def rare_error_rates(
    tasks: Tasks,
    decoders: Decoders = (),
    *,
    custom_decoders: Mapping[str, AnyDecoder] | None = None,
    method: str = "auto",
    target_relative_error: float = 0.1,
    max_seconds: float | None = None,
    one_run: bool = True,
    save: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    num_workers: int | None = None,
    executor: concurrent.futures.Executor | None = None,
    progress: bool | None = None,
) -> list[RareEstimate]:
    """Estimates logical error rates that plain sampling cannot reach, with intervals.

    Two methods, neither of which fits or extrapolates anything. **Strata** draw sets of exactly w faults and weigh the
    failure rate of each w with the probability of w faults; they reach to about 1e-9 at small distances. **Splitting**
    walks on the sets of faults that fail, from strong noise down to that of the task, and multiplies how much rarer
    failures become (Bravyi and Vargo, arXiv:1308.6270); it reaches far below, and it gives no interval when its chains
    have not mixed.

    Faults are drawn from the detector error model, whose mechanisms are independent. For Pauli channels that are not
    depolarizing it stands for the circuit up to corrections of the order of p squared.

    Args:
        tasks: As for `sweep`; masks for post-selection too, and then the rate is that of the shots that are kept.
        decoders: As for `sweep`, but `sinter.Sampler`s: these draw faults themselves.
        custom_decoders: As for `sweep`.
        method: `"strata"`, `"splitting"`, or `"auto"`: strata, unless they would take more than a minute.
        target_relative_error: Half the width of the 95 % interval over the error rate, at which to stop.
        max_seconds: Stop after this long with each run, whatever the interval is then. Default: never.
        one_run: Whether tasks with the same faults, such as a code's at several error rates, are served by one run,
            with the shots weighed anew for each. They are then decoded with the weights of the one in the middle:
            the results say so. A task whose odds do not all scale by the same factor, within a tenth, is run on
            its own. False runs each on its own.
        save: A CSV file for the results. Running again goes on from there; what was good enough is not run again.
        seed: Of the random numbers; fresh entropy if None. With splitting, the same seed and `num_workers` give the
            same numbers.
        num_workers: As for `sweep`.
        executor: As for `sweep`.
        progress: As for `sweep`.

    Returns:
        One estimate for each task and decoder, tasks first, in the order given.

    Raises:
        InputError: An argument, a circuit or a decoder is not usable; or so many shots fail that plain sampling is the
            tool.
        DataError: `save` holds something else.
        StorageError: A file cannot be read or written.
        MissingExtraError: Splitting is needed, and numba is not installed.
        SweepError: A decoder failed, or the workers kept dying.

    Examples:
        >>> import stim
        >>> from quell.qec import rare_error_rates
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=5, rounds=5,
        ...                                  before_round_data_depolarization=1e-4)
        >>> (result,) = rare_error_rates(circuit, "pymatching", num_workers=1, seed=1)
        >>> result.method, 1e-11 < result.error_rate.low < result.error_rate.high < 2e-10
        ('strata', True)
    """
    # These bring scipy, whose import takes longer than that of all of quell.
    from quell.qec.rare_events.methods import CurveRun

    check_known("method", method, ("auto", *METHODS))
    target = _checked_target(target_relative_error)
    if max_seconds is not None and not (isinstance(max_seconds, numbers.Real) and max_seconds > 0):
        raise InputError(f"max_seconds must be > 0, got {max_seconds!r}; leave it out for no limit")
    if seed is not None:
        seed = check_integer("seed", seed, minimum=0)
    workers = default_num_workers() if num_workers is None else check_integer("num_workers", num_workers, minimum=1)
    jobs = prepare_jobs(tasks, decoders, custom_decoders or {}, workers)
    found = _known(jobs, save, method, target)
    if save is not None:
        write_rare_estimates(save, [])  # a file that cannot be written is better known now
    curves = list(_unfinished(jobs, found, one_run, save))
    with contextlib.ExitStack() as stack:
        bar = ProgressBar(len(jobs), progress)
        stack.callback(bar.close)

        @functools.cache
        def engine() -> Engine:
            started = engine_for(executor, num_workers)
            stack.callback(started.close)
            return started

        runs = [CurveRun(curve, method, target, _seed_of(seed, curve), save) for curve in curves]
        # First a look at all of them: what is wrong with the last should be known before hours go to the first.
        for run in runs:
            if executor is None and run.curve.trusts_decoder():
                for _, text in run.pilot():
                    bar.show(len(found), text)
        for run in runs:
            done = len(found.keys() - {job.key for job in run.curve.jobs})
            for fraction, text in run.run(engine, max_seconds):
                bar.show(done + fraction * len(run.curve.jobs), text)
            estimates = run.estimates()
            if save is not None:
                write_rare_estimates(save, estimates)
            found.update({estimate.strong_id: estimate for estimate in estimates})
        bar.show(len(found), "")
    return [found[job.key] for job in jobs]


def _checked_target(target: float) -> float:
    if isinstance(target, bool) or not isinstance(target, numbers.Real) or not 0 < float(target) <= 2:
        raise InputError(f"target_relative_error must be between 0 and 2, got {target!r}; 0.1 is usual")
    return float(target)


def _known(jobs: list[Job], save: str | os.PathLike[str] | None, method: str, target: float) -> dict[str, RareEstimate]:
    """What the file already has, good enough."""
    if save is None or not Path(save).expanduser().exists():
        return {}
    keys = {job.key for job in jobs}
    rows = [row for row in read_rare_estimates(save) if row.strong_id in keys and method in ("auto", row.method)]
    rows = [row for row in rows if row.relative_error() <= target]
    return {row.strong_id: row for row in sorted(rows, key=RareEstimate.relative_error, reverse=True)}


def _unfinished(
    jobs: list[Job], found: Mapping[str, RareEstimate], one_run: bool, save: str | os.PathLike[str] | None
) -> "Iterator[Curve]":
    """What is still to be run: curves that have been begun as they were, others without what is known."""
    from quell.qec.rare_events.curve import Curve

    if found.keys() >= {job.key for job in jobs}:
        return
    for curve in Curve.of_jobs(jobs, one_run=one_run):
        missing = [job for job in curve.jobs if job.key not in found]
        begun = save is not None and StateFile(save, curve.key).path.exists()
        if missing and (begun or len(missing) == len(curve.jobs)):
            yield curve
        else:
            yield from Curve.of_jobs(missing, one_run=one_run)


def _seed_of(seed: int | None, curve: "Curve") -> int:
    """A seed for a run: from fresh entropy, or from the user's and what is run."""
    if seed is None:
        return secrets.randbits(128)
    return int.from_bytes(hashlib.sha256(f"{seed} {curve.key}".encode()).digest()[:16], "big")
