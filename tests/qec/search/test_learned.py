"""The learned agents: symmetry of the networks, exact accounts of codewords, and that learning helps."""

import importlib
import itertools
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

import torch
from torch import Tensor

from quell.errors import DataError, InputError, MissingExtraError, StorageError
from quell.qec.search import Agent, Annealing, RandomSampling, SeedProblem, Symmetry, evaluate, pack_rows, unpack_rows
from quell.qec.search.learned import (
    EdgePolicy,
    GuidedScreen,
    MoveRanker,
    NetworkSize,
    NoScreen,
    PolicyAgent,
    PolicyScreen,
    PPOSettings,
    RankerScreen,
    ScreenedAnnealing,
    kernels,
    learned_annealing,
    load_network,
    save_network,
    train,
    train_ranker,
)
from quell.qec.search.learned.agent import RANKER_FILE, log_chance
from quell.qec.search.learned.policy import CLASS_COSTS, GraphView, view
from quell.qec.search.learned.ppo import SeedBatch, masked
from quell.qec.search.learned.ranking import collect_moves
from quell.qec.search.seeds import EXCESS_PRICE

PROBLEM = SeedProblem(16, 5, 5)
SIZE = NetworkSize(12, 3)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def codewords(checks: NDArray[np.uint8]) -> set[int]:
    """All words by brute force, as masks of columns."""
    every = np.array(list(itertools.product((0, 1), repeat=checks.shape[1])), dtype=np.int64)
    kept = every[~(every @ checks.T % 2).any(axis=1)]
    return set((kept @ (1 << np.arange(checks.shape[1]))).tolist()) - {0}


def sample_batch(problem: SeedProblem, matrices: int, seed: int) -> SeedBatch:
    batch = SeedBatch(problem, matrices)
    batch.restart(np.random.default_rng(seed), np.arange(matrices))
    return batch


@pytest.mark.parametrize("problem", [SeedProblem(12, 3, 5), SeedProblem(14, 5, 5, 4, 4)])
def test_light_codewords_and_what_a_move_takes_away(problem: SeedProblem) -> None:
    batch = sample_batch(problem, 3, seed=4)
    moves = 12
    new = np.zeros((moves, problem.num_checks), dtype=np.uint64)
    toggles, gains = np.zeros((moves, 4, 3), dtype=np.int64), np.zeros(moves)
    rng = np.random.default_rng(4)
    for each in range(3):
        checks = unpack_rows(batch.rows[each], problem.n)
        light = {word for word in codewords(checks) if word.bit_count() < problem.distance}
        assert set(batch.words[each, : batch.found[each]].tolist()) == light
        shares = [sum(problem.prices[word.bit_count()] for word in light if word >> j & 1) for j in range(problem.n)]
        assert batch.shares[each] == pytest.approx(shares)
        drawn = kernels.draw_moves(
            rng, batch.rows[each], problem.n, problem.max_row, problem.max_column, batch.words[each],
            int(batch.found[each]), problem.prices, new, toggles, gains,
        )  # fmt: skip
        assert drawn == moves
        for move in range(moves):
            after = unpack_rows(new[move], problem.n)
            changed = checks.copy()
            for row, column, sign in toggles[move]:
                if sign:
                    assert checks[row, column] == (sign < 0)
                    changed[row, column] ^= 1
            assert (changed == after).all()
            assert 1 <= after.sum(axis=1).min() <= after.sum(axis=1).max() <= problem.max_row
            assert 1 <= after.sum(axis=0).min() <= after.sum(axis=0).max() <= problem.max_column
            gone = light - codewords(after)
            assert gains[move] == pytest.approx(sum(problem.prices[word.bit_count()] for word in gone))


def test_words_grown_by_columns_are_those_of_brute_force() -> None:
    # k = 16 is above what is gone through at once, so words are grown; of distance 4 all but sums of two are connected,
    # and those weigh 4 or more as no column is empty.
    problem = SeedProblem(38, 16, 4)
    batch = sample_batch(problem, 4, seed=1)
    for each in range(4):
        columns = [sum(int(row >> np.uint64(j)) % 2 << i for i, row in enumerate(batch.rows[each])) for j in range(38)]
        light = {
            sum(1 << j for j in chosen)
            for size in (1, 2, 3)
            for chosen in itertools.combinations(range(38), size)
            if np.bitwise_xor.reduce([columns[j] for j in chosen]) == 0
        }
        assert set(batch.words[each, : batch.found[each]].tolist()) == light


def test_moves_that_only_renumber_are_passed_over() -> None:
    problem = SeedProblem(20, 6, 6)
    batch = sample_batch(problem, 4, seed=3)
    new = np.zeros((200, problem.num_checks), dtype=np.uint64)
    toggles, gains = np.zeros((200, 4, 3), dtype=np.int64), np.zeros(200)
    renumbered = 0
    for rows in batch.rows:
        kernels.draw_moves(
            np.random.default_rng(1), rows, problem.n, 3, 3, batch.words[0], 0, problem.prices, new, toggles, gains
        )
        checks = unpack_rows(rows, problem.n)
        before = sorted(map(bytes, checks)), sorted(map(bytes, checks.T))
        for word in new:
            after = unpack_rows(word, problem.n)
            renumbered += before[0] == sorted(map(bytes, after)) or before[1] == sorted(map(bytes, after.T))
    assert renumbered == 0


def permuted(graph: GraphView, rows: Tensor, columns: Tensor) -> GraphView:
    return GraphView(
        graph.bits[:, rows][:, :, columns], graph.rows[:, rows], graph.columns[:, columns],
        graph.walks[:, rows][:, :, columns],
    )  # fmt: skip


def test_networks_do_not_depend_on_the_order_of_rows_and_columns() -> None:
    torch.manual_seed(5)
    batch = sample_batch(PROBLEM, 3, seed=5)
    p = PROBLEM
    rows, columns = torch.randperm(p.num_checks), torch.randperm(p.n)

    def seen(bits: Tensor, shares: Tensor) -> GraphView:
        return view(bits, shares, torch.from_numpy(batch.costs).float(), p.k, p.distance, p.max_row, p.max_column)

    bits, shares = torch.from_numpy(batch.bits), torch.from_numpy(batch.shares)
    graph, other = seen(bits, shares), seen(bits[:, rows][:, :, columns], shares[:, columns])
    policy, ranker = EdgePolicy(SIZE), MoveRanker(SIZE)
    logits, values = policy(graph)
    assert logits.std() > 1e-3
    moved_logits, moved_values = policy(other)
    torch.testing.assert_close(moved_logits, logits[:, rows][:, :, columns], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved_values, values, atol=1e-5, rtol=0)
    # A move is named by nodes, whose numbers change; the order of its edges is of no matter.
    toggles = torch.tensor([[[[1, 2, 1], [3, 4, -1], [5, 6, 1], [0, 0, 0]]]]).expand(3, 1, 4, 3)
    inverse_rows, inverse_columns = rows.argsort(), columns.argsort()
    renamed = torch.stack([inverse_rows[toggles[..., 0]], inverse_columns[toggles[..., 1]], toggles[..., 2]], dim=-1)
    gains = torch.ones(3, 1)
    scores = ranker(graph, toggles, gains)
    torch.testing.assert_close(ranker(other, renamed.flip(2), gains), scores, atol=1e-5, rtol=0)


def test_the_chance_of_a_move_is_that_of_metropolis() -> None:
    # Certain of a class, the chance is exp(-rise / temperature), and 1 if the cost does not rise.
    for which, cost in enumerate(CLASS_COSTS):
        logits = torch.full((1, 1, len(CLASS_COSTS)), -1e4)
        logits[..., which] = 0
        for gain in (0.0, 1.0, 50.0):
            got = log_chance(logits, torch.full((1, 1), gain), 0.5)
            assert got.item() == pytest.approx(-max(cost - gain, 0) / 0.5, abs=1e-4)


def test_ppo_learns_what_random_actions_do_not() -> None:
    problem = SeedProblem(14, 4, 5)
    settings = PPOSettings(walks=16, steps=16, episode=64, learning_rate=2e-3)
    trained = train([problem], rounds=8, seed=1, size=SIZE, settings=settings)
    assert trained.evaluations == 8 * (16 + 64 * 16)

    def mean_cost(policy: EdgePolicy | None) -> float:
        batch = sample_batch(problem, 64, seed=9)
        generator = torch.Generator().manual_seed(9)
        total = 0.0
        with torch.no_grad():
            for step in range(80):
                logits = torch.zeros(batch.bits.shape) if policy is None else policy(batch.view())[0]
                chances = masked(logits, batch.masks()).exp()
                kernels.toggle_edges(
                    batch.rows, torch.multinomial(chances, 1, generator=generator)[:, 0].numpy(), problem.n
                )
                batch.look()
                total += float(batch.costs.mean()) if step >= 40 else 0.0
        return total / 40

    learned, unlearned, toggled = mean_cost(trained.policy), mean_cost(EdgePolicy(SIZE)), mean_cost(None)
    assert learned < 0.5 * min(unlearned, toggled)


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    settings = PPOSettings(walks=4, steps=4, episode=8, batch=8, epochs=1)
    whole = train([PROBLEM], rounds=3, seed=2, size=SIZE, settings=settings)
    path = tmp_path / "policy"
    train([PROBLEM], rounds=1, seed=2, size=SIZE, settings=settings, checkpoint=path)
    resumed = train([PROBLEM], rounds=3, seed=2, size=SIZE, settings=settings, checkpoint=path)
    assert resumed.evaluations == whole.evaluations
    assert resumed.history == whole.history
    for name, value in whole.policy.state_dict().items():
        torch.testing.assert_close(resumed.policy.state_dict()[name], value, atol=0, rtol=0)
    with pytest.raises(DataError, match="other problems or settings"):
        train([PROBLEM], rounds=3, seed=3, size=SIZE, settings=settings, checkpoint=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError):
        train([PROBLEM], rounds=3, seed=2, size=SIZE, settings=settings, checkpoint=path)


def test_the_ranker_resumes(tmp_path: Path) -> None:
    path = tmp_path / "ranker"
    options = {"steps": 20, "matrices": 60, "moves": 8, "seed": 3, "size": SIZE}

    def stop_early(state: object) -> None:
        if state.steps == 7:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    whole = train_ranker([PROBLEM], **options)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        train_ranker([PROBLEM], checkpoint=path, on_step=stop_early, **options)  # type: ignore[arg-type]
    resumed = train_ranker([PROBLEM], checkpoint=path, **options)  # type: ignore[arg-type]
    assert resumed.losses == whole.losses
    assert (whole.steps, whole.losses[-1] < whole.losses[0]) == (20, True)


def test_the_shipped_network_knows_what_moves_create() -> None:
    # On moves of a problem that it was not trained on it must tell far more than the frequencies of the classes do.
    problem = SeedProblem(44, 16, 7)
    ranker, card = load_network(RANKER_FILE, MoveRanker)
    assert [*astuple(problem)] not in card["problems"]
    graph, toggles, gains, classes = collect_moves(problem, matrices=100, moves=16, seed=77).batch(np.arange(100))
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(ranker(graph, toggles, gains).flatten(0, 1), classes.flatten())
    shares = torch.bincount(classes.flatten(), minlength=len(CLASS_COSTS)) / classes.numel()
    assert loss < 0.8 * torch.special.entr(shares).sum()


def agents() -> list[Agent]:
    torch.manual_seed(0)
    return [
        ScreenedAnnealing(NoScreen(), 4),
        ScreenedAnnealing(GuidedScreen(), 4),
        ScreenedAnnealing(RankerScreen(MoveRanker(SIZE)), 4),
        ScreenedAnnealing(PolicyScreen(EdgePolicy(SIZE)), 4),
        PolicyAgent(EdgePolicy(SIZE), walks=3, episode=10),
    ]


@pytest.mark.parametrize("which", range(5))
def test_budgets_are_kept_and_seeds_decide(which: int) -> None:
    hard = SeedProblem(30, 8, 11)  # not reached by these
    agent = agents()[which]
    assert isinstance(agent, Agent)
    first, second = (agents()[which].search(hard, evaluations=100, seed=5) for _ in range(2))
    assert first.evaluations == second.evaluations == 100
    assert (first.rows == second.rows).all()
    assert (first.trace == second.trace).all()
    other = agent.search(hard, evaluations=100, seed=6)
    assert not (first.rows == other.rows).all()
    assert first.cost == evaluate(hard, first.rows).cost == first.trace[-1, 1]
    assert (np.diff(first.trace[:, 1]) < 0).all()
    assert (np.diff(first.trace[:, 0]) > 0).all()
    checks = first.checks
    assert 1 <= checks.sum(axis=1).min() <= checks.sum(axis=1).max() <= 3
    assert (pack_rows(checks) == first.rows).all()
    stopped = agent.search(hard, evaluations=100, seed=5, stop=lambda: True)
    assert stopped.evaluations <= 1


def test_evaluations_are_those_that_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    look = kernels.look

    def counted(matrices: NDArray[np.uint64], *rest: object) -> None:
        looked.append(len(matrices))
        look(matrices, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(kernels, "look", counted)
    result = ScreenedAnnealing(GuidedScreen(), 8).search(SeedProblem(30, 8, 11), evaluations=77, seed=1)
    assert sum(looked) == result.evaluations == 77


def test_walks_side_by_side_are_those_alone() -> None:
    agent = ScreenedAnnealing(GuidedScreen(), 8)
    together = agent.search_many(PROBLEM, evaluations=200, seeds=[1, 2, 3])
    for seed, result in zip((1, 2, 3), together, strict=True):
        alone = agent.search(PROBLEM, evaluations=200, seed=seed)
        assert (alone.rows == result.rows).all()
        assert alone.evaluations == result.evaluations


def test_the_shipped_network_beats_annealing_at_equal_budgets() -> None:
    # Longer than what it was trained on. Medians of 8 runs each; annealing was given its best temperatures.
    problem = SeedProblem(50, 20, 5)
    assert evaluate(problem, RandomSampling().search(problem, evaluations=10, seed=1).rows).cost > 0
    seeds = range(8)
    learned = learned_annealing().search_many(problem, evaluations=1000, seeds=seeds)
    plain = [Annealing(Symmetry(), 0.3, 0.15).search(problem, evaluations=1000, seed=seed) for seed in seeds]
    assert np.median([run.cost for run in learned]) < 0.6 * np.median([run.cost for run in plain])


def test_network_files(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    policy = EdgePolicy(SIZE)
    save_network(path, policy, {"note": "a test"})
    again, card = load_network(path, EdgePolicy)
    assert card == {"note": "a test"}
    for name, value in policy.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    with pytest.raises(DataError, match="not a MoveRanker"):
        load_network(path, MoveRanker)
    with pytest.raises(StorageError):
        load_network(tmp_path / "absent", EdgePolicy)
    policy.size = NetworkSize(13, 3)
    save_network(path, policy, {})
    with pytest.raises(DataError, match="another architecture"):
        load_network(path, EdgePolicy)
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="damaged"):
        load_network(path, EdgePolicy)


def test_without_torch_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "quell.qec.search.learned")
    with pytest.raises(MissingExtraError, match=r"torch is not installed: this needs pip install 'quell\[search\]'"):
        importlib.import_module("quell.qec.search.learned")


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError):
        ScreenedAnnealing(NoScreen(), 0)
    with pytest.raises(InputError):
        ScreenedAnnealing(NoScreen(), 4, 2, start_temperature=0.1, end_temperature=0.2)
    with pytest.raises(InputError):
        PPOSettings(reward="money")
    with pytest.raises(InputError):
        train([], rounds=1)
    with pytest.raises(InputError):
        NetworkSize(0, 1)
    assert EXCESS_PRICE > 0
