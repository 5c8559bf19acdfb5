"""Windowed decoders in sinter's workers and in quell's."""

from pathlib import Path

import pytest
import sinter

import quell
from quell import circuits
from quell.decoders import Windowed


def tasks() -> list[sinter.Task]:
    circuit = circuits.rotated_surface_memory(3, rounds=9, noise=circuits.NoiseModel.uniform_depolarizing(0.01))
    return [sinter.Task(circuit=circuit, json_metadata={"d": 3})]


@pytest.mark.parametrize("workers", [1, 2])
def test_sinter_collects_with_it(workers: int) -> None:
    decoders: dict[str, sinter.Decoder | sinter.Sampler] = {
        "sliding": Windowed(commit=3, buffer=2),
        "parallel": Windowed("pymatching-correlated", commit=3, buffer=2, scheme="parallel"),
    }
    stats = sinter.collect(
        num_workers=workers, tasks=tasks(), decoders=list(decoders), custom_decoders=decoders, max_shots=500
    )
    assert {stat.decoder: stat.shots for stat in stats} == {"sliding": 500, "parallel": 500}
    assert all(0 < stat.errors < 200 for stat in stats)


def test_quell_sweeps_with_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    found = []
    for decoder in (Windowed(commit=3, buffer=2), Windowed(commit=3, buffer=2, workers=2)):
        stats = quell.sweep(tasks(), {"windows": decoder}, save=file, num_workers=1, max_shots=300, progress=False)
        assert [stat.shots for stat in stats] == [300]
        found.append(file.read_text())
    # Workers are no setting: the second has the rows of the first, and adds none.
    assert found[0] == found[1]
