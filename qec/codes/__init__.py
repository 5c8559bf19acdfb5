"""Codes as check matrices: CSS codes and classical codes, their parameters and distances, and those of circuits."""

from quell.qec.codes.circuit_distance import CircuitDistance, Mechanism, circuit_distance
from quell.qec.codes.classical_families import hamming_code, quasi_cyclic_code, repetition_code, ring_code
from quell.qec.codes.css import CSSCode
from quell.qec.codes.distance import CodeDistance, distance
from quell.qec.codes.families import bivariate_bicycle, generalized_bicycle
from quell.qec.codes.files import read_checks, read_code, read_css_code, write_checks, write_code
from quell.qec.codes.group_algebra import Group, two_block_code
from quell.qec.codes.hypergraph import hypergraph_product
from quell.qec.codes.linear import LinearCode
from quell.qec.codes.surface_codes import rotated_surface_code, unrotated_surface_code

__all__ = [
    "CSSCode",
    "CircuitDistance",
    "CodeDistance",
    "Group",
    "LinearCode",
    "Mechanism",
    "bivariate_bicycle",
    "circuit_distance",
    "distance",
    "generalized_bicycle",
    "hamming_code",
    "hypergraph_product",
    "quasi_cyclic_code",
    "read_checks",
    "read_code",
    "read_css_code",
    "repetition_code",
    "ring_code",
    "rotated_surface_code",
    "two_block_code",
    "unrotated_surface_code",
    "write_checks",
    "write_code",
]
