"""Channels to gateways, made by the gRPC provider's hook so that connections work.

A gateway's address comes from an Airflow connection when there is one (the UI, an
environment variable or a secrets backend), else from the site's settings.
"""

from __future__ import annotations

import os
from typing import Any

import grpc
from airflow.providers.grpc.hooks.grpc import GrpcHook
from airflow.sdk.definitions.connection import Connection

from fate_flow.federation.channel import channel_options

#: Connection of the site's own gateway, looked up in the environment only: each task
#: would otherwise ask the API server for a connection that hardly any site has.
LOCAL_GATEWAY = "fate_flow_gateway"


class FatePeerHook(GrpcHook):
    """The provider's hook with the options that federated values need.

    The provider's own channels cap a message at 4 MB, know no keepalive and open anew for
    each call; here one channel is opened once per task.

    Args:
        address: ``host:port`` to use when no connection ``grpc_conn_id`` is set.
    """

    conn_name_attr = "grpc_conn_id"
    default_conn_name = LOCAL_GATEWAY
    conn_type = "fate_flow_peer"
    hook_name = "FATE-Flow gateway"

    def __init__(self, grpc_conn_id: str = LOCAL_GATEWAY, *, address: str | None = None) -> None:
        self._address = address
        super().__init__(grpc_conn_id, custom_connection_func=_open)

    def get_connection(self, conn_id: str) -> Connection:  # type: ignore[override]
        """The connection of the environment, else one made from ``address``."""
        if self._address is None or f"AIRFLOW_CONN_{conn_id.upper()}" in os.environ:
            found = super().get_connection(conn_id)
            if not found.extra_dejson.get("auth_type"):
                found.extra = '{"auth_type": "CUSTOM"}'
            return found
        host, _, port = self._address.rpartition(":")
        return Connection(
            conn_id=conn_id,
            conn_type=self.conn_type,
            host=host,
            port=int(port),
            extra='{"auth_type": "CUSTOM"}',
        )

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        return {}


def _open(connection: Connection) -> grpc.Channel:
    return grpc.insecure_channel(f"{connection.host}:{connection.port}", options=channel_options())


def open_gateway_channel(address: str) -> grpc.Channel:
    """A kept channel to the site's own gateway."""
    return FatePeerHook(address=address).get_conn()
