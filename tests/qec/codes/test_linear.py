"""Classical codes against every word of theirs."""

import copy
import itertools
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from quell.errors import InputError
from quell.qec.codes import LinearCode, hamming_code, hypergraph_product

HAMMING = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]


def test_generators_make_exactly_the_words_that_checks_allow() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        checks = rng.integers(0, 2, (int(rng.integers(0, 6)), int(rng.integers(1, 9))))
        code = LinearCode(checks)
        words = {
            word
            for word in itertools.product((0, 1), repeat=code.n)
            if not any(sum(a * b for a, b in zip(row, word, strict=True)) % 2 for row in checks.tolist())
        }
        chosen = np.array(list(itertools.product((0, 1), repeat=code.k))).reshape(2**code.k, code.k)
        assert {tuple(word) for word in (chosen @ code.generator % 2).tolist()} == words
        assert (code.parameters, len(words)) == ((code.n, code.n - code.rank), 2**code.k)


def test_weights_names_and_the_transposed_code() -> None:
    code = LinearCode(scipy.sparse.csr_matrix(HAMMING), name="Hamming")
    assert repr(code) == "<Hamming: [7, 4] linear code, 3 checks>"
    assert code.row_weights.tolist() == [4, 4, 4]
    assert code.column_weights.tolist() == [1, 1, 2, 1, 2, 2, 3]
    assert np.array_equal(code.transposed.checks, np.transpose(HAMMING))
    assert (code.transposed.name, code.transposed.parameters) == ("Hamming transposed", (3, 0))
    assert repr(LinearCode([[0, 1], [0, 1]])) == "<[2, 1] linear code, 2 checks>"
    assert LinearCode(np.zeros((0, 4))).parameters == (4, 4)


def test_codes_and_their_copies_cannot_be_changed() -> None:
    code = hamming_code(3)
    assert code.generator.shape == (4, 7)
    for each in (code, copy.copy(code), copy.deepcopy(code), pickle.loads(pickle.dumps(code))):
        assert (each.name, each.k) == ("Hamming 7", 4)
        for array in (each.checks, each.generator):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 0
    with pytest.raises(FrozenInstanceError):
        code.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ([[1, 0], [1]], "checks is ragged: row 0 has 2 entries and row 1 has 1"),
        ([], "checks must be a matrix, got 1 dimensions"),
        ([[]], "checks has no columns"),
        ([[1, 3]], "checks must hold 0 and 1 only, got 3 in row 0, column 1"),
        ([[1, np.nan]], "checks must hold 0 and 1 only, got nan in row 0, column 1"),
        ([1, 0], "write a single row as"),
        ("11", "checks must be a matrix"),
        (None, "checks must be a matrix"),
    ],
)
def test_bad_checks_say_what_is_wrong(checks: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LinearCode(checks)
    with pytest.raises(InputError, match=message):
        hypergraph_product(checks)


def test_a_code_without_checks_has_no_transposed_one() -> None:
    with pytest.raises(InputError, match="a code without checks has no transposed code"):
        _ = LinearCode(np.zeros((0, 3))).transposed
