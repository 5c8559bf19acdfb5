"""The package as a whole: what it names, how fast it comes in, what it says when something is missing."""

import importlib
import pkgutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import sinter

import quell
from quell.errors import MissingExtraError, QuellError, import_extra

from .qec.sweeps.tools import Guess, repetition_task


def modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.walk_packages(quell.__path__, "quell.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_every_module_lists_its_names_in_order() -> None:
    for module in [quell, *modules()]:
        names = list(module.__all__)
        # Constants, then classes, then functions: the order that ruff calls isort-style.
        assert names == sorted(names, key=lambda name: (not name.isupper(), not name[:1].isupper(), name)), module
        assert all(hasattr(module, name) for name in names), module
        assert module.__doc__, module


def test_every_error_is_a_quell_error_and_a_python_error() -> None:
    errors = [
        value for value in vars(quell.errors).values() if isinstance(value, type) and value.__name__ != "ModuleType"
    ]
    mine = [error for error in errors if issubclass(error, Exception) and error.__module__ == "quell.errors"]
    assert len(mine) >= 10
    assert all(issubclass(error, QuellError) for error in mine)
    assert issubclass(quell.errors.InputError, ValueError)
    assert issubclass(quell.errors.StorageError, OSError)
    assert all(error.__name__ in (quell.errors.__doc__ or "") for error in mine)


def seconds_to_import(what: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {what}"], check=True)
    return time.perf_counter() - begin


def test_importing_quell_is_quick() -> None:
    pairs = [
        (seconds_to_import("stim, sinter, pymatching"), seconds_to_import("stim, sinter, pymatching, quell"))
        for _ in range(5)
    ]
    # The best of five, so that a busy machine does not decide.
    assert min(ours for _, ours in pairs) - min(base for base, _ in pairs) < 0.3


def test_importing_quell_brings_nothing_optional() -> None:
    program = (
        "import sys, stim, sinter, pymatching; before = set(sys.modules); import quell, quell.cli;"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for name in (
        "torch",
        "sklearn",
        "qiskit",
        "matplotlib",
        "dask",
        "distributed",
        "scipy",
        "IPython",
        "onnxruntime",
        "onnx",
        "mthree",
        "numba",
        "safetensors",
        "gymnasium",
        "ldpc",
    ):
        assert f"'{name}'" not in result.stdout


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(MissingExtraError, match=r"this needs pip install 'quell\[plots\]'"):
        import_extra("matplotlib", "plots")
    with pytest.raises(ImportError):
        quell.qec.plot_error_rate(
            [sinter.TaskStats("a", "pymatching", {"d": 3, "p": 0.1}, shots=100, errors=3)],
        )


def test_an_extra_that_is_broken_inside_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_extra.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all") as caught:
        import_extra("broken_extra", "plots")
    assert not isinstance(caught.value, QuellError)


def test_sweeps_at_the_front_door_know_quells_own_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quell._front_door.sinter_decoders", lambda: {"house": Guess(1.0), "other": Guess(2.0)})
    stats = quell.sweep(repetition_task(), ["house", "other"], max_shots=10, num_workers=1)
    assert [stat.decoder.partition("@")[0] for stat in stats] == ["house", "other"]
    (mine,) = quell.sweep(
        repetition_task(), "house", custom_decoders={"house": Guess(3.0)}, max_shots=10, num_workers=1
    )
    assert mine.decoder not in [stat.decoder for stat in stats]
    with pytest.raises(quell.errors.UnknownNameError):
        quell.qec.sweep(repetition_task(), "house", max_shots=10)


def test_sinters_command_line_takes_our_decoders() -> None:
    decoders = quell.decoders.sinter_decoders()
    assert all(isinstance(decoder, (sinter.Decoder, sinter.Sampler)) for decoder in decoders.values())
    assert not set(decoders) & set(sinter.BUILT_IN_SAMPLERS)
