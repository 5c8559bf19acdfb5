"""`quell train-predecoder`: trains a pre-decoder's network from a config, and writes its weights with a card."""

import dataclasses
import importlib.metadata
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from quell import __version__
from quell.circuits import NoiseModel, rotated_surface_memory
from quell.cli.options import Count, Duration, Json, print_json
from quell.errors import InputError, StorageError, check_known, import_extra

if TYPE_CHECKING:
    import torch

    from quell.decoders.predecoder.network_file import StoredNetwork
    from quell.decoders.predecoder.training import Progress, Trainer, TrainingConfig

__all__ = ["train_predecoder"]

_PRECISIONS = ("mixed", "single")
_FIGURES = ((5, 5, 0.003), (5, 5, 0.006))  # distance, rounds and p of the held-out shots


def train_predecoder(
    *,
    config: Path,
    save: Path,
    checkpoint: Path | None = None,
    device: str = "auto",
    precision: str | None = None,
    max_time: Duration | None = None,
    confidence_shots: Count = 20_000,
    json: Json = False,
) -> None:
    """Train the network of a pre-decoder for surface codes.

    quell train-predecoder --config fast.toml --save fast.safetensors --device cuda --max-time 10m

    It can be stopped at any time, by Ctrl-C too: the same command goes on from the checkpoint.

    Args:
        config: TOML file of the network's size, the circuits to train on, the number of steps and so on.
        save: Write the weights into this safetensors file, with a card that says how they were made.
        checkpoint: Keep what is needed to go on in this file. [default: that of --save, ending in
            .checkpoint.safetensors; it is removed once the weights are written]
        device: auto, cpu, cuda or cuda:1.
        precision: mixed or single: whether the convolutions may run in bfloat16. [default: mixed on a GPU, single on a
            CPU]
        max_time: Stop after this time, such as 90s, 10m or 2h, and go on when called again.
        confidence_shots: Shots of each of two circuits on which the confidences before matching and correlated matching
            are chosen at the end; 0 leaves them out of the card.
    """
    begin = time.monotonic()
    checkpoint = _checked_files(save, checkpoint)
    if precision is not None:
        check_known("precision", precision, _PRECISIONS)
    import_extra("torch", "predecoder")
    import_extra("safetensors", "predecoder")
    from quell.decoders.predecoder.network_posteriors import check_device
    from quell.decoders.predecoder.training import Trainer, TrainingConfig

    settings = TrainingConfig.load(config)
    found = check_device(device)
    precision = precision or ("mixed" if found.type == "cuda" else "single")
    trainer = Trainer(settings, device=found, mixed_precision=precision == "mixed")
    if checkpoint.exists():
        trainer.load(checkpoint)
    left = None if max_time is None else max(0.0, max_time - (time.monotonic() - begin))
    finished, loss = _train(trainer, checkpoint, left)
    if not finished:
        _say_how_to_go_on(trainer.progress, settings.num_steps, checkpoint, json=json)
        return
    command = ["quell", "train-predecoder", "--config", config.name, "--save", save.name]
    card: dict[str, Any] = {
        "command": shlex.join([*command, "--device", device, "--precision", precision]),
        "config": _without_paths(settings),
        "device": _device_name(found),
        "precision": precision,
        **_versions(),
        "shots": trainer.progress.shots,
        "steps": trainer.progress.step,
        "seconds": round(trainer.progress.seconds, 3),
        "loss": loss,
    }
    stored = _stored(trainer, card, config)
    stored.save(save)
    if confidence_shots:
        stored.card["confidences"] = _confidences(save, confidence_shots, device)
        stored.save(save)
    checkpoint.unlink(missing_ok=True)
    facts = {name: stored.card[name] for name in ("steps", "shots", "seconds", "loss", "figures")}
    if json:
        print_json({"finished": True, "save": str(save), "sha256": stored.sha256, **facts})
        return
    print(f"{facts['steps']} steps, {facts['shots']:,} shots, {facts['seconds']:.0f} s -> {save}")
    for figure in facts["figures"]:
        low, high = figure["interval"]
        print(
            f"d = {figure['distance']}, {figure['rounds']} rounds, p = {figure['p']:g}: cross-entropy "
            f"{figure['relative_cross_entropy']:.4f} [{low:.4f}, {high:.4f}] of the prior's, on held-out shots"
        )


def _checked_files(save: Path, checkpoint: Path | None) -> Path:
    """Returns the checkpoint's file, and refuses at once what could not be written at the end."""
    checkpoint = checkpoint or save.parent / f"{save.stem}.checkpoint.safetensors"
    for option, path in (("--save", save), ("--checkpoint", checkpoint)):
        if path.suffix != ".safetensors":
            raise InputError(f"{option} must name a file that ends in .safetensors, got {path}")
        if not path.parent.is_dir():
            raise StorageError(f"cannot write {path}: there is no folder {path.parent}")
    if save.absolute() == checkpoint.absolute():
        raise InputError(f"--checkpoint and --save must be two files, got {save} for both")
    return checkpoint


def _train(trainer: "Trainer", checkpoint: Path, max_seconds: float | None) -> tuple[bool, float | None]:
    """Trains, and returns whether it is done and the last loss that was reported, rounded."""
    losses: list[float] = []
    begun = trainer.progress.step
    with tqdm(total=trainer.config.num_steps, initial=begun, unit="step") as bar:

        def report(progress: "Progress") -> None:
            losses.append(progress.loss)
            bar.set_postfix(loss=f"{progress.loss:.4f}", refresh=False)
            bar.update(progress.step - bar.n)

        try:
            finished = trainer.run(max_seconds=max_seconds, checkpoint=checkpoint, report=report)
        except KeyboardInterrupt:
            bar.close()
            if checkpoint.exists():
                print(f"quell: what was trained is in {checkpoint}", file=sys.stderr)
            raise
    return finished, round(losses[-1], 6) if losses else None


def _say_how_to_go_on(progress: "Progress", num_steps: int, checkpoint: Path, *, json: bool) -> None:
    if json:
        facts = {"steps": progress.step, "shots": progress.shots, "seconds": round(progress.seconds, 3)}
        print_json({"finished": False, "checkpoint": str(checkpoint), "num_steps": num_steps, **facts})
        return
    print(f"the time is up after {progress.step} of {num_steps} steps: run the same command to go on from {checkpoint}")


def _stored(trainer: "Trainer", card: dict[str, Any], config: Path) -> "StoredNetwork":
    """Returns the network with its card, and the figures that it reaches in half precision, as it is stored."""
    import torch

    from quell.decoders.predecoder.held_out import held_out_cross_entropy
    from quell.decoders.predecoder.network_file import StoredNetwork

    stored = StoredNetwork.of(trainer.network, card)
    if not all(bool(torch.isfinite(value).all()) for value in stored.tensors.values()):
        raise InputError(
            f"the training has diverged, and its weights are no numbers: lower learning_rate and muon_learning_rate "
            f"in {config}"
        )
    network = stored.network().to(trainer.device)
    figures = [
        held_out_cross_entropy(
            network, distance=distance, rounds=rounds, p=p, training_seed=trainer.config.seed, progress=True
        )
        for distance, rounds, p in _FIGURES
    ]
    stored.card["figures"] = [dataclasses.asdict(figure) for figure in figures]
    return stored


def _confidences(weights: Path, num_shots: int, device: str) -> dict[str, float]:
    """How sure corrections must be before each decoder, on shots that no table uses."""
    from quell.decoders import choose_confidence
    from quell.decoders.predecoder.network_source import OTHER_CONFIDENCE

    circuits = [
        rotated_surface_memory(distance, distance, basis, NoiseModel.uniform_depolarizing(0.006))
        for distance, basis in ((5, "Z"), (7, "X"))
    ]
    chosen = {
        inner: choose_confidence(inner, circuits, source=weights, num_shots=num_shots, device=device).confidence
        for inner in ("pymatching", "pymatching-correlated")
    }
    return {**chosen, "other": OTHER_CONFIDENCE}


def _without_paths(config: "TrainingConfig") -> dict[str, Any]:
    settings = dataclasses.asdict(config)
    if config.teacher is not None:
        settings["teacher"] = Path(config.teacher).name
    return settings


def _device_name(device: "torch.device") -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}"


def _versions() -> dict[str, str]:
    import torch

    return {"quell": __version__, "stim": importlib.metadata.version("stim"), "torch": str(torch.__version__)}
