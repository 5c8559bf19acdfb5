"""A compiled network: its prior, its batches, its memory, its devices, and how far it sees."""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quell.decoders.posteriors import LOG_ODDS_UNIT
from quell.errors import InputError

from .tools import Model, memory, stims_memory

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from quell.decoders.predecoder import network_posteriors, network_tiles
from quell.decoders.predecoder.lattice import NUM_CLASSES
from quell.decoders.predecoder.network import NetworkConfig, PosteriorNetwork
from quell.decoders.predecoder.network_posteriors import (
    CompiledNetwork,
    check_device,
    network_precision,
)
from quell.decoders.predecoder.network_source import NetworkSource

CPU = torch.device("cpu")


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single precision, whatever the processor is fastest in."""
    monkeypatch.setattr(network_posteriors, "network_precision", lambda _: torch.float32)


def network(*, fresh: bool = False, depth: int = 2) -> PosteriorNetwork:
    """A network of random weights; a fresh one has none in its head, and adds nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        made = PosteriorNetwork(NetworkConfig(width=8, depth=depth))
    if not fresh:
        torch.nn.init.normal_(made.head.weight, generator=torch.Generator().manual_seed(9))
    return made


def compiled(model: Model, made: PosteriorNetwork | None = None, **options: Any) -> CompiledNetwork:
    edges = options.pop("edges", model.all_edges)
    return CompiledNetwork(made or network(), model.graph, model.coordinates, edges, device=CPU, **options)


def prior_of(model: Model) -> NDArray[np.float64]:
    p = model.graph.probabilities
    return np.asarray(np.rint(np.log(p / (1 - p)) / LOG_ODDS_UNIT))


@pytest.mark.parametrize("model", [memory(), memory(5, 2, "Z", gate_set="stim"), stims_memory(3, 1, "x")])
def test_a_fresh_network_returns_the_prior(model: Model) -> None:
    events = model.events(30, seed=1)
    found = compiled(model, network(fresh=True)).log_odds(events)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, np.broadcast_to(prior_of(model), (30, model.graph.num_edges)))


def test_a_network_with_weights_reads_the_events() -> None:
    model = memory()
    found = compiled(model).log_odds(model.events(30, seed=1))
    assert (found != prior_of(model)).mean() > 0.9
    assert len(np.unique(found, axis=0)) > 20


def test_edges_come_in_the_order_that_was_asked_for() -> None:
    model = memory()
    events = model.events(20, seed=2)
    whole = compiled(model).log_odds(events)
    wanted = np.random.default_rng(5).permutation(model.graph.num_edges)[:17]
    np.testing.assert_array_equal(compiled(model, edges=wanted).log_odds(events), whole[:, wanted])
    assert compiled(model, edges=wanted[:0]).log_odds(events).shape == (20, 0)


def test_an_edge_without_a_place_keeps_its_prior() -> None:
    model = memory(3, 3, "X", order="hooks_along_logical")
    hidden = model.lattice.places < 0
    assert hidden.any()
    found = compiled(model).log_odds(model.events(20, seed=2))
    np.testing.assert_array_equal(found[:, hidden], np.broadcast_to(prior_of(model)[hidden], (20, hidden.sum())))
    assert (found[:, ~hidden] != prior_of(model)[~hidden]).any(axis=0).all()


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("batch_size", [1, 7, 30, 1000])
def test_batches_change_no_answer(batch_size: int) -> None:
    model = memory()
    events = model.events(30, seed=3)
    whole = compiled(model).log_odds(events).astype(int)
    # One unit: other sizes of batch may add in another order.
    assert np.abs(compiled(model, batch_size=batch_size).log_odds(events) - whole).max() <= 1


def test_batches_change_answers_by_no_more_than_the_precision_does() -> None:
    model = memory()
    events = model.events(30, seed=3)
    found = [compiled(model, batch_size=size).log_odds(events).astype(int) for size in (1, 7, 30)]
    # Numbers of bfloat16 have eight bits, those of float32 and float16 more.
    limit = 1 if network_precision(CPU) != torch.bfloat16 else np.abs(found[0] - prior_of(model)).max() / 16
    assert max(np.abs(other - found[0]).max() for other in found) <= limit


def test_half_the_precision_gives_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = memory()
    events = model.events(30, seed=3)
    found = []
    for precision in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(network_posteriors, "network_precision", lambda _, precision=precision: precision)
        found.append(compiled(model).log_odds(events).astype(int))
    added = np.abs(found[0] - prior_of(model))
    assert 0 < np.abs(found[1] - found[0]).max() < added.max() / 16


def run_out_of_memory(monkeypatch: pytest.MonkeyPatch, limit: int) -> list[int]:
    """Lets batches of more shots than the limit fail as a device's memory does; returns the sizes that were tried."""
    tried: list[int] = []
    run = CompiledNetwork._run

    def limited(self: CompiledNetwork, packed: torch.Tensor) -> NDArray[np.int16]:
        tried.append(len(packed))
        if len(packed) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(self, packed)

    monkeypatch.setattr(CompiledNetwork, "_run", limited)
    return tried


@pytest.mark.usefixtures("single")
def test_a_batch_too_large_for_the_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    model = memory()
    events = model.events(30, seed=4)
    whole = compiled(model).log_odds(events).astype(int)
    tried = run_out_of_memory(monkeypatch, 4)
    ready = compiled(model, batch_size=24)
    assert np.abs(ready.log_odds(events) - whole).max() <= 1
    assert tried == [24, 12, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    assert ready.batch_size == 3
    tried.clear()
    assert np.abs(ready.log_odds(events[:5]) - whole[:5]).max() <= 1
    assert tried == [3, 2]


def test_memory_for_no_shot_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = memory()
    tried = run_out_of_memory(monkeypatch, 0)
    ready = compiled(model, batch_size=7)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        ready.log_odds(model.events(30, seed=4))
    assert tried == [7, 3, 1]
    tried.clear()
    ready = compiled(model, batch_size=7)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        ready.log_odds(model.events(1, seed=4))
    assert tried == [1, 1]


def test_any_layout_of_the_events_will_do() -> None:
    model = memory()
    events = model.events(20, seed=5)
    ready = compiled(model)
    expected = ready.log_odds(events)
    np.testing.assert_array_equal(ready.log_odds(np.asfortranarray(events)), expected)
    np.testing.assert_array_equal(ready.log_odds(np.repeat(events, 2, axis=0)[::2]), expected)
    events.flags.writeable = False
    np.testing.assert_array_equal(ready.log_odds(events), expected)
    assert ready.log_odds(events[:0]).shape == (0, model.graph.num_edges)


def test_bits_behind_the_last_detector_do_not_count() -> None:
    # Memories have whole bytes of detectors; this one lacks its last.
    circuit = memory(3, 1).circuit
    last = max(i for i in range(len(circuit)) if circuit[i].name == "DETECTOR")
    model = Model.of(circuit[:last] + circuit[last + 1 :])
    assert model.graph.num_detectors == 7
    events = model.events(20, seed=6)
    ready = compiled(model)
    np.testing.assert_array_equal(ready.log_odds(events | np.uint8(128)), ready.log_odds(events))


@pytest.mark.parametrize(
    ("events", "got"),
    [
        (np.zeros((5, 24), dtype=np.bool_), r"got bool of shape \(5, 24\); pack them with np.packbits\(events, axis=1"),
        (np.zeros((5, 24), dtype=np.uint8), r"got uint8 of shape \(5, 24\); pack them"),
        (np.zeros((5, 2), dtype=np.uint8), r"got uint8 of shape \(5, 2\)$"),
        (np.zeros((5, 3), dtype=np.int64), r"got int64 of shape \(5, 3\)$"),
        (np.zeros(3, dtype=np.uint8), r"got uint8 of shape \(3,\)$"),
        (np.zeros((1, 5, 3), dtype=np.uint8), r"got uint8 of shape \(1, 5, 3\)$"),
        ([[0, 0, 0]], "got list$"),
    ],
)
def test_other_events_are_refused(events: Any, got: str) -> None:
    ready = compiled(memory())
    message = r"events must be bit-packed: uint8 of shape \(shots, 3\) for 24 bits, " + got
    with pytest.raises(InputError, match=message):
        ready.log_odds(events)


def test_the_callers_network_stays_as_it_is() -> None:
    made = network()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    compiled(memory(), made).log_odds(memory().events(3, seed=1))
    after = made.state_dict()
    assert all(after[name].dtype == torch.float32 and torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("depth", [1, 2])
def test_an_event_out_of_sight_changes_nothing(depth: int) -> None:
    model = memory(7, 7)
    _, height, width = model.lattice.shape
    ready = compiled(model, network(depth=depth))
    rng = np.random.default_rng(7)
    events = model.unpacked_events(1, seed=8)
    places = model.lattice.places // NUM_CLASSES
    t, rows, columns = places // (height * width), places // width % height, places % width
    for detector in rng.permutation(model.graph.num_detectors)[:20].tolist():
        other = events.copy()
        other[0, detector] ^= True
        both = np.packbits(np.concatenate([events, other]), axis=1, bitorder="little")
        before, after = ready.log_odds(both)
        site = model.lattice.sites[detector]
        away = np.abs(np.stack([t - site // (height * width), rows - site // width % height, columns - site % width]))
        # A block sees one site further, in space and in time.
        far = away.max(axis=0) > depth
        assert 0.2 < far.mean() < 1
        np.testing.assert_array_equal(before[far], after[far])
        assert (before[~far] != after[~far]).any()


@pytest.mark.usefixtures("single")
def test_the_same_events_later_have_the_same_odds_later() -> None:
    model = memory(3, 16)
    _, height, width = model.lattice.shape
    volume = height * width
    rounds = model.lattice.sites // volume
    places = model.lattice.places // NUM_CLASSES // volume
    found = []
    for begin in (7, 9):
        events = np.zeros((1, model.graph.num_detectors), dtype=np.bool_)
        first = np.flatnonzero(rounds == begin)
        events[0, first[np.argsort(model.lattice.sites[first])][[1, 2, 5]]] = True
        odds = compiled(model).log_odds(np.packbits(events, axis=1, bitorder="little"))[0]
        near = np.flatnonzero(np.abs(places - begin) <= 2)
        order = np.argsort(model.lattice.places[near])
        shift = begin * volume * NUM_CLASSES
        found.append((model.lattice.places[near][order] - shift, odds[near][order].astype(int)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert len(found[0][0]) > 50
    assert np.abs(found[0][1] - found[1][1]).max() <= 1
    assert np.ptp(found[0][1]) > 100


def test_devices_of_this_machine() -> None:
    assert check_device("cpu") == CPU
    assert check_device("cpu:0") == CPU
    assert check_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", r"device 'cuda' was asked for, and torch \S+ sees no CUDA device: pass device='cpu' or 'auto'"),
        ("cuda:9", r"device 'cuda:9' was asked for, and torch \S+ sees no CUDA device"),
        ("mps", r"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 'mps'"),
        ("meta", r"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 'meta'"),
        ("gpu", r"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 'gpu'"),
        ("cuda:x", r"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 'cuda:x'"),
        ("", r"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got ''"),
        (None, r"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got None"),
        (3.5, r"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 3.5"),
    ],
)
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch, device: Any, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        check_device(device)


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert check_device("cuda:1") == torch.device("cuda:1")
    assert check_device("auto") == torch.device("cuda")
    with pytest.raises(InputError, match=r"device 'cuda:9' was asked for, and there are 2: cuda:0 to cuda:1"):
        check_device("cuda:9")


def test_models_of_other_codes_are_refused() -> None:
    model = memory()
    with pytest.raises(InputError, match="have no three coordinates"):
        CompiledNetwork(network(), model.graph, {}, model.all_edges, device=CPU)


@functools.cache
def long_memory(distance: int, rounds: int) -> Model:
    return memory(distance, rounds)


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(("weights", "distance", "rounds"), [("fast", 5, 41), ("accurate", 3, 45)])
@pytest.mark.parametrize("tile", [1, 4, 7, 13, 40, 41, 42, 100])
def test_tiles_with_their_halo_say_what_the_whole_volume_says(
    weights: str, distance: int, rounds: int, tile: int
) -> None:
    model = long_memory(distance, rounds)
    events = model.events(4, seed=11)
    sources = NetworkSource(weights), NetworkSource(weights, tile=tile)
    whole, tiled = (each.compile(model.graph, model.coordinates, model.all_edges, device="cpu") for each in sources)
    assert len(tiled._tiles) == -(-model.lattice.shape[0] // tile)
    expected = whole.log_odds(events)
    assert (expected != prior_of(model)).mean() > 0.5
    np.testing.assert_array_equal(tiled.log_odds(events), expected)
    # Alone too, where torch would add in another order.
    np.testing.assert_array_equal(tiled.log_odds(events[2:3]), expected[2:3])


@pytest.mark.usefixtures("single")
def test_a_halo_smaller_by_one_round_does_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    model = long_memory(5, 41)
    events = model.events(4, seed=11)
    made = network(depth=3)
    expected = compiled(model, made).log_odds(events)
    np.testing.assert_array_equal(compiled(model, made, tile=5).log_odds(events), expected)
    spans = network_tiles.tile_spans
    monkeypatch.setattr(network_tiles, "tile_spans", lambda rounds, tile, halo: spans(rounds, tile, halo - 1))
    assert (compiled(model, made, tile=5).log_odds(events) != expected).any()


@pytest.mark.parametrize("tile", [1, 3, 8, 50])
@pytest.mark.parametrize("halo", [0, 2, 9])
@pytest.mark.parametrize("rounds", [1, 5, 24])
def test_spans_cover_all_rounds_once_and_are_alike(rounds: int, tile: int, halo: int) -> None:
    spans = list(network_tiles.tile_spans(rounds, tile, halo))
    assert [t for span in spans for t in range(span.start, span.stop)] == list(range(rounds))
    assert {span.last - span.first for span in spans} == {min(rounds, min(tile, rounds) + 2 * halo)}
    for span in spans:
        assert span.stop - span.start <= tile
        assert 0 <= span.first <= max(0, span.start - halo)
        assert rounds >= span.last >= min(rounds, span.stop + halo)


def test_tiles_of_a_memory_share_what_is_worked_out_for_the_model() -> None:
    tiles = compiled(long_memory(5, 41), network(depth=2), tile=3)._tiles
    assert len(tiles) == 14
    # The first, the last ones, which end with the memory, and one for all others.
    assert len({tile.static.data_ptr() for tile in tiles}) <= 5


@pytest.mark.usefixtures("single")
def test_edges_without_a_place_or_a_wish_are_no_trouble_to_tiles() -> None:
    model = memory(3, 12, "X", order="hooks_along_logical")
    events = model.events(20, seed=2)
    whole = compiled(model).log_odds(events)
    wanted = np.random.default_rng(5).permutation(model.graph.num_edges)[:57]
    assert (model.lattice.places[wanted] < 0).any()
    np.testing.assert_array_equal(compiled(model, edges=wanted, tile=2).log_odds(events), whole[:, wanted])
    assert compiled(model, edges=wanted[:0], tile=2).log_odds(events).shape == (20, 0)


def test_tiles_are_whole_numbers() -> None:
    assert NetworkSource("fast", tile=7).settings_id() == NetworkSource("fast").settings_id()
    with pytest.raises(InputError, match="tile must be an integer >= 1, got 0"):
        NetworkSource("fast", tile=0)


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(("distance", "rounds"), [(3, 1), (3, 3), (5, 4)])
@pytest.mark.parametrize("weights", ["fast", "accurate"])
def test_a_shot_alone_is_told_what_it_is_told_in_company(weights: str, distance: int, rounds: int) -> None:
    model = memory(distance, rounds)
    ready = NetworkSource(weights).compile(model.graph, model.coordinates, model.all_edges, device="cpu")
    events = model.events(100, seed=12)
    alone = np.concatenate([ready.log_odds(events[i : i + 1]) for i in range(100)])
    np.testing.assert_array_equal(alone, ready.log_odds(events))
