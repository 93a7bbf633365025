"""Answers of the REST API against those recorded from the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fate_flow.data.table import SID, VALUE, TableKind, TableSchema
from tests.support.reference import reference_path
from tests.support.site import Site

#: Recorded answers to requests that need no job: name -> may our text be compared?
CASES = {
    "job_config_unknown": True,
    "job_update_unknown": True,
    "query_job_bad_field": True,
    "query_job_empty": True,
    "query_job_no_body": False,
    "query_job_unknown": True,
    "query_task_unknown": True,
    "stop_empty": True,
    "stop_unknown": True,
    "submit_dsl_bad_component_name": False,
    "submit_dsl_bad_data_key": False,
    "submit_dsl_bad_input_type": False,
    "submit_dsl_components_list": False,
    "submit_dsl_cycle": False,
    "submit_dsl_empty_components": False,
    "submit_dsl_is_text": False,
    "submit_dsl_no_components": False,
    "submit_dsl_no_module": False,
    "submit_dsl_output_not_list": False,
    "submit_dsl_self_loop": False,
    "submit_dsl_unknown_dependency": False,
    "submit_dsl_unknown_module": False,
    "submit_dsl_unknown_output": False,
    "tracking_job_data_view_unknown": True,
    "tracking_metric_all_unknown_job": False,
    "tracking_metric_data_unknown_job": True,
    "tracking_metrics_unknown_job": False,
    "tracking_missing_component": False,
    "tracking_output_data_download_unknown": True,
    "tracking_output_data_table_unknown_job": True,
    "tracking_output_data_unknown_job": True,
    "tracking_output_model_unknown_job": False,
    "tracking_parameters_unknown_job": True,
    "upload_history_unknown_job": False,
    "upload_missing_args": True,
    "upload_no_file": False,
}

#: Tables that the recorded jobs name.
TABLES = (("hetero_breast_guest", "hetero_breast_b"), ("hetero_breast_host", "hetero_breast_a"))


def _send(client: TestClient, request: dict[str, Any]) -> Any:
    path = request["path"].removeprefix("/v1")
    if request["form"] is not None:
        fields = {key: (None, str(value)) for key, value in request["form"].items()}
        return client.post(path, files=fields)
    if request["raw"] is not None:
        headers = {"Content-Type": "application/json"}
        return client.request(request["method"], path, content=request["raw"], headers=headers)
    return client.request(request["method"], path, json=request["json"])


@pytest.mark.parametrize("name", CASES)
def test_answers_have_the_recorded_retcode_and_shape(
    site: Site, client: TestClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fate_flow.jobs import service

    monkeypatch.setattr(service, "admit", lambda _: [])  # jobs stay in the queue
    for namespace, table in TABLES:
        rows = pa.table({SID: ["1"], VALUE: ["1,2"]})
        site.tables.put(namespace, table, rows, TableSchema(TableKind.RAW, "id", ("y", "x0")))
    recorded = json.loads(reference_path("golden-1.4", "_responses", f"{name}.json").read_text())
    answer = _send(client, recorded["request"])
    assert answer.status_code == recorded["http_status"]
    assert answer.headers["content-type"] == recorded["content_type"]
    ours, theirs = answer.json(), recorded["response"]
    assert ours["retcode"] == theirs["retcode"]
    assert ours.keys() == theirs.keys()
    assert ours.get("meta") == theirs.get("meta")
    if CASES[name]:
        assert ours["retmsg"] == theirs["retmsg"]
    assert "Traceback" not in answer.text
    assert "object has no attribute" not in answer.text


def test_broken_json_keeps_the_status_but_is_answered_in_json(client: TestClient) -> None:
    path = reference_path("golden-1.4", "_responses", "query_job_malformed_json.json")
    recorded = json.loads(path.read_text())
    answer = _send(client, recorded["request"])
    assert answer.status_code == recorded["http_status"] == 400
    assert answer.json()["retcode"] == 100
    assert "the body is not JSON" in answer.json()["retmsg"]


def test_every_recorded_request_is_covered() -> None:
    """The others stand above, and in ``test_responses_state``."""
    folder: Path = reference_path("golden-1.4", "_responses")
    elsewhere = {
        "job_log_unknown",
        "query_job_malformed_json",
        "stop_running_job",
        "stop_running_job_then_query",
        "stop_running_job_then_query_task",
        "upload_history",
    }
    assert {path.stem for path in folder.glob("*.json")} == set(CASES) | elsewhere
