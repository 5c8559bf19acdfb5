"""The environments against gymnasium's own checker, brute force and sums by hand."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env

from quell.errors import InputError
from quell.qec.search import SeedProblem
from quell.qec.search.environment import SeedEnvironment, SeedReward, edge_masks
from quell.qec.search.two_block_environment import TwoBlockEnvironment

RING = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])


def distance_by_hand(checks: NDArray[np.int8]) -> int:
    words = itertools.product((0, 1), repeat=checks.shape[1])
    return min(sum(word) for word in words if any(word) and not (checks @ np.array(word) % 2).any())


def test_gymnasium_finds_no_fault() -> None:
    check_env(SeedEnvironment(SeedProblem(12, 3, 4)), skip_render_check=True)
    check_env(SeedEnvironment(SeedProblem(4, 1, 4), base=RING), skip_render_check=True)
    check_env(TwoBlockEnvironment(3, 4), skip_render_check=True)


def test_distances_are_those_of_brute_force() -> None:
    problem = SeedProblem(12, 3, 5)
    environment = SeedEnvironment(problem, steps=60)
    bits, info = environment.reset(seed=5)
    rng = np.random.default_rng(5)
    seen = set()
    truncated = False
    while not truncated:
        assert info["distance"] == min(distance_by_hand(bits), problem.distance)
        assert (info["row_weights"] == bits.sum(axis=1)).all()
        assert (info["column_weights"] == bits.sum(axis=0)).all()
        seen.add(info["distance"])
        bits, _, terminated, truncated, info = environment.step(rng.choice(np.flatnonzero(environment.action_masks())))
        assert not terminated
    assert len(seen) > 1
    assert environment.evaluations == 61


def test_masks_keep_every_walk_within_the_bounds() -> None:
    problem = SeedProblem(14, 4, 4, max_row=3, max_column=2)
    environment = SeedEnvironment(problem, steps=200)
    bits, _ = environment.reset(seed=2)
    rng = np.random.default_rng(2)
    for _ in range(200):
        masks = environment.action_masks().reshape(bits.shape)
        for row, column in np.ndindex(bits.shape):
            changed = bits.copy()
            changed[row, column] ^= 1
            weights, degrees = changed.sum(axis=1), changed.sum(axis=0)
            fits = 1 <= weights[row] <= 3 and 1 <= degrees[column] <= 2
            assert masks[row, column] == fits
        bits = environment.step(rng.choice(np.flatnonzero(masks)))[0]


def test_a_heavy_base_can_only_lose_edges_where_it_is_heavy() -> None:
    # The simplex code of dimension 3: six checks of weight three would do, these are heavier.
    base = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 0], [1, 0, 0, 1, 0, 1, 1]])
    environment = SeedEnvironment(SeedProblem(7, 3, 3), base=base)
    bits, info = environment.reset(seed=1)
    masks = environment.action_masks().reshape(base.shape)
    assert (bits == base).all()
    assert info["distance"] == min(distance_by_hand(base), 3)
    assert not masks[base == 0].any()  # every row is full
    assert not masks[3, 6]  # the only edge of its column
    after = environment.step(3 * 7 + 6)[0]
    assert (after == base).all()


def test_the_reward_is_the_sum_by_hand() -> None:
    problem = SeedProblem(4, 1, 4)
    reward = SeedReward(weight=0.2, distance=0.5, change=0.3, decay=1.0, values=(0.25, 0.75, 1.0))
    environment = SeedEnvironment(problem, base=RING, reward=reward)
    environment.reset(seed=1)
    # Without the edge of row 0 and column 1: rows of 1, 2, 2 and columns of 1, 1, 2, 1; the word 1111 of the ring has
    # become 0111, and the distance 3.
    bits, got, _, _, info = environment.step(1)
    assert info["distance"] == distance_by_hand(bits) == 3
    light = (3 * 0.75 + 4 * 0.25) / 7
    assert got == pytest.approx(0.2 * light + 0.5 * (3 - 1) / 3 + 0.3 * (3 - 4) / 3, abs=1e-12)
    # Adding it again: the change counts in favour.
    _, got, _, _, info = environment.step(1)
    light = (2 * 0.25 + 5 * 0.75) / 7
    assert info["distance"] == 4
    assert got == pytest.approx(0.2 * light + 0.5 + 0.3 * (4 - 3) / 3, abs=1e-12)


def test_nodes_above_the_wanted_weight_fall_off_exponentially() -> None:
    reward = SeedReward(decay=0.5, values=(0.3, 0.85, 1.0))
    got = reward.node_values(np.array([1, 2, 3, 4, 6]), 3)
    assert got == pytest.approx([0.3, 0.85, 1.0, math.exp(-0.5), math.exp(-1.5)])


def test_masks_of_many_matrices_are_those_of_each() -> None:
    problem = SeedProblem(12, 3, 4)
    environment = SeedEnvironment(problem)
    matrices = np.array([environment.reset(seed=seed)[0] for seed in range(6)])
    together = edge_masks(problem, matrices)
    assert all((together[each] == edge_masks(problem, matrices[each])).all() for each in range(6))


def test_two_block_checks_commute_wherever_one_walks() -> None:
    environment = TwoBlockEnvironment(3, 4, steps=40)
    bits, info = environment.reset(seed=3)
    rng = np.random.default_rng(3)
    for _ in range(40):
        assert 2 <= info["weight"] <= 6
        assert info["degree"] <= 3
        code = environment.code()
        assert not (code.x_checks.astype(int) @ code.z_checks.T % 2).any()
        assert code.parameters == (24, info["k"])
        masks = environment.action_masks().reshape(bits.shape)
        assert (masks == np.where(bits > 0, bits.sum(1)[:, None] > 1, bits.sum(1)[:, None] < 3)).all()
        bits, _, _, _, info = environment.step(rng.choice(np.flatnonzero(masks)))


def test_two_block_rewards_add_up_to_the_efficiency() -> None:
    # From the bivariate bicycle code [[72, 12, 6]] of arXiv:2308.07915 away and back again.
    environment = TwoBlockEnvironment(6, 6, start=([18, 1, 2], [3, 6, 12]))
    _, start = environment.reset(seed=1)
    assert (start["k"], start["distance_bound"], start["efficiency"]) == (12, 6, 6.0)
    _, first, _, _, away = environment.step(18)
    _, second, _, _, back = environment.step(18)
    assert away["weight"] == 5
    assert first + second == pytest.approx(0, abs=1e-12)
    assert first == pytest.approx(away["efficiency"] - 6)
    assert back == start


@pytest.mark.parametrize(
    "bad",
    [
        lambda: SeedEnvironment(SeedProblem(4, 1, 4), base=RING[:2]),
        lambda: SeedEnvironment(SeedProblem(4, 1, 4), base=np.eye(3, 4)),
        lambda: SeedEnvironment(SeedProblem(4, 1, 4), steps=0),
        lambda: SeedReward(weight=0.5, distance=0.5, change=0.5),
        lambda: SeedReward(values=()),
        lambda: TwoBlockEnvironment(3, 3, start=([0, 0], [1])),
        lambda: TwoBlockEnvironment(3, 3, start=([9], [1])),
    ],
)
def test_bad_input_is_refused(bad) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError):
        bad()
