"""What counts as the same task and the same settings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sinter
import stim
from hypothesis import given
from hypothesis import strategies as st

from quell.errors import InputError
from quell.qec.sweeps.identity import canonical_metadata, other_key_orders, settings_digest
from quell.qec.sweeps.store import metadata_text

from .tools import Guess

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)


def shuffled(value: object, data: st.DataObject) -> object:
    if isinstance(value, dict):
        return {key: shuffled(value[key], data) for key in data.draw(st.permutations(list(value)))}
    return [shuffled(item, data) for item in value] if isinstance(value, list) else value


@given(values, st.data())
def test_canonical_metadata_does_not_depend_on_the_order_of_keys(value: object, data: st.DataObject) -> None:
    other = shuffled(value, data)
    assert metadata_text(canonical_metadata(value)) == metadata_text(canonical_metadata(other))


@given(st.dictionaries(st.text(), values, max_size=4), st.data())
def test_every_order_of_keys_gives_a_strong_id_that_is_found(value: dict[str, object], data: st.DataObject) -> None:
    def task(metadata: object) -> sinter.Task:
        return sinter.Task(
            circuit=stim.Circuit("M 0\nOBSERVABLE_INCLUDE(0) rec[-1]"),
            decoder="pymatching",
            detector_error_model=stim.DetectorErrorModel("logical_observable L0"),
            json_metadata=metadata,
            postselected_observables_mask=data.draw(st.sampled_from([None, np.zeros(1, np.uint8)])),
        )

    mine = task(canonical_metadata(value))
    theirs = sinter.Task(
        circuit=mine.circuit,
        decoder=mine.decoder,
        detector_error_model=mine.detector_error_model,
        json_metadata=shuffled(value, data),
        postselected_observables_mask=mine.postselected_observables_mask,
    )
    assert theirs.strong_id() in other_key_orders(mine)


def test_metadata_with_too_many_orders_does_not_hang() -> None:
    metadata = {f"k{index}": {str(inner): inner for inner in range(8)} for index in range(12)}
    task = sinter.Task(
        circuit=stim.Circuit(), decoder="a", detector_error_model=stim.DetectorErrorModel(), json_metadata=metadata
    )
    assert list(other_key_orders(task, metadata)) == [task.strong_id()]


class WithId(Guess):
    def settings_id(self) -> str:
        return "the same"


@pytest.mark.parametrize(
    "change",
    [
        {"strength": 2.0},
        {"strength": 1},
        {"strength": True},
        {"weights": np.array([1.0, 2.0, 3.5])},
        {"weights": np.array([1.0, 2.0, 3.0], dtype=np.float32)},
        {"weights": np.array([[1.0, 2.0, 3.0]])},
        {"weights": {"layer": [1, 2, 3]}},
        {"weights": (1.0, 2.0, 3.0)},
        {"weights": [1.0, 2.0, 3.0]},
        {"weights": {1.0, 2.0, 3.0}},
        {"weights": stim.Circuit("H 0")},
        {"weights": stim.Circuit("H 1")},
        {"weights": lambda x: x + 1},
        {"weights": lambda x: x + 2},
        {"weights": Guess},
        {"weights": Guess(2.0)},
    ],
)
def test_any_change_of_a_setting_changes_the_digest(change: dict[str, object]) -> None:
    digest = settings_digest(Guess(weights=np.array([1.0, 2.0, 3.0])))
    other = settings_digest(Guess(**{"weights": np.array([1.0, 2.0, 3.0]), **change}))  # type: ignore[arg-type]
    assert digest != other
    assert digest == settings_digest(Guess(weights=np.array([1.0, 2.0, 3.0])))


def test_settings_id_alone_decides_where_there_is_one() -> None:
    assert settings_digest(WithId(1.0)) == settings_digest(WithId(2.0))
    assert settings_digest(WithId(1.0)) != settings_digest(Guess(1.0))


def test_settings_id_must_be_text() -> None:
    class Wrong(Guess):
        def settings_id(self) -> int:
            return 3

    with pytest.raises(InputError, match=r"Wrong\.settings_id\(\) must return a str, got 3"):
        settings_digest(Wrong())


SCRIPT = """
import sinter
from quell.qec import settings_digest
class Mine(sinter.Decoder):
    table = {"x", "y", "zebra"}
    def __init__(self):
        self.names = {"a", "b", "c", "d"}
        self.rule = lambda x: x * %d
print(settings_digest(Mine()))
"""


def test_the_digest_of_a_script_is_the_same_in_every_process_and_sees_its_code(tmp_path: Path) -> None:
    def run(factor: int, seed: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(SCRIPT % factor)
        command = [sys.executable, str(path)]
        result = subprocess.run(
            command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True, cwd=tmp_path
        )
        return result.stdout

    assert run(2, "1") == run(2, "2")
    assert run(2, "1") != run(3, "1")
