"""The file in which a search keeps how far it has come: JSON, with the settings that it belongs to."""

import json
from pathlib import Path
from typing import Any

from quell.errors import DataError
from quell.whole_files import read_file, write_whole

__all__ = ["read_state", "search_settings", "write_state"]


def search_settings(search: object) -> dict[str, Any]:
    """Returns what a file of a search belongs to: the settings that all kinds of search have."""
    return {name: getattr(search, name) for name in ("k", "distance", "max_weight", "max_degree", "agent", "seed")}


def write_state(path: Path, format_name: str, settings: dict[str, Any], state: dict[str, Any]) -> None:
    """Writes a state in one step, so that a kill leaves the old file or the new one.

    Raises:
        StorageError: The file cannot be written.
    """
    write_whole(path, (json.dumps({"format": format_name, "settings": settings, **state}) + "\n").encode())


def read_state(path: Path, format_name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Reads a state back.

    Raises:
        DataError: The file does not hold a state of this kind, or one of a search with other settings.
        StorageError: The file cannot be read.
    """
    try:
        record = json.loads(read_file(path))
        found_format, found_settings = record["format"], dict(record["settings"])
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path} does not hold the state of a search: name another file") from None
    if found_format != format_name:
        raise DataError(f"{path} has the format {found_format!r}, not {format_name!r}: name another file")
    for name, value in settings.items():
        if found_settings.get(name) != value:
            raise DataError(
                f"{path} is of a search with {name} = {found_settings.get(name)!r}, not {value!r}: name another file"
            )
    return dict(record)
