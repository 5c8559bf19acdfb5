"""A hash of any Python value by what it is, not by where it lies: the same in every process, for equal values.

It follows what pickling would save. Values that can be imported count by name, since a library is not a setting;
functions and classes that cannot, those of `__main__`, of notebooks and of function bodies, count with their code.
"""

import dis
import functools
import hashlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from quell.errors import InputError

__all__ = ["digest_of"]

# Attributes of a class that say nothing about what it does.
_IGNORED = frozenset(
    ("__annotate_func__", "__annotations__", "__annotations_cache__", "__dict__", "__doc__", "__firstlineno__",
     "__module__", "__static_attributes__", "__weakref__", "_abc_impl")
)  # fmt: skip
_ATOMS = (type(None), type(...), type(NotImplemented), bool, int, float, complex, str)


def digest_of(value: object, path: str = "value") -> bytes:
    """Returns 32 bytes that two values share if they are equal in every part.

    Args:
        value: Anything that can be pickled, and functions and classes of any origin.
        path: What the value is called in errors.

    Raises:
        InputError: Some part cannot be pickled, or is nested too deeply; the message says where it is.

    Examples:
        >>> import numpy as np
        >>> from quell.qec.sweeps.digest import digest_of
        >>> digest_of({"b": 1, "a": np.arange(3)}) == digest_of({"a": np.arange(3), "b": 1})
        True
        >>> digest_of(lambda x: x + 1) == digest_of(lambda x: x + 2)
        False
    """
    try:
        return _Walk().digest(value, path)
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply: give the decoder a method settings_id() -> str") from error


class _Walk:
    """One walk over a value, with what it has met so far."""

    def __init__(self) -> None:
        self.known: dict[int, bytes] = {}
        self.open: dict[int, int] = {}  # what is being walked now, in order: a value may hold itself
        self.kept: list[object] = []  # keeps temporaries alive, so that no id is used twice

    def digest(self, value: object, path: str) -> bytes:
        if isinstance(value, _ATOMS) and type(value) in _ATOMS:
            return _hash(type(value).__name__, repr(value))
        if id(value) in self.known:
            return self.known[id(value)]
        if id(value) in self.open:
            return _hash("inside", str(len(self.open) - self.open[id(value)]))
        self.kept.append(value)
        self.open[id(value)] = len(self.open)
        found = self._digest(value, path)
        del self.open[id(value)]
        self.known[id(value)] = found
        return found

    def _digest(self, value: Any, path: str) -> bytes:
        kind = type(value)
        if kind in (bytes, bytearray):
            return _hash("bytes", bytes(value))
        if kind is np.ndarray and value.dtype != object:
            return _hash("array", str(value.dtype), str(value.shape), np.ascontiguousarray(value).tobytes())
        if kind in (list, tuple):
            return _hash(kind.__name__, *(self.digest(item, f"{path}[{i}]") for i, item in enumerate(value)))
        if kind is dict:
            return _hash("dict", *self._pairs(value, path))
        if kind in (set, frozenset):
            return _hash("set", *sorted(self.digest(item, path) for item in value))
        for types_, method in self._special():
            if isinstance(value, types_):
                return method(value, path)
        if "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor):
            return self._tensor(value)
        return self._reduced(value, path)

    def _special(self) -> list[tuple[Any, Callable[[Any, str], bytes]]]:
        return [
            (types.ModuleType, lambda value, _: _hash("module", value.__name__)),
            (types.CodeType, self._code),
            (types.MappingProxyType, lambda value, path: _hash("mapping", self.digest(dict(value), path))),
            (types.FunctionType, self._function),
            (types.MethodType, lambda value, path: _hash("method", *self._each(path, value.__func__, value.__self__))),
            (type, self._class),
            (property, lambda value, path: _hash("property", *self._each(path, value.fget, value.fset, value.fdel))),
            ((staticmethod, classmethod), lambda v, path: _hash(type(v).__name__, self.digest(v.__func__, path))),
            (functools.cached_property, lambda value, path: _hash("cached", self.digest(value.func, path))),
            ((types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType), _built_in),
            ((types.GetSetDescriptorType, types.MemberDescriptorType), _built_in),
        ]

    def _each(self, path: str, *values: object) -> list[bytes]:
        return [self.digest(value, path) for value in values]

    def _pairs(self, value: dict[Any, Any], path: str) -> list[bytes]:
        pairs = [(self.digest(key, path), self.digest(item, f"{path}.{key}")) for key, item in value.items()]
        return [part for pair in sorted(pairs) for part in pair]

    def _tensor(self, value: Any) -> bytes:
        """A torch tensor: by its numbers, since its storage is pickled by address."""
        plain = value.detach().cpu().contiguous().reshape(-1)
        raw = plain.view(sys.modules["torch"].uint8).numpy().tobytes()
        return _hash("tensor", str(value.dtype), str(tuple(value.shape)), raw)

    def _function(self, value: types.FunctionType, path: str) -> bytes:
        if _importable(value):
            return _hash("function", value.__module__, value.__qualname__)
        used = {
            name: value.__globals__[name] for name in sorted(_globals_of(value.__code__)) if name in value.__globals__
        }
        cells = [_cell(cell) for cell in value.__closure__ or ()]
        parts = (value.__code__, value.__defaults__, value.__kwdefaults__, cells, used)
        return _hash("code of", value.__qualname__, *self._each(path, *parts))

    def _code(self, code: types.CodeType, path: str) -> bytes:
        # Not the file name and line numbers, which change when a cell is run again or a line is added above.
        parts = (code.co_consts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
        return _hash("code", code.co_code, *self._each(path, *parts))

    def _class(self, value: type, path: str) -> bytes:
        if _importable(value):
            return _hash("class", value.__module__, value.__qualname__)
        attributes = {name: item for name, item in vars(value).items() if name not in _IGNORED}
        slots = attributes.get("__slots__", ())
        own = {name: item for name, item in attributes.items() if name not in slots}
        return _hash("class body", value.__qualname__, *self._each(path, value.__bases__, own))

    def _reduced(self, value: object, path: str) -> bytes:
        try:
            reduced = value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception as error:
            raise InputError(
                f"{path} is a {type(value).__name__} that cannot be pickled ({error}), so results cannot be told "
                f"apart from those of other settings: give the decoder a method settings_id() -> str"
            ) from error
        if isinstance(reduced, str):
            return _hash("global", type(value).__module__, reduced)
        constructor, arguments, *rest = reduced
        parts = [list(part) if isinstance(part, Iterator) else part for part in rest]
        state = parts[0] if parts else None
        found = [self.digest(state, path), *self._each(path, *parts[1:])]
        return _hash("object", *self._each(path, type(value), constructor, arguments), *found)


def _hash(*parts: str | bytes) -> bytes:
    sha = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf8", "surrogatepass") if isinstance(part, str) else part
        sha.update(f"{len(raw)}:".encode())
        sha.update(raw)
    return sha.digest()


def _built_in(value: Any, _: str) -> bytes:
    owner = getattr(value, "__self__", None) or getattr(value, "__objclass__", None)
    place = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", "") if owner is not None else ""
    return _hash("built in", str(getattr(value, "__module__", "")), str(place), value.__name__)


def _importable(value: Any) -> bool:
    """Whether another process finds this very object under its name."""
    module = sys.modules.get(value.__module__ or "")
    if module is None or value.__module__ == "__main__":
        return False
    found: Any = module
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _globals_of(code: types.CodeType) -> set[str]:
    """The names of the globals that code reads, those of functions inside it included."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _globals_of(constant)
    return names


def _cell(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # empty: a function that refers to something defined later
        return None
