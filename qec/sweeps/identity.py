"""What makes two results the same task: canonical metadata, and decoder names that carry their settings.

sinter identifies a task by a hash (`strong_id`) of its circuit, model, decoder *name* and metadata *in the order
its keys were written*. Here the order never matters, and two decoders that differ in any setting never share a name.
"""

import hashlib
import inspect
import itertools
import json
import math
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import sinter

from quell.errors import InputError

__all__ = ["base_name", "canonical_metadata", "name_with_settings", "other_key_orders", "settings_digest"]

_DIGEST = re.compile(r"@[0-9a-f]{12}$")
_MAX_KEY_ORDERS = 400_000  # 9! = 362,880: about a second of hashing, and only where a row is in doubt


def canonical_metadata(metadata: Any) -> Any:
    """Returns metadata as it will be read back from a file: JSON values with sorted keys.

    Tuples become lists, numpy scalars become Python numbers. Two metadata values mean the same
    if and only if their canonical forms have the same JSON text.

    Raises:
        InputError: A value that JSON cannot hold, or NaN or infinity.

    Examples:
        >>> import numpy as np
        >>> from quell.qec.sweeps.identity import canonical_metadata
        >>> canonical_metadata({"p": np.float64(0.5), "d": (3, 5)})
        {'d': [3, 5], 'p': 0.5}
    """
    if isinstance(metadata, Mapping):
        if not all(isinstance(key, str) for key in metadata):
            raise InputError(f"metadata keys must be strings, got {list(metadata)!r}")
        return {key: canonical_metadata(metadata[key]) for key in sorted(metadata)}
    if isinstance(metadata, (list, tuple)):
        return [canonical_metadata(value) for value in metadata]
    if isinstance(metadata, np.generic):
        metadata = metadata.item()
    if isinstance(metadata, float) and not math.isfinite(metadata):
        raise InputError(f"metadata cannot hold {metadata!r}: JSON has no such number")
    if metadata is None or isinstance(metadata, (bool, int, float, str)):
        return metadata
    raise InputError(
        f"metadata cannot hold {metadata!r} of type {type(metadata).__name__}: "
        f"use numbers, strings, lists and dictionaries"
    )


def base_name(decoder: str) -> str:
    """Returns a decoder's name without its settings.

    Examples:
        >>> from quell.qec.sweeps.identity import base_name
        >>> base_name("mine@0123456789ab")
        'mine'
    """
    return _DIGEST.sub("", decoder)


def name_with_settings(name: str, decoder: "sinter.Decoder | sinter.Sampler") -> str:
    """Returns `name@<12 hex digits>`, the digits standing for everything the decoder was set to."""
    return f"{name}@{settings_digest(decoder)}"


def settings_digest(decoder: "sinter.Decoder | sinter.Sampler") -> str:
    """Returns 12 hexadecimal digits that change whenever a setting of the decoder changes.

    A decoder says what its settings are with a method `settings_id() -> str`. For one that has none, the digest
    covers its class, and everything that pickling it would save. A class defined in a script's `__main__` or in a
    notebook is covered with its source text, since its name alone says little about what it does.

    Raises:
        InputError: A setting that cannot be pickled; the message says which, and asks for `settings_id`.

    Examples:
        >>> import sinter
        >>> from quell.qec.sweeps.identity import settings_digest
        >>> class Mine(sinter.Decoder):
        ...     def __init__(self, strength): self.strength = strength
        ...     def settings_id(self): return f"strength={self.strength}"
        >>> settings_digest(Mine(1)) == settings_digest(Mine(1))
        True
        >>> settings_digest(Mine(1)) == settings_digest(Mine(2))
        False
    """
    digest = _Digest()
    settings_id = getattr(decoder, "settings_id", None)
    if callable(settings_id):
        text = settings_id()
        if not isinstance(text, str):
            raise InputError(f"{type(decoder).__name__}.settings_id() must return a str, got {text!r}")
        digest.add("settings_id", type(decoder).__qualname__, text)
    else:
        digest.walk(decoder, type(decoder).__name__)
    return digest.sha.hexdigest()[:12]


class _Digest:
    """Hashes a value by its structure, so that the result is the same in every process."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()
        self.seen: dict[int, int] = {}
        self.kept: list[object] = []  # keeps temporaries alive, so that no id is used twice

    def add(self, *parts: str | bytes) -> None:
        for part in parts:
            raw = part.encode() if isinstance(part, str) else part
            self.sha.update(f"{len(raw)}:".encode())
            self.sha.update(raw)

    def walk(self, value: object, path: str) -> None:
        """Adds `value`, which stands at `path` below the decoder."""
        if value is None or isinstance(value, (bool, int, float, complex, str)):
            self.add(type(value).__name__, repr(value))
        elif isinstance(value, (bytes, bytearray)):
            self.add("bytes", bytes(value))
        elif id(value) in self.seen:
            self.add("again", str(self.seen[id(value)]))
        else:
            self.seen[id(value)] = len(self.seen)
            self.kept.append(value)
            self._walk_object(value, path)

    def _walk_object(self, value: object, path: str) -> None:
        if isinstance(value, np.ndarray) and value.dtype != object:
            self.add("ndarray", str(value.dtype), str(value.shape), np.ascontiguousarray(value).tobytes())
        elif isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            self.add(type(value).__name__, str(len(value)))
            for index, item in enumerate(value):
                self.walk(item, f"{path}[{index}]")
        elif type(value) is dict:
            self.add("dict", str(len(value)))
            for key in sorted(value, key=repr):
                self.walk(key, f"{path} key")
                self.walk(value[key], f"{path}.{key}")
        elif isinstance(value, (set, frozenset)):
            self.add("set", *sorted(_digest_of(item, path) for item in value))
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            self._add_definition(value, path)
        else:
            self._walk_reduced(value, path)

    def _add_definition(self, value: Any, path: str) -> None:
        """Adds a class or a function: by name where it can be imported, else by its source text."""
        self.add("definition", value.__qualname__)
        importable = value.__module__ not in (None, "__main__") and "<" not in value.__qualname__
        if importable:
            self.add(value.__module__)
            return
        try:
            self.add(inspect.getsource(value))
        except (OSError, TypeError):
            functions = [value] if isinstance(value, types.FunctionType) else vars(value).values()
            for function in functions:
                if isinstance(function, types.FunctionType):
                    self.add(function.__name__, function.__code__.co_code, repr(function.__code__.co_names))
        if isinstance(value, types.FunctionType):
            self.walk([cell.cell_contents for cell in value.__closure__ or ()], f"{path} closure")

    def _walk_reduced(self, value: object, path: str) -> None:
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:
            raise InputError(
                f"{path} is a {type(value).__name__} that cannot be pickled ({error}), so results cannot be told "
                f"apart from those of other settings: give the decoder a method settings_id() -> str"
            ) from error
        if isinstance(reduced, str):
            self.add("global", reduced)
            return
        constructor, arguments, *rest = reduced
        self._add_definition(type(value), path)
        self.walk(constructor, path)
        self.walk(arguments, path)
        for part in rest:
            self.walk(list(part) if isinstance(part, Iterator) else part, path)


def _digest_of(value: object, path: str) -> str:
    digest = _Digest()
    digest.walk(value, path)
    return digest.sha.hexdigest()


def other_key_orders(task: sinter.Task, given_metadata: Any = None) -> Iterator[str]:
    """Yields the strong ids that sinter gives the same task when its metadata keys are written in another order.

    Args:
        task: A complete task with canonical metadata.
        given_metadata: Metadata as the user wrote it; its order is tried first.

    Yields:
        Strong ids: the order given, and then every order, where there are at most 400,000 (nine keys).

    Examples:
        >>> import sinter, stim
        >>> from quell.qec.sweeps.identity import other_key_orders
        >>> def task(metadata):
        ...     return sinter.Task(circuit=stim.Circuit("M 0"), decoder="pymatching",
        ...                        detector_error_model=stim.DetectorErrorModel(), json_metadata=metadata)
        >>> task({"p": 1, "d": 2}).strong_id() in other_key_orders(task({"d": 2, "p": 1}))
        True
    """
    value = task.strong_id_value()
    marker = json.dumps("\0")
    head, _, tail = json.dumps({**value, "json_metadata": "\0"}).rpartition(marker)
    start = hashlib.sha256(head.encode())
    given = [] if given_metadata is None else [json.dumps(given_metadata, default=_plain_number)]
    few_enough = _num_orders(task.json_metadata) <= _MAX_KEY_ORDERS
    for text in itertools.chain(given, _orders(task.json_metadata) if few_enough else ()):
        whole = start.copy()
        whole.update(f"{text}{tail}".encode())
        yield whole.hexdigest()


def _plain_number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _num_orders(value: Any) -> int:
    if isinstance(value, dict):
        return math.factorial(len(value)) * math.prod(map(_num_orders, value.values()))
    return math.prod(map(_num_orders, value)) if isinstance(value, list) else 1


def _orders(value: Any) -> Iterator[str]:
    """Yields the JSON text of `value` for every order of the keys of every dictionary in it."""
    if isinstance(value, dict) and value:
        for keys in itertools.permutations(value):
            inner = itertools.product(*(list(_orders(value[key])) for key in keys))
            for texts in inner:
                pairs = zip(keys, texts, strict=True)
                yield "{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in pairs) + "}"
    elif isinstance(value, list) and value:
        for texts in itertools.product(*(list(_orders(item)) for item in value)):
            yield "[" + ", ".join(texts) + "]"
    else:
        yield json.dumps(value)
