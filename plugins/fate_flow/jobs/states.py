"""The state machine of jobs and tasks at one site: the only writer of statuses.

Terminal states never change back: every write says from which states it may start,
and is a single conditional UPDATE, so that two processes cannot both end a job.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from fate_flow.db.models import Job, JobDetail, Queue, Task, TaskDetail, ms_between, now_ms
from fate_flow.db.session import rows_changed
from fate_flow.entities import JobStatus, Party, TaskStatus

log = logging.getLogger("fate_flow.jobs")

OPEN = (JobStatus.WAITING.value, JobStatus.RUNNING.value)
OPEN_TASKS = (TaskStatus.WAITING.value, TaskStatus.RUNNING.value)
QUEUE_WAITING, QUEUE_TAKEN, QUEUE_REMOVED = 1, 0, 2
#: Of the one row that is no job but a lock.
QUEUE_LOCK = 3
#: A job that spans sites waits until all of them have a place for it; then it is kept one.
QUEUE_AWAITING, QUEUE_RESERVED = 4, 5


@dataclass(frozen=True)
class Failure:
    """Why a job ended without success, and where."""

    reason: str
    component: str | None = None
    party: Party | None = None


def hold_job(session: Session, job_id: str) -> None:
    """Let no other transaction change the job until this one has ended.

    Without it a task could report its start between another's failure and the end of the
    job that follows, and stay running in a job that is over. A write that changes nothing
    locks the rows, on SQLite the database.

    Who will change more of a job than this holds it first: taken in the same order by all,
    the locks of its other rows cannot become a deadlock.
    """
    session.execute(
        update(Job)
        .where(Job.f_job_id == job_id)
        .values(f_tag=Job.f_tag)
        .execution_options(synchronize_session=False)
    )


def next_version(session: Session, detail: JobDetail) -> int:
    """A version for a snapshot of the job, higher than any that another transaction gave."""
    session.flush()
    session.execute(
        update(JobDetail)
        .where(JobDetail.f_job_id == detail.f_job_id)
        .values(state_version=JobDetail.state_version + 1)
        .execution_options(synchronize_session=False)
    )
    session.refresh(detail, ["state_version"])
    return detail.state_version


def start_job(session: Session, job_id: str) -> bool:
    """waiting -> running, at the first task that runs; False when it was not waiting."""
    now = now_ms()
    changed = rows_changed(
        session,
        update(Job)
        .where(Job.f_job_id == job_id, Job.f_status == JobStatus.WAITING.value)
        .values(f_status=JobStatus.RUNNING.value, f_start_time=now, f_update_time=now),
    )
    return changed > 0


def end_job(
    session: Session, job_id: str, status: JobStatus, failure: Failure | None = None
) -> bool:
    """Give a job its terminal state at all parties of this site.

    Returns:
        False when it already had one; then nothing was changed.
    """
    now = now_ms()
    rows = session.scalars(
        select(Job).where(Job.f_job_id == job_id, Job.f_status.in_(OPEN)).with_for_update()
    ).all()
    changed = False
    for row in rows:
        values: dict[str, object] = {
            "f_status": status.value,
            "f_end_time": now,
            "f_update_time": now,
            "f_elapsed": ms_between(row.f_start_time or row.f_create_time, now),
        }
        if status is JobStatus.SUCCESS:
            values["f_progress"] = 100
        this = rows_changed(
            session,
            update(Job)
            .where(
                Job.f_job_id == job_id,
                Job.f_role == row.f_role,
                Job.f_party_id == row.f_party_id,
                Job.f_status.in_(OPEN),
            )
            .values(**values),
        )
        changed = changed or this > 0
    if not changed:
        return False
    _end_tasks(session, job_id, status, failure, now)
    session.execute(
        update(Queue).where(Queue.f_job_id == job_id).values(f_is_waiting=QUEUE_REMOVED)
    )
    _store_reason(session, job_id, failure)
    log.info("job %s ended: %s%s", job_id, status.value, f" ({failure.reason})" if failure else "")
    return True


def _end_tasks(
    session: Session, job_id: str, status: JobStatus, failure: Failure | None, now: int
) -> None:
    """Tasks that had not ended share the job's fate, and say why they ended."""
    fate = TaskStatus.TIMEOUT if status is JobStatus.TIMEOUT else TaskStatus.FAILED
    if status is JobStatus.CANCELED:
        fate = TaskStatus.CANCELED
    is_open = (Task.f_job_id == job_id, Task.f_status.in_(OPEN_TASKS))
    ended = session.execute(
        select(Task.f_component_name, Task.f_role, Task.f_party_id).where(*is_open)
    ).all()
    session.execute(
        update(Task)
        .where(*is_open)
        .values(
            f_status=fate.value,
            f_end_time=now,
            f_update_time=now,
            f_elapsed=case((Task.f_start_time > now, 0), else_=now - Task.f_start_time),
        )
    )
    session.execute(update(TaskDetail).where(TaskDetail.job_id == job_id).values(waiting_for=""))
    if failure is not None:
        for component, role, party_id in ended:
            _say_why(session, job_id, component, Party(role, int(party_id)), failure)


def _say_why(session: Session, job_id: str, component: str, party: Party, failure: Failure) -> None:
    is_cause = (failure.component, failure.party) == (component, party)
    key = (job_id, component, party.role, str(party.party_id))
    detail = session.get(TaskDetail, key)
    if detail is not None:
        detail.error = failure.reason if is_cause else f"ended with the job: {failure.reason}"


def _store_reason(session: Session, job_id: str, failure: Failure | None) -> None:
    detail = session.get(JobDetail, job_id)
    if detail is None:
        return
    next_version(session, detail)
    if failure is not None:
        detail.reason = failure.reason
        detail.failed_component = failure.component
        if failure.party is not None:
            detail.failed_role = failure.party.role
            detail.failed_party_id = str(failure.party.party_id)


def set_progress(session: Session, job_id: str, done: int, total: int, last_task: str) -> None:
    """Share of components whose tasks are all success, in percent, while the job runs."""
    session.execute(
        update(Job)
        .where(Job.f_job_id == job_id, Job.f_status == JobStatus.RUNNING.value)
        .values(
            f_progress=int(done / total * 100) if total else 0,
            f_current_tasks=json.dumps([last_task]),
            f_update_time=now_ms(),
        )
    )


def status_of(session: Session, job_id: str) -> JobStatus | None:
    """Status at the initiator's row if it is here, else at any party's; None: unknown job."""
    rows = session.execute(
        select(Job.f_is_initiator, Job.f_status).where(Job.f_job_id == job_id)
    ).all()
    if not rows:
        return None
    for is_initiator, status in rows:
        if is_initiator == 1:
            return JobStatus(status)
    return JobStatus(rows[0][1])


def open_jobs(session: Session, *, taken: bool) -> Sequence[str]:
    """Ids of jobs that have not ended, in order of submission: waiting, or handed to Airflow."""
    wanted = (QUEUE_TAKEN,) if taken else (QUEUE_WAITING, QUEUE_AWAITING, QUEUE_RESERVED)
    return queued(session, *wanted)


def queued(session: Session, *wanted: int) -> Sequence[str]:
    """Ids of the jobs in these states of the queue, in order of submission."""
    return list(
        session.scalars(
            select(Queue.f_job_id).where(Queue.f_is_waiting.in_(wanted)).order_by(Queue.id)
        )
    )
