"""Parameters of a circuit's noise by maximum likelihood, from the patterns of events on patches of detectors.

Where a few numbers make all rates, as the 25 of `NoiseModel.pauli25` do, they are learned from far fewer shots than
the rates one by one, and with them the rates. What detection events of the circuit cannot tell apart is found in the
design, named, and shared out as in the start. Needs torch.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from quell.circuits import NoiseModel
from quell.decoders.noise_learning.closed_form import DEVIATIONS, RateEstimates
from quell.decoders.noise_learning.likelihood import check_rates
from quell.decoders.noise_learning.noise_design import PAULI25, NoiseDesign, pauli25_noise
from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.decoders.noise_learning.structure import probabilities_of, rates_of
from quell.errors import InputError, check_integer, import_extra

__all__ = ["NoiseParameters", "fit_noise_parameters"]

Floats = NDArray[np.float64]

_START = 1e-3  # of a parameter of which nothing is known
_LARGEST_START = 0.45
_UNSEEN = 1e-9  # what a rate that may be shared out starts from, as a share of the largest
_UNSEEN_EVENTS = 3.0  # what rates may stand for that were fitted to none: 95 % by the rule of three
_SWEEPS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseParameters:
    """What shots say of the parameters of a noise.

    Attributes:
        names: Of the J parameters.
        values: float64 (J,): probabilities, each of one Pauli error in one place.
        intervals: float64 (J, 2): what holds each with 95 %. Where others could take over a part of it unseen, it
            reaches as far as that goes.
        covariance: float64 (J, J): of the values, given how what cannot be told apart is shared out.
        rates: float64 (F,): of the faults.
        rate_intervals: float64 (F, 2): what holds each with 95 %, if the noise is of this kind.
        unidentified: What detection events cannot tell, a sentence each.
    """

    names: tuple[str, ...]
    values: Floats
    intervals: Floats
    covariance: Floats
    rates: Floats
    rate_intervals: Floats
    unidentified: tuple[str, ...]

    def noise_model(self) -> NoiseModel:
        """Returns `NoiseModel.pauli25` with these values.

        Raises:
            InputError: They are parameters of another noise, or the values of one channel sum to more than 1.
        """
        if self.names != PAULI25:
            raise InputError(
                f"these are {len(self.names)} parameters ({', '.join(self.names[:3])}, …), not those of "
                f"NoiseModel.pauli25: make the circuit from `values`, or the model with FaultStructure.model(rates)"
            )
        return pauli25_noise(self.values)


def fit_noise_parameters(
    design: NoiseDesign,
    counts: ParityCounts,
    *,
    start: Floats | None = None,
    max_iterations: int = 200,
    progress: bool = False,
) -> NoiseParameters:
    """Returns the parameters that fit the shots best.

    Args:
        design: What the parameters do, as `pauli25_design` and `noise_design` find it.
        counts: Of the parities of the detectors of `design.structure`, from at least one shot in each of two blocks.
        start: float64 (J,): probabilities below 1/2 to start from; None for 0.001 each.
        max_iterations: Steps at most.
        progress: Whether a bar is shown.

    Raises:
        InputError: An argument is outside its limits.
        MissingExtraError: torch is not installed.

    Examples:
        >>> from quell.circuits import rotated_surface_memory
        >>> from quell.decoders.noise_learning.noise_design import PAULI25, pauli25_design, pauli25_noise
        >>> from quell.decoders.noise_learning.noise_parameters import fit_noise_parameters
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> circuit = rotated_surface_memory(3, 3)
        >>> noisy = pauli25_noise([0.01] * 4 + [0.002] * 6 + [0.001] * 15).apply(circuit)
        >>> design = pauli25_design(circuit)
        >>> counts = ParityCounts(ParitySets.of(design.structure))
        >>> counts.add(noisy.compile_detector_sampler(seed=5).sample(50_000, bit_packed=True))
        >>> found = fit_noise_parameters(design, counts)
        >>> bool(abs(found.values[PAULI25.index("measurement[M]")] - 0.01) < 0.003)
        True
        >>> found.unidentified[1]
        'preparation[RX] and measurement[MX] cannot be told apart: only their sum is learned'
    """
    structure, number = design.structure, len(design.names)
    first = np.full(number, _START) if start is None else check_rates("start", start, number, above_zero=True)
    if first.max() > _LARGEST_START:
        raise InputError(f"start must be probabilities of at most {_LARGEST_START}, got {first.max()}")
    max_iterations = check_integer("max_iterations", max_iterations, minimum=1)
    import_extra("torch", "predecoder")
    import torch

    from quell.decoders.noise_learning.pattern_likelihood import PatternLikelihood, minimise

    likelihood = PatternLikelihood(structure, counts, design.matrix)
    begin = rates_of(first)
    with tqdm(disable=not progress, unit="step") as bar:
        fitted = minimise(likelihood, torch.from_numpy(begin), None, max_iterations, bar.update).numpy()
    null = design.null_directions()
    fitted = _shared_out(fitted, null, begin)
    # Where none was seen, the slope of what is not seen yet is not zero; three events are what 95 % allow.
    around = np.maximum(fitted, _UNSEEN_EVENTS / counts.effective_shots / np.maximum(design.matrix.sum(axis=0), 1.0))
    likelihood.at(torch.from_numpy(around))
    weights = counts.shots / counts.num_shots
    pulls = likelihood.influences()[1] @ _kept(null, around).T
    of_parameters = RateEstimates(fitted, pulls, weights, counts.effective_shots)
    of_rates = RateEstimates(design.matrix @ fitted, pulls @ design.matrix.T, weights, counts.effective_shots)
    values, slopes = probabilities_of(fitted), np.exp(-fitted) / 2
    ends = _reach(fitted, null) + _margins(of_parameters)
    return NoiseParameters(
        names=design.names,
        values=values,
        intervals=probabilities_of(np.maximum(ends, 0.0)),
        covariance=_covariance(of_parameters, slopes),
        rates=of_rates.rates,
        rate_intervals=np.maximum(of_rates.rates[:, None] + _margins(of_rates), 0.0),
        unidentified=design.relations(),
    )


def _margins(estimates: RateEstimates) -> Floats:
    """float64 (n, 2): what 95 % leave below and above."""
    return np.asarray(DEVIATIONS * np.sqrt(estimates.variances)[:, None] * np.array([-1.0, 1.0]))


def _covariance(estimates: RateEstimates, slopes: Floats) -> Floats:
    """float64 (n, n): of what has these slopes by the estimates, from the scatter of the blocks."""
    used = estimates.weights > 0
    pulls = estimates.weights[used, None] * estimates.influences[used] * slopes
    return np.asarray(pulls.T @ pulls * (len(pulls) / (len(pulls) - 1)), dtype=np.float64)


def _shared_out(rates: Floats, null: Floats, start: Floats) -> Floats:
    """Moves rates along null directions to where they are nearest to the start: float64 (J,).

    Nearest is by the divergence of Kullback and Leibler, which keeps ratios: rates of which only the sum is known are
    then as in the start.
    """
    if not len(null):
        return rates
    rates = np.maximum(rates, _UNSEEN * max(float(rates.max()), float(start.max())))
    # What no detector sees stays as it was.
    free = np.abs(null).sum(axis=1) == np.abs(null).max(axis=1)
    unseen = np.abs(null[free]).argmax(axis=1)
    rates[unseen] = start[unseen]
    shared = null[~free]

    def divergence(rates: Floats) -> float:
        return float((rates * np.log(rates / start) - rates).sum())

    best = divergence(rates)
    for _ in range(_SWEEPS):
        if not len(shared):
            break
        slope = shared @ np.log(rates / start)
        step = -np.linalg.solve((shared / rates) @ shared.T, slope) @ shared
        with np.errstate(divide="ignore"):
            most = float(np.where(step < 0, -rates / step, np.inf).min())
        length = min(1.0, 0.9 * most)
        while length > _UNSEEN and not divergence(rates + length * step) < best:
            length /= 2
        if not length > _UNSEEN:
            break
        rates = rates + length * step
        best = divergence(rates)
    return rates


def _kept(null: Floats, rates: Floats) -> Floats:
    """How rates that are shared out follow those that were fitted, float64 (J, J): projected along null directions."""
    if not len(null):
        return np.eye(len(rates))
    weighted = null / rates
    return np.asarray(np.eye(len(rates)) - null.T @ np.linalg.solve(weighted @ null.T, weighted), dtype=np.float64)


def _reach(rates: Floats, null: Floats) -> Floats:
    """How small and how large rates can be, float64 (J, 2), where others take over what they leave; infinite if any."""
    from scipy.optimize import linprog

    found = np.stack([rates, rates], axis=1)
    for place in np.flatnonzero(np.abs(null).sum(axis=0)):
        for side, sign in enumerate((1.0, -1.0)):
            best = linprog(sign * null[:, place], A_ub=-null.T, b_ub=rates, bounds=(None, None))
            found[place, side] = rates[place] + sign * best.fun if best.fun is not None else np.inf
    return found
