"""The search for a seed as a game for reinforcement learning, with the interface of gymnasium.

A state is the Tanner graph of a classical code, an action toggles one edge, and the reward weighs how light checks and
columns are against the distance and its last change (He and Liu, arXiv:2502.14372; there the change has a minus before
it in print, which the text contradicts: here a distance that grows is rewarded).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError, check_integer, import_extra
from quell.qec.search.seeds import SeedProblem, evaluate, pack_rows, random_rows, seed_kernels, unpack_rows

import_extra("gymnasium", "search")

import gymnasium
from gymnasium import spaces

__all__ = ["SeedEnvironment", "SeedReward", "edge_masks"]


@dataclass(frozen=True)
class SeedReward:
    """R = α (Σ R̄ of the columns + Σ R̄ of the rows) + β d̄ + δ Δd̄, from −δ to 1.

    A node of κ edges is worth R(κ) = C_κ up to the most edges V that are wanted, and exp(−λ (κ − V)) above; R̄ is R over
    its greatest value, and the two sums are taken as means over all nodes. d̄ = (d − 1) / (D − 1) for the wanted
    distance D, beyond which nothing is gained.

    Args:
        weight: α.
        distance: β.
        change: δ; the three sum to 1.
        decay: λ.
        values: C_1, C_2, …; the last one stands for all further ones up to V.
    """

    weight: float = 0.3
    distance: float = 0.4
    change: float = 0.3
    decay: float = 1.0
    values: tuple[float, ...] = (0.3, 0.85, 1.0)

    def __post_init__(self) -> None:
        """Checks the limits."""
        parts = (self.weight, self.distance, self.change)
        if min(parts) < 0 or abs(sum(parts) - 1) > 1e-9:
            raise InputError(f"weight, distance and change must be >= 0 and sum to 1, got {parts}")
        if not self.values or min(self.values) < 0 or max(self.values) <= 0 or self.decay < 0:
            raise InputError(f"values and decay must be >= 0, some value above 0, got {self.values} and {self.decay}")

    def node_values(self, degrees: NDArray[np.int64], most: int) -> NDArray[np.float64]:
        """R̄ of nodes by their numbers of edges.

        Examples:
            >>> import numpy as np
            >>> from quell.qec.search.environment import SeedReward
            >>> SeedReward().node_values(np.array([1, 2, 3, 4]), 3).round(3)
            array([0.3  , 0.85 , 1.   , 0.368])
        """
        within = np.asarray(self.values)[np.clip(degrees, 1, len(self.values)) - 1]
        above = np.exp(-self.decay * np.maximum(degrees - most, 0))
        worth: NDArray[np.float64] = np.where(degrees > most, above, within) / max(1.0, *self.values)
        return worth

    def __call__(
        self, problem: SeedProblem, bits: NDArray[Any], distance: ArrayLike, before: ArrayLike
    ) -> NDArray[np.float64]:
        """Returns rewards (…) of check matrices (…, r, n) with these distances, now and before the last action."""
        rows = self.node_values(bits.sum(axis=-1).astype(np.int64), problem.max_row)
        columns = self.node_values(bits.sum(axis=-2).astype(np.int64), problem.max_column)
        light = (rows.sum(axis=-1) + columns.sum(axis=-1)) / sum(bits.shape[-2:])
        now, then = (np.minimum(each, problem.distance) for each in (np.asarray(distance), np.asarray(before)))
        span = max(problem.distance - 1, 1)
        reward: NDArray[np.float64] = (
            self.weight * light + self.distance * (now - 1) / span + self.change * (now - then) / span
        )
        return reward


def edge_masks(problem: SeedProblem, bits: NDArray[Any]) -> NDArray[np.bool_]:
    """Which edges may be toggled in check matrices (…, r, n), shaped like them.

    None may come at a node that has as many as are wanted, and none may go from a node that has no other.
    """
    rows, columns = bits.sum(axis=-1)[..., None], bits.sum(axis=-2)[..., None, :]
    may_go = (rows > 1) & (columns > 1)
    may_come = (rows < problem.max_row) & (columns < problem.max_column)
    masks: NDArray[np.bool_] = np.where(bits > 0, may_go, may_come)
    return masks


class SeedEnvironment(gymnasium.Env[NDArray[np.int8], np.int64]):
    """A check matrix that is changed by one edge at a time, for a fixed number of steps.

    Observations are int8 (n − k, n); action a toggles row a // n, column a % n. Every reset and every step is one
    evaluation. Episodes never terminate, they are truncated: a matrix that reaches the target goes on to be rewarded.
    `info` holds distance (exact below the wanted one, else that), cost (0 where the target is reached), k, row_weights
    and column_weights; `evaluations` counts over all episodes.

    Args:
        problem: What is wanted.
        base: Where episodes start, 0 and 1 (n − k, n), of any weights, with no empty row or column; None for random
            matrices within the bounds.
        steps: Of an episode.
        reward: How it is rewarded.

    Raises:
        InputError: The base does not fit the problem.
        MissingExtraError: gymnasium or numba is not installed.

    Examples:
        >>> from quell.qec.search import SeedProblem
        >>> from quell.qec.search.environment import SeedEnvironment
        >>> environment = SeedEnvironment(SeedProblem(12, 3, 4))
        >>> observation, info = environment.reset(seed=1)
        >>> observation.shape, environment.action_masks().shape
        ((9, 12), (108,))
        >>> *_, terminated, truncated, info = environment.step(int(environment.action_masks().argmax()))
        >>> environment.evaluations, terminated, truncated
        (2, False, False)
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (gymnasium asks for a dict)

    def __init__(
        self,
        problem: SeedProblem,
        *,
        base: ArrayLike | None = None,
        steps: int = 100,
        reward: SeedReward | None = None,
    ) -> None:
        self.problem = problem
        self.steps = check_integer("steps", steps, minimum=1)
        self.reward = SeedReward() if reward is None else reward
        shape = (problem.num_checks, problem.n)
        self.observation_space = spaces.MultiBinary(shape)
        self.action_space = spaces.Discrete(shape[0] * shape[1])
        self._base = None if base is None else unpack_rows(pack_rows(base), problem.n).astype(np.int8)
        if self._base is not None:
            fits = self._base.shape == shape
            if not fits or not self._base.any(axis=0).all() or not self._base.any(axis=1).all():
                raise InputError(f"base must be of shape {shape} with no empty row or column, got {self._base.shape}")
        seed_kernels()  # what is not installed is named now, and not in the first episode
        self._bits = np.zeros(shape, dtype=np.int8)
        self._distance = 1
        self._taken = 0
        self.evaluations = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.int8], dict[str, Any]]:
        """Starts an episode.

        Raises:
            InputError: No random matrix was found within the bounds.
        """
        super().reset(seed=seed, options=options)
        self._taken = 0
        self._bits = self._random_bits() if self._base is None else self._base.copy()
        info = self._look()
        self._distance = info["distance"]
        return self._bits.copy(), info

    def step(self, action: Any) -> tuple[NDArray[np.int8], float, bool, bool, dict[str, Any]]:
        """Toggles an edge; one that the mask forbids stays as it is."""
        row, column = divmod(int(action), self.problem.n)
        if not 0 <= row < self.problem.num_checks:
            raise InputError(f"action must be from 0 to {self._bits.size - 1}, got {action}")
        if edge_masks(self.problem, self._bits)[row, column]:
            self._bits[row, column] ^= 1
        info = self._look()
        reward = float(self.reward(self.problem, self._bits, info["distance"], self._distance))
        self._distance = info["distance"]
        self._taken += 1
        return self._bits.copy(), reward, False, self._taken >= self.steps, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions change something, bool (actions,), as sb3-contrib's MaskablePPO asks for them."""
        return edge_masks(self.problem, self._bits).ravel()

    def _random_bits(self) -> NDArray[np.int8]:
        return unpack_rows(random_rows(self.problem, self.np_random), self.problem.n).astype(np.int8)

    def _look(self) -> dict[str, Any]:
        found = evaluate(self.problem, pack_rows(self._bits))
        self.evaluations += 1
        return {
            "distance": found.distance,
            "cost": found.cost,
            "k": found.k,
            "row_weights": self._bits.sum(axis=1),
            "column_weights": self._bits.sum(axis=0),
        }
