"""What a sweep returns: right rates, right limits, for decoders and samplers of every kind."""

import collections
import io
import math
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import sinter
import stim

import quell
from quell.qec import error_rate, iter_sweep, read_stats
from quell.qec.sweeps.progress import ProgressBar

from .tools import Guess, repetition_task


def majority_circuit(distance: int, p: float) -> stim.Circuit:
    """A repetition code with perfect checks: matching is majority voting."""
    circuit = stim.Circuit()
    circuit.append("X_ERROR", range(distance), p)
    circuit.append("M", range(distance))
    for index in range(distance - 1):
        circuit.append("DETECTOR", [stim.target_rec(index - distance), stim.target_rec(index + 1 - distance)])
    circuit.append("OBSERVABLE_INCLUDE", [stim.target_rec(-1)], 0)
    return circuit


def majority_fails(distance: int, p: float) -> float:
    more = range(distance // 2 + 1, distance + 1)
    return sum(math.comb(distance, k) * p**k * (1 - p) ** (distance - k) for k in more)


def test_rates_agree_with_the_closed_form() -> None:
    shots = 400_000
    points = [(distance, p) for distance in (3, 5) for p in (0.05, 0.2)]
    tasks = [sinter.Task(circuit=majority_circuit(*point), json_metadata=list(point)) for point in points]
    stats = quell.sweep(tasks, "pymatching", max_shots=shots)
    for (distance, p), stat in zip(points, stats, strict=True):
        assert stat.json_metadata == [distance, p]
        truth = majority_fails(distance, p)
        # Fails by chance less than once in 10^6: four points at 5.2 standard deviations.
        assert abs(stat.errors / stat.shots - truth) < 5.2 * math.sqrt(truth / shots)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_exactly_max_shots_are_taken(num_workers: int) -> None:
    tasks = [repetition_task(d) for d in (3, 5, 7)]
    stats = quell.sweep(tasks, "pymatching", max_shots=12_345, num_workers=num_workers)
    assert [stat.shots for stat in stats] == [12_345] * 3


def test_max_errors_ends_a_task_soon_after() -> None:
    (stat,) = quell.sweep(repetition_task(5, 0.02), "pymatching", max_errors=200, num_workers=2)
    assert 200 <= stat.errors < 400


def test_target_relative_error_is_met_and_not_overshot() -> None:
    (stat,) = quell.sweep(repetition_task(5, 0.02), "pymatching", target_relative_error=0.1, num_workers=2)
    found = error_rate(stat)
    width = (found.high - found.low) / 2 / found.value
    assert 0.07 < width <= 0.1


def test_limits_of_a_task_tighten_those_of_the_sweep() -> None:
    def task(d: int, **limits: int) -> sinter.Task:
        given = repetition_task(d)
        return sinter.Task(
            circuit=given.circuit,
            json_metadata=given.json_metadata,
            collection_options=sinter.CollectionOptions(**limits),
        )

    tasks = [task(3, max_shots=500), task(5, max_shots=5000), task(7)]
    stats = quell.sweep(tasks, "pymatching", max_shots=1000, num_workers=1)
    assert [stat.shots for stat in stats] == [500, 1000, 1000]
    (stat,) = quell.sweep(task(3, max_shots=500), "pymatching", num_workers=1)
    assert stat.shots == 500


def test_zero_shots_give_an_empty_result() -> None:
    (stat,) = quell.sweep(repetition_task(), "pymatching", max_shots=0)
    assert (stat.shots, stat.errors) == (0, 0)


def test_results_come_in_the_order_of_tasks_and_decoders() -> None:
    stats = quell.sweep([repetition_task(d) for d in (7, 3)], ["vacuous", "pymatching"], max_shots=100, num_workers=2)
    assert [(stat.json_metadata["d"], stat.decoder) for stat in stats] == [
        (7, "vacuous"), (7, "pymatching"), (3, "vacuous"), (3, "pymatching"),
    ]  # fmt: skip


def test_plain_circuits_are_welcome() -> None:
    (stat,) = quell.sweep(repetition_task().circuit, sinter.BUILT_IN_DECODERS["pymatching"], max_shots=100)
    assert (stat.decoder, stat.json_metadata, stat.shots) == ("pymatching", None, 100)


def test_a_task_may_name_its_own_decoder() -> None:
    tasks = [
        sinter.Task(circuit=repetition_task().circuit, decoder=name, json_metadata={"k": name})
        for name in ("mine", "pymatching")
    ]
    stats = quell.sweep(tasks, "vacuous", custom_decoders={"mine": Guess()}, max_shots=100, num_workers=1)
    assert [stat.decoder.partition("@")[0] for stat in stats] == ["mine", "pymatching"]


class Discarding(sinter.Decoder):
    """Gives up every shot with a detection event: one more byte says so."""

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        return CompiledDiscarding((dem.num_observables + 7) // 8)


class CompiledDiscarding(sinter.CompiledDecoder):
    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: np.ndarray) -> np.ndarray:
        answer = np.zeros((len(bit_packed_detection_event_data), self.num_bytes + 1), dtype=np.uint8)
        answer[:, -1] = bit_packed_detection_event_data.any(axis=1)
        return answer


def test_discards_agree_with_the_closed_form() -> None:
    p, shots = 0.1, 200_000
    (stat,) = quell.sweep(majority_circuit(3, p), Discarding(), max_shots=shots)
    kept = (1 - p) ** 3 + p**3
    assert abs(stat.discards / shots - (1 - kept)) < 5.2 * math.sqrt(kept / shots)
    assert abs(stat.errors / (shots - stat.discards) - p**3 / kept) < 5.2 * math.sqrt(p**3 / shots)


class ThroughFiles(sinter.Decoder):
    """Knows only the old way, through files."""

    def decode_via_files(self, *, num_shots: int, num_obs: int, obs_predictions_b8_out_path: Path, **_: object) -> None:
        obs_predictions_b8_out_path.write_bytes(bytes((num_obs + 7) // 8 * num_shots))


def test_decoders_that_work_through_files_are_welcome() -> None:
    (stat,) = quell.sweep(repetition_task(), ThroughFiles(), max_shots=5000, num_workers=1)
    assert stat.shots == 5000


class Coin(sinter.Sampler):
    """Samples by itself, in its own batches, and returns numpy integers."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def compiled_sampler_for_task(self, task: sinter.Task) -> sinter.CompiledSampler:  # noqa: ARG002
        return CompiledCoin(self.batch)


class CompiledCoin(sinter.CompiledSampler):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def handles_throttling(self) -> bool:
        return True

    def sample(self, suggested_shots: int) -> sinter.AnonTaskStats:
        shots = min(self.batch, suggested_shots)
        return sinter.AnonTaskStats(
            shots=shots, errors=0, seconds=0.001, custom_counts=collections.Counter(heads=np.int64(shots // 2))
        )


def test_samplers_are_welcome(tmp_path: Path) -> None:
    (stat,) = quell.sweep(repetition_task(), Coin(64), max_shots=6400, num_workers=2, save=tmp_path / "coin.csv")
    assert stat.shots == 6400
    assert stat.custom_counts == read_stats(tmp_path / "coin.csv")[0].custom_counts
    assert 3100 <= stat.custom_counts["heads"] <= 3200  # batches of odd size lose half a head


def test_counts_of_events_and_mistakes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    options = {"count_detection_events": True, "count_observable_error_combos": True}
    (stat,) = quell.sweep(repetition_task(), "pymatching", max_shots=1000, save=path, num_workers=1, **options)  # type: ignore[arg-type]
    assert stat.custom_counts["detectors_checked"] == 8 * 1000
    assert stat.custom_counts["obs_mistake_mask=E"] == stat.errors
    assert read_stats(path)[0].custom_counts == stat.custom_counts


def test_postselected_detectors_are_discarded() -> None:
    circuit = majority_circuit(3, 0.1)
    mask = np.array([0b11], dtype=np.uint8)
    task = sinter.Task(circuit=circuit, postselection_mask=mask)
    (stat,) = quell.sweep(task, "pymatching", max_shots=20_000)
    assert 0.2 < stat.discards / stat.shots < 0.35  # 0.27


def test_iter_sweep_yields_what_is_on_disk_already(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    seen = 0
    for stat in iter_sweep(repetition_task(), "pymatching", max_shots=3_000_000, num_workers=2, save=path):
        seen += stat.shots
        assert read_stats(path)[0].shots >= seen
    assert seen == 3_000_000


def test_a_sweep_may_run_in_a_thread() -> None:
    found = []
    thread = threading.Thread(
        target=lambda: found.extend(quell.sweep(repetition_task(), "pymatching", max_shots=100, num_workers=1))
    )
    thread.start()
    thread.join(60)
    assert [stat.shots for stat in found] == [100]


def test_what_a_decoder_prints_does_not_mix_with_results(capfd: pytest.CaptureFixture[str]) -> None:
    class Chatty(Guess):
        def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
            print("I am compiling")
            return super().compile_decoder_for_dem(dem=dem)

    quell.sweep(repetition_task(), Chatty(), max_shots=10, num_workers=1)
    captured = capfd.readouterr()
    assert captured.out == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_in_a_terminal_and_not_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        quell.sweep(repetition_task(), "pymatching", max_shots=100, num_workers=1)
        assert ("100 shots" in stream.getvalue()) == shown
    for progress in (True, False):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        quell.sweep(repetition_task(), "pymatching", max_shots=100, num_workers=1, progress=progress)
        assert ("100 shots" in stream.getvalue()) == progress


def test_progress_counts_fractions_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    bar = ProgressBar(4, None)
    bar.update(2.5, sinter.AnonTaskStats(shots=1_000_000, errors=1234))
    bar.close()
    assert "2.5/4 tasks" in stream.getvalue()
    assert "1,000,000 shots, 1,234 errors" in stream.getvalue()
