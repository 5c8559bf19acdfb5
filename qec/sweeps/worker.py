"""A worker process of a local sweep, started as a module of quell; it never imports the user's `__main__`.

It talks with the sweep over one socket. When that closes, because the sweep ended in whatever way, it exits at once.

The sweep sends `("run", number, key, limits)`, `("work", bytes)` and `("stop", number)`. The worker answers
`("need", key)` when it has no sampler for a task, and `("done", stats)` or `("failed", text, traceback)` for a run.
"""

import os
import queue
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from quell.qec.sweeps.chunk import failure_text, run_chunk

__all__ = ["main"]


class _Inbox:
    """Reads messages in a thread of its own, so that a stop, or the end of the sweep, is heard during a batch."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.running = -1  # the number of the current run
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message = self.connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            if message[0] == "stop":
                with self._lock:
                    if message[1] == self.running:
                        self.stop.set()
            else:
                if message[0] == "run":
                    with self._lock:
                        self.running = message[1]
                        self.stop.clear()
                self.messages.put(message)

    def work(self, key: str) -> bytes:
        """Asks for a task's bytes and returns them."""
        self.connection.send(("need", key))
        _, data = self.messages.get()  # the sweep sends nothing else to a worker that runs
        return bytes(data)


def main(descriptor: int) -> None:
    """Answers requests on the socket `descriptor` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the sweep, which says what to do
    connection = Connection(descriptor)
    os.set_inheritable(descriptor, False)
    os.register_at_fork(after_in_child=connection.close)  # a child of a decoder has no part in this
    inbox = _Inbox(connection)
    while True:
        _, _, key, limits = inbox.messages.get()
        try:
            stats = run_chunk(key, lambda key=key: inbox.work(key), limits, inbox.stop)  # type: ignore[misc]
        except BaseException as error:
            answer: tuple[Any, ...] = ("failed", failure_text(error), traceback.format_exc())
        else:
            answer = ("done", stats)
        try:
            connection.send(answer)
        except OSError:
            os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
