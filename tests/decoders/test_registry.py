"""quell's decoders by name: in sinter, in sinter's command line, and in sweeps."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sinter
import stim

import quell
from quell.decoders import BPLSD, BPOSD, LargeBatches, PreDecoded, sinter_decoders
from quell.decoders.belief_propagation import BeliefPropagation
from quell.errors import InputError

ON_CPU = ["bp-lsd", "bp-osd"]
NAMES = [
    *ON_CPU,
    "bp-pymatching",
    "predecoder",
    "predecoder-residual-pymatching",
    "predecoder-residual-pymatching-correlated",
]


def surface(p: float = 0.02) -> stim.Circuit:
    return stim.Circuit.generated(
        "surface_code:rotated_memory_z", distance=3, rounds=2, after_clifford_depolarization=p
    )


def test_names_are_these_and_hide_none_of_sinters() -> None:
    decoders = sinter_decoders()
    assert sorted(decoders) == NAMES
    assert not set(decoders) & {*sinter.BUILT_IN_DECODERS, *sinter.BUILT_IN_SAMPLERS}
    assert all(isinstance(decoder, PreDecoded) for name, decoder in decoders.items() if name not in ON_CPU)
    assert [type(decoders[name]) for name in ON_CPU] == [BPLSD, BPOSD]


def test_each_name_is_what_it_says() -> None:
    decoders: dict[str, Any] = sinter_decoders()
    for name, inner, handover, weights in (
        ("predecoder", "pymatching-correlated", "reweight", "fast"),
        ("predecoder-residual-pymatching", "pymatching", "residual", "fast"),
        ("predecoder-residual-pymatching-correlated", "pymatching-correlated", "residual", "fast"),
        ("bp-pymatching", "pymatching", "residual", None),
    ):
        decoder = decoders[name]
        assert (decoder.inner, decoder.handover, decoder.confidence) == (inner, handover, None)
        assert (decoder.source.weights if weights else type(decoder.source)) == (weights or BeliefPropagation)
    assert len({decoder.settings_id() for decoder in decoders.values()}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_decodes(name: str) -> None:
    circuit = surface()
    dem = circuit.detector_error_model(decompose_errors=True)
    dets, actual = circuit.compile_detector_sampler(seed=1).sample(500, separate_observables=True, bit_packed=True)
    decoder: Any = pickle.loads(pickle.dumps(sinter_decoders(device="cpu")[name]))
    found = decoder.compile_decoder_for_dem(dem=dem).decode_shots_bit_packed(bit_packed_detection_event_data=dets)
    plain: Any = sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)
    theirs = plain.decode_shots_bit_packed(bit_packed_detection_event_data=dets)
    errors, alone = int((found != actual).sum()), int((theirs != actual).sum())
    assert errors < alone + 6 * np.sqrt(alone) < actual.sum()


@pytest.mark.parametrize(
    ("options", "batch_size"),
    [
        ({"batch_size": 500}, 500),
        ({"device": "cuda"}, 16384),
        ({"device": "cuda:1"}, 16384),
        ({"device": "cuda", "batch_size": 100}, 100),
    ],
)
def test_batches_are_large_where_a_gpu_or_a_size_is_named(options: dict[str, Any], batch_size: int) -> None:
    device = options.get("device", "auto")
    for name, sampler in sinter_decoders(**options).items():
        if name in ON_CPU and "batch_size" not in options:
            assert isinstance(sampler, BPLSD | BPOSD)
            continue
        assert isinstance(sampler, LargeBatches)
        assert sampler.batch_size == batch_size
        if name in ON_CPU:
            continue
        assert isinstance(sampler.decoder, PreDecoded)
        assert sampler.decoder.device == device
        plain: Any = sinter_decoders()[name]
        assert plain.settings_id() in sampler.settings_id()


def test_arguments_have_limits() -> None:
    for batch_size in (0, -5, 1.5, True):
        with pytest.raises(InputError, match="batch_size must be an integer >= 1"):
            sinter_decoders(batch_size=batch_size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="device must be 'auto', 'cpu', 'cuda'"):
        sinter_decoders(device=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["mps", "gpu", "cuda:x", "CPU"])
def test_devices_that_there_are_not_are_named_at_once(device: str) -> None:
    with pytest.raises(InputError, match=f"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got '{device}'"):
        sinter_decoders(device=device)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


COLLECT = """
import sinter, stim
import quell.decoders

def main():
    circuit = stim.Circuit.from_file("memory.stim")
    (stat,) = sinter.collect(
        num_workers=1,
        tasks=[sinter.Task(circuit=circuit, json_metadata={"d": 3})],
        decoders=["predecoder"],
        custom_decoders=quell.decoders.sinter_decoders(),
        max_shots=300,
    )
    print(stat.decoder, stat.shots, stat.json_metadata)

if __name__ == "__main__":
    main()
"""


def test_sinter_takes_them(tmp_path: Path) -> None:
    surface().to_file(tmp_path / "memory.stim")
    (tmp_path / "script.py").write_text(COLLECT)
    assert run(tmp_path, sys.executable, "script.py").stdout.strip() == "predecoder 300 {'d': 3}"


def test_sinters_command_line_takes_them(tmp_path: Path) -> None:
    surface().to_file(tmp_path / "memory.stim")
    options = "--circuits memory.stim --decoders predecoder pymatching --max_shots 400 --processes 1 --quiet"
    module = "--custom_decoders_module_function quell.decoders:sinter_decoders"
    command = [str(Path(sys.executable).with_name("sinter")), "collect", *options.split(), *module.split()]
    run(tmp_path, *command, "--save_resume_filepath", "stats.csv")
    stats = sinter.read_stats_from_csv_files(tmp_path / "stats.csv")
    assert sorted((stat.decoder, stat.shots) for stat in stats) == [("predecoder", 400), ("pymatching", 400)]


def test_a_sweep_knows_them_by_name() -> None:
    with pytest.raises(InputError, match="did you mean 'predecoder'"):
        quell.sweep(sinter.Task(circuit=surface()), "predecodr", max_shots=10)
