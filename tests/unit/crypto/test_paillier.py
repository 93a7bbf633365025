from __future__ import annotations

import pickle

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.crypto.paillier import PrivateKey, PublicKey
from fate_flow.errors import CryptoError
from tests.unit.crypto.keys import private_key

KEY = private_key()


@pytest.mark.parametrize("bits", [512, 1024])
def test_keys_are_as_djn_needs_them(bits: int) -> None:
    key = private_key(bits)
    p, q = key._p, key._q
    assert key.public.n == p * q
    assert key.public.bits == bits == key.public.n.bit_length()
    assert gmpy2.is_prime(p)
    assert gmpy2.is_prime(q)
    assert p % 4 == q % 4 == 3
    assert gmpy2.gcd(p - 1, q - 1) == 2
    assert key.public.width == bits // 4


@pytest.mark.parametrize("bits", [512, 1022, 1025, 16384])
def test_lengths_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(CryptoError, match="allowed: even, 1024 to 8192"):
        PrivateKey.generate(bits)


@pytest.mark.parametrize("bits", [512, 1024])
@pytest.mark.parametrize("owner", [True, False])
def test_masks_are_fresh_encryptions_of_zero(owner: bool, bits: int) -> None:
    key = private_key(bits)
    masks = (key if owner else key.public).masks(40)
    assert len(set(masks)) == 40
    assert key.decrypt(masks, key.public.capacity) == [0] * 40
    # Encryptions of zero are n-th residues: (p-1)(q-1)-th powers of them are 1.
    assert all(
        gmpy2.powmod(mask, (key._p - 1) * (key._q - 1), key.public.n_squared) == 1 for mask in masks
    )
    # All four classes of residues occur: a mask shows nothing about what it hides.
    classes = {(gmpy2.legendre(m, key._p), gmpy2.legendre(m, key._q)) for m in masks}
    assert len(classes) == 4


@settings(max_examples=50, deadline=None)
@given(st.integers(-(2**509), 2**509))
def test_decryption_by_textbook(value: int) -> None:
    public = KEY.public
    value = max(min(value, public.capacity), -public.capacity)
    ciphertext = gmpy2.powmod(public.n + 1, value % public.n, public.n_squared)
    ciphertext = ciphertext * public.masks(1)[0] % public.n_squared
    assert KEY.decrypt([ciphertext], public.capacity) == [value]
    bound = abs(value)
    assert KEY.decrypt([ciphertext], bound) == [value]
    if bound:
        with pytest.raises(CryptoError, match="beyond its bound"):
            KEY.decrypt([ciphertext], bound - 1)


def test_the_middle_third_is_an_overflow() -> None:
    public = KEY.public
    for plaintext in (public.capacity + 1, public.n // 2, public.n - public.capacity - 1):
        ciphertext = (1 + public.n * plaintext) % public.n_squared
        with pytest.raises(CryptoError, match="overflow"):
            KEY.decrypt([ciphertext], public.capacity)


def test_a_short_bound_finds_what_is_larger_than_p() -> None:
    public = KEY.public
    for plaintext in (2**64, 2**300, -(2**300), public.capacity):
        ciphertext = (1 + public.n * plaintext) % public.n_squared
        with pytest.raises(CryptoError, match="beyond its bound"):
            KEY.decrypt([ciphertext], 2**60)


def test_payload_round_trip_and_equality() -> None:
    public = private_key(1024).public
    again = PublicKey.from_payload(public.to_payload())
    assert again == public
    assert hash(again) == hash(public)
    assert again.fingerprint == public.fingerprint
    assert len(public.fingerprint) == 16
    assert again != KEY.public


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({}, "no readable n"),
        ({"n": 77}, "no readable n"),
        ("n", "no readable n"),
        ({"n": KEY.public.n.digits(16)}, "512 bits"),
        ({"n": "f" * 3000}, "no readable n"),
        ({"n": (private_key(1024).public.n * 3).digits(16)}, "two large primes"),
        ({"n": (private_key(1024).public.n + 2).digits(16)}, "two large primes"),
        ({"n": gmpy2.next_prime(gmpy2.mpz(2) ** 1500).digits(16)}, "two large primes"),
    ],
)
def test_keys_that_cannot_be_keys_are_refused(payload: object, text: str) -> None:
    with pytest.raises(CryptoError, match=text):
        PublicKey.from_payload(payload)  # type: ignore[arg-type]


def test_the_private_key_stays_where_it_is() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    assert str(KEY._p) not in repr(KEY)
