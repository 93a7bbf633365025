"""Ciphertexts at rest and in transit: fixed-width bytes in an Arrow record batch.

Layout: one non-null column ``c`` of ``fixed_size_binary[key.width]``, big endian; schema
metadata ``fingerprint`` (of the key), ``exponent`` and ``bound_bits`` (plaintext magnitudes
stay below ``2**bound_bits``, in steps of 64 so that it shows little of the data).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from fate_flow.crypto.fixed_point import check_exponent
from fate_flow.crypto.integers import Mpz, check_units, from_bytes, to_bytes
from fate_flow.crypto.paillier import PublicKey
from fate_flow.errors import CryptoError

_COLUMN = "c"
_BOUND_STEP = 64
_WHAT = "received ciphertexts"


def rounded_bound(magnitude: int, key: PublicKey) -> int:
    """The next bound of a full step of bits, or what the key holds when that is less.

    A magnitude beyond what the key holds is given back as it is.
    """
    if magnitude > key.capacity:
        return magnitude
    steps = max(1, -(-int(magnitude).bit_length() // _BOUND_STEP))
    return min((1 << (steps * _BOUND_STEP)) - 1, key.capacity)


def write(items: Sequence[Mpz], key: PublicKey, exponent: int, bound: int) -> pa.RecordBatch:
    """The record batch of some ciphertexts."""
    buffer = pa.py_buffer(to_bytes(items, key.width))
    array = pa.Array.from_buffers(pa.binary(key.width), len(items), [None, buffer])
    schema = pa.schema(
        [pa.field(_COLUMN, pa.binary(key.width), nullable=False)],
        metadata={
            "fingerprint": key.fingerprint,
            "exponent": str(exponent),
            "bound_bits": str(bound.bit_length()),
        },
    )
    return pa.RecordBatch.from_arrays([array], schema=schema)


def read(batch: pa.RecordBatch, key: PublicKey) -> tuple[list[Mpz], int, int]:
    """Ciphertexts, exponent and bound of a batch that a peer sent.

    Raises:
        CryptoError: another key, another layout, or numbers that no encryption gives (outside
            1 .. n**2 - 1, or sharing a factor with n).
    """
    if not isinstance(batch, pa.RecordBatch):
        raise CryptoError(f"{_WHAT} are a {type(batch).__name__}; allowed: a record batch")
    metadata = batch.schema.metadata or {}
    fingerprint = metadata.get(b"fingerprint", b"").decode(errors="replace")
    if fingerprint != key.fingerprint:
        raise CryptoError(f"{_WHAT} are of key {fingerprint[:16]!r}, not {key.fingerprint}")
    exponent = check_exponent(_header_number(metadata, b"exponent"))
    bits = _header_number(metadata, b"bound_bits")
    if not 0 <= bits <= key.capacity.bit_length():
        raise CryptoError(f"{_WHAT} claim {bits} bits, more than the key holds")
    if batch.schema.names != [_COLUMN] or batch.schema.types != [pa.binary(key.width)]:
        raise CryptoError(f"{_WHAT} are not one column of {key.width} bytes each")
    column = batch.column(0)
    if column.null_count:
        raise CryptoError(f"{_WHAT} have missing rows")
    items: list[Mpz] = []
    if len(column):
        start = column.offset * key.width
        data = memoryview(column.buffers()[1])[start : start + len(column) * key.width]
        items = from_bytes(data, key.width)
    check_units(items, key.n_squared, key.n, _WHAT)
    return items, exponent, min((1 << bits) - 1, key.capacity)


def _header_number(metadata: dict[bytes, bytes], name: bytes) -> int:
    text = metadata.get(name, b"")
    try:
        if len(text) > 8:
            raise ValueError
        return int(text)
    except ValueError:
        raise CryptoError(f"{_WHAT} have no readable {name.decode()}") from None
