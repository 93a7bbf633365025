"""Processes are killed in the middle of HeteroLR: the job goes on, its result is the same.

The undisturbed run starts from zero weights, so that the only differences between two
runs are the rounding errors of fixed-point numbers.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fate_flow.cli.processes import Identity
from fate_flow.entities import Party
from tests.support.live_jobs import ARBITER, GUEST, HOST, lr_job, upload_breast, weights
from tests.support.live_site import LiveSite, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMPONENT = "hetero_lr_0"
ITERATIONS = 15
#: From the kill to the end of the job.
SECONDS = 120.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """A site of this module's own: its processes are killed."""
    with started(tmp_path_factory.mktemp("fault") / "site") as made:
        upload_breast(made)
        yield made


@pytest.fixture(scope="module")
def expected(site: LiveSite) -> dict[str, float]:
    """Weights of the job when nothing happens."""
    return weights(site, site.finish(*_job()))


def _job() -> tuple[dict[str, Any], dict[str, Any]]:
    return lr_job(max_iter=ITERATIONS, early_stop="weight_diff", tol=0.0)


def _losses(site: LiveSite, job_id: str) -> list[list[Any]]:
    found = site.client.all_metrics(job_id, COMPONENT, ARBITER.role, ARBITER.party_id)
    points: list[list[Any]] = found.get("train", {}).get("loss", {}).get("data", [])
    return points


def _in_the_middle(site: LiveSite) -> str:
    """A job whose HeteroLR has begun to iterate; its id."""
    job_id = site.submit(*_job())
    site.wait_until("the second iteration", lambda: len(_losses(site, job_id)) >= 2, 180)
    assert len(_losses(site, job_id)) < ITERATIONS - 3, "too fast to be hurt in the middle"
    return job_id


def _same_result(site: LiveSite, job_id: str, expected: dict[str, float]) -> None:
    found = weights(site, job_id)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name
    # What the lost attempt had reported is gone: each iteration once.
    assert [point[0] for point in _losses(site, job_id)] == list(range(ITERATIONS))


@pytest.mark.parametrize("victim", [GUEST, HOST, ARBITER], ids=lambda party: party.role)
def test_a_killed_task_is_started_again_and_its_peers_join_it(
    site: LiveSite, expected: dict[str, float], victim: Party
) -> None:
    job_id = _in_the_middle(site)
    killed = site.process_of(job_id, COMPONENT, victim)
    others = [site.process_of(job_id, COMPONENT, p) for p in _others(victim)]
    os.kill(killed.pid, signal.SIGKILL)
    site.must_succeed(job_id, SECONDS)
    tasks = site.client.query_tasks(job_id=job_id, component_name=COMPONENT)
    pids = {Party(t["f_role"], int(t["f_party_id"])): t["f_run_pid"] for t in tasks}
    assert pids[victim] != killed.pid
    assert [pids[p] for p in _others(victim)] == [o.pid for o in others], "peers need no restart"
    assert {t["f_attempt"] for t in tasks} == {1}
    assert all(not t["f_error"] for t in tasks)
    _same_result(site, job_id, expected)
    site.nothing_left(job_id)


def test_a_task_that_is_killed_again_and_again_fails_the_job_with_a_reason(
    site: LiveSite,
) -> None:
    job_id = _in_the_middle(site)
    seen: set[Identity] = set()
    deadline = time.monotonic() + SECONDS
    while not site.client.job_state(job_id).status.is_terminal:
        assert time.monotonic() < deadline, site.why(job_id)
        for process in site.processes_of(job_id):
            if process.party == HOST and process.identity not in seen:
                seen.add(process.identity)
                process.identity.send(signal.SIGKILL)
        time.sleep(0.1)
    assert site.client.job_state(job_id).status.value == "failed"
    assert len(seen) == site.settings.TASK_RETRIES + 1
    reason = site.reason(job_id)
    assert COMPONENT in reason
    assert "host 10000" in reason
    assert "killed" in reason
    assert site.task(job_id, COMPONENT, HOST)["f_error"] == reason
    site.nothing_left(job_id)


@pytest.mark.parametrize("victim", ["api-server", "gateway", "scheduler"])
def test_a_job_outlives_the_death_of_the(
    site: LiveSite, expected: dict[str, float], victim: str
) -> None:
    before = site.service(victim)["restarts"]
    job_id = _in_the_middle(site)
    site.kill(victim)
    began = time.monotonic()
    state = site.wait(job_id, SECONDS)
    assert state.status.value == "success", site.why(job_id)
    assert time.monotonic() - began < SECONDS
    assert site.service(victim)["restarts"] == before + 1
    _same_result(site, job_id, expected)
    site.wait_healthy()
    site.nothing_left(job_id)


def test_the_site_works_on_afterwards(site: LiveSite, expected: dict[str, float]) -> None:
    _same_result(site, site.finish(*_job()), expected)
    with site.gateway() as gateway:
        assert gateway.mailbox() == []
        assert gateway.waits() == []


def _others(party: Party) -> list[Party]:
    return [p for p in (GUEST, HOST, ARBITER) if p != party]
