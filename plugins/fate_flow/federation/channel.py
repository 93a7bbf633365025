"""How connections to a gateway are made: sizes, keepalive, certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from fate_flow.errors import ConfigurationError
from fate_flow.federation.addresses import MAX_MESSAGE_BYTES
from fate_flow.settings import Settings

#: When nothing has come for so long, the other side is asked whether it is there.
_KEEPALIVE_MS = 10_000
#: What TCP cannot deliver is noticed after so long.
_KEEPALIVE_TIMEOUT_MS = 10_000
#: A process that is there and silent (stopped, frozen) has so long to answer; gRPC's own
#: threads answer, also while the process computes. 60 s by default.
_PING_TIMEOUT_MS = 20_000
_METADATA_BYTES = 65_536


@dataclass(frozen=True)
class Tls:
    """Mutual TLS: PEM texts.

    Attributes:
        root: certificates of the authorities that the other side must be signed by.
        certificate: own chain.
        key: own private key.
        server_name: name expected in the server's certificate, when it is not the address.
    """

    root: bytes
    certificate: bytes
    key: bytes
    server_name: str = ""

    def __repr__(self) -> str:
        return "Tls(…)"

    def server_credentials(self) -> Any:
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], root_certificates=self.root, require_client_auth=True
        )

    def channel_credentials(self) -> Any:
        return grpc.ssl_channel_credentials(self.root, self.key, self.certificate)


def site_tls(settings: Settings) -> Tls | None:
    """What a process of this site shows and expects when it calls the site's own gateway.

    None: connections are plain (setting GATEWAY_TLS, or a standalone site).

    Raises:
        ConfigurationError: TLS is demanded and the site has no identity.
    """
    # It needs the class Tls of this module.
    from fate_flow.federation.identity import SiteIdentity

    mode = settings.GATEWAY_TLS
    if mode == "off" or (mode == "auto" and not SiteIdentity.exists(settings)):
        return None
    if not SiteIdentity.exists(settings):
        raise ConfigurationError(
            f"GATEWAY_TLS is on, and this site has no identity ({settings.identity_dir})",
            remedy="fate_flow init --name NAME makes one; or set GATEWAY_TLS: auto",
        )
    return SiteIdentity.load(settings).tls()


#: Frames of the default 16 KiB cost a large value more than its copies do.
_TRANSPORT = [
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.http2.lookahead_bytes", 4 << 20),
    ("grpc.http2.write_buffer_size", 1 << 20),
]


def channel_options(tls: Tls | None = None) -> list[tuple[str, Any]]:
    """Options of a client's channel; for whoever builds the channel himself."""
    options: list[tuple[str, Any]] = [
        *_TRANSPORT,
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 200),
        # Also the time that a connection has to come to be; a handshake takes its own.
        ("grpc.min_reconnect_backoff_ms", 200 if tls is None else 2000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # Channels of one process must not share a connection: a task is one connection, and
        # its end is the task's end.
        ("grpc.use_local_subchannel_pool", 1),
        # A proxy of the environment is for the web, not for the gateway next door.
        ("grpc.enable_http_proxy", 0),
    ]
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options


def server_options() -> list[tuple[str, Any]]:
    return [
        *_TRANSPORT,
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        # Finds tasks whose process is stopped or whose machine is gone.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        # Two gateways on one port would each get half of the tasks.
        ("grpc.so_reuseport", 0),
    ]


def open_channel(address: str, tls: Tls | None = None) -> grpc.Channel:
    """A channel to a gateway; connects when it is first used.

    Not to be called before a process forks.
    """
    options = channel_options(tls)
    if tls is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, tls.channel_credentials(), options)
