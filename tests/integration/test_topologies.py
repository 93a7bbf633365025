"""Whole jobs of sites that cannot call each other: through an exchange, and from behind a NAT.

Firewalls enforce it. The moments at which something is killed are random; the seed is printed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fate_flow.errors import FateFlowError
from tests.support.firewall import let_in, reached_from
from tests.support.live_jobs import NAMESPACE, upload_breast, weights
from tests.support.live_site import LiveSite
from tests.support.site_net import NetSite, why_not
from tests.support.star import EXCHANGE, Star, star
from tests.support.three_sites import AGREE_SECONDS, COMPONENT, SECONDS, disturbed_job

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]

#: A site that dials out tries every few seconds, whatever the outage was.
DIAL_SECONDS = 15.0


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Star]:
    with star(tmp_path_factory.mktemp("star")) as made:
        yield made


def test_only_the_exchange_can_be_called(sites: Star) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda site: reached_from(site, sites.everyone), sites.everyone))
    by_name = dict(zip((site.name for site in sites.everyone), found, strict=True))
    assert by_name == {
        "guest": {EXCHANGE},
        "host": {EXCHANGE},
        "arb": {EXCHANGE},
        EXCHANGE: {"guest", "arb"},
    }


def test_a_check_goes_through_in_both_directions_everywhere(sites: Star) -> None:
    for one, other in itertools.permutations(sites.everyone, 2):
        said = sites.check(one, other)
        lines = said.splitlines()
        steps = {line[7:].partition("  ")[0] for line in lines[:-1]}
        assert all(line.startswith("ok ") for line in lines[:-1]), said
        assert {"bandwidth", "back: bandwidth"} <= steps, said
        assert lines[-1] == f"the connection to {other.name} works in both directions"
        if sites.exchange not in (one, other):
            assert lines[0].split() == ["ok", "address", "through", EXCHANGE]
            assert said.count(f"through {EXCHANGE}") == 4, said
    # Not by an address: over the connection that the host's site keeps open.
    assert "through a tunnel" in sites.check(sites.exchange, sites.host)


def test_the_weights_are_those_of_one_site(sites: Star, live_site: LiveSite) -> None:
    upload_breast(live_site)
    job_id = live_site.finish(*disturbed_job())
    assert weights(live_site, job_id) == pytest.approx(sites.expected, abs=1e-6)


def test_a_job_leaves_nothing(sites: Star) -> None:
    began = time.monotonic()
    sites.succeeds(sites.guest.submit(*disturbed_job()))
    print(f"a job through the exchange: {time.monotonic() - began:.1f} s")


@pytest.mark.parametrize("place", ["host", "guest"])
def test_stop_ends_it_everywhere(sites: Star, place: str) -> None:
    site: NetSite = getattr(sites, place)
    job_id = sites.in_the_middle()
    began = time.monotonic()
    site.client.stop_job(job_id)
    sites.agree(job_id, "failed", AGREE_SECONDS)
    sites.nothing_left(job_id)
    assert time.monotonic() - began < AGREE_SECONDS
    for each in sites.sites:
        assert "stopped by request" in each.reason(job_id), each.why(job_id)


@pytest.mark.parametrize("place", ["exchange", "host"])
def test_a_killed_gateway(sites: Star, place: str) -> None:
    site: NetSite = getattr(sites, place)
    job_id = sites.in_the_middle()
    killed = site.kill("gateway")
    sites.succeeds(job_id)
    site.wait_healthy()
    assert site.service("gateway")["pid"] != killed
    sites.recover(sites.guest, sites.host, DIAL_SECONDS)


def test_the_exchange_is_away_for_a_while(sites: Star) -> None:
    job_id = sites.in_the_middle()
    sites.exchange.stop()
    began = time.monotonic()
    pairs = list(itertools.permutations(sites.sites, 2))
    with ThreadPoolExecutor(len(pairs)) as pool:
        all_said = list(pool.map(lambda pair: sites.failing_check(*pair), pairs))
    for said in all_said:
        assert "site exchange cannot be reached: connection refused" in said, said
        assert "-> fate_flow peer check exchange says more" in said, said
    for one in sites.sites:
        said = sites.failing_check(one, sites.exchange)
        assert ":9360: connection refused" in said, said
        assert "-> Their service does not run" in said, said
    for site, role in ((sites.host, "host"), (sites.arbiter, "arbiter")):
        site.wait_until(
            f"the {role} tells what it waits for",
            lambda site=site, role=role: _waits_for_exchange(site, job_id, role),  # type: ignore[misc]
            15.0,
        )
    time.sleep(max(0.0, began + 15.0 - time.monotonic()))
    for site in sites.sites:
        assert site.client.job_state(job_id).status.value == "running", site.why(job_id)
    sites.exchange.start()
    back = time.monotonic()
    sites.succeeds(job_id)
    print(f"succeeded {time.monotonic() - back:.1f} s after the exchange was back")
    sites.recover(sites.guest, sites.host, DIAL_SECONDS)


def _waits_for_exchange(site: NetSite, job_id: str, role: str) -> bool:
    """Its own task names who cannot be reached, and what is in the way."""
    for task in site.client.query_tasks(job_id=job_id, component_name=COMPONENT, role=role):
        text = str(task.get("f_message") or "")
        if "waiting for site guest (via exchange), no connection for" in text:
            return "site exchange cannot be reached" in text
    return False


def test_the_network_of_the_exchange_is_cut(sites: Star) -> None:
    job_id = sites.in_the_middle()
    sites.net.cut(EXCHANGE)
    try:
        time.sleep(20)
    finally:
        sites.net.heal(EXCHANGE)
    healed = time.monotonic()
    sites.succeeds(job_id)
    print(f"succeeded {time.monotonic() - healed:.1f} s after the network was back")
    # Nothing else ran over them meanwhile: what both have kept open is not trusted for ever.
    sites.recover(sites.guest, sites.host, DIAL_SECONDS)


def test_an_exchange_that_does_not_route_for_us(sites: Star) -> None:
    mend = "There: fate_flow peer update guest --may-route yes"
    sites.exchange.command("peer", "update", "guest", "--may-route", "no")
    try:
        said = sites.failing_check(sites.guest, sites.host)
        assert "site exchange says: peer guest may not reach other sites through this one" in said
        assert mend in said, said
        # The host does reach the guest; it is the way back that fails.
        back = sites.failing_check(sites.host, sites.guest)
        assert "back: tcp        site exchange says: peer guest may not reach" in back, back
        before = _jobs(sites)
        with pytest.raises(FateFlowError) as refused:
            sites.guest.submit(*disturbed_job())
        assert "site host (via exchange) cannot be reached" in str(refused.value)
        assert mend in str(refused.value)
        sites.guest.wait_until("nothing half made", lambda: _jobs(sites) == before, 20)
    finally:
        sites.exchange.command("peer", "update", "guest", "--may-route", "yes")
    sites.recover(sites.guest, sites.host, DIAL_SECONDS)


def _jobs(sites: Star) -> list[list[tuple[int, ...]]]:
    return [site.select("SELECT count(*) FROM t_job") for site in sites.sites]


def test_a_site_behind_a_nat_that_does_not_dial(sites: Star) -> None:
    sites.host.command("peer", "update", EXCHANGE, "--nobody-dials")
    try:
        mend = "At host: the service must run, and must have added this site with --we-dial"
        for one, says in ((sites.guest, "site exchange says: "), (sites.exchange, "")):
            said = sites.failing_check(one, sites.host)
            assert f"{says}site host has no connection open to this site. {mend}" in said, said
        # It calls out as before, and is told what is wrong with the way back.
        said = sites.failing_check(sites.host, sites.exchange)
        assert said.count("WRONG") == 1, said
        assert "WRONG  back: tcp        site host has no connection open to this site" in said
    finally:
        sites.host.command("peer", "update", EXCHANGE, "--we-dial")
    sites.recover(sites.guest, sites.host, DIAL_SECONDS)


def test_the_home_of_the_job_moves_behind_a_nat_too(sites: Star) -> None:
    guest, exchange = sites.guest, sites.exchange
    let_in(guest)
    exchange.command("peer", "update", "guest", "--they-dial", "--address", "")
    guest.command("peer", "update", EXCHANGE, "--we-dial")
    try:
        assert reached_from(exchange, sites.everyone) == {"arb"}
        sites.recover(sites.arbiter, guest, DIAL_SECONDS)
        sites.recover(sites.host, guest, DIAL_SECONDS)
        job_id = sites.in_the_middle()
        exchange.kill("gateway")
        sites.succeeds(job_id)
    finally:
        let_in(guest, exchange)
        address = sites.net.federation_address("guest")
        guest.command("peer", "update", EXCHANGE, "--nobody-dials")
        exchange.command("peer", "update", "guest", "--nobody-dials", "--address", address)
    sites.recover(sites.host, guest, DIAL_SECONDS)


def test_the_exchange_keeps_nothing_and_writes_down_who_spoke_to_whom(sites: Star) -> None:
    job_id = sites.guest.finish(*disturbed_job(), timeout=SECONDS)
    sites.agree(job_id, "success", AGREE_SECONDS)
    exchange = sites.exchange
    for name in ("guest", "host", "arb"):
        # Ends the connections to it, which is when they are written down.
        exchange.command("peer", "update", name, "--may-route", "no")
        exchange.command("peer", "update", name, "--may-route", "yes")
    log = (exchange.home / "logs" / "fate_flow" / "gateway.log").read_text()
    for one, other in (("guest", "host"), ("guest", "arb"), ("host", "guest"), ("arb", "guest")):
        assert f"from peer {one} to peer {other}: " in log, log[-5000:]
    with exchange.gateway() as gateway:
        assert gateway.mailbox() == []
        assert gateway.waits() == []
        counters = gateway.counters()
    assert counters["messages_stored"] == counters["messages_received"] == 0, counters
    assert list((exchange.home / "gateway" / "values").rglob("*")) == []
    # The same search finds all of it where it may be.
    for site in sites.sites:
        secrets = _secrets(site)
        assert len(secrets) >= 4
        assert set(secrets) <= _found_in(site.home, secrets)
        assert _found_in(exchange.home, secrets) == set(), site.name
    words = [job_id.encode(), NAMESPACE.encode()]
    assert _found_in(sites.guest.home, words) == set(words)
    assert _found_in(exchange.home, words) == set()


def _secrets(site: NetSite) -> list[bytes]:
    """Keys of a site: a line of each file with one, or all of it."""
    files = [*site.settings.identity_dir.glob("*.key"), site.home / "conf" / "site_secret"]
    return [max(file.read_bytes().splitlines(), key=len) for file in files]


def _found_in(folder: Path, words: list[bytes]) -> set[bytes]:
    """Which of the words stand in any file below a folder."""
    found: set[bytes] = set()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found.update(word for word in words if word in content)
    return found
