"""The house rules of imports: an import only ever goes down, and never past `quell` itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("circuits", "decoders", "mitigation", "qec")

ANYWHERE = {"quell.compiled_kernels", "quell.errors", "quell.whole_files", "quell.worker_processes"}
# Which parts of quell a part may import. Everything may import what is in ANYWHERE.
MAY_IMPORT = {
    "mitigation": {"mitigation"},
    "qec": {"qec"},
    "circuits": {"circuits", "qec.codes"},
    "decoders": {"decoders", "circuits", "qec.codes"},
}
# Inside qec/, a room may import only these rooms.
ROOMS = {
    "codes": {"codes"},
    "search": {"search", "codes"},
    "analysis": {"analysis"},
    "sweeps": {"sweeps", "analysis"},
    "rare_events": {"rare_events", "sweeps", "analysis"},
}


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            # `from quell import errors` imports quell.errors
            yield from ((node.lineno, f"{module}.{a.name}" if module == "quell" else module) for a in node.names)


def within(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def breaches(path: Path, relative: Path) -> list[str]:
    """Everything in the file at `path`, which stands at `relative`, that breaks a rule."""
    part = relative.parts[0]
    found = []
    for line, name in imports_of(path):
        where = f"{relative}:{line}: imports {name}"
        if name.split(".")[0] in PARTS:
            found.append(f"{where}: import it through quell")
        if not name.startswith("quell") or within(name, ANYWHERE):
            continue
        inner = name.removeprefix("quell").lstrip(".")
        if not within(inner, MAY_IMPORT[part]):
            found.append(f"{where}: {part} may import only {sorted(MAY_IMPORT[part])}")
        room = relative.parts[1] if part == "qec" and len(relative.parts) > 2 else None
        if room is not None and inner.startswith("qec.") and not within(inner[4:], ROOMS[room]):
            found.append(f"{where}: qec/{room} may import only {sorted(ROOMS[room])}")
    return found


@pytest.mark.parametrize("part", PARTS)
def test_imports_only_go_down(part: str) -> None:
    files = sorted((ROOT / part).rglob("*.py"))
    assert files
    assert [breach for f in files for breach in breaches(f, f.relative_to(ROOT))] == []


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("qec/analysis/bad.py", "import quell.circuits"),
        ("qec/analysis/bad.py", "from quell.qec.sweeps import sweep"),
        ("mitigation/bad.py", "from quell import qec"),
        ("circuits/bad.py", "from quell.decoders import registry"),
        ("decoders/bad.py", "import circuits"),
        ("circuits/bad.py", "def late():\n    from quell.qec.sweeps import sweep"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, where: str, text: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(text)
    assert len(breaches(file, Path(where))) == 1


def test_the_parts_are_links_under_the_import_root() -> None:
    for part in PARTS:
        link = ROOT / "src" / "quell" / part
        assert link.is_symlink()
        assert link.resolve() == (ROOT / part).resolve()
