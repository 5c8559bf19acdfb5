"""What an estimator gives back: probabilities under the caller's keys, and a report of how they came about."""

import dataclasses
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer
from quell.mitigation.table import BitOrder, CountTable

if TYPE_CHECKING:
    from quell.mitigation.bootstrap import Bootstrap
    from quell.mitigation.estimator import Mitigator

__all__ = ["Center", "Interval", "MitigatedCounts", "Report"]


class Interval(NamedTuple):
    """The range that a number is believed to lie in."""

    low: float
    high: float


@dataclass(frozen=True)
class Center:
    """An answer that an estimator found under the noise.

    Attributes:
        key: The string, in the format of the caller's keys.
        probability: Its share of the mitigated distribution, or of the cluster it is the centre of.
        observed: Whether any shot gave exactly this string.
    """

    key: Hashable
    probability: float
    observed: bool = True


@dataclass(frozen=True)
class Report:
    """How mitigated counts came about.

    Attributes:
        method: The name of the estimator, for example "q-cluster".
        changed: Whether the counts were changed at all.
        reason: Why the counts were left alone, or why this method was used.
        num_bits: The length of each string.
        num_strings: How many distinct strings were seen.
        shots: How many shots were taken.
        flip_rate: The mean probability that a bit is read wrongly, where the method has one.
        flip_rates_0_to_1: For each bit, bit 0 first, the probability that a 0 is read as 1; None without such a model.
        flip_rates_1_to_0: The same for a 1 that is read as 0.
        centers: The answers found, most probable first.
        background: The share of the shots explained by no answer, spread over all strings; None without such a model.
        scores: What the decision rests on, by name: likelihoods, criteria, the methods that were compared.
        notes: What a reader should know besides, in sentences.
    """

    method: str
    changed: bool
    reason: str
    num_bits: int
    num_strings: int
    shots: int
    flip_rate: float | None = None
    flip_rates_0_to_1: tuple[float, ...] | None = None
    flip_rates_1_to_0: tuple[float, ...] | None = None
    centers: tuple[Center, ...] = ()
    background: float | None = None
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_clusters(self) -> int:
        """How many answers were found, K."""
        return len(self.centers)

    def to_dict(self) -> dict[str, object]:
        """Returns the report as JSON can hold it; keys that are no strings become text."""
        fields: dict[str, object] = {
            item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "centers"
        }
        fields["scores"] = dict(self.scores)
        fields["centers"] = [
            {"key": str(center.key), "probability": center.probability, "observed": center.observed}
            for center in self.centers
        ]
        return fields | {"num_clusters": self.num_clusters}

    def text(self, bootstrap: "Bootstrap | None" = None) -> str:
        """Returns a few lines for a person, with the intervals of `MitigatedCounts.bootstrap` if they are given."""
        lines = [
            f"{self.method}: {'' if self.changed else 'left alone; '}{self.reason}",
            f"{self.shots} shots of {self.num_bits} bits, {self.num_strings} distinct strings",
        ]
        flip_rate, background = (None, None) if bootstrap is None else (bootstrap.flip_rate, bootstrap.background)
        if self.flip_rate is not None:
            lines.append(f"flip rate {_with(self.flip_rate, flip_rate)} per bit")
        if self.background is not None:
            lines.append(f"background {_with(self.background, background)} of the shots")
        if self.centers:
            known = {} if bootstrap is None else bootstrap.probabilities
            shown = [f"{center.key} {_with(center.probability, known.get(center.key))}" for center in self.centers[:8]]
            more = f" and {self.num_clusters - 8} more" if self.num_clusters > 8 else ""
            named = "answer" if self.num_clusters == 1 else "answers"
            lines.append(f"{self.num_clusters} {named}: {', '.join(shown)}{more}")
        return "\n".join([*lines, *self.notes])

    def __str__(self) -> str:
        return self.text()


def _with(value: float, interval: Interval | None) -> str:
    return f"{value:.4f}" if interval is None else f"{value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


class MitigatedCounts(Mapping[Hashable, float]):
    """Probabilities of bit strings after mitigation: non-negative, summing to one, under the caller's own keys.

    Every key of the input is there, also those whose probability became zero; an answer that no shot gave exactly is
    added in the same format, and `report.centers` marks it.

    Attributes:
        report: How the probabilities came about.
        raw: The probabilities before mitigation, under the same keys.
        shots: How many shots were taken.

    Examples:
        >>> from quell.mitigation import QCluster
        >>> mitigated = QCluster(flip_rate=0.05).mitigate({"000": 870, "001": 60, "010": 40, "100": 30})
        >>> mitigated.report.centers[0].key
        '000'
        >>> sum(mitigated.counts(1000).values())
        1000
    """

    def __init__(
        self,
        probabilities: Mapping[Hashable, float],
        raw: Mapping[Hashable, float],
        report: Report,
        *,
        table: CountTable,
        estimator: "Mitigator",
    ) -> None:
        self._probabilities = dict(probabilities)
        self.raw: Mapping[Hashable, float] = MappingProxyType({key: raw.get(key, 0.0) for key in self._probabilities})
        self.report = report
        self.shots = table.shots
        self._table = table
        self._estimator = estimator

    def __getitem__(self, key: Hashable) -> float:
        return self._probabilities[key]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._probabilities)

    def __len__(self) -> int:
        return len(self._probabilities)

    def __repr__(self) -> str:
        answers = sorted(self._probabilities.items(), key=lambda item: (-item[1], str(item[0])))[:4]
        shown = ", ".join(f"{key!r}: {probability:.4f}" for key, probability in answers)
        more = f", and {len(self) - 4} more" if len(self) > 4 else ""
        return f"MitigatedCounts({{{shown}{more}}}, method={self.report.method!r})"

    def counts(self, shots: int | None = None) -> dict[Hashable, int]:
        """Returns whole numbers of shots that sum to `shots` exactly, for whatever wants counts.

        Each probability is scaled and rounded down, and the shots left over go to the largest remainders, so that no
        number is off by more than one. Keys with no shots are left out.

        Args:
            shots: How many to distribute; those that were taken if not given.

        Raises:
            InputError: If `shots` is no positive integer.
        """
        total = self.shots if shots is None else check_integer("shots", shots, minimum=1)
        if total > 2**53:
            raise InputError(f"shots must be at most 2^53, got {total}")
        keys = list(self._probabilities)
        scaled = np.array([self._probabilities[key] for key in keys]) * total
        whole = np.floor(scaled).astype(np.int64)
        largest = np.argsort(-(scaled - whole), kind="stable")
        whole[largest[: total - int(whole.sum())]] += 1
        return {key: int(number) for key, number in zip(keys, whole, strict=True) if number}

    def intervals(
        self, num_resamples: int = 200, *, confidence: float = 0.95, seed: int = 0
    ) -> dict[Hashable, Interval]:
        """Returns, for each key, the interval of its probability under a bootstrap over shots; see `bootstrap`."""
        return self.bootstrap(num_resamples, confidence=confidence, seed=seed).probabilities

    def bootstrap(
        self, num_resamples: int = 200, *, confidence: float = 0.95, seed: int = 0, progress: bool = False
    ) -> "Bootstrap":
        """Returns intervals of the probabilities, the flip rate and the background under a bootstrap over shots.

        The shots are drawn again with replacement, and the estimate is made anew from each draw. Of a mixture, the
        answers found stay the ones that may be there, and shares, rates and background are fitted again. The interval
        says how much a number owes to the luck of the shots. It does not say whether the noise is what the method
        takes it for.

        Args:
            num_resamples: How often to draw, at least 20.
            confidence: The share of draws that an interval covers, between 0 and 1.
            seed: Of the draws; the same seed gives the same intervals.
            progress: Whether to show a bar on standard error.

        Raises:
            InputError: If `num_resamples` is below 20 or `confidence` is not between 0 and 1.
        """
        from quell.mitigation.bootstrap import bootstrap

        return bootstrap(
            self._table,
            self._estimator,
            self._probabilities,
            num_resamples=num_resamples,
            confidence=confidence,
            seed=seed,
            progress=progress,
        )

    @property
    def bit_order(self) -> BitOrder:
        """Whether bit 0 is a key's rightmost ("little") or leftmost ("big") character."""
        return self._table.bit_order

    def to_dict(self) -> dict[str, object]:
        """Returns probabilities, raw probabilities, shots and report as JSON can hold them."""
        return {
            "probabilities": {str(key): value for key, value in self.items()},
            "raw": {str(key): value for key, value in self.raw.items()},
            "shots": self.shots,
            "report": self.report.to_dict(),
        }


def label_probabilities(
    table: CountTable,
    probabilities: NDArray[np.float64],
    new_bits: NDArray[np.uint8],
    new_probabilities: NDArray[np.float64],
) -> dict[Hashable, float]:
    """Returns probabilities by the caller's keys, scaled to sum to one; zero-count keys of the input included."""
    total = math.fsum(probabilities) + math.fsum(new_probabilities)
    labelled: dict[Hashable, float] = {
        key: float(value) / total for key, value in zip(table.keys, probabilities, strict=True)
    }
    labelled |= dict.fromkeys(table.unseen_keys, 0.0)
    for row, value in zip(new_bits, new_probabilities, strict=True):
        labelled[table.make_key(row)] = float(value) / total
    return labelled
