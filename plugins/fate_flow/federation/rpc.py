"""Stubs and handlers of our services, built from the descriptors of ``gateway.proto``.

grpc's own generator writes a check into its output that refuses older releases of grpcio;
the few lines here do the same work for any release.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from fate_flow.federation.proto import gateway_pb2 as pb

#: Trailing metadata that carries the short name of an error.
ERROR_KEY = "fate-flow-error"
_SERVICES = pb.DESCRIPTOR.services_by_name


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
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
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
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in descriptor.methods
    }
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _kind(method: Any) -> str:
    return "_".join(
        "stream" if streaming else "unary"
        for streaming in (method.client_streaming, method.server_streaming)
    )
