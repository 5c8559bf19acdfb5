"""A process of a `WindowPool`, started as a module of quell; it never imports the user's `__main__`.

It talks with the pool over one socket, and ends at once when that closes, because the pool did in whatever way. It gets
`(pickled decoder, models)` once, answers `("ready", warnings)`, and from then on turns `(model, events)` into
`("done", predictions)`. Instead of any answer it may send `("failed", pickled error or None, text, traceback)`.
"""

import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import numpy as np
import sinter
import stim

from quell.decoders.windows.model_decoders import compile_models

__all__ = ["main"]


def main(descriptor: int) -> None:
    """Answers requests on the socket `descriptor` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the pool, which ends its processes
    connection = Connection(descriptor)
    os.set_inheritable(descriptor, False)
    os.register_at_fork(after_in_child=connection.close)  # a child of a decoder has no part in this
    requests: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, requests), daemon=True).start()
    decoders: list[sinter.CompiledDecoder] = []
    while True:
        request = requests.get()
        try:
            answer: tuple[Any, ...] = _decoded(decoders, *request) if decoders else _compiled(decoders, *request)
        except BaseException as error:
            answer = "failed", _pickled(error), f"{type(error).__name__}: {error}", traceback.format_exc()
        try:
            connection.send(answer)
        except OSError:
            os._exit(0)


def _read(connection: Connection, requests: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    """Reads in a thread of its own, so that the end of the pool is noticed in the middle of a batch too."""
    while True:
        try:
            requests.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _compiled(decoders: list[sinter.CompiledDecoder], inner: bytes, models: list[str]) -> tuple[str, Any]:
    """Compiles a decoder for all models; answers with the warnings that this gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoders += compile_models(cloudpickle.loads(inner), [stim.DetectorErrorModel(text) for text in models])
    found = [(str(each.message), each.category, each.filename, each.lineno) for each in caught]
    return "ready", cloudpickle.dumps(found)


def _decoded(decoders: list[sinter.CompiledDecoder], model: int, events: Any) -> tuple[str, Any]:
    return "done", np.asarray(decoders[model].decode_shots_bit_packed(bit_packed_detection_event_data=events))


def _pickled(error: BaseException) -> bytes | None:
    """The error, if it comes back from being pickled; some cannot be made anew."""
    try:
        content: bytes = cloudpickle.dumps(error)
        cloudpickle.loads(content)
    except Exception:
        return None
    return content


if __name__ == "__main__":
    main(int(sys.argv[1]))
