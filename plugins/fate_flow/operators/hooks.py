"""Channels to gateways, made by the gRPC provider's hook so that connections work.

A gateway's address comes from an Airflow connection when there is one (the UI, an
environment variable or a secrets backend), else from the site's settings.
"""

from __future__ import annotations

import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import grpc
from airflow.providers.grpc.hooks.grpc import GrpcHook
from airflow.sdk.definitions.connection import Connection

from fate_flow import settings as site_settings
from fate_flow.federation.channel import Tls, open_channel, site_tls

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger("fate_flow.sites")

#: Connection of the site's own gateway, looked up in the environment only: each task
#: would otherwise ask the API server for a connection that hardly any site has.
LOCAL_GATEWAY = "fate_flow_gateway"
#: How long an answer of a secrets backend counts: the list of peers is read every few seconds,
#: and a vault may limit or bill its reads.
BACKEND_SECONDS = 60.0
#: By backend and connection: when it was asked, and the address, None when it knows none.
_answers: WeakKeyDictionary[Any, dict[str, tuple[float, str | None]]] = WeakKeyDictionary()


class FatePeerHook(GrpcHook):
    """The provider's hook with the options that federated values need.

    The provider's own channels cap a message at 4 MB, know no keepalive and open anew for
    each call; here one channel is opened once per task.

    Args:
        address: ``host:port`` to use when no connection ``grpc_conn_id`` is set.
        tls: certificates; None: plain.
    """

    conn_name_attr = "grpc_conn_id"
    default_conn_name = LOCAL_GATEWAY
    conn_type = "fate_flow_peer"
    hook_name = "FATE-Flow gateway"

    def __init__(
        self,
        grpc_conn_id: str = LOCAL_GATEWAY,
        *,
        address: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._address = address
        super().__init__(grpc_conn_id, custom_connection_func=partial(_open, tls))

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


def _open(tls: Tls | None, connection: Connection) -> grpc.Channel:
    return open_channel(f"{connection.host}:{connection.port}", tls)


def open_gateway_channel(address: str) -> grpc.Channel:
    """A kept channel to the site's own gateway."""
    return FatePeerHook(address=address, tls=site_tls(site_settings.current())).get_conn()


# -- addresses of other sites ----------------------------------------------------------------


def peer_address(session: Session, conn_id: str) -> str:
    """``host:port`` of a peer's connection, empty without one.

    Looked for where Airflow does: secrets backends and environment before the database.
    The database is read in ``session``, so that what it has just written is seen; what a
    secrets backend said is believed for :data:`BACKEND_SECONDS`.
    """
    from airflow.configuration import ensure_secrets_loaded
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend
    from airflow.secrets.metastore import MetastoreBackend

    for backend in ensure_secrets_loaded():
        if isinstance(backend, MetastoreBackend):
            continue
        if isinstance(backend, EnvironmentVariablesBackend):
            found = _ask(backend, conn_id, None)
        else:
            found = _asked(backend, conn_id)
        if found is not None:
            return found
    row = _connection_row(session, conn_id)
    return "" if row is None else _host_and_port(row)


def forget_addresses() -> None:
    """Ask the secrets backends again at the next look."""
    _answers.clear()


def _asked(backend: Any, conn_id: str) -> str | None:
    """The answer of a backend, asked again only when the last one is old."""
    known = _answers.setdefault(backend, {})
    asked_at, last = known.get(conn_id, (float("-inf"), None))
    if time.monotonic() - asked_at < BACKEND_SECONDS:
        return last
    # One that fails now does not make a peer's address another one.
    found = _ask(backend, conn_id, last)
    known[conn_id] = (time.monotonic(), found)
    return found


def _ask(backend: Any, conn_id: str, otherwise: str | None) -> str | None:
    """``host:port`` as a backend knows it; None: it knows no such connection."""
    try:
        found = backend.get_connection(conn_id=conn_id)
    except Exception:
        # As Airflow does: a backend that fails must not hide the next one.
        log.warning("a secrets backend failed to look up %s", conn_id, exc_info=True)
        return otherwise
    return None if found is None else _host_and_port(found)


def store_address(session: Session, conn_id: str, address: str, description: str) -> None:
    """Write a peer's Airflow connection in the transaction of ``session``."""
    from airflow.models.connection import Connection as StoredConnection

    forget_addresses()
    host, _, port = address.rpartition(":")
    row = _connection_row(session, conn_id)
    if row is None:
        row = StoredConnection(conn_id=conn_id, conn_type=FatePeerHook.conn_type)
        session.add(row)
    row.description = description
    row.host, row.port = host or None, int(port) if port else None


def delete_address(session: Session, conn_id: str) -> None:
    forget_addresses()
    row = _connection_row(session, conn_id)
    if row is not None:
        session.delete(row)


def _connection_row(session: Session, conn_id: str) -> Any:
    from airflow.models.connection import Connection as StoredConnection
    from sqlalchemy import select

    return session.scalar(select(StoredConnection).where(StoredConnection.conn_id == conn_id))


def _host_and_port(connection: Any) -> str:
    return f"{connection.host}:{connection.port}" if connection.host and connection.port else ""
