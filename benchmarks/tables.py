"""How the benchmarks write their tables: the command and the machine stand above the numbers."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """The processor, its cores, and the versions that the numbers depend on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    packages = ", ".join(f"{package} {version(package)}" for package in ("stim", "sinter", "pymatching", "numpy"))
    return f"{name}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}"


def write_table(path: Path, title: str, command: str, header: Sequence[str], rows: Sequence[Sequence[object]], *,
                notes: str = "") -> None:  # fmt: skip
    """Prints a table and writes it to `path` as Markdown."""
    lines = [f"# {title}", "", f"    {command}", "", f"{machine()}; {date.today()}.", ""]
    lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    text = "\n".join(lines) + "\n" + (f"\n{notes}\n" if notes else "")
    path.write_text(text)
    print(text)
