"""Models that the tests of the pre-decoder share."""

from typing import NamedTuple

import numpy as np
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.predecoder.lattice import Lattice

__all__ = ["Model", "memory", "stims_memory"]


class Model(NamedTuple):
    """A circuit and what is made of it."""

    circuit: stim.Circuit
    dem: stim.DetectorErrorModel
    graph: EdgeGraph
    lattice: Lattice

    @classmethod
    def of(cls, circuit: stim.Circuit) -> "Model":
        dem = circuit.detector_error_model(decompose_errors=True)
        graph = EdgeGraph.of(dem)
        return cls(circuit, dem, graph, Lattice.of(graph, dem.get_detector_coordinates()))

    @property
    def coordinates(self) -> dict[int, list[float]]:
        return self.dem.get_detector_coordinates()

    @property
    def all_edges(self) -> NDArray[np.int64]:
        return np.arange(self.graph.num_edges, dtype=np.int64)

    def events(self, num_shots: int, seed: int) -> NDArray[np.uint8]:
        """Detection events of Stim's, bit-packed."""
        return np.packbits(self.unpacked_events(num_shots, seed), axis=1, bitorder="little")

    def unpacked_events(self, num_shots: int, seed: int) -> NDArray[np.bool_]:
        """Detection events of Stim's."""
        events = self.circuit.compile_detector_sampler(seed=seed).sample(num_shots)
        return np.asarray(events, dtype=np.bool_)


def memory(
    distance: int = 3, rounds: int = 3, basis: str = "X", noise: NoiseModel | None = None, **options: str
) -> Model:
    """quell's memory; under uniform noise of p = 0.006 unless another is given."""
    noise = noise or NoiseModel.uniform_depolarizing(0.006)
    return Model.of(rotated_surface_memory(distance, rounds, basis, noise, **options))


def stims_memory(distance: int = 3, rounds: int = 3, basis: str = "z", p: float = 0.006) -> Model:
    """Stim's memory under its uniform noise."""
    circuit = stim.Circuit.generated(
        f"surface_code:rotated_memory_{basis}",
        distance=distance,
        rounds=rounds,
        after_clifford_depolarization=p,
        before_round_data_depolarization=p,
        before_measure_flip_probability=p,
        after_reset_flip_probability=p,
    )
    return Model.of(circuit)
