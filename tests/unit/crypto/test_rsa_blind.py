from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable

import gmpy2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.crypto.rsa_blind import (
    Blinder,
    RsaKeyPair,
    RsaPublicKey,
    fate_keys,
    own_tokens,
    sign,
)
from fate_flow.errors import CryptoError
from tests.unit.crypto.keys import rsa_pair

PAIR = rsa_pair()
IDS = st.lists(st.text(max_size=8), unique=True, max_size=12)


def rows(tokens: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in tokens]


@settings(max_examples=25, deadline=None)
@given(IDS, IDS)
def test_tokens_meet_exactly_at_common_ids(guest: list[str], host: list[str]) -> None:
    blinder = Blinder(PAIR.public, guest)
    mine = rows(blinder.unblind(sign(blinder.blinded, PAIR)))
    theirs = set(rows(own_tokens(host, PAIR)))
    common = [name for name, token in zip(guest, mine, strict=True) if token in theirs]
    assert common == [name for name in guest if name in set(host)]


def private_exponent(pair: RsaKeyPair) -> int:
    return pow(65537, -1, math.prod(int(prime) - 1 for prime in pair._primes))


@pytest.mark.parametrize(("bits", "primes"), [(1024, 2), (2048, 3), (2050, 3)])
def test_keys_are_of_the_size_asked_for(bits: int, primes: int) -> None:
    pair = rsa_pair(bits)
    assert pair.n.bit_length() == bits
    assert len(set(pair._primes)) == primes
    assert all(gmpy2.is_prime(prime) for prime in pair._primes)
    assert min(prime.bit_length() for prime in pair._primes) >= min(512, bits // 3)
    items = [gmpy2.mpz(1), pair.n - 1, *pair.public.hash(["a", "b"])]
    exponent = private_exponent(pair)
    assert pair.power(items) == [pow(item, exponent, pair.n) for item in items]


def test_a_signature_that_is_wrong_at_one_prime_is_not_given_out() -> None:
    pair = RsaKeyPair(*rsa_pair(2048)._primes)
    pair._exponents[1] += 1
    with pytest.raises(CryptoError, match="nothing was given out"):
        sign(Blinder(pair.public, ["a"]).blinded, pair)


@pytest.mark.parametrize("bits", [1024, 2048])
def test_production_key_sizes(bits: int) -> None:
    pair = rsa_pair(bits)
    public = RsaPublicKey.from_payload(pair.to_payload())
    ids = pa.array(["a", "ü", ""])
    blinder = Blinder(public, ids)
    assert blinder.blinded.shape == (3, bits // 8)
    tokens = blinder.unblind(sign(blinder.blinded, pair))
    assert tokens.dtype == np.uint8
    assert tokens.shape == (3, 32)
    np.testing.assert_array_equal(tokens, own_tokens(["a", "ü", ""], pair))


def test_blinding_is_fresh_and_of_full_size() -> None:
    first, second = Blinder(PAIR.public, ["x"] * 20, 16), Blinder(PAIR.public, ["x"] * 20, 16)
    assert len({*rows(first.blinded), *rows(second.blinded)}) == 40
    # The signer's test of a guess: for a short blinding number it would show it.
    (hashed,) = PAIR.public.hash(["x"])
    inverse = gmpy2.invert(hashed, PAIR.n)
    guesses = [gmpy2.mpz.from_bytes(row, "big") * inverse % PAIR.n for row in rows(first.blinded)]
    assert min(number.bit_length() for number in PAIR.power(guesses)) > 480


def test_hashes_fill_the_modulus() -> None:
    hashes = PAIR.public.hash([str(k) for k in range(50)])
    assert len(set(hashes)) == 50
    assert max(hashes).bit_length() > 505


def test_a_wrong_signature_is_found() -> None:
    blinder = Blinder(PAIR.public, ["a", "b"])
    signed = sign(blinder.blinded, PAIR)
    with pytest.raises(CryptoError, match="does not belong"):
        blinder.unblind(signed[::-1])
    with pytest.raises(CryptoError, match="1 signed ids came back for 2"):
        blinder.unblind(signed[:1])


def element(value: int) -> np.ndarray:
    width = PAIR.public.width
    return np.frombuffer(int(value).to_bytes(width, "big"), np.uint8).reshape(1, width)


@pytest.mark.parametrize(
    "make",
    [
        lambda: element(0),
        lambda: element(int(PAIR.n)),
        lambda: element(int(PAIR.n) + 1),
        lambda: element(int(PAIR._primes[0])),
        lambda: element(1)[:, 1:],
        lambda: element(1).astype(np.int64),
        lambda: element(1)[0],
        lambda: "text",
    ],
)
def test_malformed_elements_are_refused(make: Callable[[], np.ndarray]) -> None:
    with pytest.raises(CryptoError, match="ids"):
        sign(make(), PAIR)


@pytest.mark.parametrize(
    "change",
    [
        {"n": None},
        {"n": "zz"},
        {"e": "3"},
        {"e": "10000"},
        {"e": "f" * 17},
        {"n": PAIR.public.n.digits(16)},
        {"n": (rsa_pair(1024).n * 5).digits(16)},
        {"n": gmpy2.next_prime(gmpy2.mpz(2) ** 1500).digits(16)},
    ],
)
def test_keys_that_cannot_be_keys_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(CryptoError, match="RSA"):
        RsaPublicKey.from_payload({**rsa_pair(1024).to_payload(), **change})


@pytest.mark.parametrize("ids", [["a", None], [1], pa.array(["a", None]), pa.array([1, 2])])
def test_ids_that_are_not_texts_are_refused(ids: object) -> None:
    with pytest.raises(CryptoError, match="id"):
        Blinder(PAIR.public, ids)


@pytest.mark.parametrize("bits", [0, -1, 1.5, True])
def test_sizes_of_blinding_numbers(bits: object) -> None:
    with pytest.raises(CryptoError, match="random_bits"):
        Blinder(PAIR.public, ["a"], bits)  # type: ignore[arg-type]


def test_keys_of_fates_rsa_component() -> None:
    n, d = int(PAIR.n), private_exponent(PAIR)
    hashed = int(hashlib.sha256(b"42").hexdigest(), 16)
    expected = hashlib.sha256(str(pow(hashed, d, n)).encode()).hexdigest()
    assert fate_keys(["42"], n, d) == [expected]
    with pytest.raises(CryptoError, match="positive"):
        fate_keys(["42"], n, 0)


def test_the_private_key_stays_where_it_is() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(PAIR)
    with pytest.raises(CryptoError, match="1024"):
        RsaKeyPair.generate(512)
