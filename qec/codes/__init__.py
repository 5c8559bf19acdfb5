"""Codes as check matrices: CSS codes, their parameters and distances, and the distances of circuits."""

from quell.qec.codes.circuit_distance import CircuitDistance, Mechanism, circuit_distance
from quell.qec.codes.css import CSSCode
from quell.qec.codes.distance import CodeDistance, distance

__all__ = ["CSSCode", "CircuitDistance", "CodeDistance", "Mechanism", "circuit_distance", "distance"]
