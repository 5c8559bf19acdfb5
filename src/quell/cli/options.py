"""What several commands share: their options, and how results are printed."""

import dataclasses
import importlib
import itertools
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
from quell.qec.codes import CSSCode, read_code

__all__ = [
    "CODES",
    "CircuitFiles",
    "Count",
    "Counts",
    "CustomDecoders",
    "Duration",
    "Json",
    "Many",
    "MemoryOptions",
    "NoiseOptions",
    "Rates",
    "Workers",
    "load_custom_decoders",
    "print_json",
    "save_figure",
    "tasks_of",
]


def _whole(text: str) -> int:
    """Reads 1000000, 1_000_000, 1,000,000 and 1e6, and refuses 3.4."""
    try:
        return int(text.replace(",", ""))
    except ValueError:
        try:
            number = float(text.replace(",", ""))
        except ValueError:
            number = math.nan
        if not number.is_integer():
            raise ValueError(f"{text or 'nothing'} is not a whole number, such as 100 or 1e6") from None
        return int(number)


_RANGE_POINTS = 5
_MOST_RANGE_POINTS = 1000


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a rate is a number, or a range such as 1e-4:1e-3, got {text or 'nothing'}") from None


def _range(text: str) -> list[float]:
    """Reads 1e-4:1e-3 and 1e-4:1e-3:7: rates in even ratios, both ends among them."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError(f"a range is LOW:HIGH or LOW:HIGH:POINTS, for example 1e-4:1e-3:7, got {text}")
    low, high = _rate(parts[0]), _rate(parts[1])
    points = _whole(parts[2]) if len(parts) == 3 else _RANGE_POINTS
    if not 0 < low < high <= 1:
        raise ValueError(f"a range goes up, from a rate > 0 to one <= 1, got {text}")
    if points < 2:
        raise ValueError(f"a range has 2 points or more, got {points} in {text}")
    if points > _MOST_RANGE_POINTS:
        raise ValueError(f"a range has {_MOST_RANGE_POINTS} points at most, got {points} in {text}")
    steps = (low * (high / low) ** (step / (points - 1)) for step in range(1, points - 1))
    # Six digits, as tables print them: what they show can be typed again, and names the same task.
    rates = [low, *(float(f"{step:.6g}") for step in steps), high]
    if any(first >= second for first, second in itertools.pairwise(rates)):
        raise ValueError(f"{points} points are too many for a range as narrow as {text}: rates have six digits")
    return rates


def _rates(_: object, tokens: Sequence[Token]) -> list[float]:
    texts = [token.value for token in tokens]
    rates = [rate for text in texts for rate in (_range(text) if ":" in text else [_rate(text)])]
    # Ranges may touch; a rate that was typed twice is a slip, which the sweep refuses.
    return list(dict.fromkeys(rates)) if any(":" in text for text in texts) else rates


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(_: object, tokens: Sequence[Token]) -> float:
    """Reads 90s, 10m, 1.5h, and 2d; a number alone is in seconds."""
    text = tokens[0].value.strip().lower()
    number, unit = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"a time is a number > 0 with s, m, h or d, such as 90s, 10m or 2h, got {text!r}")
    return seconds


def _one_whole(_: object, tokens: Sequence[Token]) -> int:
    return _whole(tokens[0].value)


def _many_whole(_: object, tokens: Sequence[Token]) -> list[int]:
    return [_whole(token.value) for token in tokens]


Count = Annotated[int, Parameter(converter=_one_whole)]
Counts = Annotated[list[int], Parameter(consume_multiple=True, converter=_many_whole)]
Duration = Annotated[float, Parameter(converter=_seconds)]
Rates = Annotated[list[float], Parameter(consume_multiple=True, converter=_rates)]
Workers = Annotated[
    Count | None, Parameter(name="--workers", alias="--num-workers", help="Processes. [default: one for each core]")
]
CircuitFiles = Annotated[list[Path], Parameter(help="Stim files of circuits of your own.", show_default=False)]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON, for machines, instead of text.")]
Many = Parameter(consume_multiple=True)

CODES: dict[str, Callable[..., stim.Circuit]] = {
    "rotated-surface": circuits.rotated_surface_memory,
    "rp2": circuits.rp2_memory,
    "unrotated-surface": circuits.unrotated_surface_memory,
}
CSS = "css"  # the code that --file holds
_SURFACE_DEFAULTS = {"gate_set": "native", "order": "stim", "orientation": "stim"}
# What else can be chosen for each code, and what is taken if it is not.
_CHOICES: dict[str, dict[str, str]] = {
    CSS: {"schedule": "auto", "detectors": "all"},
    "rotated-surface": _SURFACE_DEFAULTS,
    "rp2": {},
    "unrotated-surface": _SURFACE_DEFAULTS,
}

CustomDecoders = Annotated[
    str | None,
    Parameter(help="MODULE:FUNCTION that returns a dict of decoders by name, as sinter takes it."),
]


_DEFAULT_NOISE = "uniform_depolarizing"


@Parameter(name="*")
@dataclasses.dataclass
class NoiseOptions:
    """Under which noise."""

    noise: Annotated[
        str | None, Parameter(help=f"{', '.join(circuits.NOISE_MODEL_NAMES)}. [default: {_DEFAULT_NOISE}]")
    ] = None
    eta: Annotated[float | None, Parameter(help="Bias of --noise biased: Z errors over all others.")] = None

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

    def noise_metadata(self) -> dict[str, Any]:
        """What a result should say about the noise."""
        metadata: dict[str, Any] = {"noise": self.noise or _DEFAULT_NOISE}
        if self.eta is not None:
            metadata["eta"] = str(self.eta) if self.eta == math.inf else self.eta  # JSON has no infinity
        return metadata


@Parameter(name="*")
@dataclasses.dataclass
class MemoryOptions(NoiseOptions):
    """Which memory experiment, and under which noise."""

    code: Annotated[str, Parameter(help=f"{', '.join(CODES)}, or {CSS} for the CSS code of --file.")] = (
        "rotated-surface"
    )
    file: Annotated[
        Path | None,
        Parameter(help=f"Of code {CSS}: code.npz, or code.mtx for code.x.mtx and code.z.mtx, or likewise .alist."),
    ] = None
    rounds: Annotated[Count | None, Parameter(help="Rounds. [default: the distance; 1 for code_capacity]")] = None
    gate_set: Annotated[
        str | None, Parameter(help=f"{' or '.join(circuits.GATE_SETS)}, of surface codes. [default: native]")
    ] = None
    order: Annotated[
        str | None, Parameter(help="Order of the two-qubit gates. [default: one that keeps hook errors harmless]")
    ] = None
    orientation: Annotated[
        str | None, Parameter(help=f"{' or '.join(circuits.ORIENTATIONS)}, of surface codes. [default: stim]")
    ] = None
    schedule: Annotated[
        str | None, Parameter(help=f"{', '.join(circuits.SCHEDULE_KINDS)} of {CSS}, for few layers. [default: auto]")
    ] = None
    detectors: Annotated[
        str | None, Parameter(help=f"all, or basis for those of the kept basis alone, of {CSS}. [default: all]")
    ] = None

    def rounds_at(self, distance: int | None) -> int:
        """The number of rounds at a distance."""
        if self.rounds is not None:
            return self.rounds
        if distance is None:
            raise InputError(f"code {CSS} needs --rounds, or its distance, for as many rounds")
        return 1 if self.noise == "code_capacity" else distance

    def circuit(self, distance: int | None, p: float | None, basis: str) -> stim.Circuit:
        """The circuit at a distance and an error rate; without noise if `p` is None."""
        check_known("code", self.code, [*CODES, CSS])
        if p is None and (self.noise is not None or self.eta is not None):
            raise InputError("noise without a strength: pass --p, or leave out --noise and --eta for no noise")
        model = None if p is None else self.noise_model(p)
        if self.code == CSS:
            code = self._css_code()
            return circuits.css_memory(code, self.rounds_at(distance), basis, model, **self._chosen())
        if self.file is not None:
            raise InputError(f"--file holds the code of --code {CSS}, and the code is {self.code}: leave one out")
        if distance is None:
            raise InputError(f"code {self.code} needs its distance: pass it, for example --distance 5")
        return CODES[self.code](distance, self.rounds_at(distance), basis, model, **self._chosen())

    def default_decoders(self) -> list[str]:
        """What decodes where no decoder is named: a matching where errors are edges, and otherwise BP+OSD."""
        return ["bp-osd"] if self.code == CSS and self._css_code().max_degree > 2 else ["pymatching"]

    def _css_code(self) -> CSSCode:
        if self.file is None:
            raise InputError(f"code {CSS} comes from a file: pass --file, for example --file code.npz")
        code = read_code(self.file)
        if not isinstance(code, CSSCode):
            raise InputError(f"{self.file} holds a classical code, not a CSS code: quell.qec.codes.hypergraph_product "
                             f"makes one of it")  # fmt: skip
        return code

    def _chosen(self) -> dict[str, str]:
        """What was chosen beyond the code, of what there is to choose for it."""
        names = {name: None for choices in _CHOICES.values() for name in choices}
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        for name in given:
            if name not in _CHOICES[self.code]:
                raise InputError(f"--{name.replace('_', '-')} is no choice for code {self.code}: leave it out")
        return given

    def tasks(self, distances: Sequence[int], rates: Sequence[float], bases: Sequence[str]) -> list[sinter.Task]:
        """The task of every basis, distance and error rate, in this order."""
        if self.code == CSS and len(distances) > 1:
            raise InputError(f"the code of --file has one distance, got {', '.join(map(str, distances))}: for more "
                             f"rounds, pass --rounds")  # fmt: skip
        if self.code != CSS and not distances:
            raise InputError("the distances are missing: pass --distances, for example 3 5 7")
        steps: Sequence[int | None] = distances or [None]
        return [
            sinter.Task(circuit=self.circuit(d, p, basis), json_metadata=self.metadata(d, p, basis))
            for basis in bases
            for d in steps
            for p in rates
        ]

    def metadata(self, distance: int | None, p: float, basis: str) -> dict[str, Any]:
        """What a result should say about where it came from."""
        metadata: dict[str, Any] = {
            "basis": basis,
            "code": self.code,
            **({} if distance is None else {"d": distance}),
            "p": p,
            "r": self.rounds_at(distance),
            **self.noise_metadata(),
        }
        if self.file is not None:
            metadata["file"] = self.file.name
        chosen = self._chosen().items()
        metadata |= {name: value for name, value in chosen if value != _CHOICES[self.code][name]}
        return metadata


def tasks_of(
    purpose: str,
    paths: list[Path],
    distances: list[int],
    rates: list[float],
    bases: list[str],
    memory: MemoryOptions,
) -> list[sinter.Task]:
    """The tasks of files, or of a family of circuits; `purpose` is a verb for the message if there are neither."""
    if not paths:
        if not distances or not rates:
            raise InputError(
                f"nothing to {purpose}: pass --distances and --p for a family of circuits, or files of circuits"
            )
        return memory.tasks(distances, rates, [letter.upper() for letter in bases])
    if distances or rates or memory != MemoryOptions():
        raise InputError(
            "files of circuits are taken as they are: leave out --distances, --p, --code, --noise and the like, "
            "or leave out the files"
        )
    return [sinter.Task(circuit_path=path, json_metadata=_metadata_in_name(path)) for path in paths]


def _metadata_in_name(path: Path) -> dict[str, Any]:
    """What a file's name says, as `sinter collect --metadata_func auto` reads it, or the path."""
    pairs = [term.split("=") for term in path.stem.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        return {"path": str(path)}
    return {key: _number(value) for key, value in pairs}


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


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
