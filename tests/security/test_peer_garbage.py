"""Garbage from a peer, and from anybody who reaches the port."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time

import pytest

from fate_flow.federation.identity import SiteIdentity
from tests.support.federated import FederatedGateway

pytestmark = pytest.mark.slow


def _tls_socket(bank: FederatedGateway, own: SiteIdentity) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=bank.identity.ca_pem)
    context.load_cert_chain(own.folder / "gateway.pem", own.folder / "gateway.key")
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", bank.port), 5)
    return context.wrap_socket(plain, server_hostname=bank.identity.server_name)


def _frame(kind: int, flags: int, stream: int, payload: bytes, size: int | None = None) -> bytes:
    length = len(payload) if size is None else size
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def test_an_announced_giant_is_not_waited_for(
    sites: list[FederatedGateway], bank: FederatedGateway
) -> None:
    before = bank.rss()
    path = b"/fate_flow.federation.Peer/Call"
    headers = b"".join(
        _literal(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", path),
            (b":authority", bank.identity.server_name.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
    )
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    # A gRPC message of 4 GiB - 1, the largest that can be said; an HTTP/2 frame of 16 MiB.
    giant_message = _frame(0, 0, 1, b"\x00\xff\xff\xff\xff" + b"x" * 1000)
    giant_frame = _frame(0, 0, 1, b"x" * 1000, size=(1 << 24) - 1)
    for giant in (giant_message, giant_frame):
        with _tls_socket(bank, sites[1].identity) as connection:
            connection.sendall(preface + _frame(1, 4, 1, headers) + giant)
            connection.settimeout(5)
            answer = b""
            with contextlib.suppress(OSError):
                while chunk := connection.recv(65536):
                    answer += chunk
                    if b"grpc-status" in answer or b"larger than max" in answer:
                        break
            assert b"larger than max" in answer
    assert bank.rss() - before < 32 << 20


def test_garbage_on_the_port(sites: list[FederatedGateway], bank: FederatedGateway) -> None:
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\xff" * 5000,
        b"\0" * 99,
    ):
        with socket.create_connection(("127.0.0.1", bank.port), 5) as connection:
            connection.sendall(garbage)
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                connection.recv(1000)
    with _tls_socket(bank, sites[1].identity) as connection:
        connection.settimeout(5)
        started = time.monotonic()
        with contextlib.suppress(OSError):
            connection.sendall(b"\xff" * 50_000)
            while connection.recv(65536):
                assert time.monotonic() - started < 5
    assert "Traceback" not in bank.log
