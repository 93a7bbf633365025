"""RSA blind signatures of ids, for private set intersection.

The host holds an RSA key and signs; the guest has its ids signed without showing them
(Chaum, "Blind signatures for untraceable payments", CRYPTO 1982; as intersection: De
Cristofaro, Tsudik, "Practical private set intersection protocols with linear complexity",
FC 2010). Both compare *tokens*: SHA-256 of the signatures.

* Ids are hashed over the whole range of the modulus (full-domain hash, Bellare and Rogaway,
  EUROCRYPT 1996), by SHAKE-256. Signatures of short hashes multiply to signatures of others,
  so that a guest could make tokens that it never asked for.
* The blinding number is uniform below n, however small a size was asked for. The signer can
  compute ``(blinded / hash(guess)) ** d``, which for the right guess is the blinding number:
  a short one would give the guess away.

* The host's modulus has three primes from 2048 bits on (RFC 8017, section 3.2: multi-prime
  RSA), so that a signature costs less than half. The best known attack on 2048 bits is still
  the number field sieve, which does not see the primes; elliptic curves, which do, have found
  factors of 274 bits so far, and these have 683.

Assumptions: one-more RSA, random-oracle hashes, semi-honest parties. All group elements are
uint8 matrices of shape (n, width), big endian.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import gmpy2
import numpy as np

from fate_flow.crypto.ids import Ids, utf8
from fate_flow.crypto.integers import (
    Bytes,
    Mpz,
    check_units,
    from_matrix,
    invert_all,
    parse_hex,
    power_all,
    to_matrix,
)
from fate_flow.crypto.paillier import MAXIMUM_BITS, MINIMUM_BITS, SMALL_PRIMES, random_prime
from fate_flow.errors import CryptoError

TOKEN_WIDTH = 32

_EXPONENT = 65537
#: From this size on, a modulus has three primes rather than two.
_THREE_PRIMES = 2048
_DOMAIN = b"fate-flow/psi/rsa/v1"


class RsaPublicKey:
    """The signer's public key.

    Attributes:
        n: modulus.
        e: public exponent.
        width: bytes of a group element.
    """

    def __init__(self, n: Mpz, e: Mpz) -> None:
        self.n, self.e = gmpy2.mpz(n), gmpy2.mpz(e)
        self.width: int = (self.n.bit_length() + 7) // 8

    def to_payload(self) -> dict[str, str]:
        """What is sent to the other parties: ``{"n": hex, "e": hex}``."""
        return {"n": self.n.digits(16), "e": self.e.digits(16)}

    @classmethod
    def from_payload(
        cls, payload: Mapping[str, Any], *, minimum_bits: int = MINIMUM_BITS
    ) -> RsaPublicKey:
        """A key that a peer sent.

        Args:
            payload: what :meth:`to_payload` gave.
            minimum_bits: lower only in tests.

        Raises:
            CryptoError: not numbers, a modulus of the wrong size or form, or an exponent that
                is not a prime of 17 to 64 bits.
        """
        n = parse_hex(payload, "n", MAXIMUM_BITS, "a peer's RSA key")
        e = parse_hex(payload, "e", 64, "a peer's RSA key")
        if not minimum_bits <= n.bit_length() <= MAXIMUM_BITS:
            raise CryptoError(
                f"a peer's RSA key has {n.bit_length()} bits; "
                f"allowed: {minimum_bits} to {MAXIMUM_BITS}"
            )
        if gmpy2.gcd(n, SMALL_PRIMES) != 1 or gmpy2.is_prime(n):
            raise CryptoError("a peer's RSA modulus is not a product of large primes")
        if not _EXPONENT <= e < 2**64 or not gmpy2.is_prime(e):
            raise CryptoError("a peer's RSA exponent is not a prime of 17 to 64 bits")
        return cls(n, e)

    def hash(self, ids: Ids) -> list[Mpz]:
        """Full-domain hash of every id: SHAKE-256 with 128 bits more than n, mod n."""
        length = self.width + 16
        parse = gmpy2.mpz.from_bytes
        return [
            parse(hashlib.shake_256(_DOMAIN + text).digest(length), "big") % self.n
            for text in utf8(ids)
        ]


class RsaKeyPair:
    """The signer's key; the primes leave the process only by :meth:`to_private`.

    Attributes:
        public: the public key.
        n, e: its numbers.
    """

    def __init__(self, *primes: Mpz, e: Mpz = _EXPONENT) -> None:
        self.public = RsaPublicKey(math.prod(primes), e)
        self.n, self.e = self.public.n, self.public.e
        self._primes = primes
        self._exponents = [gmpy2.invert(e, prime - 1) for prime in primes]
        # Garner's recombination: the product of the primes before each, and its inverse.
        self._before = [math.prod(primes[:place]) for place in range(len(primes))]
        self._inverses = [gmpy2.invert(b, p) for b, p in zip(self._before, primes, strict=True)]

    def __repr__(self) -> str:
        return f"RsaKeyPair({self.n.bit_length()} bits)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")

    @classmethod
    def generate(cls, bits: int = 2048, *, minimum_bits: int = MINIMUM_BITS) -> RsaKeyPair:
        """A new key from the operating system's randomness, e = 65537.

        Args:
            bits: even, 1024 to 8192.
            minimum_bits: lower only in tests.

        Raises:
            CryptoError: length out of range.
        """
        if bits % 2 or not minimum_bits <= bits <= MAXIMUM_BITS:
            raise CryptoError(
                f"key length is {bits} bits; allowed: even, {minimum_bits} to {MAXIMUM_BITS}"
            )
        count = 3 if bits >= _THREE_PRIMES else 2
        sizes = [bits * (place + 1) // count - bits * place // count for place in range(count)]
        while True:
            primes = [random_prime(size) for size in sizes]
            is_distinct = len(set(primes)) == count
            is_unit = all(gmpy2.gcd(prime - 1, _EXPONENT) == 1 for prime in primes)
            # The smallest primes of these sizes give a product that is one bit short.
            if is_distinct and is_unit and math.prod(primes).bit_length() == bits:
                return cls(*primes)

    def to_payload(self) -> dict[str, str]:
        """The public part."""
        return self.public.to_payload()

    def to_private(self) -> dict[str, Any]:
        """``{"primes": [hex], "e": hex}``, for a file that only the signer can read."""
        return {"primes": [prime.digits(16) for prime in self._primes], "e": self.e.digits(16)}

    @classmethod
    def from_private(cls, payload: Mapping[str, Any]) -> RsaKeyPair:
        """The key that :meth:`to_private` described.

        Raises:
            CryptoError: not numbers, or no key that could have been made here.
        """
        texts = payload.get("primes")
        if not isinstance(texts, list) or len(texts) not in (2, 3):
            raise CryptoError("a stored RSA key has no primes")
        what = "a stored RSA key"
        primes = [parse_hex({"p": text}, "p", MAXIMUM_BITS, what) for text in texts]
        e = parse_hex(payload, "e", 64, what)
        usable = all(gmpy2.is_prime(p) and p > e and gmpy2.gcd(p - 1, e) == 1 for p in primes)
        if not usable or len(set(primes)) != len(primes):
            raise CryptoError("a stored RSA key has numbers that are no primes")
        return cls(*primes, e=e)

    def power(self, items: Sequence[Mpz]) -> list[Mpz]:
        """``item ** d mod n`` by CRT, each checked before it is given out.

        A wrong part would show the primes (Boneh, DeMillo, Lipton, EUROCRYPT 1997).
        """
        signed = [gmpy2.mpz(0)] * len(items)
        for prime, exponent, before, inverse in zip(
            self._primes, self._exponents, self._before, self._inverses, strict=True
        ):
            powers = power_all([item % prime for item in items], exponent, prime)
            signed = [
                found + before * ((power - found) * inverse % prime)
                for found, power in zip(signed, powers, strict=True)
            ]
        if power_all(signed, self.e, self.n) != list(items):
            raise CryptoError("a signature came out wrong; nothing was given out")
        return signed


class Blinder:
    """The guest's side: blinds its ids, and turns the signer's answer into tokens.

    Args:
        public: the signer's key.
        ids: own ids.
        random_bits: least size of the blinding numbers; they are always uniform below n, so
            that a smaller size asked for changes nothing.

    Attributes:
        blinded: what is sent to the signer, uint8, shape (n, width), in the order of the ids.

    Raises:
        CryptoError: an id is missing or not a text, or random_bits is not a positive integer.
    """

    def __init__(self, public: RsaPublicKey, ids: Ids, random_bits: int = 128) -> None:
        if isinstance(random_bits, bool) or not isinstance(random_bits, int) or random_bits < 1:
            raise CryptoError(f"random_bits is {random_bits!r}; allowed: a positive integer")
        self._public = public
        self._hashes = public.hash(ids)
        limit = int(public.n) - 1
        factors = [gmpy2.mpz(secrets.randbelow(limit) + 1) for _ in self._hashes]
        self._inverses = invert_all(factors, public.n)
        hidden = power_all(factors, public.e, public.n)
        self.blinded: Bytes = to_matrix(
            [h * f % public.n for h, f in zip(self._hashes, hidden, strict=True)], public.width
        )

    def unblind(self, signed: Bytes) -> Bytes:
        """Tokens of the own ids, uint8, shape (n, 32), in the order of the ids.

        Args:
            signed: the signer's answer, uint8, shape (n, width).

        Raises:
            CryptoError: other shape, or an element that is not the signature of its id.
        """
        public = self._public
        items = _elements(signed, public, "signed ids")
        if len(items) != len(self._inverses):
            raise CryptoError(f"{len(items)} signed ids came back for {len(self._inverses)}")
        signatures = [s * i % public.n for s, i in zip(items, self._inverses, strict=True)]
        if power_all(signatures, public.e, public.n) != self._hashes:
            raise CryptoError("a peer's signature does not belong to the id that was sent")
        return _tokens(signatures, public.width)


def sign(blinded: Bytes, keypair: RsaKeyPair) -> Bytes:
    """The signer's answer to a peer's blinded ids; uint8, shape (n, width), same order.

    Raises:
        CryptoError: other shape, or an element outside the group (0, n or more, or one that
            shares a factor with n).
    """
    items = _elements(blinded, keypair.public, "blinded ids")
    return to_matrix(keypair.power(items), keypair.public.width)


def own_tokens(ids: Ids, keypair: RsaKeyPair) -> Bytes:
    """Tokens of the signer's own ids, uint8, shape (n, 32), in the order of the ids."""
    return _tokens(keypair.power(keypair.public.hash(ids)), keypair.public.width)


def fate_keys(ids: Ids, n: int, d: int) -> list[str]:
    """Keys as FATE 1.4's Rsa component writes them: hex SHA-256 of ``H(id)**d mod n``.

    H is SHA-256 read as a number, and the signature is hashed as a decimal text. For tables
    that others made; between our own parties use :func:`own_tokens`.

    Raises:
        CryptoError: n or d is not positive.
    """
    if n < 2 or d < 1:
        raise CryptoError("n and d of an RSA key must be positive")
    hashes = [gmpy2.mpz.from_bytes(hashlib.sha256(text).digest(), "big") for text in utf8(ids)]
    signatures = power_all(hashes, gmpy2.mpz(d), gmpy2.mpz(n))
    return [hashlib.sha256(str(signature).encode()).hexdigest() for signature in signatures]


def _elements(matrix: Bytes, public: RsaPublicKey, what: str) -> list[Mpz]:
    items = from_matrix(matrix, public.width, what)
    check_units(items, public.n, public.n, what)
    return items


def _tokens(signatures: Sequence[Mpz], width: int) -> Bytes:
    joined = b"".join(hashlib.sha256(s.to_bytes(width, "big")).digest() for s in signatures)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(signatures), TOKEN_WIDTH)
