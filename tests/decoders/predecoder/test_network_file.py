"""Files of networks: what is written is read again, and everything else is refused without being run."""

import dataclasses
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quell.errors import DataError, StorageError

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from quell.decoders.predecoder.network import NetworkConfig, PosteriorNetwork  # noqa: E402 (after torch was found)
from quell.decoders.predecoder.network_file import (  # noqa: E402
    StoredNetwork,
    read_tensors,
    tensors_sha256,
    write_tensors,
)

CONFIG = NetworkConfig(width=4, depth=2)
CARD = {"command": "quell train-predecoder --config tiny.toml", "shots": 1000, "figures": [{"d": 5, "loss": 0.5}]}


def network(seed: int = 1) -> PosteriorNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PosteriorNetwork(CONFIG)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    StoredNetwork.of(network(), CARD).save(path)
    return path


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Writes the file anew, with tensors and facts changed and a digest that fits them."""
    tensors, facts = read_tensors(path, "quell_predecoder")
    facts["tensors"] = tensors
    change(tensors, facts)
    del facts["tensors"]
    write_tensors(path, tensors, "quell_predecoder", facts)


def test_what_is_written_is_read_again(file: Path) -> None:
    written, found = StoredNetwork.of(network(), CARD), StoredNetwork.load(file)
    assert (found.config, found.card, found.sha256) == (CONFIG, CARD, written.sha256)
    assert found.sha256 == tensors_sha256(found.tensors)
    assert list(file.parent.iterdir()) == [file]
    states = network().state_dict(), found.network().state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert states[1][name].dtype == torch.float32
        assert torch.equal(states[1][name], value.half().float())


def test_a_network_that_was_read_answers_as_the_one_that_was_written(file: Path) -> None:
    ready = network()
    torch.nn.init.normal_(ready.head.weight, generator=torch.Generator().manual_seed(3))
    StoredNetwork.of(ready, {}).save(file)
    again = StoredNetwork.load(file).network()
    generator = torch.Generator().manual_seed(4)
    features = torch.rand(1, 3, 4, 4, 23, generator=generator)
    events = (torch.rand(5, 3, 4, 4, 2, generator=generator) < 0.1).float()
    answers = [net(events, net.encode(features)) for net in (ready, again)]
    assert answers[0].abs().max() > 0.1
    # Half precision keeps three digits.
    torch.testing.assert_close(answers[0], answers[1], rtol=0.02, atol=0.01)
    assert not any(value.requires_grad for value in again.parameters())


def test_the_same_network_is_the_same_file(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    StoredNetwork.of(network(), CARD).save(again)
    assert again.read_bytes() == file.read_bytes()
    StoredNetwork.of(network(2), CARD).save(again)
    assert StoredNetwork.load(again).sha256 != StoredNetwork.load(file).sha256


def test_a_name_type_or_shape_changes_the_digest() -> None:
    values = torch.arange(6, dtype=torch.int16)
    digests = {
        tensors_sha256(tensors)
        for tensors in (
            {"a": values},
            {"b": values},
            {"a": values.reshape(2, 3)},
            {"a": values.reshape(3, 2)},
            {"a": values.view(torch.float16)},
            {"a": values, "b": values},
            {},
        )
    }
    assert len(digests) == 7


def test_every_damaged_byte_of_the_weights_is_noticed(file: Path) -> None:
    content = file.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    for place in [*range(begin, len(content), 97), len(content) - 1]:
        file.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        with pytest.raises(DataError, match=r"tiny.safetensors is damaged: its SHA-256 is not the one it holds"):
            StoredNetwork.load(file)


def test_damage_before_the_weights_is_never_another_error(file: Path) -> None:
    content = file.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for place in range(0, begin, 5):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = StoredNetwork.load(file)
        except DataError:
            refused += 1
        else:  # a letter of the card, which says nothing of the weights
            assert found.config == CONFIG
            assert found.sha256 == StoredNetwork.of(network(), CARD).sha256
    assert refused > begin / 10


@pytest.mark.parametrize("left", [0, 1, 7, 8, 9, 200, -1, -1000])
def test_a_file_that_was_cut_off_is_refused(file: Path, left: int) -> None:
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(DataError, match=r"tiny.safetensors is no safetensors file, or is damaged"):
        StoredNetwork.load(file)


def test_safetensors_of_something_else_are_refused(file: Path) -> None:
    for metadata in (None, {"format": "pt"}, {"quell_predecoder": "null"}, {"quell_predecoder": "[1]"}):
        safetensors_torch.save_file({"weight": torch.zeros(3)}, file, metadata=metadata)
        with pytest.raises(DataError, match=r"is a safetensors file, but not one of quell's pre-decoder"):
            StoredNetwork.load(file)
    facts = {"quell_predecoder": json.dumps({"format": 1, "config": dataclasses.asdict(CONFIG)})}
    safetensors_torch.save_file({"weight": torch.zeros(3)}, file, metadata=facts)
    with pytest.raises(DataError, match=r"is damaged: its SHA-256"):
        StoredNetwork.load(file)
    safetensors_torch.save_file({"weight": torch.zeros(3)}, file, metadata={"quell_predecoder": "{"})
    with pytest.raises(DataError, match=r"is no safetensors file, or is damaged"):
        StoredNetwork.load(file)


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "unpickled")


def test_pickled_weights_are_never_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists(), "the trap works"
    trap.unlink()
    weights = {"weights": Trap(trap)}
    torch.save(weights, tmp_path / "a.pt")
    torch.save(weights, tmp_path / "b.safetensors")
    (tmp_path / "c.pth").write_bytes(pickle.dumps(weights))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=rf"{path.name} is no safetensors file.*\(.pt, .pth\) are never read"):
            StoredNetwork.load(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.safetensors", "c.pth"]
    assert not trap.exists()


def set_config(**changes: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda _, facts: facts["config"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_config(width=5),
            r"another architecture: \w+[.\w]* should be \(.*\) and is \(.*\) \(of \d+ such tensors\)",
        ),
        (set_config(depth=3), r"blocks.2.space.bias should be \(4,\) and is absent \(of 4 such tensors"),
        (set_config(depth=1), r"blocks.1.space.bias should be absent and is \(4,\) \(of 4 such tensors"),
        (
            set_config(heads=1),
            r"another architecture: \{'depth': 2, 'heads': 1, 'width': 4\}, where",
        ),
        (set_config(width=4.0), r"another architecture: \{'depth': 2, 'width': 4.0\}"),
        (set_config(width=True), r"another architecture: \{'depth': 2, 'width': True\}"),
        (set_config(width=0), r"another architecture: \{'depth': 2, 'width': 0\}"),
        (set_config(width=-4), r"another architecture"),
        (set_config(depth=10**12), r"another architecture"),
        (lambda _, facts: facts["config"].pop("depth"), r"another architecture: \{'width': 4\}"),
        (lambda _, facts: facts.pop("config"), r"another architecture: None"),
        (lambda _, facts: facts.update(config=[4, 2]), r"another architecture: \[4, 2\]"),
        (
            lambda tensors, _: tensors.update({"head.bias": torch.zeros(8)}),
            r"another architecture: head.bias should be \(7,\) and is \(8,\) \(of 1 such",
        ),
        (
            lambda tensors, _: tensors.pop("head.bias"),
            r"head.bias should be \(7,\) and is absent",
        ),
        (
            lambda tensors, _: tensors.update(more=torch.zeros(1)),
            r"more should be absent and is \(1,\)",
        ),
        (
            lambda _, facts: facts.update(format=2),
            r"has format 2, and this version of quell reads 1: train it",
        ),
        (lambda _, facts: facts.pop("format"), r"has format None, and this version of quell reads 1"),
    ],
)
def test_another_architecture_or_format_is_refused(
    file: Path, change: Callable[[dict[str, Any], dict[str, Any]], None], message: str
) -> None:
    rewritten(file, change)
    with pytest.raises(DataError, match=message) as caught:
        StoredNetwork.load(file)
    assert str(caught.value).startswith(str(file))


def test_weights_of_another_type_are_read(file: Path) -> None:
    def widen(tensors: dict[str, Any], _: dict[str, Any]) -> None:
        tensors.update({name: value.double() for name, value in tensors.items()})

    rewritten(file, widen)
    found = StoredNetwork.load(file).network()
    assert {value.dtype for value in found.state_dict().values()} == {torch.float32}


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=re.escape(f"cannot read {tmp_path}/none.safetensors: No such file")):
        StoredNetwork.load(tmp_path / "none.safetensors")
    with pytest.raises(StorageError, match=r"cannot read .*: Is a directory"):
        StoredNetwork.load(tmp_path)
    with pytest.raises(StorageError, match=r"cannot write .*no/tiny.safetensors: No such file"):
        StoredNetwork.of(network(), {}).save(tmp_path / "no" / "tiny.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*tiny.safetensors: No space left on device"):
        StoredNetwork.of(network(2), CARD).save(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
