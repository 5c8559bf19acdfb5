"""The command `quell`. It parses and prints; everything it does can be done from Python with the same names."""

from quell.cli.main import main

__all__ = ["main"]
