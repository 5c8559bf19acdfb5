"""Counts to test on: ideal distributions under noise drawn with numpy, and circuits under noise drawn with stim."""

from collections.abc import Mapping, Sequence

import numpy as np
import stim
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.uint8]


def written(rows: Bits) -> list[str]:
    """Strings with bit 0 rightmost."""
    return ["".join(map(str, row[::-1])) for row in rows.tolist()]


def tallied(shots: Bits) -> dict[str, int]:
    """Counts of shots, uint8 of shape (num_shots, num_bits), column i for bit i."""
    rows, numbers = np.unique(shots, axis=0, return_counts=True)
    return dict(zip(written(rows), numbers.tolist(), strict=True))


def random_answers(generator: np.random.Generator, number: int, num_bits: int, separation: int = 1) -> Bits:
    """Random strings, each at least `separation` bits from every other."""
    while True:
        answers = generator.integers(0, 2, (number, num_bits), dtype=np.uint8)
        apart = (answers[:, None] != answers[None]).sum(axis=2) + num_bits * np.eye(number, dtype=int)
        if apart.min(initial=num_bits) >= separation:
            return answers


def flipped(
    generator: np.random.Generator,
    answers: Bits,
    weights: ArrayLike,
    rates_0_to_1: ArrayLike,
    rates_1_to_0: ArrayLike | None = None,
    *,
    shots: int,
    background: float = 0.0,
) -> Bits:
    """Shots of independent flips around answers, of which a share is replaced by uniform strings."""
    chosen = answers[generator.choice(len(answers), shots, p=weights)]
    down = rates_0_to_1 if rates_1_to_0 is None else rates_1_to_0
    flips = generator.random(chosen.shape) < np.where(chosen == 1, down, rates_0_to_1)
    uniform = generator.integers(0, 2, chosen.shape, dtype=np.uint8)
    return np.where(generator.random((shots, 1)) < background, uniform, chosen ^ flips).astype(np.uint8)


def simulated(
    seed: int,
    weights: Sequence[float],
    p: ArrayLike,
    *,
    num_bits: int = 10,
    shots: int = 8192,
    separation: int = 1,
    background: float = 0.0,
) -> tuple[dict[str, int], dict[str, float]]:
    """Returns counts of independent flips around random answers, and the answers with their weights."""
    generator = np.random.default_rng(seed)
    answers = random_answers(generator, len(weights), num_bits, separation)
    counts = tallied(flipped(generator, answers, weights, p, shots=shots, background=background))
    return counts, dict(zip(written(answers), weights, strict=True))


def drawn(seed: int, probabilities: ArrayLike, num_bits: int, shots: int) -> dict[str, int]:
    """Counts drawn from a distribution over all strings, index x for the string of the number x."""
    numbers = np.random.default_rng(seed).multinomial(shots, probabilities)
    return {f"{x:0{num_bits}b}": int(number) for x, number in enumerate(numbers) if number}


def porter_thomas(seed: int, num_bits: int) -> NDArray[np.float64]:
    """The output distribution of a random circuit: exponential probabilities, scaled to sum to one."""
    values = np.random.default_rng(seed).exponential(size=2**num_bits)
    return values / values.sum()


def ghz_chain(num_bits: int, error: float, *, shots: int, seed: int) -> dict[str, int]:
    """Counts of a GHZ state made by a chain of CX gates with depolarizing noise after each, and noisy readout."""
    circuit = stim.Circuit()
    circuit.append("H", [0])
    for qubit in range(num_bits - 1):
        circuit.append("CX", [qubit, qubit + 1])
        circuit.append("DEPOLARIZE2", [qubit, qubit + 1], error)
    circuit.append("M", range(num_bits), error)
    return tallied(circuit.compile_sampler(seed=seed).sample(shots).astype(np.uint8))


def reordered(counts: Mapping[str, int], order: Sequence[int]) -> dict[str, int]:
    """The same counts with bit order[i] of every string moved to bit i."""
    return {"".join(key[::-1][bit] for bit in order)[::-1]: number for key, number in counts.items()}
