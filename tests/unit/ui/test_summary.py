"""The job's summary: from rows, with a plan and without one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fate_flow.db.models import JobDetail
from fate_flow.dsl.parser import compile_plan
from fate_flow.entities import JobStatus, TaskStatus
from fate_flow.ui.summary import job_line, job_summary
from tests.support.site import CONF, DSL, JOB_ID


def _row(status: str = "success", **changes: Any) -> dict[str, Any]:
    parameters = {"work_mode": 0, "model_id": "m", "model_version": JOB_ID}
    row = {
        "f_job_id": JOB_ID,
        "f_status": status,
        "f_progress": 40,
        "f_description": None,
        "f_dsl": json.dumps(DSL),
        "f_runtime_conf": json.dumps({**CONF, "job_parameters": parameters}),
        "f_roles": json.dumps(CONF["role"]),
        "f_create_time": 1000,
        "f_start_time": 2000,
        "f_end_time": None,
    }
    return {**row, **changes}


def _task(component: str, status: str, role: str = "guest", party: str = "9999") -> dict[str, Any]:
    return {
        "f_component_name": component,
        "f_role": role,
        "f_party_id": party,
        "f_status": status,
        "f_start_time": 1,
        "f_end_time": None,
        "f_message": "waiting for host 10000",
        "f_error": "",
        "f_attempt": 1,
        "f_task_progress": 0.5,
    }


def _statuses(summary: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["status"] for one in summary["components"]}


def test_with_a_plan() -> None:
    plan = compile_plan(DSL, CONF)
    tasks = [_task("dataio_0", "success"), _task("dataio_0", "running", "host", "10000")]
    summary = job_summary([_row("running")], None, plan, tasks)
    job = summary["job"]
    assert (job["id"], job["is_over"], job["kind"]) == (JOB_ID, False, "training")
    assert job["initiator"] == {"role": "guest", "party_id": "9999"}
    assert job["model"] == {"id": "m", "version": JOB_ID}
    assert job["data"] == [
        {"party": "guest 9999", "key": "train_data", "table": "n.g"},
        {"party": "host 10000", "key": "train_data", "table": "n.h"},
    ]
    assert _statuses(summary) == {"dataio_0": "running", "intersection_0": "waiting"}
    assert summary["components"][1]["upstream"] == ["dataio_0"]
    host = summary["components"][0]["parties"][1]
    assert (host["message"], host["attempt"]) == ("waiting for host 10000", 1)
    json.dumps(summary)


def test_without_a_plan_the_dsl_tells_the_order() -> None:
    tasks = [_task("dataio_0", "success"), _task("dataio_0", "success", "host", "10000")]
    summary = job_summary([_row()], None, None, tasks)
    first, second = summary["components"]
    assert [one["role"] for one in first["parties"]] == ["guest", "host"]
    assert (second["upstream"], second["module"]) == (["dataio_0"], "Intersection")
    assert second["status"] == "not run"


def test_a_failed_job_says_why_and_where() -> None:
    detail = JobDetail(
        f_job_id=JOB_ID,
        reason="no common ids",
        failed_component="intersection_0",
        failed_role="host",
        failed_party_id="10000",
    )
    tasks = [_task("dataio_0", "success"), _task("intersection_0", "failed", "host", "10000")]
    plan = compile_plan(DSL, CONF)
    summary = job_summary([_row("failed")], detail, plan, tasks)
    assert summary["job"]["reason"] == {
        "text": "no common ids",
        "component": "intersection_0",
        "party": {"role": "host", "party_id": "10000"},
    }
    intersection = summary["components"][1]
    assert intersection["status"] == "failed"
    assert [one["status"] for one in intersection["parties"]] == ["not run", "failed"]
    assert job_summary([_row("success")], detail, plan, tasks)["job"]["reason"] is None
    empty = JobDetail(f_job_id=JOB_ID)
    assert job_summary([_row("failed")], empty, plan, tasks)["job"]["reason"] is None


@pytest.mark.parametrize(
    ("guest", "host", "expected"),
    [
        ("success", "success", "success"),
        ("success", "pass", "success"),
        ("success", None, "running"),
        ("running", "success", "running"),
        ("running", "failed", "failed"),
        ("canceled", "success", "canceled"),
        ("timeout", "canceled", "timeout"),
        (None, None, "waiting"),
    ],
)
def test_common_status(guest: str | None, host: str | None, expected: str) -> None:
    tasks = []
    if guest:
        tasks.append(_task("dataio_0", guest))
    if host:
        tasks.append(_task("dataio_0", host, "host", "10000"))
    summary = job_summary([_row("running")], None, compile_plan(DSL, CONF), tasks)
    assert _statuses(summary)["dataio_0"] == expected


@pytest.mark.parametrize("status", JobStatus)
def test_every_job_status(status: JobStatus) -> None:
    assert job_line([_row(status.value)])["is_over"] == status.is_terminal


@pytest.mark.parametrize("status", TaskStatus)
def test_every_task_status(status: TaskStatus) -> None:
    summary = job_summary([_row()], None, None, [_task("dataio_0", status.value)])
    assert summary["components"][0]["parties"][0]["is_over"] == status.is_terminal


def test_kinds_of_jobs() -> None:
    upload = {"components": {"upload_0": {"module": "Upload"}}}
    assert job_line([_row(f_dsl=json.dumps(upload))])["kind"] == "upload"
    predict = json.dumps({**CONF, "job_parameters": {"job_type": "predict", "model_id": "m"}})
    assert job_line([_row(f_runtime_conf=predict)])["kind"] == "prediction"


def test_damaged_rows_are_shown_as_far_as_possible() -> None:
    row = _row(f_dsl="[]", f_runtime_conf="", f_roles="null", f_progress=None)
    summary = job_summary([row], None, None, [])
    assert summary["components"] == []
    assert summary["job"]["initiator"] == {"role": "", "party_id": ""}
