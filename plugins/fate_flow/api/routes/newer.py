"""Routes that FATE-Flow 1.4 had not, for the clients of FATE 1.5 to 1.11 and for lists."""

from __future__ import annotations

import json
import platform
from typing import Annotated, Any

from fastapi import APIRouter
from sqlalchemy import BigInteger, Integer, func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from fate_flow.api.bodies import ComponentBody, JobBody
from fate_flow.api.body import Body, Text, body_of
from fate_flow.api.body import Integer as IntegerField
from fate_flow.api.components import scope_of, unknown_job
from fate_flow.api.dependencies import DbSession
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read
from fate_flow.db.models import Base, Job, Task, columns_of
from fate_flow.errors import InvalidInputError, Problem
from fate_flow.tracking import store as tracking
from fate_flow.version import FATE_VERSION, __version__

router = APIRouter(tags=["newer"])

_JOB_ID = "2026010112000012345612"
_MOST_ROWS = 1000


class ListBody(Body):
    """A page of rows: filters by columns (a list: any of them), order, size and number."""

    limit: IntegerField = 10
    page: IntegerField = 1
    order_by: Text = "create_time"
    order: Text = "desc"


def _page(session: Session, model: type[Base], body: ListBody) -> tuple[int, list[Any]]:
    """(number of rows that meet the filters, those of the page)."""
    conditions = _conditions(model, body.given())
    names = columns_of(model)
    column = f"f_{body.order_by}" if f"f_{body.order_by}" in names else "f_create_time"
    key = getattr(model, column)
    keys = [key.asc() if body.order.lower() == "asc" else key.desc()]
    keys += [getattr(model, n) for n in ("f_job_id", "f_role", "f_party_id") if n != column]
    size = min(body.limit, _MOST_ROWS) if body.limit > 0 else _MOST_ROWS
    page = min(max(body.page, 1), 10**9)
    statement = select(model).where(*conditions).order_by(*keys)
    rows = session.scalars(statement.limit(size).offset((page - 1) * size)).all()
    count = session.scalar(select(func.count()).select_from(model).where(*conditions)) or 0
    return count, list(rows)


def _conditions(model: type[Base], given: dict[str, Any]) -> list[Any]:
    given = {key: value for key, value in given.items() if value is not None}
    single = {key: value for key, value in given.items() if not isinstance(value, list)}
    conditions = tracking.filters_of(model, single)
    for key, values in given.items():
        column = model.__table__.columns.get(f"f_{key}")
        if column is None or not isinstance(values, list):
            continue
        is_number = isinstance(column.type, (Integer, BigInteger))
        if not all(isinstance(value, int if is_number else (str, int)) for value in values):
            raise InvalidInputError([Problem(key, "found a list of other values", "plain values")])
        if values:
            conditions.append(column.in_([v if is_number else str(v) for v in values]))
    return conditions


@router.post(
    "/job/list/job",
    dependencies=[can_read],
    **docs(
        ListBody, {"limit": 10}, required=False, data={"count": 1, "jobs": [{"job_id": _JOB_ID}]}
    ),
)
def list_jobs(
    body: Annotated[ListBody, body_of(ListBody, optional=True)], session: DbSession
) -> Response:
    """Rows of jobs, newest first; keys without ``f_``, documents as objects."""
    count, rows = _page(session, Job, body)
    return answer({"count": count, "jobs": [_job(session, row) for row in rows]})


def _job(session: Session, row: Job) -> dict[str, Any]:
    shown: dict[str, Any] = {k.removeprefix("f_"): v for k, v in _dict(session, row).items()}
    for key in ("dsl", "runtime_conf", "train_runtime_conf", "roles"):
        shown[key] = json.loads(shown.get(key) or "{}")
    initiator = shown["runtime_conf"].get("initiator") or {}
    shown["initiator_role"] = initiator.get("role")
    return shown


def _dict(session: Session, row: Job) -> dict[str, Any]:
    return tracking.job_dicts(session, [row])[0]


@router.post(
    "/job/list/task",
    dependencies=[can_read],
    **docs(ListBody, {"job_id": _JOB_ID}, {"count": 1, "tasks": [{"job_id": _JOB_ID}]}),
)
def list_tasks(
    body: Annotated[ListBody, body_of(ListBody, optional=True)], session: DbSession
) -> Response:
    """Rows of tasks, newest first; keys without ``f_``."""
    count, rows = _page(session, Task, body)
    tasks = [
        {key.removeprefix("f_"): value for key, value in row.items()}
        for row in tracking.task_dicts(session, rows)
    ]
    return answer({"count": count, "tasks": tasks})


@router.post(
    "/tracking/component/list",
    dependencies=[can_read],
    **docs(JobBody, {"job_id": _JOB_ID}, {"components": ["dataio_0", "intersection_0"]}),
)
def list_components(body: Annotated[JobBody, body_of(JobBody)], session: DbSession) -> Response:
    """Names of a job's components, in the order of its DSL."""
    row = tracking.any_row(session, body.job_id)
    if row is None:
        raise unknown_job(body.job_id)
    return answer({"components": list(json.loads(row.f_dsl).get("components", {}))})


@router.post(
    "/tracking/component/summary/download",
    dependencies=[can_read],
    **docs(
        ComponentBody,
        {"job_id": _JOB_ID, "component_name": "evaluation_0"},
        {"train": {"hetero_lr_0": {"auc": 0.98, "ks": 0.86}}},
    ),
)
def component_summary(
    body: Annotated[ComponentBody, body_of(ComponentBody)], session: DbSession
) -> Response:
    """Single numbers that a component has reported, and the last point of each curve."""
    scope = scope_of(session, body)
    if tracking.any_row(session, scope.job_id) is None:
        raise unknown_job(scope.job_id)
    return answer(
        {
            namespace: {name: _numbers(metric.points) for name, metric in by_name.items()}
            for namespace, by_name in tracking.read_all_metrics(session, scope).items()
        }
    )


def _numbers(points: list[Any]) -> Any:
    named = {key: value for key, value in points if isinstance(key, str)}
    return named or (points[-1][1] if points else None)


class VersionBody(Body):
    """One module, or all."""

    module: Text | None = None


_VERSIONS = {"FATE": FATE_VERSION, "FATEFlow": __version__, "API": "v1"}


@router.post("/server/version/get", dependencies=[can_read], include_in_schema=False)
@router.post(
    "/version/get", dependencies=[can_read], **docs(VersionBody, {}, _VERSIONS, required=False)
)
def version(body: Annotated[VersionBody, body_of(VersionBody, optional=True)]) -> Response:
    """Versions of FATE that this site is compatible with, of this package, and of Python."""
    versions = {**_VERSIONS, "PYTHON": platform.python_version()}
    return answer({body.module: versions.get(body.module)} if body.module else versions)
