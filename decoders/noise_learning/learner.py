"""`NoiseLearner`: weights that are learned shot by shot, forget what is long ago, and go on after a break.

What it keeps of the shots are counts of parities, so that its size does not grow with them. Shots are taken up in
portions of one size, however they came: the same shots in the same order make the same state, bit for bit.
"""

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.noise_learning.closed_form import RateEstimates, closed_form
from quell.decoders.noise_learning.drift import Drift
from quell.decoders.noise_learning.event_files import Events, digests_of, event_portions
from quell.decoders.noise_learning.fit_of_structure import fit_of
from quell.decoders.noise_learning.learned_noise import LearnedNoise, class_means
from quell.decoders.noise_learning.learner_checks import (
    check_no_pair,
    checked_detectors,
    checked_memory,
    classes_of,
    structure_of,
)
from quell.decoders.noise_learning.noise_design import NoiseDesign
from quell.decoders.noise_learning.noise_parameters import fit_noise_parameters
from quell.decoders.noise_learning.outliers import outliers_of
from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
from quell.decoders.noise_learning.pooling import pooled_rates
from quell.decoders.noise_learning.structure import FaultStructure
from quell.decoders.noise_learning.taken_shots import Intake, TakenShots
from quell.errors import DataError, check_known, check_probability, import_extra
from quell.whole_files import read_file, write_whole

__all__ = ["METHODS", "NoiseLearner"]

METHODS = ("closed-form", "likelihood", "pauli25")
_VERSION = 2
_PORTION_SHOTS = 16384
_PORTION_BYTES = 1 << 26
_PORTIONS_PER_HALF_LIFE = 16


class NoiseLearner:
    """Learns the probabilities of a detector error model from detection events, as they come.

    Args:
        structure: What can go wrong: a circuit with noise, or its model, decomposed or not. Its probabilities are not
            trusted; they say how errors that flip the same detectors share, and serve as a scale within classes.
            A model that does not decompose can be learned, but no matching can use it.
        method: `"closed-form"`; `"likelihood"`, which takes longer and asks all detectors near an error about it; or
            `"pauli25"`, which learns the 25 parameters of `quell.circuits.NoiseModel.pauli25`, and from these all
            errors. The structure is then a circuit of CX, R, RX, M and MX; its own noise does not matter, and there
            are no classes.
        classes: `"translation"`: errors that are translations of each other, by the coordinates of their detectors,
            learn from each other as far as the shots bear out that they are alike. None: each error by itself.
            Or integers, one for each error of the model, flattened: those of one number learn from each other, and
            those below 0 are by themselves. Errors that flip the same detectors are one, and need one number.
        memory: The half-life of what is learned, in shots: shots that are as long ago count half. Classes whose rates
            drift meanwhile, further than chance, are followed to their present. None: all shots count, and
            probabilities are means over all of them.

    Raises:
        InputError: An argument is outside its limits; or detectors have no coordinates and `classes` needs them.
        TooLargeError: The errors flip too many detectors at once to count all parities.

    Examples:
        >>> import stim
        >>> from quell.decoders.noise_learning.learner import NoiseLearner
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=5, rounds=5,
        ...                                  before_measure_flip_probability=0.02)
        >>> learner = NoiseLearner(stim.Circuit.generated("repetition_code:memory", distance=5, rounds=5,
        ...                                               before_measure_flip_probability=0.001))
        >>> for seed in range(10):
        ...     learner.update(circuit.compile_detector_sampler(seed=seed).sample(10_000, bit_packed=True),
        ...                    bit_packed=True)
        >>> learner.num_shots
        100000
        >>> learned = learner.model()
        >>> learned.approx_equals(circuit.detector_error_model().flattened(), atol=0.002)
        True
    """

    def __init__(
        self,
        structure: stim.Circuit | stim.DetectorErrorModel,
        *,
        method: str = "closed-form",
        classes: str | Sequence[int] | NDArray[np.integer[Any]] | None = "translation",
        memory: float | None = None,
    ) -> None:
        self.method = check_known("method", method, METHODS)
        self.memory = checked_memory(memory)
        self._structure, self._design = structure_of(structure, self.method)
        self._circuit = str(structure) if self._design is not None else ""
        if self._design is not None:
            classes = None
        self.classes = classes if classes is None or isinstance(classes, str) else "given"
        self._classes = classes_of(self._structure, classes)
        width = -(-self._structure.num_detectors // 8)
        self._portion = max(32, min(_PORTION_SHOTS, _PORTION_BYTES // width))
        if self.memory is not None:
            self._portion = max(1, min(self._portion, int(self.memory / _PORTIONS_PER_HALF_LIFE)))
        # All that shots change, replaced in one step: whoever interrupts finds it before or after.
        self._taken = TakenShots(
            counts=ParityCounts(ParitySets.of(self._structure), with_ages=self.memory is not None),
            pending=np.zeros((0, width), dtype=np.uint8),
            fired=np.zeros(width, dtype=np.uint8),
        )

    def __repr__(self) -> str:
        return f"NoiseLearner(method={self.method!r}, shots={self.num_shots}, memory={self.memory})"

    @property
    def structure(self) -> FaultStructure:
        """What is learned."""
        return self._structure

    @property
    def num_shots(self) -> int:
        """How many shots were taken up, forgotten ones among them."""
        return self._taken.num_shots

    @property
    def taken_files(self) -> frozenset[str]:
        """Hashes of the contents of the files that were taken up, and not forgotten altogether."""
        return self._taken.files

    @property
    def effective_shots(self) -> float:
        """How many shots that count fully would be as good as those that are remembered.

        Shots that all count less, as after `forget(0.5)`, are as good as before, until others come that count fully.
        """
        taken = self._taken
        fading, pending = taken.fading(self.memory), len(taken.pending)
        total = taken.counts.num_shots * fading + pending
        squares = taken.counts.squares * fading**2 + pending
        return total**2 / squares if squares else 0.0

    def update(
        self,
        events: Events | Sequence[Events],
        bit_packed: bool = False,
        *,
        appended_observables: int = 0,
        again: bool = False,
    ) -> None:
        """Takes up shots. If it fails or is interrupted, none of them are.

        Args:
            events: bool (shots, D), or uint8 of zeros and ones; with `bit_packed` uint8 (shots, ceil(D/8)) in
                little-endian order; the path of a file in one of Stim's formats, which ends in .b8, .01, .dets, .hits,
                .ptb64 or .r8; or a list of such arrays and paths.
            bit_packed: Whether arrays are bit-packed.
            appended_observables: How many observables follow the detectors in each shot, as those of
                `stim detect --append_observables`; they are left out.
            again: Whether files may hold what was taken up from a file before; it then counts twice.

        Raises:
            InputError: Events have another shape or type; or a file has the content of one that was taken up before.
            DataError: A file is empty, cut off, or its shots have other numbers of bits.
            StorageError: A file cannot be read.
            MissingExtraError: numba is not installed.
        """
        import_extra("numba", "predecoder")
        check_no_pair(events, self._structure.num_observables)
        several = events if isinstance(events, (list, tuple)) else [cast(Events, events)]
        files = digests_of(several, frozenset() if again else self._taken.files, again=again)
        intake = Intake(self._taken, self._portion, self.memory)
        for one in several:
            for portion in event_portions(
                one,
                self._structure.num_detectors,
                bit_packed=bit_packed,
                appended_observables=appended_observables,
            ):
                intake.take(portion)
        self._taken = intake.state(files)

    def forget(self, keep: float = 0.0) -> None:
        """Makes the shots so far count less than those to come, as after a calibration.

        Args:
            keep: How much each still counts, from 0 to 1. With 0 they are as if they had not been, but for
                `num_shots`. With less than 1 they say as much as before until others come: `effective_shots` stays.
        """
        self._taken = self._taken.forgotten(check_probability("keep", keep), self.memory)

    def model(self) -> stim.DetectorErrorModel:
        """Returns the structure with the probabilities that the shots so far say; see `estimate`."""
        return self.estimate().dem

    def estimate(self) -> LearnedNoise:
        """Returns what the shots so far say, with intervals, and what they do not say.

        Detectors that never fired are named in a warning.

        Raises:
            InputError: There are too few shots; nothing fired at all; or detectors fire in half of the shots or more,
                or in so many that it cannot be told from half, which independent errors do not do.
        """
        taken = self._taken
        counts = taken.counted(self.memory)
        silent, unexplained = checked_detectors(counts, taken.fired, taken.num_shots)
        estimates = closed_form(self._structure, counts)
        found = self._rates(counts, estimates) if self._design is None else self._parameters(counts, self._design)
        return LearnedNoise.of(
            self._structure,
            **found,
            fit=fit_of(self._structure, counts, estimates),
            method=self.method,
            num_shots=taken.num_shots,
            effective_shots=counts.effective_shots,
            silent_detectors=silent,
            unexplained_detectors=unexplained,
        )

    def _rates(self, counts: ParityCounts, estimates: RateEstimates) -> dict[str, Any]:
        pooled = pooled_rates(self._structure, estimates, self._classes)
        if self.method == "likelihood":
            from quell.decoders.noise_learning.likelihood import fit_rates

            fitted = fit_rates(self._structure, counts, start=pooled.rates, around=pooled.rates)
            pooled = pooled_rates(self._structure, fitted, self._classes)
        if self._classes is None:
            return {"rates": pooled.rates, "intervals": pooled.intervals}
        drift = Drift.of(self._structure, counts, estimates, self._classes[:, -1], pooled.rates)
        now = drift.followed(pooled)
        return {
            "rates": now.rates,
            "intervals": now.intervals,
            "drift": drift,
            # Means of what is unbiased: the fit draws rates that are next to nothing up.
            "classes": class_means(self._structure, estimates, self._classes[:, -1], drift),
            "outliers": outliers_of(self._structure, estimates, self._classes, now.rates, now.intervals, drift),
        }

    @staticmethod
    def _parameters(counts: ParityCounts, design: NoiseDesign) -> dict[str, Any]:
        found = fit_noise_parameters(design, counts)
        return {"rates": found.rates, "intervals": found.rate_intervals, "parameters": found}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything into a file, from which `load` goes on as if there had been no break.

        Raises:
            StorageError: It cannot be written; a file that was there is as it was.
        """
        taken = self._taken
        arrays = {
            "nominal": self._structure.nominal,
            "shares": self._structure.shares,
            "odd": taken.counts.odd,
            "shots": taken.counts.shots,
            "squares": np.array(taken.counts.squares),
            "odd_ages": np.zeros(0) if taken.counts.odd_ages is None else taken.counts.odd_ages,
            "ages": taken.counts.ages,
            "pending": taken.pending,
            "fired": taken.fired,
            "classes": np.zeros(0, dtype=np.int64) if self._classes is None else self._classes,
        }
        description = {
            "version": _VERSION,
            "method": self.method,
            "classes": self.classes,
            "memory": self.memory,
            "num_shots": taken.num_shots,
            "files": sorted(taken.files),
            "structure": self._circuit or str(self._structure.dem),
        }
        description["sha256"] = _digest(description, arrays)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, description=np.array(json.dumps(description)), **arrays)
        write_whole(Path(path).expanduser(), buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "NoiseLearner":
        """Reads what `save` wrote.

        Raises:
            DataError: The file is damaged, or of another version.
            StorageError: It cannot be read.
        """
        path = Path(path).expanduser()
        content = read_file(path)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            description = json.loads(str(arrays.pop("description")))
            version = description["version"]
            if version == _VERSION:
                return cls._of(description, arrays)
        except Exception as error:  # zipfile, numpy, stim and json each have their own for what is damaged
            # What numpy says of other files, about pickles for example, is of no use here.
            reason = str(error) if isinstance(error, DataError) else "cut off, damaged, or another file"
            raise DataError(
                f"{path} is no whole state of a NoiseLearner ({reason}): name the file that `save` wrote, or learn "
                f"from the shots anew"
            ) from error
        raise DataError(f"{path} has version {version}, this quell reads {_VERSION}: update quell, or learn anew")

    @classmethod
    def _of(cls, description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> "NoiseLearner":
        if description.pop("sha256") != _digest(description, arrays):
            raise DataError("its content has another hash than it says")
        method, text = description["method"], description["structure"]
        structure = stim.Circuit(text) if method == "pauli25" else stim.DetectorErrorModel(text)
        learner = cls(structure, method=method, classes=None, memory=description["memory"])
        if isinstance(structure, stim.DetectorErrorModel):
            # Errors that are joined once more share their probability to other last bits.
            learner._structure = dataclasses.replace(
                learner._structure, dem=structure, nominal=arrays["nominal"], shares=arrays["shares"]
            )
        learner.classes = description["classes"]
        learner._classes = None if learner.classes is None else arrays["classes"]
        counts, fired = learner._taken.counts, learner._taken.fired
        mine_of: dict[str, NDArray[Any]] = {
            "odd": counts.odd,
            "shots": counts.shots,
            "ages": counts.ages,
            "fired": fired,
        }
        if counts.odd_ages is not None:
            mine_of["odd_ages"] = counts.odd_ages
        for name, mine in mine_of.items():
            if arrays[name].shape != mine.shape:
                raise DataError(f"{name} has shape {arrays[name].shape}, expected {mine.shape}")
            mine[:] = arrays[name]
        counts.squares = float(arrays["squares"])
        learner._taken = TakenShots(
            counts, arrays["pending"], fired, int(description["num_shots"]), frozenset(description["files"])
        )
        return learner


def _digest(description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    found = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()
