"""What counts as the same task and the same settings."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import sinter
import stim
from hypothesis import assume, given
from hypothesis import strategies as st

from quell.errors import InputError
from quell.qec.sweeps.identity import _num_orders, canonical_metadata, other_key_orders, settings_digest
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
    assume(_num_orders(value) <= 50_000)

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


def factory(constant: int) -> type[sinter.Decoder]:
    class Made(Guess):
        def rule(self) -> int:
            return constant

    return Made


def base_and_heir(attribute: int) -> sinter.Decoder:
    class Base(Guess):
        level = attribute

    class Heir(Base):
        pass

    return Heir()


class Recursive(Guess):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.me = self
        self.depth = depth


DIFFERENT = {
    "lambdas on one line": lambda: (lambda x: x * 2, lambda x: x * 3),
    "defaults": lambda: tuple((lambda x, k=k: x * k) for k in (1, 2)),
    "keyword defaults": lambda: tuple((lambda x, *, k=k: x * k) for k in (1, 2)),
    "closures": lambda: (factory(1), factory(2)),
    "bases": lambda: (base_and_heir(1), base_and_heir(2)),
    "masks": lambda: (np.ma.masked_array([1, 2], [0, 1]), np.ma.masked_array([1, 2], [1, 0])),
    "generators": lambda: (np.random.default_rng(1), np.random.default_rng(2)),
    "methods": lambda: (Guess(1.0).compile_decoder_for_dem, Guess(2.0).compile_decoder_for_dem),
    "objects in themselves": lambda: (Recursive(1), Recursive(2)),
    "object arrays": lambda: (np.array([1, "a"], dtype=object), np.array([1, "b"], dtype=object)),
    "built in functions": lambda: (len, sorted),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_has_different_digests_and_what_is_equal_has_the_same(name: str) -> None:
    one, two = DIFFERENT[name]()
    again, _ = DIFFERENT[name]()
    assert settings_digest(Guess(weights=one)) != settings_digest(Guess(weights=two))
    assert settings_digest(Guess(weights=one)) == settings_digest(Guess(weights=again))


def test_sharing_a_value_does_not_matter() -> None:
    pair = (1.0, [2.0])
    assert settings_digest(Guess(weights=[pair, pair])) == settings_digest(Guess(weights=[(1.0, [2.0]), (1.0, [2.0])]))


def test_weights_of_torch_count_by_their_numbers() -> None:
    torch = pytest.importorskip("torch")

    def network(seed: int) -> object:
        torch.manual_seed(seed)
        return torch.nn.Linear(3, 2, dtype=torch.bfloat16)

    assert settings_digest(Guess(weights=network(1))) == settings_digest(Guess(weights=network(1)))
    assert settings_digest(Guess(weights=network(1))) != settings_digest(Guess(weights=network(2)))


def test_a_deep_nest_is_refused() -> None:
    nest: list[object] = []
    for _ in range(5000):
        nest = [nest]
    with pytest.raises(InputError, match="nested too deeply"):
        settings_digest(Guess(weights=nest))


# Piped into Python, and so without any source text to look at: as in a notebook.
SCRIPT = """
import sinter
from quell.qec import settings_digest
FACTOR = %d
class Base(sinter.Decoder):
    level = %d
class Mine(Base):
    table = {"x", "y", "zebra"}
    def __init__(self):
        self.names = {"a", "b", "c", "d"}
        self.keyed = {frozenset(("a", "b", "c")): 1, frozenset(("d", "e", "f")): 2}
        self.rule = lambda x: x * FACTOR
    def decode(self):
        return super().__class__, "%s"
print(settings_digest(Mine()))
"""


def test_the_digest_of_a_class_without_source_is_stable_and_sees_all_of_its_code() -> None:
    def run(factor: int, level: int, text: str, seed: str = "1") -> str:
        command = [sys.executable, "-"]
        program = SCRIPT % (factor, level, text)
        environment = {"PYTHONHASHSEED": seed}
        return subprocess.run(
            command, env=environment, input=program, capture_output=True, text=True, check=True
        ).stdout

    one = run(2, 1, "pymatching")
    assert one == run(2, 1, "pymatching", seed="2")
    assert len({one, run(3, 1, "pymatching"), run(2, 2, "pymatching"), run(2, 1, "vacuous")}) == 4


def test_a_dataclass_from_a_function_body_has_a_digest_that_follows_its_settings() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine(sinter.Decoder):
        strength: float = 1.0

    assert settings_digest(Mine(1.0)) == settings_digest(Mine(1.0)) != settings_digest(Mine(2.0))
