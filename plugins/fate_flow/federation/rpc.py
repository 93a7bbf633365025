"""Stubs and handlers of our services, built from the descriptors of ``gateway.proto``.

grpc's own generator writes a check into its output that refuses older releases of grpcio;
the few lines here do the same work for any release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from fate_flow.federation.proto import gateway_pb2 as pb

#: Trailing metadata that carries the short name of an error.
ERROR_KEY = "fate-flow-error"
#: A party of the site whose gateway is meant, and what lets a task of another site in there.
HOME_KEY, TICKET_KEY = "fate-flow-home", "fate-flow-ticket"
_SERVICES = pb.DESCRIPTOR.services_by_name

#: Tag of the field ``bytes data = 2`` of SendRequest and ReceiveReply.
_DATA_TAG = 0x12
_CARRIERS = (pb.SendRequest, pb.ReceiveReply)

#: A piece of a value in a stream: a message that has nothing but ``data``.
Piece = bytes | memoryview


class Stub:
    """Callables of a service, one attribute for each method.

    Args:
        service: "Gateway", "Control" or "Status".
        channel: of ``grpc`` or of ``grpc.aio``.
    """

    def __init__(self, service: str, channel: Any) -> None:
        descriptor = _SERVICES[service]
        for method in descriptor.methods:
            kind = _kind(method)
            call = getattr(channel, kind)(
                f"/{descriptor.full_name}/{method.name}",
                request_serializer=_writer(GetMessageClass(method.input_type)),
                response_deserializer=_reader(
                    GetMessageClass(method.output_type), pieces=method.server_streaming
                ),
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the service has no method {name}")


def handler(service: str, servicer: Any) -> Any:
    """Generic handler for ``server.add_generic_rpc_handlers`` of a servicer's methods."""
    descriptor = _SERVICES[service]
    handlers = {
        method.name: getattr(grpc, f"{_kind(method)}_rpc_method_handler")(
            getattr(servicer, method.name),
            request_deserializer=_reader(
                GetMessageClass(method.input_type), pieces=method.client_streaming
            ),
            response_serializer=_writer(GetMessageClass(method.output_type)),
        )
        for method in descriptor.methods
    }
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _kind(method: Any) -> str:
    return "_".join(
        "stream" if streaming else "unary"
        for streaming in (method.client_streaming, method.server_streaming)
    )


def _writer(message_class: Any) -> Callable[[Any], bytes]:
    plain: Callable[[Any], bytes] = message_class.SerializeToString
    if message_class not in _CARRIERS:
        return plain

    def write(message: Any) -> bytes:
        # The bytes that protobuf would write, with one copy instead of three.
        if isinstance(message, (bytes, memoryview)):
            return b"".join((_prefix(len(message)), message))
        return plain(message)

    return write


def _reader(message_class: Any, *, pieces: bool) -> Callable[[bytes], Any]:
    """Parser of a message; in a stream a piece of a value comes out as a view, uncopied."""
    plain: Callable[[bytes], Any] = message_class.FromString
    if message_class not in _CARRIERS or not pieces:
        return plain

    def read(data: bytes) -> Any:
        piece = _piece(data)
        if piece is not None:
            return piece
        message = message_class.FromString(data)
        return message if message.HasField("header") else memoryview(message.data)

    return read


def _piece(data: bytes) -> memoryview | None:
    """What a message holds that has nothing but ``data``; None: something else."""
    if not data or data[0] != _DATA_TAG:
        return None
    size = 0
    for position in range(1, min(len(data), 6)):
        size |= (data[position] & 0x7F) << 7 * (position - 1)
        if data[position] < 0x80:
            start = position + 1
            return memoryview(data)[start:] if size == len(data) - start else None
    return None


def _prefix(size: int) -> bytes:
    """Tag and length of the field ``data``."""
    prefix = bytearray([_DATA_TAG])
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix)
