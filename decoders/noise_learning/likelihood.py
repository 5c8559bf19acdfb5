"""Rates of all faults by maximum likelihood, from the patterns of events on small patches of detectors.

Where the closed form asks of each fault only what its own detectors say, all patches that a fault touches say together
here which rates fit best. `fit_rates` finds the maximum, where no rate is negative. `refined_rates` takes one step of
Fisher scoring from rates that are about right, and is without bias even where shots are few. Both need torch.
"""

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from quell.decoders.noise_learning.closed_form import RateEstimates
from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.decoders.noise_learning.structure import FaultStructure
from quell.errors import InputError, check_integer, import_extra

__all__ = ["check_rates", "fit_rates", "refined_rates"]

Floats = NDArray[np.float64]

_LEAST_EVENTS = 0.25  # that a rate stands for, among all shots, where a fit starts: from zero it would not move
_UNSEEN_EVENTS = 3.0  # what rates may stand for that were fitted to none: 95 % by the rule of three


def fit_rates(
    structure: FaultStructure,
    counts: ParityCounts,
    *,
    start: Floats | None = None,
    around: Floats | None = None,
    prior: tuple[Floats, Floats] | None = None,
    max_iterations: int = 200,
    progress: bool = False,
) -> RateEstimates:
    """Returns the rates of all faults that fit the shots best, none below zero.

    Args:
        structure: The faults.
        counts: Of the parities of their detectors, from at least one shot in each of two blocks.
        start: float64 (F,): rates to start from; None for the structure's.
        around: float64 (F,), above 0: rates that are nearer to the truth than the fit, say pooled ones, at which the
            influences are worked out; None for the fit's own, or what three events stand for where it is lower.
        prior: float64 (F,) and float64 (F,): means, above 0, and variances of what is known of the rates already;
            infinite variances where it is nothing. The patches' likelihood counts some of the shots more than once; it
            is brought to their true worth before it meets the prior (Pauli, Racugno & Ventura, Statistica Sinica 21,
            149, 2011).
        max_iterations: Steps at most.
        progress: Whether a bar is shown.

    Returns:
        The rates, and influences by linearisation there. Rates that shots pull below zero are 0, and so are too large
        on average where shots are few; see `refined_rates`. With a prior, influences say what shots alone add to the
        scatter.

    Raises:
        InputError: An argument is outside its limits.
        MissingExtraError: torch is not installed.

    Examples:
        >>> import stim
        >>> from quell.decoders.noise_learning.likelihood import fit_rates
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of
        >>> dem = stim.DetectorErrorModel("error(.1) D0 \\n error(.2) D0 D1")
        >>> structure = FaultStructure.of(dem)
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> counts.add(dem.compile_sampler(seed=5).sample(1_000_000, bit_packed=True)[0])
        >>> probabilities_of(fit_rates(structure, counts).rates).round(2).tolist()
        [0.1, 0.2]
    """
    first = structure.nominal if start is None else check_rates("start", start, structure.num_faults)
    if around is not None:
        around = check_rates("around", around, structure.num_faults, above_zero=True)
    max_iterations = check_integer("max_iterations", max_iterations, minimum=1)
    import_extra("torch", "predecoder")
    import torch

    from quell.decoders.noise_learning.pattern_likelihood import GammaPrior, PatternLikelihood, minimise

    likelihood = PatternLikelihood(structure, counts)
    begin = torch.from_numpy(np.maximum(first, _LEAST_EVENTS / counts.effective_shots))
    known = None
    if prior is not None:
        means = check_rates("means of the prior", prior[0], structure.num_faults, above_zero=True)
        variances = check_rates("variances of the prior", prior[1], structure.num_faults, above_zero=True, finite=False)
        likelihood.at(begin)
        known = GammaPrior(means, variances, counts.effective_shots / likelihood.repeats())
    with tqdm(disable=not progress, unit="step") as bar:
        fitted = minimise(likelihood, begin, known, max_iterations, bar.update)
    # Above this a fault's parities, exp(-rate), drown in chance, and no shots tell one rate from another.
    rates = fitted.clamp_max(max(np.log(counts.effective_shots) / 2, 1.0))
    place = rates.clamp_min(_UNSEEN_EVENTS / counts.effective_shots) if around is None else torch.from_numpy(around)
    likelihood.at(place)
    _, influences = likelihood.influences(None if known is None else known.curvature(place))
    return RateEstimates(rates.numpy(), influences, counts.shots / counts.num_shots, counts.effective_shots)


def refined_rates(structure: FaultStructure, counts: ParityCounts, around: Floats) -> RateEstimates:
    """Returns the rates of all faults by one step of scoring, from rates that are about right.

    Args:
        structure: The faults.
        counts: Of the parities of their detectors, from at least one shot in each of two blocks.
        around: float64 (F,), above 0: say pooled ones from the closed form.

    Returns:
        Rates that are right on average and may be below zero, so that their means over many faults are right as well.
        Where shots are many they are as good as those of `fit_rates` (Le Cam), where they are few not nearly.

    Raises:
        InputError: `around` has another shape, or rates that are not above 0.
        MissingExtraError: torch is not installed.

    Examples:
        >>> import stim
        >>> from quell.decoders.noise_learning.likelihood import refined_rates
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of
        >>> dem = stim.DetectorErrorModel("error(.1) D0 \\n error(.2) D0 D1")
        >>> structure = FaultStructure.of(dem)
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> counts.add(dem.compile_sampler(seed=5).sample(1_000_000, bit_packed=True)[0])
        >>> probabilities_of(refined_rates(structure, counts, structure.nominal).rates).round(2).tolist()
        [0.1, 0.2]
    """
    checked = check_rates("around", around, structure.num_faults, above_zero=True)
    import_extra("torch", "predecoder")
    import torch

    from quell.decoders.noise_learning.pattern_likelihood import PatternLikelihood

    likelihood = PatternLikelihood(structure, counts)
    likelihood.at(torch.from_numpy(checked))
    step, influences = likelihood.influences()
    return RateEstimates(checked + step, influences, counts.shots / counts.num_shots, counts.effective_shots)


def check_rates(name: str, rates: object, number: int, *, above_zero: bool = False, finite: bool = True) -> Floats:
    """Returns float64 (number,) of rates, or raises `InputError`.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.noise_learning.likelihood import check_rates
        >>> check_rates("start", np.ones(3), 2)
        Traceback (most recent call last):
        quell.errors.InputError: start must be 2 finite numbers of at least 0, got shape (3,)
    """
    kind = f"{number} {'finite ' if finite else ''}numbers {'above 0' if above_zero else 'of at least 0'}"
    given = np.asarray(rates, dtype=np.float64)
    if given.shape != (number,):
        raise InputError(f"{name} must be {kind}, got shape {given.shape}")
    right = (given > 0) if above_zero else (given >= 0)
    wrong = np.flatnonzero(~(right & np.isfinite(given)) if finite else ~right)
    if len(wrong):
        raise InputError(f"{name} must be {kind}, got {given[wrong[0]]} in place {wrong[0]}")
    return given
