"""Two organisations with sites of different kinds: Celery, Redis and PostgreSQL here, MariaDB
there. The main job over mutual TLS gives the numbers of one standalone site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fate_flow.cli import demo_data
from fate_flow.entities import Party
from tests.support import servers
from tests.support.live_jobs import (
    ARBITER,
    GUEST,
    HOST,
    NAMESPACE,
    main_job,
    upload_breast,
    weights,
)
from tests.support.live_site import LiveSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Pair = tuple[LiveSite, LiveSite]


def _party(*parties: Party) -> dict[str, Any]:
    return {"PARTIES": [party.key for party in parties], "PARALLELISM": 6}


def _trust(one: LiveSite, other: LiveSite, name: str) -> None:
    done = one.run("peer", "invite")
    assert done.returncode == 0, done.stderr
    file = other.home / f"{name}.json"
    file.write_text(done.stdout)
    done = other.run("peer", "add", str(file), "--name", name, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("two")
    with servers.postgresql() as postgres, servers.redis() as broker, servers.mariadb() as maria:
        here = postgres.site_values("guest_site") | broker.site_values() | _party(GUEST)
        there = maria.site_values("host_site") | _party(HOST, ARBITER)
        with (
            servers.started_on(folder / "guest", identity="guest-bank", **here) as guest,
            servers.started_on(folder / "host", identity="host-bank", **there) as host,
        ):
            _trust(guest, host, "guest-bank")
            _trust(host, guest, "host-bank")
            files = demo_data.write(folder / "data")
            guest.upload(files.guest, NAMESPACE, "guest")
            host.upload(files.host, NAMESPACE, "host")
            yield guest, host


def test_the_main_job_gives_the_numbers_of_one_site(pair: Pair, live_site: LiveSite) -> None:
    guest, host = pair
    upload_breast(live_site)
    expected = weights(live_site, live_site.finish(*main_job()))
    job_id = guest.finish(*main_job(), timeout=240)
    host.must_succeed(job_id, 30)
    mine = weights(guest, job_id, parties=(GUEST,))
    found = mine | weights(host, job_id, parties=(HOST,))
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_stop_at_the_one_ends_the_other(pair: Pair) -> None:
    guest, host = pair
    dsl, conf = main_job(max_iter=100_000, tol=0.0, learning_rate=1e-6)
    job_id = guest.submit(dsl, conf)
    host.wait_until("its LR", lambda: bool(host.task(job_id, "hetero_lr_0", HOST)), 120)
    host.client.stop_job(job_id)
    for site in pair:
        assert site.wait(job_id, 60).status.value == "failed"
        assert "stopped by request" in site.reason(job_id)
