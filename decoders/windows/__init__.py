"""Decoding of memories of any length in windows and blocks, whatever the decoder inside."""

__all__: list[str] = []
