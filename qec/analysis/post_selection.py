"""What post-selection leaves: survival by stage, and error rates against attempts for cuts chosen afterwards.

A shot that is kept may have a gap: how much likelier, in dB, the best logical class is than the others. Samplers count
kept shots by gap, right and wrong apart, in sinter's custom counts, so that every cut can be read off one file later
(the attempts and error rates of Gidney, Shutty and Jones, arXiv:2409.17595).
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quell.errors import DataError, InputError
from quell.qec.analysis.intervals import Estimate, binomial_interval

if TYPE_CHECKING:
    import sinter

__all__ = ["GAP_BIN_DB", "Cut", "Survival", "cut_at", "cuts", "stage_survival"]

GAP_BIN_DB = 0.5
"""How wide a bin of gaps is, in dB: bin b holds gaps from b to b + 1 of these; the last one holds all above."""

_KEPT = re.compile(r"kept_(\d+)")
_GAP = re.compile(r"([CE])(\d+)")


@dataclass(frozen=True)
class Survival:
    """How many shots are left after a stage.

    Attributes:
        stage: The stage, counted from 1.
        kept: Shots alive after it.
        shots: Shots that were started.
        rate: kept / shots.
    """

    stage: int
    kept: int
    shots: int
    rate: Estimate

    def to_json(self) -> dict[str, Any]:
        """Returns the survival as JSON has it."""
        return {"stage": self.stage, "kept": self.kept, "shots": self.shots, "rate": self.rate.to_json()}


@dataclass(frozen=True)
class Cut:
    """What is kept by a cut on the gap.

    Attributes:
        gap: The smallest gap that is kept, in dB; 0 keeps every shot that post-selection kept.
        shots: Shots that were started.
        kept: Shots kept by post-selection and cut.
        errors: Those of them that were decoded wrongly.
        attempts: Shots started for one kept: shots / kept.
        error_rate: errors / kept.
    """

    gap: float
    shots: int
    kept: int
    errors: int
    attempts: Estimate
    error_rate: Estimate

    def to_json(self) -> dict[str, Any]:
        """Returns the cut as JSON has it."""
        return {
            "gap_db": self.gap,
            "shots": self.shots,
            "kept": self.kept,
            "errors": self.errors,
            "attempts": self.attempts.to_json(),
            "error_rate": self.error_rate.to_json(),
        }


def stage_survival(stats: sinter.TaskStats, *, confidence: float = 0.95) -> list[Survival]:
    """Returns how many shots are left after each stage of post-selection.

    Args:
        stats: Counts of a post-selected circuit: `kept_1`, `kept_2`, … among its custom counts.
        confidence: How often each interval should hold the truth.

    Raises:
        DataError: There are no such counts, although shots were kept.

    Examples:
        >>> import collections, sinter
        >>> from quell.qec.analysis import stage_survival
        >>> counts = collections.Counter(kept_1=900, kept_2=800)
        >>> stats = sinter.TaskStats(
        ...     strong_id="a", decoder="any", json_metadata={}, shots=1000, discards=200, custom_counts=counts)
        >>> print(stage_survival(stats)[1].rate)
        0.800 [0.774, 0.824]
    """
    kept = {int(found[1]): count for key, count in stats.custom_counts.items() if (found := _KEPT.fullmatch(key))}
    if not kept and stats.shots == stats.discards:
        return []  # nobody survived the first stage, so how many there are is not known
    if not kept:
        raise DataError(
            f"the counts of decoder {stats.decoder!r} have no stages: kept_1, kept_2, … come from quell's samplers of "
            f"post-selected circuits, and sinter's own count discards only"
        )
    # A stage that nobody survived is not counted.
    return [
        Survival(stage, kept.get(stage, 0), stats.shots, _ratio(kept.get(stage, 0), stats.shots, confidence))
        for stage in range(1, max(kept) + 1)
    ]


def cuts(stats: sinter.TaskStats, *, confidence: float = 0.95) -> list[Cut]:
    """Returns every cut that the counted gaps allow, from none to the strictest that keeps a shot.

    Neighbouring cuts share most of their shots, so that their errors are far from independent.

    Args:
        stats: Counts of a post-selected circuit, with gaps (`C12`, `E12`, … among the custom counts: right and wrong
            shots of a bin) or without, where the only cut is none.
        confidence: How often each interval should hold the truth, one by one.

    Raises:
        DataError: Nothing was kept, or bins and kept shots do not add up.

    Examples:
        >>> import collections, sinter
        >>> from quell.qec.analysis import cuts
        >>> counts = collections.Counter(C0=90, E0=10, C40=900)
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={}, shots=2000, discards=1000,
        ...                          errors=10, custom_counts=counts)
        >>> [(cut.gap, cut.kept, cut.errors, round(cut.attempts.value, 2)) for cut in cuts(stats)]
        [(0.0, 1000, 10, 2.0), (20.0, 900, 0, 2.22)]
    """
    total = stats.shots - stats.discards
    if total <= 0:
        raise DataError(
            f"post-selection kept none of {stats.shots:,} shots, so there is nothing to cut: take more shots"
        )
    bins: dict[int, list[int]] = {}
    for key, count in stats.custom_counts.items():
        if found := _GAP.fullmatch(key):
            bins.setdefault(int(found[2]), [0, 0])[found[1] == "E"] += count
    if not bins:
        return [_cut(0.0, stats.shots, total, stats.errors, confidence)]
    right, wrong = (sum(pair[index] for pair in bins.values()) for index in (0, 1))
    if (right + wrong, wrong) != (total, stats.errors):
        raise DataError(
            f"the bins hold {right + wrong:,} shots and {wrong:,} errors, but {total:,} shots were kept and "
            f"{stats.errors:,} of them wrong: the counts come from different samplers"
        )
    strictest_first = sorted(bins, reverse=True)
    kept = itertools.accumulate(sum(bins[each]) for each in strictest_first)
    errors = itertools.accumulate(bins[each][1] for each in strictest_first)
    found_cuts = [
        _cut(each * GAP_BIN_DB, stats.shots, *counts, confidence)
        for each, counts in zip(strictest_first, zip(kept, errors, strict=True), strict=True)
    ]
    if found_cuts[-1].gap > 0:
        found_cuts[-1] = _cut(0.0, stats.shots, total, stats.errors, confidence)
    return found_cuts[::-1]


def cut_at(
    stats: sinter.TaskStats,
    *,
    gap: float | None = None,
    attempts: float | None = None,
    confidence: float = 0.95,
) -> Cut:
    """Returns one cut: at a gap, or the strictest that stays within a number of attempts.

    Args:
        stats: Counts of a post-selected circuit.
        gap: The smallest gap to keep, in dB; it is rounded up to the next bin.
        attempts: The most attempts for one kept shot, on average.
        confidence: How often each interval should hold the truth.

    Raises:
        InputError: Not exactly one of `gap` and `attempts` is given, or the cut keeps nothing.
        DataError: Nothing was kept, or bins and kept shots do not add up.

    Examples:
        >>> import collections, sinter
        >>> from quell.qec.analysis import cut_at
        >>> counts = collections.Counter(C0=90, E0=10, C40=900)
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={}, shots=2000, discards=1000,
        ...                          errors=10, custom_counts=counts)
        >>> cut_at(stats, gap=7).kept, cut_at(stats, attempts=2.1).kept
        (900, 1000)
    """
    if (gap is None) == (attempts is None):
        raise InputError(f"pass either gap or attempts, got gap={gap!r} and attempts={attempts!r}")
    every = cuts(stats, confidence=confidence)
    if gap is not None:
        if not gap >= 0:
            raise InputError(f"gap must be >= 0 dB, got {gap!r}")
        # The counts below a bin that was never hit are those of the next bin.
        found = next((cut for cut in every if cut.gap >= gap - 1e-9), None)
        if found is None:
            raise InputError(
                f"a cut at {gap:g} dB keeps none of {stats.shots - stats.discards:,} shots that post-selection kept: "
                f"the largest gap among them is in the bin from {every[-1].gap:g} dB; lower the cut"
            )
        return found
    assert attempts is not None
    within = [cut for cut in every if cut.attempts.value <= attempts]
    if not within:
        raise InputError(
            f"no cut keeps one shot in {attempts:g} attempts: post-selection alone needs {every[0].attempts.value:.4g}"
        )
    return within[-1]


def _cut(gap: float, shots: int, kept: int, errors: int, confidence: float) -> Cut:
    rate = _ratio(kept, shots, confidence)
    # All shots kept leaves no room below one attempt; the lower end of the rate is never 0 here, since kept > 0.
    attempts = Estimate(1 / rate.value, 1 / rate.high, 1 / rate.low, confidence)
    return Cut(gap, shots, kept, errors, attempts, _ratio(errors, kept, confidence))


def _ratio(hits: int, trials: int, confidence: float) -> Estimate:
    low, high = binomial_interval(np.int64(hits), np.int64(trials), confidence)
    return Estimate(hits / trials if trials else math.nan, float(low), float(high), float(confidence))
