"""Processes that quell starts as modules of its own: what they find when they start, and how they ended.

Started so, they never import the user's `__main__`: scripts need no `if __name__ == "__main__":`, and notebooks work.
"""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

__all__ = ["how_it_ended", "start_worker", "worker_environment"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
try:
    _FIRST_FOLDER = os.getcwd()
except OSError:  # a folder that was removed
    _FIRST_FOLDER = ""


def worker_environment(num_workers: int) -> dict[str, str]:
    """Returns the user's environment, in which a worker finds the modules that this process finds.

    Numerical libraries share the cores evenly, unless the environment says otherwise (`OMP_NUM_THREADS`).

    Examples:
        >>> import os
        >>> from quell.worker_processes import worker_environment
        >>> os.environ.keys() <= worker_environment(2).keys()
        True
    """
    environment = dict(os.environ)
    own = set(sysconfig.get_paths().values()) | {sysconfig.get_path("platstdlib") + "/lib-dynload"}
    here = os.getcwd()
    # In a notebook and for `python -c` the first entry is "": the folder of now, and the one where it all began.
    entries = [each for entry in sys.path for each in ([here, _FIRST_FOLDER] if entry == "" else [entry])]
    wanted = [str(Path(here, entry)) for entry in entries if entry not in own]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(wanted))
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    for variable in _THREAD_VARIABLES:
        environment.setdefault(variable, str(threads))
    return environment


def start_worker(module: str, theirs: socket.socket, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Starts `python -m module DESCRIPTOR`, in a process group of its own.

    Args:
        module: Of quell.
        theirs: The end of a socket that it talks over; the caller closes its copy.
        environment: As `worker_environment` returns it.

    Raises:
        OSError: It cannot be started.
    """
    # What a decoder prints goes to stderr: the output of the user's own program stays clean.
    stderr = 2 if _is_open(2) else subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=stderr,
        stderr=stderr,
        env=environment,
        process_group=0,
    )


def how_it_ended(code: int) -> str:
    """Returns what the exit code of a process says, as the end of a sentence.

    Examples:
        >>> from quell.worker_processes import how_it_ended
        >>> how_it_ended(-9)
        'was killed by SIGKILL, perhaps because memory ran out'
    """
    if code >= 0:
        return f"ended with exit code {code}; what it printed is on stderr"
    why = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{why}"


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
