"""What several commands share: their options, and how results are printed."""

import dataclasses
import importlib
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import sinter
import stim
from cyclopts import Parameter, Token

from quell import circuits
from quell.errors import InputError, StorageError, check_known

__all__ = [
    "CODES",
    "Count",
    "Counts",
    "CustomDecoders",
    "Json",
    "Many",
    "MemoryOptions",
    "load_custom_decoders",
    "print_json",
    "save_figure",
]


def _whole(text: str) -> int:
    """Reads 1000000, 1_000_000, 1,000,000 and 1e6, and refuses 3.4."""
    try:
        return int(text.replace(",", ""))
    except ValueError:
        number = float(text.replace(",", ""))
        if not number.is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(number)


def _one_whole(_: object, tokens: Sequence[Token]) -> int:
    return _whole(tokens[0].value)


def _many_whole(_: object, tokens: Sequence[Token]) -> list[int]:
    return [_whole(token.value) for token in tokens]


Count = Annotated[int, Parameter(converter=_one_whole)]
Counts = Annotated[list[int], Parameter(consume_multiple=True, converter=_many_whole)]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON, for machines, instead of text.")]
Many = Parameter(consume_multiple=True)

CODES: dict[str, Callable[..., stim.Circuit]] = {
    "rotated-surface": circuits.rotated_surface_memory,
    "unrotated-surface": circuits.unrotated_surface_memory,
}

CustomDecoders = Annotated[
    str | None,
    Parameter(help="MODULE:FUNCTION that returns a dict of decoders by name, as sinter takes it."),
]


_DEFAULT_NOISE = "uniform_depolarizing"


@Parameter(name="*")
@dataclasses.dataclass
class MemoryOptions:
    """Which memory experiment, and under which noise."""

    code: Annotated[str, Parameter(help=f"{' or '.join(CODES)}.")] = "rotated-surface"
    noise: Annotated[
        str | None, Parameter(help=f"{', '.join(circuits.NOISE_MODEL_NAMES)}. [default: {_DEFAULT_NOISE}]")
    ] = None
    eta: Annotated[float | None, Parameter(help="Bias of --noise biased: Z errors over all others.")] = None
    rounds: Annotated[Count | None, Parameter(help="Rounds. [default: the distance; 1 for code_capacity]")] = None
    gate_set: Annotated[str, Parameter(help=f"{' or '.join(circuits.GATE_SETS)}.")] = "native"
    order: Annotated[str, Parameter(help="Order of the two-qubit gates; the default keeps hook errors harmless.")] = (
        "stim"
    )
    orientation: Annotated[str, Parameter(help=f"{' or '.join(circuits.ORIENTATIONS)}.")] = "stim"

    def rounds_at(self, distance: int) -> int:
        """The number of rounds at a distance."""
        if self.rounds is not None:
            return self.rounds
        return 1 if self.noise == "code_capacity" else distance

    def noise_model(self, p: float) -> circuits.NoiseModel:
        """The noise at an error rate."""
        name = check_known("noise model", self.noise or _DEFAULT_NOISE, circuits.NOISE_MODEL_NAMES)
        if (name == "biased") != (self.eta is not None):
            raise InputError(
                "--noise biased needs its bias: pass --eta, for example --eta 10"
                if name == "biased"
                else f"--eta is the bias of --noise biased, and the noise is {name}: leave it out"
            )
        return circuits.noise_model(name, p, **({} if self.eta is None else {"eta": self.eta}))

    def circuit(self, distance: int, p: float | None, basis: str) -> stim.Circuit:
        """The circuit at a distance and an error rate; without noise if `p` is None."""
        check_known("code", self.code, CODES)
        if p is None and (self.noise is not None or self.eta is not None):
            raise InputError("noise without a strength: pass --p, or leave out --noise and --eta for no noise")
        model = None if p is None else self.noise_model(p)
        return CODES[self.code](
            distance,
            self.rounds_at(distance),
            basis,
            model,
            gate_set=self.gate_set,
            order=self.order,
            orientation=self.orientation,
        )

    def tasks(self, distances: Sequence[int], rates: Sequence[float], bases: Sequence[str]) -> list[sinter.Task]:
        """The task of every basis, distance and error rate, in this order."""
        return [
            sinter.Task(circuit=self.circuit(d, p, basis), json_metadata=self.metadata(d, p, basis))
            for basis in bases
            for d in distances
            for p in rates
        ]

    def metadata(self, distance: int, p: float, basis: str) -> dict[str, Any]:
        """What a result should say about where it came from."""
        metadata: dict[str, Any] = {
            "basis": basis,
            "code": self.code,
            "d": distance,
            "noise": self.noise or _DEFAULT_NOISE,
            "p": p,
            "r": self.rounds_at(distance),
        }
        for name in ("eta", "gate_set", "order", "orientation"):
            value = getattr(self, name)
            if value != MemoryOptions.__dataclass_fields__[name].default:
                metadata[name] = str(value) if value == math.inf else value  # JSON has no infinity
        return metadata


def load_custom_decoders(where: str | None) -> dict[str, sinter.Decoder | sinter.Sampler]:
    """Calls the function that `--custom-decoders` names."""
    if where is None:
        return {}
    module_name, colon, function_name = where.partition(":")
    if not colon or not module_name or not function_name:
        raise InputError(f"--custom-decoders must be MODULE:FUNCTION, got {where!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules beside the user count, as they do for `python -m`
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--custom-decoders {where}: {error}") from error
    try:
        found = function()
    except Exception as error:
        raise InputError(f"--custom-decoders {where} failed: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"--custom-decoders {where} must return a dict of decoders by name, got {found!r:.80}")
    return found


def print_json(value: object) -> None:
    """Prints JSON that every reader takes: without NaN or infinity."""
    print(json.dumps(value, indent=2, allow_nan=False))


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure in the format that its name ends with."""
    try:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"cannot write {path}: {error}") from error
