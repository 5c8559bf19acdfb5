"""Ways out against Floyd and Warshall's shortest paths, written out here, and observables against the path's own."""

import itertools
import math

import numpy as np
import pytest
import stim
from numpy.typing import NDArray

from quell.decoders.windows.parts import read_parts
from quell.decoders.windows.ways_out import WaysOut


def random_model(rng: np.random.Generator, boundary: bool) -> stim.DetectorErrorModel:
    num_detectors = int(rng.integers(1, 9))
    lines = [f"detector({d}) D{d}" for d in range(num_detectors)]
    for _ in range(int(rng.integers(0, 2 * num_detectors + 2))):
        parts: dict[tuple[int, ...], str] = {}  # no two alike, which would be equally likely
        for _ in range(int(rng.integers(1, 3))):
            ends = rng.permutation(num_detectors)[: 1 + int(num_detectors > 1 and (rng.random() < 0.7 or not boundary))]
            if boundary or len(ends) == 2:
                observables = np.flatnonzero(rng.random(3) < 0.3)
                text = " ".join([*(f"D{d}" for d in ends), *(f"L{o}" for o in observables)])
                parts.setdefault(tuple(sorted(ends.tolist())), text)
        if parts:
            lines.append(f"error({rng.uniform(0.001, 0.49)}) " + " ^ ".join(parts.values()))
    return stim.DetectorErrorModel("\n".join([*lines, "logical_observable L2"]))


def edges(dem: stim.DetectorErrorModel) -> dict[tuple[int, int], dict[tuple[int, ...], float]]:
    """Of each pair of nodes, the boundary the last, the probabilities of what flips them, by observables."""
    found: dict[tuple[int, int], dict[tuple[int, ...], float]] = {}
    for instruction in (dem[i] for i in range(len(dem))):
        if instruction.type == "error":
            for group in instruction.target_groups():
                ends = sorted(target.val for target in group if target.is_relative_detector_id())
                observables = tuple(sorted(target.val for target in group if target.is_logical_observable_id()))
                a, b = (*ends, dem.num_detectors)[:2]
                kinds = found.setdefault((a, b), {})
                p, q = instruction.args_copy()[0], kinds.get(observables, 0.0)
                kinds[observables] = p * (1 - q) + q * (1 - p)
    return found


def shortest(dem: stim.DetectorErrorModel) -> tuple[NDArray[np.float64], dict[tuple[int, int], list[int]]]:
    """All distances, and a shortest path of nodes between each two."""
    number = dem.num_detectors + 1
    distances = np.full((number, number), np.inf)
    np.fill_diagonal(distances, 0)
    paths = {(a, a): [a] for a in range(number)}
    for (a, b), kinds in edges(dem).items():
        p = max(kinds.values())
        distances[a, b] = distances[b, a] = max(math.log((1 - p) / p), 1e-6)
        paths[a, b], paths[b, a] = [a, b], [b, a]
    for middle, a, b in itertools.product(range(number), repeat=3):
        if distances[a, middle] + distances[middle, b] < distances[a, b]:
            distances[a, b] = distances[a, middle] + distances[middle, b]
            paths[a, b] = paths[a, middle] + paths[middle, b][1:]
    return distances, paths


def flips(dem: stim.DetectorErrorModel, path: list[int]) -> NDArray[np.bool_]:
    found = np.zeros(dem.num_observables, dtype=np.bool_)
    kinds = edges(dem)
    for a, b in itertools.pairwise(path):
        likeliest = max(kinds[min(a, b), max(a, b)].items(), key=lambda kind: kind[1])[0]
        found[list(likeliest)] ^= True
    return found


@pytest.mark.parametrize("boundary", [True, False])
def test_random_graphs(boundary: bool) -> None:
    rng = np.random.default_rng(1)
    reached = 0
    for _ in range(150):
        dem = random_model(rng, boundary)
        ways = WaysOut.of(read_parts(dem))
        assert ways.flips.shape == (dem.num_detectors, dem.num_observables)
        distances, paths = shortest(dem)
        last = dem.num_detectors
        for detector in range(last):
            near = np.flatnonzero(np.isfinite(distances[detector, :last]))
            # Where there is no boundary, all detectors of a connected part end at its first one.
            end = last if np.isfinite(distances[detector, last]) else int(near[0])
            np.testing.assert_allclose(ways.weights[detector], distances[detector, end], atol=2e-6)
            np.testing.assert_array_equal(ways.flips[detector], flips(dem, paths[detector, end]))
            reached += end != detector
    assert reached > 300


def test_ways_out_of_a_torus_end_at_one_detector() -> None:
    """A part without boundary: an even number of ways out is a correction of the events it starts from."""
    side = 5
    lines = []
    for number, (x, y, right) in enumerate(itertools.product(range(side), range(side), (True, False))):
        other = ((x + 1) % side, y) if right else (x, (y + 1) % side)
        lines.append(f"error({0.01 + 0.0007 * number}) D{x * side + y} D{other[0] * side + other[1]} L{number}")
    dem = stim.DetectorErrorModel("\n".join(lines))
    ways = WaysOut.of(read_parts(dem))
    ends = [line.split()[1:3] for line in lines]
    explained = np.zeros((side**2, side**2), dtype=np.int64)
    for detector in range(side**2):
        for edge in np.flatnonzero(ways.flips[detector]):
            for end in ends[edge]:
                explained[detector, int(end[1:])] ^= 1
    (root,) = np.flatnonzero(ways.weights == 0)
    wanted = np.eye(side**2, dtype=np.int64)
    wanted[:, root] ^= 1
    np.testing.assert_array_equal(explained, wanted)


def test_certain_and_likely_errors_cost_nothing() -> None:
    dem = stim.DetectorErrorModel("error(1) D0 L0\nerror(0.9) D0 D1 L1\nerror(0.5) D1 D2\nerror(0.1) D2 D3")
    ways = WaysOut.of(read_parts(dem))
    np.testing.assert_allclose(ways.weights, [0, 0, 0, math.log(9)], atol=1e-5)
    np.testing.assert_array_equal(ways.flips, [[True, False], [True, True], [True, True], [True, True]])
