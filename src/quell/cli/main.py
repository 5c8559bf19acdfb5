"""The entry point: finds the command, runs it, and turns errors into messages and exit codes.

Exit codes: 0 when it worked, 1 when it failed, 2 when the command line asked for something impossible.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cyclopts import App, Parameter

from quell import __version__
from quell.cli.analyse import lambda_, table, threshold
from quell.cli.circuit import circuit
from quell.cli.codes import codes
from quell.cli.cultivate import cultivate
from quell.cli.demo import demo
from quell.cli.flip_rate import train_flip_rate
from quell.cli.learn import learn
from quell.cli.mitigate import mitigate
from quell.cli.predecoder import train_predecoder
from quell.cli.rare import rare
from quell.cli.search import search
from quell.cli.shards import merge, plan, run_shard
from quell.cli.sweep import sweep
from quell.errors import InputError, QuellError

__all__ = ["app", "main"]

app = App(
    name="quell",
    version=__version__,
    help="From a quantum code to a number one can trust: circuits, sweeps, thresholds, cleaner counts.",
    help_epilogue="`quell COMMAND --help` shows examples. Exit codes: 0 done, 1 failed, 2 wrong usage.",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
app.command(sweep)
app.command(rare)
app.command(plan)
app.command(run_shard)
app.command(merge)
app.command(threshold)
app.command(lambda_, name="lambda")
app.command(table)
app.command(circuit)
app.command(cultivate)
app.command(search)
app.command(codes)
app.command(learn)
app.command(mitigate)
app.command(train_flip_rate)
app.command(train_predecoder)
app.command(demo)


def main(tokens: Sequence[str] | None = None) -> None:
    """Runs the command line and exits the process.

    Args:
        tokens: The arguments; those of the process if None.
    """
    sys.exit(run(tokens))


def run(tokens: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    signal.signal(signal.SIGTERM, _end)
    try:
        app(tokens, result_action="return_value")
        sys.stdout.flush()
    except QuellError as error:
        say(str(error), *getattr(error, "__notes__", ()))
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        say("interrupted; if it was saving, what was saved is in the file: run the same command to go on")
        return 1
    except BrokenPipeError:
        # The reader, `head` perhaps, has seen enough. Nothing more may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a signal handler)
    """Ends a run that a queue terminates as Ctrl-C ends it: with everything saved."""
    raise KeyboardInterrupt


def say(*lines: str) -> None:
    """Prints a message to the user, apart from results."""
    if sys.stderr is not None:
        print(f"quell: {lines[0]}", *lines[1:], sep="\n", file=sys.stderr)
