"""Files that are there whole or not at all: each is written beside its place, and moved there in one step."""

import contextlib
import os
import secrets
import shlex
from pathlib import Path

from quell.errors import StorageError

__all__ = ["no_folder_hint", "read_file", "write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file and only then gives it its name, in place of one that had it.

    Raises:
        StorageError: It cannot be written; nothing has changed then.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(draft, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a node that crashes must not leave a name without its content
        os.replace(draft, path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}{no_folder_hint(path)}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def no_folder_hint(path: Path) -> str:
    """Returns what to do about a folder that is missing, as the end of a sentence; nothing if it is there."""
    return "" if path.parent.exists() else f"; make its folder first: mkdir -p {shlex.quote(str(path.parent))}"


def read_file(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
