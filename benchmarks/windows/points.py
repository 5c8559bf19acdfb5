"""The memories of the benchmarks of windows, and the windows that decode them."""

import dataclasses
import hashlib

import stim

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders import Windowed

BUFFERS = {5: (1, 2, 3, 4, 5), 9: (1, 2, 3, 4, 5, 6, 7, 9), 13: (2, 3, 4, 5, 6, 7, 8, 9, 10, 13)}
MORE_BUFFERS = {5: (7, 10), 9: (13,), 13: (18,)}  # for correlated matching
# At the higher rate long memories forget everything: their error rate per shot is one half.
ROUNDS = {
    (5, 0.002): (10, 30, 100),
    (5, 0.004): (10, 30),
    (9, 0.003): (10, 30, 100),
    (9, 0.005): (10, 30),
    (13, 0.004): (10, 30, 100),
    (13, 0.006): (10,),
}


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    """A rotated memory under uniform depolarising noise."""

    distance: int
    rounds: int
    p: float

    def circuit(self) -> stim.Circuit:
        return rotated_surface_memory(self.distance, self.rounds, noise=NoiseModel.uniform_depolarizing(self.p))

    def model(self) -> stim.DetectorErrorModel:
        return self.circuit().detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)

    def seed(self) -> int:
        """The first of the seeds of its batches."""
        return int.from_bytes(hashlib.sha256(repr(self).encode()).digest()[:4], "little") << 20


@dataclasses.dataclass(frozen=True, order=True)
class Arm:
    """A decoder in windows."""

    inner: str
    scheme: str
    commit: int
    buffer: int

    def decoder(self) -> Windowed:
        return Windowed(self.inner, commit=self.commit, buffer=self.buffer, scheme=self.scheme)

    @property
    def name(self) -> str:
        return f"{self.inner} {self.scheme} {self.commit} {self.buffer}"

    @classmethod
    def named(cls, name: str) -> "Arm":
        inner, scheme, commit, buffer = name.split()
        return cls(inner, scheme, int(commit), int(buffer))


def grid() -> list[Point]:
    return [Point(d, times * d, p) for (d, p), all_times in ROUNDS.items() for times in all_times]


def arms_of(point: Point) -> list[Arm]:
    """Commits of d layers everywhere; shorter ones, and correlated matching inside, on the shortest memories.

    On the longest ones, buffers that are too short by far on shorter ones are left out.
    """
    d, times = point.distance, point.rounds // point.distance
    buffers = [b for b in BUFFERS[d] if times < 100 or 3 * b > d]
    arms = [Arm("pymatching", scheme, d, b) for scheme in ("sliding", "parallel") for b in buffers]
    if times == 10:
        arms += [Arm("pymatching", "sliding", commit, b) for commit in (1, (d + 1) // 2) for b in buffers]
        arms += [Arm("pymatching-correlated", "sliding", d, b) for b in (*buffers, *MORE_BUFFERS[d])]
    return arms
