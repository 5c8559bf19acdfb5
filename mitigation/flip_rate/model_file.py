"""Flip-rate models as files: plain ONNX, checked before it is run, never pickled.

A forest is stored as one tree-ensemble node with one output per tree, so that the spread over trees survives, and
what is to be known about it stands in the file's metadata. The file holds its own SHA-256, taken with the digest's
place filled with zeros: a file that is damaged, cut off or foreign is refused before any runtime sees it. The digest
guards against damage, not against forgery; an ONNX file holds numbers and no code in either case.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError, StorageError, import_extra

__all__ = ["StoredForest", "forest_to_onnx", "load_forest"]

_DIGEST_KEY, _FACTS_KEY = "quell_sha256", "quell_flip_rate"
_FORMAT = 1
# How protobuf writes a metadata entry: the key, then a string of 64 characters.
_DIGEST = re.compile(rb"\n\x0c" + _DIGEST_KEY.encode() + rb"\x12@([0-9a-f]{64})")
_BLANK = b"0" * 64


class StoredForest:
    """A forest that was read from a file.

    Attributes:
        facts: What the file says about it.
        content: The file, byte by byte.
        sha256: The digest that the file holds.
    """

    def __init__(self, content: bytes, where: str) -> None:
        """Checks and opens the bytes of a file; `where` is what messages call it."""
        found = list(_DIGEST.finditer(content))
        if len(found) != 1:
            raise DataError(f"{where} is no flip-rate model of quell's: give a file that FlipRateRegressor.save wrote")
        if _digest(_with_digest(content, found[0], _BLANK)) != found[0][1]:
            raise DataError(f"{where} is damaged: its SHA-256 is not the one it holds; get the file again")
        runtime = import_extra("onnxruntime", "mitigation")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            kept = self._session.get_modelmeta().custom_metadata_map
            self.facts: dict[str, Any] = json.loads(kept[_FACTS_KEY])
            version = self.facts["format"]
        except Exception as error:  # the runtime's errors share no base of their own
            raise DataError(f"{where} cannot be read as a flip-rate model: {error}") from error
        if version != _FORMAT:
            raise DataError(f"{where} has format {version!r}, and this version of quell reads {_FORMAT}: update quell")
        self.content = content
        self.sha256 = found[0][1].decode()

    def __reduce__(self) -> tuple[type["StoredForest"], tuple[bytes, str]]:
        """Copies, and sends to other processes, the file rather than the runtime that has it open."""
        return StoredForest, (self.content, "a copied flip-rate model")

    def predict_trees(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns what each tree says, float64 of shape (num_rows, num_trees)."""
        name = self._session.get_inputs()[0].name
        (found,) = self._session.run(None, {name: features.astype(np.float32)})
        return np.asarray(found, dtype=np.float64)


def load_forest(path: str | Path) -> StoredForest:
    """Returns the forest in a file.

    Raises:
        StorageError: If the file cannot be read.
        DataError: If it is damaged, or no flip-rate model.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return StoredForest(content, str(path))


def forest_to_onnx(forest: Any, facts: Mapping[str, object]) -> bytes:
    """Returns a fitted scikit-learn forest as the bytes of a file.

    Args:
        forest: An `ExtraTreesRegressor` or `RandomForestRegressor`.
        facts: What to keep with it, as JSON can hold it.

    Raises:
        MissingExtraError: If skl2onnx is not installed.
    """
    skl2onnx = import_extra("skl2onnx", "mitigation")
    num_trees = len(forest.estimators_)
    example = np.zeros((1, forest.n_features_in_), dtype=np.float32)
    model = skl2onnx.to_onnx(forest, example, target_opset={"": 17, "ai.onnx.ml": 3})
    (node,) = model.graph.node
    attributes = {attribute.name: attribute for attribute in node.attribute}
    # One output per tree: each leaf gives its own value to the output of its tree, instead of a share to the mean.
    trees = list(attributes["target_treeids"].ints)
    del attributes["target_ids"].ints[:]
    attributes["target_ids"].ints.extend(trees)
    weights = [value * num_trees for value in attributes["target_weights"].floats]
    del attributes["target_weights"].floats[:]
    attributes["target_weights"].floats.extend(weights)
    attributes["n_targets"].i = num_trees
    for unused in ("nodes_hitrates", "nodes_missing_value_tracks_true"):
        node.attribute.remove(attributes[unused])
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = num_trees
    for key, value in ((_FACTS_KEY, json.dumps({"format": _FORMAT, **facts})), (_DIGEST_KEY, _BLANK.decode())):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    blank = model.SerializeToString(deterministic=True)
    found = list(_DIGEST.finditer(blank))
    if len(found) != 1:
        raise RuntimeError("the ONNX library writes metadata in another way than this file format counts on")
    return _with_digest(blank, found[0], _digest(blank))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _with_digest(content: bytes, place: re.Match[bytes], digest: bytes) -> bytes:
    return content[: place.start(1)] + digest + content[place.end(1) :]
