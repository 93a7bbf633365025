"""Three sites that are far from each other, and whose clocks differ.

The host's clock is ten minutes ahead of the guest's, the arbiter's ten minutes behind, from
the making of their certificates on. Then the lines between them become long and lossy too.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from fate_flow.federation import admin
from fate_flow.federation.tokens import issue_site
from tests.support.clock_shift import Clock, compiler
from tests.support.live_jobs import ARBITER, GUEST, HOST
from tests.support.site_net import NetSite, SiteNet, trust, why_not
from tests.support.slow_wire import Weather
from tests.support.three_sites import (
    AGREE_SECONDS,
    COMPONENT,
    SECONDS,
    Federation,
    disturbed_job,
)

WRONG = {"guest": 0, "host": 600, "arb": -600}
#: Of each site's line to the others: the way from site to site has two of them.
LINE = Weather(delay=0.040, jitter=0.010, loss=0.005)
ROUND_TRIP = 4 * LINE.delay * 1000
#: Shorter than the clocks differ, longer than the job takes.
TIMEOUT = 300

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.skipif(not compiler(), reason="no C compiler to make a wrong clock with"),
]


@dataclass
class Check:
    """What ``peer check`` said.

    Attributes:
        code: exit code of the command.
        steps: by name.
    """

    code: int
    steps: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, site: NetSite, peer: NetSite) -> Check:
        done = site.run("peer", "check", peer.name, "--megabytes", "0.2", "--json")
        steps = json.loads(done.stdout)["steps"]
        return cls(done.returncode, {step["step"]: step for step in steps})


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("sites")
    with contextlib.ExitStack() as stack:
        # The test's own calls to a gateway: tokens that are valid by every site's clock.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(admin, "issue_site", lambda secret, **_: issue_site(secret, ttl=3600.0))
        net = stack.enter_context(SiteNet())
        sites = []
        for name, party in (("guest", GUEST), ("host", HOST), ("arb", ARBITER)):
            clock = Clock.make(folder, name, WRONG[name])
            site = NetSite.make_in(net, name, folder / name, party, environment=clock.environment)
            stack.callback(site.stop)
            site.start()
            sites.append(site)
        guest, host, arbiter = sites
        for one, other in ((guest, host), (guest, arbiter), (host, arbiter)):
            trust(one, other)
        yield Federation.undisturbed(net, guest, host, arbiter, folder)


def _clock(site: NetSite) -> Clock:
    return Clock(Path(site.environment["CLOCK_SHIFT"]), dict(site.environment))


def _now(site: NetSite) -> float:
    """The site's clock, ms."""
    return (time.time() + _clock(site).ahead) * 1000


def _times_are_sane(federation: Federation, job_id: str, began: float) -> None:
    """At every site all of the job happened since ``began``, and nothing in the future."""
    seconds = time.time() - began
    for site in federation.sites:
        now = _now(site)
        # 2 s: a smaller difference of clocks is taken for the time that a message needs.
        early = now - seconds * 1000 - 2_000
        for row in (
            *site.client.query_jobs(job_id=job_id),
            *site.client.query_tasks(job_id=job_id),
        ):
            times = [row[f"f_{name}_time"] for name in ("create", "start", "end")]
            where = f"{site.name}, its clock at {now:.0f}: {row}"
            assert times == sorted(times), where
            assert early <= times[0], where
            assert times[-1] <= now + 2_000, where
            assert 0 <= row["f_elapsed"] <= seconds * 1000 + 2_000, where


def _has_succeeded(site: NetSite, job_id: str) -> bool:
    return {row["f_status"] for row in site.client.query_jobs(job_id=job_id)} == {"success"}


def test_certificates_of_a_wrong_clock_are_taken(federation: Federation) -> None:
    """They were made by it: the one of the site that is ahead not before it was needed."""
    for site in (federation.host, federation.arbiter):
        pem = (site.settings.identity_dir / "gateway.pem").read_bytes()
        made = x509.load_pem_x509_certificate(pem).not_valid_before_utc
        real = datetime.datetime.fromtimestamp(
            (site.settings.identity_dir / "gateway.pem").stat().st_mtime, datetime.timezone.utc
        )
        backdated = real + datetime.timedelta(seconds=WRONG[site.name]) - made
        assert backdated.total_seconds() == pytest.approx(86_400, abs=30), "made by its own clock"
    for one in federation.sites:
        for other in federation.sites:
            if one is not other:
                steps = Check.of(one, other).steps
                for name in ("tls", "identity", "back: tls", "back: identity"):
                    assert steps[name]["ok"], steps


@pytest.mark.parametrize(
    ("site", "peer", "seconds"),
    [("guest", "host", 600), ("guest", "arbiter", -600), ("arbiter", "host", 1200)],
)
def test_a_check_says_how_far_the_clocks_are_apart(
    federation: Federation, site: str, peer: str, seconds: int
) -> None:
    one, other = getattr(federation, site), getattr(federation, peer)
    check = Check.of(one, other)
    assert check.code == 1
    wrong = {name for name, step in check.steps.items() if not step["ok"]}
    assert wrong == {"clock", "back: clock"}, check.steps
    for name, ahead in (("clock", seconds), ("back: clock", -seconds)):
        said = re.fullmatch(r"their clock is ([\d.]+) s (ahead|behind)", check.steps[name]["text"])
        assert said is not None, check.steps[name]
        assert float(said[1]) == pytest.approx(abs(ahead), abs=3)
        assert said[2] == ("ahead" if ahead > 0 else "behind")
        assert "NTP" in check.steps[name]["remedy"]
    told = one.run("peer", "check", other.name, "--megabytes", "0.2").stdout
    assert told.endswith(f"the connection to {other.name} works, but the clocks differ\n")


def test_a_job_with_a_yes_and_a_time_limit(federation: Federation) -> None:
    """Neither the wait for the yes nor the limit counts the difference of the clocks."""
    dsl, conf = disturbed_job()
    conf["job_parameters"]["timeout"] = TIMEOUT
    host, began = federation.host, time.time()
    host.command("peer", "policy", "guest", "--approval", "ask")
    try:
        job_id = federation.guest.submit(dsl, conf)
        host.wait_until("the question", lambda: job_id in host.command("job", "approvals"), 30)
        assert federation.guest.client.job_state(job_id).status.value == "waiting"
        host.command("job", "approve", job_id)
        federation.succeeds(job_id)
    finally:
        host.command("peer", "policy", "guest", "--approval", "auto")
    _times_are_sane(federation, job_id, began)
    for site in federation.sites:
        assert site.client.job_state(job_id).progress == 100


def test_a_job_whose_time_is_up(federation: Federation) -> None:
    """A limit ends it when it is over by the time that passes, not at once and not never."""
    dsl, conf = disturbed_job()
    conf["algorithm_parameters"][COMPONENT]["max_iter"] = 100_000
    conf["job_parameters"]["timeout"] = 12
    began = time.time()
    job_id = federation.guest.submit(dsl, conf)
    federation.guest.wait(job_id, 60)
    assert 11 < time.time() - began < 40
    federation.agree(job_id, "timeout", AGREE_SECONDS)
    federation.nothing_left(job_id)
    _times_are_sane(federation, job_id, began)


@pytest.mark.parametrize("place", ["host", "arbiter"])
def test_stop_at_a_site_with_a_wrong_clock(federation: Federation, place: str) -> None:
    began = time.time()
    job_id = federation.in_the_middle()
    for site in federation.sites:
        for task in site.client.query_tasks(job_id=job_id):
            running = _now(site) - task["f_start_time"]
            assert -2_000 <= running <= (time.time() - began) * 1000 + 2_000, (site.name, task)
    getattr(federation, place).client.stop_job(job_id)
    federation.agree(job_id, "failed", AGREE_SECONDS)
    federation.nothing_left(job_id)
    _times_are_sane(federation, job_id, began)


def test_an_invitation_is_valid_by_the_clock_of_whoever_takes_it(federation: Federation) -> None:
    """Twenty minutes are between the arbiter and the host: half an hour is enough, ten are not."""
    host, file = federation.host, federation.host.home / "again.json"
    renew = ("peer", "add", str(file), "--renew", "--yes")
    file.write_text(federation.arbiter.command("peer", "invite", "--days", str(30 / 1440)))
    host.command(*renew)
    file.write_text(federation.arbiter.command("peer", "invite", "--days", str(10 / 1440)))
    refused = host.run(*renew)
    assert refused.returncode == 1
    said = re.search(r"was valid until (\S+ \S+) UTC; here it is (\S+ \S+) UTC", refused.stderr)
    assert said is not None, refused.stderr
    until, here = (datetime.datetime.strptime(one, "%Y-%m-%d %H:%M") for one in said.groups())
    assert (here - until).total_seconds() == pytest.approx(600, abs=90)


def test_the_clocks_are_set_right_while_a_job_runs(federation: Federation) -> None:
    """As their administrators were told: one jumps back, the other ahead."""
    job_id = federation.in_the_middle()
    for site in federation.sites:
        _clock(site).set(0)
    federation.guest.must_succeed(job_id, SECONDS)
    for site in federation.sites:
        has_ended = functools.partial(_has_succeeded, site, job_id)
        site.wait_until("the agreed end", has_ended, AGREE_SECONDS)
        rows = (*site.client.query_jobs(job_id=job_id), *site.client.query_tasks(job_id=job_id))
        assert all(row["f_elapsed"] >= 0 for row in rows), (site.name, rows)
        site.wait_healthy()
        uptime = re.search(r"^gateway +\d+ +\d+ +(\S+)", site.command("service", "status"), re.M)
        assert uptime is not None
        assert not uptime[1].startswith("-"), uptime
    federation.same_result(job_id)
    federation.nothing_left(job_id)
    # Whoever has set the clocks looks again.
    assert Check.of(federation.arbiter, federation.host).code == 0


def test_a_long_line_that_loses_packets(federation: Federation) -> None:
    with contextlib.ExitStack() as stack:
        for site in federation.sites:
            stack.enter_context(federation.net.delaying(site.name, LINE))
        for one, other in (
            (federation.guest, federation.host),
            (federation.arbiter, federation.host),
        ):
            text = Check.of(one, other).steps["round_trip"]["text"]
            assert float(text.split()[0]) == pytest.approx(ROUND_TRIP, rel=0.25), text
        began = time.time()
        job_id = federation.guest.submit(*disturbed_job())
        federation.succeeds(job_id)
        _times_are_sane(federation, job_id, began)
        # So many round trips cannot have been made in less: the job did go that way.
        assert time.time() - began > 20 * ROUND_TRIP / 1000
    text = Check.of(federation.guest, federation.host).steps["round_trip"]["text"]
    assert float(text.split()[0]) < ROUND_TRIP / 4, "the line is short again"
    with contextlib.ExitStack() as stack:
        for site in federation.sites:
            gateway = stack.enter_context(site.gateway())
            assert gateway.mailbox() == []
            assert gateway.waits() == []
