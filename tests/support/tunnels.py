"""Sites that reach each other through tunnels; gateways in this process, or of their own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil
import yaml

from fate_flow.entities import Party
from fate_flow.federation.gateway import Gateway
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.routing import Router
from fate_flow.federation.state import GatewayState
from fate_flow.federation.store import BlobStore
from fate_flow.settings import load
from tests.support.gateway import free_port

MIB = 1 << 20


class Site:
    """Keys and folder of a site; its gateway runs in this process, or as one of its own."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name = f"site-{number}"
        self.home = folder / self.name
        self.port = free_port()
        self.party = Party("host", number)
        (self.home / "conf").mkdir(parents=True)
        (self.home / "conf" / "site_secret").write_text(f"{number:02x}" * 32)
        values = {"IP": "127.0.0.1", "GRPC_PORT": self.port, "PARTIES": [f"host:{number}"]}
        (self.home / "fate_flow.yaml").write_text(yaml.safe_dump(values))
        self.identity = SiteIdentity.create(load(self.home), self.name)
        self.gateway: Gateway | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def as_peer(self, **changes: Any) -> Peer:
        """The record of this site at others."""
        values: dict[str, Any] = {
            "name": self.name,
            "site_id": self.identity.site_id,
            "parties": (self.party,),
            "ca_pem": self.identity.ca_pem,
            "seal_public": self.identity.seal_public,
            "address": f"127.0.0.1:{self.port}",
        }
        return Peer(**{**values, **changes})

    async def start(self, *peers: Peer) -> None:
        store = BlobStore(self.home / "gateway" / "values", MIB, MIB)
        router = Router(frozenset({self.party}), PeerTable(peers))
        state = GatewayState(
            b"s" * 32,
            store,
            router,
            identity=self.identity,
            peers_file=self.home / "gateway" / "peers.json",
        )
        self.gateway = await Gateway.start(state, f"127.0.0.1:{self.port}")

    def start_process(self, *peers: Peer) -> None:
        file = self.home / "gateway" / "peers.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(PeerTable(peers).to_json())
        with (self.home / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fate_flow.federation.gateway", "--home", str(self.home)],
                stderr=log,
                stdout=log,
            )
        end = time.monotonic() + 30
        while "listens on" not in self.log.rpartition("gateway stopped")[2]:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return (self.home / "gateway.log").read_text()

    @property
    def memory(self) -> int:
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    async def stop(self) -> None:
        if self.gateway is not None:
            await self.gateway.stop()
            self.gateway = None
        if self.process is not None:
            self.process.terminate()
            await asyncio.to_thread(self.process.wait, 15)
            self.process = None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None
        # So that start_process() waits for the next one's line.
        with (self.home / "gateway.log").open("a") as log:
            log.write("gateway stopped\n")

    def stub(self, peer: Site) -> Any:
        state = self.state
        found = state.router.peers.named(peer.name)
        assert found is not None
        return state.channels.stub(found, "Peer")

    @property
    def state(self) -> GatewayState:
        assert self.gateway is not None
        return self.gateway.state

    async def greet(self, peer: Site, timeout: float = 10.0) -> str:
        """The site id that answers where ``peer`` should be."""
        request = pb.HelloRequest(protocol_major=1, site_id=self.identity.site_id)
        reply = await self.stub(peer).Hello(request, timeout=timeout)
        return str(reply.site_id)

    async def greet_within(self, peer: Site, seconds: float) -> str:
        """Greet until it succeeds."""
        end = time.monotonic() + seconds
        while True:
            try:
                return await self.greet(peer, 3.0)
            except grpc.aio.AioRpcError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 90))


@contextlib.asynccontextmanager
async def running(*sites: Site) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for site in sites:
            await site.stop()


async def echo(stub: Any, pieces: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Send pieces of data and get as many bytes as each asks for; bytes sent and received."""
    call = stub.Echo()
    sent = received = 0

    async def write() -> None:
        nonlocal sent
        for size, wanted in pieces:
            await call.write(pb.EchoPiece(data=b"\x5a" * size, wanted=wanted))
            sent += size
        await call.done_writing()

    writer = asyncio.ensure_future(write())
    async for piece in call:
        received += len(piece.data)
    await writer
    return sent, received
