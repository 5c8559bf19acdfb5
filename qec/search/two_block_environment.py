"""The search for a two-block code as a game for reinforcement learning, with the interface of gymnasium.

A state is a pair of elements a and b of the group algebra over Z_l × Z_m, an action toggles one group element in one of
them, and whatever the action the checks commute: H_X = [L(a) | R(b)], H_Z = [R(b)ᵀ | L(a)ᵀ] (Bravyi et al.,
arXiv:2308.07915; Lin and Pryadko, arXiv:2306.16400). So the whole of a code is changed at once, by a number of actions
that does not grow with the weight of the checks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer, import_extra
from quell.qec.codes.css import CSSCode
from quell.qec.codes.group_algebra import Group, two_block_code

import_extra("gymnasium", "search")

import gymnasium
from gymnasium import spaces

__all__ = ["TwoBlockEnvironment"]


class TwoBlockEnvironment(gymnasium.Env[NDArray[np.int8], np.int64]):
    """A pair (a, b) that is changed by one group element at a time, for a fixed number of steps.

    Observations are int8 (2, l·m), a and b; action s toggles element s % (l·m) of block s // (l·m), and x^i y^j is
    element i·m + j. The reward is the change of k d² / n, with the distance an upper bound by random information sets
    that is the same whenever the same code comes up; it is 0 for k = 0. Checks have weight |a| + |b| and qubits are in
    |a| or |b| checks of each type, so the bounds hold by the masks. Episodes are truncated, never terminated. `info`
    holds k, distance_bound (0 where k is 0), efficiency, weight and degree.

    Args:
        l: The order of x.
        m: The order of y.
        max_weight: Of checks.
        max_degree: Of qubits, in checks of each type.
        start: The elements of a and b that episodes start from; None for random ones as heavy as they may be.
        steps: Of an episode.
        trials: Information sets for each upper bound.

    Raises:
        InputError: An argument is outside its limits.
        MissingExtraError: gymnasium or numba is not installed.

    Examples:
        >>> from quell.qec.search.two_block_environment import TwoBlockEnvironment
        >>> environment = TwoBlockEnvironment(6, 6, start=([18, 1, 2], [3, 6, 12]))
        >>> _, info = environment.reset(seed=1)
        >>> info["k"], info["distance_bound"], info["efficiency"]
        (12, 6, 6.0)
        >>> environment.code().parameters
        (72, 12)
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (gymnasium asks for a dict)

    def __init__(
        self,
        l: int,
        m: int,
        *,
        max_weight: int = 6,
        max_degree: int = 3,
        start: tuple[Sequence[int], Sequence[int]] | None = None,
        steps: int = 40,
        trials: int = 20,
    ) -> None:
        self.group = Group.abelian(check_integer("l", l, minimum=1), check_integer("m", m, minimum=1))
        self.steps = check_integer("steps", steps, minimum=1)
        self.trials = check_integer("trials", trials, minimum=1)
        self.max_degree = check_integer("max_degree", max_degree, minimum=1)
        self.max_weight = check_integer("max_weight", max_weight, minimum=2)
        order = self.group.order
        heaviest = min(self.max_degree, order)
        self._sizes = min(heaviest, self.max_weight - 1), min(heaviest, self.max_weight // 2)
        self._sizes = min(self._sizes[0], self.max_weight - self._sizes[1]), self._sizes[1]
        self._start = None
        if start is not None:
            for name, elements in zip("ab", start, strict=True):
                if not elements or len(set(elements)) < len(elements) or not all(0 <= e < order for e in elements):
                    raise InputError(f"{name} must hold different elements from 0 to {order - 1}, got {list(elements)}")
            self._start = self._bits_of(start)
        self.observation_space = spaces.MultiBinary((2, order))
        self.action_space = spaces.Discrete(2 * order)
        self.evaluations = 0
        self._bits = np.zeros((2, order), dtype=np.int8)
        self._efficiency = 0.0
        self._taken = 0
        import_extra("numba", "search")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.int8], dict[str, Any]]:
        """Starts an episode."""
        super().reset(seed=seed, options=options)
        self._taken = 0
        if self._start is not None:
            self._bits = self._start.copy()
        else:
            order = self.group.order
            a, b = (self.np_random.choice(order, size, replace=False).tolist() for size in self._sizes)
            self._bits = self._bits_of((a, b))
        info = self._look()
        self._efficiency = info["efficiency"]
        return self._bits.copy(), info

    def step(self, action: Any) -> tuple[NDArray[np.int8], float, bool, bool, dict[str, Any]]:
        """Toggles a group element; one that the mask forbids stays as it is."""
        if not 0 <= int(action) < self._bits.size:
            raise InputError(f"action must be from 0 to {self._bits.size - 1}, got {action}")
        if self.action_masks()[int(action)]:
            self._bits.reshape(-1)[int(action)] ^= 1
        info = self._look()
        reward = info["efficiency"] - self._efficiency
        self._efficiency = info["efficiency"]
        self._taken += 1
        return self._bits.copy(), float(reward), False, self._taken >= self.steps, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions change something, bool (actions,): none may exceed a bound, nor leave a or b empty."""
        sizes = self._bits.sum(axis=1, dtype=np.int64)
        may_come = (sizes < self.max_degree) & (sizes.sum() < self.max_weight)
        masks: NDArray[np.bool_] = np.where(self._bits > 0, (sizes > 1)[:, None], may_come[:, None])
        return masks.ravel()

    def code(self) -> CSSCode:
        """The code as it is now."""
        a, b = self._supports()
        return two_block_code(self.group, a.tolist(), b.tolist())

    def _supports(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.flatnonzero(self._bits[0]).astype(np.int64), np.flatnonzero(self._bits[1]).astype(np.int64)

    def _bits_of(self, supports: tuple[Sequence[int], Sequence[int]]) -> NDArray[np.int8]:
        bits = np.zeros((2, self.group.order), dtype=np.int8)
        for block, elements in enumerate(supports):
            bits[block, list(elements)] = 1
        return bits

    def _look(self) -> dict[str, Any]:
        from quell.qec.search import two_block_kernels

        a, b = self._supports()
        ks, bounds = np.full(1, -1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        # Seeded by the code itself, so that the reward depends on nothing else.
        rng = np.random.default_rng([*a.tolist(), self.group.order, *b.tolist()])
        two_block_kernels.upper_bounds(
            np.array(self.group.table, dtype=np.int64), np.array(self.group.inverses, dtype=np.int64), a[None], b[None],
            False, self.trials, np.zeros(2 * self.group.order + 1, dtype=np.int64), rng, ks, bounds,
        )  # fmt: skip
        self.evaluations += 1
        k, bound = int(ks[0]), int(bounds[0]) if ks[0] > 0 else 0
        return {
            "k": k,
            "distance_bound": bound,
            "efficiency": k * bound**2 / (2 * self.group.order),
            "weight": len(a) + len(b),
            "degree": max(len(a), len(b)),
        }
