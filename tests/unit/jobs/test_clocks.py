"""Two sites whose clocks differ: each shows all times by its own."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from fate_flow.db import models
from fate_flow.db.models import Job, Task, ms_between, now_ms
from fate_flow.jobs import clocks, incoming, service
from fate_flow.sites import outbox
from fate_flow.sites.delivery import SENT_AT
from tests.support.site import Site
from tests.unit.jobs.two_sites import GUEST, HOST, Two

HOST_IS_AHEAD = [600, -600]


@pytest.fixture
def host_clock(two: Two, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """Seconds by which the host's clock is ahead."""

    def now() -> float:
        return time.time() + (seconds if two.active is two.host else 0)

    seconds: int = request.param
    monkeypatch.setattr(models, "time", SimpleNamespace(time=now))
    return seconds


def _tasks(two: Two, site: Site, job_id: str) -> list[Task]:
    with two.at(site) as session:
        found = list(session.scalars(select(Task).where(Task.f_job_id == job_id)))
        session.expunge_all()
    return found


def _now(two: Two, site: Site) -> int:
    with two.at(site):
        return now_ms()


@pytest.mark.parametrize("host_clock", HOST_IS_AHEAD, indirect=True)
@pytest.mark.parametrize("last", ["success", "failed"])
def test_tasks_of_other_sites_ran_while_the_job_did(two: Two, host_clock: int, last: str) -> None:
    began = [_now(two, site) for site in (two.guest, two.host)]
    job_id = two.submit()
    two.start(job_id)
    two.work(job_id, last=last)
    two.deliver()
    for site, start in zip((two.guest, two.host), began, strict=True):
        tasks = _tasks(two, site, job_id)
        assert {task.f_role for task in tasks} == {"guest", "host"}
        for task in tasks:
            assert task.f_start_time is not None
            assert task.f_end_time is not None
            assert start <= task.f_create_time <= task.f_start_time <= task.f_end_time
            assert task.f_end_time <= _now(two, site)
            assert 0 <= (task.f_elapsed or 0) < 60_000


@pytest.mark.parametrize("host_clock", HOST_IS_AHEAD, indirect=True)
def test_a_stopped_task_of_another_site_ran_as_long_as_it_did(two: Two, host_clock: int) -> None:
    job_id = two.submit()
    two.start(job_id)
    two.report(two.host, job_id, "dataio_0", HOST, "running")
    two.report(two.guest, job_id, "dataio_0", GUEST, "running")
    two.deliver()
    with two.at(two.guest) as session:
        service.stop_job(session, job_id)
    two.deliver()
    for site in (two.guest, two.host):
        elapsed = [task.f_elapsed for task in _tasks(two, site, job_id)]
        assert len(elapsed) == 2
        assert all(0 <= (one if one is not None else -1) < 60_000 for one in elapsed), elapsed


@pytest.mark.parametrize("host_clock", HOST_IS_AHEAD, indirect=True)
def test_what_a_home_answers_is_moved_too(two: Two, host_clock: int) -> None:
    job_id = two.submit()
    two.start(job_id)
    two.report(two.guest, job_id, "dataio_0", GUEST, "running")
    answer: Any = two.call("bank-a", "job.query", {"job_id": job_id})
    with two.at(two.host) as session:
        detail = session.get_one(models.JobDetail, job_id)
        incoming.apply_state(session, job_id, detail, answer["state"])
    started = [task.f_start_time for task in _tasks(two, two.host, job_id)]
    assert len(started) == 1
    assert started[0] == pytest.approx(_now(two, two.host), abs=60_000)


@pytest.mark.parametrize("sent", [None, "now", True, 1.5, 10**30])
def test_a_message_that_does_not_say_when_it_was_sent(sent: Any) -> None:
    assert clocks.ahead({SENT_AT: sent}) == 0
    assert clocks.ahead({}) == 0


def test_a_difference_as_small_as_the_way_is_none() -> None:
    assert clocks.ahead({SENT_AT: now_ms() - 1_500}) == 0
    assert clocks.ahead({SENT_AT: now_ms() + 90_000}) == pytest.approx(90_000, abs=5_000)


@pytest.mark.parametrize("value", [None, "1", True, 10**30])
def test_what_is_no_time_is_not_stored(value: Any) -> None:
    assert clocks.here(value, 0) is None
    assert clocks.duration(value) is None


def test_a_clock_that_is_set_back_makes_nothing_negative(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = two.submit()
    two.start(job_id)
    two.report(two.guest, job_id, "dataio_0", GUEST, "running")
    two.report(two.guest, job_id, "intersection_0", GUEST, "running")
    monkeypatch.setattr(models, "time", SimpleNamespace(time=lambda: time.time() - 3600))
    two.report(two.guest, job_id, "dataio_0", GUEST, "success")
    with two.at(two.guest) as session:
        service.stop_job(session, job_id)
    assert [task.f_elapsed for task in _tasks(two, two.guest, job_id)] == [0, 0]
    with two.at(two.guest) as session:
        assert set(session.scalars(select(Job.f_elapsed).where(Job.f_job_id == job_id))) == {0}


def test_a_clock_that_is_set_back_delays_no_message(two: Two) -> None:
    with two.at(two.guest) as session:
        outbox.put(session, "bank-b", "job.state", "1", 1, {})
        (message,) = outbox.due(session, now_ms())
        outbox.not_taken(session, message, "it cannot be reached")
        assert outbox.due(session, now_ms() - 5) == []
        assert len(outbox.due(session, now_ms() + outbox.LONGEST_PAUSE_MS)) == 1
        assert len(outbox.due(session, now_ms() - 600_000)) == 1


def test_the_time_between_two_moments() -> None:
    assert ms_between(1_000, 4_000) == 3_000
    assert ms_between(4_000, 1_000) == 0
    assert ms_between(None, 1_000) == 0
