"""The catalogue of codes that were found: what each is made of, its parameters, and how its distance is known.

A catalogue is a text file with one code a line, in JSON, sorted by name. The one that comes with quell and those that
`quell search --save` writes are of the same kind. Nothing in it is believed without a look: `verify_entry` makes the
matrices again from what the entry says the code is made of, and derives every number from them.
"""

import dataclasses
import functools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError, InputError, check_known
from quell.qec.codes import CSSCode, LinearCode, bivariate_bicycle, distance, hypergraph_product
from quell.qec.codes.gf2 import in_row_space
from quell.qec.codes.group_algebra import Group, two_block_code
from quell.qec.search.found_codes import FoundCode
from quell.qec.search.run import SeedSearch
from quell.qec.search.seeds import pack_rows, unpack_rows
from quell.whole_files import read_file, write_whole

__all__ = [
    "CatalogueEntry",
    "Verification",
    "add_entries",
    "catalogue",
    "code_entry",
    "distance_fields",
    "found_entry",
    "load_code",
    "read_catalogue",
    "seed_entry",
    "verify_entry",
    "write_catalogue",
]

_SHIPPED = Path(__file__).with_name("catalogue.jsonl")
_PRODUCT_METHOD = "{} of the seed"


@dataclass(frozen=True)
class CatalogueEntry:
    """A code of a catalogue.

    Attributes:
        name: What `load_code` and `quell codes` call it.
        n: Qubits.
        k: Logical qubits.
        lower: No logical operator is lighter: proven.
        upper: The weight of the witness.
        d_method: How the distance, or what is known of it, was found.
        max_weight: The most qubits in a check.
        max_degree: The most checks of one type on a qubit.
        construction: What the code is made of, as one of: `{"hypergraph_product": {"length", "rows"}}`, of a classical
            code with itself, its rows as hexadecimal masks of columns; `{"two_block": {"group", "a", "b"}}`;
            `{"bivariate_bicycle": {"l", "m", "a", "b"}}`; `{"checks": {"length", "x", "z"}}`, the qubits of each check.
        basis: What the witness is made of, `"X"` or `"Z"`.
        witness: The qubits of a logical operator, ascending.
        found_by: How it was found: a command with its seed and, of a product, the number of the restart; or a source.
    """

    name: str
    n: int
    k: int
    lower: int
    upper: int
    d_method: str
    max_weight: int
    max_degree: int
    construction: dict[str, Any]
    basis: str
    witness: tuple[int, ...]
    found_by: str

    @property
    def distance(self) -> int | None:
        """The distance, where it is known exactly; None otherwise."""
        return self.lower if self.lower == self.upper else None

    @property
    def efficiency(self) -> float:
        """k d²/n, with what is proven of d: a surface code has 1, or less."""
        return self.k * self.lower**2 / self.n

    @property
    def code(self) -> CSSCode:
        """The code, made from its construction.

        Raises:
            DataError: The construction is of no known kind, or makes no code.
        """
        try:
            ((kind, parts),) = self.construction.items()
            return _MAKERS[kind](parts, self.name)
        except (InputError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{self.name}: the construction makes no code: {error}") from error

    @property
    def seed(self) -> LinearCode | None:
        """The classical code that the code is a hypergraph product of; None for another construction."""
        parts = self.construction.get("hypergraph_product")
        return None if parts is None else _seed(parts)

    def summary(self) -> dict[str, Any]:
        """Returns what lists show of it: d only where it is exact, else d_lower and d_upper.

        Examples:
            >>> from quell.qec.search.catalogue import catalogue
            >>> entry = next(entry for entry in catalogue() if entry.name == "bb-144-12-12")
            >>> entry.summary()["d"], entry.summary()["max_weight"]
            (12, 6)
        """
        return {
            "name": self.name,
            "n": self.n,
            "k": self.k,
            **distance_fields(self.lower, self.upper),
            "d_method": self.d_method,
            "max_weight": self.max_weight,
            "max_degree": self.max_degree,
        }


def distance_fields(lower: int, upper: int) -> dict[str, int]:
    """Returns a distance as lists show it: d only where it is exact, else d_lower and d_upper."""
    return {"d": lower} if lower == upper else {"d_lower": lower, "d_upper": upper}


@dataclass(frozen=True)
class Verification:
    """What came of a second look at an entry.

    Attributes:
        name: Of the entry.
        failures: What turned out otherwise than the entry says; empty if all is well.
        unproven: What of the distance could not be proven in time; empty if all was.
        lower: What was proven of the distance this time.
        upper: The weight of the lightest logical operator seen, the entry's own included if it is one.
        method: How.
        seconds: That it took.
        interrupted: Whether Ctrl-C ended the search for the distance.
    """

    name: str
    failures: tuple[str, ...]
    unproven: str
    lower: int
    upper: int
    method: str
    seconds: float
    interrupted: bool = False

    @property
    def verified(self) -> bool:
        """Whether nothing failed, and the distance was proven again."""
        return not self.failures and not self.unproven


def catalogue() -> list[CatalogueEntry]:
    """Returns the codes that come with quell.

    Examples:
        >>> from quell.qec.search.catalogue import catalogue
        >>> min(entry.n for entry in catalogue() if entry.k >= 12 and entry.lower >= 12)
        144
    """
    return list(_shipped())


def load_code(name: str) -> CSSCode:
    """Returns a code of the catalogue that comes with quell.

    Raises:
        UnknownNameError: There is none of that name; the message says which is nearest.

    Examples:
        >>> from quell.qec.search import load_code
        >>> load_code("bb-72-12-6")
        <bb-72-12-6: [[72, 12]] CSS code, 36 X and 36 Z checks>
    """
    entries = {entry.name: entry for entry in _shipped()}
    return entries[check_known("code", name, tuple(entries))].code


def verify_entry(entry: CatalogueEntry, time_limit: float | None = None) -> Verification:
    """Makes the code of an entry again and derives every number anew.

    The distance of a hypergraph product is that of its seed, if the seed's checks are independent, which is looked at;
    that of another code is searched for in the code itself.

    Args:
        entry: Of any catalogue.
        time_limit: Seconds for the distance; None for as long as it takes.

    Raises:
        DataError: The construction makes no code.

    Examples:
        >>> from quell.qec.search.catalogue import catalogue, verify_entry
        >>> found = verify_entry(next(entry for entry in catalogue() if entry.name == "bb-72-12-6"))
        >>> found.verified, found.lower, found.method
        (True, 6, 'clusters')
    """
    began = time.monotonic()
    code = entry.code
    claims = {
        "n": (entry.n, code.n),
        "k": (entry.k, code.k),
        "max_weight": (entry.max_weight, code.max_weight),
        "max_degree": (entry.max_degree, code.max_degree),
    }
    failures = [f"{name} is {found}, not {claimed}" for name, (claimed, found) in claims.items() if claimed != found]
    witness_fails = _witness_fails(entry, code)
    if witness_fails:
        failures.append(witness_fails)
    elif len(entry.witness) != entry.upper:
        failures.append(f"the witness has weight {len(entry.witness)}, not {entry.upper}")
    if code.k == 0:
        return Verification(entry.name, tuple(failures), "", 0, 0, "none", time.monotonic() - began)
    lower, upper, method, interrupted = _distance_again(entry, code, time_limit)
    if not witness_fails:
        upper = min(upper, len(entry.witness))
    unproven = ""
    if upper < entry.lower:
        failures.append(f"the distance is at most {upper}, by {method}, and {entry.lower} is claimed to be proven")
    elif lower < entry.lower:
        unproven = f"in that time the distance was proven to be at least {lower} only, {entry.lower} is claimed"
    if lower > entry.upper:
        failures.append(f"the distance is at least {lower}, by {method}, and at most {entry.upper} is claimed")
    seconds = time.monotonic() - began
    return Verification(entry.name, tuple(failures), unproven, lower, upper, method, seconds, interrupted)


def _distance_again(entry: CatalogueEntry, code: CSSCode, time_limit: float | None) -> tuple[int, int, str, bool]:
    seed = entry.seed
    if seed is not None and seed.rank == len(seed.checks):
        found = distance(seed, time_limit=time_limit)
        return found.lower, found.upper, _PRODUCT_METHOD.format(found.method), found.interrupted
    found = distance(code, time_limit=time_limit)
    return found.lower, found.upper, found.method, found.interrupted


def _witness_fails(entry: CatalogueEntry, code: CSSCode) -> str:
    """Why a witness is no logical operator; empty if it is one."""
    support = np.array(entry.witness, dtype=np.int64)
    if not len(support) or support.min() < 0 or support.max() >= code.n or len(set(entry.witness)) < len(support):
        return f"the witness must name different qubits from 0 to {code.n - 1}"
    operator = np.zeros(code.n, dtype=np.uint8)
    operator[support] = 1
    own, others = (code.x_checks, code.z_checks) if entry.basis == "X" else (code.z_checks, code.x_checks)
    if (others @ operator.astype(np.int64) % 2).any():
        return f"the witness does not commute with all {'Z' if entry.basis == 'X' else 'X'} checks"
    if in_row_space(operator[None], own)[0]:
        return "the witness is a stabilizer, and no logical operator"
    return ""


def code_entry(
    name: str, code: CSSCode, construction: dict[str, Any], *, found_by: str, time_limit: float | None = None
) -> CatalogueEntry:
    """Returns the entry of a code, with its distance or bounds on it.

    Raises:
        InputError: The code has k = 0.
    """
    found = distance(code, time_limit=time_limit)
    witness = tuple(np.flatnonzero(found.witness).tolist())
    return CatalogueEntry(
        name, code.n, code.k, found.lower, found.upper, found.method, code.max_weight, code.max_degree, construction,
        found.basis or "X", witness, found_by,
    )  # fmt: skip


def seed_entry(search: SeedSearch) -> CatalogueEntry:
    """Returns the entry of what a search for a hypergraph product found.

    Raises:
        InputError: It found nothing.
    """
    if search.best is None:
        raise InputError("the search has found no code yet")
    checks = search.best.checks
    seed = LinearCode(checks)
    found = distance(seed)
    n = search.quantum_length(seed.n)
    rows, columns = int(seed.row_weights.max()), int(seed.column_weights.max())
    # A codeword in one row of the square of bits, where that row alone is no sum of checks.
    unit = np.eye(seed.n, dtype=np.uint8)
    row = int(np.flatnonzero(~in_row_space(unit, checks))[0])
    witness = tuple((row * seed.n + np.flatnonzero(found.witness)).tolist())
    command = (
        f"quell search --k {search.k} --distance {search.distance} --max-weight {search.max_weight} "
        f"--max-degree {search.max_degree} --agent {search.agent} --seed {search.seed}, restart {search.best_restart} "
        f"at seed length {seed.n}"
    )
    return CatalogueEntry(
        f"hgp-{n}-{search.k}-{found.lower}", n, search.k, found.lower, found.upper,
        _PRODUCT_METHOD.format(found.method), rows + columns, max(rows, columns),
        {"hypergraph_product": {"length": seed.n, "rows": [f"{int(mask):x}" for mask in pack_rows(checks)]}},
        "X", witness, command,
    )  # fmt: skip


def found_entry(found: FoundCode, *, found_by: str) -> CatalogueEntry:
    """Returns the entry of a two-block code."""
    weight, degree = len(found.a) + len(found.b), max(len(found.a), len(found.b))
    d = found.lower if found.distance is not None else f"{found.lower}to{found.upper}"
    parts = {"group": found.group, "a": list(found.a), "b": list(found.b)}
    method = "clusters" if found.distance is not None else "lower bound by clusters, upper bound by information sets"
    return CatalogueEntry(
        f"2b-{found.n}-{found.k}-{d}" + (f"-w{weight}" if weight != 6 else ""), found.n, found.k, found.lower,
        found.upper, method, weight, degree, {"two_block": parts}, found.basis, found.witness, found_by,
    )  # fmt: skip


def read_catalogue(path: Path | str) -> list[CatalogueEntry]:
    """Reads a catalogue.

    Raises:
        StorageError: The file cannot be read.
        DataError: A line is no entry; the message names file, line and what is wrong.
    """
    path = Path(path)
    try:
        lines = read_file(path).decode().splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a catalogue: it is not text") from None
    return [_entry(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def write_catalogue(path: Path | str, entries: Iterable[CatalogueEntry]) -> None:
    """Writes a catalogue in one step, sorted by name.

    Raises:
        StorageError: The file cannot be written.
    """
    ordered = sorted(entries, key=lambda entry: (entry.name.split("-")[0], entry.n, entry.k, entry.name))
    write_whole(Path(path), "".join(json.dumps(dataclasses.asdict(entry)) + "\n" for entry in ordered).encode())


def add_entries(path: Path | str, entries: Iterable[CatalogueEntry]) -> None:
    """Adds entries to a catalogue, which need not exist; one of the same name is replaced.

    Raises:
        StorageError: The file cannot be read or written.
        DataError: The file is no catalogue.
    """
    path = Path(path)
    known = {entry.name: entry for entry in read_catalogue(path)} if path.exists() else {}
    write_catalogue(path, (known | {entry.name: entry for entry in entries}).values())


def _entry(path: Path, number: int, line: str) -> CatalogueEntry:
    where = f"{path}, line {number}"
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    fields = {field.name: field.type for field in dataclasses.fields(CatalogueEntry)}
    if not isinstance(record, dict) or record.keys() != fields.keys():
        found = record.keys() if isinstance(record, dict) else set()
        missing, unknown = (
            ", ".join(sorted(keys)) or "none" for keys in (fields.keys() - found, found - fields.keys())
        )
        raise DataError(f"{where}: an entry has the keys {', '.join(fields)}; missing: {missing}; unknown: {unknown}")
    kinds = {int: int, str: str, dict[str, Any]: dict, tuple[int, ...]: list}
    for name, kind in fields.items():
        wanted = kinds[kind]  # type: ignore[index]  # a field's type may be a string to mypy; here none is
        if not isinstance(record[name], wanted) or isinstance(record[name], bool):
            raise DataError(f"{where}: {name} must be of type {wanted.__name__}, got {record[name]!r:.60}")
    if not all(isinstance(qubit, int) for qubit in record["witness"]):
        raise DataError(f"{where}: witness must hold numbers of qubits, got {record['witness']!r:.60}")
    if record["basis"] not in ("X", "Z"):
        raise DataError(f"{where}: basis must be 'X' or 'Z', got {record['basis']!r}")
    if len(record["construction"]) != 1 or not record["construction"].keys() <= _MAKERS.keys():
        raise DataError(
            f"{where}: construction must be one of {', '.join(_MAKERS)}, got {', '.join(record['construction'])}"
        )
    return CatalogueEntry(**{**record, "witness": tuple(record["witness"])})


@functools.cache
def _shipped() -> tuple[CatalogueEntry, ...]:
    return tuple(read_catalogue(_SHIPPED))


def _seed(parts: dict[str, Any]) -> LinearCode:
    rows = np.array([int(mask, 16) for mask in parts["rows"]], dtype=np.uint64)
    return LinearCode(unpack_rows(rows, parts["length"]))


def _from_seed(parts: dict[str, Any], name: str) -> CSSCode:
    return hypergraph_product(_seed(parts), name=name)


def _from_group(parts: dict[str, Any], name: str) -> CSSCode:
    return two_block_code(Group.parse(parts["group"]), parts["a"], parts["b"], name=name)


def _from_polynomials(parts: dict[str, Any], name: str) -> CSSCode:
    return bivariate_bicycle(parts["l"], parts["m"], parts["a"], parts["b"], name=name)


def _from_checks(parts: dict[str, Any], name: str) -> CSSCode:
    return CSSCode(_matrix(parts["x"], parts["length"]), _matrix(parts["z"], parts["length"]), name=name)


def _matrix(supports: list[list[int]], columns: int) -> NDArray[np.uint8]:
    matrix = np.zeros((len(supports), columns), dtype=np.uint8)
    for row, support in zip(matrix, supports, strict=True):
        if support and not 0 <= min(support) <= max(support) < columns:
            raise ValueError(f"checks must name qubits from 0 to {columns - 1}, got {support}")
        row[support] = 1
    return matrix


_MAKERS = {
    "hypergraph_product": _from_seed,
    "two_block": _from_group,
    "bivariate_bicycle": _from_polynomials,
    "checks": _from_checks,
}
