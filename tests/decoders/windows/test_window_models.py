"""What windows commit and see, and their models, against the flattened model cut up error by error."""

import dataclasses
import functools
import itertools
from typing import Any

import numpy as np
import pytest
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.windows.parts import read_parts
from quell.decoders.windows.plan import Window, WindowPlan
from quell.decoders.windows.tiling import Layers, block_boxes, sliding_boxes
from quell.decoders.windows.window_models import WindowModels
from quell.decoders.windows.windowed import plan_windows

Part = tuple[frozenset[int], frozenset[int]]  # detectors and observables
WAYS: dict[str, dict[str, Any]] = {
    "sliding": {"commit": 2, "buffer": 1},
    "sliding with much in sight": {"commit": 1, "buffer": 3},
    "parallel": {"commit": 2, "buffer": 2, "scheme": "parallel"},
    "parallel with small gaps": {"commit": 3, "buffer": 1, "scheme": "parallel", "gap": 1},
    "parallel with large gaps": {"commit": 1, "buffer": 1, "scheme": "parallel", "gap": 3},
    "blocks": {"commit": (2, 2), "buffer": (2, 2), "axis": "space-time", "scheme": "parallel"},
}


def errors_of(dem: stim.DetectorErrorModel) -> list[tuple[float, list[Part]]]:
    flat = dem.flattened()
    return [
        (
            instruction.args_copy()[0],
            [
                (
                    frozenset(target.val for target in group if target.is_relative_detector_id()),
                    frozenset(target.val for target in group if target.is_logical_observable_id()),
                )
                for group in instruction.target_groups()
            ],
        )
        for instruction in (flat[i] for i in range(len(flat)))
        if instruction.type == "error"
    ]


def content(model: stim.DetectorErrorModel) -> object:
    """What two models have in common that differ in the order of their errors."""
    errors = sorted((sorted((sorted(d), sorted(o)) for d, o in parts), round(p, 12)) for p, parts in errors_of(model))
    return errors, model.get_detector_coordinates(), model.num_observables


def random_memory(rng: np.random.Generator, *, edges: bool, rate: float = 0.2) -> stim.DetectorErrorModel:
    """Detectors on a small grid in 7 layers, each with an error of its own, and errors that reach to the next layer."""
    width, height, num_layers = int(rng.integers(3, 5)), int(rng.integers(1, 3)), 7
    places = [*itertools.product(range(width), range(height), range(num_layers))]
    rng.shuffle(places)
    lines = [f"detector({x}, {y}, {t}) D{d}" for d, (x, y, t) in enumerate(places)]

    def part(start: int) -> str:
        near = [d for d, place in enumerate(places) if np.abs(np.subtract(place, places[start])).max() <= 1]
        near = [d for d in near if all(abs(places[d][2] - places[e][2]) <= 1 for e in near[:1])]
        size = 1 + int(rng.integers(0, min(len(near), 2 if edges else 4)))
        chosen = {start, *rng.permutation(near)[: size - 1].tolist()}
        if max(places[d][2] for d in chosen) - min(places[d][2] for d in chosen) > 1:
            chosen = {start}
        if max(np.ptp([places[d][axis] for d in chosen]) for axis in (0, 1)) > 1:
            chosen = {start}
        observables = np.flatnonzero(rng.random(2) < 0.3)
        return " ".join([*(f"D{d}" for d in sorted(chosen)), *(f"L{o}" for o in observables)])

    for start in range(len(places)):
        lines.append(f"error({rng.uniform(0.01, rate)}) D{start}")
    for _ in range(3 * len(places)):
        parts = [part(int(start)) for start in rng.integers(0, len(places), int(rng.integers(1, 4)))]
        lines.append(f"error({rng.uniform(0.01, rate)}) " + " ^ ".join(parts))
    return stim.DetectorErrorModel("\n".join([*lines, "logical_observable L1"]))


def owner_of(plan: WindowPlan, part: Part) -> Window:
    """The first window, in order, whose committed region holds one of the part's detectors."""
    return next(window for window in plan.windows if not part[0].isdisjoint(window.commits.tolist()))


def flips_in(plan: WindowPlan, window: Window, part: Part) -> set[int]:
    """Bits that a part flips in a window: detectors, then observables, then the seam."""
    owner = owner_of(plan, part)
    if owner.stage < window.stage:
        return set()
    places = {int(d): place for place, d in enumerate(window.detectors)}
    flips = {places[d] for d in part[0] if d in places}
    if owner is window:
        first = len(places)
        flips |= {first + observable for observable in part[1]}
        seam = {int(d): first + plan.num_observables + place for place, d in enumerate(window.seam)}
        flips |= {seam[d] for d in part[0] - set(window.commits.tolist())}
    return flips


def characters(errors: list[tuple[float, set[int]]], signs: NDArray[np.bool_]) -> NDArray[np.float64]:
    """E[(-1)^(bits in a set)] for many sets, bool (sets, bits): all of them determine a distribution."""
    found = np.ones(len(signs))
    for p, flips in errors:
        odd = np.logical_xor.reduce(signs[:, sorted(flips)], axis=1)
        found *= np.where(odd, 1 - 2 * p, 1)
    return found


def check_distributions(dem: stim.DetectorErrorModel, plan: WindowPlan, rng: np.random.Generator) -> None:
    errors = errors_of(dem)
    for window in plan.windows:
        model = plan.models[window.model]
        first = len(window.detectors)
        assert (model.num_detectors, model.num_observables) == (first, plan.num_observables + len(window.seam))
        here = [
            (p, {first + o for o in effect} | detectors)
            for p, parts in errors_of(model)
            for detectors, effect in [
                (functools.reduce(frozenset.symmetric_difference, each) for each in zip(*parts, strict=True))
            ]
        ]
        wanted: list[tuple[float, set[int]]] = []
        for p, parts in errors:
            flips: set[int] = set()
            for part in parts:
                flips ^= flips_in(plan, window, part)
            wanted.append((p, flips))
        bits = first + model.num_observables
        if bits <= 9:
            signs = np.array([*itertools.product([False, True], repeat=bits)])
        else:
            signs = rng.random((400, bits)) < rng.choice([0.1, 0.5], size=(400, 1))
        np.testing.assert_allclose(characters(here, signs), characters(wanted, signs), rtol=1e-9)
        coordinates = dem.get_detector_coordinates(window.detectors.tolist())
        shift = min((place[-1] for place in coordinates.values()), default=0.0)
        for place, detector in enumerate(window.detectors.tolist()):
            *space, time = coordinates[detector]
            assert model.get_detector_coordinates([place])[place] == [*space, time - shift]


def check_windows(plan: WindowPlan) -> None:
    """What holds for any plan."""
    committed = np.concatenate([window.commits for window in plan.windows])
    np.testing.assert_array_equal(np.sort(committed), np.arange(plan.num_detectors))
    assert [window.stage for window in plan.windows] == sorted(window.stage for window in plan.windows)
    earlier: set[int] = set()
    for _, windows in itertools.groupby(plan.windows, key=lambda window: window.stage):
        now: set[int] = set()
        for window in windows:
            commits, detectors, seam = (set(each.tolist()) for each in (window.commits, window.detectors, window.seam))
            assert (len(commits), len(detectors), len(seam)) == (
                len(window.commits),
                len(window.detectors),
                len(window.seam),
            )
            assert commits <= detectors
            assert seam <= detectors - commits
            assert not detectors & earlier
            assert plan.layers[window.detectors].max() <= window.last_layer
            now |= commits
        earlier |= now


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("edges", [True, False])
def test_a_window_has_the_distribution_of_what_it_sees(way: str, edges: bool) -> None:
    if not edges and way not in ("sliding", "sliding with much in sight"):
        pytest.skip("blocks are for models of edges")
    rng = np.random.default_rng(1)
    for _ in range(4):
        dem = random_memory(rng, edges=edges)
        plan = plan_windows(dem, **WAYS[way])
        assert len(plan.windows) > 2
        check_windows(plan)
        check_distributions(dem, plan, rng)


def numbered(dem: stim.DetectorErrorModel) -> tuple[stim.DetectorErrorModel, list[frozenset[int]]]:
    """The model with an observable of its own for every part of every error; and the detectors of each."""
    lines, parts = [], []
    for p, groups in errors_of(dem):
        texts = []
        for detectors, _ in groups:
            texts.append(" ".join([*(f"D{d}" for d in detectors), f"L{len(parts)}"]))
            parts.append(detectors)
        lines.append(f"error({p}) " + " ^ ".join(texts))
    for detector, place in dem.get_detector_coordinates().items():
        lines.append(f"detector({', '.join(map(str, place))}) D{detector}")
    return stim.DetectorErrorModel("\n".join(lines)), parts


def surface() -> stim.DetectorErrorModel:
    circuit = rotated_surface_memory(3, rounds=8, noise=NoiseModel.uniform_depolarizing(0.01))
    return circuit.detector_error_model(decompose_errors=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["random", "surface"])
def test_every_part_of_every_error_is_committed_by_one_window(name: str, way: str) -> None:
    dem, parts = numbered(surface() if name == "surface" else random_memory(np.random.default_rng(5), edges=True))
    plan = plan_windows(dem, **WAYS[way])
    committed: list[int] = []
    for window in plan.windows:
        for _, groups in errors_of(plan.models[window.model]):
            for detectors, observables in groups:
                mine = [o for o in observables if o < len(parts)]
                flips = {int(window.detectors[d]) for d in detectors}
                seam = {int(window.seam[o - len(parts)]) for o in observables if o >= len(parts)}
                assert len(mine) == bool(observables)
                committed += mine
                for part in mine:
                    # Seen as a whole, and what of it lies in others' regions is flipped there.
                    assert flips == parts[part]
                    assert seam == parts[part] - set(window.commits.tolist())
                    assert owner_of(plan, (parts[part], frozenset())) is window
    assert sorted(committed) == list(range(len(parts)))


def test_one_window_of_everything_is_the_model() -> None:
    """The same errors in the same parts, so that correlations are those of the whole."""
    dem = surface()
    models = WindowModels(read_parts(dem), Layers.of(dem, "time"))
    ((window,), (model,)) = models.windows(sliding_boxes(9, 3, 8)), models.models
    place = {int(d): number for number, d in enumerate(window.detectors)}
    wanted: dict[frozenset[Part], float] = {}
    for p, parts in errors_of(dem):
        moved = frozenset((frozenset(place[d] for d in detectors), effect) for detectors, effect in parts)
        q = wanted.get(moved, 0.0)
        wanted[moved] = p + q - 2 * p * q
    found = {frozenset(parts): p for p, parts in errors_of(model)}
    assert len(found) == len(errors_of(model))
    assert found == pytest.approx(wanted, rel=1e-12)
    assert any(len(parts) > 1 for parts in found)


class Never(dict[bytes, int]):
    """Remembers nothing."""

    def __contains__(self, key: object) -> bool:
        return False


@pytest.mark.parametrize("scheme", ["sliding", "parallel"])
def test_windows_that_share_a_model_would_have_made_it(scheme: str) -> None:
    circuit = rotated_surface_memory(3, rounds=30, noise=NoiseModel.uniform_depolarizing(0.01))
    dem = circuit.detector_error_model(decompose_errors=True)
    parts, layers = read_parts(dem), Layers.of(dem, "time")
    boxes = sliding_boxes(31, 3, 2) if scheme == "sliding" else block_boxes([31], [3], [2], [3])
    shared, alone = WindowModels(parts, layers), WindowModels(parts, layers)
    alone.numbers = Never()
    windows, same = shared.windows(boxes), alone.windows(boxes)
    assert len(alone.models) == len(windows)
    assert len(shared.models) <= 8
    for window, other in zip(windows, same, strict=True):
        assert shared.models[window.model] == alone.models[other.model]
    assert len({str(model) for model in alone.models}) == len(shared.models)


@pytest.mark.parametrize("way", ["sliding", "parallel", "parallel with small gaps", "blocks"])
def test_models_are_no_more_for_a_longer_memory(way: str) -> None:
    plans = []
    for rounds in (20, 100):
        circuit = rotated_surface_memory(3, rounds=rounds, noise=NoiseModel.uniform_depolarizing(0.01))
        # Layers 0 to 20 and 0 to 100: the last windows are alike where what windows advance by divides 80.
        plans.append(plan_windows(circuit.detector_error_model(decompose_errors=True), **WAYS[way]))
    assert len(plans[0].models) == len(plans[1].models)
    assert 4 * len(plans[0].windows) < len(plans[1].windows)
    assert [str(model) for model in plans[0].models] == [str(model) for model in plans[1].models]


@pytest.mark.parametrize("what", ["one more", "another probability", "another observable"])
def test_an_error_in_one_place_changes_the_models_of_the_windows_that_see_it_alone(what: str) -> None:
    circuit = rotated_surface_memory(3, rounds=40, noise=NoiseModel.uniform_depolarizing(0.01))
    dem = circuit.detector_error_model(decompose_errors=True).flattened()
    lines = str(dem).splitlines()
    chosen = next(d for d, place in dem.get_detector_coordinates().items() if place[-1] == 22)
    number = next(n for n, line in enumerate(lines) if line.startswith("error") and line.split()[1:] == [f"D{chosen}"])
    if what == "another probability":
        lines[number] = f"error(0.001) D{chosen}"
    elif what == "another observable":
        lines[number] += " L0"
    else:
        lines.append(f"error(0.001) D{chosen}")
    way = {"commit": 3, "buffer": 2}
    plan, changed = plan_windows(dem, **way), plan_windows(stim.DetectorErrorModel("\n".join(lines)), **way)
    differ = 0
    for one, other in zip(plan.windows, changed.windows, strict=True):
        same = content(plan.models[one.model]) == content(changed.models[other.model])
        # What is seen only counts for the window that commits it, if it is an observable.
        assert same == (chosen not in (other.commits if what == "another observable" else other.detectors))
        differ += not same
    # Layer 22 is in the buffer of the window of layers 18 to 20, and committed by the one after it.
    assert differ == (1 if what == "another observable" else 2)
    assert len(changed.models) == len(plan.models) + differ


def test_the_order_of_errors_and_of_detectors_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    dem = surface().flattened()
    lines = str(dem).splitlines()
    names = rng.permutation(dem.num_detectors)
    shuffled = stim.DetectorErrorModel(
        "\n".join(
            " ".join(f"D{names[int(word[1:])]}" if word.startswith("D") else word for word in line.split(" "))
            for line in rng.permutation(lines).tolist()
        )
    )
    for way in WAYS.values():
        plan, other = plan_windows(dem, **way), plan_windows(shuffled, **way)
        for one, two in zip(plan.windows, other.windows, strict=True):
            np.testing.assert_array_equal(names[one.detectors], two.detectors)
            np.testing.assert_array_equal(names[one.seam], two.seam)
            assert content(plan.models[one.model]) == content(other.models[two.model])


def chain(number: int, ends: str) -> stim.DetectorErrorModel:
    """Detectors in a row in time, with a boundary at its ends: "first", "last", or "none"."""
    lines = [f"error(0.{d + 1}) D{d} D{d + 1} L{d}" for d in range(number - 1)]
    lines += {"first": ["error(0.01) D0 L50"], "last": [f"error(0.01) D{number - 1} L50"], "none": []}[ends]
    lines += [f"detector({d}) D{d}" for d in range(number)]
    return stim.DetectorErrorModel("\n".join([*lines, "logical_observable L50"]))


@pytest.mark.parametrize("ends", ["first", "last", "none"])
def test_the_last_of_a_chain_has_a_way_out_if_it_may_need_one(ends: str) -> None:
    plan = plan_windows(chain(4, ends), commit=1, buffer=1)
    models = [{parts[0]: p for p, parts in errors_of(plan.models[window.model])} for window in plan.windows]
    assert len(plan.windows) == 3
    last = models[-1]
    # D2 and D3 are left; D1 D2 is committed, and the way from D2 is over D1 and D0.
    two, three, edge = frozenset([0]), frozenset([1]), frozenset([0, 1])
    odds = np.array([0.1 / 0.9, 0.2 / 0.8, 0.3 / 0.7, 0.01 / 0.99])
    ways = {
        "first": {
            (two, frozenset([0, 1, 50])): odds[[0, 1, 3]].prod(),
            (three, frozenset([0, 1, 2, 50])): odds.prod(),
        },
        # D3 has a boundary still; or all that is left is even in number.
        "last": {(three, frozenset([50])): odds[3]},
        "none": {},
    }[ends]
    wanted = {key: odd / (1 + odd) for key, odd in ways.items()}
    assert last == pytest.approx({(edge, frozenset([2])): 0.3, **wanted}, rel=1e-5)


def test_windows_are_frozen() -> None:
    plan = plan_windows(surface(), commit=3, buffer=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.windows[0].stage = 3  # type: ignore[misc]  # what is tested
