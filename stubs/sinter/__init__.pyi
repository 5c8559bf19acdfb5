# The names of sinter that quell touches; sinter itself ships no type information.
import abc
import collections
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import stim

CSV_HEADER: str
BUILT_IN_DECODERS: dict[str, Decoder]
BUILT_IN_SAMPLERS: dict[str, Decoder | Sampler]

class CompiledDecoder(metaclass=abc.ABCMeta):
    @abc.abstractmethod
    def decode_shots_bit_packed(
        self, *, bit_packed_detection_event_data: np.ndarray[Any, np.dtype[np.uint8]]
    ) -> np.ndarray[Any, np.dtype[np.uint8]]: ...

class Decoder:
    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> CompiledDecoder: ...

class CompiledSampler(metaclass=abc.ABCMeta):
    @abc.abstractmethod
    def sample(self, suggested_shots: int) -> AnonTaskStats: ...
    def handles_throttling(self) -> bool: ...

class Sampler(metaclass=abc.ABCMeta):
    @abc.abstractmethod
    def compiled_sampler_for_task(self, task: Task) -> CompiledSampler: ...

class CollectionOptions:
    max_shots: int | None
    max_errors: int | None
    start_batch_size: int | None
    max_batch_size: int | None
    max_batch_seconds: float | None
    def __init__(
        self,
        max_shots: int | None = None,
        max_errors: int | None = None,
        start_batch_size: int | None = None,
        max_batch_size: int | None = None,
        max_batch_seconds: float | None = None,
    ) -> None: ...

class Task:
    circuit_path: pathlib.Path | None
    circuit: stim.Circuit | None
    decoder: str | None
    detector_error_model: stim.DetectorErrorModel | None
    postselection_mask: np.ndarray[Any, np.dtype[np.uint8]] | None
    postselected_observables_mask: np.ndarray[Any, np.dtype[np.uint8]] | None
    json_metadata: Any
    collection_options: CollectionOptions
    def __init__(
        self,
        *,
        circuit: stim.Circuit | None = None,
        decoder: str | None = None,
        detector_error_model: stim.DetectorErrorModel | None = None,
        postselection_mask: np.ndarray[Any, np.dtype[np.uint8]] | None = None,
        postselected_observables_mask: np.ndarray[Any, np.dtype[np.uint8]] | None = None,
        json_metadata: Any = None,
        collection_options: CollectionOptions = ...,
        skip_validation: bool = False,
        circuit_path: str | os.PathLike[str] | None = None,
    ) -> None: ...
    def strong_id(self) -> str: ...
    def strong_id_value(self) -> dict[str, Any]: ...

class AnonTaskStats:
    shots: int
    errors: int
    discards: int
    seconds: float
    custom_counts: collections.Counter[str]
    def __init__(
        self,
        shots: int = 0,
        errors: int = 0,
        discards: int = 0,
        seconds: float = 0,
        custom_counts: collections.Counter[str] = ...,
    ) -> None: ...
    def __add__(self, other: AnonTaskStats) -> AnonTaskStats: ...

class TaskStats:
    strong_id: str
    decoder: str
    json_metadata: Any
    shots: int
    errors: int
    discards: int
    seconds: float
    custom_counts: collections.Counter[str]
    def __init__(
        self,
        strong_id: str,
        decoder: str,
        json_metadata: Any,
        shots: int = 0,
        errors: int = 0,
        discards: int = 0,
        seconds: float = 0,
        custom_counts: collections.Counter[str] = ...,
    ) -> None: ...
    def __add__(self, other: TaskStats) -> TaskStats: ...
    def with_edits(
        self,
        *,
        strong_id: str | None = None,
        decoder: str | None = None,
        json_metadata: Any = None,
        shots: int | None = None,
        errors: int | None = None,
        discards: int | None = None,
        seconds: float | None = None,
        custom_counts: Mapping[str, int] | None = None,
    ) -> TaskStats: ...
    def to_anon_stats(self) -> AnonTaskStats: ...
    def to_csv_line(self) -> str: ...

def shot_error_rate_to_piece_error_rate(shot_error_rate: float, *, pieces: float, values: float = 1) -> float: ...
