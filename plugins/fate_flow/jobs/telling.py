"""What a site tells the others of a job: snapshots, put into the outbox with what they tell of."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, JobDetail, Task, TaskDetail
from fate_flow.entities import Party, Placement
from fate_flow.errors import NotFoundError
from fate_flow.jobs import states
from fate_flow.operators.plans import read_placement
from fate_flow.sites import delivery, outbox

REPORT, STATE, START, FORGET = "job.report", "job.state", "job.start", "job.forget"
#: Columns of a task that go to other sites, by the name that they have in a message.
_TASK_COLUMNS = {
    "status": "f_status",
    "create_time": "f_create_time",
    "start_time": "f_start_time",
    "end_time": "f_end_time",
    "elapsed": "f_elapsed",
}
#: Those of the sender's clock.
TASK_MOMENTS = ("create_time", "start_time", "end_time")


def placement_of(job_id: str) -> Placement | None:
    """Where the parties of a job are; None: all here."""
    return read_placement(site_settings.current().jobs_dir, job_id)


def require_placement(job_id: str) -> Placement:
    """
    Raises:
        NotFoundError: the job is not here, or does not span sites.
    """
    placement = placement_of(job_id)
    if placement is None:
        raise NotFoundError(f"job {job_id} is not known at this site, or has no other sites")
    return placement


def home_peer(placement: Placement) -> str:
    """Name of the peer that is the job's home."""
    return next(name for name, parties in placement.sites.items() if placement.home in parties)


def is_elsewhere(detail: JobDetail | None) -> bool:
    """Whether another site decides what becomes of the job."""
    return detail is not None and bool(detail.home) and not detail.home_is_local


def tell(session: Session, job_id: str) -> None:
    """Something of the job has changed here: the sites that need to know are told."""
    detail = session.get(JobDetail, job_id)
    if detail is None or not detail.home:
        return
    placement = placement_of(job_id)
    if placement is None:
        return
    version = states.next_version(session, detail)
    if detail.home_is_local:
        body = state_of(session, job_id)
        for name in placement.sites:
            outbox.put(session, name, STATE, job_id, version, body)
    else:
        report = {
            "tasks": tasks_of(session, job_id, placement.local),
            "proposal": json.loads(detail.proposal) if detail.proposal else None,
            "approval": detail.approval,
        }
        peer = home_peer(placement)
        outbox.put(session, peer, REPORT, job_id, version, report)
    wake_after_commit(session)


def tell_start(session: Session, job_id: str, placement: Placement) -> None:
    """All sites shall run their parts."""
    for name in placement.sites:
        outbox.put(session, name, START, job_id, 1, {})
    wake_after_commit(session)


def wake_after_commit(session: Session) -> None:
    event.listen(session, "after_commit", lambda _: delivery.wake(), once=True)


def state_of(session: Session, job_id: str) -> dict[str, Any]:
    """The home's view of a job: status, why, and the tasks of all parties."""
    detail = session.get(JobDetail, job_id)
    row = session.scalars(
        select(Job).where(Job.f_job_id == job_id).order_by(Job.f_is_initiator.desc()).limit(1)
    ).one()
    return {
        "state_version": detail.state_version if detail is not None else 0,
        "status": row.f_status,
        "progress": row.f_progress or 0,
        "reason": (detail.reason if detail is not None else "") or "",
        "failed": _failed(detail),
        "tasks": tasks_of(session, job_id, None),
    }


def _failed(detail: JobDetail | None) -> dict[str, Any] | None:
    if detail is None or not detail.failed_component:
        return None
    return {
        "component": detail.failed_component,
        "role": detail.failed_role,
        "party_id": detail.failed_party_id,
    }


def tasks_of(
    session: Session, job_id: str, parties: Collection[Party] | None
) -> list[dict[str, Any]]:
    """Tasks with their statuses, times and errors; of all parties when None is given."""
    details = {
        (row.component_name, row.role, row.party_id): row
        for row in session.scalars(select(TaskDetail).where(TaskDetail.job_id == job_id))
    }
    found = []
    for row in session.scalars(select(Task).where(Task.f_job_id == job_id)):
        if parties is not None and Party(row.f_role, int(row.f_party_id)) not in parties:
            continue
        entry: dict[str, Any] = {
            "component": row.f_component_name,
            "role": row.f_role,
            "party_id": row.f_party_id,
        }
        entry.update({name: getattr(row, column) for name, column in _TASK_COLUMNS.items()})
        detail = details.get((row.f_component_name, row.f_role, row.f_party_id))
        if detail is not None:
            entry.update(
                attempt=detail.attempt, try_number=detail.try_number, error=detail.error or ""
            )
        found.append(entry)
    return found
