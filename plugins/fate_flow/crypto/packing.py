"""Several small integers in one plaintext: fewer encryptions, and far fewer decryptions.

A plaintext holds signed integers in *slots* of equal width, ``sum_k value_k * 2**(width*k)``,
as balanced digits: every value stays below ``2**(width - 1)`` in magnitude, so that sums and
differences of packed plaintexts are the packed sums and differences.

Boosting uses it twice (Chen et al., "SecureBoost+", arXiv:2110.10927, section 4): gradient
and hessian of a row share one plaintext, which halves all work with ciphertexts; and the bins
of a histogram are joined, before decryption, to as many as the key holds, by
``c_0 * c_1**(2**width) * ...``, at the price of ``width`` squarings per bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gmpy2
import numpy as np

from fate_flow.crypto import fixed_point
from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.crypto.fixed_point import Floats
from fate_flow.crypto.integers import map_chunks
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.paillier import PrivateKey, PublicKey
from fate_flow.errors import CryptoError


def slot_width(bound: int) -> int:
    """Bits of a slot for values of magnitude up to ``bound``."""
    return int(bound).bit_length() + 1


def pack_integers(columns: Sequence[Sequence[int]], width: int) -> list[int]:
    """One integer per row from one column per slot, the first in the lowest slot.

    Raises:
        CryptoError: a value does not fit its slot, or lengths differ.
    """
    limit = 1 << (width - 1)
    if len({len(column) for column in columns}) > 1:
        raise CryptoError("columns that are packed together must have the same length")
    if any(not -limit < value < limit for column in columns for value in column):
        raise CryptoError(f"a value does not fit a slot of {width} bits")
    return [
        sum(value << (width * slot) for slot, value in enumerate(row))
        for row in zip(*columns, strict=True)
    ]


def unpack_integers(packed: Sequence[int], slots: int, width: int) -> list[list[int]]:
    """Inverse of :func:`pack_integers`: one list per slot.

    Raises:
        CryptoError: something is left beyond the last slot: a slot has overflowed.
    """
    full, half = 1 << width, 1 << (width - 1)
    columns: list[list[int]] = [[] for _ in range(slots)]
    for rest in packed:
        for column in columns:
            digit = rest & (full - 1)
            if digit >= half:
                digit -= full
            column.append(digit)
            rest = (rest - digit) >> width  # noqa: PLW2901
        if rest:
            raise CryptoError("a packed plaintext holds more than its slots")
    return columns


def slots_per_plaintext(key: PublicKey, width: int) -> int:
    """Number of slots of ``width`` bits that a plaintext of the key holds.

    Raises:
        CryptoError: not even one.
    """
    slots = (key.capacity.bit_length() - 1) // width
    if slots < 1:
        raise CryptoError(f"a {key.bits}-bit key does not hold a slot of {width} bits")
    return slots


def pack_ciphertexts(column: CipherColumn, width: int) -> CipherColumn:
    """Joins rows, as many as the key holds, into single ciphertexts.

    Args:
        column: plaintext integers below ``2**(width - 1)`` in magnitude.
        width: bits of a slot.

    Returns:
        A column of ``ceil(n / slots_per_plaintext)`` rows, of exponent 0, for
        :func:`unpack_decrypted`. Re-randomise it before it leaves.
    """
    key = column.key
    slots = slots_per_plaintext(key, width)
    modulus = key.n_squared
    step = gmpy2.mpz(1) << width
    items = column.items

    def join(starts: Sequence[int]) -> list[Any]:
        joined = []
        for start in starts:
            *lower, result = items[start : start + slots]
            for item in reversed(lower):
                result = gmpy2.powmod(result, step, modulus) * item % modulus
            joined.append(result)
        return joined

    packed = map_chunks(join, range(0, len(items), slots), modulus, 1)
    used = min(slots, max(1, len(items)))
    return CipherColumn(key, packed, 0, (1 << (width * used)) - 1)


def unpack_decrypted(packed: Sequence[int], count: int, key: PublicKey, width: int) -> list[int]:
    """The ``count`` integers of a decrypted column that :func:`pack_ciphertexts` made.

    Raises:
        CryptoError: other length, or a slot has overflowed.
    """
    slots = slots_per_plaintext(key, width)
    if len(packed) != -(-count // slots):
        raise CryptoError(f"{len(packed)} packed plaintexts for {count} values")
    columns = unpack_integers(packed, slots, width)
    values = [value for row in zip(*columns, strict=True) for value in row]
    if any(values[count:]):
        raise CryptoError("a packed plaintext holds more than its slots")
    return values[:count]


@dataclass(frozen=True)
class GradientPacking:
    """Gradient and hessian of a row in one plaintext, sized for sums over all rows.

    Attributes:
        rows: number of rows; a sum may run over all of them, each once.
        exponent: binary exponent of both; the error of a sum over m rows is at most
            ``m * 2**-(exponent + 1)``.
        width: bits of the slot of one of the two.
    """

    rows: int
    exponent: int
    width: int

    @classmethod
    def plan(cls, rows: int, largest: float, exponent: int = 40) -> GradientPacking:
        """Sizes for ``rows`` rows with gradients and hessians up to ``largest`` in magnitude."""
        (bound,) = fixed_point.encode(np.array([abs(largest)], dtype=np.float64), exponent)
        return cls(rows, exponent, slot_width((bound + 1) * max(1, rows)))

    @property
    def pair_width(self) -> int:
        """Bits of a slot for the packed pair."""
        return 2 * self.width

    def encrypt(
        self,
        gradients: Any,
        hessians: Any,
        key: PublicKey | PrivateKey,
        masks: MaskPool | None = None,
    ) -> CipherColumn:
        """One ciphertext per row.

        Args:
            gradients: float64, shape (n,), n at most ``rows``.
            hessians: float64, shape (n,).

        Raises:
            CryptoError: more rows than planned, larger values, NaN, or lengths differ.
        """
        g = fixed_point.encode(fixed_point.as_vector(gradients), self.exponent)
        h = fixed_point.encode(fixed_point.as_vector(hessians, len(g)), self.exponent)
        limit = ((1 << (self.width - 1)) - 1) // max(1, self.rows)
        largest = fixed_point.largest_magnitude([*g, *h])
        if len(g) > self.rows or largest > limit:
            raise CryptoError(
                f"{len(g)} rows of gradients up to {largest / 2**self.exponent:g} were not "
                f"planned for; allowed: {self.rows} rows up to {limit / 2**self.exponent:g}"
            )
        column = CipherColumn.encrypt_int(pack_integers([g, h], self.width), key, masks=masks)
        return column.with_bound((1 << (self.pair_width - 1)) // max(1, self.rows))

    def pack_bins(self, sums: CipherColumn) -> CipherColumn:
        """Sums of encrypted rows, joined to as many per ciphertext as the key holds."""
        return pack_ciphertexts(sums, self.pair_width)

    def decrypt_bins(
        self, packed: CipherColumn, count: int, private: PrivateKey
    ) -> tuple[Floats, Floats]:
        """Sums of gradients and of hessians, float64, shape (count,) each.

        Raises:
            CryptoError: foreign key, other length, or an overflow.
        """
        integers = packed.decrypt_int(private)
        pairs = unpack_decrypted(integers, count, private.public, self.pair_width)
        g, h = unpack_integers(pairs, 2, self.width)
        return fixed_point.decode(g, self.exponent), fixed_point.decode(h, self.exponent)
