"""Gathers what the FATE metrics page shows: rows, plan, metrics, models, output data."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow.api.components import StoredComponent, stored_component, unknown_job
from fate_flow.api.routes.pipeline import plan_of
from fate_flow.compiler.names import airflow_task_id, dag_id_of
from fate_flow.data.table import Table, TableStore
from fate_flow.db.models import Job, JobDetail, row_to_dict
from fate_flow.entities import Party, Plan
from fate_flow.errors import FateFlowError, NotFoundError
from fate_flow.jobs.states import open_jobs
from fate_flow.jobs.telling import placement_of
from fate_flow.models.store import ModelStore
from fate_flow.settings import Settings
from fate_flow.tracking import store as tracking
from fate_flow.tracking.recent import recent_jobs
from fate_flow.tracking.store import TaskScope
from fate_flow.ui.metric_panels import metric_panels
from fate_flow.ui.model_panels import model_panels
from fate_flow.ui.summary import NOT_RUN, job_line, job_summary, task_line

#: Rows of output data that the page shows.
PREVIEW_ROWS = 100
#: Wider tables are cut in the page, never in the download.
PREVIEW_COLUMNS = 400


@dataclass(frozen=True)
class Site:
    """The stores that a view reads."""

    session: Session
    settings: Settings
    tables: TableStore
    models: ModelStore


def job_list(session: Session, limit: int, before: int | None) -> dict[str, Any]:
    """The newest jobs, and where the next page begins (None at the end)."""
    found = recent_jobs(session, limit, before)
    ids = [rows[0].f_job_id for rows in found]
    wanted = select(JobDetail).where(JobDetail.f_job_id.in_(ids))
    details = {detail.f_job_id: detail for detail in session.scalars(wanted)}
    admitted = set(open_jobs(session, taken=True))
    lines = []
    for rows in found:
        job_id = rows[0].f_job_id
        line = job_line([row_to_dict(row) for row in rows], details.get(job_id))
        line["dag_id"] = dag_id_of(job_id)
        line["has_run"] = _has_run(line, admitted)
        lines.append(line)
    return {"jobs": lines, "next": lines[-1]["created"] if len(lines) == limit else None}


def job_view(session: Session, settings: Settings, job_id: str) -> dict[str, Any]:
    """The job's summary and the state of its tasks.

    Raises:
        NotFoundError: unknown job.
    """
    rows = _job_rows(session, job_id)
    sites = _sites(job_id)
    tasks = tracking.task_dicts(session, tracking.query_tasks(session, {"job_id": job_id}))
    dag_id = dag_id_of(job_id)
    summary = job_summary(
        [row_to_dict(row) for row in rows],
        session.get(JobDetail, job_id),
        _plan(settings, job_id),
        tasks,
        sites,
    )
    line = summary["job"]
    has_run = _has_run(line, open_jobs(session, taken=True))
    line["airflow"] = f"dags/{dag_id}/runs/{job_id}" if has_run else None
    return summary


def _has_run(line: Mapping[str, Any], admitted: Container[str]) -> bool:
    """Whether Airflow knows the job: one that waits for a place or for other sites has no run."""
    return line["started"] is not None or line["id"] in admitted


def _sites(job_id: str) -> dict[str, str]:
    """Party key -> name of its site, of a job's parties that are not here."""
    placement = placement_of(job_id)
    if placement is None:
        return {}
    return {party.key: name for name, parties in placement.sites.items() for party in parties}


def _job_rows(session: Session, job_id: str) -> Sequence[Job]:
    rows = tracking.query_jobs(session, {"job_id": job_id})
    if not rows:
        raise unknown_job(job_id)
    return sorted(rows, key=lambda row: -(row.f_is_initiator or 0))


def _plan(settings: Settings, job_id: str) -> Plan | None:
    try:
        return plan_of(settings, job_id)
    except FateFlowError:
        return None  # the job's files were cleaned; its rows still tell most


def component_view(site: Site, scope: TaskScope) -> dict[str, Any]:
    """Panels of one component at one party.

    Raises:
        NotFoundError: unknown job, or a party that cannot be.
        FateFlowError: unknown component.
    """
    party = _checked_party(scope)
    component = stored_component(site.session, scope, unknown_job(scope.job_id))
    metrics = tracking.read_all_metrics(site.session, scope)
    model, meta = _model(site, component, party)
    table = _output_table(site, scope)
    site_name = _sites(scope.job_id).get(party.key, "")
    task_path = f"tasks/{airflow_task_id(scope.component, party)}"
    run_path = f"dags/{dag_id_of(scope.job_id)}/runs/{scope.job_id}"
    return {
        "component": scope.component,
        "module": component.module,
        "role": scope.role,
        "party_id": scope.party_id,
        "task": _task(site.session, scope),
        "metrics": metric_panels(metrics, _at_arbiters(site.session, scope)),
        "model": model,
        "model_meta": meta,
        "parameters": _parameters(site.settings, scope, party),
        "output": None if table is None else {"rows": table.count},
        "site": site_name,
        "airflow": None if site_name else f"{run_path}/{task_path}",
    }


def _at_arbiters(session: Session, scope: TaskScope) -> dict[str, Any]:
    """Metrics of the component at the arbiters of this site, other than the party itself."""
    wanted = {"job_id": scope.job_id, "component_name": scope.component, "role": "arbiter"}
    found = {}
    for task in tracking.query_tasks(session, wanted):
        there = scope._replace(role=task.f_role, party_id=task.f_party_id)
        if there != scope:
            name = f"{task.f_role} {task.f_party_id}"
            found[name] = tracking.read_all_metrics(session, there)
    return found


def _checked_party(scope: TaskScope) -> Party:
    if not re.fullmatch(r"[a-z]{1,10}", scope.role) or not re.fullmatch(
        r"\d{1,10}", scope.party_id, re.ASCII
    ):
        raise NotFoundError(f"there is no party {scope.role[:20]} {scope.party_id[:20]}")
    return Party(scope.role, int(scope.party_id))


def _task(session: Session, scope: TaskScope) -> dict[str, Any]:
    wanted = {"job_id": scope.job_id, "role": scope.role, "party_id": scope.party_id}
    wanted["component_name"] = scope.component
    found = tracking.task_dicts(session, tracking.query_tasks(session, wanted))
    return task_line(found[0]) if found else {"status": NOT_RUN, "is_over": False}


def _model(
    site: Site, component: StoredComponent, party: Party
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Panels of the component's model, and how it was trained; nothing without a model."""
    try:
        address = component.model_address
        model = site.models.read_json(*address, component.scope.component, component.model_alias)
    except NotFoundError:
        return [], None
    if model.param is None:
        return [], model.meta
    return model_panels(model.param, model.meta or {}, str(party)), model.meta


def _parameters(settings: Settings, scope: TaskScope, party: Party) -> dict[str, Any] | None:
    """Effective parameters by class, as the party's task gets them."""
    plan = _plan(settings, scope.job_id)
    if plan is None:
        return None
    try:
        conf = plan.component(scope.component).parameters.get(party.key)
    except KeyError:
        return None
    return {key: value for key, value in (conf or {}).items() if key.endswith("Param")} or None


def _output_table(site: Site, scope: TaskScope) -> Table | None:
    view = tracking.data_view(site.session, scope)
    if view is None or not view.f_table_namespace or not view.f_table_name:
        return None
    if not site.tables.exists(view.f_table_namespace, view.f_table_name):
        return None
    return site.tables.open(view.f_table_namespace, view.f_table_name)


def rows_view(site: Site, scope: TaskScope) -> dict[str, Any]:
    """The first rows of a component's output table; texts of nested values.

    Raises:
        NotFoundError: unknown job, or a party that cannot be.
        FateFlowError: unknown component.
    """
    from fate_flow.data import export

    _checked_party(scope)
    stored_component(site.session, scope, unknown_job(scope.job_id))
    table = _output_table(site, scope)
    if table is None:
        return {"header": [], "rows": [], "total": 0, "columns": 0}
    header, rows = export.preview(table, PREVIEW_ROWS)
    shown = header[:PREVIEW_COLUMNS]
    return {
        "header": shown,
        "rows": [row[: len(shown)] for row in rows],
        "total": table.count,
        "columns": len(header),
    }
