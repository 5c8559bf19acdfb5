"""Processes that decode windows side by side, on one machine.

The windows of one stage do not depend on each other, and shots never do: jobs are cut into pieces of some shots until
there is work for all. The processes are started as modules of quell, so that scripts need no
`if __name__ == "__main__":` and notebooks work; a decoder that was defined there comes along by value.
"""

import contextlib
import math
import os
import signal
import socket
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle
import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.windows.model_decoders import Job, ModelDecoders, SerialDecoders, in_a_worker
from quell.errors import SweepError, check_integer
from quell.worker_processes import how_it_ended, start_worker, worker_environment

__all__ = ["WindowPool", "model_decoders"]

_PIECES = 4  # for each process, so that none waits long for the last
_FEWEST_SHOTS = 64  # in a piece, unless a process would have nothing to do
_POLL_SECONDS = 0.2


def model_decoders(
    inner: str | sinter.Decoder, models: Sequence[stim.DetectorErrorModel], *, workers: int = 1
) -> ModelDecoders:
    """Returns a decoder for each model: in this process, or in several.

    A process that is itself one of several, as sinter's workers are, decodes alone, and warns of it.

    Args:
        inner: A name that sinter knows, or a decoder.
        models: Of the windows.
        workers: How many processes.

    Raises:
        InputError: The number of workers is less than one, or the decoder refuses a model.

    Examples:
        >>> import stim
        >>> from quell.decoders.windows.pool import model_decoders
        >>> type(model_decoders("pymatching", [stim.DetectorErrorModel("error(0.1) D0 L0")])).__name__
        'SerialDecoders'
    """
    check_integer("workers", workers, minimum=1)
    if workers > 1 and in_a_worker():
        warnings.warn(
            f"workers={workers} is left out: this process is itself one of several, and decodes its windows alone",
            stacklevel=2,
        )
        workers = 1
    return SerialDecoders(inner, models) if workers == 1 else WindowPool(inner, models, workers)


class WindowPool:
    """A decoder compiled for each model in each of several processes.

    The processes end when the pool is closed, is no longer used, or fails; a later `decode` starts new ones.
    Numerical libraries in them share the cores evenly, unless the environment says otherwise (`OMP_NUM_THREADS`).

    Args:
        inner: A name that sinter knows, or a decoder that can be pickled.
        models: Of the windows.
        workers: How many processes.

    Raises:
        InputError: The decoder refuses a model.
        SweepError: The processes cannot be started, or one of them ends.

    Examples:
        >>> import numpy as np, stim
        >>> from quell.decoders.windows.pool import WindowPool
        >>> model = stim.DetectorErrorModel("error(0.1) D0 L0 \\n error(0.1) D0 D1 \\n error(0.1) D1")
        >>> with WindowPool("pymatching", [model], 2) as pool:
        ...     [found.tolist() for found in pool.decode([(0, np.array([[1], [3]], dtype=np.uint8))] * 2)]
        [[[1], [0]], [[1], [0]]]
    """

    def __init__(self, inner: str | sinter.Decoder, models: Sequence[stim.DetectorErrorModel], workers: int) -> None:
        self._number = check_integer("workers", workers, minimum=1)
        self._setup = cloudpickle.dumps(inner), [str(model) for model in models]
        self._begin()
        with self._lock:
            self._start()

    def __enter__(self) -> "WindowPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes, once what they are asked is answered."""
        if os.getpid() == self._owner:
            with self._lock:
                _end(self._workers, self._owner)

    def _begin(self) -> None:
        """Without processes yet, in the process that is to own them."""
        self._owner = os.getpid()
        self._lock = threading.Lock()  # answers belong to one caller at a time
        self._workers: list[_Worker] = []
        # Also when it is no longer used, or the program ends.
        weakref.finalize(self, _end, self._workers, self._owner)

    def decode(self, jobs: Sequence[Job]) -> list[NDArray[np.uint8]]:
        """Returns the predictions, as `ModelDecoders` has it.

        Raises:
            SweepError: A process ended, or an error of the decoder in one of them cannot be shown as what it was.
                Other errors of the decoder are raised as they are.
        """
        if os.getpid() != self._owner:
            self._begin()  # in a fork: the processes belong to the program that it came from
        pieces = [
            (number, (model, part))
            for number, (model, events) in enumerate(jobs)
            for part in np.array_split(events, _num_pieces(len(events), len(jobs), self._number))
        ]
        with self._lock:
            self._start()
            answers = self._answers([piece for _, piece in pieces])
        found: list[list[NDArray[np.uint8]]] = [[] for _ in jobs]
        for (number, _), answer in zip(pieces, answers, strict=True):
            found[number].append(answer)
        return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in found]

    def _start(self) -> None:
        """Starts the processes, unless they run, and lets them compile."""
        if self._workers:
            return
        environment = worker_environment(self._number)
        try:
            for _ in range(self._number):
                self._workers.append(_Worker(environment))
        except OSError as error:
            _end(self._workers, self._owner)
            raise SweepError(
                f"cannot start {self._number} processes for windows: {error.strerror}; ask for fewer workers"
            ) from error
        # One piece for each: all processes are idle.
        caught = self._answers([self._setup] * self._number)
        for message, category, filename, line in cloudpickle.loads(caught[0]):
            warnings.warn_explicit(message, category, filename, line)

    def _answers(self, requests: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Returns the answers to requests, each made to the next process that is idle; or ends all processes."""
        answers: list[Any] = [None] * len(requests)
        waiting = iter(enumerate(requests))
        busy: dict[_Worker, int] = {}
        try:
            for worker in self._workers:
                _hand_out(worker, waiting, busy)
            while busy:
                for worker in _heard_of(busy):
                    answers[busy.pop(worker)] = worker.receive()
                    _hand_out(worker, waiting, busy)
        except BaseException:
            _end(self._workers, self._owner)
            raise
        return answers


def _hand_out(worker: "_Worker", waiting: Iterator[tuple[int, tuple[Any, ...]]], busy: "dict[_Worker, int]") -> None:
    """Makes the next request, if there is one, to a process that is idle."""
    for number, request in waiting:
        worker.send(request)
        busy[worker] = number
        return


def _heard_of(busy: "dict[_Worker, int]") -> list["_Worker"]:
    """Returns those of the processes that have answered or ended, as soon as there are any."""
    connections = {worker.connection: worker for worker in busy}
    while True:
        heard = [connections[each] for each in wait(list(connections), _POLL_SECONDS) if isinstance(each, Connection)]
        # A process that a decoder forked may hold the socket open after its parent has ended.
        heard = heard or [worker for worker in busy if worker.process.poll() is not None]
        if heard:
            return heard


def _num_pieces(num_shots: int, num_jobs: int, workers: int) -> int:
    """Into how many pieces each of some jobs is cut."""
    at_least = min(num_shots, math.ceil(workers / num_jobs))
    return max(1, at_least, min(num_shots // _FEWEST_SHOTS, math.ceil(_PIECES * workers / num_jobs)))


class _Worker:
    """One process, and the socket to it."""

    def __init__(self, environment: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.connection = Connection(ours.detach())
            try:
                self.process = start_worker("quell.decoders.windows.pool_worker", theirs, environment)
            except BaseException:
                self.connection.close()
                raise

    def send(self, request: tuple[Any, ...]) -> None:
        try:
            self.connection.send(request)
        except OSError as error:
            raise self._ended() from error

    def receive(self) -> Any:
        try:
            if not self.connection.poll(0) and self.process.poll() is not None:
                raise EOFError
            kind, *rest = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if kind != "failed":
            return rest[0]
        pickled, text, where = rest
        failure = SweepError(text) if pickled is None else cloudpickle.loads(pickled)
        failure.add_note(f"In a process that decodes windows:\n{where}")
        raise failure

    def _ended(self) -> SweepError:
        self.end()
        how = how_it_ended(self.process.wait())
        return SweepError(f"a process that decodes windows {how}; the next batch starts new ones")

    def end(self) -> None:
        """Kills the process, and whatever it has started."""
        self.connection.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _end(workers: list[_Worker], owner: int) -> None:
    """Ends the processes, but not in a fork of the user's program: they are not its own."""
    if os.getpid() != owner:
        return
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.process.wait()
    workers.clear()
