"""Notices that a Dask cluster has lost all its workers, which Dask itself waits out in silence."""

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["SCHEDULER_SECONDS", "WorkerWatch"]

SCHEDULER_SECONDS = 5.0  # for the scheduler to answer
_LOOK_EVERY = 2.0  # seconds: so long without an answer of a worker, it is asked whether there is one
_WARN_SECONDS = 10.0
_END_SECONDS = 60.0


class WorkerWatch:
    """Looks from a thread of its own, until `stop`, whether chunks that wait have workers to wait for.

    It warns when there have been none for a while, and goes on: a cluster may take its time to start. Where there
    have been workers and all are lost, it ends the chunks after a longer while.

    Args:
        client: Dask's.
        resources: What a worker must have for the chunks, as in `client.get_executor(resources=…)`.
        is_waiting: Whether chunks are under way.
        end: Called with the reason, if the cluster is given up.
    """

    def __init__(
        self,
        client: Any,
        resources: Mapping[str, float] | None,
        is_waiting: Callable[[], bool],
        end: Callable[[str], None],
    ) -> None:
        self._client = client
        self._resources = dict(resources or {})
        self._is_waiting = is_waiting
        self._end = end
        self._had_workers = False
        self._heard = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def heard(self) -> None:
        """A worker has answered."""
        self._had_workers = True
        self._heard = time.monotonic()

    def stop(self) -> None:
        """Ends the thread, soon."""
        self._stopped.set()

    def _run(self) -> None:
        self._had_workers = bool(self._num_workers()) or self._had_workers
        none_since: float | None = None
        warned = False
        while not self._stopped.wait(_LOOK_EVERY):
            now = time.monotonic()
            if not self._is_waiting() or now - self._heard < _LOOK_EVERY or self._num_workers() != 0:
                none_since, warned = None, False
                continue
            none_since = now if none_since is None else none_since
            if self._had_workers and now - none_since >= _END_SECONDS:
                self._end(
                    f"all workers of the Dask cluster were lost, and for {_END_SECONDS:.0f} s no other has come: see "
                    f"in their logs why they ended, perhaps because memory ran out, and start new ones"
                )
                return
            if not warned and now - none_since >= _WARN_SECONDS:
                warned = True
                if not self._warn():
                    return

    def _warn(self) -> bool:
        wanted = f" with resources {self._resources}" if self._resources else ""
        text = f"the Dask cluster has no worker{wanted}; waiting for one; Ctrl-C ends it with everything saved"
        try:
            warnings.warn(text, stacklevel=1)
        except UserWarning:  # the user wants warnings to be errors
            self._end(text)
            return False
        return True

    def _num_workers(self) -> int | None:
        """How many workers could take a chunk; None if the scheduler does not say."""
        try:
            if not self._resources:
                return len(self._client.nthreads(callback_timeout=SCHEDULER_SECONDS))
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            return sum(
                all(worker["resources"].get(name, 0) >= amount for name, amount in self._resources.items())
                for worker in workers
            )
        except Exception:  # a scheduler that is lost is heard of through the chunks
            return None
