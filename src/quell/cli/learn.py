"""`quell learn`: a detector error model's probabilities, learned from files of detection events."""

import contextlib
import fcntl
import hashlib
import json as json_text
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import stim
from cyclopts import Parameter

from quell.cli.options import Count, Json
from quell.decoders.noise_learning.event_files import digests_of
from quell.decoders.noise_learning.learner import METHODS, NoiseLearner
from quell.decoders.noise_learning.learner_checks import SHORTEST_MEMORY, structure_of
from quell.errors import DataError, InputError, QuellError, StorageError
from quell.whole_files import no_folder_hint, read_file, write_whole

__all__ = ["learn"]


def learn(
    events: Annotated[
        list[Path],
        Parameter(help="Files of detection events: .b8, .01, .dets, .hits, .ptb64 or .r8.", show_default=False),
    ] = [],  # noqa: B006 (never changed)
    /,
    *,
    structure: Path | None = None,
    out: Annotated[Path, Parameter(alias="-o")],
    method: str | None = None,
    classes: Literal["translation", "none"] | None = None,
    memory: Count | None = None,
    state: Path | None = None,
    appended_observables: Count = 0,
    again: bool = False,
    json: Json = False,
) -> None:
    """Learn the probabilities of errors from detection events alone, and write a detector error model for decoders.

    Prints the mean of each class of errors and what stands apart from its class, or the errors that changed most, with
    95 % intervals, and what the events do not say. With --json every error is in it.

    quell learn events.b8 --structure circuit.stim --out learned.dem

    quell learn monday.b8 tuesday.b8 --structure model.dem --out learned.dem --json

    quell learn today.b8 --structure circuit.stim --out learned.dem --state noise.npz --memory 1e6

    The last one, called again with the next day's events, goes on from the state, and forgets by and by. If it fails,
    the state is as it was. Events that it has are not taken up again.

    Args:
        structure: What can go wrong: a circuit with noise (.stim), or a model (.dem), at any probabilities. Not needed
            where --state holds it.
        out: Write the model into this file, which ends in .dem.
        method: closed-form, likelihood, or pauli25 for the parameters of a circuit's noise. [default: closed-form]
        classes: Whether errors that are translations of each other learn from each other; of no use to pauli25.
            [default: translation]
        memory: Half-life in shots: those as long ago count half. [default: all count]
        state: Go on from this file (.npz) if it is there, and write what was learned into it.
        appended_observables: How many observables follow the detectors in each shot, as `stim detect
            --append_observables` writes them.
        again: Take up files of events even if the state has them, or if two have the same content.
    """
    _check_file("--out", out, ".dem")
    if state is not None:
        _check_file("--state", state, ".npz")
    if memory is not None and memory < SHORTEST_MEMORY:
        raise InputError(
            f"--memory must be a half-life of {SHORTEST_MEMORY} shots or more, got {memory}; to forget nothing, leave "
            f"--memory out"
        )
    before = _content_hash(state)
    try:
        learner = _learner(events, structure, method, classes, memory, state)
        learner.update(list(events), appended_observables=appended_observables, again=again)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what is printed says the same
            noise = learner.estimate()
        if json:
            files = {"out": str(out), "state": None if state is None else str(state)}
            text = json_text.dumps({**files, **noise.to_json()}, indent=2, allow_nan=False)
        else:
            text = f"{noise}\n\n-> {out}" + ("" if state is None else f", {state}")
        _check_unchanged(state, before)
        _print(text)
        with _locked(state):
            _check_unchanged(state, before)
            # The state is last: what it has was printed and is in the model.
            write_whole(out, f"{noise.dem}\n".encode())
            if state is not None:
                learner.save(state)
    except KeyboardInterrupt:
        _say_what_is_saved(state, before, events)


def _content_hash(path: Path | None) -> str | None:
    """Of a file, None if there is none."""
    return hashlib.sha256(read_file(path)).hexdigest() if path is not None and path.exists() else None


def _check_unchanged(state: Path | None, before: str | None) -> None:
    if _content_hash(state) != before:
        raise StorageError(
            f"{state} was changed by another process since it was read, and nothing was written: run the same command "
            f"again, and it goes on from what is there now"
        )


@contextlib.contextmanager
def _locked(state: Path | None) -> Iterator[None]:
    """Holds others back who would replace a state between our last look at it and our writing."""
    if state is None:
        yield
        return
    folder = os.open(state.absolute().parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks; then the look alone must do
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _print(text: str) -> None:
    """Prints the result before anything is written, so that whoever is told of a failure finds all as it was."""
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # then the reader, `head` perhaps, has seen enough
            raise StorageError(
                f"cannot print the result: {error.strerror}; nothing was written, run the same command again with "
                f"another output"
            ) from error


def _say_what_is_saved(state: Path | None, before: str | None, events: list[Path]) -> NoReturn:
    """Says after an interrupt whether the same command would count the events twice."""
    if state is None:
        raise QuellError("interrupted: run the same command again") from None
    if not state.exists():
        raise QuellError(f"interrupted: there is no {state} yet, run the same command again") from None
    saved = NoiseLearner.load(state)
    shots = f"{state} has {saved.num_shots:,} shots"
    if _content_hash(state) != before and digests_of(events, frozenset(), again=True) <= saved.taken_files:
        raise QuellError(
            f"interrupted: {shots}, these events among them; to print what was learned run the command again without "
            f"the events"
        ) from None
    raise QuellError(f"interrupted: {shots}, these events are not among them; run the same command again") from None


def _check_file(option: str, path: Path, suffix: str) -> None:
    """Refuses at once what could not be written at the end."""
    if path.suffix != suffix:
        raise InputError(f"{option} must name a file that ends in {suffix}, got {path}")
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {path.parent}{no_folder_hint(path)}")


def _learner(
    events: list[Path],
    structure: Path | None,
    method: str | None,
    classes: str | None,
    memory: int | None,
    state: Path | None,
) -> NoiseLearner:
    """The one to go on with, or a new one."""
    if state is not None and state.exists():
        learner = NoiseLearner.load(state)
        _check_same(learner, state, structure, method, classes, memory)
        return learner
    if not events:
        raise InputError("nothing to learn from: name files of detection events, for example events.b8")
    return NoiseLearner(
        _read_structure(structure),
        method=method or METHODS[0],
        classes=None if classes == "none" else "translation",
        memory=memory,
    )


def _check_same(
    learner: NoiseLearner,
    state: Path,
    structure: Path | None,
    method: str | None,
    classes: str | None,
    memory: int | None,
) -> None:
    """Refuses settings that are not those of a state."""
    own = {"method": learner.method, "classes": learner.classes or "none", "memory": learner.memory}
    given = {"method": method, "classes": classes, "memory": memory}
    for name, value in given.items():
        if value is not None and value != own[name]:
            raise InputError(
                f"{state} was made with {name} {own[name]}, got --{name} {value}: leave it out, or name another file"
            )
    if structure is not None and structure_of(_read_structure(structure), learner.method)[0].dem != (
        learner.structure.dem
    ):
        raise InputError(f"{state} was made with another structure than {structure}: name another file as --state")


def _read_structure(path: Path | None) -> stim.Circuit | stim.DetectorErrorModel:
    if path is None:
        raise InputError("what can go wrong is not said: pass --structure, for example --structure circuit.stim")
    if path.suffix not in (".stim", ".dem"):
        raise InputError(f"--structure must name a circuit (.stim) or a detector error model (.dem), got {path}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file: {error}") from error
    try:
        return stim.Circuit(text) if path.suffix == ".stim" else stim.DetectorErrorModel(text)
    except (ValueError, IndexError) as error:
        what = "circuit" if path.suffix == ".stim" else "detector error model"
        raise DataError(f"{path} is no {what}: {error}") from error
