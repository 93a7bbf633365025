"""Two separate sites of different kinds lose a worker, a database or the broker during a job.

Celery, Redis and PostgreSQL at the guest's site, MariaDB at that of host and arbiter. What was
killed is back after some seconds. The job then ends as if nothing had happened: one agreed
state, the weights of an undisturbed run, nothing left behind, all processes well. The moments
are random; the seed is printed (``FATE_FLOW_TEST_SEED`` repeats it).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from fate_flow.cli import site as sites
from fate_flow.entities import Party
from fate_flow.federation.admin import GatewayAdmin
from tests.support import servers
from tests.support.live_jobs import ARBITER, GUEST, HOST
from tests.support.live_site import LiveSite
from tests.support.servers import DatabaseServer, RedisServer
from tests.support.service import RunningSite, free_ports
from tests.support.site_net import NetSite, SiteNet, trust
from tests.support.three_sites import Federation, disturbed_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: From the return of what was killed to the end of the job.
BACK_SECONDS = 100.0
#: How long a killed database is away: longer than the processes are patient with one question.
AWAY_SECONDS = 10.0
BROKER_AWAY_SECONDS = 6.0
#: Long enough for several starts in vain.
LONG_SECONDS = 15.0
#: A start of the whole site on a busy machine, and no such pause.
HEALTHY_SECONDS = 60.0


class BigSite(NetSite):
    """A site among others on the loopback interface: no namespace, no net to be cut."""

    url = RunningSite.url
    run = LiveSite.run

    @classmethod
    def initialised(cls, name: str, home: Path, *parties: Party, **values: Any) -> BigSite:
        """A site with certificates; nothing is started."""
        http_port, grpc_port = free_ports(2)
        options = {
            "HTTP_PORT": http_port,
            "GRPC_PORT": grpc_port,
            "PARTIES": [party.key for party in parties],
            "PARALLELISM": 6,
            # How soon a task of a killed worker is noticed; 90 s where nobody waits for it.
            "AIRFLOW": {"scheduler": {"task_instance_heartbeat_timeout": 12}},
            **values,
        }
        sites.initialise(home, options, name=name)
        return cls(home, http_port, grpc_port, name=name, parties=parties)

    def gateway(self) -> GatewayAdmin:
        return LiveSite.gateway(self)


@dataclass
class Place:
    """The two sites and the servers that they live on."""

    federation: Federation
    postgres: DatabaseServer
    maria: DatabaseServer
    broker: RedisServer

    @property
    def guest(self) -> NetSite:
        return self.federation.guest

    @property
    def host(self) -> NetSite:
        return self.federation.host

    def survives(self, job_id: str, what: str) -> None:
        """The job succeeds, soon, and all is as before.

        Args:
            what: had been killed, and is there again from now on.
        """
        began = time.monotonic()
        self.federation.succeeds(job_id, BACK_SECONDS)
        ended = time.monotonic()
        for site in (self.guest, self.host):
            site.wait_healthy(HEALTHY_SECONDS)
            assert set(site.run_states(f"fate_flow_{job_id}")) == {"success"}
            with site.gateway() as gateway:
                assert gateway.mailbox() == []
        healthy = time.monotonic()
        print(f"{what}: job {ended - began:.1f} s, health {healthy - began:.1f} s after its return")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("bigger")
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(servers.postgresql())
        maria = stack.enter_context(servers.mariadb())
        broker = stack.enter_context(servers.redis())
        here = postgres.site_values("guest_site") | broker.site_values()
        guest = BigSite.initialised("guest", folder / "g", GUEST, **here)
        there = maria.site_values("host_site")
        host = BigSite.initialised("host", folder / "h", HOST, ARBITER, **there)
        for site in (guest, host):
            stack.callback(site.stop)
        with ThreadPoolExecutor() as pool:
            list(pool.map(LiveSite.start, (guest, host)))
        trust(guest, host)
        undisturbed = Federation.undisturbed(SiteNet(), guest, host, host, folder)
        yield Place(undisturbed, postgres, maria, broker)


def test_the_worker_is_killed(place: Place) -> None:
    job_id = place.federation.in_the_middle()
    workers = psutil.Process(place.guest.service("celery-worker")["pid"])
    old = workers.children(recursive=True)
    place.guest.kill("celery-worker")
    assert not psutil.wait_procs(old, timeout=20)[1], "its tasks are ended"
    place.survives(job_id, "Celery worker")
    assert place.guest.service("celery-worker")["restarts"] == 1


@pytest.mark.parametrize("which", ["postgres", "maria"])
def test_a_database_is_killed(place: Place, which: str) -> None:
    server: DatabaseServer = getattr(place, which)
    job_id = place.federation.in_the_middle()
    with server.process.killed(AWAY_SECONDS):
        pass
    place.survives(job_id, server.engine)


def test_the_broker_is_killed_and_forgets_all(place: Place) -> None:
    job_id = place.federation.in_the_middle()
    with place.broker.process.killed(BROKER_AWAY_SECONDS):
        pass
    place.survives(job_id, "Redis")


def test_the_broker_is_away_when_a_task_is_to_be_sent(place: Place) -> None:
    with place.broker.process.killed(BROKER_AWAY_SECONDS):
        job_id = place.guest.submit(*disturbed_job())
    place.survives(job_id, "Redis")


def test_what_ends_without_its_database_is_started_when_that_is_back(place: Place) -> None:
    names = ("api-server", "scheduler")
    with place.postgres.process.killed(LONG_SECONDS):
        before = [place.guest.service(name)["restarts"] for name in names]
        place.guest.kill("api-server")
    began = time.monotonic()
    place.guest.wait_healthy(HEALTHY_SECONDS)
    print(f"site healthy {time.monotonic() - began:.1f} s after the database's return")
    restarts = [place.guest.service(name)["restarts"] for name in names]
    # One more at most, by a server that was there and not ready yet.
    assert all(new - old <= 2 for new, old in zip(restarts, before, strict=True)), restarts
    log = (place.guest.home / "logs/fate_flow/supervisor.log").read_text()
    assert "does not answer" in log
    assert "answers again" in log
