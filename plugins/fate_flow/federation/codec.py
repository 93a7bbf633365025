"""Encoding of values that cross between parties; nothing is ever unpickled.

A value is a JSON header plus raw buffers: containers and scalars stand in the
header, each bytes object, numpy array and Arrow table is a buffer that the header
refers to. Object arrays are refused, so is anything else that would need a class.

Layout: ``b"FFV1"``, header length (u32, little endian), header (UTF-8 JSON), then
the buffers, each starting at a multiple of 8.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.errors import ProtocolError

_MAGIC = b"FFV1"
_ALIGN = 8
#: Containers deeper than this are refused, so that a hostile header cannot exhaust the stack.
_MAX_DEPTH = 32
_DTYPE_KINDS = "biufSU"


def encode(value: Any) -> bytes:
    """Bytes of a value.

    Raises:
        TypeError: a leaf that may not cross (object arrays, classes, None at the top).
    """
    if value is None:
        raise TypeError("None cannot be sent to a peer")
    buffers: list[bytes | memoryview] = []
    tree = _encode(value, buffers, 0)
    header = json.dumps(
        {"v": tree, "b": [len(memoryview(b).cast("B")) for b in buffers]}, separators=(",", ":")
    ).encode()
    parts: list[bytes | memoryview] = [_MAGIC, struct.pack("<I", len(header)), header]
    position = 8 + len(header)
    for buffer in buffers:
        padding = -position % _ALIGN
        parts += [b"\0" * padding, buffer]
        position += padding + len(memoryview(buffer).cast("B"))
    return b"".join(parts)


def _encode(value: Any, buffers: list[bytes | memoryview], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise TypeError("value is nested too deeply to be sent")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        number = int(value)
        return number if abs(number) < 2**53 else {"$": "int", "v": str(number)}
    if isinstance(value, (float, np.floating)):
        return {"$": "float", "v": float(value).hex()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _reference("bytes", bytes(value), buffers)
    if isinstance(value, np.ndarray):
        return _encode_array(value, buffers)
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return _encode_arrow(value, buffers)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys of an object that is sent must be texts")
        return {
            "$": "map",
            "v": {key: _encode(item, buffers, depth + 1) for key, item in value.items()},
        }
    if isinstance(value, (list, tuple)):
        return [_encode(item, buffers, depth + 1) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be sent to a peer")


def _reference(
    kind: str, data: bytes | memoryview, buffers: list[bytes | memoryview], **more: Any
) -> Any:
    buffers.append(data)
    return {"$": kind, "i": len(buffers) - 1, **more}


def _encode_array(value: np.ndarray[Any, Any], buffers: list[bytes | memoryview]) -> Any:
    if value.dtype.kind not in _DTYPE_KINDS:
        raise TypeError(f"an array of {value.dtype} cannot be sent to a peer")
    data = np.ascontiguousarray(value)
    return _reference(
        "array", data.tobytes(), buffers, dtype=data.dtype.str, shape=list(value.shape)
    )


def _encode_arrow(value: pa.Table | pa.RecordBatch, buffers: list[bytes | memoryview]) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write(value)
    kind = "table" if isinstance(value, pa.Table) else "batch"
    return _reference(kind, memoryview(sink.getvalue()), buffers)


def decode(data: bytes | bytearray | memoryview) -> Any:
    """The value of some bytes from a peer.

    Raises:
        ProtocolError: not an encoded value, or a damaged one.
    """
    view = memoryview(data).cast("B")
    try:
        if bytes(view[:4]) != _MAGIC:
            raise ValueError("no value header")
        (length,) = struct.unpack("<I", view[4:8])
        header = json.loads(bytes(view[8 : 8 + length]))
        position = 8 + length
        buffers = []
        for size in header["b"]:
            position += -position % _ALIGN
            if not isinstance(size, int) or size < 0 or position + size > len(view):
                raise ValueError("a buffer is longer than the message")
            buffers.append(view[position : position + size])
            position += size
        if position != len(view):
            raise ValueError("bytes are left over")
        return _decode(header["v"], buffers, 0)
    except (ValueError, KeyError, TypeError, IndexError, struct.error, pa.ArrowException) as error:
        raise ProtocolError(f"a peer sent a value that cannot be read: {error}") from None


def _decode(node: Any, buffers: list[memoryview], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(node, list):
        return [_decode(item, buffers, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    kind = node["$"]
    if kind == "map":
        return {key: _decode(item, buffers, depth + 1) for key, item in node["v"].items()}
    if kind == "int":
        return int(node["v"])
    if kind == "float":
        return float.fromhex(node["v"])
    buffer = buffers[node["i"]]
    if kind == "bytes":
        return bytes(buffer)
    if kind == "array":
        dtype = np.dtype(node["dtype"])
        if dtype.kind not in _DTYPE_KINDS or dtype.hasobject:
            raise ValueError("array type is not allowed")
        return np.frombuffer(buffer, dtype=dtype).reshape(node["shape"]).copy()
    if kind in ("table", "batch"):
        table = pa.ipc.open_stream(pa.py_buffer(buffer)).read_all()
        table.validate(full=True)
        return table if kind == "table" else _only_batch(table)
    raise ValueError(f"unknown kind {kind!r}")


def _only_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
