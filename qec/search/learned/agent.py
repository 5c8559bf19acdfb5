"""Annealing that lets a network choose among moves before one of them is evaluated, and other uses of what is known.

The light codewords of a matrix are known from its evaluation, and with them what a move takes away; unknown is what it
creates. Of many moves drawn as plain annealing draws them one is chosen with a probability in proportion to the chance
that it would be kept, as a screen estimates it, and only that one is evaluated and then kept or not by the rule of
Metropolis. So at an equal number of evaluations a better screen is a faster walk (compare the delayed acceptance of
Christen and Fox 2005).
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quell.errors import check_integer
from quell.qec.search.agents import SearchResult, check_temperatures
from quell.qec.search.learned import kernels
from quell.qec.search.learned.network_file import load_network
from quell.qec.search.learned.policy import CLASS_COSTS, EdgePolicy, MoveRanker, view
from quell.qec.search.seeds import EXCESS_PRICE, SeedProblem, evaluate, random_rows

__all__ = [
    "GuidedScreen",
    "Moves",
    "NoScreen",
    "PolicyScreen",
    "RankerScreen",
    "Screen",
    "ScreenedAnnealing",
    "learned_annealing",
]

RANKER_FILE = Path(__file__).parent / "weights" / "ranker.safetensors"
# How often a move creates codewords of each class of cost, over all problems that the ranker was trained on.
BASE_RATES = (0.046, 0.066, 0.084, 0.170, 0.231, 0.295, 0.109)


class Moves(NamedTuple):
    """M moves of each of w walks, not yet evaluated.

    Attributes:
        walks: Their numbers, w; their matrices have been seen.
        toggles: int64 (w, M, 4, 3), as `draw_moves` of the kernels writes them.
        gains: float32 (w, M): the price of the codewords that each move takes away.
        temperature: Of the walks.
    """

    walks: list[int]
    toggles: Tensor
    gains: Tensor
    temperature: float


class Screen(Protocol):
    """What chooses among moves that are not yet evaluated."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def begin(self, problem: SeedProblem, batch: int) -> None:
        """Gets ready for so many walks side by side."""

    def see(self, which: Sequence[int], bits: Tensor, shares: Tensor, costs: Tensor) -> None:
        """Looks at the new matrices of some of the walks: float32 (w, r, n), (w, n) and (w,)."""

    def log_chances(self, moves: Moves) -> Tensor:
        """The logarithm, but for a constant, of the chance that each move is kept, float32 (w, M)."""


def log_chance(class_logits: Tensor, gains: Tensor, temperature: float) -> Tensor:
    """The logarithm of the chance that Metropolis keeps a move, from what its new codewords may cost."""
    costs = torch.tensor(CLASS_COSTS)
    rise = (costs - gains[..., None]).clamp(min=0)
    return torch.logsumexp(class_logits.log_softmax(-1) - rise / temperature, dim=-1)


@dataclass
class NoScreen:
    """All moves alike: plain annealing, but for moves that only renumber."""

    name: str = "annealing"

    def begin(self, problem: SeedProblem, batch: int) -> None:
        """Nothing to do."""

    def see(self, which: Sequence[int], bits: Tensor, shares: Tensor, costs: Tensor) -> None:
        """Nothing to do."""

    def log_chances(self, moves: Moves) -> Tensor:
        """See `Screen`."""
        return torch.zeros_like(moves.gains)


@dataclass
class GuidedScreen(NoScreen):
    """Knows what a move takes away, and of what it creates only how often that costs how much: nothing is learned."""

    name: str = "guided annealing"

    def log_chances(self, moves: Moves) -> Tensor:
        """See `Screen`."""
        return log_chance(torch.tensor(BASE_RATES).log(), moves.gains, moves.temperature)


@dataclass
class RankerScreen:
    """A network that estimates what a move creates."""

    ranker: MoveRanker
    name: str = "learned screen"

    def begin(self, problem: SeedProblem, batch: int) -> None:
        """See `Screen`."""
        self.problem = problem
        rows, columns, walks = self.ranker.encoded_sizes(problem.num_checks, problem.n)
        self._seen = torch.zeros(batch, *rows), torch.zeros(batch, *columns), torch.zeros(batch, *walks)

    def see(self, which: Sequence[int], bits: Tensor, shares: Tensor, costs: Tensor) -> None:
        """See `Screen`."""
        p = self.problem
        graph = view(bits, shares, costs, p.k, p.distance, p.max_row, p.max_column)
        for kept, new in zip(self._seen, self.ranker.encode(graph), strict=True):
            kept[list(which)] = new

    def log_chances(self, moves: Moves) -> Tensor:
        """See `Screen`."""
        rows, columns, walks = (kept[moves.walks] for kept in self._seen)
        logits = self.ranker.rank(rows, columns, walks, moves.toggles, moves.gains)
        return log_chance(logits, moves.gains, moves.temperature)


@dataclass
class PolicyScreen:
    """The policy of PPO as the proposals of annealing: a move has the logits of its edges together."""

    policy: EdgePolicy
    sharpness: float = 1.0
    name: str = "policy as proposals"

    def begin(self, problem: SeedProblem, batch: int) -> None:
        """See `Screen`."""
        self.problem = problem
        self._logits = torch.zeros(batch, problem.num_checks, problem.n)

    def see(self, which: Sequence[int], bits: Tensor, shares: Tensor, costs: Tensor) -> None:
        """See `Screen`."""
        p = self.problem
        graph = view(bits, shares, costs, p.k, p.distance, p.max_row, p.max_column)
        logits = self.policy(graph)[0]
        # An edge of the average chance adds nothing, so that moves of more edges are at no disadvantage.
        self._logits[list(which)] = logits - logits.flatten(1).logsumexp(1)[:, None, None] + math.log(logits[0].numel())

    def log_chances(self, moves: Moves) -> Tensor:
        """See `Screen`."""
        rows, columns, signs = moves.toggles.unbind(-1)
        each = self._logits[torch.tensor(moves.walks)[:, None, None], rows, columns] * (signs != 0)
        return self.sharpness * each.sum(-1)


@dataclass
class ScreenedAnnealing:
    """Simulated annealing of which a screen chooses the moves.

    Args:
        screen: That chooses.
        candidates: Among how many moves.
        patience: After how many of them that were not kept others are drawn.
        start_temperature: In units of the cost of one codeword of weight distance - 1.
        end_temperature: Likewise; the temperature falls geometrically over the budget.
        sharpness: Power to which the estimated chances are raised.

    Examples:
        >>> from quell.qec.search import SeedProblem
        >>> from quell.qec.search.learned.agent import GuidedScreen, ScreenedAnnealing
        >>> result = ScreenedAnnealing(GuidedScreen()).search(SeedProblem(16, 4, 6), evaluations=2000, seed=1)
        >>> result.reached, result.evaluations <= 2000
        (True, True)
    """

    screen: Screen
    candidates: int = 128
    patience: int = 16
    start_temperature: float = 0.4
    end_temperature: float = 0.2
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        """Checks the limits."""
        check_integer("candidates", self.candidates, minimum=1)
        check_integer("patience", self.patience, minimum=1)
        check_temperatures(self.start_temperature, self.end_temperature)

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.screen.name

    def search(
        self, problem: SeedProblem, *, evaluations: int, seed: int, stop: Callable[[], bool] | None = None
    ) -> SearchResult:
        """See `Agent`.

        Raises:
            InputError: No matrix of that shape was found within the bounds.
        """
        return self.search_many(problem, evaluations=evaluations, seeds=[seed], stop=stop)[0]

    def search_many(
        self,
        problem: SeedProblem,
        *,
        evaluations: int,
        seeds: Sequence[int],
        stop: Callable[[], bool] | None = None,
    ) -> list[SearchResult]:
        """Runs independent searches side by side, `evaluations` for each, so that the network sees them together.

        A network may round differently for another number of matrices at once, or on another machine; after that two
        walks with the same seed part.
        """
        check_integer("evaluations", evaluations, minimum=1)
        with torch.inference_mode():
            walks = [_Walk(problem, seed, self.candidates) for seed in seeds]
            self.screen.begin(problem, len(walks))
            cooling = (self.end_temperature / self.start_temperature) ** (1 / max(evaluations - 1, 1))
            temperature = self.start_temperature
            moved = list(range(len(walks)))
            for _ in range(evaluations - 1):
                active = [index for index, walk in enumerate(walks) if walk.alive]
                if not active or (stop is not None and stop()):
                    break
                if moved:
                    self._show(walks, moved)
                moved = self._step(walks, active, temperature)
                temperature *= cooling
        return [walk.result() for walk in walks]

    def _show(self, walks: "list[_Walk]", moved: list[int]) -> None:
        for index in moved:
            walks[index].describe()
        self.screen.see(
            moved,
            torch.from_numpy(np.concatenate([walks[index].bits for index in moved])),
            torch.from_numpy(np.concatenate([walks[index].shares for index in moved])),
            torch.tensor([walks[index].cost for index in moved], dtype=torch.float32),
        )

    def _step(self, walks: "list[_Walk]", active: list[int], temperature: float) -> list[int]:
        """One evaluation of each walk; returns which have moved."""
        fresh = [index for index in active if walks[index].left == 0]
        for index in fresh:
            walks[index].draw(self.patience)
        if fresh:
            toggles = torch.from_numpy(np.stack([walks[index].toggles for index in fresh]))
            gains = torch.from_numpy(np.stack([walks[index].gains for index in fresh])).float()
            scores = self.sharpness * self.screen.log_chances(Moves(fresh, toggles, gains, temperature))
            for index, line in zip(fresh, scores.double().numpy(), strict=True):
                walks[index].scores = line
        return [index for index in active if walks[index].take(temperature)]


def learned_annealing(*, candidates: int = 128) -> ScreenedAnnealing:
    """Returns the learned agent with the network that comes with quell, trained on shorter seeds than it is meant for.

    Its card, which `load_network` returns beside the network, says on which.

    Examples:
        >>> from quell.qec.search import SeedProblem
        >>> from quell.qec.search.learned import learned_annealing
        >>> found = learned_annealing().search(SeedProblem(48, 20, 4), evaluations=2000, seed=1)
        >>> found.reached
        True
    """
    return ScreenedAnnealing(RankerScreen(_shipped_ranker()), candidates)


@functools.cache
def _shipped_ranker() -> MoveRanker:
    return load_network(RANKER_FILE, MoveRanker)[0]


class _Walk:
    """A matrix on its way, its light codewords, and the best that it has been."""

    def __init__(self, problem: SeedProblem, seed: int, candidates: int) -> None:
        self.problem, self.prices = problem, problem.prices
        self.rng = np.random.default_rng(seed)
        r, n = problem.num_checks, problem.n
        self.bounds = (n, problem.max_row, problem.max_column)
        self.rows = random_rows(problem, self.rng)
        self.words = np.zeros((1, kernels.MAX_WORDS), dtype=np.uint64)
        self.found = np.zeros(1, dtype=np.int64)
        self.bits = np.zeros((1, r, n), dtype=np.float32)
        self.shares = np.zeros((1, n), dtype=np.float32)
        self.new = np.zeros((candidates, r), dtype=np.uint64)
        self.toggles = np.zeros((candidates, kernels.MAX_TOGGLES, 3), dtype=np.int64)
        self.gains = np.zeros(candidates)
        self.scores = np.zeros(candidates)
        self.drawn = candidates
        self.left = 0  # how many of the moves may still be evaluated before others are drawn
        self._cost, self._distance = np.zeros(1), np.zeros(1, dtype=np.int64)
        self.done = 0
        self.cost = self.best_cost = self._look(self.rows)
        self.best_rows = self.rows.copy()
        self.trace = [(1.0, self.cost)]

    @property
    def alive(self) -> bool:
        return self.best_cost > 0 and self.drawn > 0

    def _look(self, rows: NDArray[np.uint64]) -> float:
        kernels.look(rows[None], self.problem.n, self.prices, EXCESS_PRICE, self._cost, self._distance)
        self.done += 1
        return float(self._cost[0])

    def describe(self) -> None:
        matrices, n = self.rows[None], self.problem.n
        kernels.describe(matrices, n, self.prices, self.words, self.found, self.bits, self.shares)

    def draw(self, patience: int) -> None:
        self.drawn = kernels.draw_moves(
            self.rng, self.rows, *self.bounds, self.words[0], int(self.found[0]), self.prices, self.new,
            self.toggles, self.gains,
        )  # fmt: skip
        self.left = min(patience, self.drawn)

    def take(self, temperature: float) -> bool:
        """Evaluates one of the moves, drawn by its score, and keeps it or not."""
        if self.drawn == 0:
            return False
        chosen = int(np.argmax(self.scores[: self.drawn] + self.rng.gumbel(size=self.drawn)))
        self.scores[chosen] = -math.inf
        self.left -= 1
        cost = self._look(self.new[chosen])
        if cost > self.cost and self.rng.random() >= math.exp((self.cost - cost) / temperature):
            return False
        self.rows[:], self.cost, self.left = self.new[chosen], cost, 0
        if cost < self.best_cost:
            self.best_cost = cost
            self.best_rows[:] = self.rows
            self.trace.append((float(self.done), cost))
        return True

    def result(self) -> SearchResult:
        distance = evaluate(self.problem, self.best_rows).distance
        trace = np.array(self.trace)
        return SearchResult(self.problem, self.best_rows.copy(), self.best_cost, distance, self.done, trace)
