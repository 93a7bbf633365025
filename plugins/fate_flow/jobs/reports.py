"""What tasks send to their site: statuses, metrics, data views, progress; and the seal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Metric, Task, TaskDetail, ms_between, now_ms
from fate_flow.entities import JobStatus, TaskStatus
from fate_flow.errors import FateFlowError, InvalidInputError
from fate_flow.federation.tokens import Claims
from fate_flow.jobs import progress, states, telling
from fate_flow.jobs.permission import (
    RUN_TASK,
    NotAuthorizedError,
    gate_of_job,
)
from fate_flow.jobs.service import end
from fate_flow.operators.plans import read_plan
from fate_flow.tracking import store as tracking
from fate_flow.tracking.store import TaskScope

log = logging.getLogger("fate_flow.jobs")


def apply_reports(session: Session, claims: Claims, body: Mapping[str, Any]) -> str:
    """Store one batch of a task's events; a batch that was stored before is dropped.

    Returns:
        Empty, or why the task has to end: its party may not run it any more. The job is
        ended then, and that must be committed.

    Raises:
        FateFlowError: ``job is over …`` when the job has ended, so that the task ends too.
        InvalidInputError: an event that cannot be read.
    """
    _require_open(session, claims.job_id)
    number = body.get("number")
    events = body.get("events")
    if not isinstance(number, int) or not isinstance(events, list):
        raise InvalidInputError("a report needs number (integer) and events (list)")
    detail = _detail(session, claims)
    if number <= detail.report_number:
        return ""
    if _starts(events) and (refusal := _refused(session, claims)):
        failure = states.Failure(refusal, claims.component, claims.party)
        end(session, claims.job_id, JobStatus.FAILED, failure)
        return f"job is over: {refusal}"
    detail.report_number = number
    for event in events:
        handler = _HANDLERS.get(event.get("kind")) if isinstance(event, dict) else None
        if handler is None:
            raise InvalidInputError(f"found an event of kind {event!r:.80}")
        try:
            handler(session, claims, detail, event)
        except (KeyError, TypeError, ValueError) as error:
            kind = type(error).__name__
            raise InvalidInputError(f"cannot read {event!r:.200}: {kind} {error}") from None
    return ""


def status_of_task(session: Session, claims: Claims) -> str:
    """What the site has stored of the task's status; empty when nothing was reported yet.

    A job that has ended well may have tasks that Airflow has not heard of yet: it can be
    decided at another site.

    Raises:
        FateFlowError: ``job is over …``.
    """
    if states.status_of(session, claims.job_id) is not JobStatus.SUCCESS:
        _require_open(session, claims.job_id)
    key = (claims.job_id, f"{claims.job_id}_{claims.component}")
    task = session.get(Task, (*key, claims.party.role, str(claims.party.party_id)))
    return "" if task is None else task.f_status


def _require_open(session: Session, job_id: str) -> None:
    """Refuse a job that has ended; it cannot end until this transaction is over."""
    states.hold_job(session, job_id)
    status = states.status_of(session, job_id)
    if status is None:
        raise FateFlowError("job is over: it is not known here")
    if status.is_terminal:
        raise FateFlowError(f"job is over: {status.value}")


def _starts(events: list[Any]) -> bool:
    return any(
        isinstance(event, dict) and event.get("status") == TaskStatus.RUNNING.value
        for event in events
    )


def _refused(session: Session, claims: Claims) -> str:
    """Why the task may not run: its party withdrew a privilege after the job was created."""
    settings = site_settings.current()
    gate = gate_of_job(session, settings, claims.job_id) if settings.USE_AUTHENTICATION else None
    if gate is None:
        return ""
    module = read_plan(settings.jobs_dir, claims.job_id).component(claims.component).module
    try:
        gate.check(claims.party, RUN_TASK, module)
    except NotAuthorizedError as error:
        return error.message
    return ""


def _detail(session: Session, claims: Claims) -> TaskDetail:
    key = (claims.job_id, claims.component, claims.party.role, str(claims.party.party_id))
    found = session.get(TaskDetail, key)
    if found is None:
        found = TaskDetail(
            job_id=key[0], component_name=key[1], role=key[2], party_id=key[3], report_number=-1
        )
        session.add(found)
        session.flush()
    return found


def _scope(claims: Claims, *, job_level: bool = False) -> TaskScope:
    component = tracking.JOB_LEVEL if job_level else claims.component
    return TaskScope(claims.job_id, component, claims.party.role, str(claims.party.party_id))


def _on_status(
    session: Session, claims: Claims, detail: TaskDetail, event: Mapping[str, Any]
) -> None:
    status = TaskStatus(event["status"])
    now = int(event.get("time") or now_ms())
    task = _task_row(session, claims)
    if status is TaskStatus.RUNNING:
        _begin(session, claims, detail, task, event, now)
        return
    error = str(event.get("error") or "")
    detail.error = error or None
    detail.waiting_for = ""
    task_text = f"task {claims.component} of {claims.party}"
    if status is TaskStatus.FAILED and not event.get("final", True):
        log.warning("job %s: %s will be tried again: %s", claims.job_id, task_text, error)
        detail.message = f"will be tried again: {error}"
        return
    task.f_status = status.value
    task.f_end_time = task.f_update_time = now
    task.f_elapsed = ms_between(task.f_start_time, now)
    session.flush()
    if status is TaskStatus.SUCCESS:
        log.info("job %s: %s ended: success", claims.job_id, task_text)
        detail.progress = 1.0
        tracking.complete_data_view(session, _scope(claims))
        progress.update(session, claims.job_id, claims.component)
        telling.tell(session, claims.job_id)
    else:
        log.error("job %s: %s ended: %s: %s", claims.job_id, task_text, status.value, error)
        failure = states.Failure(error or "failed", claims.component, claims.party)
        end(session, claims.job_id, JobStatus.FAILED, failure)


def _task_row(session: Session, claims: Claims) -> Task:
    task_id = f"{claims.job_id}_{claims.component}"
    key = (claims.job_id, task_id, claims.party.role, str(claims.party.party_id))
    task = session.get(Task, key)
    if task is None:
        task = Task(
            f_job_id=key[0],
            f_task_id=key[1],
            f_role=key[2],
            f_party_id=key[3],
            f_component_name=claims.component,
            f_operator="python_operator",
            f_status=TaskStatus.RUNNING.value,
            f_create_time=now_ms(),
        )
        session.add(task)
    return task


def _begin(
    session: Session,
    claims: Claims,
    detail: TaskDetail,
    task: Task,
    event: Mapping[str, Any],
    now: int,
) -> None:
    """A task starts, or starts anew: what an earlier attempt reported no longer holds."""
    attempt = int(event.get("attempt", 0))
    if detail.try_number:
        tracking.delete_task_metrics(session, _scope(claims))
    detail.attempt = attempt
    detail.try_number = int(event.get("try_number", 1))
    detail.error, detail.message, detail.progress = None, "", 0.0
    task.f_status = TaskStatus.RUNNING.value
    task.f_start_time = task.f_update_time = now
    task.f_create_time = min(task.f_create_time, now)  # the report took a moment to arrive
    task.f_end_time = task.f_elapsed = None
    task.f_run_pid = event.get("pid")
    task.f_run_ip = site_settings.current().lan_address
    if states.start_job(session, claims.job_id):
        log.info("job %s started", claims.job_id)
    who = f"task {claims.component} of {claims.party}"
    log.info("job %s: %s started, try %d", claims.job_id, who, detail.try_number)
    telling.tell(session, claims.job_id)


def _on_metrics(
    session: Session, claims: Claims, detail: TaskDetail, event: Mapping[str, Any]
) -> None:
    tracking.add_metrics(
        session,
        _scope(claims, job_level=bool(event.get("job_level", False))),
        str(event["namespace"]),
        str(event["name"]),
        event.get("points", []),
        event.get("meta") or {},
    )


def _on_data_view(
    session: Session, claims: Claims, detail: TaskDetail, event: Mapping[str, Any]
) -> None:
    columns = {f"f_{name}": value for name, value in (event.get("columns") or {}).items()}
    tracking.save_data_view(session, _scope(claims), **columns)


def _on_progress(
    session: Session, claims: Claims, detail: TaskDetail, event: Mapping[str, Any]
) -> None:
    if "done" in event:
        detail.progress = min(max(float(event["done"]), 0.0), 1.0)
    if "message" in event:
        detail.message = str(event["message"])[:2000]
    if "waiting_for" in event:
        detail.waiting_for = str(event["waiting_for"])[:2000]
    if "done" in event and claims.party.role == "local":
        states.set_progress(
            session,
            claims.job_id,
            int(detail.progress * 100),
            100,
            f"{claims.job_id}_{claims.component}",
        )


_HANDLERS: Mapping[Any, Callable[[Session, Claims, TaskDetail, Mapping[str, Any]], None]] = {
    "status": _on_status,
    "metrics": _on_metrics,
    "data_view": _on_data_view,
    "progress": _on_progress,
}


def forget_metrics(session: Session, job_id: str) -> None:
    """Remove all metrics of a job."""
    session.execute(delete(Metric).where(Metric.f_job_id == job_id))
