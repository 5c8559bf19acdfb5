"""Which tests run by themselves: those that start processes of their own, stop them, or look at the clock."""

from pathlib import Path

import pytest

ALONE = (
    "cli/test_cli.py",
    "cli/test_predecoder.py",
    "cli/test_rare.py",
    "decoders/predecoder/test_training.py",
    "decoders/windows/test_in_sweeps.py",
    "decoders/windows/test_pool.py",
    "qec/rare_events/test_resume.py",
    "qec/sweeps",
    "test_front_door.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = [here / name for name in ALONE]
    for item in items:
        if any(item.path.is_relative_to(place) for place in places):
            item.add_marker("alone")
