"""A job of three sites: tasks meet at the gateway of the initiator, each over its own."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from fate_flow.entities import Party
from fate_flow.errors import AttemptSupersededError, PeerFailedError
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.failures import JobCanceledError
from fate_flow.federation.routing import RouteError
from fate_flow.federation.tokens import ForeignTokenError, TokenError
from tests.support.federated import FederatedGateway, Proxy, three_sites, wait_until
from tests.support.gateway import ARBITER, GUEST, HOST, JOB

pytestmark = pytest.mark.slow
_component = count()


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FederatedGateway]]:
    with three_sites(tmp_path_factory.mktemp("sites"), PEER_GRACE=12) as made:
        yield made


class Tasks:
    """The three tasks of one component."""

    def __init__(self, sites: list[FederatedGateway], **options: Any) -> None:
        self.sites = sites
        self.options = {"component": f"lr_{next(_component)}", "timeout": 60.0, **options}
        self.guest, self.host, self.arbiter = (
            site.task(site.parties[0], sites[0], **self.options) for site in sites
        )
        self.pool = ThreadPoolExecutor(6)

    def all(self, work: Callable[[GatewaySession], Any]) -> list[Any]:
        return list(self.pool.map(work, (self.guest, self.host, self.arbiter)))

    def __enter__(self) -> Tasks:
        return self

    def __exit__(self, *_: object) -> None:
        for session in (self.guest, self.host, self.arbiter):
            session.close()
        self.pool.shutdown()


def test_values_go_all_ways_and_the_component_ends(sites: list[FederatedGateway]) -> None:
    with Tasks(sites) as tasks:
        assert tasks.all(lambda task: task.join()) == [0, 0, 0]
        big = np.frombuffer(os.urandom(50_000_000), dtype=np.uint8)
        tasks.guest.send("big", big, [HOST, ARBITER])
        sent = tasks.pool.submit(tasks.host.send, "back", big, [GUEST, ARBITER])
        for task in (tasks.host, tasks.arbiter):
            assert np.array_equal(task.receive("big", GUEST), big)
        for task in (tasks.guest, tasks.arbiter):
            assert np.array_equal(task.receive("back", HOST), big)
        sent.result(30)
        for number in range(20):
            tasks.arbiter.send("small", number, HOST, (number,))
            assert tasks.host.receive("small", ARBITER, (number,)) == number
        tasks.all(lambda task: task.finish())
    with sites[0].admin() as home, sites[1].admin() as other:
        assert home.counters()["components_completed"] == 1
        assert other.counters()["tasks_attached"] == 0, "the rooms are at home only"


def test_a_failure_reaches_all_sites(sites: list[FederatedGateway]) -> None:
    with Tasks(sites) as tasks:
        tasks.all(lambda task: task.join())
        waiting = tasks.pool.submit(tasks.arbiter.receive, "x", GUEST)
        tasks.host.finish("no labels")
        with pytest.raises(PeerFailedError, match=r"host 10000 failed in lr_.*: no labels"):
            waiting.result(10)
        with pytest.raises(PeerFailedError):
            tasks.guest.receive("x", HOST)


def test_a_task_that_starts_again_is_met_anew(sites: list[FederatedGateway]) -> None:
    with Tasks(sites) as tasks:
        tasks.all(lambda task: task.join())
        waiting = tasks.pool.submit(tasks.guest.receive, "x", HOST)
        again = sites[1].task(HOST, sites[0], try_number=2, **tasks.options)
        with again:
            joined = tasks.pool.submit(again.join)
            with pytest.raises(AttemptSupersededError, match="was started again"):
                waiting.result(10)
            others = [tasks.pool.submit(task.join) for task in (tasks.guest, tasks.arbiter)]
            assert [each.result(20) for each in (joined, *others)] == [1, 1, 1]
            again.send("x", 7, GUEST)
            assert tasks.guest.receive("x", HOST) == 7


def test_a_lost_task_is_told_to_the_home_at_once(sites: list[FederatedGateway]) -> None:
    """Not after PEER_GRACE: its own gateway knows that it was the task."""
    with Tasks(sites) as tasks:
        tasks.all(lambda task: task.join())
        tasks.host._channel.close()  # type: ignore[union-attr]
        tasks.host._link._closed = True  # type: ignore[union-attr]
        started = time.monotonic()
        with pytest.raises(AttemptSupersededError, match="host 10000 was lost"):
            tasks.guest.receive("x", HOST)
        assert time.monotonic() - started < 12


def test_the_relaying_gateway_may_start_again(sites: list[FederatedGateway]) -> None:
    for end in (FederatedGateway.kill, FederatedGateway.stop):
        with Tasks(sites) as tasks:
            tasks.all(lambda task: task.join())
            receiving = tasks.pool.submit(tasks.host.receive, "x", GUEST)
            time.sleep(0.5)
            end(sites[1])
            time.sleep(1.0)
            sites[1].start()
            tasks.guest.send("x", 5, HOST)
            assert receiving.result(30) == 5
            tasks.host.send("y", 6, GUEST)
            assert tasks.guest.receive("y", HOST) == 6
            assert tasks.host.identity.attempt == 0, "the same attempt goes on"
            tasks.all(lambda task: task.finish())


def test_a_site_that_does_not_come_back_is_lost(sites: list[FederatedGateway]) -> None:
    texts: list[str | None] = []
    with Tasks(sites) as tasks:
        tasks.guest._waits._on_wait = texts.append
        tasks.all(lambda task: task.join())
        started = time.monotonic()
        sites[1].kill()
        try:
            with pytest.raises(AttemptSupersededError, match="host 10000 was lost"):
                tasks.guest.receive("x", HOST)
            assert 10 < time.monotonic() - started < 20
            away = f"; host 10000 at site {sites[1].card().name} has had no connection for"
            assert any(away in (text or "") for text in texts), texts
        finally:
            sites[1].start()


def test_the_home_gateway_may_start_again(sites: list[FederatedGateway]) -> None:
    with Tasks(sites) as tasks:
        tasks.all(lambda task: task.join())
        receiving = tasks.pool.submit(tasks.host.receive, "x", GUEST)
        time.sleep(0.5)
        sites[0].kill()
        sites[0].start()
        with pytest.raises(AttemptSupersededError, match="gateway was restarted"):
            receiving.result(30)
        assert set(tasks.all(lambda task: task.join())) == {1}
        tasks.guest.send("x", 1, [HOST, ARBITER])
        assert tasks.host.receive("x", GUEST) == tasks.arbiter.receive("x", GUEST) == 1
        tasks.all(lambda task: task.finish())


def test_a_link_that_breaks_for_a_while(sites: list[FederatedGateway]) -> None:
    proxy = Proxy(f"127.0.0.1:{sites[0].port}")
    bank = sites[0].card()
    through = replace(bank, address=proxy.address)
    sites[1].know(through, sites[2])
    try:
        texts: list[str | None] = []
        with Tasks(sites) as tasks, ThreadPoolExecutor(1) as pool:
            tasks.host._waits._on_wait = texts.append
            tasks.all(lambda task: task.join())
            assert proxy.opened >= 1
            big = np.frombuffer(os.urandom(30_000_000), dtype=np.uint8)
            proxy.cut()
            sending = pool.submit(tasks.host.send, "x", big, GUEST)
            time.sleep(6)
            proxy.heal()
            assert np.array_equal(tasks.guest.receive("x", HOST), big)
            sending.result(20)
            assert tasks.host.identity.attempt == 0
            tasks.all(lambda task: task.finish())
        assert any(text and "site bank" in text and "no connection" in text for text in texts)
    finally:
        sites[1].know(sites[0], sites[2])
        proxy.close()


def test_a_slow_link_is_not_a_broken_one(sites: list[FederatedGateway]) -> None:
    """Answers to pings stand behind megabytes of a value in the buffers of the way."""
    proxy = Proxy(f"127.0.0.1:{sites[0].port}")
    sites[1].know(replace(sites[0].card(), address=proxy.address), sites[2])
    try:
        with Tasks(sites) as tasks:
            tasks.all(lambda task: task.join())
            proxy.rate = 400_000.0
            value = os.urandom(10_000_000)
            sending = tasks.pool.submit(tasks.host.send, "x", value, GUEST)
            assert tasks.guest.receive("x", HOST) == value
            sending.result(20)
            assert tasks.host.identity.attempt == 0
        assert proxy.opened == 1
    finally:
        sites[1].know(sites[0], sites[2])
        proxy.close()


def test_a_cut_in_the_middle_of_a_value(sites: list[FederatedGateway]) -> None:
    proxy = Proxy(f"127.0.0.1:{sites[0].port}")
    bank = sites[0].card()
    sites[1].know(replace(bank, address=proxy.address), sites[2])
    try:
        with Tasks(sites) as tasks:
            tasks.all(lambda task: task.join())
            big = np.frombuffer(os.urandom(60_000_000), dtype=np.uint8)
            sending = tasks.pool.submit(tasks.host.send, "x", big, GUEST)
            receiving = tasks.pool.submit(tasks.guest.receive, "x", HOST)
            time.sleep(0.05)
            proxy.cut()
            time.sleep(0.5)
            proxy.heal()
            assert np.array_equal(receiving.result(40), big)
            sending.result(20)
    finally:
        sites[1].know(sites[0], sites[2])
        proxy.close()


@pytest.mark.parametrize("sender", [HOST, GUEST], ids=lambda party: party.role)
def test_a_large_value_goes_on_where_it_broke(sites: list[FederatedGateway], sender: Party) -> None:
    """Cut twice: sent anew each time, twice its bytes would have crossed."""
    proxy = Proxy(f"127.0.0.1:{sites[0].port}")
    sites[1].know(replace(sites[0].card(), address=proxy.address), sites[2])
    size = 90_000_000
    try:
        with Tasks(sites) as tasks:
            tasks.all(lambda task: task.join())
            near, far = tasks.guest, tasks.host
            source, sink = (near, far) if sender == GUEST else (far, near)
            proxy.rate = 40_000_000.0
            value = os.urandom(size)
            sending = tasks.pool.submit(source.send, "x", value, sink.identity.party)
            receiving = tasks.pool.submit(sink.receive, "x", sender)
            for share in (0.33, 0.67):
                wait_until(lambda share=share: proxy.passed > share * size, 30)
                proxy.cut()
                time.sleep(0.3)
                proxy.heal()
            assert receiving.result(60) == value
            sending.result(20)
            tasks.all(lambda task: task.finish())
            assert tasks.host.identity.attempt == 0
        assert proxy.opened >= 3
        assert proxy.passed < 1.4 * size
    finally:
        sites[1].know(sites[0], sites[2])
        proxy.close()


def test_values_over_a_bad_link(sites: list[FederatedGateway]) -> None:
    """Cut every now and then, in the middle of whatever passes; nothing is lost or doubled."""
    proxy = Proxy(f"127.0.0.1:{sites[0].port}")
    sites[1].know(replace(sites[0].card(), address=proxy.address), sites[2])
    over = threading.Event()
    chance = random.Random(7)

    def disturb() -> None:
        while not over.wait(chance.uniform(0.2, 0.8)):
            proxy.cut()
            time.sleep(chance.uniform(0.0, 0.3))
            proxy.heal()

    sizes = [chance.choice((10, 5_000, 900_000, 4_000_000)) for _ in range(150)]
    try:
        with Tasks(sites) as tasks:
            tasks.all(lambda task: task.join())
            disturber = tasks.pool.submit(disturb)

            def talk(task: GatewaySession, other: Party) -> int:
                for number, size in enumerate(sizes):
                    task.send("value", bytes([number]) * size, other, (number,))
                    assert task.receive("value", other, (number,)) == bytes([number]) * size
                return task.identity.attempt

            talks = [
                tasks.pool.submit(talk, tasks.guest, HOST),
                tasks.pool.submit(talk, tasks.host, GUEST),
            ]
            assert [each.result(120) for each in talks] == [0, 0]
            over.set()
            disturber.result(5)
            tasks.all(lambda task: task.finish())
        assert proxy.opened > 3
    finally:
        over.set()
        sites[1].know(sites[0], sites[2])
        proxy.close()


def test_the_own_gateway_looks_at_the_token(sites: list[FederatedGateway]) -> None:
    """The ticket is the site's; which task may use it says the task's own token."""
    _, shop, _ = sites
    options: dict[str, Any] = {"component": "token_0", "timeout": 5.0}
    for wrong, error in (
        (shop.token(GUEST, component="token_0"), ForeignTokenError),
        (shop.token(HOST, component="token_1"), ForeignTokenError),
        (sites[0].token(HOST, component="token_0"), TokenError),
    ):
        with shop.task(HOST, sites[0], token=wrong, **options) as task, pytest.raises(error):
            task.join()
    with (
        shop.task(HOST, sites[0], ticket=sites[2].ticket([HOST]), **options) as task,
        pytest.raises(TokenError, match="not signed by this site"),
    ):
        task.join()
    with (
        shop.session(HOST, home=Party("guest", 1), ticket="x.y", **options) as task,
        pytest.raises(RouteError, match="guest 1 is not hosted here and at no peer"),
    ):
        task.join()


def test_a_cancelled_job_ends_its_tasks_here(sites: list[FederatedGateway]) -> None:
    job = "2026010100000000000077"
    with Tasks(sites, job=job) as tasks:
        tasks.all(lambda task: task.join())
        waiting = tasks.pool.submit(tasks.host.receive, "x", GUEST)
        wait_until(lambda: _is_waiting(sites[0], HOST))
        with sites[1].admin() as admin:
            assert admin.cancel(job, "the user wished it") == 1
        with pytest.raises(JobCanceledError, match="the user wished it"):
            waiting.result(10)
        with pytest.raises(JobCanceledError):
            sites[1].task(HOST, sites[0], **{**tasks.options, "job": job}).join()


def _is_waiting(home: FederatedGateway, party: Party) -> bool:
    with home.admin() as admin:
        return any(wait.party == party for wait in admin.waits())


def test_peers_are_kept_over_a_restart(sites: list[FederatedGateway]) -> None:
    with sites[2].admin() as admin:
        before = admin.health().peers_digest
    sites[2].stop()
    sites[2].start()
    with sites[2].admin() as admin:
        assert admin.health().peers_digest == before
        assert JOB not in {wait.job_id for wait in admin.waits()}
