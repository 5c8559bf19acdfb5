"""From circuits and decoders, as users give them, to complete sinter tasks that can be sampled anywhere.

A task is completed once, here: its detector error model is computed as sinter computes it, its metadata is put in
canonical order, and its decoder's settings become part of the decoder's name.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

import cloudpickle
import sinter
import stim

from quell.errors import CircuitError, InputError, TooLargeError, UnknownNameError, check_known
from quell.qec.sweeps.identity import AnyDecoder, canonical_metadata, name_with_settings

__all__ = ["Decoders", "Job", "Tasks", "memory_bytes", "prepare_jobs"]

Named: TypeAlias = tuple[str, AnyDecoder]
Tasks: TypeAlias = stim.Circuit | sinter.Task | Iterable[stim.Circuit | sinter.Task]
Decoders: TypeAlias = str | AnyDecoder | Iterable[str | AnyDecoder] | Mapping[str, AnyDecoder]

_BYTES_PER_DETECTOR = 8_000  # of a worker that holds model, matching graph and samples: measured at d = 7…21


@dataclasses.dataclass(frozen=True)
class Job:
    """A task that is ready to be sampled.

    Attributes:
        task: Complete: with decoder name, detector error model and canonical metadata.
        given_metadata: The metadata in the order the user wrote it.
        decoder: What decodes it.
    """

    task: sinter.Task
    given_metadata: Any
    decoder: AnyDecoder

    def __str__(self) -> str:
        about = "" if self.task.json_metadata is None else f" of task {self.task.json_metadata}"
        return f"decoder {self.task.decoder!r}{about}"

    @property
    def key(self) -> str:
        """The task's strong id."""
        return self.task.strong_id()

    @property
    def decoder_name(self) -> str:
        """The decoder's name, with its settings where it is not one of sinter's."""
        name = self.task.decoder
        assert name is not None
        return name

    @property
    def model(self) -> stim.DetectorErrorModel:
        """The task's detector error model."""
        model = self.task.detector_error_model
        assert model is not None
        return model

    def stats(self, counted: sinter.AnonTaskStats) -> sinter.TaskStats:
        """Returns what was counted as statistics of this task."""
        return sinter.TaskStats(
            strong_id=self.key,
            decoder=self.decoder_name,
            json_metadata=self.task.json_metadata,
            shots=counted.shots,
            errors=counted.errors,
            discards=counted.discards,
            seconds=counted.seconds,
            custom_counts=counted.custom_counts,
        )

    def pickled_decoder(self) -> bytes:
        """The decoder as `Work` wants it.

        Raises:
            InputError: It cannot be pickled.
        """
        try:
            return bytes(cloudpickle.dumps(self.decoder))
        except Exception as error:
            raise InputError(
                f"decoder {self.task.decoder!r} cannot be sent to a worker process ({error}): "
                f"build what cannot be pickled inside compile_decoder_for_dem"
            ) from error


def prepare_jobs(
    tasks: Tasks,
    decoders: Decoders,
    custom_decoders: Mapping[str, AnyDecoder],
    num_workers: int,
) -> list[Job]:
    """Completes every task for every decoder. A task that names its own decoder is completed for that one only.

    Raises:
        InputError: Anything about the tasks or decoders that would fail later, with the way out.
    """
    if isinstance(decoders, Mapping):
        custom_decoders = {**custom_decoders, **decoders}
    single = isinstance(decoders, str) or _decodes(decoders)
    listed = [decoders] if single else list(cast(Iterable[str | AnyDecoder], decoders))
    resolved: dict[str, Named] = {}

    def by_name(name: str) -> Named:
        if name not in resolved:
            resolved[name] = _resolve(name, custom_decoders)
        return resolved[name]

    named = [by_name(each) if isinstance(each, str) else _with_settings(type(each).__name__, each) for each in listed]
    jobs: dict[str, Job] = {}
    for index, given in enumerate(_listed(tasks, (stim.Circuit, sinter.Task), "tasks")):
        task = _complete(given, index, num_workers)
        own = given.decoder if isinstance(given, sinter.Task) else None
        chosen = named if own is None else [by_name(own)]
        if not chosen:
            raise InputError(f"task {index} names no decoder: pass decoders=..., for example 'pymatching'")
        for name, decoder in chosen:
            job = Job(
                task=_with_decoder(task, name),
                given_metadata=given.json_metadata if isinstance(given, sinter.Task) else None,
                decoder=decoder,
            )
            if job.key in jobs:
                raise InputError(
                    f"task {index} with decoder {name!r} and metadata {task.json_metadata!r} is given twice: "
                    f"remove one, or tell them apart by their metadata"
                )
            jobs[job.key] = job
    return list(jobs.values())


def _listed(values: Any, kinds: tuple[type, ...], what: str) -> list[Any]:
    """A list of `values`, which may be a single one."""
    listed = [values] if isinstance(values, kinds) else list(values)
    for index, value in enumerate(listed):
        if not isinstance(value, kinds):
            names = " or ".join(f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in kinds)
            raise InputError(f"{what}[{index}] must be a {names}, got {type(value).__name__}: {value!r:.80}")
    return listed


def _decodes(value: object) -> bool:
    """Tells what sinter takes for a decoder: also things that look like one without inheriting from it."""
    return isinstance(value, sinter.Sampler) or hasattr(value, "compile_decoder_for_dem")


def _resolve(name: str, custom_decoders: Mapping[str, AnyDecoder]) -> Named:
    """Returns the decoder of that name; the user's own hide sinter's."""
    if name in custom_decoders:
        return _with_settings(name, custom_decoders[name])
    try:
        check_known("decoder", name, {*custom_decoders, *sinter.BUILT_IN_SAMPLERS})
    except UnknownNameError as error:
        error.add_note("Decoders of your own go into custom_decoders={name: decoder}.")
        raise
    return name, sinter.BUILT_IN_SAMPLERS[name]


def _with_settings(name: str, decoder: Any) -> Named:
    """Returns the decoder with its name, to which its settings are added unless it is one of sinter's own."""
    for built_in, known in sinter.BUILT_IN_SAMPLERS.items():
        if decoder is known and name in (built_in, type(decoder).__name__):
            return built_in, decoder
    if isinstance(decoder, type):
        raise InputError(f"decoder {decoder.__name__} is a class: pass an instance, {decoder.__name__}(...)")
    if not _decodes(decoder):
        raise InputError(f"decoder {name!r} must be a sinter.Decoder or sinter.Sampler, got {decoder!r:.80}")
    if not name or "@" in name or not name.isprintable():
        raise InputError(f"decoder name {name!r} must be printable and without '@', which separates its settings")
    return name_with_settings(name, decoder), decoder


def _complete(given: stim.Circuit | sinter.Task, index: int, num_workers: int) -> sinter.Task:
    """Returns the task with circuit, detector error model and canonical metadata."""
    if isinstance(given, stim.Circuit):
        given = sinter.Task(circuit=given)
    circuit = given.circuit
    if circuit is None:
        circuit = _read_circuit(str(given.circuit_path))
    where = f"task {index}" + (f" with metadata {given.json_metadata!r}" if given.json_metadata is not None else "")
    if circuit.num_observables == 0:
        raise CircuitError(f"{where}: the circuit has no observables, so there is nothing to predict; "
                           f"add OBSERVABLE_INCLUDE instructions")  # fmt: skip
    _check_size(circuit, where, num_workers)
    model = given.detector_error_model
    if model is None:
        model = _model_of(circuit, where)
    for name in ("num_detectors", "num_observables"):
        if getattr(model, name) != getattr(circuit, name):
            raise InputError(
                f"{where}: the circuit has {name} = {getattr(circuit, name)}, but its detector error model has "
                f"{getattr(model, name)}; they do not belong together"
            )
    return sinter.Task(
        circuit=circuit,
        detector_error_model=model,
        postselection_mask=given.postselection_mask,
        postselected_observables_mask=given.postselected_observables_mask,
        json_metadata=canonical_metadata(given.json_metadata),
        collection_options=given.collection_options,
    )


def _read_circuit(path: str) -> stim.Circuit:
    try:
        return stim.Circuit.from_file(path)
    except (OSError, ValueError, IndexError) as error:
        raise CircuitError(f"cannot read a circuit from {path}: {error}") from error


def _model_of(circuit: stim.Circuit, where: str) -> stim.DetectorErrorModel:
    """Computes the model in the steps of sinter, so that the strong id is sinter's own."""
    last: ValueError | None = None
    for options in ({"decompose_errors": True}, {}, {"flatten_loops": True}):
        try:
            return circuit.detector_error_model(approximate_disjoint_errors=True, **options)
        except ValueError as error:
            last = error
    assert last is not None
    text = str(last)
    if "non-deterministic" in text:
        first = " ".join(line.strip() for line in text.splitlines()[:4] if line.strip())
        raise CircuitError(
            f"{where}: the circuit has detectors or observables that are random even without noise: {first[:300]} "
            f"Check with circuit.detector_error_model(), which lists them all"
        ) from last
    raise CircuitError(f"{where}: no detector error model can be computed: {text[:300]}") from last


def memory_bytes() -> int:
    """Returns how much memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _check_size(circuit: stim.Circuit, where: str, num_workers: int) -> None:
    """Refuses what would not fit into memory, before anything is computed."""
    wanted = circuit.num_detectors * _BYTES_PER_DETECTOR * (num_workers + 1)
    memory = memory_bytes()
    if wanted > memory:
        raise TooLargeError(
            f"{where}: {circuit.num_detectors:,} detectors need about {wanted / 2**30:,.0f} GiB with "
            f"{num_workers} workers, and this machine has {memory / 2**30:,.0f} GiB: "
            f"lower the distance, the rounds or num_workers"
        )


def _with_decoder(task: sinter.Task, name: str) -> sinter.Task:
    return sinter.Task(
        circuit=task.circuit,
        decoder=name,
        detector_error_model=task.detector_error_model,
        postselection_mask=task.postselection_mask,
        postselected_observables_mask=task.postselected_observables_mask,
        json_metadata=task.json_metadata,
        collection_options=task.collection_options,
    )
