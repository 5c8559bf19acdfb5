"""Answers under bit-flip noise, found from the counts alone: how many, which, how likely, and how strong the noise is.

The model is a mixture of bit-flip noise around a few strings over a background (`mixture_model`), its number of
answers the one of shortest description (`mixture_search`). It is examined before it is believed (`mixture_checks`);
where it fails, the counts stay as they are.
"""

import numpy as np

from quell.errors import check_integer
from quell.mitigation.estimator import Estimated, Mitigator
from quell.mitigation.mixture_checks import (
    Examination,
    contradiction,
    examine,
    most_answers,
    undecided_share,
    without_satellites,
)
from quell.mitigation.mixture_model import BitFlipModel, fit
from quell.mitigation.mixture_search import find_model
from quell.mitigation.raw import Raw, left_alone
from quell.mitigation.result import Center, Report
from quell.mitigation.table import CountTable

__all__ = ["BitFlipMixture"]

# Fewer shots than this decide nothing.
_MIN_SHOTS = 20
# With more distinct strings than this, answers are looked for in as many shots as give this many, and all shots only
# settle their shares and the noise.
_MANY_STRINGS = 8192
# With more of the shots off a single answer than this, the report says what else it could be.
_NOTED_OFF = 0.1
# Strings below this share of the most probable answer's are left to the noise.
_LEAST_SHARE = 0.03


class BitFlipMixture(Mitigator):
    """Finds the answers under bit-flip noise from the counts alone, or leaves the counts as they are.

    Each shot is one of a few answers with bits flipped, or comes from a background over all strings. How many answers,
    which, their shares, each bit's flip rate in each direction, and the background all follow from the counts: no
    calibration is needed. What comes out is the distribution over the answers; the flips and the background are gone.

    Before the model is believed it must do these things among others, and `report.reason` says which it failed:

    - say more about shots it has not seen than a background without answers does;
    - say at least 90 % as much about them as the best of the model and a table of frequencies, so that a broad
      distribution, which is no few answers, is left alone;
    - want no answer that was seen far less often than it says, as a W state seen as noise around 00…0 would;
    - flip no bit far more often than the others, beyond which a bit cannot be told from one that answers differ on.

    A machine's errors are not independent: one fault early in a circuit makes a wrong string as frequent as an answer.
    Answers with less than a fifth of the most probable one's share (less than that where the noise is weak) are
    therefore taken for such errors and left out. Where under a tenth of the shots lie off the answers, these are as
    likely the ideal's own as the noise's, and half of them stay. What cannot be told apart stays so: a distribution
    that is truly an answer and its independent flips looks exactly like noise.

    Args:
        max_clusters: The largest number of answers that is looked for, at most 64.
        independent: Whether the flips are known to be independent, as in a simulation: then every answer that the
            counts call for is kept, and nothing else.

    Attributes:
        p_: The mean flip rate of a bit; 0.0 if no answer was found.
        flip_rates_0_to_1_: float64 of shape (num_bits,), index i for bit i.
        flip_rates_1_to_0_: float64 of shape (num_bits,).
        n_clusters_: How many answers were found, K.
        centers_: uint8 of shape (K, num_bits), column i for bit i, the most probable answer first.
        center_weights_: float64 of shape (K,), their probabilities.
        background_: The share of the shots that belongs to no answer.
        explained_: How much of what can be predicted the model predicts, between 0 and 1.
        converged_: Whether the last fit came to rest.

    Raises:
        InputError: If `max_clusters` is no positive integer.

    Source:
        The clusters of strings are those of arXiv:2504.10801; the likelihood, the choice of K and the checks are ours.

    Examples:
        >>> from quell.mitigation import BitFlipMixture
        >>> counts = {"0000": 610, "1111": 230, "0001": 34, "0010": 31, "0100": 29, "1000": 33, "0111": 13, "1110": 20}
        >>> mitigated = BitFlipMixture().mitigate(counts)
        >>> [center.key for center in mitigated.report.centers]
        ['0000', '1111']
        >>> round(mitigated["0000"], 2)
        0.71
    """

    name = "mixture"

    def __init__(self, max_clusters: int = 64, *, independent: bool = False) -> None:
        self.max_clusters = max_clusters
        self.independent = independent
        self._start: BitFlipModel | None = None

    def flip_rate(self, table: CountTable) -> float:
        """Returns the mean flip rate that the counts show, 0.0 where none can be told; see `FlipRateEstimator`."""
        return float(self.estimate(table).fitted["p_"])

    def estimate(self, table: CountTable) -> Estimated:
        """Returns the distribution over the answers; see `Mitigator.estimate`."""
        max_clusters = check_integer("max_clusters", self.max_clusters, minimum=1)
        if table.num_bits < 2:
            return _nothing_found(table, "of a single bit, a flip cannot be told from an answer")
        if table.shots < _MIN_SHOTS:
            return _nothing_found(table, f"{table.shots} shots tell nothing, at least {_MIN_SHOTS} are needed")
        max_clusters = min(max_clusters, most_answers(table.num_bits))
        if self._start is not None:
            steps, tolerance = (400, 5e-3) if table.num_strings <= _MANY_STRINGS else (40, 0.5)
            model = fit(table.float_bits, table.weights, self._start, max_steps=steps, tolerance=tolerance)
            return _answered(table, model, None, self.independent)
        least = 0.0 if self.independent else _LEAST_SHARE
        few = table.thinned(_MANY_STRINGS)
        model = find_model(few, max_clusters, least)
        examination = examine(few, model, max_clusters, least)
        if examination.fault:
            return _nothing_found(table, examination.fault, examination)
        if few is not table:
            model = fit(table.float_bits, table.weights, model, max_steps=20, tolerance=1.0)
            fault = contradiction(table, model)
            if fault:
                return _nothing_found(table, fault, examination)
        return _answered(table, model, examination, self.independent)

    def resumed(self, estimated: Estimated) -> Mitigator:
        """Returns an estimator that fits the answers of `estimated` anew; see `Mitigator.resumed`."""
        if estimated.state is None:
            return Raw()
        again = self.copy()
        again._start = estimated.state
        return again


def _scores(examination: Examination | None) -> dict[str, float]:
    if examination is None:
        return {}
    return {"gain_per_shot": examination.gain, "explained": examination.explained}


def _nothing_found(table: CountTable, reason: str, examination: Examination | None = None) -> Estimated:
    """Returns the counts as they are, and why."""
    fitted = {
        "p_": 0.0,
        "flip_rates_0_to_1_": np.zeros(table.num_bits),
        "flip_rates_1_to_0_": np.zeros(table.num_bits),
        "n_clusters_": 0,
        "centers_": np.zeros((0, table.num_bits), dtype=np.uint8),
        "center_weights_": np.zeros(0),
        "background_": 0.0,
        "explained_": 0.0 if examination is None else examination.explained,
        "converged_": True,
    }
    return left_alone(table, "mixture", reason, scores=_scores(examination), fitted=fitted)


def _answered(table: CountTable, full: BitFlipModel, examination: Examination | None, independent: bool) -> Estimated:
    """Returns the distribution over the model's answers."""
    model = full if independent else without_satellites(table, full)
    order = np.argsort(-model.shares, kind="stable")
    centers, weights = model.centers[order], model.shares[order] / model.shares.sum()
    rows = table.find(centers)
    seen = rows >= 0
    off = table.probabilities.copy()
    off[rows[seen]] = 0.0
    undecided = 0.0 if independent else undecided_share(float(off.sum()))
    if examination is None and undecided:
        # A resample: one or the other holds, so that the interval spans both.
        odds = np.random.default_rng(table.weights.astype(np.uint64))
        undecided = float(odds.random() < undecided)
    weights = weights * (1 - undecided * off.sum())
    probabilities = undecided * off
    probabilities[rows[seen]] = weights[seen]
    notes = list(table.notes)
    if model.num_centers < full.num_centers:
        number = full.num_centers - model.num_centers
        strings = "string" if number == 1 else "strings"
        notes.append(f"{number} {strings} far rarer than the most probable answer taken for correlated errors")
    if model.num_centers == 1 and off.sum() > _NOTED_OFF:
        notes.append(
            "an ideal that is itself one string with bits turned at random, a product state say, would look the same"
        )
    if undecided and off.any():
        notes.append(
            f"only {off.sum():.1%} of the shots lie off the answers, noise or the ideal's own: "
            f"{undecided:.0%} of them were kept, and the intervals span both"
        )
    if not full.converged and table.num_strings <= _MANY_STRINGS:
        notes.append("the fit was still improving when it was stopped: the shares may be off in the last digits")
    report = Report(
        method="mixture",
        changed=True,
        reason="a few answers and bit flips predict the shots best",
        num_bits=table.num_bits,
        num_strings=table.num_strings,
        shots=table.shots,
        flip_rate=model.mean_rate,
        flip_rates_0_to_1=tuple(model.rates_0_to_1.tolist()),
        flip_rates_1_to_0=tuple(model.rates_1_to_0.tolist()),
        centers=tuple(
            Center(table.keys[row] if row >= 0 else table.make_key(center), float(weight), bool(row >= 0))
            for row, center, weight in zip(rows, centers, weights, strict=True)
        ),
        background=model.background,
        scores=_scores(examination),
        notes=tuple(notes),
    )
    fitted = {
        "p_": model.mean_rate,
        "flip_rates_0_to_1_": model.rates_0_to_1,
        "flip_rates_1_to_0_": model.rates_1_to_0,
        "n_clusters_": len(centers),
        "centers_": centers,
        "center_weights_": weights,
        "background_": model.background,
        "explained_": 1.0 if examination is None else examination.explained,
        "converged_": full.converged,
    }
    return Estimated(probabilities, report, fitted, centers[~seen], weights[~seen], state=full)
