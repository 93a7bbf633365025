"""Kept connections to the gateways of other sites."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from fate_flow.federation import rpc
from fate_flow.federation.addresses import MAX_REASON_CHARACTERS, printable
from fate_flow.federation.channel import Tls, channel_options
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import (
    Peer,
    PeerRefusedError,
    PeerTable,
    PeerUnreachableError,
    SiteNotReadyError,
)
from fate_flow.federation.reachability import cause_in, cause_of, probe

#: A probe is a connection more; relays of many tasks ask at the same time.
_PROBE_SECONDS = 5.0
#: Calls on a connection with the certificate of before may still end.
_LINGER_SECONDS = 3600.0
#: Error names of a peer's gateway that mean: try again later.
_LATER = frozenset({SiteNotReadyError.code, PeerUnreachableError.code})


@dataclass
class _Kept:
    peer: Peer
    channel: Any
    stubs: dict[str, Any] = field(default_factory=dict)


class PeerChannels:
    """One connection to each peer, made when it is first used.

    Args:
        identity: of this site; None: it has none, and no peer can be called.

    Attributes:
        socket_of: path of the socket behind which a tunnel to a peer lies; set by the tunnel.
        trouble_of: why the tunnel to a peer leads nowhere; empty when it does.
    """

    def __init__(self, identity: SiteIdentity | None) -> None:
        self.socket_of: Callable[[Peer], str] | None = None
        self.trouble_of: Callable[[Peer], str] = lambda _: ""
        self._identity = identity
        self._kept: dict[str, _Kept] = {}
        self._causes: dict[str, tuple[float, str]] = {}
        self._probes: dict[str, asyncio.Task[str]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def stub(self, peer: Peer, service: str) -> Any:
        """Stub of a service of the proto at a peer's gateway.

        Raises:
            PeerUnreachableError: there is no way to call it.
        """
        kept = self._kept.get(peer.name)
        if kept is None or kept.peer != peer:
            if kept is not None:
                self._close(kept, None)
            kept = self._kept[peer.name] = _Kept(peer, self._open(peer))
        if service not in kept.stubs:
            kept.stubs[service] = rpc.Stub(service, kept.channel)
        return kept.stubs[service]

    def target(self, peer: Peer) -> str:
        """What gRPC connects to.

        Raises:
            PeerUnreachableError: there is no way to call it.
        """
        if peer.via or peer.dials_in:
            if self.socket_of is None:
                raise PeerUnreachableError(f"site {peer.name} cannot be reached: no tunnel to it")
            return f"unix:{self.socket_of(peer)}"
        if not peer.address:
            raise PeerUnreachableError(
                f"site {peer.name} cannot be reached: nobody has said where it is",
                remedy="Set its address in its connection in Airflow's UI",
            )
        return peer.address

    def identity(self) -> SiteIdentity:
        """
        Raises:
            PeerUnreachableError: the site has none.
        """
        if self._identity is None:
            raise PeerUnreachableError(
                "this site has no identity, and cannot call other sites",
                remedy="fate_flow init --name NAME makes one; then restart the service",
            )
        return self._identity

    def set_peers(self, peers: PeerTable) -> None:
        """Close the connections to peers that are gone or are another now."""
        for name, kept in list(self._kept.items()):
            if peers.named(name) != kept.peer:
                self._close(self._kept.pop(name), None)
        self._causes.clear()

    def renewed(self) -> None:
        """Connections that are made from now on show the new certificate."""
        for kept in self._kept.values():
            self._close(kept, _LINGER_SECONDS)
        self._kept.clear()

    async def close(self) -> None:
        for kept in self._kept.values():
            self._close(kept, None)
        self._kept.clear()
        for task in list(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def error_of(self, peer: Peer, error: grpc.aio.AioRpcError) -> Exception:
        """What a call to a peer ended with, as an error of ours."""
        details = printable(error.details() or "", MAX_REASON_CHARACTERS + 200)
        for key, value in error.trailing_metadata() or ():
            if key == rpc.ERROR_KEY:
                if value in _LATER:
                    return PeerUnreachableError(f"site {peer.name}: {details}")
                return PeerRefusedError(f"site {peer.name} refused: {details}")
        cause = await self.cause(peer, error)
        return PeerUnreachableError(
            f"{place_of(peer)} cannot be reached: {cause}",
            remedy=f"fate_flow peer check {peer.name} says more",
        )

    async def cause(self, peer: Peer, error: grpc.aio.AioRpcError) -> str:
        """Why a connection to a peer broke or does not come to be."""
        details = printable(error.details() or "", MAX_REASON_CHARACTERS)
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return "timed out"
        known = self.trouble_of(peer) or cause_in(details)
        if known:
            return known
        found = await self._probed(peer)
        return found or details or "the connection was interrupted"

    async def _probed(self, peer: Peer) -> str:
        since, cause = self._causes.get(peer.name, (0.0, ""))
        if time.monotonic() - since < _PROBE_SECONDS:
            return cause
        if peer.name not in self._probes:
            self._probes[peer.name] = asyncio.ensure_future(self._probe(peer))
        # Several callers share one probe, and one that gives up must not end it.
        return await asyncio.shield(self._probes[peer.name])

    async def _probe(self, peer: Peer) -> str:
        try:
            target, identity = self.target(peer), self.identity()
            cause = cause_of(await asyncio.to_thread(probe, peer, target, identity))
        except PeerUnreachableError as error:
            cause = error.message
        finally:
            self._probes.pop(peer.name, None)
        self._causes[peer.name] = (time.monotonic(), cause)
        return cause

    def _open(self, peer: Peer) -> Any:
        own = self.identity().tls()
        # Only this peer's authority: another peer's could otherwise sign in its name.
        tls = Tls(peer.ca_pem.encode(), own.certificate, own.key, peer.server_name)
        return grpc.aio.secure_channel(
            self.target(peer), tls.channel_credentials(), peer_options(tls)
        )

    def _close(self, kept: _Kept, grace: float | None) -> None:
        task = asyncio.ensure_future(kept.channel.close(grace))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def place_of(peer: Peer) -> str:
    """Name and way of a peer, for texts."""
    where = f"via {peer.via}" if peer.via else peer.address or "it calls us"
    return f"site {peer.name} ({where})"


def peer_options(tls: Tls) -> list[tuple[str, Any]]:
    """Options of a connection to another site: it is farther away than the own gateway."""
    changed = {
        # Also the time that a first connection has, handshake included.
        "grpc.min_reconnect_backoff_ms": 10_000,
        # When nothing has come for 4 s, a ping is sent. What TCP cannot deliver is noticed
        # 8 s later. A gateway that is there and silent has 20 s to answer: on a slow link the
        # answer stands behind megabytes of values (60 s by default, whatever the line before
        # it says).
        "grpc.keepalive_time_ms": 4_000,
        "grpc.keepalive_timeout_ms": 8_000,
        "grpc.http2.ping_timeout_ms": 20_000,
        # Pings that measure the connection would be due all the time while values pass.
        "grpc.http2.bdp_probe": 0,
    }
    return list({**dict(channel_options(tls)), **changed}.items())
