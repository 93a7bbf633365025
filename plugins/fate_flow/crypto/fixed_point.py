"""Fixed-point numbers: float64 values as integers with a common binary exponent.

``value = integer / 2**exponent``. Scaling a float by a power of two is exact, so the only
error is one rounding to the nearest integer: ``|value - decode(encode(value))| <=
2**-(exponent + 1)``, and none at all when the value is a multiple of ``2**-exponent``.
Decoding rounds once more, to the nearest float64 (relative error ``2**-53``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fate_flow.errors import CryptoError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

#: Binary exponent of a freshly encrypted real number: absolute error below 5e-13.
DEFAULT_EXPONENT = 40
#: Exponents outside are a mistake or an attack, not data.
MAX_EXPONENT = 4096
#: Fixed-point integers of a plaintext matrix stay inside int64.
MAX_BITS = 60


def as_vector(values: Any, length: int | None = None) -> Floats:
    """``values`` as a finite float64 vector.

    Raises:
        CryptoError: not one-dimensional, another length than ``length``, NaN or infinite.
    """
    vector: Floats = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or (length is not None and len(vector) != length):
        wanted = "(n,)" if length is None else f"({length},)"
        raise CryptoError(f"found numbers of shape {vector.shape}; allowed: {wanted}")
    _check_finite(vector)
    return vector


def as_matrix(values: Any, rows: int) -> Floats:
    """``values`` as a finite float64 matrix with ``rows`` rows (CryptoError otherwise)."""
    matrix: Floats = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) != rows:
        raise CryptoError(f"found a matrix of shape {matrix.shape}; allowed: ({rows}, d)")
    _check_finite(matrix)
    return matrix


def _check_finite(values: Floats) -> None:
    if not np.isfinite(values).all():
        bad = int(np.size(values) - np.isfinite(values).sum())
        raise CryptoError(
            f"{bad} of {np.size(values)} numbers are NaN or infinite and cannot be encrypted",
            remedy="Fill missing values and check the scale of the features first",
        )


def check_exponent(exponent: int) -> int:
    if isinstance(exponent, bool) or not isinstance(exponent, (int, np.integer)):
        raise CryptoError(f"exponent is {exponent!r}; allowed: an integer")
    if abs(exponent) > MAX_EXPONENT:
        raise CryptoError(f"exponent is {exponent}; allowed: -{MAX_EXPONENT} to {MAX_EXPONENT}")
    return int(exponent)


def encode(values: Floats, exponent: int) -> list[int]:
    """Integers nearest to ``values * 2**exponent`` (ties to even).

    Args:
        values: finite float64, shape (n,).

    Raises:
        CryptoError: NaN, infinite, or beyond the range of float64 after scaling.
    """
    vector = as_vector(values)
    with np.errstate(over="ignore"):
        scaled = np.rint(np.ldexp(vector, check_exponent(exponent)))
    if not np.isfinite(scaled).all():
        raise CryptoError(f"numbers are too large for a fixed point of 2**-{exponent}")
    if not len(scaled) or np.abs(scaled).max() < 2.0**62:
        integers: list[int] = scaled.astype(np.int64).tolist()
        return integers
    return [int(x) for x in scaled.tolist()]


def decode(integers: Iterable[int], exponent: int) -> Floats:
    """Floats nearest to ``integers / 2**exponent``, shape (n,); relative error 2**-53.

    Raises:
        CryptoError: a value is beyond the range of float64.
    """
    try:
        return np.array([_to_float(int(x), -exponent) for x in integers], dtype=np.float64)
    except OverflowError:
        raise CryptoError("a decrypted number is too large for a float64") from None


def _to_float(integer: int, shift: int) -> float:
    excess = abs(integer).bit_length() - 1000
    if excess > 0:
        # Keep 1,000 bits: what is cut off is far below the rounding of a float64.
        integer >>= excess
        shift += excess
    return math.ldexp(float(integer), shift)


def natural_shift(largest: float, bits: int) -> int:
    """The exponent at which a number of magnitude ``largest`` takes ``bits`` bits."""
    if largest == 0:
        return 0
    return bits - math.frexp(largest)[1]


def quantise(values: Floats, bits: int) -> tuple[Ints, int]:
    """Integers of ``bits`` bits at the values' own scale, and their exponent.

    The exponent is chosen so that the largest magnitude takes ``bits`` bits; trailing zero
    bits common to all values are dropped. Error of each value: at most
    ``2**-(exponent + 1) <= 2**-bits * max|values|``.

    Args:
        values: finite float64, any shape.
        bits: 1 to 60.

    Raises:
        CryptoError: ``bits`` out of range.
    """
    check_bits(bits)
    largest = float(np.abs(values).max()) if np.size(values) else 0.0
    if largest == 0.0:
        return np.zeros(np.shape(values), dtype=np.int64), 0
    shift = natural_shift(largest, bits)
    integers = np.rint(_ldexp(values, shift)).astype(np.int64)
    zeros = trailing_zeros(integers)
    return integers >> zeros, shift - zeros


def _ldexp(values: Floats, shift: int) -> Floats:
    # Two steps: one shift by more than 1,023 would overflow on the way to a normal number.
    half = shift // 2
    result: Floats = np.ldexp(np.ldexp(values, half), shift - half)
    return result


def check_bits(bits: int) -> None:
    if not 1 <= bits <= MAX_BITS:
        raise CryptoError(f"fixed-point bits are {bits}; allowed: 1 to {MAX_BITS}")


def trailing_zeros(integers: Ints) -> int:
    """Number of low bits that are zero in all integers; 0 when all are zero."""
    joined = int(np.bitwise_or.reduce(np.abs(integers), axis=None)) if integers.size else 0
    return (joined & -joined).bit_length() - 1 if joined else 0


def largest_magnitude(integers: Sequence[int]) -> int:
    return max((abs(x) for x in integers), default=0)


def as_integers(values: Any) -> list[int]:
    """An integer array of shape (n,), or a sequence of int, as a list of int.

    Raises:
        CryptoError: anything else.
    """
    if isinstance(values, np.ndarray):
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise CryptoError(f"found {values.dtype} {values.shape}; allowed: integers (n,)")
        integers: list[int] = values.tolist()
        return integers
    if not all(isinstance(x, (int, np.integer)) for x in values):
        raise CryptoError("a number is not an integer")
    return [int(x) for x in values]


def is_exact(vector: Floats, exponent: int) -> bool:
    """Whether all values are multiples of ``2**-exponent``."""
    with np.errstate(over="ignore"):
        scaled = np.ldexp(vector, exponent)
    return bool(np.array_equal(np.rint(scaled), scaled))
