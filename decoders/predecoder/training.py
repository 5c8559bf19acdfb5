"""Training: shots made on the fly, the cross-entropy of every edge, Muon for the matrices and AdamW for the rest.

The labels are the edges that the drawn mechanisms flipped, so what the network learns is the posterior of each edge.
Each batch draws one model out of a pool, at a strength of noise of its own and with the mechanisms' odds scaled at
random, so that the network must read the noise from the model's features.
"""

import dataclasses
import math
import multiprocessing
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import stim
import torch
from torch import Tensor
from torch.nn import functional

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.predecoder.interrupts import held_interrupts
from quell.decoders.predecoder.labels import Batch, LatticeSampler
from quell.decoders.predecoder.lattice import Lattice
from quell.decoders.predecoder.muon import Muon
from quell.decoders.predecoder.network import NetworkConfig, PosteriorNetwork
from quell.decoders.predecoder.network_file import StoredNetwork, read_tensors, write_tensors
from quell.errors import DataError, InputError, StorageError, check_integer, check_probability

__all__ = [
    "Progress",
    "Trainer",
    "TrainingConfig",
    "cross_entropy",
    "edge_losses",
    "training_circuits",
    "training_models",
]

_BASE_P = 0.006  # the pool's models are made at this strength, and scaled
_CHECKPOINT = "quell_predecoder_training"


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What a training does; two runs of one config on one device give the same weights.

    Attributes:
        width: Of the network.
        depth: Of the network.
        volumes: (distance, rounds) of the models in the pool; name one twice to draw it twice as often.
        num_steps: Optimizer steps.
        sites_per_step: Sites of the grid in a batch: its shots times the model's rounds, rows and columns.
        learning_rate: Of AdamW: biases, first and last layers.
        muon_learning_rate: Of Muon: the blocks' matrices.
        min_p: The weakest noise, drawn log-uniformly.
        max_p: The strongest.
        spread_by_kind: Half of the batches scale mechanisms of one kind by one log-normal factor of this width.
        spread_one_by_one: Half of the batches scale each mechanism by its own log-normal factor of this width.
        teacher: A file of weights whose posteriors are the labels, or None to learn from what was drawn alone. A small
            network learns faster from a large one than from draws. A path in a config is relative to the config.
        teacher_share: How much the teacher's posteriors count beside the drawn labels, between 0 and 1.
        seed: Of everything random.
    """

    width: int = 32
    depth: int = 6
    volumes: tuple[tuple[int, int], ...] = ((5, 5), (7, 7))
    num_steps: int = 1000
    sites_per_step: int = 131072
    learning_rate: float = 0.003
    muon_learning_rate: float = 0.02
    min_p: float = 0.0015
    max_p: float = 0.012
    spread_by_kind: float = 0.5
    spread_one_by_one: float = 0.3
    teacher: str | None = None
    teacher_share: float = 0.8
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("width", "depth", "num_steps", "sites_per_step"):
            check_integer(name, getattr(self, name), minimum=1)
        check_integer("seed", self.seed, minimum=0)
        for distance, rounds in self.volumes:
            check_integer("distance", distance, minimum=3, odd=True)
            check_integer("rounds", rounds, minimum=1)
        if not self.volumes:
            raise InputError("volumes must name at least one (distance, rounds), for example [[5, 5], [7, 7]]")
        for name in ("min_p", "max_p", "learning_rate", "muon_learning_rate", "spread_by_kind", "spread_one_by_one"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise InputError(f"{name} must be a number >= 0, got {value!r}")
        if not 0 < self.min_p <= self.max_p <= 0.05:
            raise InputError(f"min_p and max_p must be 0 < min_p <= max_p <= 0.05, got {self.min_p} and {self.max_p}")
        check_probability("teacher_share", self.teacher_share)
        if self.teacher is not None and not isinstance(self.teacher, str):
            raise InputError(f"teacher must be the path of a safetensors file, got {self.teacher!r}")

    @classmethod
    def load(cls, path: str | Path) -> "TrainingConfig":
        """Reads a TOML file of these settings; what it leaves out has its default.

        Raises:
            StorageError: The file cannot be read.
            InputError: It is no TOML, or has a setting that there is not.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        try:
            settings = tomllib.loads(content.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is no TOML: {error}") from error
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise InputError(f"{path} has the setting {unknown[0]!r}, which there is not: {', '.join(sorted(known))}")
        if "volumes" in settings:
            try:
                settings["volumes"] = tuple((distance, rounds) for distance, rounds in settings["volumes"])
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"volumes in {path} must be a list of [distance, rounds], got {settings['volumes']!r}"
                ) from error
        if isinstance(settings.get("teacher"), str):
            settings["teacher"] = str(Path(path).parent / settings["teacher"])
        return cls(**settings)


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        step: Steps done.
        shots: Shots drawn.
        seconds: Of all runs together.
        loss: Cross-entropy over that of the prior odds alone, averaged over the last steps.
    """

    step: int
    shots: int
    seconds: float
    loss: float


def training_circuits(distance: int, rounds: int, p: float = _BASE_P) -> list[stim.Circuit]:
    """The circuits of one size in the pool: both bases of quell's memories in both orientations, and of Stim's."""
    noise = NoiseModel.uniform_depolarizing(p)
    ours = [
        rotated_surface_memory(distance, rounds, basis, noise, orientation=orientation)
        for basis in ("X", "Z")
        for orientation in ("stim", "exchanged")
    ]
    theirs = [
        stim.Circuit.generated(
            f"surface_code:rotated_memory_{basis}",
            distance=distance,
            rounds=rounds,
            after_clifford_depolarization=p,
            before_round_data_depolarization=p,
            before_measure_flip_probability=p,
            after_reset_flip_probability=p,
        )
        for basis in ("x", "z")
    ]
    return ours + theirs


def training_models(volume: tuple[int, int], p: float = _BASE_P) -> list[tuple[EdgeGraph, Lattice]]:
    """The models of these circuits, at a distance and number of rounds."""
    models = []
    for circuit in training_circuits(*volume, p):
        dem = circuit.detector_error_model(decompose_errors=True)
        graph = EdgeGraph.of(dem)
        models.append((graph, Lattice.of(graph, dem.get_detector_coordinates())))
    return models


def edge_losses(network: PosteriorNetwork, batch: Batch, *, mixed_precision: bool) -> tuple[Tensor, Tensor]:
    """The cross-entropy of each edge by the network, and by the prior odds alone; 0 where there is no edge."""
    with torch.autocast(batch.events.device.type, torch.bfloat16, enabled=mixed_precision):
        added = network(batch.events, network.encode(batch.features))
    losses = functional.binary_cross_entropy_with_logits(added.float() + batch.prior, batch.labels, reduction="none")
    before = functional.binary_cross_entropy_with_logits(
        batch.prior.expand_as(batch.labels), batch.labels, reduction="none"
    )
    return losses * batch.exists, before * batch.exists


def cross_entropy(network: PosteriorNetwork, batch: Batch, *, mixed_precision: bool) -> Tensor:
    """The cross-entropy of all edges, over that of the prior odds: 1 for a network that adds nothing."""
    losses, before = edge_losses(network, batch, mixed_precision=mixed_precision)
    return losses.sum() / before.sum()


class Trainer:
    """One training, which can be stopped and gone on with.

    Args:
        config: What to do.
        device: Where.
        mixed_precision: bfloat16 for the convolutions.
        num_processes: That prepare the pool; one for each core if None.
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        device: str | torch.device = "cpu",
        mixed_precision: bool = True,
        num_processes: int | None = None,
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self.mixed_precision = mixed_precision
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = PosteriorNetwork(NetworkConfig(config.width, config.depth)).to(self.device)
        self._generator = torch.Generator(self.device).manual_seed(config.seed)
        self._rng = np.random.default_rng(config.seed)
        self._step, self._shots, self._seconds = 0, 0, 0.0
        self._pool = self._prepared(num_processes)
        self._teacher = None
        if config.teacher is not None:
            self._teacher = StoredNetwork.load(config.teacher).network().to(self.device)
        matrices = {
            name
            for name, value in self.network.named_parameters()
            if value.ndim == 2 and ("blocks" in name or "around" in name)
        }
        named = dict(self.network.named_parameters())
        self._muon = Muon([value for name, value in named.items() if name in matrices], lr=config.muon_learning_rate)
        self._adam = torch.optim.AdamW(
            [value for name, value in named.items() if name not in matrices],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=1e-4,
        )

    def _prepared(self, num_processes: int | None) -> list[LatticeSampler]:
        volumes = list(dict.fromkeys(self.config.volumes))
        models: Sequence[list[tuple[EdgeGraph, Lattice]]]
        if num_processes == 1 or len(volumes) == 1:
            models = [training_models(volume) for volume in volumes]
        else:
            with ProcessPoolExecutor(num_processes, multiprocessing.get_context("spawn")) as executor:
                models = list(executor.map(training_models, volumes))
        samplers = {
            volume: [LatticeSampler(graph, lattice, self.device) for graph, lattice in found]
            for volume, found in zip(volumes, models, strict=True)
        }
        return [sampler for volume in self.config.volumes for sampler in samplers[volume]]

    def run(
        self,
        *,
        max_seconds: float | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 60.0,
        report: Callable[[Progress], None] | None = None,
        report_seconds: float = 1.0,
    ) -> bool:
        """Trains until the last step, or for a time.

        Args:
            max_seconds: When to stop before the end.
            checkpoint: Where to save what is needed to go on; it is saved at the end and on Ctrl-C too, which waits for
                the end of a step. A step that fails is not saved.
            checkpoint_seconds: How often.
            report: Called with the progress.
            report_seconds: How often.

        Returns:
            Whether the last step was done.
        """
        begin = last = saved = reported = time.monotonic()
        losses: list[Tensor] = []
        whole = True
        with held_interrupts() as release:
            try:
                while self._step < self.config.num_steps:
                    whole = False
                    losses.append(self._one_step())
                    whole = True
                    now = time.monotonic()
                    self._seconds += now - last
                    last = now
                    if report is not None and now - reported >= report_seconds:
                        report(self._progress(losses))
                        losses, reported = losses[-20:], now
                    if checkpoint is not None and now - saved >= checkpoint_seconds:
                        self.save(checkpoint)
                        saved = now
                    if max_seconds is not None and now - begin >= max_seconds:
                        break
                    release()
            finally:
                if checkpoint is not None and whole:
                    self.save(checkpoint)
        if report is not None and losses:
            report(self._progress(losses))
        return self._step >= self.config.num_steps

    def _progress(self, losses: list[Tensor]) -> Progress:
        mean = float(torch.stack(losses[-100:]).mean())
        return Progress(self._step, self._shots, self._seconds, mean)

    def _one_step(self) -> Tensor:
        config = self.config
        sampler = self._pool[self._rng.integers(len(self._pool))]
        p = math.exp(self._rng.uniform(math.log(config.min_p), math.log(config.max_p)))
        by_kind = config.spread_by_kind * self._rng.integers(2)
        one_by_one = config.spread_one_by_one * self._rng.integers(2)
        num_shots = max(1, config.sites_per_step // math.prod(sampler.lattice.shape))
        chances = sampler.scaled(p / _BASE_P, by_kind, one_by_one, self._generator)
        batch = sampler.sample(num_shots, self._generator, chances)
        share = self._rate(self._step / config.num_steps)
        for optimizer, rate in ((self._muon, config.muon_learning_rate), (self._adam, config.learning_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.zero_grad(set_to_none=True)
        if self._teacher is not None:
            self._teach(self._teacher, batch)
        loss = cross_entropy(self.network, batch, mixed_precision=self.mixed_precision)
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        self._muon.step()
        self._adam.step()
        self._step += 1
        self._shots += num_shots
        return loss.detach()

    def _teach(self, teacher: PosteriorNetwork, batch: Batch) -> None:
        """Moves the labels of a batch towards the teacher's posteriors."""
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision):
            added = teacher(batch.events, teacher.encode(batch.features))
        batch.labels.lerp_(torch.sigmoid(added.float() + batch.prior), self.config.teacher_share)

    @staticmethod
    def _rate(done: float) -> float:
        """The share of the learning rate: up in the first 2 %, then along a cosine to zero."""
        return min(1.0, done / 0.02 + 0.01) * 0.5 * (1 + math.cos(math.pi * done))

    @property
    def progress(self) -> Progress:
        """How far it is; the loss is left out."""
        return Progress(self._step, self._shots, self._seconds, math.nan)

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint: weights, optimizers, random states; safetensors, never pickled."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for kind, optimizer in (("muon", self._muon), ("adam", self._adam)):
            for number, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{kind}.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
        tensors["generator"] = self._generator.get_state()
        facts = {
            "config": dataclasses.asdict(self.config),
            "step": self._step,
            "shots": self._shots,
            "seconds": self._seconds,
            "rng": self._rng.bit_generator.state,
            "device": self.device.type,
        }
        write_tensors(path, tensors, _CHECKPOINT, facts)

    def load(self, path: str | Path) -> None:
        """Goes on from a checkpoint of the same config.

        Raises:
            StorageError: The file cannot be read.
            DataError: It is damaged, or of another config or kind of device.
        """
        tensors, facts = read_tensors(path, _CHECKPOINT)
        mine = {"config": _as_json(dataclasses.asdict(self.config)), "device": self.device.type}
        for name, wanted in mine.items():
            if facts.get(name) != wanted:
                raise DataError(
                    f"{path} is a checkpoint of another {name}: {facts.get(name)!r}, and this training has {wanted!r}; "
                    f"give another --checkpoint, or delete it to begin anew"
                )
        self.network.load_state_dict(
            {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
        )
        for kind, optimizer in (("muon", self._muon), ("adam", self._adam)):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"{kind}."):
                    _, number, key = name.split(".", 2)
                    state.setdefault(int(number), {})[key] = value
            whole = optimizer.state_dict()
            optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
        self._generator.set_state(tensors["generator"])
        self._rng.bit_generator.state = facts["rng"]
        self._step, self._shots, self._seconds = facts["step"], facts["shots"], facts["seconds"]


def _as_json(value: Any) -> Any:
    """Tuples as lists, as JSON gives them back."""
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, (tuple, list)) else value
