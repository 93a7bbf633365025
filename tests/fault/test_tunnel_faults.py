"""What breaks, or is refused, on the way through an exchange or from behind a NAT."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import psutil
import pytest

from fate_flow.federation.peer_calls import check
from fate_flow.federation.peers import PeerTable
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.sealing import Sealer
from tests.support.federated import FederatedGateway, three_sites
from tests.support.gateway import ARBITER, GUEST, HOST
from tests.support.tunnels import MIB, Site, echo, play, running

pytestmark = pytest.mark.slow


@pytest.fixture
def sites(tmp_path: Path) -> Callable[[int], list[Site]]:
    return lambda count: [Site(tmp_path, number) for number in range(1, count + 1)]


def test_a_killed_exchange_breaks_calls_and_comes_back(sites: Callable[[int], list[Site]]) -> None:
    a, nat, hub = sites(3)
    peers = (a.as_peer(may_route=True), nat.as_peer(address="", dials_in=True))

    async def whole() -> None:
        async with running(a, nat, hub):
            hub.start_process(*peers)
            await nat.start(hub.as_peer(we_dial=True), a.as_peer(address="", via=hub.name))
            await a.start(hub.as_peer(), nat.as_peer(address="", via=hub.name))
            await a.greet_within(nat, 10.0)

            def endless() -> Iterable[tuple[int, int]]:
                while True:
                    yield MIB, MIB

            call = asyncio.ensure_future(echo(a.stub(nat), endless()))
            await asyncio.sleep(0.5)
            assert not call.done()
            hub.kill()
            with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
                await asyncio.wait_for(call, 5.0)
            with pytest.raises(grpc.aio.AioRpcError):
                await a.greet(nat, 2.0)
            await asyncio.to_thread(hub.start_process, *peers)
            assert await a.greet_within(nat, 30.0) == nat.identity.site_id

    play(whole())


def test_a_slow_reader_slows_the_sender_down(sites: Callable[[int], list[Site]]) -> None:
    a, b, exchange = sites(3)

    async def whole() -> None:
        async with running(a, b, exchange):
            exchange.start_process(a.as_peer(may_route=True), b.as_peer())
            await a.start(exchange.as_peer(), b.as_peer(address="", via=exchange.name))
            await b.start(exchange.as_peer(), a.as_peer(address="", via=exchange.name))
            await a.greet(b)
            before = exchange.memory
            call = a.stub(b).Echo()
            await call.write(pb.EchoPiece(wanted=200 * MIB))
            await call.read()
            await asyncio.sleep(3.0)
            assert exchange.memory - before < 48 * MIB
            received = MIB
            while received < 200 * MIB:
                received += len((await call.read()).data)
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert exchange.memory - before < 64 * MIB

    play(whole())


def test_only_those_who_may_are_carried(sites: Callable[[int], list[Site]]) -> None:
    a, b, exchange = sites(3)

    async def whole() -> None:
        async with running(a, b, exchange):
            exchange.start_process(a.as_peer(), b.as_peer(may_route=True))
            await a.start(exchange.as_peer(), b.as_peer(address="", via=exchange.name))
            with pytest.raises(grpc.aio.AioRpcError):
                await a.greet(b, 5.0)
            record = a.state.router.peers.named(b.name)
            assert record is not None
            trouble = a.state.tunnel.trouble(record)
            assert trouble.startswith(f"site {exchange.name} says: ")
            assert f"fate_flow peer update {a.name} --may-route yes" in trouble
            assert f"peer {a.name} may not reach other sites through this one" in trouble
            # Nor does it get in by other ways.
            stub = a.stub(exchange)
            for metadata in (
                (),
                (("fate-flow-carry-to", b.identity.site_id),),
                (("fate-flow-carry-to", "0" * 16),),
                (("fate-flow-carry-id", "0" * 32),),
            ):
                call = stub.Carry(metadata=metadata)
                assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
            call = stub.Listen()
            assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "may not reach other sites" in exchange.log

    play(whole())


def test_a_check_says_which_of_the_sites_is_in_the_way(
    sites: Callable[[int], list[Site]], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, nat, hub = sites(3)
    known = (a.as_peer(may_route=True), nat.as_peer(address="", dials_in=True, may_route=True))

    async def wrong(at: Site, peer: Site) -> tuple[str, str, str]:
        found = await check(at.state, peer.name, 1000)
        assert [finding.ok for finding in found[:-1]] == [True] * (len(found) - 1), found
        return found[-1].step if not found[-1].ok else "", found[-1].text, found[-1].remedy

    async def whole() -> None:
        async with running(a, nat, hub):
            hub.start_process(*known)
            await nat.start(hub.as_peer(we_dial=True), a.as_peer(address="", via=hub.name))
            await a.start(hub.as_peer(), nat.as_peer(address="", via=hub.name))
            await a.greet_within(nat, 10.0)
            assert (await wrong(a, nat))[0] == ""
            hub.kill()
            away = f"site {hub.name} cannot be reached: connection refused"
            assert await wrong(a, nat) == (
                "tcp",
                away,
                f"fate_flow peer check {hub.name} says more",
            )
            # What was true then is not said of what is wrong now.
            await nat.stop()
            await asyncio.to_thread(hub.start_process, *known)
            step, text, _ = await wrong(a, nat)
            assert step == "tcp"
            assert f"site {hub.name} says: site {nat.name} has no connection open" in text
            assert f"At {nat.name}: the service must run" in text
            monkeypatch.setattr("fate_flow.federation.peer_calls._TUNNEL_SECONDS", 0.5)
            process = psutil.Process(hub.process.pid if hub.process else 0)
            process.suspend()
            try:
                step, text, remedy = await wrong(a, nat)
            finally:
                process.resume()
            assert (step, text) == ("tcp", "no answer to the TLS handshake")
            assert f"fate_flow peer check {hub.name}" in remedy

    play(whole())


def test_the_reason_of_a_refusal_is_never_lost(sites: Callable[[int], list[Site]]) -> None:
    a, b, exchange = sites(3)

    async def whole() -> None:
        async with running(a, b, exchange):
            exchange.start_process(a.as_peer(), b.as_peer())
            await a.start(exchange.as_peer(), b.as_peer(address="", via=exchange.name))
            for _ in range(30):
                found = await check(a.state, b.name, 1000)
                assert "may not reach other sites through this one" in found[-1].text

    play(whole())


def test_peers_that_go_take_their_tunnels_along(sites: Callable[[int], list[Site]]) -> None:
    nat, hub = sites(2)

    async def whole() -> None:
        async with running(nat, hub):
            await hub.start(nat.as_peer(address="", dials_in=True))
            await nat.start(hub.as_peer(we_dial=True))
            await hub.greet_within(nat, 10.0)
            record = hub.state.router.peers.named(nat.name)
            path = Path(hub.state.tunnel.socket_of(record))
            assert path.exists()
            assert path.stat().st_mode & 0o777 == 0o600
            hub.state.set_peers(PeerTable())
            assert not path.exists()
            await asyncio.sleep(0.3)
            assert not hub.state.tunnel.is_listening(record)
            hub.state.set_peers(PeerTable([dataclasses.replace(record)]))
            assert await hub.greet_within(nat, 20.0) == nat.identity.site_id

    play(whole())


def test_a_component_computes_through_an_exchange_that_is_killed_meanwhile(tmp_path: Path) -> None:
    """Tasks of three sites, two of them behind NATs; values are sealed, the attempt goes on."""
    exchange = FederatedGateway(tmp_path / "exchange", name="exchange")
    with three_sites(tmp_path, PEER_GRACE=30) as made:
        bank = made[0]
        try:
            exchange.start()
            hidden = {"address": "", "dials_in": True, "may_route": True}
            card, via = exchange.card(), {"address": "", "via": "exchange"}
            exchange.know(*(dataclasses.replace(site.card(), **hidden) for site in made))
            for site in made:
                others = [dataclasses.replace(s.card(), **via) for s in made if s is not site]
                site.know(dataclasses.replace(card, we_dial=True), *others)
            keys = {party: s.identity.seal_public for s in made for party in s.parties}
            tasks = [
                site.task(
                    site.parties[0],
                    bank,
                    component="lr_0",
                    timeout=80.0,
                    patience=60.0,
                    sealer=Sealer(site.identity.seal_private, keys),
                )
                for site in made
            ]
            guest, host, arbiter = tasks
            texts: list[str | None] = []
            host._waits._on_wait = texts.append
            with ThreadPoolExecutor(3) as pool:
                assert list(pool.map(lambda task: task.join(), tasks)) == [0, 0, 0]
                value = np.random.default_rng(1).random(4_000_000)
                sending = pool.submit(host.send, "v", value, [GUEST, ARBITER])
                time.sleep(0.1)
                exchange.kill()
                time.sleep(5.0)
                exchange.start()
                for task in (guest, arbiter):
                    np.testing.assert_array_equal(task.receive("v", HOST), value)
                sending.result(30)
                assert [task.identity.attempt for task in tasks] == [0, 0, 0]
                list(pool.map(lambda task: task.finish(), tasks))
            assert any("site bank (via exchange), no connection" in (text or "") for text in texts)
            assert texts[-1] is None
            for task in tasks:
                task.close()
        finally:
            exchange.stop()


def test_a_peer_has_a_limited_number_of_connections(
    sites: Callable[[int], list[Site]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fate_flow.federation.tunnel.MAX_PER_PEER", 2)
    a, b, exchange = sites(3)

    async def whole() -> None:
        async with running(a, b, exchange):
            await exchange.start(a.as_peer(may_route=True), b.as_peer())
            await a.start(exchange.as_peer(), b.as_peer(address="", via=exchange.name))
            await b.start(exchange.as_peer(), a.as_peer(address="", via=exchange.name))
            await a.greet(b)
            metadata = (("fate-flow-carry-to", b.identity.site_id),)
            calls = [a.stub(exchange).Carry(metadata=metadata) for _ in range(2)]
            ended, open_ones = await asyncio.wait(
                [asyncio.ensure_future(call.code()) for call in calls], timeout=2.0
            )
            assert [each.result() for each in ended] == [grpc.StatusCode.PERMISSION_DENIED]
            assert len(open_ones) == 1
            for call in calls:
                call.cancel()
            # Those that were ended count no more; the one in use was left alone.
            for _ in range(3):
                call = a.stub(exchange).Carry(metadata=metadata)
                await asyncio.sleep(0.2)
                assert not call.done()
                call.cancel()
                await asyncio.sleep(0.2)
            assert await a.greet(b) == b.identity.site_id

    play(whole())
