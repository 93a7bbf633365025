"""A job that reads what an upload is still writing waits for that upload, and only for it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from fate_flow.compiler.register import run_state
from fate_flow.db.models import Job, JobDetail
from fate_flow.entities import JobStatus
from fate_flow.errors import InvalidInputError
from fate_flow.jobs import service, uploads
from fate_flow.jobs.states import Failure
from fate_flow.tracking.rows import job_dicts
from tests.unit.jobs.conftest import Jobs
from tests.unit.jobs.two_sites import Two


def upload(jobs: Jobs, name: str, **more: Any) -> str:
    file = jobs.site.settings.home / "data.csv"
    file.write_text("id,x0\n1,2\n")
    keys = {"work_mode": 0, "namespace": "n", "table_name": name, "head": 1, "partition": 1}
    with jobs.site.session() as session:
        return service.submit_upload(session, {**keys, **more}, file).job_id


def reads(jobs: Jobs, guest: str, host: str) -> str:
    dsl, conf = jobs.documents()
    for role, name in (("guest", guest), ("host", host)):
        conf["role_parameters"][role]["args"]["data"]["train_data"][0]["name"] = name
    return jobs.submit(dsl, conf).job_id


def end(jobs: Jobs, job_id: str, status: JobStatus = JobStatus.SUCCESS) -> None:
    with jobs.site.session() as session:
        failure = None if status is JobStatus.SUCCESS else Failure("test")
        service.end(session, job_id, status, failure)


def state(jobs: Jobs, job_id: str) -> tuple[bool, str | None]:
    """Whether Airflow has a run of the job, and what it waits for."""
    with jobs.site.session() as session:
        detail = session.get(JobDetail, job_id)
        assert detail is not None
        return run_state(session, job_id) is not None, detail.reason


def test_a_job_submitted_right_behind_its_uploads_waits_for_them(jobs: Jobs) -> None:
    first, second = upload(jobs, "new_g"), upload(jobs, "new_h")
    job_id = reads(jobs, "new_g", "new_h")
    has_run, reason = state(jobs, job_id)
    assert not has_run
    assert reason == f"waiting for upload {second}, which writes table 'new_h' of namespace 'n'"
    with jobs.site.session() as session:
        rows = job_dicts(session, session.scalars(select(Job).where(Job.f_job_id == job_id)).all())
    assert {row["f_message"] for row in rows} == {reason}
    end(jobs, second)
    has_run, reason = state(jobs, job_id)
    assert not has_run
    assert first in str(reason)
    end(jobs, first)
    assert state(jobs, job_id) == (True, None)


def test_a_table_that_is_written_anew_is_waited_for(jobs: Jobs) -> None:
    """Else the job would read the older rows."""
    again = upload(jobs, "g", drop=1)
    job_id = reads(jobs, "g", "h")
    assert not state(jobs, job_id)[0]
    end(jobs, again, JobStatus.FAILED)
    assert state(jobs, job_id) == (True, None)


def test_other_uploads_and_later_ones_hold_nothing_up(jobs: Jobs) -> None:
    upload(jobs, "other")
    job_id = reads(jobs, "g", "h")
    assert state(jobs, job_id)[0]
    upload(jobs, "g", drop=1)
    with jobs.site.session() as session:
        assert uploads.awaited(session, [job_id]) == {}


def test_a_download_waits_too(jobs: Jobs) -> None:
    first = upload(jobs, "new_g")
    keys = {"work_mode": 0, "namespace": "n", "table_name": "new_g", "output_path": "out.csv"}
    with jobs.site.session() as session:
        job_id = service.submit_download(session, keys).job_id
    assert not state(jobs, job_id)[0]
    end(jobs, first)
    assert state(jobs, job_id)[0]


def test_a_table_that_nobody_uploads_is_missed_at_submission(jobs: Jobs) -> None:
    end(jobs, upload(jobs, "new_g"), JobStatus.FAILED)
    with pytest.raises(InvalidInputError, match="no table 'new_g'"):
        reads(jobs, "new_g", "h")


@pytest.mark.parametrize("where", ["guest", "host"])
def test_a_job_of_two_sites_waits_for_the_uploads_of_both(two: Two, where: str) -> None:
    site = two.guest if where == "guest" else two.host
    file = site.settings.home / "data.csv"
    file.write_text("id,x0,x1\n1,2,3\n")
    keys = {"work_mode": 0, "namespace": "n", "table_name": where[0], "head": 1, "partition": 1}
    with two.at(site) as session:
        again = service.submit_upload(session, {**keys, "drop": 1}, file).job_id
    job_id = two.submit()
    two.start(job_id)
    said = {"guest": f"waiting for upload {again}", "host": "waiting for site bank-b: an upload"}
    assert str(two.detail(two.guest, job_id).reason).startswith(said[where])
    with two.at(site) as session:
        assert run_state(session, job_id) is None
        service.end(session, again, JobStatus.SUCCESS, None)
    two.start(job_id)
    with two.at(two.host) as session:
        assert run_state(session, job_id) == "queued"
