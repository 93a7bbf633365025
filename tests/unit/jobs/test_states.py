"""Terminal states never change back, whoever writes and in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from fate_flow.db.models import Job, JobDetail, Task, TaskDetail
from fate_flow.entities import JobStatus, Party, TaskStatus
from fate_flow.jobs.states import (
    Failure,
    end_job,
    next_version,
    open_jobs,
    set_progress,
    start_job,
    status_of,
)
from fate_flow.tracking import store as tracking
from tests.support.site import JOB_ID, Site, add_job, add_task

TERMINAL = [status for status in JobStatus if status.is_terminal]
GUEST = Party("guest", 9999)


def _rows(site: Site) -> list[dict[str, Any]]:
    with site.session() as session:
        rows = session.scalars(select(Job).where(Job.f_job_id == JOB_ID)).all()
        return [{k: v for k, v in vars(row).items() if k.startswith("f_")} for row in rows]


@pytest.fixture
def waiting(site: Site) -> Site:
    with site.session() as session:
        add_job(session, status="waiting")
        session.add(JobDetail(f_job_id=JOB_ID))
    return site


def test_a_job_starts_once(waiting: Site) -> None:
    with waiting.session() as session:
        assert start_job(session, JOB_ID)
        assert not start_job(session, JOB_ID)
    assert {row["f_status"] for row in _rows(waiting)} == {"running"}
    assert all(row["f_start_time"] for row in _rows(waiting))


@pytest.mark.parametrize("first", TERMINAL)
@pytest.mark.parametrize("second", TERMINAL)
def test_an_end_is_final(waiting: Site, first: JobStatus, second: JobStatus) -> None:
    with waiting.session() as session:
        start_job(session, JOB_ID)
        assert end_job(session, JOB_ID, first, Failure("the first reason"))
    before = _rows(waiting)
    with waiting.session() as session:
        assert not end_job(session, JOB_ID, second, Failure("the second reason"))
        assert not start_job(session, JOB_ID)
        set_progress(session, JOB_ID, 1, 2, "t")
        detail = session.get(JobDetail, JOB_ID)
        assert detail is not None
        assert (detail.reason, detail.state_version) == ("the first reason", 1)
    assert _rows(waiting) == before
    assert {row["f_progress"] for row in before} == {100 if first is JobStatus.SUCCESS else 0}


STEPS = st.sampled_from(["start", "progress", *TERMINAL])


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEPS, max_size=8))
def test_no_order_of_writes_leaves_a_terminal_state(waiting: Site, steps: list[Any]) -> None:
    with waiting.session() as session:
        session.query(Job).update({"f_status": "waiting", "f_end_time": None})
    ended: JobStatus | None = None
    for step in steps:
        with waiting.session() as session:
            if step == "start":
                start_job(session, JOB_ID)
            elif step == "progress":
                set_progress(session, JOB_ID, 1, 2, "t")
            elif end_job(session, JOB_ID, step):
                assert ended is None
                ended = step
        with waiting.session() as session:
            status = status_of(session, JOB_ID)
        assert status is not None
        assert status is ended if ended else not status.is_terminal


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (JobStatus.FAILED, "failed"),
        (JobStatus.TIMEOUT, "timeout"),
        (JobStatus.CANCELED, "canceled"),
    ],
)
def test_open_tasks_share_the_fate_and_say_why(waiting: Site, status: JobStatus, fate: str) -> None:
    with waiting.session() as session:
        add_task(session, "dataio_0", status="success")
        add_task(session, "hetero_lr_0", status="running")
        add_task(session, "hetero_lr_0", "host", 10000, status="running")
        for role, party_id in (("guest", "9999"), ("host", "10000")):
            session.add(
                TaskDetail(
                    job_id=JOB_ID,
                    component_name="hetero_lr_0",
                    role=role,
                    party_id=party_id,
                    waiting_for="host_forward_dict",
                )
            )
        end_job(session, JOB_ID, status, Failure("one class only", "hetero_lr_0", GUEST))
    with waiting.session() as session:
        tasks = {
            (t["f_component_name"], t["f_role"]): t
            for t in tracking.task_dicts(session, session.scalars(select(Task)).all())
        }
    assert tasks["dataio_0", "guest"]["f_status"] == TaskStatus.SUCCESS.value
    assert tasks["hetero_lr_0", "guest"]["f_status"] == fate
    assert tasks["hetero_lr_0", "guest"]["f_error"] == "one class only"
    assert tasks["hetero_lr_0", "host"]["f_error"] == "ended with the job: one class only"
    assert tasks["hetero_lr_0", "host"]["f_end_time"]


def test_the_reason_is_stored_with_its_place(waiting: Site) -> None:
    with waiting.session() as session:
        end_job(session, JOB_ID, JobStatus.FAILED, Failure("no rows", "dataio_0", GUEST))
    with waiting.session() as session:
        detail = session.get(JobDetail, JOB_ID)
        assert detail is not None
        assert (detail.failed_component, detail.failed_role, detail.failed_party_id) == (
            "dataio_0",
            "guest",
            "9999",
        )
        rows = tracking.job_dicts(session, session.scalars(select(Job)).all())
        assert {row["f_reason"] for row in rows} == {"dataio_0 at guest 9999: no rows"}


def test_a_reason_that_names_its_place_is_not_prefixed_again(waiting: Site) -> None:
    reason = "dataio_0 (DataIO) at guest 9999: no rows"
    with waiting.session() as session:
        end_job(session, JOB_ID, JobStatus.FAILED, Failure(reason, "dataio_0", GUEST))
        rows = tracking.job_dicts(session, session.scalars(select(Job)).all())
        assert {row["f_reason"] for row in rows} == {reason}


def test_status_of_an_unknown_job(site: Site) -> None:
    with site.session() as session:
        assert status_of(session, "1") is None
        assert not end_job(session, "1", JobStatus.FAILED)
        assert list(open_jobs(session, taken=True)) == []


def test_two_transactions_do_not_give_one_version(waiting: Site) -> None:
    with waiting.session() as late:
        known = late.get_one(JobDetail, JOB_ID)
        with waiting.session() as quick:
            assert next_version(quick, quick.get_one(JobDetail, JOB_ID)) == 1
        assert known.state_version == 0, "what it read is old"
        assert next_version(late, known) == 2
