"""Networks as files: safetensors, which holds numbers and no code, with a card that says how they were made.

The file's metadata holds the card as JSON and a SHA-256 of the tensors, so that a damaged file is refused. The digest
guards against damage, not against forgery; nothing in the file is ever run.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quell.decoders.predecoder.network import NetworkConfig, PosteriorNetwork
from quell.errors import DataError, StorageError, import_extra
from quell.whole_files import write_whole

__all__ = ["StoredNetwork", "read_tensors", "tensors_sha256", "write_tensors"]

_KEY, _DIGEST_KEY = "quell_predecoder", "sha256"
_FORMAT = 1
_LARGEST = 4096  # of a width or depth that is believed


@dataclasses.dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network as it lies in a file.

    Attributes:
        config: Its size.
        tensors: Its weights by name.
        card: How it was made and what it reached: what JSON can hold.
        sha256: Of the weights.
    """

    config: NetworkConfig
    tensors: dict[str, Tensor]
    card: dict[str, Any]
    sha256: str

    @classmethod
    def of(cls, network: PosteriorNetwork, card: Mapping[str, Any]) -> "StoredNetwork":
        """Takes a network's weights, in half precision."""
        tensors = {name: value.detach().to("cpu", torch.float16) for name, value in network.state_dict().items()}
        return cls(network.config, tensors, dict(card), tensors_sha256(tensors))

    @classmethod
    def load(cls, path: str | Path) -> "StoredNetwork":
        """Reads a file.

        Raises:
            StorageError: It cannot be read.
            DataError: It is damaged, or holds no network of this version's.
        """
        tensors, facts = read_tensors(path, _KEY)
        if facts.get("format") != _FORMAT:
            raise DataError(
                f"{path} has format {facts.get('format')!r}, and this version of quell reads {_FORMAT}: "
                f"train it again with `quell train-predecoder`, or update quell"
            )
        config: Any = facts.get("config")
        names = {field.name for field in dataclasses.fields(NetworkConfig)}
        sizes = config.values() if isinstance(config, dict) and set(config) == names else []
        if not sizes or not all(type(size) is int and 1 <= size <= _LARGEST for size in sizes):
            raise DataError(f"{path} has weights of another architecture: {config!r}, where {sorted(names)} were due")
        stored = cls(NetworkConfig(**config), tensors, facts.get("card", {}), tensors_sha256(tensors))
        stored.network(path)
        return stored

    def network(self, where: str | Path = "the file") -> PosteriorNetwork:
        """Returns the network in single precision on the CPU.

        Raises:
            DataError: The weights are not those of such a network; `where` is what the message calls it.
        """
        with torch.device("meta"):
            network = PosteriorNetwork(self.config)
        wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        have = {name: tuple(value.shape) for name, value in self.tensors.items()}
        if wanted != have:
            odd = sorted(name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name))
            raise DataError(
                f"{where} has weights of another architecture: {odd[0]} should be {wanted.get(odd[0], 'absent')} and "
                f"is {have.get(odd[0], 'absent')} (of {len(odd)} such tensors)"
            )
        network.load_state_dict({name: value.float() for name, value in self.tensors.items()}, assign=True)
        return network.eval().requires_grad_(False)

    def save(self, path: str | Path) -> None:
        """Writes the file.

        Raises:
            StorageError: It cannot be written.
        """
        facts = {"format": _FORMAT, "config": dataclasses.asdict(self.config), "card": self.card}
        write_tensors(path, self.tensors, _KEY, facts)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], key: str, facts: Mapping[str, Any]) -> None:
    """Writes tensors and facts, so that either the old file or the new one is there at any moment."""
    torch_files = import_extra("safetensors.torch", "predecoder")
    content = torch_files.save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        metadata={key: json.dumps(facts, sort_keys=True), _DIGEST_KEY: tensors_sha256(tensors)},
    )
    write_whole(Path(path), _in_order(content))


def _in_order(content: bytes) -> bytes:
    """The same file with its header's names sorted: the library writes metadata in a random order."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def read_tensors(path: str | Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `write_tensors` wrote.

    Raises:
        StorageError: The file cannot be read.
        DataError: It is damaged, or something else.
    """
    torch_files = import_extra("safetensors.torch", "predecoder")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    try:
        tensors = dict(torch_files.load(content))
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        facts = json.loads(metadata.get(key, "null"))
    except Exception as error:  # the library's own errors, and those of JSON
        raise DataError(
            f"{path} is no safetensors file, or is damaged ({error}): pickled weights (.pt, .pth) are never read"
        ) from error
    if not isinstance(facts, dict):
        raise DataError(f"{path} is a safetensors file, but not one of quell's pre-decoder: it has no {key!r}")
    if metadata.get(_DIGEST_KEY) != tensors_sha256(tensors):
        raise DataError(f"{path} is damaged: its SHA-256 is not the one it holds; get the file again")
    return tensors, facts
