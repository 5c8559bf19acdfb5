"""`quell circuit`: a memory experiment as a Stim file."""

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from quell.cli.options import Count, Json, MemoryOptions, print_json
from quell.errors import InputError, StorageError

__all__ = ["circuit"]


def circuit(
    family: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    distance: Count | None = None,
    p: float | None = None,
    basis: str = "Z",
    memory: MemoryOptions = MemoryOptions(),  # noqa: B008 (never changed; shown as the default)
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Json = False,
) -> None:
    """Print or write the Stim circuit of a memory experiment.

    quell circuit --distance 5 --p 0.003 --noise si1000 --out d5.stim

    quell circuit rp2 --distance 5 --p 0.003 --basis X

    quell circuit css --file code.npz --distance 6 --p 0.003

    Args:
        family: The code, as --code names it.
        distance: Code distance. For a code from a file it stands for the number of rounds, and --rounds is enough.
        p: Physical error rate. Without it the circuit is noiseless.
        basis: Z or X: which logical observable is kept.
        out: Write the circuit into this file instead of printing it.
    """
    if family is not None:
        if memory.code not in (family, MemoryOptions().code):
            raise InputError(f"the code is given twice, as {family} and as --code {memory.code}: leave one out")
        memory = dataclasses.replace(memory, code=family)
    built = memory.circuit(distance, p, basis)
    text = f"{built}\n"
    if out is not None:
        try:
            out.write_text(text)
        except OSError as error:
            raise StorageError(f"cannot write {out}: {error.strerror}") from error
    if json:
        print_json(
            {
                "circuit": text,
                "num_qubits": built.num_qubits,
                "num_detectors": built.num_detectors,
                "num_observables": built.num_observables,
                "num_measurements": built.num_measurements,
                "out": None if out is None else str(out),
            }
        )
    elif out is None:
        print(text, end="")
