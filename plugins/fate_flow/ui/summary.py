"""Job and task rows -> what the page shows of a job before a component is chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fate_flow.db.models import JobDetail
from fate_flow.entities import JobStatus, Plan, TaskStatus

Row = Mapping[str, Any]

#: Status of a task that has no row because the job ended before it began.
NOT_RUN = "not run"

_TASK_RANK = (
    TaskStatus.FAILED.value,
    TaskStatus.TIMEOUT.value,
    TaskStatus.CANCELED.value,
    TaskStatus.RUNNING.value,
)


def job_line(rows: Sequence[Row], detail: JobDetail | None = None) -> dict[str, Any]:
    """One job in the list of jobs.

    Args:
        rows: of the job at this site, the initiator's first; at least one.
        detail: this site's notes on the job.
    """
    row = rows[0]
    is_over = JobStatus(row["f_status"]).is_terminal
    conf = _document(row["f_runtime_conf"])
    initiator = conf.get("initiator") or {}
    parameters = conf.get("job_parameters") or {}
    modules = [entry.get("module", "") for entry in _components_of(row).values()]
    return {
        "id": row["f_job_id"],
        "status": row["f_status"],
        "is_over": is_over,
        "waits_for": "" if is_over else waits_for(detail),
        "progress": row["f_progress"] or 0,
        "kind": _kind(parameters, modules),
        "notes": row["f_description"] or "",
        "initiator": _party(initiator.get("role"), initiator.get("party_id")),
        "roles": [
            {"role": role, "parties": [str(one) for one in ids]}
            for role, ids in _document(row["f_roles"]).items()
        ],
        "modules": list(dict.fromkeys(modules)),
        "created": row["f_create_time"],
        "started": row["f_start_time"],
        "ended": row["f_end_time"],
    }


def waits_for(detail: JobDetail | None) -> str:
    """What a job waits for: an upload of its tables, another site, a person's yes, a place."""
    return (detail.reason or "") if detail is not None else ""


def _kind(parameters: Mapping[str, Any], modules: Sequence[str]) -> str:
    if modules in (["Upload"], ["Download"]):
        return str(modules[0]).lower()
    return "prediction" if parameters.get("job_type") == "predict" else "training"


def _party(role: Any, party_id: Any) -> dict[str, str]:
    return {"role": str(role or ""), "party_id": str(party_id if party_id is not None else "")}


def _document(text: str | None) -> dict[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


def _components_of(row: Row) -> dict[str, Any]:
    found = _document(row["f_dsl"]).get("components")
    return found if isinstance(found, dict) else {}


def job_summary(
    rows: Sequence[Row],
    detail: JobDetail | None,
    plan: Plan | None,
    tasks: Sequence[Row],
    sites: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything above the component's own view.

    Args:
        rows: job rows of this site, the initiator's first; at least one.
        detail: this site's notes on the job.
        plan: the compiled job; None when its files are gone.
        tasks: task rows with ``f_attempt``, ``f_message``, ``f_error``, ``f_task_progress``.
        sites: party key -> name of its site, of parties that are not here.
    """
    line = job_line(rows, detail)
    parameters = _document(rows[0]["f_runtime_conf"]).get("job_parameters") or {}
    line["model"] = _model(line, parameters)
    line["warnings"] = list(plan.warnings) if plan else []
    line["reason"] = _reason(line, detail)
    line["data"] = _data(plan)
    components = _components(rows[0], plan, tasks, line["is_over"])
    for party in (party for component in components for party in component["parties"]):
        party["site"] = (sites or {}).get(f"{party['role']}_{party['party_id']}", "")
    return {"job": line, "components": components}


def _model(line: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, str] | None:
    if line["kind"] not in ("training", "prediction") or not parameters.get("model_id"):
        return None
    version = parameters.get("model_version") or line["id"]
    return {"id": str(parameters["model_id"]), "version": str(version)}


def _reason(line: Mapping[str, Any], detail: JobDetail | None) -> dict[str, Any] | None:
    """Why a job ended without success, and where."""
    if not line["is_over"] or line["status"] == JobStatus.SUCCESS.value or detail is None:
        return None
    if not (detail.reason or detail.failed_component):
        return None
    party = _party(detail.failed_role, detail.failed_party_id) if detail.failed_role else None
    return {"text": detail.reason or "", "component": detail.failed_component, "party": party}


def _data(plan: Plan | None) -> list[dict[str, str]]:
    """Tables that the parties' data keys name."""
    if plan is None:
        return []
    return [
        {"party": party.replace("_", " "), "key": key, "table": ".".join(address)}
        for party, arguments in plan.job_args.items()
        for key, address in arguments.items()
        if address
    ]


def _components(
    row: Row, plan: Plan | None, tasks: Sequence[Row], is_over: bool
) -> list[dict[str, Any]]:
    by_place = {(t["f_component_name"], t["f_role"], t["f_party_id"]): t for t in tasks}
    found = []
    for name, module, upstream, places in _outline(row, plan, tasks):
        parties = [_task(place, by_place.get((name, *place)), is_over) for place in places]
        found.append(
            {
                "name": name,
                "module": module,
                "upstream": upstream,
                "status": _common_status([one["status"] for one in parties], is_over),
                "parties": parties,
            }
        )
    return found


def _outline(
    row: Row, plan: Plan | None, tasks: Sequence[Row]
) -> list[tuple[str, str, list[str], list[tuple[str, str]]]]:
    """(name, module, upstream, parties) in order; without a plan from the DSL and the tasks."""
    if plan is not None:
        return [
            (
                component.name,
                component.module,
                list(component.upstream),
                [(party.role, str(party.party_id)) for party in component.parties],
            )
            for component in plan.components
        ]
    components = _components_of(row)
    found = []
    for name, entry in components.items():
        places = [(t["f_role"], t["f_party_id"]) for t in tasks if t["f_component_name"] == name]
        upstream = [one for one in _sources(entry.get("input")) if one in components]
        found.append((name, str(entry.get("module", "")), upstream, sorted(set(places))))
    return found


def _sources(value: Any) -> list[str]:
    """Component names in the references of a DSL's ``input``."""
    if isinstance(value, str):
        return [value.partition(".")[0]]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return list(dict.fromkeys(name for item in items for name in _sources(item)))


def _task(place: tuple[str, str], task: Row | None, is_over: bool) -> dict[str, Any]:
    shown: dict[str, Any] = _party(*place)
    if task is None:
        status = NOT_RUN if is_over else TaskStatus.WAITING.value
        return {**shown, "status": status, "is_over": is_over}
    return {**shown, **task_line(task)}


def task_line(task: Row) -> dict[str, Any]:
    """What the page shows of one task."""
    return {
        "status": task["f_status"],
        "is_over": TaskStatus(task["f_status"]).is_terminal,
        "attempt": task.get("f_attempt") or 0,
        "progress": task.get("f_task_progress") or 0.0,
        "message": task.get("f_message") or "",
        "error": task.get("f_error") or "",
        "started": task["f_start_time"],
        "ended": task["f_end_time"],
    }


def _common_status(statuses: Sequence[str], is_over: bool) -> str:
    """Status of a component from its parties'."""
    for status in _TASK_RANK:
        if status in statuses:
            return status
    kinds = set(statuses)
    if not kinds:
        return NOT_RUN if is_over else TaskStatus.WAITING.value
    if len(kinds) == 1:
        return kinds.pop()
    if TaskStatus.WAITING.value in kinds:
        return TaskStatus.RUNNING.value
    return NOT_RUN if NOT_RUN in kinds else TaskStatus.SUCCESS.value
