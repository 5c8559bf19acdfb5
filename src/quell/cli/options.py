"""What several commands share: their options, and how results are printed."""

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import sinter
import stim
from cyclopts import Parameter, Token

from quell import circuits
from quell.errors import InputError, check_known

__all__ = [
    "CODES",
    "Count",
    "CustomDecoders",
    "Json",
    "Many",
    "MemoryOptions",
    "load_custom_decoders",
    "print_json",
    "save_figure",
]


def _whole_number(_: object, tokens: Sequence[Token]) -> int:
    """Reads 1000000, 1_000_000, 1,000,000 and 1e6."""
    text = tokens[0].value.replace(",", "")
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{tokens[0].value} is not a whole number") from None
        return int(number)


Count = Annotated[int, Parameter(converter=_whole_number)]
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


@Parameter(name="*")
@dataclasses.dataclass
class MemoryOptions:
    """Which memory experiment, and under which noise."""

    code: Annotated[str, Parameter(help=f"{' or '.join(CODES)}.")] = "rotated-surface"
    noise: Annotated[str, Parameter(help=f"{', '.join(circuits.NOISE_MODEL_NAMES)}.")] = "uniform_depolarizing"
    eta: Annotated[float | None, Parameter(help="Bias of --noise biased: Z errors over all others.")] = None
    rounds: Annotated[int | None, Parameter(help="Rounds. [default: the distance; 1 for code_capacity]")] = None
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

    def circuit(self, distance: int, p: float | None, basis: str) -> stim.Circuit:
        """The circuit at a distance and an error rate; without noise if `p` is None."""
        check_known("code", self.code, CODES)
        extra = {} if self.eta is None else {"eta": self.eta}
        model = None if p is None else circuits.noise_model(self.noise, p, **extra)
        return CODES[self.code](
            distance,
            self.rounds_at(distance),
            basis,
            model,
            gate_set=self.gate_set,
            order=self.order,
            orientation=self.orientation,
        )

    def metadata(self, distance: int, p: float, basis: str) -> dict[str, Any]:
        """What a result should say about where it came from."""
        metadata: dict[str, Any] = {
            "basis": basis,
            "code": self.code,
            "d": distance,
            "noise": self.noise,
            "p": p,
            "r": self.rounds_at(distance),
        }
        for name in ("eta", "gate_set", "order", "orientation"):
            value = getattr(self, name)
            if value != MemoryOptions.__dataclass_fields__[name].default:
                metadata[name] = value
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
    from quell.errors import StorageError

    try:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"cannot write {path}: {error}") from error
