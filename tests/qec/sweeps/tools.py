"""Tasks, decoders and scripts that the tests of sweeps share."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import sinter
import stim


def repetition_task(d: int = 3, p: float = 0.1, metadata: object = None) -> sinter.Task:
    circuit = stim.Circuit.generated("repetition_code:memory", distance=d, rounds=d, before_round_data_depolarization=p)
    return sinter.Task(circuit=circuit, json_metadata={"d": d, "p": p} if metadata is None else metadata)


def surface_task(d: int, p: float) -> sinter.Task:
    circuit = stim.Circuit.generated(
        "surface_code:rotated_memory_x",
        distance=d,
        rounds=d,
        after_clifford_depolarization=p,
        before_measure_flip_probability=p,
        after_reset_flip_probability=p,
        before_round_data_depolarization=p,
    )
    return sinter.Task(circuit=circuit, json_metadata={"d": d, "p": p})


class Guess(sinter.Decoder):
    """Predicts nothing; waits `seconds` for each batch; has a setting and weights."""

    def __init__(self, strength: float = 1.0, weights: object = None, seconds: float = 0.0) -> None:
        self.strength = strength
        self.weights = weights
        self.seconds = seconds

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        return _CompiledGuess((dem.num_observables + 7) // 8, self.seconds)


class _CompiledGuess(sinter.CompiledDecoder):
    def __init__(self, num_bytes: int, seconds: float) -> None:
        self.num_bytes = num_bytes
        self.seconds = seconds

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds)
        return np.zeros((len(bit_packed_detection_event_data), self.num_bytes), dtype=np.uint8)


class Broken(Guess):
    """Raises, or dies, or answers nonsense, as told."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        if self.how == "raise":
            raise ValueError("this decoder takes no such model")
        if self.how == "die":
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        return _CompiledGuess(7, 0) if self.how == "shape" else super().compile_decoder_for_dem(dem=dem)


def run_script(folder: Path, text: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a script without a main guard, as users write them, from a folder of its own."""
    path = folder / "script.py"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, str(path)], cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
