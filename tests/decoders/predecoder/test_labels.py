"""Sampler, labels and model agree, mechanism by mechanism and with Stim's own samples of the circuit."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from quell.circuits import NoiseModel

from .tools import Model, memory, stims_memory

torch = pytest.importorskip("torch")

from quell.decoders.predecoder.labels import Batch, LatticeSampler  # noqa: E402 (after torch was found)
from quell.decoders.predecoder.lattice import NUM_CLASSES  # noqa: E402

SI1000 = NoiseModel.si1000(0.004)
MODELS = {
    "uniform": lambda: memory(),
    "si1000": lambda: memory(3, 2, "Z", SI1000, gate_set="stim", orientation="exchanged"),
    "another order": lambda: memory(3, 3, "Z", order="mirrored_x"),
    "phenomenological": lambda: memory(5, 3, "X", NoiseModel.phenomenological(0.02)),
    "stim x": lambda: stims_memory(3, 3, "x"),
    "stim z": lambda: stims_memory(3, 3, "z", 0.01),
    "larger": lambda: memory(5, 5, "Z"),
}
# Of one comparison; all of them together fail by chance less than once in 10^6.
FALSE_ALARMS = 1e-6 / (3 * len(MODELS))


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS[request.param]()


def sampler_of(model: Model) -> LatticeSampler:
    return LatticeSampler(model.graph, model.lattice, "cpu")


def draw(model: Model, num_shots: int, seed: int = 5) -> Batch:
    return sampler_of(model).sample(num_shots, torch.Generator().manual_seed(seed))


def events_of(model: Model, batch: Batch) -> NDArray[np.bool_]:
    """The events of each detector, (shots, D); nothing else on the grid may be set."""
    flat = batch.events.reshape(len(batch.events), -1).numpy()
    at = model.lattice.sites * 2 + model.lattice.kinds
    assert flat.sum() == flat[:, at].sum()
    assert set(np.unique(flat)) <= {0, 1}
    return np.asarray(flat[:, at] == 1)


def edges_of(model: Model, batch: Batch) -> NDArray[np.bool_]:
    """The label of each edge, (shots, E); nothing else may be set."""
    assert (model.lattice.places >= 0).all()
    flat = batch.labels.reshape(len(batch.labels), -1).numpy()
    assert flat.sum() == flat[:, model.lattice.places].sum()
    assert set(np.unique(flat)) <= {0, 1}
    return np.asarray(flat[:, model.lattice.places] == 1)


def ends_flipped(model: Model, edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """H e."""
    flips = np.zeros((model.graph.num_edges, model.graph.num_detectors), dtype=np.int64)
    for edge, ends in enumerate(model.graph.ends.tolist()):
        flips[edge, [end for end in ends if end >= 0]] = 1
    return np.asarray(edges @ flips % 2 == 1)


def check_counts(first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
    """Checks that two samples of as many shots have the same rates, each entry apart."""
    # Hoeffding: where n events are split between two samples by chance, P(|difference| > t) <= 2 exp(-t^2 / 2n).
    most = math.sqrt(2 * math.log(2 * first.size / FALSE_ALARMS))
    assert first.shape == second.shape
    assert (np.abs(first - second) / np.sqrt(np.maximum(first + second, 1))).max() < most


def test_labels_as_predictions_leave_no_event(model: Model) -> None:
    batch = draw(model, 500)
    events = events_of(model, batch)
    assert events.any(axis=0).mean() > 0.9
    np.testing.assert_array_equal(ends_flipped(model, edges_of(model, batch)), events)


@pytest.mark.parametrize("name", ["uniform", "si1000", "another order", "stim x"])
def test_each_mechanism_flips_what_stim_says_and_no_logical_is_left(name: str) -> None:
    model = MODELS[name]()
    sampler = sampler_of(model)
    errors = [error for error in model.dem.flattened() if error.type == "error"]  # type: ignore[attr-defined]
    assert len(errors) == len(model.graph.mechanism_probabilities)
    for number, error in enumerate(errors):
        alone = torch.zeros(len(errors))
        alone[number] = 1
        batch = sampler.sample(1, torch.Generator(), alone)
        detectors: set[int] = set()
        mask = 0
        for target in error.targets_copy():
            if target.is_relative_detector_id():
                detectors ^= {target.val}
            elif target.is_logical_observable_id():
                mask ^= 1 << target.val
        assert set(np.flatnonzero(events_of(model, batch)[0]).tolist()) == detectors
        (labels,) = edges_of(model, batch)
        assert np.bitwise_xor.reduce(model.graph.observables[labels], initial=0) == mask
        np.testing.assert_array_equal(np.flatnonzero(ends_flipped(model, labels[None])[0]), sorted(detectors))


def test_events_are_as_frequent_as_in_the_circuit(model: Model) -> None:
    shots = 24_000
    batches = [events_of(model, draw(model, 2000, seed)) for seed in range(shots // 2000)]
    mine = np.concatenate(batches)
    theirs = model.unpacked_events(shots, seed=11)
    check_counts(mine.sum(axis=0), theirs.sum(axis=0))
    # And so are the events at both ends of an edge, which tell how likely the edge is.
    first, second = model.graph.ends[model.graph.ends[:, 1] >= 0].T
    check_counts(*((events[:, first] & events[:, second]).sum(axis=0) for events in (mine, theirs)))


def test_labels_are_as_frequent_as_the_model_says(model: Model) -> None:
    shots = 24_000
    counts = sum(edges_of(model, draw(model, 2000, seed)).sum(axis=0) for seed in range(shots // 2000))
    tails = stats.binom(shots, model.graph.probabilities)
    least = np.minimum(tails.cdf(counts), tails.sf(np.asarray(counts) - 1))
    assert least.min() > FALSE_ALARMS / (2 * model.graph.num_edges)


def test_priors_and_features_are_the_models(model: Model) -> None:
    batch = draw(model, 2)
    graph, lattice = model.graph, model.lattice
    p = graph.probabilities
    prior, exists = batch.prior.reshape(-1).numpy(), batch.exists.reshape(-1).numpy()
    np.testing.assert_allclose(prior[lattice.places], np.log(p / (1 - p)), rtol=1e-5)
    assert set(np.flatnonzero(exists)) == set(lattice.places)
    assert not prior[~exists].any()
    features = batch.features.reshape(-1, 2 + 3 * NUM_CLASSES).numpy()
    presence, there, centred, share = np.split(features, [2, 2 + NUM_CLASSES, 2 + 2 * NUM_CLASSES], axis=1)
    assert set(np.flatnonzero(presence)) == set(lattice.sites * 2 + lattice.kinds)
    np.testing.assert_array_equal(there.reshape(-1), exists)
    np.testing.assert_allclose(centred.reshape(-1)[lattice.places], (prior[lattice.places] + 5) / 2, rtol=1e-5)
    np.testing.assert_allclose(share.reshape(-1)[lattice.places], graph.shared_probabilities / p, rtol=1e-4, atol=1e-6)


def test_probabilities_of_edges_are_those_of_the_graph(model: Model) -> None:
    sampler = sampler_of(model)
    own = sampler.scaled(1.0, 0.0, 0.0, torch.Generator())
    np.testing.assert_allclose(own.numpy(), model.graph.mechanism_probabilities, rtol=1e-6)
    whole, shared = sampler.edge_probabilities(own)
    np.testing.assert_allclose(whole.numpy(), model.graph.probabilities, rtol=1e-5)
    np.testing.assert_allclose(shared.numpy(), model.graph.shared_probabilities, rtol=1e-5, atol=1e-12)


def test_weaker_noise_is_the_weaker_noises_model() -> None:
    # Stim's rates of mechanisms are in proportion to p up to its square.
    strong, weak = (memory(noise=NoiseModel.uniform_depolarizing(p)) for p in (0.002, 0.0002))
    sampler = sampler_of(strong)
    whole, _ = sampler.edge_probabilities(sampler.scaled(0.1, 0.0, 0.0, torch.Generator()))
    np.testing.assert_allclose(whole.numpy(), weak.graph.probabilities, rtol=0.01)


def test_scaled_noise_never_passes_its_limit() -> None:
    scaled = sampler_of(memory()).scaled(1e6, 1.0, 1.0, torch.Generator().manual_seed(1))
    assert float(scaled.max()) <= float(np.float32(0.4))
    assert float(scaled.min()) > 0


def test_factors_one_by_one_are_log_normal() -> None:
    sampler = sampler_of(memory(5, 5))
    own = sampler.scaled(1.0, 0.0, 0.0, torch.Generator())
    logs = torch.log(sampler.scaled(0.5, 0.0, 0.3, torch.Generator().manual_seed(2)) / own).numpy()
    # Fails by chance less than once in 10^6.
    assert stats.kstest((logs - np.log(0.5)) / 0.3, "norm").pvalue > 1e-6


def test_factors_by_kind_are_shared_by_mechanisms_on_edges_of_the_same_classes() -> None:
    model = memory(5, 5)
    sampler = sampler_of(model)
    own = sampler.scaled(1.0, 0.0, 0.0, torch.Generator())
    factors = (sampler.scaled(1.0, 0.5, 0.0, torch.Generator().manual_seed(3)) / own).numpy()
    of_kind: dict[tuple[int, ...], set[float]] = {}
    for row, factor in zip(model.graph.mechanism_edges, factors.tolist(), strict=True):
        kind = tuple(sorted((model.lattice.places[row[row >= 0]] % NUM_CLASSES).tolist()))
        of_kind.setdefault(kind, set()).add(round(factor, 4))
    assert len(of_kind) > 10
    assert all(len(found) == 1 for found in of_kind.values())
    assert len(set.union(*of_kind.values())) > 10


def test_the_same_seed_draws_the_same(model: Model) -> None:
    first, again, other = draw(model, 50, 1), draw(model, 50, 1), draw(model, 50, 2)
    assert torch.equal(first.events, again.events)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.events, other.events)


def test_two_edges_between_the_same_detectors_have_one_label() -> None:
    # The order with harmful hooks at d = 3: two faults make a logical error, and the less likely edge has no place.
    model = memory(3, 3, "X", order="hooks_along_logical")
    assert (model.lattice.places < 0).any()
    batch = draw(model, 200)
    exists = batch.exists.reshape(-1).numpy()
    assert exists.sum() == (model.lattice.places >= 0).sum()
    assert not batch.labels.reshape(200, -1).numpy()[:, ~exists].any()
