"""Metrics: points and metas, addressed by task, namespace and name; appended, never replaced.

Keys and values are stored as JSON texts. Reading sorts points by key and keeps duplicates;
of a meta key that was stored several times the last value wins.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from fate_flow.db.models import METRIC_META, METRIC_POINT, METRIC_VIEW, Metric, now_ms
from fate_flow.db.session import rows_changed
from fate_flow.entities import TaskIdentity

log = logging.getLogger("fate_flow.jobs")

#: Component name of the job level.
JOB_LEVEL = "dag"
#: Rows per INSERT; below the number of bound variables that any of the databases allows.
_CHUNK = 500


class TaskScope(NamedTuple):
    """Whose metrics: one component at one party (component ``dag``: the job itself)."""

    job_id: str
    component: str
    role: str
    party_id: str

    @classmethod
    def of(cls, identity: TaskIdentity, *, job_level: bool = False) -> TaskScope:
        component = JOB_LEVEL if job_level else identity.component
        party = identity.party
        return cls(identity.job_id, component, party.role, str(party.party_id))

    @property
    def task_id(self) -> str:
        return f"{self.job_id}_{self.component}"


@dataclass
class MetricData:
    """One metric: points sorted by key, and its merged meta."""

    points: list[list[Any]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)


def add_metrics(
    session: Session,
    scope: TaskScope | TaskIdentity,
    namespace: str,
    name: str,
    points: Iterable[Sequence[Any]] = (),
    meta: Mapping[str, Any] | None = None,
    *,
    job_level: bool = False,
) -> int:
    """Append points (key, value) and meta entries of one metric.

    Keys and values must be JSON values or numpy scalars. Nothing is written when both are
    empty.

    Returns:
        Number of rows written.
    """
    entries = [(METRIC_META, key, value) for key, value in (meta or {}).items()]
    entries += [(METRIC_POINT, key, value) for key, value in points]
    return _insert(session, _scope(scope, job_level), namespace, name, entries)


def _scope(scope: TaskScope | TaskIdentity, job_level: bool) -> TaskScope:
    if isinstance(scope, TaskIdentity):
        return TaskScope.of(scope, job_level=job_level)
    return scope._replace(component=JOB_LEVEL) if job_level else scope


def _insert(
    session: Session,
    scope: TaskScope,
    namespace: str,
    name: str,
    entries: Sequence[tuple[int, Any, Any]],
) -> int:
    now = now_ms()
    common = {
        "f_job_id": scope.job_id,
        "f_component_name": scope.component,
        "f_task_id": scope.task_id,
        "f_role": scope.role,
        "f_party_id": scope.party_id,
        "f_metric_namespace": namespace,
        "f_metric_name": name,
        "f_create_time": now,
        "f_update_time": now,
    }
    rows = [
        {**common, "f_type": kind, "f_key": _to_text(key), "f_value": _to_text(value)}
        for kind, key, value in entries
    ]
    for start in range(0, len(rows), _CHUNK):
        session.execute(insert(Metric), rows[start : start + _CHUNK])
    return len(rows)


def _to_text(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _conditions(scope: TaskScope) -> list[Any]:
    return [
        Metric.f_job_id == scope.job_id,
        Metric.f_component_name == scope.component,
        Metric.f_role == scope.role,
        Metric.f_party_id == scope.party_id,
    ]


def metric_names(session: Session, scope: TaskScope) -> dict[str, list[str]]:
    """Namespace -> metric names, both in the order in which they were first written."""
    statement = (
        select(Metric.f_metric_namespace, Metric.f_metric_name)
        .where(*_conditions(scope))
        .order_by(Metric.f_id)
    )
    found: dict[str, dict[str, None]] = {}
    for namespace, name in session.execute(statement):
        found.setdefault(namespace, {})[name] = None
    return {namespace: list(names) for namespace, names in found.items()}


def read_metric(session: Session, scope: TaskScope, namespace: str, name: str) -> MetricData:
    """One metric; empty when it does not exist."""
    wanted = [Metric.f_metric_namespace == namespace, Metric.f_metric_name == name]
    return _read(session, scope, wanted).get(namespace, {}).get(name, MetricData())


def read_all_metrics(session: Session, scope: TaskScope) -> dict[str, dict[str, MetricData]]:
    """Namespace -> name -> metric, in the order in which they were first written."""
    return _read(session, scope, [])


def _read(
    session: Session, scope: TaskScope, wanted: Sequence[Any]
) -> dict[str, dict[str, MetricData]]:
    statement = (
        select(
            Metric.f_metric_namespace,
            Metric.f_metric_name,
            Metric.f_type,
            Metric.f_key,
            Metric.f_value,
        )
        .where(*_conditions(scope), *wanted)
        .order_by(Metric.f_id)
    )
    found: dict[str, dict[str, MetricData]] = {}
    for namespace, name, kind, key, value in session.execute(statement):
        metric = found.setdefault(namespace, {}).setdefault(name, MetricData())
        if kind == METRIC_META:
            metric.meta[json.loads(key)] = json.loads(value)
        elif kind == METRIC_POINT:
            metric.points.append([json.loads(key), json.loads(value)])
    for by_name in found.values():
        for metric in by_name.values():
            metric.points.sort(key=_sort_key)
    return found


def _sort_key(point: Sequence[Any]) -> tuple[int, float, str]:
    """Numbers before texts: the keys of one metric may be of both kinds."""
    key = point[0]
    if isinstance(key, (int, float)) and not isinstance(key, bool):
        return (0, key, "")
    return (1, 0.0, key if isinstance(key, str) else json.dumps(key))


def delete_metrics(session: Session, conditions: Sequence[Any]) -> int:
    """Delete metric rows that meet all SQL conditions; job views are kept.

    Returns:
        Number of rows deleted.
    """
    statement = delete(Metric).where(Metric.f_type != METRIC_VIEW, *conditions)
    return rows_changed(session, statement)


def delete_text(session: Session, conditions: Sequence[Any]) -> str:
    """The SQL of :func:`delete_metrics`, for people to read; never executed."""
    statement = delete(Metric).where(Metric.f_type != METRIC_VIEW, *conditions)
    compiled = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    return " ".join(str(compiled).split())


def delete_task_metrics(session: Session, scope: TaskScope) -> int:
    """Forget what a task reported, for instance before a new attempt of it."""
    return delete_metrics(session, _conditions(scope))


_VIEW_NAMESPACE, _VIEW_NAME = "job", "job_view"


def save_job_view(
    session: Session, job_id: str, role: str, party_id: int | str, view: Mapping[str, Any]
) -> None:
    """Store a party's view of a job: ``partner``, ``roles``, ``dataset`` (see :func:`job_view`)."""
    scope = TaskScope(job_id, JOB_LEVEL, role, str(party_id))
    session.execute(delete(Metric).where(*_conditions(scope), Metric.f_type == METRIC_VIEW))
    entries = [(METRIC_VIEW, key, value) for key, value in view.items()]
    _insert(session, scope, _VIEW_NAMESPACE, _VIEW_NAME, entries)
    log.info("job %s created for %s %s", job_id, role, party_id)


def read_job_view(session: Session, job_id: str, role: str, party_id: int | str) -> dict[str, Any]:
    """The stored view with ``model_summary`` added; empty when none was stored.

    ``model_summary`` is namespace -> name -> key -> value of the job-level points. The view's
    own namespace and name appear in it with an empty object, as clients of 1.4 see it.
    """
    scope = TaskScope(job_id, JOB_LEVEL, role, str(party_id))
    statement = (
        select(Metric.f_key, Metric.f_value)
        .where(*_conditions(scope), Metric.f_type == METRIC_VIEW)
        .order_by(Metric.f_id)
    )
    view = {json.loads(key): json.loads(value) for key, value in session.execute(statement)}
    if not view:
        return {}
    view["model_summary"] = {
        namespace: {name: dict(metric.points) for name, metric in by_name.items()}
        for namespace, by_name in read_all_metrics(session, scope).items()
    }
    return view


def job_view(
    roles: Mapping[str, Sequence[int]],
    role: str,
    party_id: int,
    dataset: Mapping[str, Mapping[str, Mapping[str, str]]],
    *,
    is_initiator: bool,
) -> dict[str, Any]:
    """What a party may know of a job: its partners, and the roles and data sets.

    Args:
        roles: role -> party ids of the whole job.
        dataset: role -> party id as text -> data key -> ``namespace.name``, of the whole job.
        is_initiator: the initiator sees all parties' data sets, another party its own.
    """
    partner = {
        name: [other for other in ids if (name, other) != (role, party_id)]
        for name, ids in roles.items()
    }
    shown_roles = {name: list(ids) for name, ids in roles.items()}
    shown_data = {name: dict(by_party) for name, by_party in dataset.items() if by_party}
    if not is_initiator:
        shown_roles = {role: [party_id]}
        own = dataset.get(role, {}).get(str(party_id))
        shown_data = {role: {str(party_id): own}} if own else {}
    return {
        "partner": {name: ids for name, ids in partner.items() if ids},
        "roles": shown_roles,
        "dataset": shown_data,
    }
