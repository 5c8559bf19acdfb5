"""The circuits of the pre-decoder's benchmarks, by short names, and the arms that decode each shot of them."""

import dataclasses
import time
from typing import Any

import numpy as np
import pymatching
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.posterior_matching import PosteriorMatching
from quell.decoders.posteriors import CompiledPosteriors
from quell.decoders.predecoder.network_source import NetworkSource

ARMS = (
    "pymatching",
    "pymatching-correlated",
    "predecoder",
    "predecoder-residual-pymatching",
    "predecoder-residual-pymatching-correlated",
)


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    """A circuit: whose, under which noise, in which basis, how large."""

    family: str  # quell or stim
    noise: str  # uniform, reference, or what noise_model knows
    basis: str
    distance: int
    rounds: int
    p: float

    def circuit(self) -> stim.Circuit:
        if self.family == "stim":
            return stim.Circuit.generated(
                f"surface_code:rotated_memory_{self.basis.lower()}",
                distance=self.distance,
                rounds=self.rounds,
                after_clifford_depolarization=self.p,
                before_round_data_depolarization=self.p,
                before_measure_flip_probability=self.p,
                after_reset_flip_probability=self.p,
            )
        if self.noise == "reference":
            # Perfect data measurements: the paper's last round is without noise.
            bare = rotated_surface_memory(self.distance, self.rounds, self.basis)
            return NoiseModel.pauli25_from_uniform(self.p).apply(with_perfect_readout(bare))
        return rotated_surface_memory(self.distance, self.rounds, self.basis, noise_model(self.noise, self.p))


def with_perfect_readout(circuit: stim.Circuit) -> stim.Circuit:
    """Tags the last measurements, those of the data qubits, as noiseless."""
    last = max(i for i, step in enumerate(circuit) if step.name in ("M", "MX"))
    tagged = stim.Circuit()
    for i, step in enumerate(circuit):
        if i == last:
            step = stim.CircuitInstruction(step.name, step.targets_copy(), step.gate_args_copy(), tag="noiseless")
        tagged.append(step)
    return tagged


def noise_model(name: str, p: float) -> NoiseModel:
    if name == "uniform":
        return NoiseModel.uniform_depolarizing(p)
    if name == "si1000":
        return NoiseModel.si1000(p)
    if name.startswith("biased"):
        return NoiseModel.biased(p, float(name.removeprefix("biased")))
    if name.startswith("pauli25-"):
        return pauli25_at_random(p, int(name.removeprefix("pauli25-")))
    raise SystemExit(f"unknown noise {name!r}")


def pauli25_at_random(p: float, seed: int) -> NoiseModel:
    """25 rates, log-normal about those of uniform noise."""
    factors = np.exp(np.random.default_rng(seed).normal(0, 0.7, 25))
    rates = (factors * np.array([2 * p / 3] * 4 + [p / 3] * 6 + [p / 15] * 15)).tolist()
    return NoiseModel.pauli25(
        preparation=rates[:2], measurement=rates[2:4], idle_cx=rates[4:7], idle_spam=rates[7:10], cx=rates[10:]
    )


class Bench:
    """Everything that decodes one point, compiled once."""

    def __init__(self, point: Point, weights: str, device: str, confidences: dict[str, float]) -> None:
        self.circuit = point.circuit()
        # As sinter makes it.
        self.dem = self.circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
        self.graph = EdgeGraph.of(self.dem)
        self.plain = pymatching.Matching.from_detector_error_model(self.dem)
        self.correlated = pymatching.Matching.from_detector_error_model(self.dem, enable_correlations=True)
        edges = np.arange(self.graph.num_edges)
        self.source: CompiledPosteriors = NetworkSource(weights).compile(
            self.graph, self.dem.get_detector_coordinates(), edges, device=device
        )
        self.steps_aside = not NetworkSource(weights).helps(self.graph)
        self.mattering = np.flatnonzero(self.graph.matters)
        self.reweighted = PosteriorMatching(self.graph, self.mattering)
        self.committing = PosteriorMatching(self.graph, edges)
        self.confidences = confidences
        self.point = point

    def run(self, seed: int, num_shots: int, residual: bool) -> dict[str, Any]:
        """Decodes shots in all ways, and counts."""
        sampler = self.circuit.compile_detector_sampler(seed=seed)
        dets, actual = sampler.sample(num_shots, separate_observables=True, bit_packed=True)
        seconds: dict[str, float] = {}
        wrong: dict[str, NDArray[np.bool_]] = {}
        events = {"all": int(np.unpackbits(dets).sum())}

        def timed(name: str, function: Any) -> Any:
            start = time.perf_counter()
            found = function()
            seconds[name] = time.perf_counter() - start
            return found

        def matched(matching: pymatching.Matching, correlated: bool, shots: NDArray[np.uint8]) -> NDArray[np.uint8]:
            found: NDArray[np.uint8] = matching.decode_batch(
                shots, bit_packed_shots=True, bit_packed_predictions=True, enable_correlations=correlated
            )
            return found

        inner = {"pymatching": (self.plain, False), "pymatching-correlated": (self.correlated, True)}
        for name, (matching, correlated) in inner.items():
            found = timed(name, lambda m=matching, c=correlated: matched(m, c, dets))
            wrong[name] = (found != actual).any(axis=1)
        log_odds = timed("network", lambda: self.source.log_odds(dets))
        chosen = np.ascontiguousarray(log_odds[:, self.mattering])
        masks = timed("reweighted matching", lambda: self.reweighted.match(chosen, dets))
        if self.steps_aside:
            masks = matched(self.correlated, True, dets)[:, 0].astype(np.uint64)
        wrong["predecoder"] = (masks & np.uint64(1)).astype(np.uint8) != actual[:, 0]
        if residual:
            for name, (matching, correlated) in inner.items():
                arm = f"predecoder-residual-{name}"
                confidence = 1.0 if self.steps_aside else self.confidences[name]
                left, frame = timed(
                    f"{arm} commit",
                    lambda c=confidence: self.committing.commit(log_odds, dets, confidence=c),
                )
                found = timed(f"{arm} inner", lambda m=matching, c=correlated, e=left: matched(m, c, e))
                wrong[arm] = ((found ^ (frame & np.uint64(1)).astype(np.uint8)[:, None]) != actual).any(axis=1)
                events[arm] = int(np.unpackbits(left).sum())
        names = sorted(wrong)
        return {
            "shots": num_shots,
            "seed": seed,
            "errors": {name: int(wrong[name].sum()) for name in names},
            "both": {
                f"{a} & {b}": int((wrong[a] & wrong[b]).sum()) for i, a in enumerate(names) for b in names[i + 1 :]
            },
            "events": events,
            "seconds": {name: round(value, 6) for name, value in seconds.items()},
        }
