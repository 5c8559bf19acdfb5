"""Noise models by name, for command lines, sweeps and files, where a model is a word and a number.

Only models with a strength p have a name here; others are made by their constructors.
"""

import inspect
from collections.abc import Callable
from typing import Any

from quell.circuits.noise import NoiseModel
from quell.errors import InputError, check_known

__all__ = ["NOISE_MODEL_NAMES", "noise_model"]

_BY_NAME: dict[str, Callable[..., NoiseModel]] = {
    "biased": NoiseModel.biased,
    "code_capacity": NoiseModel.code_capacity,
    "pauli25": NoiseModel.pauli25_from_uniform,
    "phenomenological": NoiseModel.phenomenological,
    "si1000": NoiseModel.si1000,
    "stim_memory": NoiseModel.stim_memory,
    "uniform_depolarizing": NoiseModel.uniform_depolarizing,
}
NOISE_MODEL_NAMES: tuple[str, ...] = tuple(sorted(_BY_NAME))


def noise_model(name: str, p: float, **options: Any) -> NoiseModel:
    """Returns the noise model called `name` at strength `p`; `options` go to its constructor.

    `"pauli25"` is `NoiseModel.pauli25_from_uniform`. `"biased"` needs `eta=`.

    Raises:
        UnknownNameError: The name is not one of `NOISE_MODEL_NAMES`; the message says which is nearest.
        InputError: p or an option is outside its limits, missing, or not one of this model's.

    Examples:
        >>> from quell.circuits import noise_model
        >>> noise_model("biased", 0.01, eta=10)
        NoiseModel.biased(p=0.01, eta=10.0)
        >>> noise_model("depolarizing", 0.01)
        Traceback (most recent call last):
        quell.errors.UnknownNameError: unknown noise model 'depolarizing': did you mean
        'uniform_depolarizing'? ...
    """
    make = _BY_NAME[check_known("noise model", name, NOISE_MODEL_NAMES)]
    try:
        inspect.signature(make).bind(p, **options)
    except TypeError as error:
        raise InputError(f"noise model {name!r} cannot be made from {options!r}: {error}") from None
    return make(p, **options)
