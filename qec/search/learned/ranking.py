"""Training of the ranker: what moves create is learned from moves that were evaluated, on the way of plain annealing.

The same network serves all sizes and bounds, and learns from problems of many. Of each, matrices are taken from runs of
annealing as it cools, and of each matrix many moves are evaluated.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quell.errors import DataError, InputError, check_integer
from quell.qec.search.learned import kernels
from quell.qec.search.learned.network_file import load_training, save_training
from quell.qec.search.learned.policy import CLASS_LIMITS, GraphView, MoveRanker, NetworkSize, view
from quell.qec.search.seeds import EXCESS_PRICE, SeedProblem, evaluate, random_rows, seed_kernels

__all__ = ["MoveSample", "RankerTraining", "collect_moves", "train_ranker"]

_GAP = 20  # steps of annealing between two matrices of the sample
_RUN = 150  # matrices of one run
_HOT, _COLD = 1.0, 0.15


@dataclass(frozen=True)
class MoveSample:
    """Matrices of one problem, and moves of each that were evaluated.

    Attributes:
        problem: Theirs.
        bits: uint8 (S, r, n).
        shares: float32 (S, n): prices of the light codewords that each column is in.
        costs: float64 (S,).
        temperatures: float64 (S,): of the walk.
        toggles: int16 (S, M, 4, 3): as `draw_moves` of the kernels writes them.
        gains: float64 (S, M): prices of the codewords that each move takes away.
        created: float64 (S, M): and of those it creates.
        evaluations: How many it took to make the sample.
    """

    problem: SeedProblem
    bits: NDArray[np.uint8]
    shares: NDArray[np.float32]
    costs: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    toggles: NDArray[np.int16]
    gains: NDArray[np.float64]
    created: NDArray[np.float64]
    evaluations: int

    def batch(self, which: NDArray[np.intp]) -> tuple[GraphView, Tensor, Tensor, Tensor]:
        """Returns what the ranker is given of some matrices, and the classes of what their moves create."""
        p = self.problem
        bits = torch.from_numpy(self.bits[which].astype(np.float32))
        costs = torch.from_numpy(self.costs[which]).float()
        shares = torch.from_numpy(self.shares[which])
        graph = view(bits, shares, costs, p.k, p.distance, p.max_row, p.max_column)
        classes = torch.bucketize(torch.from_numpy(self.created[which]), torch.tensor(CLASS_LIMITS))
        gains = torch.from_numpy(self.gains[which]).float()
        return graph, torch.from_numpy(self.toggles[which].astype(np.int64)), gains, classes


def collect_moves(problem: SeedProblem, *, matrices: int, moves: int, seed: int) -> MoveSample:
    """Takes matrices from runs of annealing, and evaluates moves of each.

    Examples:
        >>> from quell.qec.search import SeedProblem
        >>> from quell.qec.search.learned.ranking import collect_moves
        >>> sample = collect_moves(SeedProblem(16, 4, 6), matrices=10, moves=4, seed=1)
        >>> sample.created.shape, bool(sample.created.min() >= 0), sample.evaluations <= 10 * (20 + 4) + 1
        ((10, 4), True, True)
    """
    check_integer("matrices", matrices, minimum=1)
    check_integer("moves", moves, minimum=1)
    rng, loops, p = np.random.default_rng(seed), seed_kernels(), problem
    r, n, bounds = p.num_checks, p.n, (p.n, p.max_row, p.max_column)
    images = np.arange(r), np.arange(n)
    bits, shares = np.zeros((matrices, r, n), dtype=np.float32), np.zeros((matrices, n), dtype=np.float32)
    costs, temperatures = np.zeros(matrices), np.zeros(matrices)
    toggles = np.zeros((matrices, moves, kernels.MAX_TOGGLES, 3), dtype=np.int64)
    gains, after = np.zeros((matrices, moves)), np.zeros((matrices, moves))
    words, found = np.zeros((1, kernels.MAX_WORDS), dtype=np.uint64), np.zeros(1, dtype=np.int64)
    new = np.zeros((moves, r), dtype=np.uint64)
    distances = np.zeros(moves, dtype=np.int64)
    cost, evaluations = 0.0, 0
    for each in range(matrices):
        if each % _RUN == 0:
            rows = random_rows(p, rng)
            cost = evaluate(p, rows).cost
            evaluations += 1
        temperature = _HOT * (_COLD / _HOT) ** (each % _RUN / _RUN)
        done, cost, *_ = loops.anneal(
            rng, rows, cost, *bounds, *images, p.prices, EXCESS_PRICE, temperature, 1.0, _GAP, rows.copy(), math.inf,
            np.zeros((0, 2)),
        )  # fmt: skip
        here = slice(each, each + 1)
        kernels.describe(rows[None], n, p.prices, words, found, bits[here], shares[here])
        drawn = kernels.draw_moves(
            rng, rows, *bounds, words[0], int(found[0]), p.prices, new, toggles[each], gains[each]
        )
        if drawn < moves:
            raise InputError(f"moves within the bounds are too rare for a sample of {p}: raise the bounds")
        kernels.look(new, n, p.prices, EXCESS_PRICE, after[each], distances)
        evaluations += int(done) + moves
        costs[each], temperatures[each] = cost, temperature
    created = np.maximum(after - costs[:, None] + gains, 0.0)
    return MoveSample(
        p, bits.astype(np.uint8), shares, costs, temperatures, toggles.astype(np.int16), gains, created, evaluations
    )


@dataclass
class RankerTraining:
    """How far training has come.

    Attributes:
        ranker: The network.
        steps: Done so far.
        evaluations: That the samples took.
        losses: Of each step: the cross-entropy of the classes, in nats.
    """

    ranker: MoveRanker
    steps: int = 0
    evaluations: int = 0
    losses: list[float] = field(default_factory=list)


def train_ranker(
    problems: Sequence[SeedProblem],
    *,
    steps: int,
    matrices: int = 1500,
    moves: int = 32,
    seed: int = 0,
    size: NetworkSize | None = None,
    batch: int = 32,
    learning_rate: float = 3e-3,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    on_step: Callable[[RankerTraining], None] | None = None,
) -> RankerTraining:
    """Trains a ranker.

    Args:
        problems: Of which moves are sampled.
        steps: Gradients in all, those of the checkpoint included.
        matrices: Of each problem.
        moves: Of each matrix.
        seed: Of all random numbers.
        size: Of the network.
        batch: Matrices of one gradient.
        learning_rate: The greatest; it rises for a tenth of the steps and then falls to 0.
        checkpoint: A file of its state; if it exists, training goes on from there as if it had not stopped.
        checkpoint_every: Seconds between two writings.
        on_step: Called after each step.

    Raises:
        InputError: An argument is outside its limits.
        DataError: The checkpoint is not one, or of another training.
        StorageError: It cannot be read or written.
    """
    check_integer("steps", steps, minimum=1)
    check_integer("batch", batch, minimum=1)
    if not problems:
        raise InputError("problems must hold at least one problem, got none")
    size = size or NetworkSize(32, 5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = RankerTraining(MoveRanker(size))
    optimiser = torch.optim.AdamW(state.ranker.parameters(), lr=learning_rate, weight_decay=1e-3)
    identity = {
        "problems": [asdict(problem) for problem in problems], "steps": steps, "matrices": matrices,
        "moves": moves, "seed": seed, "size": asdict(size), "batch": batch, "learning_rate": learning_rate,
    }  # fmt: skip
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        facts = load_training(path, state.ranker, optimiser)
        if facts.get("identity") != identity:
            raise DataError(f"{path} is of a training with other problems or settings: name another file")
        state.steps, state.losses = int(facts["steps"]), [float(loss) for loss in facts["losses"]]
    samples = [
        collect_moves(problem, matrices=matrices, moves=moves, seed=_number(seed, which))
        for which, problem in enumerate(problems)
    ]
    state.evaluations = sum(sample.evaluations for sample in samples)
    written = time.monotonic()
    try:
        while state.steps < steps:
            # Everything random is named by the step, so that a run that was cut off goes on as it would have.
            rng = np.random.default_rng([seed, len(problems) + state.steps])
            sample = samples[rng.integers(len(samples))]
            rate = learning_rate * _schedule(state.steps / steps)
            state.losses.append(_descend(state.ranker, optimiser, sample, rng, batch, rate))
            state.steps += 1
            if on_step is not None:
                on_step(state)
            if path is not None and time.monotonic() - written > checkpoint_every:
                save_training(path, state.ranker, optimiser, _facts(identity, state))
                written = time.monotonic()
    finally:
        if path is not None:
            save_training(path, state.ranker, optimiser, _facts(identity, state))
    state.ranker.eval()
    return state


def _facts(identity: dict[str, object], state: RankerTraining) -> dict[str, object]:
    return {"identity": identity, "steps": state.steps, "losses": state.losses}


def _number(seed: int, which: int) -> int:
    return int(np.random.SeedSequence([seed, which]).generate_state(1)[0])


def _schedule(progress: float) -> float:
    return progress / 0.1 if progress < 0.1 else 0.5 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9))


def _descend(
    ranker: MoveRanker, optimiser: torch.optim.Optimizer, sample: MoveSample, rng: np.random.Generator, batch: int,
    rate: float,
) -> float:  # fmt: skip
    which = rng.choice(len(sample.costs), min(batch, len(sample.costs)), replace=False)
    graph, toggles, gains, classes = sample.batch(which)
    logits = ranker(graph, toggles, gains)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), classes.flatten())
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # of torch
    torch.nn.utils.clip_grad_norm_(ranker.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())
