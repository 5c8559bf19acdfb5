"""Networks and checkpoints as files: safetensors, which holds numbers and no code, with facts beside them as JSON.

A digest of the tensors guards against damage. What is read is believed only if all shapes are those of the network.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from quell.errors import DataError, InputError, import_extra
from quell.qec.search.learned.policy import EdgePolicy, MoveRanker, NetworkSize
from quell.whole_files import read_file, write_whole

__all__ = [
    "load_checkpoint", "load_network", "load_training", "save_checkpoint", "save_network", "save_training",
]  # fmt: skip

_FORMAT = "quell learned search 1"
Network = TypeVar("Network", EdgePolicy, MoveRanker)


def save_checkpoint(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors and facts, so that either the old file or the new one is there at any moment.

    Raises:
        StorageError: It cannot be written.
    """
    files = import_extra("safetensors.torch", "search")
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    metadata = {"format": _FORMAT, "facts": json.dumps(facts, sort_keys=True), "sha256": _digest(plain)}
    write_whole(Path(path), files.save(plain, metadata=metadata))


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `save_checkpoint` wrote.

    Raises:
        StorageError: It cannot be read.
        DataError: It is damaged, or no such file.
    """
    safetensors = import_extra("safetensors", "search")
    read_file(Path(path))  # safe_open does not say why it cannot
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no dict)
        facts = json.loads(metadata.get("facts", "null"))
    except (safetensors.SafetensorError, ValueError) as error:
        raise DataError(f"{path} does not hold a network: {error}") from None
    if metadata.get("format") != _FORMAT or not isinstance(facts, dict):
        raise DataError(f"{path} has the format {metadata.get('format')!r}, not {_FORMAT!r}")
    if metadata.get("sha256") != _digest(tensors):
        raise DataError(f"{path} is damaged: its weights are not those that were written")
    return tensors, facts


def save_training(
    path: str | os.PathLike[str], network: nn.Module, optimiser: torch.optim.Optimizer, facts: Mapping[str, Any]
) -> None:
    """Writes a network in training and what its optimiser keeps of each weight.

    Raises:
        StorageError: It cannot be written.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}.{name}"] = value
    save_checkpoint(path, tensors, facts)


def load_training(path: str | os.PathLike[str], network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Reads what `save_training` wrote into a network and its optimiser, and returns the facts.

    Raises:
        StorageError: It cannot be read.
        DataError: It is damaged, or of another network.
    """
    tensors, facts = load_checkpoint(path)
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError(f"{path} is of a training of another network: {error}") from None
    for name, parameter in network.named_parameters():
        keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"optimiser.{key}.{name}" in tensors]
        optimiser.state[parameter] = {key: tensors[f"optimiser.{key}.{name}"] for key in keys}
    return facts


def save_network(path: str | os.PathLike[str], network: EdgePolicy | MoveRanker, card: Mapping[str, Any]) -> None:
    """Writes a network in half precision, with a card that says how it was made.

    Raises:
        StorageError: It cannot be written.
    """
    tensors = {name: value.half() for name, value in network.state_dict().items()}
    facts = {"kind": type(network).__name__, "size": asdict(network.size), "card": dict(card)}
    save_checkpoint(path, tensors, facts)


def load_network(path: str | os.PathLike[str], kind: type[Network]) -> tuple[Network, dict[str, Any]]:
    """Reads a network and its card.

    Raises:
        StorageError: It cannot be read.
        DataError: It is damaged, or holds no such network.
    """
    tensors, facts = load_checkpoint(path)
    if facts.get("kind") != kind.__name__:
        raise DataError(f"{path} holds a {facts.get('kind')!r}, not a {kind.__name__}")
    try:
        size = NetworkSize(**facts["size"])
    except (InputError, KeyError, TypeError) as error:
        raise DataError(f"{path} has weights of another architecture: {error}") from None
    with torch.device("meta"):
        network: nn.Module = kind(size)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    have = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != have:
        odd = sorted(name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name))
        raise DataError(
            f"{path} has weights of another architecture: {odd[0]} should be {wanted.get(odd[0], 'absent')} and is "
            f"{have.get(odd[0], 'absent')} (of {len(odd)} such tensors)"
        )
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    network.eval().requires_grad_(False)
    assert isinstance(network, kind)
    return network, facts.get("card", {})


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
