"""Decoding weights learned from detection events alone: closed forms, likelihoods, and what follows a drift."""

__all__: list[str] = []
