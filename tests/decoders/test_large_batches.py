"""Samplers that choose the size of their batches: how large they are, and that they count as sinter does."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from numpy.typing import NDArray

import quell
from quell.decoders import LargeBatches, PreDecoded
from quell.decoders.belief_propagation import BeliefPropagation
from quell.errors import InputError
from quell.qec.sweeps.identity import settings_digest

# Two qubits of known noise: the first one's flips are seen, the second one's are the observables.
TWO = stim.Circuit(
    """
    R 0 1 2
    X_ERROR(0.25) 0
    X_ERROR(0.125) 1
    X_ERROR(0.5) 2
    M 0 1 2
    DETECTOR rec[-3]
    DETECTOR rec[-1]
    OBSERVABLE_INCLUDE(0) rec[-2]
    OBSERVABLE_INCLUDE(1) rec[-3]
    """
)


class Notes(sinter.Decoder):
    """Predicts nothing, notes the size of its batches in a file, and discards shots with the second event if told."""

    def __init__(self, path: Path | None = None, discards: bool = False) -> None:
        self.path, self.discards = path, discards

    def settings_id(self) -> str:
        return f"discards={self.discards}"

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        return _CompiledNotes(self, -(-dem.num_observables // 8))


class _CompiledNotes(sinter.CompiledDecoder):
    def __init__(self, settings: Notes, width: int) -> None:
        self.settings, self.width = settings, width

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        events = bit_packed_detection_event_data
        if self.settings.path is not None:
            with self.settings.path.open("a") as file:
                print(len(events), file=file)
        found = np.zeros((len(events), self.width), dtype=np.uint8)
        return np.concatenate((found, events & 2), axis=1) if self.settings.discards else found


def task(**options: Any) -> sinter.Task:
    return sinter.Task(circuit=TWO, detector_error_model=TWO.detector_error_model(), **options)


def is_binomial(count: int, trials: int, p: float) -> bool:
    """Whether a count is within six standard deviations: that fails fewer than once in a million times."""
    return abs(count - trials * p) <= 6 * math.sqrt(trials * p * (1 - p))


def test_batches_are_of_the_size_that_was_asked_for(tmp_path: Path) -> None:
    sampler = LargeBatches(Notes(tmp_path / "notes"), batch_size=5000).compiled_sampler_for_task(task())
    assert sampler.handles_throttling()
    assert [sampler.sample(shots).shots for shots in (1_000_000, 5001, 5000, 4999, 1)] == [5000, 5000, 5000, 4999, 1]
    assert (tmp_path / "notes").read_text().split() == ["5000", "5000", "5000", "4999", "1"]


def test_sinter_lets_it_choose() -> None:
    from sinter._collection._sampler_ramp_throttled import RampThrottledSampler

    mine = LargeBatches(Notes(), batch_size=5000)
    throttled = RampThrottledSampler(mine, target_batch_seconds=1, max_batch_shots=1024)
    assert throttled.compiled_sampler_for_task(task()).sample(12_000).shots == 5000


def test_sweeps_let_it_choose(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    (stat,) = quell.sweep(
        task(json_metadata={"p": 0.25}),
        "mine",
        custom_decoders={"mine": LargeBatches(Notes(path), batch_size=5000)},
        max_shots=50_000,
        num_workers=1,
    )
    sizes = [int(size) for size in path.read_text().split()]
    assert sum(sizes) == stat.shots == 50_000
    # What sinter and quell give other decoders is at most 1,024.
    assert max(sizes) == 5000
    assert is_binomial(stat.errors, stat.shots, 1 - 0.75 * 0.875)


@pytest.mark.parametrize("size", [20_000, 1000])
def test_it_counts_as_the_plain_sampler_does(size: int) -> None:
    """Errors and discards by what the noise says; sinter's own sampler is held to the same."""
    shots = 20_000
    events, observables = np.array([1], dtype=np.uint8), np.array([2], dtype=np.uint8)
    for options, discards, discarded, wrong in (
        ({}, False, 0.0, 1 - 0.75 * 0.875),
        ({}, True, 0.5, 1 - 0.75 * 0.875),
        ({"postselection_mask": events}, False, 0.25, 0.125),
        ({"postselection_mask": events}, True, 1 - 0.75 * 0.5, 0.125),
        ({"postselected_observables_mask": observables}, False, 0.25, 0.125),
        ({"postselected_observables_mask": observables}, True, 1 - 0.75 * 0.5, 0.125),
    ):
        given = task(**options)
        decoder = Notes(discards=discards)
        plain = sinter._decoding._stim_then_decode_sampler.StimThenDecodeSampler(
            decoder=decoder, count_observable_error_combos=False, count_detection_events=False, tmp_dir=None
        )
        for sampler in (LargeBatches(decoder, batch_size=size), plain):
            compiled = sampler.compiled_sampler_for_task(given)
            stats = sinter.AnonTaskStats()
            while stats.shots < shots:
                stats += compiled.sample(min(size, shots - stats.shots))
            assert stats.shots == shots
            assert is_binomial(stats.discards, shots, discarded)
            assert is_binomial(stats.errors, shots - stats.discards, wrong)


def test_all_shots_of_a_batch_may_be_discarded() -> None:
    noisy = stim.Circuit("R 0\nX_ERROR(0.9) 0\nM 0\nDETECTOR rec[-1]\nOBSERVABLE_INCLUDE(0) rec[-1]")
    circuit = stim.Circuit(str(noisy).replace("0.9", "1"))
    always = sinter.Task(
        circuit=circuit,
        detector_error_model=noisy.detector_error_model(),  # PyMatching takes no error that is certain
        postselection_mask=np.array([1], dtype=np.uint8),
    )
    sources = [Notes(), PreDecoded(source=BeliefPropagation())]
    sources.append(PreDecoded(source=BeliefPropagation(), handover="residual"))
    for decoder in sources:
        stats = LargeBatches(decoder, batch_size=100).compiled_sampler_for_task(always).sample(1000)
        assert (stats.shots, stats.discards, stats.errors) == (100, 100, 0)


def test_the_identity_is_that_of_the_decoder() -> None:
    ids = {
        LargeBatches(Notes(discards=discards), batch_size=size).settings_id()
        for discards in (False, True)
        for size in (1, 5000)
    }
    assert len(ids) == 2
    assert any("discards=True" in text for text in ids)
    mine = LargeBatches(PreDecoded(), batch_size=100)
    assert pickle.loads(pickle.dumps(mine)).settings_id() == mine.settings_id()
    assert settings_digest(mine) == settings_digest(LargeBatches(PreDecoded(device="cpu", batch_size=5), batch_size=7))
    assert settings_digest(mine) != settings_digest(PreDecoded())


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None, True])
def test_batches_hold_a_shot_at_least(batch_size: Any) -> None:
    with pytest.raises(InputError, match="batch_size must be an integer >= 1"):
        LargeBatches(Notes(), batch_size=batch_size)
