"""What rare-event runs refuse, what they report without an interval, and what their results look like."""

import json
import math
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell import errors
from quell.errors import CircuitError, InputError, MissingExtraError, SweepError, UnknownNameError
from quell.qec import rare_error_rates
from quell.qec.rare_events import methods, splitting
from tests.qec.sweeps.tools import Broken

from .truths import HERE, repetition, surface

SMALL = repetition([0.01] * 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "split"}, "splitting"),
        ({"target_relative_error": 0}, "target_relative_error must be between 0 and 2, got 0"),
        ({"target_relative_error": math.nan}, "target_relative_error"),
        ({"target_relative_error": "10%"}, "target_relative_error"),
        ({"target_relative_error": True}, "target_relative_error"),
        ({"max_seconds": 0}, "max_seconds must be > 0, got 0"),
        ({"max_seconds": math.nan}, "max_seconds"),
        ({"max_seconds": "1"}, "max_seconds"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"num_workers": 0}, "num_workers"),
        ({"executor": "dask"}, "executor"),
        ({"decoders": "pymathcing"}, "pymatching"),
        ({"decoders": []}, "names no decoder"),
        ({"tasks": [1]}, "stim.Circuit"),
    ],
)
def test_arguments_that_are_refused(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"tasks": SMALL, "decoders": "pymatching", "method": "strata", **HERE, **options}
    with pytest.raises(InputError, match=message):
        rare_error_rates(**arguments)


def test_numbers_of_numpy_are_numbers() -> None:
    options: Any = {"target_relative_error": np.float32(0.2), "max_seconds": np.int64(5), "seed": np.int32(3)}
    (result,) = rare_error_rates(SMALL, "pymatching", **options, **HERE)
    assert result.trusted


class Shots(sinter.Sampler):
    def compiled_sampler_for_task(self, task: sinter.Task) -> sinter.CompiledSampler:
        raise AssertionError(task)


def test_samplers_are_refused() -> None:
    with pytest.raises(InputError, match=r"sinter\.Sampler.*need a sinter\.Decoder"):
        rare_error_rates(SMALL, {"shots": Shots()}, **HERE)


@pytest.mark.parametrize("decoder", ["pymatching", "pymatching-correlated"])
def test_hyperedges_are_refused_for_matching(decoder: str) -> None:
    circuit = stim.Circuit("""
        X_ERROR(0.01) 0 1 2
        CORRELATED_ERROR(0.001) X0 X1 X2
        M 0 1 2
        DETECTOR rec[-1]
        DETECTOR rec[-2]
        DETECTOR rec[-3]
        OBSERVABLE_INCLUDE(0) rec[-1]
    """)
    task = sinter.Task(circuit=circuit, detector_error_model=circuit.detector_error_model())
    with pytest.raises(CircuitError, match=r"flips 3 detectors.*decompose_errors=True"):
        rare_error_rates(task, decoder, **HERE)


def test_odds_above_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"probability 0\.75"):
        rare_error_rates(repetition([0.01, 0.75, 0.01]), "pymatching", **HERE)


def test_a_circuit_that_cannot_fail_is_refused() -> None:
    with pytest.raises(CircuitError, match="no shot can fail"):
        rare_error_rates(stim.Circuit("M 0\nOBSERVABLE_INCLUDE(0) rec[-1]"), "pymatching", **HERE)


@pytest.mark.parametrize("method", ["auto", "strata", "splitting"])
def test_frequent_errors_are_a_matter_of_plain_sampling(method: str) -> None:
    with pytest.raises(InputError, match=r"\d% of all shots fail.*quell\.sweep"):
        rare_error_rates(surface(3, 0.03), "pymatching", method=method, seed=1, **HERE)
    tasks = [sinter.Task(circuit=surface(3, p), json_metadata={"p": p}) for p in (0.0005, 0.001, 0.04)]
    with pytest.raises(InputError, match=r"task \{'p': 0\.04\}.*leave that error rate out"):
        rare_error_rates(tasks, "pymatching", method=method, seed=1, **HERE)


@pytest.mark.parametrize("how", ["raise", "shape"])
def test_what_a_decoder_does_wrong_is_told(how: str) -> None:
    with pytest.raises(SweepError, match="no such model" if how == "raise" else "must return uint8"):
        rare_error_rates(SMALL, Broken(how), method="strata", num_workers=1, progress=False)


def test_a_decoder_that_kills_its_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_PILOT_SECONDS", -1.0)  # the pilot runs in this process, which should live on
    with pytest.raises(SweepError, match="death number 3"):
        rare_error_rates(SMALL, Broken("die"), method="strata", num_workers=1, progress=False)


def test_numba_is_asked_for_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> None:
        raise MissingExtraError(f"{module} is not installed: pip install 'quell[{extra}]'")

    monkeypatch.setattr(methods, "import_extra", missing)
    (result,) = rare_error_rates(SMALL, "pymatching", seed=1, **HERE)
    assert result.method == "strata"
    with pytest.raises(MissingExtraError, match=r"quell\[rare\]"):
        rare_error_rates(SMALL, "pymatching", method="splitting", seed=1, **HERE)
    assert errors.import_extra is not missing


def test_chains_that_have_not_mixed_have_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    options: Any = {"method": "splitting", "seed": 1, "target_relative_error": 0.5, **HERE}
    monkeypatch.setattr(splitting, "_BLOCK_DECODES", 400)
    monkeypatch.setattr(splitting, "_LEAST_TRIPS_TOGETHER", 10**9)
    monkeypatch.setattr(splitting.SplittingEstimator, "is_stuck", lambda _: True)  # ends the run at the first check
    (result,) = rare_error_rates(surface(5, 1e-3), "pymatching", **options)
    assert not result.trusted
    assert "have not mixed" in result.reason
    assert (result.error_rate.low, result.error_rate.high) == (0, 1)
    assert 0 < result.error_rate.value < 1e-2
    assert result.relative_error() == math.inf
    assert "no interval: the chains have not mixed" in str(result)
    json.dumps(result.to_json(), allow_nan=False)


def test_without_time_there_is_no_interval_from_chains() -> None:
    (result,) = rare_error_rates(surface(5, 1e-3), "pymatching", method="splitting", max_seconds=1e-9, **HERE)
    assert not result.trusted
    assert "time was up" in result.reason
    assert (result.error_rate.low, result.error_rate.high) == (0, 1)


class Perfect(sinter.Decoder):
    """Knows what happened, where there is one detector for each error."""

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        assert dem.num_detectors <= 8
        return _CompiledPerfect()


class _CompiledPerfect(sinter.CompiledDecoder):
    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return bit_packed_detection_event_data & 1


NEVER = stim.Circuit("X_ERROR(0.1) 0 1 2\nM 0 1 2\nDETECTOR rec[-3]\nDETECTOR rec[-2]\nDETECTOR rec[-1]\n"
                     "OBSERVABLE_INCLUDE(0) rec[-3]")  # fmt: skip


@pytest.mark.parametrize("decoder", ["pymatching", Perfect()], ids=["proved", "counted"])
def test_what_never_fails_ends(decoder: Any) -> None:
    (result,) = rare_error_rates(NEVER, decoder, method="strata", seed=1, **HERE)
    assert result.error_rate.value == result.error_rate.low == 0
    assert result.error_rate.high < 0.01


def test_strata_that_are_all_proved_end() -> None:
    (result,) = rare_error_rates(repetition([1e-5] * 25), "pymatching", method="strata", seed=1, **HERE)
    assert result.error_rate.value == 0
    assert 5.2e-59 < result.error_rate.high < 1e-24  # what lies beyond the last stratum is not denied


class Slow(sinter.Decoder):
    """PyMatching on a clock of its own: every shot takes a millisecond, and a batch at least a second."""

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        return sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)


def test_every_stratum_gets_its_shots_from_a_slow_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a chunk ends after each batch, the run still reaches its target: it does not stay with the first strata."""
    from quell.qec.rare_events import strata

    clock = iter(range(10**9))
    monkeypatch.setattr(strata.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(methods, "_CHUNK_SECONDS", 1e-9)
    monkeypatch.setattr(methods, "_FIRST_CHUNK_SECONDS", 1e-9)
    (result,) = rare_error_rates(surface(3, 2e-3), Slow(), method="strata", seed=1, target_relative_error=0.5, **HERE)
    assert result.relative_error() <= 0.5


@pytest.mark.parametrize("method", ["strata", "splitting"])
def test_results_are_plain_numbers(method: str) -> None:
    task = sinter.Task(
        circuit=surface(3, 0.002), json_metadata={"d": 3}, postselection_mask=np.array([1, 0, 0], np.uint8)
    )  # fmt: skip
    (result,) = rare_error_rates(task, "pymatching", method=method, seed=1, target_relative_error=0.4, **HERE)
    text = json.dumps(result.to_json(), allow_nan=False)
    assert json.loads(text)["error_rate"]["value"] == result.error_rate.value
    assert result.acceptance is not None
    for estimate in (result.error_rate, result.acceptance):
        assert {type(number) for number in (estimate.value, estimate.low, estimate.high)} == {float}
    assert type(result.shots) is int
    assert type(result.seconds) is float


def test_an_unknown_decoder_is_named() -> None:
    with pytest.raises(UnknownNameError, match="nothing_like_it"):
        rare_error_rates(SMALL, "nothing_like_it", **HERE)
