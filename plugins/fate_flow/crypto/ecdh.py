"""Blinding of ids on Curve25519, for private set intersection by Diffie-Hellman.

Two parties raise hashed ids to their secrets, one after the other; equal ids end as equal
points, in either order, and nobody learns more (Meadows, "A more efficient cryptographic
matchmaking protocol", IEEE S&P 1986; Huberman, Franklin, Hogg, "Enhancing privacy and trust
in electronic communities", EC 1999).

Assumptions: decisional Diffie-Hellman in the prime-order subgroup of Curve25519, SHA-256 as a
random oracle, and parties that follow the protocol (semi-honest). A receiver should get the
points of the *other's* ids in an order that says nothing, where only the size of the
intersection may be learnt.

Why plain X25519 (RFC 7748) does:

* A point is its u-coordinate, 32 bytes little endian. The ladder computes ``u(k*P)`` from
  ``u(P)`` alone, and ``u(a*(b*P)) = u(b*(a*P))``: blinding commutes.
* Ids are hashed to u-coordinates of the *curve*: SHA-256 with a counter, until
  ``u**3 + 486662*u**2 + u`` is a square mod ``2**255 - 19`` (two tries on average). The
  ladder would accept points of the quadratic twist as well, and the twist of Curve25519 is
  strong too; but which of the two a point is on survives blinding, and would tell a peer
  one bit of the hash of ids that it does not share.
* RFC 7748 secrets are multiples of 8, the cofactor: whatever small-order part a hashed or
  received point has, is gone after the first blinding, and what is left lies in the
  prime-order subgroup. A point that has only such a part becomes zero and is refused
  (section 6.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NoReturn

import gmpy2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from fate_flow.crypto.ids import Ids, utf8
from fate_flow.crypto.integers import Bytes, Mpz
from fate_flow.errors import CryptoError

WIDTH = 32

_PRIME = gmpy2.mpz(2) ** 255 - 19
_COEFFICIENT = 486662
_DOMAIN = b"fate-flow/psi/curve25519/v1"


class EcdhSecret:
    """One party's secret for one intersection; never leaves its process, never used twice."""

    def __init__(self, secret: X25519PrivateKey) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "EcdhSecret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    @classmethod
    def generate(cls) -> EcdhSecret:
        """A new secret from a cryptographic source."""
        return cls(X25519PrivateKey.generate())

    def blind_ids(self, ids: Ids) -> Bytes:
        """Own ids, hashed onto the curve and blinded; uint8, shape (n, 32).

        Raises:
            CryptoError: an id is missing or not a text.
        """
        return self._exchange([_hash_to_curve(text) for text in utf8(ids)])

    def blind_points(self, points: Bytes) -> Bytes:
        """A peer's blinded points, blinded once more; uint8, shape (n, 32), same order.

        Raises:
            CryptoError: other shape, or a row that is not a point of the curve in its only
                accepted encoding, or one of small order.
        """
        if (
            not isinstance(points, np.ndarray)
            or points.dtype != np.uint8
            or points.ndim != 2
            or points.shape[1] != WIDTH
        ):
            raise CryptoError(f"blinded ids are not bytes of shape (n, {WIDTH})")
        data = np.ascontiguousarray(points).tobytes()
        rows = [data[at : at + WIDTH] for at in range(0, len(data), WIDTH)]
        for index, row in enumerate(rows):
            u = gmpy2.mpz.from_bytes(row, "little")
            if u >= _PRIME or not _is_on_curve(u):
                raise CryptoError(f"blinded id {index} of a peer is not a point of the curve")
        return self._exchange(rows)

    def _exchange(self, points: Sequence[bytes]) -> Bytes:
        exchange, parse = self._secret.exchange, X25519PublicKey.from_public_bytes
        try:
            joined = b"".join([exchange(parse(point)) for point in points])
        except ValueError:
            raise CryptoError("a blinded id of a peer is a point of small order") from None
        return np.frombuffer(joined, dtype=np.uint8).reshape(len(points), WIDTH)


def _is_on_curve(u: Mpz) -> bool:
    return bool(gmpy2.legendre(((u + _COEFFICIENT) * u + 1) * u % _PRIME, _PRIME) == 1)


def _hash_to_curve(text: bytes) -> bytes:
    """The first SHA-256 of (domain, counter, id), cut to 255 bits, that is a point's u."""
    for counter in range(256):
        digest = bytearray(hashlib.sha256(_DOMAIN + bytes((counter,)) + text).digest())
        digest[31] &= 127
        u = gmpy2.mpz.from_bytes(bytes(digest), "little")
        if u < _PRIME and _is_on_curve(u):
            return bytes(digest)
    raise CryptoError("an id cannot be hashed onto the curve")
