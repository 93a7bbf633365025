"""Rows of jobs, tasks and data views: saving by the rules of FATE-Flow, and queries.

Saving rules: keys never change; a value equal to the column's default is skipped, so that
a partial row cannot erase what is there; a terminal status never changes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Integer, false, select, update
from sqlalchemy.orm import Session

from fate_flow.db.models import (
    Base,
    DataView,
    Job,
    JobDetail,
    Task,
    TaskDetail,
    ms_between,
    now_ms,
    row_to_dict,
)
from fate_flow.db.session import rows_changed
from fate_flow.entities import JobStatus, TaskStatus
from fate_flow.errors import InvalidInputError, Problem
from fate_flow.tracking.metrics import TaskScope

R = TypeVar("R", bound=Base)

_OPEN = (TaskStatus.WAITING.value, TaskStatus.RUNNING.value)


# -- filters ---------------------------------------------------------------------------------


def filters_of(model: type[Base], wanted: Mapping[str, Any]) -> list[Any]:
    """SQL conditions for the keys of ``wanted`` that are columns of ``model`` without ``f_``.

    Unknown keys are ignored; null means "is null".

    Raises:
        InvalidInputError: a value cannot be compared with its column; lists all such keys.
    """
    conditions: list[Any] = []
    problems: list[Problem] = []
    columns = model.__table__.columns
    for key, value in wanted.items():
        column = columns.get(f"f_{key}")
        if column is None:
            continue
        try:
            conditions.append(column == _comparable(column.type, value))
        except (TypeError, ValueError):
            is_number = isinstance(column.type, (Integer, BigInteger))
            allowed = "an integer" if is_number else "a text"
            problems.append(Problem(key, f"found {_shown(value)}", allowed))
    if problems:
        raise InvalidInputError(problems)
    return conditions


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else repr(value)[:80]


def _comparable(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, (Integer, BigInteger)):
        if isinstance(value, (bool, str, int)) or (isinstance(value, float) and value.is_integer()):
            number = int(value)
        else:
            raise TypeError
        if not -(2**63) <= number < 2**63:
            raise ValueError
        return number
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError
    return str(value)


# -- queries ---------------------------------------------------------------------------------


def _query(session: Session, model: type[R], conditions: Sequence[Any]) -> list[R]:
    names = ("f_job_id", "f_task_id", "f_role", "f_party_id")
    order = [column for column in model.__table__.columns if column.name in names]
    order.sort(key=lambda column: names.index(column.name))
    return list(session.scalars(select(model).where(*conditions).order_by(*order)))


def query_jobs(session: Session, wanted: Mapping[str, Any]) -> list[Job]:
    """Jobs that meet all filters; none when no key is a column (there is no "list all")."""
    conditions = filters_of(Job, wanted)
    return _query(session, Job, conditions) if conditions else []


def query_tasks(session: Session, wanted: Mapping[str, Any]) -> list[Task]:
    """Tasks that meet all filters; all tasks when no key is a column."""
    return _query(session, Task, filters_of(Task, wanted))


def query_data_views(session: Session, wanted: Mapping[str, Any]) -> list[DataView]:
    """Data views that meet all filters; none when no key is a column."""
    conditions = filters_of(DataView, wanted)
    return _query(session, DataView, conditions) if conditions else []


def job_dicts(session: Session, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Rows as the API shows them.

    With ``f_reason`` where a job ended without success, and ``f_message`` where one waits for
    something: an upload of its tables, another site, a person's yes, a free place.
    """
    ids = {job.f_job_id for job in jobs}
    statement = select(JobDetail).where(JobDetail.f_job_id.in_(ids) if ids else false())
    details = {detail.f_job_id: detail for detail in session.scalars(statement)}
    found = []
    for job in jobs:
        row = row_to_dict(job)
        detail = details.get(job.f_job_id)
        bad = job.f_status not in (*_OPEN, JobStatus.SUCCESS.value)
        if detail is not None and bad and (detail.reason or detail.failed_component):
            row["f_reason"] = reason_text(detail)
        elif detail is not None and detail.reason and job.f_status in _OPEN:
            row["f_message"] = detail.reason
        found.append(row)
    return found


def reason_text(detail: JobDetail) -> str:
    """Why a job ended: component, party, and what was raised."""
    place = detail.failed_component or ""
    if detail.failed_role:
        party = f"{detail.failed_role} {detail.failed_party_id}"
        place = f"{place} at {party}" if place else party
    reason = detail.reason or ""
    # What a task reports says itself where it comes from.
    if detail.failed_component and reason.startswith(f"{detail.failed_component} "):
        return reason
    return ": ".join(part for part in (place, reason) if part)


def task_dicts(session: Session, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Rows as the API shows them, with ``f_error``, ``f_message`` and ``f_attempt``.

    ``f_message`` is what the task waits for, else what it is doing.
    """
    details: dict[tuple[str, ...], TaskDetail] = {}
    for job_id in {task.f_job_id for task in tasks}:
        statement = select(TaskDetail).where(TaskDetail.job_id == job_id)
        for detail in session.scalars(statement):
            key = (detail.job_id, detail.component_name, detail.role, detail.party_id)
            details[key] = detail
    found = []
    for task in tasks:
        key = (task.f_job_id, task.f_component_name, task.f_role, task.f_party_id)
        row = row_to_dict(task)
        row.update(_detail_columns(task, details.get(key)))
        found.append(row)
    return found


def _detail_columns(task: Task, detail: TaskDetail | None) -> dict[str, Any]:
    if detail is None:
        return {"f_error": "", "f_message": "", "f_attempt": 0}
    waits = task.f_status in _OPEN and detail.waiting_for
    return {
        "f_error": detail.error or "",
        "f_message": (detail.waiting_for if waits else detail.message) or "",
        "f_attempt": detail.attempt,
        "f_task_progress": round(detail.progress or 0.0, 4),
    }


# -- saving ----------------------------------------------------------------------------------


def _worth_saving(model: type[Base], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` under their column names, without keys and without column defaults.

    Raises:
        TypeError: a name is not a column.
    """
    columns = model.__table__.columns
    kept: dict[str, Any] = {}
    for name, value in values.items():
        column = columns.get(name if name.startswith("f_") else f"f_{name}")
        if column is None:
            raise TypeError(f"{model.__tablename__} has no column {name!r}")
        default = column.default
        is_default = default is not None and default.is_scalar and str(default.arg) == str(value)
        if not column.primary_key and not is_default and value is not None:
            kept[column.name] = value
    return kept


def save_task(session: Session, scope: TaskScope, **columns: Any) -> bool:
    """Insert or update a task row.

    ``columns`` are names of ``t_task`` with or without ``f_``. A terminal status sets end
    time and elapsed time when they are not given.

    Returns:
        False when the row had a terminal status; then nothing was changed.
    """
    now = now_ms()
    values = {**_worth_saving(Task, columns), "f_update_time": now}
    status = values.get("f_status")
    keys = {
        "f_job_id": scope.job_id,
        "f_task_id": scope.task_id,
        "f_role": scope.role,
        "f_party_id": scope.party_id,
    }
    where = [getattr(Task, name) == value for name, value in keys.items()]
    if status is not None and TaskStatus(status).is_terminal:
        values.setdefault("f_end_time", now)
        started = values.get("f_start_time") or session.scalar(
            select(Task.f_start_time).where(*where)
        )
        if started is not None:
            values.setdefault("f_elapsed", ms_between(started, values["f_end_time"]))
    changed = rows_changed(
        session, update(Task).where(*where, Task.f_status.in_(_OPEN)).values(**values)
    )
    if changed:
        return True
    if session.scalar(select(Task.f_status).where(*where)) is not None:
        return False
    values.setdefault("f_status", TaskStatus.WAITING.value)
    values.setdefault("f_operator", "python_operator")
    session.add(Task(**keys, **{**values, "f_component_name": scope.component}))
    session.flush()
    return True


def save_data_view(session: Session, scope: TaskScope, **columns: Any) -> None:
    """Insert or update the data-view row of a task; ``columns`` with or without ``f_``."""
    now = now_ms()
    values = {**_worth_saving(DataView, columns), "f_update_time": now}
    keys = {
        "f_job_id": scope.job_id,
        "f_role": scope.role,
        "f_party_id": scope.party_id,
        "f_task_id": scope.task_id,
    }
    where = [getattr(DataView, name) == value for name, value in keys.items()]
    changed = rows_changed(session, update(DataView).where(*where).values(**values))
    if not changed:
        values = {"f_create_time": now, **values, "f_component_name": scope.component}
        session.add(DataView(**keys, **values))
        session.flush()


def complete_data_view(session: Session, scope: TaskScope) -> None:
    """Say of a task that has succeeded that it put out no table, unless it has named one.

    FATE-Flow has a row for every task then: with empty names and a count of 0.
    """
    view = data_view(session, scope)
    if view is None or view.f_table_name is None:
        save_data_view(session, scope, table_name="", table_namespace="", table_count_actual=0)


def data_view(session: Session, scope: TaskScope) -> DataView | None:
    """The data-view row of a task."""
    return session.scalar(
        select(DataView).where(
            DataView.f_job_id == scope.job_id,
            DataView.f_task_id == scope.task_id,
            DataView.f_role == scope.role,
            DataView.f_party_id == scope.party_id,
        )
    )


def save_notes(session: Session, job_id: str, role: str, party_id: str, notes: str) -> bool:
    """Set ``f_description`` of one job row; an empty text leaves the old one; False: no row."""
    where = (Job.f_job_id == job_id, Job.f_role == role, Job.f_party_id == party_id)
    if session.scalar(select(Job.f_job_id).where(*where)) is None:
        return False
    if notes:
        session.execute(update(Job).where(*where).values(f_description=notes))
    return True


def initiator_row(session: Session, job_id: str) -> Job | None:
    """The row of the job's initiator, if this site has it."""
    return session.scalar(select(Job).where(Job.f_job_id == job_id, Job.f_is_initiator == 1))


def any_row(session: Session, job_id: str) -> Job | None:
    """The initiator's row, else any row of the job."""
    statement = select(Job).where(Job.f_job_id == job_id).order_by(Job.f_is_initiator.desc())
    return session.scalars(statement).first()


__all__ = [
    "any_row",
    "complete_data_view",
    "data_view",
    "filters_of",
    "initiator_row",
    "job_dicts",
    "query_data_views",
    "query_jobs",
    "query_tasks",
    "reason_text",
    "save_data_view",
    "save_notes",
    "save_task",
    "task_dicts",
]
