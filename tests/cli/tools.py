"""Running the command line in the tests."""

import json
from typing import Any

import pytest

from quell.cli.main import run


def run_json(capsys: pytest.CaptureFixture[str], *tokens: str) -> Any:
    """What a command prints with `--json`."""
    assert run([*tokens, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fails(capsys: pytest.CaptureFixture[str], code: int, message: str, *tokens: str) -> None:
    """Checks that a command fails with that exit code and message, and prints no result."""
    assert run(tokens) == code
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""
