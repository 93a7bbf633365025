"""Three sites, each in a network namespace of its own, run the main job and are hurt.

After each fault: one agreed terminal state at all sites within 30 s of the fault's end, the
weights of an undisturbed run, and nothing left behind. The moments are random; the seed is
printed (``FATE_FLOW_TEST_SEED`` repeats it).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.entities import Party
from tests.support.live_jobs import ARBITER, GUEST, HOST, NAMESPACE
from tests.support.site_net import NetSite, SiteNet, trust, why_not
from tests.support.three_sites import (
    AGREE_SECONDS,
    COMPONENT,
    SECONDS,
    Federation,
    disturbed_job,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """The folder on a file system of its own that can be filled, where that is allowed."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=500m", "tmpfs", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, check=False)
    try:
        yield
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    folder = tmp_path_factory.mktemp("sites")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_small_disk(folder / "h"))
        net = stack.enter_context(SiteNet())
        guest = NetSite.make_in(net, "guest", folder / "g", GUEST)
        host = NetSite.make_in(net, "host", folder / "h", HOST)
        arbiter = NetSite.make_in(net, "arb", folder / "a", ARBITER)
        for site in (guest, host, arbiter):
            stack.callback(site.stop)
            site.start()
        for one, other in ((guest, host), (guest, arbiter), (host, arbiter)):
            trust(one, other)
        yield Federation.undisturbed(net, guest, host, arbiter, folder)


def test_every_site_knows_what_it_should_and_no_more(federation: Federation) -> None:
    job_id = federation.guest.finish(*disturbed_job(), timeout=SECONDS)
    federation.agree(job_id, "success", AGREE_SECONDS)
    for site in federation.sites:
        tasks = site.client.query_tasks(job_id=job_id)
        states = {(t["f_component_name"], t["f_role"]): t["f_status"] for t in tasks}
        assert len(states) == 7, "DataIO and intersection of two parties, HeteroLR of three"
        assert set(states.values()) == {"success"}
    # Data and models stay where they were made.
    host_table = Path(federation.host.settings.tables_dir)
    assert not any("host" in path.name for path in federation.guest.settings.tables_dir.rglob("*"))
    assert any("host" in path.name for path in host_table.rglob("*"))
    models = [p.name for p in federation.guest.settings.models_dir.iterdir()]
    assert {name.split("#")[0] for name in models} == {"guest", "local"}, "local: of uploads"


@pytest.mark.parametrize("victim", [GUEST, HOST, ARBITER], ids=lambda party: party.role)
def test_a_killed_task(federation: Federation, victim: Party) -> None:
    job_id = federation.in_the_middle()
    os.kill(federation.of(victim).process_of(job_id, COMPONENT, victim).pid, signal.SIGKILL)
    federation.succeeds(job_id)


@pytest.mark.parametrize("place", ["guest", "host"])
@pytest.mark.parametrize("victim", ["gateway", "api-server", "scheduler"])
def test_a_killed_process(federation: Federation, place: str, victim: str) -> None:
    site: NetSite = getattr(federation, place)
    job_id = federation.in_the_middle()
    site.kill(victim)
    federation.succeeds(job_id)
    site.wait_healthy()


@pytest.mark.parametrize("place", ["host", "guest"])
def test_a_site_that_is_down_for_half_a_minute(federation: Federation, place: str) -> None:
    site: NetSite = getattr(federation, place)
    job_id = federation.in_the_middle()
    site.stop()
    time.sleep(30)
    site.start()
    federation.succeeds(job_id)


def _begins(federation: Federation, job_id: str, component: str) -> Callable[[], bool]:
    return lambda: federation.guest.task(job_id, component, GUEST).get("f_status") == "running"


@pytest.mark.parametrize("component", ["intersection_0", COMPONENT])
def test_a_minute_without_a_network(federation: Federation, component: str) -> None:
    job_id = federation.guest.submit(*disturbed_job())
    federation.guest.wait_until(component, _begins(federation, job_id, component), 120)
    if component == COMPONENT:
        federation.guest.wait_until("loss", lambda: len(federation.losses(job_id)) >= 2, 240)
    federation.net.cut("host")
    try:
        time.sleep(25)
        told = [
            str(task.get("f_message") or "")
            for site in (federation.guest, federation.host)
            for task in site.client.query_tasks(job_id=job_id)
        ]
        assert any("host" in text or "guest" in text for text in told), told
        time.sleep(35)
    finally:
        federation.net.heal("host")
    federation.succeeds(job_id)


def test_packets_are_lost(federation: Federation) -> None:
    with federation.net.losing("guest", 0.03), federation.net.losing("host", 0.03):
        federation.succeeds(federation.guest.submit(*disturbed_job()))


@pytest.mark.parametrize("place", ["guest", "host", "arbiter"])
def test_stop_from_any_site(federation: Federation, place: str) -> None:
    site: NetSite = getattr(federation, place)
    job_id = federation.in_the_middle()
    began = time.monotonic()
    site.client.stop_job(job_id)
    federation.agree(job_id, "failed", AGREE_SECONDS)
    federation.nothing_left(job_id)
    assert time.monotonic() - began < AGREE_SECONDS
    for each in federation.sites:
        assert "stopped by request" in each.reason(job_id), each.why(job_id)


def test_stop_while_a_site_cannot_be_reached(federation: Federation) -> None:
    job_id = federation.in_the_middle()
    federation.net.cut("host")
    try:
        federation.guest.client.stop_job(job_id)
        federation.guest.wait(job_id, 30)
        # The host's own people can end its processes without waiting for the network.
        federation.host.client.stop_job(job_id)
        federation.host.wait_until("no process", lambda: not federation.host.living_of(job_id), 30)
    finally:
        federation.net.heal("host")
    federation.agree(job_id, "failed", AGREE_SECONDS)
    federation.nothing_left(job_id)


def test_a_failing_component_fails_everywhere_with_one_reason(federation: Federation) -> None:
    dsl, conf = disturbed_job()
    conf["role_parameters"]["host"]["dataio_0"] = {"missing_fill": [False]}
    conf["role_parameters"]["host"]["args"]["data"]["train_data"] = [
        {"namespace": NAMESPACE, "name": "broken"}
    ]
    file = federation.host.home / "broken.csv"
    file.write_text("id,x0\n" + "".join(f"{i},word{i}\n" for i in range(20)))
    federation.host.upload(file, NAMESPACE, "broken")
    job_id = federation.guest.submit(dsl, conf)
    federation.guest.wait(job_id, 120)
    federation.agree(job_id, "failed", AGREE_SECONDS)
    reasons = {site.reason(job_id) for site in federation.sites}
    assert len(reasons) == 1
    assert "host 10000" in reasons.pop()


def test_a_refusal_leaves_nothing_anywhere(federation: Federation) -> None:
    from fate_flow.errors import FateFlowError

    dsl, conf = disturbed_job()
    conf["role_parameters"]["host"]["args"]["data"]["train_data"] = [
        {"namespace": NAMESPACE, "name": "nowhere"}
    ]

    def rows() -> list[Any]:
        return [site.select("SELECT count(*) FROM t_job") for site in federation.sites]

    before = rows()
    with pytest.raises(FateFlowError) as refused:
        federation.guest.submit(dsl, conf)
    assert "nowhere" in str(refused.value)
    assert "host" in str(refused.value)
    federation.guest.wait_until("what had been made is forgotten", lambda: rows() == before, 20)


def test_a_full_disk_at_one_site(federation: Federation) -> None:
    if not os.path.ismount(federation.host.home):
        pytest.skip("the sandbox allows no tmpfs for the host's site")
    job_id = federation.in_the_middle()
    ballast = federation.host.home / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    try:
        time.sleep(20)
    finally:
        ballast.unlink()
    status = federation.guest.wait(job_id, SECONDS).status.value
    federation.agree(job_id, status, AGREE_SECONDS)
    federation.host.wait_healthy()
    federation.succeeds(federation.guest.submit(*disturbed_job()))


def test_the_sites_work_on_afterwards(federation: Federation) -> None:
    federation.succeeds(federation.guest.submit(*disturbed_job()))
    for site in federation.sites:
        with site.gateway() as gateway:
            assert gateway.mailbox() == []
            assert gateway.waits() == []
