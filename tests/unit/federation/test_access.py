"""Certificates that change while the gateway runs, and the list of peers on disk."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError
from fate_flow.federation.gateway import Gateway, state_of
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.federation.state import GatewayState, read_peers
from fate_flow.federation.store import StorageError
from fate_flow.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "conf").mkdir()
    (tmp_path / "fate_flow.yaml").write_text("IP: 127.0.0.1\nPARTIES: ['guest:9999']\n")
    (tmp_path / "conf" / "site_secret").write_text("00" * 32)
    settings = load(tmp_path)
    SiteIdentity.create(settings, "bank")
    return settings


@contextlib.asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[tuple[GatewayState, int]]:
    state = state_of(settings)
    gateway = await Gateway.start(state, "127.0.0.1:0")
    try:
        yield state, gateway.port
    finally:
        await gateway.stop()


def _served(identity: SiteIdentity, port: int) -> int:
    """Serial number of the certificate that the gateway shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=identity.ca_pem)
    context.load_cert_chain(identity.folder / "gateway.pem", identity.folder / "gateway.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname=identity.server_name) as secure,
    ):
        assert secure.recv(1), "accepted"
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def _peer(settings: Settings, *parties: Party) -> Peer:
    identity = SiteIdentity.load(settings)
    return Peer("shop", "0" * 16, parties, identity.ca_pem, "0" * 64, "shop.example:9360")


def test_a_renewed_certificate_is_shown_without_a_restart(settings: Settings) -> None:
    async def run() -> None:
        async with _running(settings) as (state, port):
            identity = state.identity
            assert identity is not None
            first = await asyncio.to_thread(_served, identity, port)
            identity.renew(force=True)
            state.access.renewed()
            state.channels.renewed()
            assert await asyncio.to_thread(_served, identity, port) != first

    asyncio.run(run())


def test_peers_are_written_whole_or_not_at_all(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    file = settings.storage_root / "gateway" / "peers.json"
    table = PeerTable([_peer(settings, Party("host", 1))])

    async def run() -> None:
        async with _running(settings) as (state, _):
            state.set_peers(table)
            assert read_peers(file).digest == table.digest == state.router.peers.digest
            file.with_suffix(".new").mkdir()
            with pytest.raises(StorageError, match="cannot be written"):
                state.set_peers(PeerTable())
            assert state.router.peers.digest == table.digest
            with pytest.raises(ConfigurationError, match="hosted here"):
                state.set_peers(PeerTable([_peer(settings, Party("guest", 9999))]))

    asyncio.run(run())
    assert state_of(settings).router.peers.digest == table.digest
    file.write_text("[")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_peers(file)
    alone = state_of(settings).router
    assert (alone.hosted, len(alone.peers)) == (frozenset({Party("guest", 9999)}), 0)
    assert "starts without peers: the list of peers cannot be read" in caplog.text


def test_a_peer_without_an_address_or_a_tunnel(settings: Settings) -> None:
    from fate_flow.federation.peer_channels import PeerChannels
    from fate_flow.federation.peers import PeerUnreachableError

    channels = PeerChannels(SiteIdentity.load(settings))
    peer = _peer(settings, Party("host", 1))
    assert channels.target(peer) == "shop.example:9360"
    for other, text in (
        (replace(peer, address=""), "nobody has said where it is"),
        (replace(peer, via="hub"), "no tunnel"),
    ):
        with pytest.raises(PeerUnreachableError, match=text):
            channels.target(other)
    channels.socket_of = lambda _: "/run/shop.sock"
    assert channels.target(replace(peer, via="hub")) == "unix:/run/shop.sock"
    with pytest.raises(PeerUnreachableError, match="no identity"):
        PeerChannels(None).stub(peer, "Peer")
