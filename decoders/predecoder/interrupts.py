"""Ctrl-C that waits for the end of a step, so that what is saved then is whole."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

__all__ = ["held_interrupts"]


@contextlib.contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Holds Ctrl-C and SIGTERM back until the function that it yields is called, or the block ends.

    A second signal comes through at once. SIGTERM is held only where a handler turns it into an exception, and nothing
    is outside the main thread, where Python delivers no signals.

    Examples:
        >>> import signal
        >>> from quell.decoders.predecoder.interrupts import held_interrupts
        >>> try:
        ...     with held_interrupts() as release:
        ...         signal.raise_signal(signal.SIGINT)
        ...         print("a whole step")
        ...         release()
        ...         print("a step that is not begun")
        ... except KeyboardInterrupt:
        ...     print("stopped")
        a whole step
        stopped
    """
    held: list[int] = []
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def release() -> None:
        if held:
            number = held.pop()
            handlers[number](number, None)

    def hold(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a signal handler)
        release()
        held.append(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, hold)
    try:
        yield release
    finally:
        for held_back, handler in handlers.items():
            signal.signal(held_back, handler)
    release()
