from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.crypto.cipher_column import CipherColumn
from fate_flow.errors import CryptoError
from fate_flow.federation.codec import decode, encode
from tests.unit.crypto.keys import private_key

KEY = private_key()
PUBLIC = KEY.public


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=6), st.integers(0, 60))
def test_columns_survive_the_wire(values: list[float], exponent: int) -> None:
    column = CipherColumn.encrypt(np.array(values), KEY, exponent=exponent)
    received = CipherColumn.from_arrow(decode(encode(column.to_arrow())), PUBLIC)
    assert received.exponent == exponent
    assert received.items == column.items
    assert received.decrypt(KEY).tolist() == column.decrypt(KEY).tolist()


def test_a_slice_of_a_batch_is_read_at_its_offset() -> None:
    batch = CipherColumn.encrypt(np.arange(6.0), KEY).to_arrow().slice(2, 3)
    assert CipherColumn.from_arrow(batch, PUBLIC).decrypt(KEY).tolist() == [2.0, 3.0, 4.0]


def test_the_schema_says_what_it_is_and_little_about_the_data() -> None:
    small = CipherColumn.encrypt(np.array([0.001]), KEY).to_arrow().schema
    large = CipherColumn.encrypt(np.array([9e6]), KEY).to_arrow().schema
    assert small == large
    assert small.metadata == large.metadata
    assert small.metadata[b"fingerprint"].decode() == PUBLIC.fingerprint
    assert small.metadata[b"exponent"] == b"40"
    assert small.field("c").type == pa.binary(PUBLIC.width)


def batch_of(rows: list[bytes | None], name: str = "c", **metadata: str) -> pa.RecordBatch:
    good = CipherColumn.encrypt(np.ones(1), KEY).to_arrow().schema.metadata
    merged = {**good, **{key.encode(): value.encode() for key, value in metadata.items()}}
    array = pa.array(rows, pa.binary(len(rows[0] or b"x")))
    return pa.RecordBatch.from_arrays([array], schema=pa.schema({name: array.type}, merged))


def number(value: int) -> bytes:
    return int(value).to_bytes(PUBLIC.width, "big")


GOOD = number(5)


@pytest.mark.parametrize(
    "batch",
    [
        None,
        pa.table({"c": [GOOD]}),
        batch_of([GOOD], fingerprint="0" * 16),
        batch_of([GOOD], exponent="many"),
        batch_of([GOOD], exponent="5000"),
        batch_of([GOOD], exponent=""),
        batch_of([GOOD], bound_bits="-1"),
        batch_of([GOOD], bound_bits="512"),
        batch_of([GOOD], bound_bits="9" * 5000),
        batch_of([GOOD], name="d"),
        batch_of([GOOD[1:]]),
        batch_of([GOOD, None]),
        batch_of([GOOD, number(0)]),
        batch_of([number(int(PUBLIC.n_squared))]),
        batch_of([b"\xff" * PUBLIC.width]),
        batch_of([GOOD, number(int(PUBLIC.n))]),
        batch_of([number(int(KEY._p) * 3)]),
        CipherColumn.encrypt(np.ones(1), KEY).to_arrow().replace_schema_metadata(None),
    ],
)
def test_tampered_batches_are_refused(batch: Any) -> None:
    with pytest.raises(CryptoError):
        CipherColumn.from_arrow(batch, PUBLIC)


def test_a_flipped_bit_does_not_pass_as_a_value() -> None:
    batch = CipherColumn.encrypt(np.ones(1), KEY).to_arrow()
    row = bytearray(batch.column(0)[0].as_py())
    row[-1] ^= 1
    damaged = CipherColumn.from_arrow(batch_of([bytes(row)]), PUBLIC)
    with pytest.raises(CryptoError, match="beyond its bound"):
        damaged.decrypt(KEY)
