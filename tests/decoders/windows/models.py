"""Models whose corrections can be read off: every part of an error has an observable of its own."""

import numpy as np
import stim
from numpy.typing import NDArray


def with_an_observable_for_each_part(
    dem: stim.DetectorErrorModel,
) -> tuple[stim.DetectorErrorModel, NDArray[np.bool_], NDArray[np.bool_]]:
    """The model with them in place of its observables; the detectors, and the observables, that each part flips."""
    numbers: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    lines: list[str] = []
    flat = dem.flattened()
    for instruction in (flat[i] for i in range(len(flat))):
        assert isinstance(instruction, stim.DemInstruction)
        if instruction.type != "error":
            lines += [str(instruction)] if instruction.type == "detector" else []
            continue
        parts = []
        for group in instruction.target_groups():
            detectors = tuple(sorted(t.val for t in group if t.is_relative_detector_id()))
            observables = tuple(sorted(t.val for t in group if t.is_logical_observable_id()))
            number = numbers.setdefault((detectors, observables), len(numbers))
            parts.append(" ".join([*(f"D{d}" for d in detectors), f"L{number}"]))
        lines.append(f"error({instruction.args_copy()[0]!r}) " + " ^ ".join(parts))
    checks = np.zeros((len(numbers), dem.num_detectors), dtype=np.bool_)
    logicals = np.zeros((len(numbers), dem.num_observables), dtype=np.bool_)
    for (detectors, observables), number in numbers.items():
        checks[number, list(detectors)] = True
        logicals[number, list(observables)] = True
    return stim.DetectorErrorModel("\n".join(lines)), checks, logicals


def random_memory(rng: np.random.Generator) -> stim.DetectorErrorModel:
    """A graph between neighbours in a box of places and times, with holes, few boundaries or none, and correlations."""
    shape = rng.integers(1, [5, 4, 8])
    sites = [site for site in np.ndindex(*(int(n) for n in shape)) if rng.random() < 0.8] or [(0, 0, 0)]
    sites = [sites[i] for i in rng.permutation(len(sites))]
    apart = np.abs(np.array(sites)[:, None] - np.array(sites)[None]).max(axis=2)
    near = [(i, j) for j in range(len(sites)) for i in range(j) if apart[i, j] <= 1]
    density, boundaries = rng.random() / 2, rng.choice([0.0, 0.05, 0.3])
    edges = [f"D{i} D{j}" for i, j in near if rng.random() < density]
    edges += [f"D{i}" for i in range(len(sites)) if rng.random() < boundaries]
    lines = [f"detector({', '.join(map(str, site))}) D{i}" for i, site in enumerate(sites)]
    lines += [f"error({rng.choice([0.05, 0.1, 0.2, 0.45])}) {edge}" for edge in edges if rng.random() < 0.8]
    for _ in range(int(rng.integers(3 * len(sites))) if edges else 0):
        chosen = rng.choice(len(edges), size=min(len(edges), int(rng.integers(1, 4))), replace=False)
        lines.append(f"error({rng.choice([0.01, 0.03])}) " + " ^ ".join(edges[i] for i in chosen))
    return stim.DetectorErrorModel("\n".join(lines))


def torus(size: int, rounds: int, p: float) -> stim.DetectorErrorModel:
    """A toric code's vertices with errors of data and of measurements, and two observables; there is no boundary."""
    lines = []
    for t in range(rounds):
        for x in range(size):
            for y in range(size):
                here = f"D{(t * size + x) * size + y}"
                lines.append(f"detector({x}, {y}, {t}) {here}")
                right = f"D{(t * size + (x + 1) % size) * size + y}"
                up = f"D{(t * size + x) * size + (y + 1) % size}"
                lines.append(f"error({p}) {here} {right}" + " L0" * (x == 0))
                lines.append(f"error({p}) {here} {up}" + " L1" * (y == 0))
                if t + 1 < rounds:
                    lines.append(f"error({p}) {here} D{((t + 1) * size + x) * size + y}")
    return stim.DetectorErrorModel("\n".join(lines))
