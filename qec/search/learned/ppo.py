"""Proximal policy optimisation with masked actions (Schulman et al., arXiv:1707.06347; Huang and Ontañón, 2006.14171).

Many matrices of one problem walk side by side; after each round of steps the network learns from it, and the next round
is of the next problem. Each step of each matrix is one evaluation.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quell.errors import DataError, InputError, check_integer
from quell.qec.search.agents import SearchResult
from quell.qec.search.environment import SeedReward, edge_masks
from quell.qec.search.learned import kernels
from quell.qec.search.learned.network_file import load_training, save_training
from quell.qec.search.learned.policy import EdgePolicy, GraphView, NetworkSize, view
from quell.qec.search.seeds import EXCESS_PRICE, SeedProblem, evaluate, random_rows

__all__ = ["PPOSettings", "PolicyAgent", "Training", "train"]


@dataclass(frozen=True)
class PPOSettings:
    """How the policy learns.

    Args:
        walks: Matrices side by side.
        steps: Of each in a round, and before learning.
        episode: Steps until a matrix is drawn anew.
        learning_rate: Of Adam.
        discount: γ.
        smoothing: λ of generalised advantage estimation.
        clip: How far the ratio of probabilities may go from 1.
        entropy: Its weight in the loss.
        epochs: Passes over each round.
        batch: Steps of one gradient.
        reward: "paper" for `SeedReward`, or "progress": by how much the logarithm of one plus the cost falls.
    """

    walks: int = 32
    steps: int = 32
    episode: int = 128
    learning_rate: float = 5e-4
    discount: float = 0.97
    smoothing: float = 0.95
    clip: float = 0.2
    entropy: float = 0.003
    epochs: int = 3
    batch: int = 256
    reward: str = "progress"

    def __post_init__(self) -> None:
        """Checks the limits."""
        for name in ("walks", "steps", "episode", "epochs", "batch"):
            check_integer(name, getattr(self, name), minimum=1)
        if self.reward not in ("paper", "progress"):
            raise InputError(f"reward must be 'paper' or 'progress', got {self.reward!r}")


@dataclass
class Training:
    """How far training has come.

    Attributes:
        policy: The network.
        rounds: Done so far.
        evaluations: Done so far.
        history: For each round its problem's number, the mean reward of a step and the mean cost at its end.
    """

    policy: EdgePolicy
    rounds: int = 0
    evaluations: int = 0
    history: list[tuple[int, float, float]] = field(default_factory=list)


def train(
    problems: Sequence[SeedProblem],
    *,
    rounds: int,
    seed: int = 0,
    size: NetworkSize | None = None,
    settings: PPOSettings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    on_round: Callable[[Training], None] | None = None,
) -> Training:
    """Trains a policy on problems in turn, from what is easy to what is hard if they are so ordered.

    Args:
        problems: Each is trained on in a share of the rounds, in turn.
        rounds: In all, those of the checkpoint included.
        seed: Of all random numbers.
        size: Of the network.
        settings: How it learns.
        checkpoint: A file of its state; if it exists, training goes on from there as if it had not stopped.
        checkpoint_every: Seconds between two writings.
        on_round: Called after each round.

    Raises:
        InputError: An argument is outside its limits.
        DataError: The checkpoint is not one, or of other problems or settings.
        StorageError: It cannot be read or written.
    """
    check_integer("rounds", rounds, minimum=1)
    if not problems:
        raise InputError("problems must hold at least one problem, got none")
    trainer = _Trainer(problems, seed, size or NetworkSize(), settings or PPOSettings())
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        trainer.load(path)
    written = time.monotonic()
    state = trainer.state
    try:
        while state.rounds < rounds:
            trainer.round()
            if on_round is not None:
                on_round(state)
            if path is not None and time.monotonic() - written > checkpoint_every:
                trainer.save(path)
                written = time.monotonic()
    finally:
        if path is not None:
            trainer.save(path)
    state.policy.eval()
    return state


class SeedBatch:
    """Many matrices of one problem, each changed by one edge a step."""

    def __init__(self, problem: SeedProblem, walks: int) -> None:
        self.problem = problem
        r, n = problem.num_checks, problem.n
        self.rows = np.zeros((walks, r), dtype=np.uint64)
        self.costs, self.distances = np.zeros(walks), np.zeros(walks, dtype=np.int64)
        self.bits = np.zeros((walks, r, n), dtype=np.float32)
        self.shares = np.zeros((walks, n), dtype=np.float32)
        self.words = np.zeros((walks, kernels.MAX_WORDS), dtype=np.uint64)
        self.found = np.zeros(walks, dtype=np.int64)
        self.ages = np.zeros(walks, dtype=np.int64)

    def restart(self, rng: np.random.Generator, which: NDArray[np.intp], spread: int = 0) -> None:
        """Draws some anew, and looks at them."""
        for each in which:
            self.rows[each] = random_rows(self.problem, rng)
            self.ages[each] = rng.integers(spread) if spread else 0
        self.look()

    def look(self) -> None:
        p = self.problem
        kernels.look(self.rows, p.n, p.prices, EXCESS_PRICE, self.costs, self.distances)
        kernels.describe(self.rows, p.n, p.prices, self.words, self.found, self.bits, self.shares)

    def view(self) -> GraphView:
        p = self.problem
        bits, shares = torch.from_numpy(self.bits.copy()), torch.from_numpy(self.shares.copy())
        costs = torch.from_numpy(self.costs).float()
        return view(bits, shares, costs, p.k, p.distance, p.max_row, p.max_column)

    def masks(self) -> Tensor:
        return torch.from_numpy(edge_masks(self.problem, self.bits).reshape(len(self.rows), -1))


def masked(logits: Tensor, masks: Tensor) -> Tensor:
    """The logarithms of the chances of the edges that may be toggled, (B, r n); those of the others are hardly any."""
    return logits.flatten(1).masked_fill(~masks, -1e8).log_softmax(-1)


class _Trainer:
    def __init__(self, problems: Sequence[SeedProblem], seed: int, size: NetworkSize, settings: PPOSettings) -> None:
        self.problems, self.size, self.settings, self.seed = list(problems), size, settings, seed
        self.generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.state = Training(EdgePolicy(size))
        self.optimiser = torch.optim.Adam(self.state.policy.parameters(), lr=settings.learning_rate, eps=1e-5)
        self.batches: dict[int, SeedBatch] = {}

    def round(self) -> None:
        number = self.state.rounds
        # Everything random is named by the round, so that a run that was cut off goes on as it would have.
        rng = np.random.default_rng([self.seed, number])
        self.generator.manual_seed(int(rng.integers(2**62)))
        which = number % len(self.problems)
        batch = SeedBatch(self.problems[which], self.settings.walks)
        batch.restart(rng, np.arange(self.settings.walks))
        self.state.evaluations += self.settings.walks
        rewards = []
        for _ in range(max(1, self.settings.episode // self.settings.steps)):
            rewards.append(self._learn(batch))
        self.state.history.append((which, float(np.mean(rewards)), float(batch.costs.mean())))
        self.state.rounds += 1

    def _learn(self, batch: SeedBatch) -> float:
        """A round of steps, and the gradients of it."""
        settings, policy = self.settings, self.state.policy
        seen, masks, actions, log_chances, values, rewards = [], [], [], [], [], []
        with torch.no_grad():
            for _ in range(settings.steps):
                seen.append(batch.view())
                masks.append(batch.masks())
                logits, value = policy(seen[-1])
                chances = masked(logits, masks[-1])
                action = torch.multinomial(chances.exp(), 1, generator=self.generator)
                actions.append(action)
                values.append(value)
                log_chances.append(chances.gather(1, action).squeeze(1))
                rewards.append(torch.from_numpy(self._step(batch, action.squeeze(1).numpy())).float())
            self.state.evaluations += settings.steps * settings.walks
            last = policy(batch.view())[1]
        advantages = self._advantages(torch.stack(rewards), torch.stack(values), last)
        targets = advantages + torch.stack(values)
        graph = GraphView(*(torch.cat(parts) for parts in zip(*seen, strict=True)))
        self._descend(
            graph, torch.cat(masks), torch.cat(actions), torch.cat(log_chances), advantages.flatten(), targets.flatten()
        )
        return float(torch.stack(rewards).mean())

    def _step(self, batch: SeedBatch, actions: NDArray[np.int64]) -> NDArray[np.float64]:
        costs, distances = batch.costs.copy(), batch.distances.copy()
        kernels.toggle_edges(batch.rows, actions, batch.problem.n)
        batch.look()
        if self.settings.reward == "paper":
            return SeedReward()(batch.problem, batch.bits, batch.distances, distances)
        progress: NDArray[np.float64] = np.log1p(costs) - np.log1p(batch.costs)
        return progress

    def _advantages(self, rewards: Tensor, values: Tensor, last: Tensor) -> Tensor:
        settings = self.settings
        advantages, running = torch.zeros_like(rewards), torch.zeros_like(last)
        following = last
        for step in reversed(range(len(rewards))):
            surprise = rewards[step] + settings.discount * following - values[step]
            running = surprise + settings.discount * settings.smoothing * running
            advantages[step], following = running, values[step]
        return advantages

    def _descend(
        self, graph: GraphView, masks: Tensor, actions: Tensor, old: Tensor, advantages: Tensor, targets: Tensor
    ) -> None:
        settings = self.settings
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-6)
        for _ in range(settings.epochs):
            order = torch.randperm(len(actions), generator=self.generator)
            for begin in range(0, len(order), settings.batch):
                part = order[begin : begin + settings.batch]
                logits, values = self.state.policy(GraphView(*(each[part] for each in graph)))
                chances = masked(logits, masks[part])
                ratio = (chances.gather(1, actions[part]).squeeze(1) - old[part]).exp()
                gain = torch.minimum(
                    ratio * advantages[part], ratio.clamp(1 - settings.clip, 1 + settings.clip) * advantages[part]
                )
                loss = -gain.mean() + 0.5 * (values - targets[part]).square().mean()
                loss = loss + settings.entropy * (chances.exp() * chances).sum(-1).mean()
                self.optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.state.policy.parameters(), 0.5)
                self.optimiser.step()

    def _identity(self) -> dict[str, Any]:
        return {
            "problems": [asdict(problem) for problem in self.problems],
            "size": asdict(self.size),
            "settings": asdict(self.settings),
            "seed": self.seed,
        }

    def save(self, path: Path) -> None:
        state = self.state
        record = {"rounds": state.rounds, "evaluations": state.evaluations, "history": state.history}
        save_training(path, state.policy, self.optimiser, {"identity": self._identity(), "state": record})

    def load(self, path: Path) -> None:
        policy = self.state.policy
        facts = load_training(path, policy, self.optimiser)
        if facts.get("identity") != self._identity():
            raise DataError(f"{path} is of a training with other problems or settings: name another file")
        record = facts["state"]
        history = [(int(which), float(reward), float(cost)) for which, reward, cost in record["history"]]
        self.state = Training(policy, int(record["rounds"]), int(record["evaluations"]), history)


@dataclass
class PolicyAgent:
    """A policy as an agent: it walks from random matrices, and starts again after every episode.

    Args:
        policy: The network.
        walks: Matrices side by side, each of their steps an evaluation.
        episode: Steps until one is drawn anew.
    """

    policy: EdgePolicy
    walks: int = 64
    episode: int = 256
    name: str = "PPO"

    def search(
        self, problem: SeedProblem, *, evaluations: int, seed: int, stop: Callable[[], bool] | None = None
    ) -> SearchResult:
        """See `Agent`."""
        check_integer("evaluations", evaluations, minimum=1)
        rng = np.random.default_rng(seed)
        walks = min(self.walks, evaluations)
        batch = SeedBatch(problem, walks)
        best, best_rows = math.inf, batch.rows[0].copy()
        done, steps = 0, 0
        trace: list[tuple[float, float]] = []
        with torch.inference_mode():
            while done < evaluations and best > 0 and not (stop is not None and stop()):
                if steps % self.episode == 0:
                    batch.restart(rng, np.arange(walks))
                else:
                    chances = masked(self.policy(batch.view())[0], batch.masks())
                    noise = torch.from_numpy(rng.gumbel(size=tuple(chances.shape)))
                    kernels.toggle_edges(batch.rows, (chances + noise).argmax(1).numpy(), problem.n)
                    batch.look()
                steps += 1
                for index in range(min(walks, evaluations - done)):
                    done += 1
                    if batch.costs[index] < best:
                        best, best_rows = float(batch.costs[index]), batch.rows[index].copy()
                        trace.append((done, best))
                    if best == 0:
                        break
        distance = evaluate(problem, best_rows).distance
        return SearchResult(problem, best_rows, best, distance, done, np.array(trace, dtype=np.float64).reshape(-1, 2))
