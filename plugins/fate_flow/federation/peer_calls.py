"""This site's calls to its peers: a message, and what can be said of the connection."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from fate_flow.federation.addresses import CHUNK_BYTES, printable
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peer_service import MAX_ECHO_BYTES
from fate_flow.federation.peers import PEER_PROTOCOL, Peer, PeerRefusedError, PeerUnreachableError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.reachability import CLOSED, SILENT, Finding, probe
from fate_flow.federation.routing import RouteError
from fate_flow.federation.state import GatewayState, refs
from fate_flow.version import __version__

_MAX_SECONDS = 600.0
_ECHO_SECONDS = 60.0
_ROUND_TRIPS = 10
#: The site in the middle tries for a while before it says why the other end is not there.
_TUNNEL_SECONDS = 16.0
#: gRPC makes a broken connection anew after at most 2 s.
_AGAIN_SECONDS = 2.5
#: Clocks that differ by more make tickets and certificates expire at the wrong time.
_MAX_CLOCK_SECONDS = 60.0


def named(state: GatewayState, name: str) -> Peer:
    """
    Raises:
        RouteError: no peer is called so.
    """
    peer = state.router.peers.named(name)
    if peer is None:
        known = ", ".join(peer.name for peer in state.router.peers) or "none"
        raise RouteError(
            f"no peer is called {printable(name)!r}; known: {known}",
            remedy="fate_flow peer list shows the peers",
        )
    return peer


async def forward(state: GatewayState, request: pb.ForwardRequest) -> pb.CallReply:
    """Send a message to a peer's API.

    Raises:
        PeerUnreachableError, PeerRefusedError, RouteError
    """
    peer = named(state, request.peer)
    call = request.call
    if not call.protocol_major:
        call.protocol_major, call.protocol_minor = PEER_PROTOCOL
    call.message_id = call.message_id or uuid.uuid4().hex
    timeout = min(request.timeout or _MAX_SECONDS, _MAX_SECONDS)
    try:
        reply: pb.CallReply = await state.channels.stub(peer, "Peer").Call(call, timeout=timeout)
        return reply
    except grpc.aio.AioRpcError as error:
        raise await state.channels.error_of(peer, error) from None


async def check(state: GatewayState, name: str, size: int) -> list[Finding]:
    """Look at the connection to a peer, step by step; ends with the first step that fails.

    Raises:
        RouteError: there is no such peer.
    """
    peer = named(state, name)
    channels = state.channels
    try:
        target, identity = channels.target(peer), channels.identity()
    except PeerUnreachableError as error:
        return [Finding("address", False, error.message, error.remedy)]
    if target.startswith("unix:"):
        findings = await _through_tunnel(state, peer, target, identity)
    else:
        findings = await asyncio.to_thread(probe, peer, target, identity)
    if not all(finding.ok for finding in findings):
        return findings
    stub = channels.stub(peer, "Peer")
    try:
        findings += await _greet(state, peer, stub)
        findings += await _measure(stub, max(1, min(size or 8 << 20, MAX_ECHO_BYTES)))
    except grpc.aio.AioRpcError as error:
        found: Any = await channels.error_of(peer, error)
        step = "version" if len(findings) < 5 else "bandwidth"
        if isinstance(found, PeerRefusedError):
            step = "version" if "version" in found.message else "identity"
        findings.append(Finding(step, False, found.message, found.remedy))
    return findings


async def _through_tunnel(
    state: GatewayState, peer: Peer, target: str, identity: SiteIdentity
) -> list[Finding]:
    """A tunnel begins at a socket of our own: what is wrong behind it, the tunnel knows."""
    tunnel = state.tunnel
    assert tunnel is not None, "it has made the socket"
    away = f"site {peer.via} cannot be reached"
    began = time.monotonic()
    for pause in (_AGAIN_SECONDS, 0.0):
        # What it knows may be of long ago.
        tunnel.forget_trouble(peer)
        findings = await asyncio.to_thread(probe, peer, target, identity, _TUNNEL_SECONDS)
        trouble = tunnel.trouble(peer)
        if not trouble.startswith(away) or time.monotonic() - began > _AGAIN_SECONDS:
            break
        # Its kept connection may have died unnoticed, and one that failed is not made at once.
        await asyncio.sleep(pause)
    if findings[-1].text in (CLOSED, SILENT):
        is_middle = bool(peer.via) and not trouble.startswith(f"site {peer.via} says")
        remedy = f"fate_flow peer check {peer.via} says more" if is_middle else ""
        return [findings[0], Finding("tcp", False, trouble or findings[-1].text, remedy)]
    return findings


async def _greet(state: GatewayState, peer: Peer, stub: Any) -> list[Finding]:
    major, minor = PEER_PROTOCOL
    started = time.time()
    reply: pb.HelloReply = await stub.Hello(
        pb.HelloRequest(
            protocol_major=major,
            protocol_minor=minor,
            version=__version__,
            site_id=state.channels.identity().site_id,
            time=started,
            parties=refs(sorted(state.router.hosted or ())),
        ),
        timeout=10.0,
    )
    ended = time.time()
    ours = f"{major}.{minor}"
    theirs = f"{reply.protocol_major}.{reply.protocol_minor}"
    version = f"FATE-Flow {printable(reply.version)} there, {__version__} here; messages {theirs}"
    off = reply.time - (started + ended) / 2
    return [
        Finding(
            "version",
            reply.protocol_major == major,
            version if reply.protocol_major == major else f"{version} there, {ours} here",
            "" if reply.protocol_major == major else "Bring both to the same major version",
        ),
        Finding(
            "clock",
            abs(off) < _MAX_CLOCK_SECONDS,
            f"their clock is {abs(off):.1f} s {'ahead' if off > 0 else 'behind'}",
            "" if abs(off) < _MAX_CLOCK_SECONDS else "Set the clocks of both sites by NTP",
        ),
        _parties(state, peer, reply),
    ]


def _parties(state: GatewayState, peer: Peer, reply: pb.HelloReply) -> Finding:
    """Do the sites agree who is where?"""
    theirs = {(p.role, p.party_id) for p in reply.parties}
    ours = {(p.role, p.party_id) for p in reply.your_parties}
    named = ", ".join(f"{role} {party_id}" for role, party_id in sorted(ours)) or "nobody"
    missing = [str(p) for p in peer.parties if theirs and (p.role, p.party_id) not in theirs]
    unknown = [
        str(p) for p in sorted(state.router.hosted or ()) if (p.role, p.party_id) not in ours
    ]
    if missing:
        text = f"{', '.join(missing)} of {peer.name} is not hosted there"
        return Finding("parties", False, text, "Ask for a new invitation and add it")
    if unknown:
        text = f"they do not know that {', '.join(unknown)} is here"
        return Finding("parties", False, text, "Give them a new invitation; they add it")
    return Finding("parties", True, f"they take us for the site of {named}")


async def _measure(stub: Any, size: int) -> list[Finding]:
    trips = []
    call = stub.Echo(timeout=_ECHO_SECONDS)
    for _ in range(_ROUND_TRIPS):
        started = time.perf_counter()
        await call.write(pb.EchoPiece(data=b"x", wanted=1))
        await call.read()
        trips.append(time.perf_counter() - started)
    await call.done_writing()
    there = await _upload(stub, size)
    back = await _download(stub, size)
    millions = size / 1e6
    return [
        Finding(
            "round_trip",
            True,
            f"{statistics.median(trips) * 1000:.1f} ms, median of {_ROUND_TRIPS}",
        ),
        Finding(
            "bandwidth",
            True,
            f"{millions / there:.1f} MB/s there, {millions / back:.1f} MB/s back, "
            f"with {millions:.1f} MB",
        ),
    ]


async def _upload(stub: Any, size: int) -> float:
    async def pieces() -> AsyncIterator[pb.EchoPiece]:
        left = size
        while left > CHUNK_BYTES:
            yield pb.EchoPiece(data=bytes(CHUNK_BYTES))
            left -= CHUNK_BYTES
        # One byte back tells that all have arrived.
        yield pb.EchoPiece(data=bytes(left), wanted=1)

    started = time.perf_counter()
    async for _ in stub.Echo(pieces(), timeout=_ECHO_SECONDS):
        pass
    return max(time.perf_counter() - started, 1e-6)


async def _download(stub: Any, size: int) -> float:
    async def piece() -> AsyncIterator[pb.EchoPiece]:
        yield pb.EchoPiece(wanted=size)

    started = time.perf_counter()
    async for _ in stub.Echo(piece(), timeout=_ECHO_SECONDS):
        pass
    return max(time.perf_counter() - started, 1e-6)
