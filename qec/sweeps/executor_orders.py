"""What travels between a sweep and the workers of an executor: orders to run a chunk, and answers to them.

An order is bytes that run the chunk when `pickle.loads` reads them. So an executor needs to know nothing of quell, and
a worker without it, or with another version, says so, and which it is, instead of breaking. The code of a problem is
sent once for each worker: an order may leave it out, and a worker that has not met the problem says that it needs it.
"""

import os
import pickle
import socket
import traceback
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from quell.qec.sweeps.chunk import failure_text, run_chunk
from quell.qec.sweeps.versions import different_versions, own_versions

__all__ = ["packed_order", "packed_work", "run_order"]

# For the worker to evaluate: without quell it can still say who it is.
_RUN = (
    "__import__('quell.qec.sweeps.executor_orders',fromlist=['x']).run_order(*a)"
    "if __import__('importlib.util').util.find_spec('quell')else "
    "__import__('pickle').dumps(('refused','worker %s on %s has no quell'"
    "%(__import__('os').getpid(),__import__('socket').gethostname())))"
)


def packed_work(work: bytes) -> bytes:
    """Returns the pickled problem as it travels: circuits and models are text, which shrinks well."""
    return zlib.compress(work, 1)


def packed_order(versions: Mapping[str, str], key: str, limits: Any, work: bytes | None) -> bytes:
    """Returns the bytes that run a chunk when `pickle.loads` reads them, and give an answer as bytes.

    Args:
        versions: What the worker must have.
        key: As in `run_chunk`.
        limits: As in `run_chunk`.
        work: From `packed_work`; None where the worker is likely to know the key.
    """
    return pickle.dumps(_Order(dict(versions), key, pickle.dumps(limits), work))


class _Order:
    """Turns into the answer of `run_order` when it is unpickled."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., bytes], tuple[object, ...]]:
        return eval, (_RUN, {"a": self.arguments})


class _WorkNeeded(Exception):
    """This thread has not met the problem yet."""


def run_order(versions: Mapping[str, str], key: str, limits: bytes, work: bytes | None) -> bytes:
    """Runs a chunk on a worker.

    Returns:
        A pickled tuple: `("done", result)`, `("need",)` if the problem is new here and was not sent along,
        `("failed", text, traceback)`, or `("refused", text)` if this worker has other versions.
    """
    where = f"worker {os.getpid()} on {socket.gethostname()}"
    different = different_versions(versions, own_versions())
    if different:
        return pickle.dumps(("refused", f"{where} {different}"))

    def unpacked() -> bytes:
        if work is None:
            raise _WorkNeeded
        return zlib.decompress(work)

    try:
        return pickle.dumps(("done", run_chunk(key, unpacked, pickle.loads(limits))))
    except _WorkNeeded:
        return pickle.dumps(("need",))
    except (Exception, SystemExit) as error:
        return pickle.dumps(("failed", f"{failure_text(error)} ({where})", traceback.format_exc()))
