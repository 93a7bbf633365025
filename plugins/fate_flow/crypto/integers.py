"""Vectors of big integers: bytes, batch inversion, products, and work on several cores.

gmpy2 gives up the interpreter lock inside a multiplication when the context says so;
from about 2,000-bit operands on, threads then use the cores nearly fully.
"""

from __future__ import annotations

import functools
import os
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import gmpy2
import numpy as np

from fate_flow.errors import CryptoError

#: gmpy2 has no type stubs; an ``Mpz`` is a ``gmpy2.mpz``.
Mpz = Any
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_Result = TypeVar("_Result")

#: More threads than this spend their time on the interpreter lock.
_MAX_THREADS = 8
#: Shorter moduli (bits) are multiplied with so fast that threads only contend for the lock.
_WORTH_THREADS = 3000
_pool: ThreadPoolExecutor | None = None


def threads() -> int:
    """Number of threads that big-integer work is spread over."""
    if hasattr(os, "sched_getaffinity"):
        return min(_MAX_THREADS, len(os.sched_getaffinity(0)))
    return min(_MAX_THREADS, os.cpu_count() or 1)


def _forget_pool() -> None:
    global _pool  # noqa: PLW0603
    _pool = None


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: a child starts its own.
    os.register_at_fork(after_in_child=_forget_pool)


def _released(work: Callable[[], _Result]) -> _Result:
    with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
        return work()


def run_parallel(jobs: Sequence[Callable[[], _Result]]) -> list[_Result]:
    """Results of ``jobs`` in order, on several threads when there is more than one job."""
    global _pool  # noqa: PLW0603
    if len(jobs) < 2 or threads() == 1:
        return [job() for job in jobs]
    if _pool is None:
        _pool = ThreadPoolExecutor(threads(), thread_name_prefix="big-integers")
    return list(_pool.map(_released, jobs))


def _chunks(items: Sequence[Mpz], minimum: int) -> list[Sequence[Mpz]]:
    """Consecutive chunks, one per thread, none but the last shorter than ``minimum``."""
    size = max(minimum, -(-len(items) // threads()))
    return [items[start : start + size] for start in range(0, len(items), size)]


def is_worth_threads(modulus: Mpz) -> bool:
    """Whether a product mod ``modulus`` takes long enough to hand over the lock meanwhile."""
    return bool(modulus.bit_length() >= _WORTH_THREADS)


def map_chunks(
    work: Callable[[Sequence[Mpz]], list[Mpz]],
    items: Sequence[Mpz],
    modulus: Mpz,
    minimum: int = 8,
) -> list[Mpz]:
    """``work`` on consecutive chunks of ``items``, joined again.

    Args:
        work: computes with products mod ``modulus``.
        minimum: items that one thread should have at least.
    """
    if not is_worth_threads(modulus) or len(items) <= minimum or threads() == 1:
        return work(items)
    chunks = _chunks(items, minimum)
    results = run_parallel([functools.partial(work, chunk) for chunk in chunks])
    return [item for result in results for item in result]


def power_all(bases: Sequence[Mpz], exponent: Mpz, modulus: Mpz) -> list[Mpz]:
    """``base ** exponent mod modulus`` of every base, exponent >= 0."""
    # One call of gmpy2 per chunk, with the lock given up throughout: always worth threads.
    jobs = [
        functools.partial(gmpy2.powmod_base_list, list(chunk), exponent, modulus)
        for chunk in _chunks(bases, 4)
    ]
    return [power for powers in run_parallel(jobs) for power in powers]


def product(items: Iterable[Mpz], modulus: Mpz) -> Mpz:
    """Product of all items mod ``modulus``; 1 for none."""
    result = gmpy2.mpz(1)
    for item in items:
        result = result * item % modulus
    return result


def invert_all(items: Sequence[Mpz], modulus: Mpz) -> list[Mpz]:
    """Inverses mod ``modulus`` with one inversion and three products each (Montgomery's trick).

    Raises:
        CryptoError: an item shares a factor with the modulus.
    """
    prefix = []
    running = gmpy2.mpz(1)
    for item in items:
        prefix.append(running)
        running = running * item % modulus
    try:
        inverse = gmpy2.invert(running, modulus)
    except ZeroDivisionError:
        raise CryptoError("a value shares a factor with the key's modulus") from None
    result = [gmpy2.mpz(0)] * len(items)
    for index in range(len(items) - 1, -1, -1):
        result[index] = inverse * prefix[index] % modulus
        inverse = inverse * items[index] % modulus
    return result


def parse_hex(payload: Any, name: str, maximum_bits: int, what: str) -> Mpz:
    """A positive number in hex from a mapping that a peer sent.

    Raises:
        CryptoError: missing, not hex, or longer than ``maximum_bits``.
    """
    text = payload.get(name) if isinstance(payload, Mapping) else None
    if (
        not isinstance(text, str)
        or not 0 < len(text) <= maximum_bits // 4
        or not set(text) <= set(string.hexdigits)
    ):
        raise CryptoError(f"{what} has no readable {name} (hex, at most {maximum_bits} bits)")
    return gmpy2.mpz(text, 16)


def to_bytes(items: Sequence[Mpz], width: int) -> bytes:
    """All items as big-endian numbers of ``width`` bytes, one after the other."""
    return b"".join(item.to_bytes(width, "big") for item in items)


def from_bytes(data: bytes | memoryview, width: int) -> list[Mpz]:
    """Inverse of :func:`to_bytes`."""
    view = memoryview(data)
    parse = gmpy2.mpz.from_bytes
    return [parse(bytes(view[at : at + width]), "big") for at in range(0, len(view), width)]


def to_matrix(items: Sequence[Mpz], width: int) -> Bytes:
    """Items as a uint8 matrix of shape (n, width), big endian."""
    return np.frombuffer(to_bytes(items, width), dtype=np.uint8).reshape(len(items), width)


def from_matrix(matrix: Bytes, width: int, what: str) -> list[Mpz]:
    """Inverse of :func:`to_matrix` for a matrix from a peer.

    Raises:
        CryptoError: not a uint8 matrix of shape (n, width).
    """
    if (
        not isinstance(matrix, np.ndarray)
        or matrix.dtype != np.uint8
        or matrix.ndim != 2
        or matrix.shape[1] != width
    ):
        found = f"{matrix.dtype} {matrix.shape}" if isinstance(matrix, np.ndarray) else type(matrix)
        raise CryptoError(f"{what}: found {found}; allowed: bytes of shape (n, {width})")
    return from_bytes(np.ascontiguousarray(matrix).tobytes(), width)


def check_units(items: Sequence[Mpz], modulus: Mpz, n: Mpz, what: str) -> None:
    """Make sure that received numbers are units mod ``modulus`` (whose primes are those of ``n``).

    Raises:
        CryptoError: an item is not in 1 .. modulus - 1, or shares a factor with ``n``.
    """
    running = gmpy2.mpz(1)
    for index, item in enumerate(items):
        if not 0 < item < modulus:
            raise CryptoError(f"{what}: element {index} is outside the range of the key")
        running = running * item % n
    if gmpy2.gcd(running, n) != 1:
        raise CryptoError(f"{what}: an element shares a factor with the key's modulus")
