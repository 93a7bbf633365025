"""Paillier keys, masks and decryption, over gmpy2.

Sources:
    Paillier, "Public-key cryptosystems based on composite degree residuosity classes",
    EUROCRYPT 1999 (the scheme, and decryption by CRT in section 7).
    Damgård, Jurik, Nielsen, "A generalization of Paillier's public-key system with
    applications to electronic voting", Int. J. Inf. Secur. 9 (2010), section 4.2 (DJN:
    encryption with a fixed base and a short exponent).

With g = n + 1 a ciphertext of m is ``(1 + n*m) * mask mod n**2``, where the *mask* is an
encryption of zero, an n-th residue. All cost lies in the mask, and it does not depend on
m: masks can be made ahead (:mod:`fate_flow.crypto.masks`).

Masks of a party that holds only the public key: ``(h**n)**a * (j**n)**b mod n**2`` with
``h = -x**2`` for a random x, a random *a* of half the key's length, and a random bit b.
Each party draws its own x, so nobody has to trust the key's owner for h. DJN shows that
this is as good as a uniform mask if powers of h with short exponents look like random ones,
which holds when factoring Blum integers is hard. ``j``, of Jacobi symbol -1, is our
addition: with h alone the Jacobi symbol of a re-randomised ciphertext would be that of the
original, and could show a parity of what was computed with it.

Masks of the key's owner: the same with full-length exponents, mod p**2 and q**2 apart, then
joined by CRT: half-length numbers, about half the cost.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import gmpy2

from fate_flow.crypto.integers import Mpz, map_chunks, parse_hex, power_all
from fate_flow.errors import CryptoError

#: Shorter keys are refused; tests may ask for less.
MINIMUM_BITS = 1024
#: Longer keys are refused: nobody needs them, and a peer could stall us with one.
MAXIMUM_BITS = 8192

#: Product of all primes below 10,000: a key with such a factor is broken or hostile.
SMALL_PRIMES = gmpy2.primorial(10_000)


class _FixedBase:
    """Powers of one base from a table: one product per byte of the exponent.

    The windowed fixed-base method of Brickell, Gordon, McCurley and Wilson (EUROCRYPT 1992)
    with one row of 256 powers per byte, so that no squarings remain. At 2048 bits: 17 MB,
    0.2 s to make, a tenth of the cost of a plain power.
    """

    def __init__(self, base: Mpz, modulus: Mpz, exponent_bytes: int) -> None:
        self.modulus = modulus
        self.rows: list[list[Mpz]] = []
        for _ in range(exponent_bytes):
            row = [gmpy2.mpz(1), base]
            for _ in range(2, 256):
                row.append(row[-1] * base % modulus)
            self.rows.append(row)
            base = row[-1] * base % modulus

    def power(self, exponent: bytes, start: Mpz) -> Mpz:
        """``start * base ** exponent``, the exponent little endian, as long as the table."""
        result = start
        modulus = self.modulus
        for row, digit in zip(self.rows, exponent, strict=True):
            if digit:
                result = result * row[digit] % modulus
        return result


class PublicKey:
    """Paillier's public key; immutable, equal when n is equal.

    Attributes:
        n: the modulus (mpz).
        n_squared: modulus of the ciphertexts.
        bits: length of n.
        width: bytes of one ciphertext.
        fingerprint: first 16 hex digits of SHA-256 of n (big endian).
        capacity: largest plaintext magnitude that is not an overflow, n // 3 - 1.
    """

    def __init__(self, n: Mpz) -> None:
        self.n = gmpy2.mpz(n)
        self.n_squared = self.n * self.n
        self.bits: int = self.n.bit_length()
        self.width: int = (2 * self.bits + 7) // 8
        self.capacity: int = int(self.n // 3) - 1
        raw = self.n.to_bytes((self.bits + 7) // 8, "big")
        self.fingerprint: str = hashlib.sha256(raw).hexdigest()[:16]
        self._lock = threading.Lock()
        self._table: _FixedBase | None = None
        self._twist: Mpz = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.n == other.n

    def __hash__(self) -> int:
        return hash(self.n)

    def __repr__(self) -> str:
        return f"PublicKey({self.bits} bits, {self.fingerprint})"

    @property
    def public(self) -> PublicKey:
        """Itself: so that either key can be asked for the public one."""
        return self

    def to_payload(self) -> dict[str, str]:
        """What is sent to the other parties: ``{"n": hex}``."""
        return {"n": self.n.digits(16)}

    @classmethod
    def from_payload(
        cls, payload: Mapping[str, Any], *, minimum_bits: int = MINIMUM_BITS
    ) -> PublicKey:
        """A key that a peer sent.

        Args:
            payload: what :meth:`to_payload` gave.
            minimum_bits: lower only in tests.

        Raises:
            CryptoError: not a number, too short, too long, or not a product of two large
                primes that are 3 mod 4 as far as can be seen from outside.
        """
        n = parse_hex(payload, "n", MAXIMUM_BITS, "a peer's Paillier key")
        if not minimum_bits <= n.bit_length() <= MAXIMUM_BITS:
            raise CryptoError(
                f"a peer's Paillier key has {n.bit_length()} bits; "
                f"allowed: {minimum_bits} to {MAXIMUM_BITS}"
            )
        if n % 4 != 1 or gmpy2.gcd(n, SMALL_PRIMES) != 1 or gmpy2.is_prime(n):
            raise CryptoError("a peer's Paillier modulus is not a product of two large primes")
        return cls(n)

    def masks(self, count: int) -> list[Mpz]:
        """``count`` fresh random encryptions of zero, never given out before."""
        table, twist = self._prepare()
        length = len(table.rows)
        one = gmpy2.mpz(1)

        def make(chunk: Sequence[Mpz]) -> list[Mpz]:
            return [
                table.power(secrets.token_bytes(length), twist if secrets.randbits(1) else one)
                for _ in chunk
            ]

        return map_chunks(make, range(count), self.n_squared)

    def _prepare(self) -> tuple[_FixedBase, Mpz]:
        with self._lock:
            if self._table is None:
                x = _random_unit(self.n)
                h = gmpy2.powmod(-x * x % self.n, self.n, self.n_squared)
                while gmpy2.jacobi(j := _random_unit(self.n), self.n) != -1:
                    pass
                self._twist = gmpy2.powmod(j, self.n, self.n_squared)
                self._table = _FixedBase(h, self.n_squared, (self.bits + 15) // 16)
            return self._table, self._twist


class PrivateKey:
    """Paillier's private key; holds the primes, never leaves its process.

    Attributes:
        public: the public key.
    """

    def __init__(self, p: Mpz, q: Mpz) -> None:
        self.public = PublicKey(p * q)
        self._p, self._q = p, q
        self._p_squared, self._q_squared = p * p, q * q
        n = self.public.n
        # L((1 + n)**(p-1) mod p**2) = (p-1)*q mod p; its inverse turns powers into plaintexts.
        self._p_factor = gmpy2.invert((p - 1) * q % p, p)
        self._q_factor = gmpy2.invert((q - 1) * p % q, q)
        self._q_inverse = gmpy2.invert(q, p)
        self._q_squared_inverse = gmpy2.invert(self._q_squared, self._p_squared)
        self._lock = threading.Lock()
        x = _random_unit(n)
        h = gmpy2.powmod(-x * x % n, n, self.public.n_squared)
        self._base = h % self._p_squared, h % self._q_squared
        self._tables: tuple[_FixedBase, _FixedBase] | None = None

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.bits} bits, {self.public.fingerprint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")

    @classmethod
    def generate(cls, bits: int = 2048, *, minimum_bits: int = MINIMUM_BITS) -> PrivateKey:
        """A new key from the operating system's randomness.

        p and q have half the length each, are 3 mod 4, and gcd(p - 1, q - 1) = 2, as DJN
        needs; n has exactly ``bits`` bits.

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
        while True:
            p, q = random_prime(bits // 2), random_prime(bits // 2)
            if p != q and gmpy2.gcd(p - 1, q - 1) == 2:
                return cls(p, q)

    def masks(self, count: int) -> list[Mpz]:
        """As :meth:`PublicKey.masks`, faster with the primes."""
        table_p, table_q = self._prepare()
        # Mod p the base has an order of at most p - 1: longer exponents would add nothing.
        limit_p, limit_q = int(self._p - 1), int(self._q - 1)
        length = len(table_p.rows)
        one = gmpy2.mpz(1)
        inverse, p_squared, q_squared = (
            self._q_squared_inverse,
            self._p_squared,
            self._q_squared,
        )

        def make(chunk: Sequence[Mpz]) -> list[Mpz]:
            masks = []
            for _ in chunk:
                at_p = table_p.power(secrets.randbelow(limit_p).to_bytes(length, "little"), one)
                at_q = table_q.power(secrets.randbelow(limit_q).to_bytes(length, "little"), one)
                masks.append(at_q + q_squared * ((at_p - at_q) * inverse % p_squared))
            return masks

        return map_chunks(make, range(count), p_squared)

    def _prepare(self) -> tuple[_FixedBase, _FixedBase]:
        with self._lock:
            if self._tables is None:
                length = (self.public.bits + 15) // 16
                self._tables = (
                    _FixedBase(self._base[0], self._p_squared, length),
                    _FixedBase(self._base[1], self._q_squared, length),
                )
            return self._tables

    def decrypt(self, ciphertexts: Sequence[Mpz], bound: int) -> list[int]:
        """Signed plaintexts of ciphertexts that are known to stay within ``bound``.

        A plaintext that is far smaller than p is known from its rest mod p alone, which
        halves the cost; whatever is outside ``bound`` then shows as one of p rests of which
        only ``2 * bound + 1`` would pass.

        Args:
            ciphertexts: units mod n**2.
            bound: largest possible magnitude, at most ``public.capacity``.

        Raises:
            CryptoError: a plaintext is outside the bound (overflow, or not what was promised).
        """
        bound = min(int(bound), self.public.capacity)
        p = self._p
        half = self._half(ciphertexts, p, self._p_squared, self._p_factor)
        if bound.bit_length() + 128 <= p.bit_length():
            modulus, rests = p, half
        else:
            other = self._half(ciphertexts, self._q, self._q_squared, self._q_factor)
            modulus, q = self.public.n, self._q
            rests = [
                at_q + q * ((at_p - at_q) * self._q_inverse % p)
                for at_p, at_q in zip(half, other, strict=True)
            ]
        middle = modulus // 2
        result = []
        for index, rest in enumerate(rests):
            value = int(rest - modulus if rest > middle else rest)
            if abs(value) > bound:
                raise CryptoError(
                    f"ciphertext {index} decrypts to a number beyond its bound of "
                    f"{bound.bit_length()} bits: an overflow, or a damaged ciphertext",
                    remedy="Use a longer key, smaller features or fewer fixed-point bits",
                )
            result.append(value)
        return result

    @staticmethod
    def _half(ciphertexts: Sequence[Mpz], prime: Mpz, square: Mpz, factor: Mpz) -> list[Mpz]:
        reduced = [ciphertext % square for ciphertext in ciphertexts]
        powers = power_all(reduced, prime - 1, square)
        return [(power - 1) // prime * factor % prime for power in powers]


def random_prime(bits: int) -> Mpz:
    """A uniformly drawn prime that is 3 mod 4, with its two highest bits set.

    gmpy2's test is Baillie-PSW with further Miller-Rabin rounds: no composite is known
    that passes.
    """
    while True:
        candidate = gmpy2.mpz(secrets.randbits(bits) | 3 << (bits - 2) | 3)
        if gmpy2.is_prime(candidate, 32):
            return candidate


def _random_unit(n: Mpz) -> Mpz:
    while True:
        x = gmpy2.mpz(secrets.randbelow(int(n)))
        if gmpy2.gcd(x, n) == 1:
            return x
