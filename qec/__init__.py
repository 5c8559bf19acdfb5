"""Sweeps that sinter drives, and the numbers, intervals and pictures that come out of them."""

__all__: list[str] = []
