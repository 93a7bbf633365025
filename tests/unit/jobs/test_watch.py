"""The watch loop finds what no message told."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import delete, update

from fate_flow.compiler.names import dag_id_of
from fate_flow.compiler.register import run_state
from fate_flow.db.models import Job, JobDetail, now_ms
from fate_flow.entities import JobStatus, Party
from fate_flow.jobs import watch
from fate_flow.jobs.leftovers import GRACE_MS, remove_leftovers
from fate_flow.jobs.service import end
from fate_flow.jobs.states import start_job, status_of
from fate_flow.runtime.task_runner import work_folder, work_prefix
from tests.unit.jobs.conftest import Jobs
from tests.unit.jobs.test_reports import GUEST, HOST, Task_


def _look(jobs: Jobs) -> None:
    with jobs.site.session() as session:
        watch.look(session)


def _end_of(jobs: Jobs, job_id: str) -> tuple[JobStatus | None, str]:
    with jobs.site.session() as session:
        detail = session.get(JobDetail, job_id)
        return status_of(session, job_id), (detail.reason if detail else "") or ""


def _set_task(jobs: Jobs, job_id: str, task_id: str, state: str, tries: int = 1) -> None:
    with jobs.site.session() as session:
        session.execute(
            update(TaskInstance)
            .where(TaskInstance.dag_id == dag_id_of(job_id), TaskInstance.task_id == task_id)
            .values(state=state, try_number=tries)
        )


def _set_run(jobs: Jobs, job_id: str, state: str) -> None:
    with jobs.site.session() as session:
        session.execute(
            update(DagRun).where(DagRun.dag_id == dag_id_of(job_id)).values(state=state)
        )


def test_a_job_that_runs_is_left_alone(jobs: Jobs) -> None:
    job_id = jobs.submit().job_id
    for state in ("queued", "running", "up_for_retry", "success", "scheduled", "deferred"):
        _set_task(jobs, job_id, "dataio_0.guest_9999", state)
        _look(jobs)
        assert _end_of(jobs, job_id) == (JobStatus.WAITING, "")


def test_a_job_whose_time_is_up(jobs: Jobs) -> None:
    dsl, conf = jobs.documents()
    conf["job_parameters"]["timeout"] = 3600
    job_id = jobs.submit(dsl, conf).job_id
    with jobs.site.session() as session:
        start_job(session, job_id)
        detail = session.get(JobDetail, job_id)
        assert detail is not None
        assert detail.timeout_at is not None
        assert abs(detail.timeout_at - now_ms() - 3_600_000) < 60_000
    _look(jobs)
    assert _end_of(jobs, job_id)[0] is JobStatus.RUNNING
    with jobs.site.session() as session:
        session.execute(update(JobDetail).values(timeout_at=now_ms() - 1))
    _look(jobs)
    status, reason = _end_of(jobs, job_id)
    assert status is JobStatus.TIMEOUT
    assert "timeout" in reason
    with jobs.site.session() as session:
        assert run_state(session, job_id) == "failed"


def test_time_spent_waiting_does_not_count(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=1)
    jobs.submit()
    waiting = jobs.submit().job_id
    with jobs.site.session() as session:
        detail = session.get(JobDetail, waiting)
        assert detail is not None
        assert detail.timeout_at is None
    _look(jobs)
    assert _end_of(jobs, waiting)[0] is JobStatus.WAITING


def test_a_task_that_failed_without_a_report(jobs: Jobs) -> None:
    job_id = jobs.submit().job_id
    Task_(jobs, job_id, "dataio_0", HOST).run()
    _set_task(jobs, job_id, "dataio_0.host_10000", "failed", tries=3)
    _look(jobs)
    status, reason = _end_of(jobs, job_id)
    assert status is JobStatus.FAILED
    assert "dataio_0 at host 10000" in reason
    assert "3 time(s)" in reason
    assert "killed" in reason
    assert Task_(jobs, job_id, "dataio_0", HOST).detail().error == reason


def test_what_the_task_said_last_is_the_reason(jobs: Jobs) -> None:
    job_id = jobs.submit().job_id
    task = Task_(jobs, job_id, "dataio_0", HOST)
    task.run()
    task.report(
        {"kind": "status", "status": "failed", "error": "the gateway is away", "final": False}
    )
    _set_task(jobs, job_id, "dataio_0.host_10000", "failed", tries=3)
    _look(jobs)
    assert _end_of(jobs, job_id)[1] == "dataio_0 at host 10000: the gateway is away"


def test_a_finish_task_that_failed(jobs: Jobs) -> None:
    job_id = jobs.submit().job_id
    _set_task(jobs, job_id, "finish", "failed")
    _look(jobs)
    status, reason = _end_of(jobs, job_id)
    assert status is JobStatus.FAILED
    assert "finish" in reason


def test_a_run_that_was_removed_or_failed_in_airflow(jobs: Jobs) -> None:
    removed, failed = jobs.submit().job_id, jobs.submit().job_id
    with jobs.site.session() as session:
        session.execute(delete(TaskInstance).where(TaskInstance.dag_id == dag_id_of(removed)))
        session.execute(delete(DagRun).where(DagRun.dag_id == dag_id_of(removed)))
    _set_run(jobs, failed, "failed")
    _look(jobs)
    assert _end_of(jobs, removed) == (JobStatus.FAILED, "its DAG run was removed from Airflow")
    assert _end_of(jobs, failed) == (JobStatus.FAILED, "its DAG run was failed in Airflow")


def test_a_run_that_succeeded_is_sealed(jobs: Jobs) -> None:
    job_id = jobs.submit().job_id
    for component in ("dataio_0", "intersection_0"):
        for party in (GUEST, HOST):
            task = Task_(jobs, job_id, component, party)
            task.run()
            task.succeed()
    _set_run(jobs, job_id, "success")
    _look(jobs)
    assert _end_of(jobs, job_id)[0] is JobStatus.SUCCESS


def test_a_run_that_was_marked_a_success_by_hand_is_not_one(jobs: Jobs) -> None:
    job_id = jobs.submit().job_id
    _set_run(jobs, job_id, "success")
    _look(jobs)
    status, reason = _end_of(jobs, job_id)
    assert status is JobStatus.FAILED
    assert "dataio_0 of guest 9999 is not run" in reason


def test_waiting_jobs_are_let_in(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs(MAX_CONCURRENT_JOB_RUN=1)
    first, second = jobs.submit().job_id, jobs.submit().job_id
    _set_run(jobs, first, "failed")
    _look(jobs)
    with jobs.site.session() as session:
        assert run_state(session, second) == "queued"


def test_the_loop_goes_on_after_an_error(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[int] = []

    def look(_: object) -> None:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("for once")

    monkeypatch.setattr(watch, "create_session", jobs.site.session)
    monkeypatch.setattr(watch, "look", look)
    loop = watch.Watch(interval=0.01)
    loop.start()
    deadline = time.monotonic() + 20
    while len(looks) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    loop.stop()
    assert len(looks) >= 3
    assert "the watch loop failed once" in caplog.text


def test_old_jobs_leave_the_dag_list(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs(KEEP_JOB_DAGS_DAYS=1)
    old, fresh, running = [jobs.submit().job_id for _ in range(3)]
    with jobs.site.session() as session:
        end(session, old, JobStatus.SUCCESS, None)
        end(session, fresh, JobStatus.SUCCESS, None)
        two_days = now_ms() - 2 * 86_400_000
        session.execute(update(Job).where(Job.f_job_id == old).values(f_end_time=two_days))
        watch.retire_old(session)
    with jobs.site.session() as session:
        stale = {
            job_id: session.get(DagModel, dag_id_of(job_id)).is_stale  # type: ignore[union-attr]
            for job_id in (old, fresh, running)
        }
        assert stale == {old: True, fresh: False, running: False}
        watch.retire_old(session)


class TestLeftovers:
    def _folder(self, jobs: Jobs, job_id: str) -> Path:
        party = Party("guest", 9999)
        name = f"{work_prefix(job_id, 'dataio_0', party)}abc"
        folder = work_folder(jobs.site.settings) / name
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text("x")
        return folder

    def test_folders_of_jobs_that_ended_go(self, jobs: Jobs) -> None:
        ended, just_ended, running = [jobs.submit().job_id for _ in range(3)]
        folders = {job_id: self._folder(jobs, job_id) for job_id in (ended, just_ended, running)}
        unknown = self._folder(jobs, "20200101000000000000001")
        foreign = work_folder(jobs.site.settings) / "archive-of-somebody"
        foreign.mkdir()
        with jobs.site.session() as session:
            end(session, ended, JobStatus.FAILED, None)
            end(session, just_ended, JobStatus.FAILED, None)
            long_ago = now_ms() - GRACE_MS - 1
            session.execute(update(Job).where(Job.f_job_id == ended).values(f_end_time=long_ago))
            gone = remove_leftovers(session)
        assert set(gone) == {folders[ended], unknown}
        assert not folders[ended].exists()
        assert folders[just_ended].exists()
        assert folders[running].exists()
        assert foreign.exists()

    def test_no_folder_no_question(self, jobs: Jobs) -> None:
        with jobs.site.session() as session:
            assert remove_leftovers(session) == []

    def test_prefixes_tell_parties_apart(self) -> None:
        one, ten = Party("guest", 1), Party("guest", 10)
        assert not work_prefix("7", "lr", ten).startswith(work_prefix("7", "lr", one))
        assert not work_prefix("7", "lr_guest_1", ten).startswith(work_prefix("7", "lr", one))
        assert os.sep not in work_prefix("7", "lr", one)
