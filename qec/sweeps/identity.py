"""What makes two results the same task: canonical metadata, and decoder names that carry their settings.

sinter identifies a task by a hash (`strong_id`) of its circuit, model, decoder *name* and metadata *in the order
its keys were written*. Here the order never matters, and two decoders that differ in any setting never share a name.
"""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import sinter

from quell.errors import InputError
from quell.qec.sweeps.digest import digest_of

__all__ = ["AnyDecoder", "base_name", "canonical_metadata", "name_with_settings", "other_key_orders", "settings_digest"]

AnyDecoder: TypeAlias = sinter.Decoder | sinter.Sampler

_DIGEST = re.compile(r"@[0-9a-f]{12}$")
_MAX_KEY_ORDERS = 50_000  # 8! = 40,320: half a second of hashing, and only where a row is in doubt


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


def name_with_settings(name: str, decoder: AnyDecoder) -> str:
    """Returns `name@<12 hex digits>`, the digits standing for everything the decoder was set to."""
    return f"{name}@{settings_digest(decoder)}"


def settings_digest(decoder: AnyDecoder) -> str:
    """Returns 12 hexadecimal digits that change whenever a setting of the decoder changes.

    A decoder says what its settings are with a method `settings_id() -> str`. For one that has none, the digest covers
    its class and everything that pickling it would save: numbers, arrays, tensors, objects, functions. What can be
    imported counts by its name; what was defined in a script's `__main__`, in a notebook or in a function counts with
    its code, for one version of Python, and with the globals that the code uses. A decoder that keeps caches should
    have `settings_id`, or leave them out in `__getstate__`: they count too.

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
    name = type(decoder).__name__
    settings_id = getattr(decoder, "settings_id", None)
    if settings_id is None:
        return digest_of(decoder, name).hex()[:12]
    if not callable(settings_id):
        raise InputError(f"{name}.settings_id must be a method that returns a str, got {settings_id!r}")
    text = settings_id()
    if not isinstance(text, str):
        raise InputError(f"{name}.settings_id() must return a str, got {text!r}")
    return digest_of([type(decoder).__qualname__, text], name).hex()[:12]


def other_key_orders(task: sinter.Task, given_metadata: Any = None) -> Iterator[str]:
    """Yields the strong ids that sinter gives the same task when its metadata keys are written in another order.

    Args:
        task: A complete task with canonical metadata.
        given_metadata: Metadata as the user wrote it; its order is tried first.

    Yields:
        Strong ids: the order given, and then every order, where there are at most 50,000 (eight keys).

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
