from __future__ import annotations

import contextlib
import json
import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fate_flow.errors import ProtocolError
from fate_flow.federation.codec import decode, encode

_DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.byte_string_dtypes(min_len=1, max_len=4),
    hnp.unicode_string_dtypes(min_len=1, max_len=4),
)
_ARRAYS = hnp.arrays(_DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
_SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.none(), _ARRAYS
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
).filter(lambda value: value is not None)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return bool(
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
            and b.flags.writeable
        )
    if isinstance(a, float):
        return isinstance(b, float) and (a == b or (math.isnan(a) and math.isnan(b)))
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return type(a) is type(b) and bool(a == b)


def _message(tree: Any, buffers: list[bytes] = [], **more: Any) -> bytes:  # noqa: B006
    header = json.dumps({"v": tree, "b": [len(b) for b in buffers], **more}).encode()
    data = b"FFV1" + struct.pack("<I", len(header)) + header
    for buffer in buffers:
        data += b"\0" * (-len(data) % 8) + buffer
    return data


@given(_VALUES)
@settings(deadline=None)
def test_what_is_sent_arrives(value: Any) -> None:
    assert _same(value, decode(encode(value)))
    assert _same(value, decode(bytearray(encode(value))))


@given(_VALUES, st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_value_is_an_error_or_another_value_but_no_traceback(
    value: Any, data: st.DataObject
) -> None:
    message = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(message) - 1))
        message[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    for damaged in (message, message[:cut], message + message[:cut]):
        with contextlib.suppress(ProtocolError):
            decode(bytes(damaged))


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for message in (data, b"FFV1" + data, b"FFV1" + struct.pack("<I", len(data)) + data):
        with pytest.raises(ProtocolError):
            decode(message)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$", "v", "i", "dtype", "shape", "x"]), inner, max_size=4
        )
        | st.fixed_dictionaries(
            {
                "$": st.sampled_from(["map", "int", "float", "bytes", "array", "table", "batch"]),
                "v": inner,
                "i": inner | st.integers(-2, 2),
                "dtype": inner | st.sampled_from(["<f8", "O", "V8", "i4,i4", "S0", "U0", ">u2"]),
                "shape": inner | st.lists(st.integers(-1, 2**40), max_size=3),
            }
        )
    ),
    max_leaves=20,
)


@given(_JSON, st.lists(st.binary(max_size=40), max_size=2))
@settings(deadline=None, max_examples=300)
def test_hostile_headers_are_refused_or_harmless(tree: Any, buffers: list[bytes]) -> None:
    try:
        value = decode(_message(tree, buffers))
    except ProtocolError:
        return
    assert encode(value)


@given(st.binary(max_size=60), st.data())
@settings(deadline=None, max_examples=200)
def test_damaged_arrow_is_refused_or_harmless(data: bytes, draw: st.DataObject) -> None:
    table = pa.table({"id": ["a", "b"], "x": [1.0, None], "l": [[1], [2, 3]]})
    message = bytearray(encode(table))
    start = draw.draw(st.integers(8, len(message) - 1))
    message[start : start + len(data)] = data
    with contextlib.suppress(ProtocolError):
        decode(bytes(message)).validate(full=True)


@pytest.mark.parametrize(
    ("tree", "buffers", "reason"),
    [
        ({"$": "array", "i": 0, "dtype": "O", "shape": [1]}, [b"12345678"], "type of an array"),
        ({"$": "array", "i": 0, "dtype": "<f8", "shape": [-1]}, [b"12345678"], "shape"),
        ({"$": "array", "i": 0, "dtype": "<f8", "shape": [2]}, [b"12345678"], "shape"),
        ({"$": "array", "i": 0, "dtype": "S0", "shape": [2**50]}, [b""], "type of an array"),
        ([{"$": "bytes", "i": 0}, {"$": "bytes", "i": 0}], [b"x"], "used twice"),
        ({"$": "bytes", "i": -1}, [b"x"], "does not exist"),
        ({"$": "bytes", "i": True}, [b"x", b"y"], "does not exist"),
        (1, [b"x"], "belongs to nothing"),
        ({"$": "int", "v": "1_0"}, [], "hexadecimal"),
        ({"$": "int", "v": 3}, [], "where a text belongs"),
        ({"$": "float", "v": "0x1p99999"}, [], "cannot be read"),
        (1.5, [], "not allowed"),
        (2**60, [], "too large"),
        ({"$": "pickle", "v": ""}, [], "unknown kind 'pickle'"),
        (None, [], "empty"),
    ],
)
def test_reasons(tree: Any, buffers: list[bytes], reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        decode(_message(tree, buffers))


def test_nesting_is_bounded_in_both_directions() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(TypeError, match="deeply"):
        encode(deep)
    with pytest.raises(ProtocolError):
        decode(_message(deep))
    brackets = b'{"b":[],"v":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    with pytest.raises(ProtocolError):
        decode(b"FFV1" + struct.pack("<I", len(brackets)) + brackets)


def test_a_large_integer_is_not_limited_by_decimal_digits() -> None:
    number = -(3**20_000)
    assert decode(encode({"n": number})) == {"n": number}


@pytest.mark.parametrize(
    "value",
    [
        None,
        object(),
        np.array([object()]),
        np.ma.masked_array([1, 2], [False, True]),
        {1: "x"},
        np.array(["2020-01-01"], "M8[D]"),
        {"a": {1, 2}},
    ],
)
def test_what_may_not_cross(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_extension_types_are_refused() -> None:
    column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16], pa.binary(16)))
    table = pa.table({"u": column})
    with pytest.raises(TypeError, match="extension"):
        encode(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    with pytest.raises(ProtocolError, match="extension"):
        decode(_message({"$": "table", "i": 0}, [sink.getvalue().to_pybytes()]))


def test_tables_batches_and_views() -> None:
    table = pa.table({"id": ["a", "b"], "x": [1.0, None]}, metadata={"k": "v"})
    back = decode(encode({"t": table, "n": np.bool_(True), "f": np.float32(0.5)}))
    assert back["t"].equals(table, check_metadata=True)
    assert back["n"] is True
    assert back["f"] == 0.5
    batch = table.to_batches()[0]
    assert decode(encode(batch)).equals(batch)
    assert decode(encode(batch.slice(0, 0))).num_rows == 0
    assert decode(encode(memoryview(b"abcdef")[::2])) == b"ace"
    assert decode(encode(np.arange(6).reshape(2, 3).T)).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert decode(encode((1, "x"))) == [1, "x"]


def test_a_large_array_shares_the_memory_of_its_bytearray() -> None:
    array = np.arange(200_000, dtype=np.float64)
    message = bytearray(encode(array))
    back = decode(message)
    back[0] = 7.0
    assert struct.unpack("<d", message[-array.nbytes : -array.nbytes + 8]) == (7.0,)
    assert decode(bytes(encode(array))).flags.writeable
