from __future__ import annotations

import os

import gmpy2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.crypto import integers
from fate_flow.errors import CryptoError

PRIME = gmpy2.mpz(2) ** 127 - 1
UNITS = st.integers(1, int(PRIME) - 1).map(gmpy2.mpz)


@settings(deadline=None)
@given(st.lists(UNITS, max_size=30))
def test_batch_inversion(items: list[gmpy2.mpz]) -> None:
    inverses = integers.invert_all(items, PRIME)
    assert all(a * b % PRIME == 1 for a, b in zip(items, inverses, strict=True))


def test_batch_inversion_of_a_multiple_of_a_factor() -> None:
    with pytest.raises(CryptoError, match="factor"):
        integers.invert_all([gmpy2.mpz(2), gmpy2.mpz(5)], gmpy2.mpz(15))


@settings(deadline=None)
@given(st.lists(UNITS, max_size=40), st.integers(0, 2**70))
def test_powers_of_all(items: list[gmpy2.mpz], exponent: int) -> None:
    assert integers.power_all(items, exponent, PRIME) == [
        pow(int(x), exponent, int(PRIME)) for x in items
    ]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**128 - 1).map(gmpy2.mpz), max_size=20))
def test_matrix_of_bytes(items: list[gmpy2.mpz]) -> None:
    matrix = integers.to_matrix(items, 16)
    assert matrix.shape == (len(items), 16)
    assert integers.from_matrix(matrix, 16, "numbers") == items


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 15), np.uint8), np.zeros((2, 16)), np.zeros(16, np.uint8), [b"x"]]
)
def test_matrices_of_another_form_are_refused(bad: object) -> None:
    with pytest.raises(CryptoError, match=r"allowed: bytes of shape \(n, 16\)"):
        integers.from_matrix(bad, 16, "numbers")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, 15, 16, -1, 3, 10])
def test_only_units_pass(bad: int) -> None:
    modulus = gmpy2.mpz(15)
    integers.check_units([gmpy2.mpz(2), gmpy2.mpz(14)], modulus, modulus, "elements")
    with pytest.raises(CryptoError):
        integers.check_units([gmpy2.mpz(2), gmpy2.mpz(bad)], modulus, modulus, "elements")


@pytest.mark.parametrize("text", ["", "-5", "0x12", "1_0", " 1", "g", "f" * 300, 12, None])
def test_numbers_from_peers_are_plain_hex(text: object) -> None:
    assert integers.parse_hex({"n": "fF"}, "n", 1024, "key") == 255
    with pytest.raises(CryptoError, match="no readable n"):
        integers.parse_hex({"n": text}, "n", 1024, "key")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_makes_threads_of_its_own() -> None:
    modulus = (gmpy2.mpz(2) ** 127 - 1) ** 26
    items = [gmpy2.mpz(k) for k in range(2, 40)]
    expected = integers.power_all(items, 3, modulus)
    child = os.fork()
    if child == 0:
        os._exit(0 if integers.power_all(items, 3, modulus) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
