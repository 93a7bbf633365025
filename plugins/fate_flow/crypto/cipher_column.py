"""A column of Paillier ciphertexts: the vector that linear models compute with.

All rows share one binary exponent: ``value = plaintext / 2**exponent``, the plaintext a
signed integer mod n. Each column carries a bound on its plaintexts' magnitude, which every
operation carries on; what could exceed n / 3 is refused before it happens, so nothing ever
wraps silently.

Every operation without fresh randomness (all but ``encrypt`` and ``rerandomise``) gives
ciphertexts that its inputs determine: call :meth:`CipherColumn.rerandomise` on whatever
leaves the party.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gmpy2
import numpy as np
import pyarrow as pa

from fate_flow.crypto import cipher_batch, fixed_point
from fate_flow.crypto.bucket_products import DotPlan, bin_products
from fate_flow.crypto.cipher_batch import rounded_bound
from fate_flow.crypto.fixed_point import DEFAULT_EXPONENT, Floats, Ints
from fate_flow.crypto.integers import (
    Mpz,
    invert_all,
    map_chunks,
    power_all,
    product,
)
from fate_flow.crypto.masks import MaskPool
from fate_flow.crypto.paillier import PrivateKey, PublicKey
from fate_flow.errors import CryptoError


class CipherColumn:
    """Immutable vector of ciphertexts.

    Attributes:
        key: the public key.
        exponent: binary exponent of all rows.
        bound: largest magnitude that a plaintext integer can have.
    """

    def __init__(self, key: PublicKey, items: Sequence[Mpz], exponent: int, bound: int) -> None:
        if bound > key.capacity:
            raise CryptoError(
                f"the result may take {int(bound).bit_length()} bits; a {key.bits}-bit key "
                f"holds {key.capacity.bit_length()}",
                remedy="Use a longer key or fewer fixed-point bits",
            )
        self.key = key
        self.exponent = fixed_point.check_exponent(exponent)
        self.bound = int(bound)
        self._items: Sequence[Mpz] = items

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"CipherColumn({len(self)} rows, {self.key!r}, exponent {self.exponent})"

    @property
    def items(self) -> Sequence[Mpz]:
        """The ciphertexts, for this package."""
        return self._items

    def with_bound(self, bound: int) -> CipherColumn:
        """The same with a bound that the caller knows better; decryption holds it to it."""
        return CipherColumn(self.key, self._items, self.exponent, bound)

    # Encryption and decryption

    @classmethod
    def encrypt(
        cls,
        values: Any,
        key: PublicKey | PrivateKey,
        *,
        exponent: int = DEFAULT_EXPONENT,
        masks: MaskPool | None = None,
    ) -> CipherColumn:
        """Encryptions of real numbers, each with fresh randomness.

        Args:
            values: finite float64, shape (n,); error at most ``2**-(exponent + 1)``.
            key: the public key, or the private key at its owner (faster).
            exponent: binary exponent of the fixed point.
            masks: prepared masks of the same key.

        Raises:
            CryptoError: NaN, infinite, or too large for the key.
        """
        integers = fixed_point.encode(fixed_point.as_vector(values), exponent)
        return cls._encrypt(integers, key, exponent, masks)

    @classmethod
    def encrypt_int(
        cls, values: Any, key: PublicKey | PrivateKey, *, masks: MaskPool | None = None
    ) -> CipherColumn:
        """Encryptions of integers (an integer array or a list of int), exact, exponent 0.

        Raises:
            CryptoError: not integers, or too large for the key.
        """
        return cls._encrypt(fixed_point.as_integers(values), key, 0, masks)

    @classmethod
    def _encrypt(
        cls,
        integers: Sequence[int],
        key: PublicKey | PrivateKey,
        exponent: int,
        masks: MaskPool | None,
    ) -> CipherColumn:
        public = key.public
        bound = rounded_bound(fixed_point.largest_magnitude(integers), public)
        plain = cls(public, _trivial(integers, public), exponent, bound)
        return plain._masked(_take_masks(len(integers), key, masks))

    def rerandomise(
        self, masks: MaskPool | None = None, *, key: PrivateKey | None = None
    ) -> CipherColumn:
        """The same values under ciphertexts that nobody can link to these.

        Args:
            masks: prepared masks of the same key.
            key: the private key, at its owner without a pool (faster).
        """
        return self._masked(_take_masks(len(self), key or self.key, masks, expected=self.key))

    def _masked(self, masks: Sequence[Mpz]) -> CipherColumn:
        return self._with(_multiply(self._items, masks, self.key.n_squared))

    def decrypt(self, private: PrivateKey) -> Floats:
        """The values, float64, shape (n,); relative error of the last rounding 2**-53.

        Raises:
            CryptoError: encrypted with another key, or beyond the column's bound.
        """
        return fixed_point.decode(self.decrypt_int(private), self.exponent)

    def decrypt_int(self, private: PrivateKey) -> list[int]:
        """The plaintext integers (before division by ``2**exponent``), signed.

        Raises:
            CryptoError: encrypted with another key, or beyond the column's bound.
        """
        if private.public != self.key:
            raise CryptoError(
                f"a column of key {self.key.fingerprint} cannot be decrypted with key "
                f"{private.public.fingerprint}"
            )
        return private.decrypt(self._items, self.bound)

    # Sums

    def add(self, other: CipherColumn) -> CipherColumn:
        """Row-wise sum; the result has the larger exponent of the two.

        Raises:
            CryptoError: other key or length, or the sum may overflow.
        """
        left, right = self._aligned(other)
        items = _multiply(left._items, right._items, self.key.n_squared)
        return CipherColumn(self.key, items, left.exponent, left.bound + right.bound)

    def subtract(self, other: CipherColumn) -> CipherColumn:
        """Row-wise difference; as :meth:`add`."""
        return self.add(other.negate())

    def negate(self) -> CipherColumn:
        """All values with the other sign."""
        return self._with(invert_all(self._items, self.key.n_squared))

    def add_plain(self, values: Any) -> CipherColumn:
        """Row-wise sum with plain numbers.

        The column's exponent is kept when it holds the numbers exactly; else it is raised to
        at least 40, and the error is at most ``2**-(exponent + 1)``.

        Args:
            values: finite float64, shape (n,).

        Raises:
            CryptoError: NaN, infinite, other length, or the sum may overflow.
        """
        vector = fixed_point.as_vector(values, len(self))
        column = self
        if self.exponent < DEFAULT_EXPONENT and not fixed_point.is_exact(vector, self.exponent):
            column = self.raise_exponent(DEFAULT_EXPONENT)
        return column.add_int(fixed_point.encode(vector, column.exponent))

    def add_int(self, integers: Sequence[int]) -> CipherColumn:
        """Row-wise sum of the plaintext integers with integers (of the same exponent)."""
        numbers = fixed_point.as_integers(integers)
        if len(numbers) != len(self):
            raise CryptoError(f"found {len(numbers)} numbers for {len(self)} ciphertexts")
        bound = rounded_bound(fixed_point.largest_magnitude(numbers), self.key)
        items = _multiply(self._items, _trivial(numbers, self.key), self.key.n_squared)
        return CipherColumn(self.key, items, self.exponent, self.bound + bound)

    def sum(self) -> CipherColumn:
        """Sum of all rows, a column of length 1 (a trivial zero for none)."""
        modulus = self.key.n_squared
        parts = map_chunks(lambda chunk: [product(chunk, modulus)], self._items, modulus, 256)
        total = [product(parts, modulus)]
        return CipherColumn(self.key, total, self.exponent, self.bound * max(1, len(self)))

    # Products with plain numbers

    def multiply_plain(self, values: Any, *, bits: int = 24) -> CipherColumn:
        """Row-wise product with plain numbers.

        The result's exponent follows from the largest number, and can be read by a peer.

        Args:
            values: finite float64, shape (n,); error of each at most
                ``2**-bits * max|values|``, none when ``bits`` bits hold them all.
            bits: fixed-point bits, 1 to 60.

        Raises:
            CryptoError: NaN, infinite, other length, or the product may overflow.
        """
        integers, shift = fixed_point.quantise(fixed_point.as_vector(values, len(self)), bits)
        factors: list[int] = integers.tolist()
        modulus = self.key.n_squared
        minus = [index for index, factor in enumerate(factors) if factor < 0]
        items = list(self._items)
        for index, inverse in zip(
            minus, invert_all([items[index] for index in minus], modulus), strict=True
        ):
            items[index] = inverse
        pairs = list(zip(items, factors, strict=True))
        powers = map_chunks(
            lambda chunk: [gmpy2.powmod(item, abs(factor), modulus) for item, factor in chunk],
            pairs,
            modulus,
        )
        bound = self.bound * fixed_point.largest_magnitude(factors)
        return CipherColumn(self.key, powers, self.exponent + shift, bound)

    def scale(self, factor: float, *, bits: int = 24) -> CipherColumn:
        """All values times one number; free for powers of two.

        Args:
            factor: finite; relative error ``2**-bits``, none when ``bits`` bits hold it.
            bits: fixed-point bits, 1 to 60.
        """
        integers, shift = fixed_point.quantise(
            fixed_point.as_vector(np.array([factor], dtype=np.float64)), bits
        )
        number = int(integers[0])
        column = self.negate() if number < 0 else self
        items = column._items
        if abs(number) != 1:
            items = power_all(items, abs(number), self.key.n_squared)
        return CipherColumn(self.key, items, self.exponent + shift, self.bound * abs(number))

    def dot(self, matrix: Any, *, bits: int = 24) -> CipherColumn:
        """``matrix.T @ self``, by bucket products.

        The plaintext matrix is rounded to ``bits`` bits at each column's own scale. The
        error of result j is at most ``2**-bits * max_i|matrix[i, j]| * sum_i|value_i|`` (for
        columns of extremely different scales see :class:`DotPlan`).

        Args:
            matrix: finite float64, shape (n, d), or a :class:`DotPlan` of it, which saves
                cutting the matrix again when it is used many times.
            bits: fixed-point bits, 1 to 60 (a plan has its own).

        Returns:
            A column of length d.

        Raises:
            CryptoError: NaN, infinite, other number of rows, or the result may overflow.
        """
        plan = matrix if isinstance(matrix, DotPlan) else DotPlan(matrix, bits)
        if plan.shape[0] != len(self):
            raise CryptoError(f"a matrix of {plan.shape[0]} rows for {len(self)} ciphertexts")
        bound = self.bound * plan.weight
        empty = CipherColumn(self.key, [], self.exponent + plan.exponent, bound)
        return empty._with(plan.products(self._items, self.key.n_squared))

    def bin_sum(self, codes: Ints, bins: Sequence[int]) -> list[CipherColumn]:
        """Histograms: the sum of the rows of each bin, for each feature.

        Args:
            codes: bin of each row and feature, int, shape (n, k).
            bins: number of bins of each feature.

        Returns:
            k columns, of lengths ``bins[j]``; an empty bin is a trivial zero.

        Raises:
            CryptoError: codes do not fit, or a sum may overflow.
        """
        bound = self.bound * max(1, len(self))
        CipherColumn(self.key, [], self.exponent, bound)
        return [
            CipherColumn(self.key, items, self.exponent, bound)
            for items in bin_products(self._items, codes, bins, self.key.n_squared)
        ]

    def raise_exponent(self, exponent: int) -> CipherColumn:
        """The same values with a larger exponent (``exponent - self.exponent`` squarings).

        Raises:
            CryptoError: the exponent is smaller than now, or the plaintexts may overflow.
        """
        steps = exponent - self.exponent
        if steps < 0:
            raise CryptoError(f"exponent {self.exponent} cannot be lowered to {exponent}")
        if steps == 0:
            return self
        bound = self.bound << steps
        empty = CipherColumn(self.key, [], exponent, bound)
        return empty._with(power_all(self._items, gmpy2.mpz(1) << steps, self.key.n_squared))

    # Rows

    def take(self, indices: Any) -> CipherColumn:
        """Rows by position (ints, shape (m,)), or by a boolean mask of shape (n,)."""
        chosen = np.asarray(indices)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise CryptoError(f"a mask of shape {chosen.shape} for {len(self)} ciphertexts")
            chosen = np.flatnonzero(chosen)
        if chosen.size and (chosen.dtype.kind not in "iu" or chosen.ndim != 1):
            raise CryptoError("rows are taken by integers of shape (m,)")
        if chosen.size and (int(chosen.min()) < 0 or int(chosen.max()) >= len(self)):
            raise CryptoError(f"a row is outside 0 to {len(self) - 1}")
        items = self._items
        return self._with([items[index] for index in chosen.reshape(-1).tolist()])

    @staticmethod
    def concat(columns: Sequence[CipherColumn]) -> CipherColumn:
        """All rows of all columns, at the largest exponent.

        Raises:
            CryptoError: no columns, or several keys.
        """
        if not columns:
            raise CryptoError("there is nothing to concatenate")
        key = columns[0].key
        for column in columns:
            column._check_key(key)
        exponent = max(column.exponent for column in columns)
        raised = [column.raise_exponent(exponent) for column in columns]
        items = [item for column in raised for item in column._items]
        return CipherColumn(key, items, exponent, max(column.bound for column in raised))

    # Arrow

    def to_arrow(self) -> pa.RecordBatch:
        """One fixed-size binary column ``c``; fingerprint, exponent and bound in the schema."""
        bound = rounded_bound(self.bound, self.key)
        return cipher_batch.write(self._items, self.key, self.exponent, bound)

    @classmethod
    def from_arrow(cls, batch: pa.RecordBatch, key: PublicKey) -> CipherColumn:
        """A column that a peer sent, checked.

        Raises:
            CryptoError: another key, another layout, or numbers that no encryption gives.
        """
        items, exponent, bound = cipher_batch.read(batch, key)
        return cls(key, items, exponent, bound)

    # Helpers

    def _with(self, items: Sequence[Mpz]) -> CipherColumn:
        return CipherColumn(self.key, items, self.exponent, self.bound)

    def _check_key(self, key: PublicKey) -> None:
        if self.key != key:
            raise CryptoError(
                f"columns of different keys ({self.key.fingerprint}, {key.fingerprint}) "
                "cannot be computed with"
            )

    def _aligned(self, other: CipherColumn) -> tuple[CipherColumn, CipherColumn]:
        self._check_key(other.key)
        if len(self) != len(other):
            raise CryptoError(f"columns of {len(self)} and {len(other)} rows cannot be added")
        exponent = max(self.exponent, other.exponent)
        return self.raise_exponent(exponent), other.raise_exponent(exponent)


def _multiply(left: Sequence[Mpz], right: Sequence[Mpz], modulus: Mpz) -> list[Mpz]:
    return [a * b % modulus for a, b in zip(left, right, strict=True)]


def _trivial(integers: Sequence[int], key: PublicKey) -> list[Mpz]:
    """``1 + n*m`` of every integer: an encryption without its mask."""
    n = key.n
    return [1 + n * m for m in integers]


def _take_masks(
    count: int,
    key: PublicKey | PrivateKey,
    masks: MaskPool | None,
    expected: PublicKey | None = None,
) -> Sequence[Mpz]:
    public = expected or key.public
    if key.public != public or (masks is not None and masks.key != public):
        raise CryptoError("the masks are of another key than the ciphertexts")
    return masks.take(count) if masks is not None else key.masks(count)
