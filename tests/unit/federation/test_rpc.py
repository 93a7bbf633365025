from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from fate_flow.federation import rpc
from fate_flow.federation.proto import gateway_pb2 as pb

_SIZES = st.sampled_from([0, 1, 127, 128, 129, 16_383, 16_384, 1 << 20])


@given(_SIZES, st.sampled_from([pb.SendRequest, pb.ReceiveReply]))
def test_pieces_are_written_and_read_as_protobuf_does(size: int, kind: Any) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    written = rpc._writer(kind)(memoryview(data))
    assert kind.FromString(written).data == data
    if size:
        assert written == kind(data=data).SerializeToString()
    assert bytes(rpc._reader(kind, pieces=True)(written)) == data


@given(st.binary(max_size=40))
def test_bytes_of_a_stranger_are_read_as_protobuf_does(data: bytes) -> None:
    read = rpc._reader(pb.SendRequest, pieces=True)
    for message in (data, b"\x12" + data):
        try:
            expected = pb.SendRequest.FromString(message)
        except DecodeError:
            with pytest.raises(DecodeError):
                read(message)
            continue
        found = read(message)
        if expected.HasField("header"):
            assert found == expected
        else:
            assert bytes(found) == expected.data


def test_messages_with_a_header_stay_messages() -> None:
    message = pb.SendRequest(header=pb.SendHeader(variable="v"), data=b"x")
    assert rpc._reader(pb.SendRequest, pieces=True)(message.SerializeToString()) == message
    assert rpc._reader(pb.SendRequest, pieces=False)(b"\x12\x01x") == pb.SendRequest(data=b"x")


def test_an_unknown_method_has_a_clear_name() -> None:
    class Channel:
        def __getattr__(self, name: str) -> Any:
            return lambda *args, **options: name

    stub: Any = rpc.Stub("Gateway", Channel())
    assert (stub.Put, stub.Send, stub.Receive) == ("unary_unary", "stream_unary", "unary_stream")
    assert stub.Attach == "stream_stream"
    with pytest.raises(AttributeError, match="no method Steal"):
        _ = stub.Steal
