"""One call on counts: the method is chosen by what it predicts about shots it has not seen.

The mixture of bit flips is asked first, since it says itself whether it may be believed. Where it may not, and the flip
rate is known, a rival is used if its answer, blurred by bit flips and a background, predicts unseen shots better than
the raw counts do, beyond doubt; and if none does, the counts stay as they are. HAMMER never stands for election: it
sharpens whatever it is given, and makes of nearly uniform counts something that is not there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_known
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.flip_rates import FlipRate, resolve_flip_rate
from quell.mitigation.hammer import Hammer
from quell.mitigation.m3 import M3
from quell.mitigation.mixture import BitFlipMixture
from quell.mitigation.mixture_model import BitFlipModel, fit, string_log_likelihoods
from quell.mitigation.predictive import split, unstructured_log_likelihoods
from quell.mitigation.q_beep import QBeep
from quell.mitigation.q_cluster import QCluster
from quell.mitigation.raw import Raw, left_alone
from quell.mitigation.reading import read_counts
from quell.mitigation.result import MitigatedCounts
from quell.mitigation.richardson_lucy import RichardsonLucy
from quell.mitigation.table import BitOrder, CountTable

__all__ = ["MITIGATION_METHODS", "Automatic", "mitigate"]

# A rival's answer is judged by this many of its most probable strings.
_JUDGED_STRINGS = 64
# With more distinct strings than this, comparing each with each takes longer than anyone waits for a default.
_RIVAL_STRINGS = 4096
# With fewer bits every string is near every other, and a rival's answer is mostly its own assumption.
_RIVAL_BITS = 4
# Standard errors by which a rival must predict better than the raw counts.
_CLEARLY = 3.0


class Automatic(Mitigator):
    """Picks the method by the counts alone, and says in its report which it picked and why.

    Args:
        flip_rate: If known, Q-Cluster and Richardson–Lucy stand for election too; see `FlipRate`.

    Attributes:
        method_: The name of the method that was picked, "raw" if the counts were left alone. Whatever that method
            found stands beside it, under the names that its own class documents.

    Examples:
        >>> from quell.mitigation import Automatic
        >>> counts = {"0000": 610, "1111": 230, "0001": 34, "0010": 31, "0100": 29, "1000": 33, "0111": 13, "1110": 20}
        >>> automatic = Automatic()
        >>> automatic.mitigate(counts).report.changed, automatic.method_
        (True, 'mixture')
    """

    name = "auto"

    def __init__(self, flip_rate: FlipRate | None = None) -> None:
        self.flip_rate = flip_rate

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the estimate of the method that was picked; see `Mitigator.estimate`."""
        if self.flip_rate is not None:
            resolve_flip_rate("flip_rate", self.flip_rate, table)
        mixture = BitFlipMixture()
        found = mixture.estimate(table)
        if found.report.changed:
            if self.flip_rate is not None:
                notes = (*found.report.notes, "the mixture finds flip rates by itself: the one given was not used")
                found = replace(found, report=replace(found.report, notes=notes))
            return _picked(mixture, found, found.report.reason, found.report.scores)
        why = found.report.reason
        scores = {f"mixture_{name}": score for name, score in found.report.scores.items()}
        best: tuple[float, Mitigator] | None = None
        if table.num_bits >= _RIVAL_BITS and table.num_strings <= _RIVAL_STRINGS:
            for rival in self._rivals():
                lead, error = _lead_over_raw(table, rival)
                scores[f"{rival.name}_gain_per_shot_over_raw"] = lead
                if lead > _CLEARLY * error > 0 and (best is None or lead > best[0]):
                    best = lead, rival
        if best is None:
            return _picked(Raw(), left_alone(table, "raw", why), why, scores)
        rival = best[1]
        reason = f"predicts unseen shots {best[0]:.3g} nats per shot better than the raw counts; no mixture: {why}"
        return _picked(rival, rival.estimate(table), reason, scores)

    def _rivals(self) -> Iterator[Mitigator]:
        if self.flip_rate is not None:
            yield QCluster(self.flip_rate)
            yield RichardsonLucy(self.flip_rate)

    def resumed(self, estimated: Estimated) -> Mitigator:
        """Returns the method that was picked, as it would go on; see `Mitigator.resumed`."""
        picked: Mitigator = estimated.fitted["_picked"]
        return picked.resumed(estimated)


def _picked(method: Mitigator, estimated: Estimated, reason: str, scores: Mapping[str, float]) -> Estimated:
    """Returns the estimate with the choice written into its report."""
    report = replace(estimated.report, reason=reason, scores=dict(scores))
    fitted = {**estimated.fitted, "method_": method.name, "_picked": method}
    return replace(estimated, report=report, fitted=fitted)


def _lead_over_raw(table: CountTable, rival: Mitigator) -> tuple[float, float]:
    """Returns by how many nats per unseen shot a rival's answer predicts better than the raw counts, and its error.

    The rival sees half the shots. Flip rates and background are fitted to the same half, the answer's shares are not.
    """
    first, second = split(table.weights)
    if not first.any() or not second.any():
        return 0.0, 0.0
    half = table.with_weights(first)
    probabilities = rival.estimate(half).probabilities
    order = np.argsort(-probabilities, kind="stable")[:_JUDGED_STRINGS]
    order = order[probabilities[order] > 0]
    rates = np.full(table.num_bits, 0.05)
    shares = 0.9 * probabilities[order] / probabilities[order].sum()
    model = BitFlipModel(half.bits[order], shares, 0.1, rates, rates, np.full(table.num_bits, 0.5))
    model = fit(half.float_bits, half.weights, model, max_steps=100, free_answers=False, free_shares=False)
    lead = string_log_likelihoods(table.float_bits, model) - unstructured_log_likelihoods(first, table.num_bits)
    return _mean_and_error(lead, second)


def _mean_and_error(values: NDArray[np.float64], shots: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the mean of `values` over the shots, and its standard error."""
    mean = float(shots @ values / shots.sum())
    variance = float(shots @ (values - mean) ** 2 / max(shots.sum() - 1, 1))
    return mean, float(np.sqrt(variance / shots.sum()))


MITIGATION_METHODS: Mapping[str, type[Mitigator]] = MappingProxyType(
    {method.name: method for method in (Automatic, BitFlipMixture, Hammer, M3, QBeep, QCluster, Raw, RichardsonLucy)}
)
"""Every method by its name."""


def mitigate(
    counts: object,
    method: str = "auto",
    *,
    flip_rate: FlipRate | None = None,
    num_bits: int | None = None,
    bit_order: BitOrder | None = None,
    shots: int | None = None,
) -> MitigatedCounts:
    """Returns better counts from measured ones, in one call and without a backend.

    Args:
        counts: Whatever `quell.mitigation.read_counts` reads: a dict, Qiskit `Counts`, a `BitArray`, one result of a
            SamplerV2, the path of a JSON or CSV file, and others.
        method: One of `MITIGATION_METHODS`. "auto" picks by the counts alone, and its report says what it picked.
        flip_rate: The probability that a bit is read wrongly, for the methods that use one; see `FlipRate`.
        num_bits: As in `read_counts`.
        bit_order: As in `read_counts`.
        shots: As in `read_counts`.

    Raises:
        InputError: If the counts cannot be used, if the method is not known, needs a flip rate, or takes none.

    Examples:
        >>> from quell.mitigation import mitigate
        >>> noisy = {"000": 430, "111": 410, "001": 28, "010": 31, "100": 25, "110": 27, "101": 22, "011": 27}
        >>> mitigated = mitigate(noisy)
        >>> mitigated.report.method, [center.key for center in mitigated.report.centers]
        ('mixture', ['000', '111'])
        >>> mitigate(noisy, "q-cluster", flip_rate=0.06).report.method
        'q-cluster'
    """
    kind = MITIGATION_METHODS[check_known("method", method, MITIGATION_METHODS)]
    table = read_counts(counts, num_bits=num_bits, bit_order=bit_order, shots=shots)
    settings: dict[str, Any] = {}
    if flip_rate is not None:
        if "flip_rate" not in kind.parameter_names():
            takers = [name for name, other in MITIGATION_METHODS.items() if "flip_rate" in other.parameter_names()]
            raise InputError(f"method {method!r} takes no flip_rate; those that do: {', '.join(sorted(takers))}")
        settings["flip_rate"] = flip_rate
    return kind(**settings).mitigate(table)
