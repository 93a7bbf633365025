"""What tasks report: stored once, only while the job goes on, only what the task may say."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from sqlalchemy import select

from fate_flow.compiler.register import run_state
from fate_flow.db.models import Job, Metric, Task, TaskDetail
from fate_flow.entities import JobStatus, Party
from fate_flow.errors import FateFlowError, InvalidInputError, NotFoundError
from fate_flow.federation.tokens import Claims
from fate_flow.jobs import reports
from fate_flow.jobs.reports import apply_reports, status_of_task
from fate_flow.jobs.sealing import seal_job
from fate_flow.jobs.service import end
from fate_flow.jobs.states import Failure, status_of
from fate_flow.models.store import ModelStore
from fate_flow.operators.job_logs import write_schedule_logs
from fate_flow.tracking.store import query_data_views
from tests.unit.jobs.conftest import Jobs

GUEST, HOST = Party("guest", 9999), Party("host", 10000)


class Task_:
    """One task that reports, with batch numbers of its own."""

    def __init__(self, jobs: Jobs, job_id: str, component: str, party: Party) -> None:
        self.jobs, self.job_id, self.component, self.party = jobs, job_id, component, party
        self.number = 0

    @property
    def claims(self) -> Claims:
        return Claims(self.job_id, self.component, self.party, float("inf"))

    def report(self, *events: dict[str, Any], number: int | None = None) -> str:
        if number is None:
            self.number += 1
            number = self.number
        with self.jobs.site.session() as session:
            return apply_reports(session, self.claims, {"number": number, "events": list(events)})

    def run(self, *, attempt: int = 0, try_number: int = 1) -> None:
        self.report(
            {
                "kind": "status",
                "status": "running",
                "attempt": attempt,
                "try_number": try_number,
                "pid": 42,
                "time": 1_000_000,
            }
        )

    def succeed(self) -> None:
        self.report({"kind": "status", "status": "success", "time": 1_003_500})

    def loss(self, *points: tuple[int, float], number: int | None = None) -> None:
        self.report(
            {
                "kind": "metrics",
                "namespace": "train",
                "name": "loss",
                "points": [list(point) for point in points],
                "meta": {"metric_type": "LOSS"},
            },
            number=number,
        )

    def losses(self) -> list[Any]:
        with self.jobs.site.session() as session:
            rows = session.scalars(
                select(Metric).where(
                    Metric.f_job_id == self.job_id,
                    Metric.f_component_name == self.component,
                    Metric.f_role == self.party.role,
                    Metric.f_type == 1,
                )
            ).all()
            return [row.f_key for row in rows]

    def row(self) -> Task:
        with self.jobs.site.session() as session:
            key = (
                self.job_id,
                f"{self.job_id}_{self.component}",
                self.party.role,
                str(self.party.party_id),
            )
            row = session.get(Task, key)
            assert row is not None
            session.expunge(row)
            return row

    def detail(self) -> TaskDetail:
        with self.jobs.site.session() as session:
            key = (self.job_id, self.component, self.party.role, str(self.party.party_id))
            row = session.get(TaskDetail, key)
            assert row is not None
            session.expunge(row)
            return row


@pytest.fixture
def job_id(jobs: Jobs) -> str:
    return jobs.submit().job_id


@pytest.fixture
def guest(jobs: Jobs, job_id: str) -> Task_:
    return Task_(jobs, job_id, "dataio_0", GUEST)


@pytest.fixture
def host(jobs: Jobs, job_id: str) -> Task_:
    return Task_(jobs, job_id, "dataio_0", HOST)


def _status(jobs: Jobs, job_id: str) -> JobStatus | None:
    with jobs.site.session() as session:
        return status_of(session, job_id)


def test_the_first_task_starts_the_job(jobs: Jobs, job_id: str, guest: Task_) -> None:
    assert _status(jobs, job_id) is JobStatus.WAITING
    guest.run()
    assert _status(jobs, job_id) is JobStatus.RUNNING
    row = guest.row()
    assert (row.f_status, row.f_run_pid, row.f_start_time) == ("running", 42, 1_000_000)
    guest.succeed()
    row = guest.row()
    assert (row.f_status, row.f_end_time, row.f_elapsed) == ("success", 1_003_500, 3_500)


def test_a_batch_that_comes_again_is_stored_once(guest: Task_) -> None:
    guest.run()
    guest.loss((0, 0.69), (1, 0.5), number=10)
    guest.loss((0, 0.69), (1, 0.5), number=10)
    guest.loss((0, 0.69), number=9)
    assert guest.losses() == ["0", "1"]
    guest.loss((2, 0.4), number=11)
    assert guest.losses() == ["0", "1", "2"]


def test_a_new_attempt_clears_what_the_old_one_reported(guest: Task_, host: Task_) -> None:
    guest.run()
    host.run()
    guest.loss((0, 0.69), (1, 0.5))
    host.loss((0, 0.1))
    guest.report({"kind": "progress", "done": 0.5, "message": "iteration 2"})
    guest.run(attempt=1)
    assert guest.losses() == []
    assert host.losses() == ["0"], "another party's are its own"
    detail = guest.detail()
    assert (detail.attempt, detail.progress, detail.message) == (1, 0.0, "")
    guest.loss((0, 0.69))
    assert guest.losses() == ["0"]


def test_reports_of_a_process_that_was_replaced_come_too_late(guest: Task_) -> None:
    """Numbers grow over restarts, so that the last words of the old process are dropped."""
    guest.number = 1_000_000_000
    guest.run()
    guest.loss((0, 0.69))
    guest.number = 2_000_000_000
    guest.run(attempt=1, try_number=2)
    guest.loss((1, 0.5), number=1_000_000_003)
    assert guest.losses() == []


def test_a_task_without_output_has_a_data_view_too(
    jobs: Jobs, job_id: str, guest: Task_, host: Task_
) -> None:
    """``component_output_data_table`` of a task that puts out no table is a success in 1.4."""
    table = {"table_name": "t", "table_namespace": "n", "table_count_actual": 7}
    host.run()
    host.report({"kind": "data_view", "columns": {"party_model_id": "host#10000#m"}})
    for task in (guest, host):
        task.run()
        if task is guest:
            task.report({"kind": "data_view", "columns": table})
        task.succeed()
    with jobs.site.session() as session:
        views = query_data_views(session, {"job_id": job_id})
        names = [(v.f_table_name, v.f_table_namespace, v.f_table_count_actual) for v in views]
        assert names == [("t", "n", 7), ("", "", 0)]
        assert views[1].f_party_model_id == "host#10000#m"


def test_progress_counts_components_whose_parties_are_all_done(
    jobs: Jobs, job_id: str, guest: Task_, host: Task_
) -> None:
    def progress() -> set[int | None]:
        with jobs.site.session() as session:
            return set(session.scalars(select(Job.f_progress).where(Job.f_job_id == job_id)))

    guest.run()
    host.run()
    guest.succeed()
    assert progress() == {0}
    host.succeed()
    assert progress() == {50}
    with jobs.site.session() as session:
        (tasks,) = set(session.scalars(select(Job.f_current_tasks)))
    assert tasks == f'["{job_id}_dataio_0"]'


def test_progress_within_a_task_is_bounded(guest: Task_) -> None:
    guest.run()
    guest.report({"kind": "progress", "done": 7.5, "message": "x" * 5000})
    detail = guest.detail()
    assert detail.progress == 1.0
    assert detail.message is not None
    assert len(detail.message) == 2000
    guest.report({"kind": "progress", "waiting_for": "waiting for host 10000"})
    assert guest.detail().waiting_for == "waiting for host 10000"
    assert guest.detail().progress == 1.0


def test_a_final_failure_ends_the_job_with_its_reason(
    jobs: Jobs, job_id: str, guest: Task_, host: Task_
) -> None:
    guest.run()
    host.run()
    guest.report({"kind": "status", "status": "failed", "error": "label column 'y' is missing"})
    assert _status(jobs, job_id) is JobStatus.FAILED
    assert host.row().f_status == "failed"
    assert "label column" in (host.detail().error or "")
    with jobs.site.session() as session:
        assert run_state(session, job_id) == "failed"
    with pytest.raises(FateFlowError, match=r"^job is over: failed"):
        host.succeed()
    assert host.row().f_status == "failed"


def test_a_failure_that_is_tried_again_does_not(jobs: Jobs, job_id: str, guest: Task_) -> None:
    guest.run()
    guest.report(
        {"kind": "status", "status": "failed", "error": "the gateway is away", "final": False}
    )
    assert _status(jobs, job_id) is JobStatus.RUNNING
    assert guest.row().f_status == "running"
    assert guest.detail().error == "the gateway is away"
    guest.run(attempt=1, try_number=2)
    assert guest.detail().error is None


@pytest.mark.parametrize("status", [s for s in JobStatus if s.is_terminal])
def test_a_job_that_is_over_takes_no_reports(
    jobs: Jobs, job_id: str, guest: Task_, status: JobStatus
) -> None:
    guest.run()
    with jobs.site.session() as session:
        end(session, job_id, status, Failure("test"))
    with pytest.raises(FateFlowError, match=rf"^job is over: {status.value}"):
        guest.loss((0, 1.0))
    assert guest.losses() == []


def test_a_report_and_the_end_of_the_job_cannot_cross(
    jobs: Jobs, job_id: str, guest: Task_, host: Task_, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host begins while the guest's failure is being stored: no task runs on for ever."""
    guest.run()
    begun, may_go_on = threading.Event(), threading.Event()
    original = reports._detail

    def slow(*arguments: Any) -> TaskDetail:
        begun.set()
        assert may_go_on.wait(20)
        return original(*arguments)

    monkeypatch.setattr(reports, "_detail", slow)
    reporting = threading.Thread(target=host.run)
    reporting.start()
    assert begun.wait(20)
    monkeypatch.setattr(reports, "_detail", original)
    ending = threading.Thread(
        target=guest.report, args=({"kind": "status", "status": "failed", "error": "x"},)
    )
    ending.start()
    ending.join(0.3)
    assert ending.is_alive(), "the end waits for the report that came before"
    may_go_on.set()
    for thread in (reporting, ending):
        thread.join(30)
    assert _status(jobs, job_id) is JobStatus.FAILED
    assert (guest.row().f_status, host.row().f_status) == ("failed", "failed")


def test_a_process_that_was_started_again_may_ask_for_its_status(
    jobs: Jobs, job_id: str, guest: Task_
) -> None:
    def stored() -> str:
        with jobs.site.session() as session:
            return status_of_task(session, guest.claims)

    assert stored() == ""
    guest.run()
    assert stored() == "running"
    guest.succeed()
    assert stored() == "success"
    with jobs.site.session() as session:
        end(session, job_id, JobStatus.FAILED, Failure("test"))
    with pytest.raises(FateFlowError, match=r"^job is over: failed"):
        stored()


def test_an_unknown_job_is_over(jobs: Jobs) -> None:
    with pytest.raises(FateFlowError, match=r"^job is over"):
        Task_(jobs, "1", "dataio_0", GUEST).run()


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "status", "status": "excellent"},
        {"kind": "status"},
        {"kind": "status", "status": "running", "attempt": "first"},
        {"kind": "metrics", "namespace": "train"},
        {"kind": "metrics", "namespace": "train", "name": "loss", "points": [[1]]},
        {"kind": "progress", "done": "half"},
        {"kind": "drop table"},
        "text",
        None,
    ],
    ids=str,
)
def test_an_event_that_cannot_be_read_is_refused_with_its_batch(
    guest: Task_, event: dict[str, Any]
) -> None:
    guest.run()
    guest.number += 1
    events = [{"kind": "metrics", "namespace": "n", "name": "m", "points": [[1, 2]]}, event]
    with pytest.raises(InvalidInputError), guest.jobs.site.session() as session:
        apply_reports(session, guest.claims, {"number": guest.number, "events": events})
    assert guest.losses() == []


@pytest.mark.parametrize("body", [{}, {"number": 1}, {"number": "1", "events": []}, {"events": 3}])
def test_a_batch_that_is_none_is_refused(guest: Task_, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError), guest.jobs.site.session() as session:
        apply_reports(session, guest.claims, body)


class TestSeal:
    def _succeed_all(self, jobs: Jobs, job_id: str) -> None:
        for component in ("dataio_0", "intersection_0"):
            for party in (GUEST, HOST):
                task = Task_(jobs, job_id, component, party)
                task.run()
                task.succeed()

    def test_success_is_sealed_with_pipelines(self, jobs: Jobs, job_id: str) -> None:
        self._succeed_all(jobs, job_id)
        assert _status(jobs, job_id) is JobStatus.RUNNING
        with jobs.site.session() as session:
            seal_job(session, job_id)
        assert _status(jobs, job_id) is JobStatus.SUCCESS
        store = ModelStore(jobs.site.settings.models_dir)
        for role, party_id in (("guest", 9999), ("host", 10000)):
            owner = f"{role}#{party_id}#guest-9999#host-10000#model"
            pipeline = store.read_pipeline(owner, job_id)
            assert b"dataio_0" in pipeline.inference_dsl
        with jobs.site.session() as session:
            rows = session.scalars(select(Job).where(Job.f_job_id == job_id)).all()
            assert {(row.f_status, row.f_progress) for row in rows} == {("success", 100)}
            seal_job(session, job_id)  # doing it twice changes nothing

    def test_a_task_that_has_not_succeeded_is_named(self, jobs: Jobs, job_id: str) -> None:
        Task_(jobs, job_id, "dataio_0", GUEST).run()
        with (
            jobs.site.session() as session,
            pytest.raises(FateFlowError, match="dataio_0 of guest 9999 is running") as refusal,
        ):
            seal_job(session, job_id)
        assert "intersection_0 of host 10000 is not run" in str(refusal.value)
        assert _status(jobs, job_id) is JobStatus.RUNNING

    def test_a_job_that_was_stopped_is_not_sealed(self, jobs: Jobs, job_id: str) -> None:
        self._succeed_all(jobs, job_id)
        with jobs.site.session() as session:
            end(session, job_id, JobStatus.FAILED, Failure("stopped by request"))
        with jobs.site.session() as session:
            seal_job(session, job_id)
        assert _status(jobs, job_id) is JobStatus.FAILED

    def test_an_unknown_job(self, jobs: Jobs) -> None:
        with jobs.site.session() as session, pytest.raises(NotFoundError):
            seal_job(session, "1")


def test_the_life_of_a_job_stands_in_its_schedule_log(jobs: Jobs) -> None:
    logger = logging.getLogger("fate_flow")
    before, level = list(logger.handlers), logger.level
    logger.setLevel(logging.INFO)
    logs_dir = jobs.site.settings.logs_dir
    write_schedule_logs(logs_dir)
    try:
        job_id = jobs.submit().job_id
        task = Task_(jobs, job_id, "dataio_0", GUEST)
        task.run()
        task.report({"kind": "status", "status": "failed", "error": "no good"})
    finally:
        logger.setLevel(level)
        logger.handlers[:] = before
    text = (logs_dir / job_id / "fate_flow_schedule.log").read_text()
    said = [line.partition("]: ")[2].replace(job_id, "J") for line in text.splitlines()]
    assert said == [
        "job J created for guest 9999",
        "job J created for host 10000",
        "job J admitted: its run is queued in Airflow",
        "job J started",
        "job J: task dataio_0 of guest 9999 started, try 1",
        "job J: task dataio_0 of guest 9999 ended: failed: no good",
        "job J ended: failed (no good)",
    ]
