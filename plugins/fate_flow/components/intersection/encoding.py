"""Hashing of ids for raw intersections."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pyarrow as pa

from fate_flow.components.intersection.params import EncodeParam


def encode_ids(ids: pa.Array, param: EncodeParam) -> pa.Array:
    """Digests of id + salt, hex or base64, in the order of ``ids`` (string arrays).

    A hash hides an id only as far as ids cannot be guessed: short ids, such as telephone
    numbers, are found by trying them all. The methods rsa and ecdh have no such weakness.
    """
    if param.encode_method == "none":
        return ids
    digest = _digest_of(param)
    salt = param.salt.encode()
    return pa.array((digest(text.encode() + salt) for text in ids.to_pylist()), type=pa.string())


def _digest_of(param: EncodeParam) -> Callable[[bytes], str]:
    new = getattr(hashlib, param.encode_method)

    def as_hex(data: bytes) -> str:
        return str(new(data, usedforsecurity=False).hexdigest())

    def as_base64(data: bytes) -> str:
        return base64.b64encode(new(data, usedforsecurity=False).digest()).decode()

    return as_base64 if param.base64 else as_hex
