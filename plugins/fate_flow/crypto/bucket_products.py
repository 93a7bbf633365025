"""Products of many ciphertexts raised to small powers, without raising any of them.

``product_i c_i ** x_i`` for one matrix column x costs, with the bucket method of Pippenger
("On the evaluation of powers and monomials", SIAM J. Comput. 9, 1980; as in Bernstein,
"Pippenger's exponentiation algorithm", 2002), one product per non-zero digit of x, plus one
per bucket: for each digit position the ciphertexts with digit b are multiplied into a
running product in descending order of b, and the running product is multiplied into the
total at every step down, so that a ciphertext with digit b ends up in the total b times.

Digits are signed (``-2**(w-1) < digit <= 2**(w-1)``), which halves the buckets. Products of
negative digits are kept apart, and all of them are inverted at once at the end.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gmpy2
import numpy as np

from fate_flow.crypto.fixed_point import (
    Floats,
    Ints,
    as_matrix,
    check_bits,
    natural_shift,
    trailing_zeros,
)
from fate_flow.crypto.integers import Mpz, invert_all, is_worth_threads, product, run_parallel
from fate_flow.errors import CryptoError

#: A column may be scaled up by this many bits more than the column with the largest values;
#: each bit costs a squaring of its result, and room in the plaintext.
MAX_SPREAD = 128

#: A plan's exponent is a multiple of this: a peer that sees it learns little about the scale
#: of the matrix, for a few squarings per column.
EXPONENT_STEP = 32

#: Digits fit into 16 bits, which sort in linear time.
_MAX_WINDOW = 15


@dataclass(frozen=True)
class _Buckets:
    """Rows with a digit of one sign, sorted by its magnitude, largest first.

    Attributes:
        rows: row numbers, int32.
        ends: where each bucket ends in ``rows``.
        steps: how far its digit is above that of the next bucket (the last: above zero).
    """

    rows: np.ndarray[Any, np.dtype[np.int32]]
    ends: list[int]
    steps: list[int]


@dataclass(frozen=True)
class _Position:
    """Rows of one digit position, by magnitude of the digit, positive and negative apart."""

    positive: _Buckets
    negative: _Buckets


@dataclass(frozen=True)
class _Column:
    """One matrix column, ready for bucket products.

    Attributes:
        shift: binary exponent of its integers.
        weight: sum of the integers' magnitudes.
        window: bits per digit.
        positions: lowest digit first.
    """

    shift: int
    weight: int
    window: int
    positions: list[_Position]


class DotPlan:
    """A plaintext matrix cut into digits, for repeated ``CipherColumn.dot`` with it.

    Each column j gets integers of ``bits`` bits at its own scale: the error of an entry is
    at most ``2**-bits * max_i |matrix[i, j]|``. Only columns that are more than ``2**128``
    times smaller than the largest one share a scale: ``2**-(bits + 128) * max|matrix|``.
    Memory: 4 bytes per non-zero digit, of which an entry has 3 to 5 at 24 bits.

    Args:
        matrix: finite float64, shape (n, d).
        bits: fixed-point bits, 1 to 60.

    Attributes:
        shape: (n, d).
        exponent: binary exponent of the whole, added to that of the ciphertexts.
        weight: the largest sum of integer magnitudes of a column, at that exponent.

    Raises:
        CryptoError: NaN or infinite entries, or bits out of range.
    """

    def __init__(self, matrix: Any, bits: int = 24) -> None:
        check_bits(bits)
        values = as_matrix(matrix, len(matrix))
        self.shape: tuple[int, int] = (values.shape[0], values.shape[1])
        self.bits = bits
        quantised = _quantise_columns(values, bits)
        finest = max((shift for column, shift in quantised if column.any()), default=0)
        self.exponent = -(-finest // EXPONENT_STEP) * EXPONENT_STEP
        self._columns = [_cut(column, shift) for column, shift in quantised]
        self.weight = max(
            (c.weight << (self.exponent - c.shift) for c in self._columns if c.weight), default=0
        )

    def products(self, ciphertexts: Sequence[Mpz], modulus: Mpz) -> list[Mpz]:
        """``product_i ciphertexts[i] ** integer[i, j] mod modulus`` for every column j."""
        if not any(column.weight for column in self._columns):
            return [gmpy2.mpz(1)] * len(self._columns)
        jobs: list[Callable[[], Mpz]] = [
            functools.partial(_bucket_product, buckets, ciphertexts, modulus)
            for column in self._columns
            for position in column.positions
            for buckets in (position.positive, position.negative)
        ]
        totals = iter(run_parallel(jobs) if is_worth_threads(modulus) else [j() for j in jobs])
        pairs = []
        for column in self._columns:
            digits = [(next(totals), next(totals)) for _ in column.positions]
            pairs.append(
                (
                    _horner([up for up, _ in digits], column.window, modulus),
                    _horner([down for _, down in digits], column.window, modulus),
                )
            )
        inverses = invert_all([negative for _, negative in pairs], modulus)
        return [
            _scale_up(positive * inverse % modulus, self.exponent, column, modulus)
            for (positive, _), inverse, column in zip(pairs, inverses, self._columns, strict=True)
        ]


def _scale_up(value: Mpz, exponent: int, column: _Column, modulus: Mpz) -> Mpz:
    if not column.weight or exponent == column.shift:
        return value
    return gmpy2.powmod(value, gmpy2.mpz(1) << (exponent - column.shift), modulus)


def _quantise_columns(values: Floats, bits: int) -> list[tuple[Ints, int]]:
    """Integers and exponent of each column."""
    columns = [np.ascontiguousarray(values[:, j]) for j in range(values.shape[1])]
    largest = [float(np.abs(column).max()) if len(column) else 0.0 for column in columns]
    coarsest = min((natural_shift(x, bits) for x in largest if x), default=0)
    result = []
    for column, size in zip(columns, largest, strict=True):
        shift = min(natural_shift(size, bits), coarsest + MAX_SPREAD) if size else coarsest
        integers = np.rint(np.ldexp(np.ldexp(column, shift // 2), shift - shift // 2))
        integers = integers.astype(np.int64)
        zeros = trailing_zeros(integers)
        result.append((integers >> zeros, shift - zeros))
    return result


def _cut(integers: Ints, shift: int) -> _Column:
    magnitudes = np.abs(integers)
    filled = int(np.count_nonzero(magnitudes))
    if not filled:
        return _Column(shift, 0, 1, [])
    bits = int(magnitudes.max()).bit_length()
    window = _best_window(bits, filled)
    positions = [_sort(digits) for digits in _digits(integers, window, bits)]
    return _Column(shift, _exact_sum(magnitudes), window, positions)


def _exact_sum(magnitudes: Ints) -> int:
    # In two halves, because the sum of 60-bit numbers does not fit into 64 bits.
    low = (1 << 30) - 1
    return (int((magnitudes >> 30).sum()) << 30) + int((magnitudes & low).sum())


def _best_window(bits: int, rows: int) -> int:
    """Bits per digit that need the fewest products."""

    def cost(window: int) -> int:
        digits = -(-(bits + 1) // window) if bits > 1 else 1
        return digits * (rows + 2 * min(rows, 1 << (window - 1)))

    return min(range(1 if bits == 1 else 2, _MAX_WINDOW + 1), key=cost)


def _digits(integers: Ints, window: int, bits: int) -> Iterator[Ints]:
    """Signed digits of base ``2**window``, lowest first, until nothing is left."""
    signs = np.sign(integers)
    rest = np.abs(integers)
    half = 1 << (window - 1)
    base = 1 << window
    if bits == 1:
        yield integers
        return
    while rest.any():
        digits = rest & (base - 1)
        carry = digits > half
        digits = np.where(carry, digits - base, digits)
        yield digits * signs
        rest = (rest >> window) + carry


def _sort(digits: Ints) -> _Position:
    short = digits.astype(np.int16)
    return _Position(_descending(short), _descending(-short))


def _descending(digits: np.ndarray[Any, np.dtype[np.int16]]) -> _Buckets:
    """Rows with a positive digit."""
    rows = np.flatnonzero(digits > 0).astype(np.int32)
    order = rows[np.argsort(-digits[rows], kind="stable")]
    ordered = digits[order].astype(np.int64)
    if not len(order):
        return _Buckets(order, [], [])
    ends = np.append(np.flatnonzero(np.diff(ordered)) + 1, len(order))
    levels = ordered[ends - 1]
    return _Buckets(order, ends.tolist(), (levels - np.append(levels[1:], 0)).tolist())


def _horner(totals: Sequence[Mpz], window: int, modulus: Mpz) -> Mpz:
    """``product over positions k of totals[k] ** (2**(window*k))``."""
    result = gmpy2.mpz(1)
    step = gmpy2.mpz(1) << window
    for total in reversed(totals):
        if result != 1:
            result = gmpy2.powmod(result, step, modulus)
        result = result * total % modulus
    return result


def _bucket_product(buckets: _Buckets, ciphertexts: Sequence[Mpz], modulus: Mpz) -> Mpz:
    """``product of ciphertexts[row] ** digit`` over the rows of the buckets."""
    total = gmpy2.mpz(1)
    running = gmpy2.mpz(1)
    rows = buckets.rows.tolist()
    start = 0
    for end, steps in zip(buckets.ends, buckets.steps, strict=True):
        for row in rows[start:end]:
            running = running * ciphertexts[row] % modulus
        start = end
        if steps == 1:
            total = total * running % modulus
        else:
            total = total * gmpy2.powmod(running, steps, modulus) % modulus
    return total


def bin_products(
    ciphertexts: Sequence[Mpz], codes: Ints, bins: Sequence[int], modulus: Mpz
) -> list[list[Mpz]]:
    """Product of the ciphertexts of each bin, for each feature.

    Features whose joint bins are few are first put together: one product per row makes their
    joint histogram, from which each one's own follows by products over cells.

    Args:
        ciphertexts: n of them.
        codes: bin of each row and feature, int, shape (n, k).
        bins: number of bins of each feature, length k.

    Returns:
        k lists of ``bins[j]`` numbers; 1 (a trivial encryption of zero) for an empty bin.

    Raises:
        CryptoError: shapes do not fit, or a code is outside ``0 .. bins[j] - 1``.
    """
    checked = _check_codes(codes, bins, len(ciphertexts))
    groups = _group(len(ciphertexts), [int(b) for b in bins])
    jobs: list[Callable[[], dict[int, list[Mpz]]]] = [
        functools.partial(_histograms, ciphertexts, checked, list(bins), group, modulus)
        for group in groups
    ]
    found: dict[int, list[Mpz]] = {}
    parts = run_parallel(jobs) if is_worth_threads(modulus) else [job() for job in jobs]
    for part in parts:
        found.update(part)
    return [found[j] for j in range(len(bins))]


def _check_codes(codes: Ints, bins: Sequence[int], rows: int) -> Ints:
    array = np.asarray(codes)
    if array.ndim != 2 or array.shape != (rows, len(bins)) or array.dtype.kind not in "iu":
        raise CryptoError(
            f"bin codes are {array.dtype} {array.shape}; allowed: integers ({rows}, {len(bins)})"
        )
    if array.size and ((array < 0).any() or (array >= np.asarray(bins)).any()):
        raise CryptoError("a bin code is outside the bins of its feature")
    return array.astype(np.int64, copy=False)


def _group(rows: int, bins: Sequence[int]) -> list[list[int]]:
    """Features in groups: one joint histogram of a group is cheaper than its members' own."""
    groups: list[tuple[list[int], int]] = []
    for feature in sorted(range(len(bins)), key=lambda j: bins[j]):
        for index, (members, cells) in enumerate(groups):
            joint = cells * max(1, bins[feature])
            # Members save `rows` products each but one; each is read off the cells instead.
            before = rows + len(members) * cells if len(members) > 1 else rows
            if rows + (len(members) + 1) * joint < before + rows:
                groups[index] = ([*members, feature], joint)
                break
        else:
            groups.append(([feature], max(1, bins[feature])))
    return [members for members, _ in groups]


def _histograms(
    items: Sequence[Mpz], codes: Ints, bins: Sequence[int], group: Sequence[int], modulus: Mpz
) -> dict[int, list[Mpz]]:
    if len(group) == 1:
        (feature,) = group
        return {feature: _by_code(items, codes[:, feature], bins[feature], modulus)}
    shape = [max(1, bins[feature]) for feature in group]
    joint = np.ravel_multi_index([codes[:, feature] for feature in group], shape)
    cells, inverse = np.unique(joint, return_inverse=True)
    products = _by_code(items, inverse.reshape(-1).astype(np.int64), len(cells), modulus)
    own = np.unravel_index(cells, shape)
    return {
        feature: _by_code(products, own[position].astype(np.int64), bins[feature], modulus)
        for position, feature in enumerate(group)
    }


def _by_code(items: Sequence[Mpz], codes: Ints, count: int, modulus: Mpz) -> list[Mpz]:
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(count + 1)).tolist()
    rows = order.tolist()
    return [
        product((items[row] for row in rows[start:end]), modulus)
        for start, end in itertools.pairwise(edges)
    ]
