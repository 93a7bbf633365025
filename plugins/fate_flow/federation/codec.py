"""Encoding of values that cross between parties; nothing is ever unpickled.

A value is a JSON header plus raw buffers: containers and scalars stand in the
header, each bytes object, numpy array and Arrow table is a buffer that the header
refers to. Object arrays are refused, so is anything else that would need a class.

Layout: ``b"FFV1"``, header length (u32, little endian), header (UTF-8 JSON), then
the buffers, each starting at a multiple of 8. Every buffer is referred to exactly once.

What comes in is a stranger's: every field of the header is checked for its type and range
before it is used, and whatever is wrong ends in one error, :class:`ProtocolError`.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from fate_flow.errors import ProtocolError

_MAGIC = b"FFV1"
_ALIGN = 8
#: Containers deeper than this are refused, so that a hostile header cannot exhaust the stack.
_MAX_DEPTH = 32
_MAX_DIMENSIONS = 32
_DTYPE_KINDS = "biufSU"
#: Integers up to here are the same in every JSON reader.
_MAX_JSON_INT = 2**53
_HEX = re.compile(r"-?[0-9a-f]+")
#: An array from a bytearray is not copied above this size, it keeps the message alive instead.
_COPY_BELOW = 1 << 20


def encode(value: Any) -> bytes:
    """Bytes of a value.

    Lists and tuples both arrive as lists, numpy scalars as Python numbers.

    Raises:
        TypeError: a leaf that may not cross (object arrays, classes, None at the top).
    """
    if value is None:
        raise TypeError("None cannot be sent to a peer")
    buffers: list[memoryview] = []
    tree = _encode(value, buffers, 0)
    header = json.dumps(
        {"v": tree, "b": [len(b) for b in buffers]}, separators=(",", ":"), allow_nan=False
    ).encode()
    if len(header) >= 2**32:
        raise TypeError("the value has too many small parts to be sent; use an array or a table")
    parts: list[bytes | memoryview] = [_MAGIC, struct.pack("<I", len(header)), header]
    position = 8 + len(header)
    for buffer in buffers:
        padding = -position % _ALIGN
        parts += [b"\0" * padding, buffer]
        position += padding + len(buffer)
    return b"".join(parts)


def _encode(value: Any, buffers: list[memoryview], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise TypeError("value is nested too deeply to be sent")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        number = int(value)
        # Hexadecimal: linear, and not subject to Python's limit for decimal digits.
        return number if abs(number) < _MAX_JSON_INT else {"$": "int", "v": format(number, "x")}
    if isinstance(value, (float, np.floating)):
        return {"$": "float", "v": float(value).hex()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        view = memoryview(value)
        return _reference("bytes", view if view.c_contiguous else memoryview(bytes(view)), buffers)
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


def _reference(kind: str, data: memoryview, buffers: list[memoryview], **more: Any) -> Any:
    # cast() refuses views with a zero in their shape.
    buffers.append(data.cast("B") if data.nbytes else memoryview(b""))
    return {"$": kind, "i": len(buffers) - 1, **more}


def _encode_array(value: np.ndarray[Any, Any], buffers: list[memoryview]) -> Any:
    if value.dtype.kind not in _DTYPE_KINDS:
        raise TypeError(f"an array of {value.dtype} cannot be sent to a peer")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("a masked array cannot be sent to a peer: its mask would be lost")
    if value.dtype.itemsize == 0:
        value = value.astype(f"{value.dtype.kind}1")
    flat = np.ascontiguousarray(value).reshape(-1)
    return _reference(
        "array",
        flat.view(np.uint8).data if flat.size else memoryview(b""),
        buffers,
        dtype=value.dtype.str,
        shape=list(value.shape),
    )


def _encode_arrow(value: pa.Table | pa.RecordBatch, buffers: list[memoryview]) -> Any:
    _check_schema(value.schema, TypeError)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write(value)
    kind = "table" if isinstance(value, pa.Table) else "batch"
    return _reference(kind, memoryview(sink.getvalue()), buffers)


def decode(data: bytes | bytearray | memoryview) -> Any:
    """The value of some bytes from a peer.

    Arrays can be written to. Large ones from a ``bytearray`` share its memory: whoever
    passes one gives it away.

    Raises:
        ProtocolError: not an encoded value, or a damaged one.
    """
    try:
        view = memoryview(data).cast("B")
        header, start = _read_header(view)
        buffers = _cut(view, header["b"], start)
        decoder = _Decoder(buffers, share=isinstance(data, bytearray))
        value = decoder.decode(header["v"], 0)
        if decoder.unused:
            raise ValueError("a buffer belongs to nothing")
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        ArithmeticError,
        MemoryError,
        RecursionError,
        OSError,  # what Arrow raises for a damaged stream
        struct.error,
        pa.ArrowException,
    ) as error:
        text = str(error)[:200] or type(error).__name__
        raise ProtocolError(f"a peer sent a value that cannot be read: {text}") from None
    if value is None:
        raise ProtocolError("a peer sent a value that cannot be read: it is empty")
    return value


def _read_header(view: memoryview) -> tuple[dict[str, Any], int]:
    if bytes(view[:4]) != _MAGIC:
        raise ValueError("no value header")
    (length,) = struct.unpack("<I", view[4:8])
    if 8 + length > len(view):
        raise ValueError("the header is cut off")
    header = json.loads(bytes(view[8 : 8 + length]), parse_constant=_refuse, parse_float=_refuse)
    if not isinstance(header, dict) or header.keys() != {"v", "b"}:
        raise ValueError("the header has other parts than values and sizes")
    return header, 8 + length


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not allowed in a header")


def _cut(view: memoryview, sizes: Any, position: int) -> list[memoryview]:
    if not isinstance(sizes, list):
        raise ValueError("sizes are not a list")
    buffers = []
    for size in sizes:
        position += -position % _ALIGN
        if not _is_count(size) or position + size > len(view):
            raise ValueError("a buffer is longer than the message")
        buffers.append(view[position : position + size])
        position += size
    if position != len(view):
        raise ValueError("bytes are left over, or missing")
    return buffers


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class _Decoder:
    """Builds the value of a header; hands out every buffer once."""

    def __init__(self, buffers: list[memoryview], *, share: bool) -> None:
        self._buffers: list[memoryview] = buffers
        self._share = share
        self.unused = set(range(len(buffers)))
        self._kinds: dict[str, Callable[[dict[str, Any], int], Any]] = {
            "map": self._map,
            "int": lambda node, depth: _integer(node["v"]),
            "float": lambda node, depth: float.fromhex(_text(node["v"])),
            "bytes": lambda node, depth: bytes(self._buffer(node)),
            "array": self._array,
            "table": lambda node, depth: self._table(node),
            "batch": lambda node, depth: _only_batch(self._table(node)),
        }

    def decode(self, node: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        if isinstance(node, list):
            return [self.decode(item, depth + 1) for item in node]
        if isinstance(node, dict):
            kind = self._kinds.get(_text(node["$"]))
            if kind is None:
                raise ValueError(f"unknown kind {node['$'][:40]!r}")
            return kind(node, depth)
        if isinstance(node, int) and not isinstance(node, bool) and abs(node) >= _MAX_JSON_INT:
            raise ValueError("an integer is too large")
        return node

    def _map(self, node: dict[str, Any], depth: int) -> dict[str, Any]:
        items = node["v"]
        if not isinstance(items, dict):
            raise ValueError("an object has no entries")
        return {key: self.decode(item, depth + 1) for key, item in items.items()}

    def _buffer(self, node: dict[str, Any]) -> memoryview:
        index = node["i"]
        if not _is_count(index) or index not in self.unused:
            raise ValueError("a buffer is used twice, or does not exist")
        self.unused.discard(index)
        buffer: memoryview = self._buffers[index]
        return buffer

    def _array(self, node: dict[str, Any], depth: int) -> np.ndarray[Any, Any]:
        buffer = self._buffer(node)
        dtype = np.dtype(_text(node["dtype"]))
        if dtype.kind not in _DTYPE_KINDS or dtype.hasobject or dtype.itemsize == 0:
            raise ValueError("the type of an array is not allowed")
        shape = node["shape"]
        if (
            not isinstance(shape, list)
            or len(shape) > _MAX_DIMENSIONS
            or not all(map(_is_count, shape))
            or math.prod(shape) * dtype.itemsize != len(buffer)
        ):
            raise ValueError("the shape of an array does not match its bytes")
        if not buffer:
            return np.empty(shape, dtype)
        array = np.frombuffer(buffer, dtype=dtype).reshape(shape)
        return array if self._share and len(buffer) >= _COPY_BELOW else array.copy()

    def _table(self, node: dict[str, Any]) -> pa.Table:
        with pa.ipc.open_stream(pa.py_buffer(self._buffer(node))) as reader:
            _check_schema(reader.schema, ValueError)
            table = reader.read_all()
        table.validate(full=True)
        return table


def _integer(text: Any) -> int:
    if not _HEX.fullmatch(_text(text)):
        raise ValueError("an integer is not hexadecimal")
    return int(text, 16)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"found {type(value).__name__} where a text belongs")
    return value


def _check_schema(schema: pa.Schema, error: type[Exception]) -> None:
    """Extension types may run code of their own when they are read."""
    todo = [field.type for field in schema]
    while todo:
        kind = todo.pop()
        if isinstance(kind, pa.BaseExtensionType):
            raise error(f"a column of the extension type {kind} cannot be sent to a peer")
        if pa.types.is_dictionary(kind):
            todo.append(kind.value_type)
        todo += [kind.field(i).type for i in range(kind.num_fields)]


def _only_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
