"""The workers of a run: orders go out, answers come back in whatever order, and a worker that dies is made up for."""

import concurrent.futures
from types import TracebackType
from typing import Any

from quell.errors import SweepError
from quell.qec.sweeps.engine import MAX_DEATHS, Engine, WorkerDied

__all__ = ["Crew"]

_LAST_SECONDS = 2.0  # how long an interrupted run waits for what is under way


class Crew:
    """Gives orders on one compiled problem to an engine.

    Args:
        engine: Runs them.
        key: What workers keep the compiled problem under.
        work: The pickled `Problem`.
    """

    def __init__(self, engine: Engine, key: str, work: bytes) -> None:
        self._engine = engine
        self._key = key
        self._work = work
        self._under_way: dict[concurrent.futures.Future[Any], tuple[Any, Any]] = {}
        self._deaths = 0

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The next crew of the same engine needs its workers idle.
        if value is None:
            self._engine.interrupt()
            concurrent.futures.wait(self._under_way)

    def has_room(self) -> bool:
        """Whether a worker is idle."""
        return len(self._under_way) < self._engine.num_workers

    def share(self) -> float:
        """What part of the work one of the workers should take."""
        return 1 / self._engine.num_workers

    def give(self, order: Any, tag: Any = None) -> None:
        """Gives an order to an idle worker; the tag comes back with the answer."""
        self._under_way[self._engine.submit(self._key, self._work, order)] = order, tag

    def has_work(self) -> bool:
        """Whether an answer is due."""
        return bool(self._under_way)

    def answers(self, timeout: float | None = None) -> list[tuple[Any, Any]]:
        """Waits for an answer, and returns all that are there: pairs of tag and answer.

        Raises:
            SweepError: A worker failed, or three died in a row.
        """
        done, _ = concurrent.futures.wait(
            self._under_way, timeout=timeout, return_when=concurrent.futures.FIRST_COMPLETED
        )
        found = []
        for future in done:
            order, tag = self._under_way.pop(future)
            try:
                answer = future.result()
                self._deaths = 0
                if answer is not None:
                    found.append((tag, answer))
            except WorkerDied as death:
                self._deaths += 1
                if self._deaths >= MAX_DEATHS:
                    raise SweepError(f"{death}; that was the death number {self._deaths} in a row") from death
                self.give(order, tag)
        return found

    def last_answers(self) -> list[tuple[Any, Any]]:
        """Asks all to end soon, and returns what they have."""
        found = []
        self._engine.interrupt()
        concurrent.futures.wait(self._under_way, timeout=_LAST_SECONDS)
        for future in [future for future in self._under_way if future.done()]:
            _, tag = self._under_way.pop(future)
            # The error that ended the run is the one to be seen.
            if not future.cancelled() and future.exception() is None and future.result() is not None:
                found.append((tag, future.result()))
        return found
