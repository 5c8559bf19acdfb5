"""Decoding in windows: corrections explain the events, whole-volume decoding as the limit, refusals and odd cases."""

import functools
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sinter
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory, rp2_memory, unrotated_surface_memory
from quell.decoders.ldpc_decoders import BPOSD
from quell.decoders.windows.windowed import CompiledWindowed, Windowed
from quell.errors import InputError

Flips = tuple[tuple[int, ...], tuple[int, ...]]  # detectors and observables


def packed(bits: NDArray[Any]) -> NDArray[np.uint8]:
    return np.packbits(bits, axis=1, bitorder="little")


def decode(decoder: sinter.Decoder | str, dem: stim.DetectorErrorModel, events: NDArray[Any]) -> NDArray[np.bool_]:
    if isinstance(decoder, str):
        decoder = sinter.BUILT_IN_DECODERS[decoder]
    compiled = decoder.compile_decoder_for_dem(dem=dem)
    found = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed(events))
    assert found.shape == (len(events), -(-dem.num_observables // 8))
    return np.unpackbits(found, axis=1, count=dem.num_observables, bitorder="little").astype(np.bool_)


def itemised(dem: stim.DetectorErrorModel, rng: np.random.Generator) -> tuple[stim.DetectorErrorModel, list[Flips]]:
    """The model, its probabilities a little changed against ties, with an observable for each distinct part."""
    numbers: dict[Flips, int] = {}
    lines = []
    flat = dem.flattened()
    for instruction in (flat[i] for i in range(len(flat))):
        if instruction.type == "error":
            texts = []
            for group in instruction.target_groups():
                detectors = tuple(sorted(target.val for target in group if target.is_relative_detector_id()))
                observables = tuple(sorted(target.val for target in group if target.is_logical_observable_id()))
                number = numbers.setdefault((detectors, observables), len(numbers))
                texts.append(" ".join([*(f"D{d}" for d in detectors), f"L{number}"]))
            lines.append(f"error({instruction.args_copy()[0] * rng.uniform(0.9, 1)}) " + " ^ ".join(texts))
        elif instruction.type == "detector":
            lines.append(str(instruction))
    return stim.DetectorErrorModel("\n".join(lines)), list(numbers)


def with_observables(dem: stim.DetectorErrorModel, parts: list[Flips], number: int) -> stim.DetectorErrorModel:
    """An itemised model with the observables of the first."""
    lines = []
    for line in str(dem).splitlines():
        words = line.split()
        if words[0].startswith("error"):
            words = [
                " ".join(f"L{o}" for o in parts[int(word[1:])][1]) if word.startswith("L") else word for word in words
            ]
        lines.append(" ".join(words))
    return stim.DetectorErrorModel("\n".join([*lines, f"logical_observable L{number - 1}"]))


def torus(side: int, num_layers: int) -> stim.DetectorErrorModel:
    """Checks on a torus in layers of time: no boundary anywhere, in space or in time."""
    number = {
        place: n
        for n, place in enumerate((t, x, y) for t, x, y in itertools.product(range(num_layers), *[range(side)] * 2))
    }
    lines = [f"detector({x}, {y}, {t}) D{n}" for (t, x, y), n in number.items()]
    for (t, x, y), n in number.items():
        right = f"D{n} D{number[t, (x + 1) % side, y]}" + (" L0" if x == side - 1 else "")
        lines.append(f"error(0.02) {right}")
        lines.append(f"error(0.02) D{n} D{number[t, x, (y + 1) % side]}" + (" L1" if y == side - 1 else ""))
        if t + 1 < num_layers:
            lines.append(f"error(0.02) D{n} D{number[t + 1, x, y]}")
            lines.append(f"error(0.01) {right} ^ D{n} D{number[t + 1, x, y]}")
    return stim.DetectorErrorModel("\n".join(lines))


def random_graph(seed: int, ends: float) -> stim.DetectorErrorModel:
    """Detectors at random times, errors between those that are at most two layers apart."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 12, 40))
    times = np.unique(times, return_inverse=True)[1]
    lines = [f"detector({time}) D{d}" for d, time in enumerate(times)]
    lines += [f"error({rng.uniform(0.01, 0.2)}) D{d} L0" for d in range(40) if rng.random() < ends]
    for a, b in sorted({tuple(sorted(rng.permutation(40)[:2].tolist())) for _ in range(90)}):
        if times[b] - times[a] <= 2:
            effect = " L1" if rng.random() < 0.2 else ""
            lines.append(f"error({rng.uniform(0.01, 0.2)}) D{a} D{b}{effect}")
    return stim.DetectorErrorModel("\n".join([*lines, "logical_observable L1"]))


@functools.cache
def model(name: str) -> stim.DetectorErrorModel:
    noise = NoiseModel.uniform_depolarizing(0.01)
    if name == "torus":
        return torus(3, 12)
    if name.startswith("random"):
        return random_graph(int(name[-1]), ends={"random 1": 0.2, "random 2": 0.03, "random 3": 0.0}[name])
    if name == "stim":
        circuit = stim.Circuit.generated(
            "surface_code:rotated_memory_x", distance=3, rounds=14, after_clifford_depolarization=0.01
        )
    elif name == "repetition":
        circuit = stim.Circuit.generated(
            "repetition_code:memory",
            distance=5,
            rounds=15,
            before_measure_flip_probability=0.05,
            before_round_data_depolarization=0.1,
        )
    elif name == "rp2":
        circuit = rp2_memory(3, 12, noise=noise)
    else:
        circuit = {"rotated": rotated_surface_memory, "unrotated": unrotated_surface_memory}[name](3, 12, noise=noise)
    return circuit.detector_error_model(decompose_errors=True)


WAYS: dict[str, dict[str, Any]] = {
    "sliding": {"commit": 3, "buffer": 2},
    "sliding by one": {"commit": 1, "buffer": 3},
    "parallel": {"commit": 3, "buffer": 3, "scheme": "parallel"},
    "parallel with small gaps": {"commit": 3, "buffer": 2, "scheme": "parallel", "gap": 2},
    "parallel with large gaps": {"commit": 2, "buffer": 2, "scheme": "parallel", "gap": 5},
    "blocks": {"commit": (3, 2), "buffer": (3, 2), "axis": "space-time"},
}
NAMES = ("rotated", "unrotated", "stim", "repetition", "rp2", "torus", "random 1", "random 2", "random 3")


CASES = [
    *((name, way, "pymatching") for name in NAMES for way in WAYS if way != "blocks"),
    *((name, "blocks", "pymatching") for name in ("rotated", "unrotated", "stim")),
    *((name, way, "pymatching-correlated") for name in ("rotated", "rp2", "torus") for way in ("sliding", "parallel")),
]


@pytest.mark.parametrize(("name", "way", "inner"), CASES)
def test_what_is_committed_explains_the_events(name: str, way: str, inner: str) -> None:
    """With an observable for each part the prediction is the whole correction."""
    original = model(name)
    rng = np.random.default_rng(1)
    dem, parts = itemised(original, rng)
    flips = np.zeros((len(parts), dem.num_detectors), dtype=np.int64)
    effects = np.zeros((len(parts), original.num_observables), dtype=np.int64)
    for number, (detectors, observables) in enumerate(parts):
        flips[number, list(detectors)] = 1
        effects[number, list(observables)] = 1
    decoder = Windowed(inner, **WAYS[way])
    assert len(decoder.plan(dem).windows) > 2
    events = original.compile_sampler(seed=2).sample(100)[0]
    correction = decode(decoder, dem, events).astype(np.int64)
    np.testing.assert_array_equal(correction @ flips % 2, events)
    plain = with_observables(dem, parts, original.num_observables)
    differ = (correction @ effects % 2 != decode(decoder, plain, events)).any(axis=1)
    assert not differ.any()


@pytest.mark.parametrize("inner", ["pymatching", "pymatching-correlated"])
@pytest.mark.parametrize("way", [{}, {"scheme": "parallel"}])
def test_one_window_is_whole_volume_decoding(way: dict[str, Any], inner: str) -> None:
    dem = model("rotated")
    sizes = {"commit": 13, "buffer": 12} if way else {"commit": 1, "buffer": 12}
    decoder = Windowed(inner, **sizes, **way)
    assert len(decoder.plan(dem).windows) == 1
    events = dem.compile_sampler(seed=3).sample(3000)[0]
    np.testing.assert_array_equal(decode(decoder, dem, events), decode(inner, dem, events))


def test_a_large_buffer_is_as_good_as_the_whole_volume_and_a_small_one_is_not() -> None:
    """Paired on 4000 shots: d layers of buffer cost less than 1 %, and one layer costs more than nothing for sure.

    Where d layers cost 0.2 %, as 20000 shots say, the difference, with some 15 discordant shots, is 8 deviations below
    the bound. The exact test of the discordant shots has a false alarm rate of 1e-6.
    """
    circuit = rotated_surface_memory(5, 12, noise=NoiseModel.uniform_depolarizing(0.008))
    dem = circuit.detector_error_model(decompose_errors=True)
    events, flips = circuit.compile_detector_sampler(seed=4).sample(4000, separate_observables=True)
    whole = (decode("pymatching", dem, events) != flips).any(axis=1)

    def discordant(**way: Any) -> tuple[int, int]:
        failed = (decode(Windowed(**way), dem, events) != flips).any(axis=1)
        return int((failed & ~whole).sum()), int((whole & ~failed).sum())

    for scheme in ("sliding", "parallel"):
        more, fewer = discordant(commit=4, buffer=5, scheme=scheme)
        assert abs(more - fewer) < 0.01 * len(events)
    for scheme, gap in (("sliding", None), ("parallel", 1)):
        more, fewer = discordant(commit=1, buffer=1, scheme=scheme, gap=gap)
        assert scipy.stats.binomtest(more, more + fewer, 0.5, alternative="greater").pvalue < 1e-6


def test_bposd_slides_over_a_colour_code() -> None:
    pytest.importorskip("ldpc")
    circuit = stim.Circuit.generated(
        "color_code:memory_xyz",
        distance=3,
        rounds=10,
        before_measure_flip_probability=0.005,
        after_clifford_depolarization=0.002,
    )
    dem = circuit.detector_error_model()
    assert max(len(dem_part) for dem_part in detectors_of_errors(dem)) > 2
    events, flips = circuit.compile_detector_sampler(seed=5).sample(400, separate_observables=True)
    whole = (decode(BPOSD(), dem, events) != flips).mean()
    slid = (decode(Windowed(BPOSD(), commit=3, buffer=3), dem, events) != flips).mean()
    never = flips.mean()
    # Guessing that nothing is flipped errs several times as often.
    assert slid <= whole + 0.03 < never


def detectors_of_errors(dem: stim.DetectorErrorModel) -> list[list[int]]:
    flat = dem.flattened()
    return [
        [target.val for target in instruction.targets_copy() if target.is_relative_detector_id()]
        for instruction in (flat[i] for i in range(len(flat)))
        if instruction.type == "error"
    ]


class Doubtful(sinter.Decoder, sinter.CompiledDecoder):
    """Predicts nothing, and discards a shot that has an odd number of events in a window."""

    def __init__(self, width: int | None = None, dtype: type = np.uint8) -> None:
        self.width, self.dtype = width, dtype

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        compiled = Doubtful(dtype=self.dtype)
        compiled.width = -(-dem.num_observables // 8) + 1 if self.width is None else self.width
        return compiled

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self.width is not None
        found = np.zeros((len(bit_packed_detection_event_data), self.width), dtype=self.dtype)
        found[:, -1] = 255 * (np.bitwise_count(bit_packed_detection_event_data).sum(axis=1) % 2)
        return found


@pytest.mark.parametrize("way", ["sliding", "parallel"])
def test_a_shot_that_a_window_discards_is_discarded(way: str) -> None:
    dem = model("repetition")
    compiled = Windowed(Doubtful(), **WAYS[way]).compile_decoder_for_dem(dem=dem)
    events = np.random.default_rng(6).random((500, dem.num_detectors)) < 0.02
    wanted = np.zeros(500, dtype=np.bool_)
    for window in compiled.plan.windows:
        wanted |= events[:, window.detectors].sum(axis=1) % 2 == 1
    assert 0 < wanted.sum() < 500
    found = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed(events))
    np.testing.assert_array_equal(found, np.stack([np.zeros(500), wanted], axis=1))
    # The byte is there even where nothing is discarded, so that batches of any shots look the same.
    found = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed(events[~wanted]))
    np.testing.assert_array_equal(found, np.zeros((500 - wanted.sum(), 2)))


def test_predictions_of_another_shape_are_refused() -> None:
    dem = model("repetition")
    for inner, got in ((Doubtful(width=7), r"uint8 of shape \(5, 7\)"), (Doubtful(dtype=np.int64), "int64 of shape")):
        compiled = Windowed(inner, commit=3, buffer=3).compile_decoder_for_dem(dem=dem)
        with pytest.raises(InputError, match=rf"the inner decoder must return uint8 of shape \(5, 1\), .* got {got}"):
            compiled.decode_shots_bit_packed(bit_packed_detection_event_data=np.zeros((5, 8), dtype=np.uint8))


def test_large_batches_are_decoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    dem = model("repetition")
    events = dem.compile_sampler(seed=7).sample(333)[0]
    for decoder in (Windowed(commit=3, buffer=3), Windowed(Doubtful(), commit=3, buffer=3)):
        compiled = decoder.compile_decoder_for_dem(dem=dem)
        whole = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed(events))
        with monkeypatch.context() as patch:
            patch.setattr("quell.decoders.windows.windowed._BYTES_AT_A_TIME", 10 * dem.num_detectors)
            found = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed(events))
        np.testing.assert_array_equal(found, whole)


def test_a_decoder_can_be_pickled() -> None:
    dem = model("rotated")
    decoder = Windowed("pymatching-correlated", commit=3, buffer=(2,), scheme="parallel", gap=2)
    again = pickle.loads(pickle.dumps(decoder))
    assert isinstance(again, Windowed)
    assert again.settings_id() == decoder.settings_id()
    events = dem.compile_sampler(seed=8).sample(100)[0]
    np.testing.assert_array_equal(decode(again, dem, events), decode(decoder, dem, events))


def test_every_setting_is_in_the_settings() -> None:
    settings = [
        Windowed(commit=3, buffer=3),
        Windowed(commit=2, buffer=3),
        Windowed(commit=3, buffer=2),
        Windowed("pymatching-correlated", commit=3, buffer=3),
        Windowed(BPOSD(), commit=3, buffer=3),
        Windowed(BPOSD(max_iterations=7), commit=3, buffer=3),
        Windowed(commit=3, buffer=3, scheme="parallel"),
        Windowed(commit=3, buffer=3, scheme="parallel", gap=2),
        Windowed(commit=3, buffer=3, axis="space-time"),
        Windowed(commit=3, buffer=3, axis="space-time", gap=2),
        Windowed(commit=(3, 2), buffer=3, axis="space-time", gap=3),
        Windowed(commit=3, buffer=(3, 2), axis="space-time"),
    ]
    names = [decoder.settings_id() for decoder in settings]
    assert len(set(names)) == len(names)
    same = [
        Windowed(commit=3, buffer=3, workers=2),
        Windowed(commit=(3,), buffer=[3]),  # type: ignore[arg-type]  # a list will do
        Windowed(commit=np.int64(3), buffer=3),  # type: ignore[arg-type]  # any whole number
    ]
    assert {decoder.settings_id() for decoder in same} == {names[0]}
    assert Windowed(commit=3, buffer=3, scheme="parallel", gap=3).settings_id() == names[6]
    assert Windowed(commit=3, buffer=(3, 3), axis="space-time", scheme="parallel").settings_id() == names[8]


CHAIN = "\n".join([*(f"error(0.1) D{d} D{d + 1}" for d in range(7)), "error(0.05) D0 L0", "error(0.01) D7"])
TIMES = "\n".join(f"detector({d}) D{d}" for d in range(8))


def compiled_chain(text: str, **arguments: Any) -> CompiledWindowed:
    arguments = {"commit": 2, "buffer": 2, **arguments}
    return Windowed(**arguments).compile_decoder_for_dem(dem=stim.DetectorErrorModel(text))


@pytest.mark.parametrize("scheme", ["sliding", "parallel"])
def test_odd_models(scheme: str) -> None:
    one = np.array([[0b10000001], [0b00000010], [0]], dtype=np.uint8)

    def found(text: str, events: NDArray[np.uint8] = one) -> list[list[int]]:
        compiled = compiled_chain(text, scheme=scheme)
        return compiled.decode_shots_bit_packed(bit_packed_detection_event_data=events).tolist()

    whole = f"{CHAIN}\n{TIMES}"
    assert found(whole) == [[1], [1], [0]]
    assert found(whole, one[:0]) == []
    # No observables, many, and errors that flip nothing but these.
    assert found(whole.replace(" L0", "")) == [[], [], []]
    assert found(whole.replace("L0", "L0 L100"))[0] == [1, *[0] * 11, 1 << 4]
    assert found(f"{whole}\nerror(0.1) L1\nerror(0.01) D0 ^ L1") == [[1], [1], [0]]
    # Nothing to decode.
    assert found("logical_observable L3", np.zeros((2, 0), np.uint8)) == [[0], [0]]
    assert found("", np.zeros((2, 0), np.uint8)) == [[], []]
    assert found(f"{TIMES}\nlogical_observable L0", np.zeros((2, 1), np.uint8)) == [[0], [0]]
    # A detector that no error flips may stand anywhere, as long as it is silent; PyMatching refuses the rest.
    assert found(f"{whole}\ndetector(3) D8", np.array([[129, 0]], dtype=np.uint8)) == [[1]]
    for decoder in (compiled_chain(f"{whole}\ndetector(3) D8", scheme=scheme), sinter.BUILT_IN_DECODERS["pymatching"]):
        if isinstance(decoder, sinter.Decoder):
            decoder = decoder.compile_decoder_for_dem(dem=stim.DetectorErrorModel(f"{whole}\ndetector(3) D8"))
        with pytest.raises(ValueError, match="No perfect matching could be found"):
            decoder.decode_shots_bit_packed(bit_packed_detection_event_data=np.array([[0, 1]], dtype=np.uint8))


@pytest.mark.parametrize("scheme", ["sliding", "parallel"])
def test_errors_that_are_likelier_than_not(scheme: str) -> None:
    """The chain's fourth edge fails most of the time: two events there are nothing, and none are an error."""
    text = "\n".join(f"error({0.9 if d == 3 else 0.1}) D{d} D{d + 1} L{d}" for d in range(7))
    text += f"\nerror(0.01) D0\nerror(0.01) D7\n{TIMES}"
    events = np.array([[0b00011000], [0], [0b00111000], [0b00001000]], dtype=np.uint8)
    compiled = compiled_chain(text, scheme=scheme, buffer=5)
    found = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=events)
    whole = sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=stim.DetectorErrorModel(text))
    wanted = whole.decode_shots_bit_packed(bit_packed_detection_event_data=events)
    assert wanted[0, 0] == 1 << 3
    np.testing.assert_array_equal(found, wanted)


def test_the_time_may_be_any_coordinate() -> None:
    """The same memory with its coordinates in another order, and a colour behind them."""
    circuit = rotated_surface_memory(3, 12, noise=NoiseModel.uniform_depolarizing(0.01))
    dem = circuit.detector_error_model(decompose_errors=True).flattened()
    other = stim.DetectorErrorModel()
    for instruction in (dem[i] for i in range(len(dem))):
        if instruction.type == "detector":
            x, y, t = instruction.args_copy()
            other.append("detector", [t, x, y, 7], instruction.targets_copy())
        else:
            other.append(instruction)
    dets = circuit.compile_detector_sampler(seed=6).sample(500, bit_packed=True)
    for way in ({}, {"scheme": "parallel"}, {"axis": "space-time", "buffer": (2, 2), "commit": (2, 3)}):
        settings = {"commit": 3, "buffer": 2} | way
        found = [
            Windowed(**settings, **time)
            .compile_decoder_for_dem(dem=model)
            .decode_shots_bit_packed(bit_packed_detection_event_data=dets)
            for model, time in ((dem, {}), (other, {"time": 0}))
        ]
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("step", [1e-6, 0.0006, 1 / 3, 1e6])
def test_layers_are_found_at_any_scale(step: float) -> None:
    chain = [f"error(0.1) D{i} D{i + 1}\ndetector(0, {i * step}) D{i}" for i in range(9)]
    ends = ["error(0.1) D0 L0", "error(0.1) D9", f"detector(0, {9 * step}) D9"]
    dem = stim.DetectorErrorModel("\n".join([*chain, *ends]))
    plan = Windowed(commit=2, buffer=2).plan(dem)
    assert plan.num_layers == 10
    assert len(plan.windows) == 4
