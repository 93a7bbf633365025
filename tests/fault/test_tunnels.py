"""Sites that cannot call each other: through an exchange, and from behind a NAT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.support.tunnels import MIB, Site, echo, play, running

pytestmark = pytest.mark.slow


@pytest.fixture
def sites(tmp_path: Path) -> Callable[[int], list[Site]]:
    return lambda count: [Site(tmp_path, number) for number in range(1, count + 1)]


def test_through_an_exchange_that_is_trusted_with_nothing(
    sites: Callable[[int], list[Site]],
) -> None:
    a, b, exchange = sites(3)

    async def scenario() -> None:
        # The exchange has another authority on record for b: what it carries it cannot judge.
        exchange.start_process(
            a.as_peer(may_route=True), b.as_peer(ca_pem=exchange.identity.ca_pem)
        )
        await a.start(exchange.as_peer(), b.as_peer(address="", via=exchange.name))
        await b.start(exchange.as_peer(), a.as_peer(address="", via=exchange.name))
        assert await a.greet(b) == b.identity.site_id
        before = exchange.memory
        sent, received = await echo(a.stub(b), [(MIB, MIB)] * 100)
        assert (sent, received) == (100 * MIB, 100 * MIB)
        assert exchange.memory - before < 64 * MIB

    async def whole() -> None:
        async with running(a, b, exchange):
            await scenario()
        assert f"from peer {a.name} to peer {b.name}" in exchange.log

    play(whole())


def test_an_exchange_that_leads_elsewhere_is_found_out(sites: Callable[[int], list[Site]]) -> None:
    a, b, exchange, other = sites(4)

    async def whole() -> None:
        async with running(a, b, exchange, other):
            await other.start(a.as_peer())
            exchange.start_process(
                a.as_peer(may_route=True), b.as_peer(address=f"127.0.0.1:{other.port}")
            )
            await a.start(exchange.as_peer(), b.as_peer(address="", via=exchange.name))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await a.greet(b, 5.0)
            assert caught.value.code() in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            )

    play(whole())


def test_a_site_behind_a_nat_calls_and_is_called(sites: Callable[[int], list[Site]]) -> None:
    a, nat, hub = sites(3)

    async def whole() -> None:
        async with running(a, nat, hub):
            hub.start_process(
                a.as_peer(may_route=True), nat.as_peer(address="", dials_in=True, may_route=True)
            )
            await nat.start(hub.as_peer(we_dial=True), a.as_peer(address="", via=hub.name))
            await a.start(hub.as_peer(), nat.as_peer(address="", via=hub.name))
            assert await nat.greet(hub) == hub.identity.site_id
            assert await nat.greet(a) == a.identity.site_id
            assert await a.greet_within(nat, 10.0) == nat.identity.site_id
            sent, received = await echo(a.stub(nat), [(MIB, MIB)] * 10)
            assert (sent, received) == (10 * MIB, 10 * MIB)

    play(whole())


def test_the_hub_itself_reaches_the_site_behind_a_nat(sites: Callable[[int], list[Site]]) -> None:
    nat, hub = sites(2)

    async def whole() -> None:
        async with running(nat, hub):
            await hub.start(nat.as_peer(address="", dials_in=True))
            with pytest.raises(grpc.aio.AioRpcError):
                await hub.greet(nat, 3.0)
            record = hub.state.router.peers.named(nat.name)
            assert record is not None
            assert "has no connection open to this site" in hub.state.tunnel.trouble(record)
            await nat.start(hub.as_peer(we_dial=True))
            assert await hub.greet_within(nat, 15.0) == nat.identity.site_id
            assert hub.state.tunnel.trouble(record) == ""
            assert hub.state.tunnel.is_listening(record)

    play(whole())


def test_two_sites_behind_nats(sites: Callable[[int], list[Site]]) -> None:
    one, two, hub = sites(3)

    async def whole() -> None:
        async with running(one, two, hub):
            await hub.start(
                *(s.as_peer(address="", dials_in=True, may_route=True) for s in (one, two))
            )
            for own, other in ((one, two), (two, one)):
                await own.start(hub.as_peer(we_dial=True), other.as_peer(address="", via=hub.name))
            assert await one.greet_within(two, 10.0) == two.identity.site_id
            assert await two.greet_within(one, 10.0) == one.identity.site_id

    play(whole())
