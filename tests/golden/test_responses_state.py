"""Recorded answers that need a state: a running job that is stopped, past uploads, logs."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fate_flow.data.table import SID, VALUE, TableKind, TableSchema
from fate_flow.db.models import Job, JobDetail, Queue, Task
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.local_jobs import keep_jobs_waiting
from tests.support.reference import reference_path
from tests.support.site import Site, add_job, add_task

#: What our rows have beside FATE-Flow's columns.
_OURS = {"f_reason", "f_error", "f_message", "f_attempt", "f_task_progress"}


def _recorded(name: str) -> Any:
    return json.loads(reference_path("golden-1.4", "_responses", f"{name}.json").read_text())


def _comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without times, which end at another moment here."""
    times = ("f_end_time", "f_update_time", "f_elapsed")
    return [{key: value for key, value in row.items() if key not in times} for row in rows]


def test_a_running_job_is_stopped(
    site: Site, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded rows, as they were before the stop; then the recorded requests."""
    keep_jobs_waiting(monkeypatch)
    jobs = _recorded("stop_running_job_then_query")
    tasks = _recorded("stop_running_job_then_query_task")
    job_id = jobs["data"][0]["f_job_id"]
    open_again = {"f_status": "running", "f_end_time": None, "f_elapsed": None}
    with site.session() as session:
        session.add_all(Job(**{**row, **open_again}) for row in jobs["data"])
        for row in tasks["data"]:
            before = open_again if row["f_status"] == "failed" else {}
            session.add(Task(**{**row, **before}))
        session.add(JobDetail(f_job_id=job_id))
        session.add(Queue(f_job_id=job_id, f_event="{}", f_is_waiting=0))

    answer = client.post("/job/stop", json={"job_id": job_id})
    assert answer.json() == _recorded("stop_running_job")

    found = client.post("/job/query", json={"job_id": job_id}).json()
    rows = [{k: v for k, v in row.items() if k not in _OURS} for row in found["data"]]
    assert _comparable(rows) == _comparable(jobs["data"])
    assert all(row["f_end_time"] and row["f_elapsed"] is not None for row in rows)
    assert {row["f_reason"] for row in found["data"]} == {"stopped by request"}
    assert found.keys() == jobs.keys()

    found = client.post("/job/task/query", json={"job_id": job_id}).json()
    rows = [{k: v for k, v in row.items() if k not in _OURS} for row in found["data"]]
    assert _comparable(rows) == _comparable(tasks["data"])
    assert [row.keys() for row in rows] == [row.keys() for row in tasks["data"]]

    again = client.post("/job/stop", json={"job_id": job_id})
    assert again.json() == _recorded("stop_running_job")


def test_the_history_of_uploads(site: Site, client: TestClient) -> None:
    recorded = _recorded("upload_history")
    conf = {
        "initiator": {"role": "local", "party_id": 0},
        "job_parameters": {"work_mode": 0},
        "role": {"local": [0]},
    }
    with site.session() as session:
        for entry in recorded["response"]["data"]:
            for job_id, upload in entry.items():
                add_job(session, job_id, conf=conf)
                add_task(session, "upload_0", "local", 0, job_id=job_id)
                info, header = upload["upload_info"], upload["meta"]["header"].split(",")
                store.save_data_view(
                    session,
                    TaskScope(job_id, "upload_0", "local", "0"),
                    table_name=info["table_name"],
                    table_namespace=info["namespace"],
                    partition=info["partition"],
                    table_count_upload=info["upload_count"],
                    table_count_actual=info["actual_count"],
                )
                rows = pa.table({SID: ["1"], VALUE: [",".join(header)]})
                schema = TableSchema(TableKind.RAW, upload["meta"]["sid"], tuple(header))
                site.tables.put(info["namespace"], info["table_name"], rows, schema)
    answer = client.post("/data/upload/history", json=recorded["request"]["json"])
    assert answer.status_code == recorded["http_status"]
    assert answer.json() == recorded["response"]


def test_logs_of_an_unknown_job(client: TestClient) -> None:
    recorded = _recorded("job_log_unknown")
    request = recorded["request"]
    path = request["path"].removeprefix("/v1")
    answer = client.request(request["method"], path, json=request["json"])
    assert answer.status_code == recorded["http_status"]
    assert answer.headers["content-type"] == recorded["content_type"]
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:gz") as archive:
        assert archive.getnames() == []
