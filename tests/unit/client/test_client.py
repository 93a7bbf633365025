"""Every method against a real server: what is sent, what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fate_flow.client import ApiError, FateFlowClient
from fate_flow.client.answers import Submission
from fate_flow.client.models import Roles
from fate_flow.errors import ProtocolError
from tests.support.recording_server import SUCCESS, RecordingServer

SCOPE = {"job_id": "1", "component_name": "lr_0", "role": "guest", "party_id": 9999}
ROLES: Roles = {"guest": [9999], "host": ["10000"]}
DEPLOYMENT = {
    "initiator": {"role": "guest", "party_id": "9999"},
    "role": {"guest": ["9999"], "host": ["10000"]},
    "job_parameters": {"work_mode": 0, "model_id": "m", "model_version": "v"},
}

SENT: list[tuple[Callable[[FateFlowClient], Any], str, dict[str, Any]]] = [
    (
        lambda c: c.submit_job({"components": {}}, {"a": 1}),
        "job/submit",
        {"job_dsl": {"components": {}}, "job_runtime_conf": {"a": 1}},
    ),
    (lambda c: c.stop_job("1"), "job/stop", {"job_id": "1"}),
    (lambda c: c.query_jobs(status="running"), "job/query", {"status": "running"}),
    (
        lambda c: c.update_job("1", "guest", 9999, "n"),
        "job/update",
        {"job_id": "1", "role": "guest", "party_id": 9999, "notes": "n"},
    ),
    (lambda c: c.job_config("1"), "job/config", {"job_id": "1"}),
    (lambda c: c.query_tasks(job_id="1"), "job/task/query", {"job_id": "1"}),
    (lambda c: c.query_data_views(job_id="1"), "job/data/view/query", {"job_id": "1"}),
    (lambda c: c.clean_job("1", role="host"), "job/clean", {"job_id": "1", "role": "host"}),
    (lambda c: c.clean_queue(), "job/clean/queue", {}),
    (lambda c: c.server_versions(), "version/get", {}),
    (lambda c: c.components("1"), "tracking/component/list", {"job_id": "1"}),
    (lambda c: c.summary("1", "lr_0", "guest", 9999), "tracking/component/summary/download", SCOPE),
    (
        lambda c: c.delete_metrics_of_day("20260101"),
        "tracking/component/metric/delete",
        {"model": "20260101"},
    ),
    (
        lambda c: c.save_version("n", "t", "first"),
        "model/version/save",
        {"namespace": "n", "name": "t", "version_log": "first"},
    ),
    (
        lambda c: c.derived_table("guest", 9999, "train", create=True),
        "table/table_info",
        {
            "gen_table_info": True,
            "create": True,
            "local": {"role": "guest", "party_id": 9999},
            "data_type": "train",
        },
    ),
    (
        lambda c: c.dag_dependency("guest", 9999, job_id="1"),
        "pipeline/dag/dependency",
        {"role": "guest", "party_id": 9999, "job_id": "1"},
    ),
    (
        lambda c: c.upload_from_server("/d/x.csv", "n", "t", drop=1),
        "data/upload",
        {
            "file": "/d/x.csv",
            "namespace": "n",
            "table_name": "t",
            "module": "upload",
            "head": 1,
            "partition": 4,
            "work_mode": 0,
            "drop": 1,
        },
    ),
    (
        lambda c: c.download("n", "t", "/out.csv"),
        "data/download",
        {
            "namespace": "n",
            "table_name": "t",
            "output_path": "/out.csv",
            "delimitor": ",",
            "work_mode": 0,
        },
    ),
    (lambda c: c.upload_history(limit=2), "data/upload/history", {"limit": 2}),
    (lambda c: c.table_info("n", "t"), "table/table_info", {"namespace": "n", "table_name": "t"}),
    (lambda c: c.delete_table("n", "t"), "table/delete", {"namespace": "n", "table_name": "t"}),
    (
        lambda c: c.delete_job_tables("1", role="host"),
        "table/delete",
        {"job_id": "1", "role": "host"},
    ),
    (
        lambda c: c.job_view("1", "guest", 9999),
        "tracking/job/data_view",
        {"job_id": "1", "role": "guest", "party_id": 9999},
    ),
    (
        lambda c: c.metrics("1", "lr_0"),
        "tracking/component/metrics",
        {"job_id": "1", "component_name": "lr_0"},
    ),
    (
        lambda c: c.all_metrics("1", "lr_0", "guest", 9999),
        "tracking/component/metric/all",
        SCOPE,
    ),
    (
        lambda c: c.metric("1", "lr_0", "train", "loss", "guest", 9999),
        "tracking/component/metric_data",
        {**SCOPE, "metric_namespace": "train", "metric_name": "loss"},
    ),
    (
        lambda c: c.delete_metrics("1", role="host"),
        "tracking/component/metric/delete",
        {"job_id": "1", "role": "host"},
    ),
    (
        lambda c: c.parameters("1", "lr_0", "guest", 9999),
        "tracking/component/parameters",
        SCOPE,
    ),
    (
        lambda c: c.output_model("1", "lr_0", "guest", 9999),
        "tracking/component/output/model",
        SCOPE,
    ),
    (
        lambda c: c.output_data("1", "lr_0", "guest", 9999),
        "tracking/component/output/data",
        SCOPE,
    ),
    (
        lambda c: c.output_data_table("1", "lr_0", role="guest", party_id=9999),
        "tracking/component/output/data/table",
        SCOPE,
    ),
    (lambda c: c.load_model(("guest", 9999), ROLES, "m", "v"), "model/load", DEPLOYMENT),
    (
        lambda c: c.bind_model("s", ("guest", 9999), ROLES, "m", "v", servings=["h:8000"]),
        "model/bind",
        {**DEPLOYMENT, "service_id": "s", "servings": ["h:8000"]},
    ),
    (
        lambda c: c.transfer_model("guest#9999#m", "v"),
        "model/transfer",
        {"namespace": "guest#9999#m", "name": "v"},
    ),
    (lambda c: c.version_history("n"), "model/version_history", {"namespace": "n"}),
    (
        lambda c: c.store_model("guest#9999#m", "v", {"storage": "redis"}),
        "model/store",
        {
            "model_id": "guest#9999#m",
            "model_version": "v",
            "store_address": {"storage": "redis"},
        },
    ),
    (
        lambda c: c.restore_model("guest#9999#m", "v"),
        "model/restore",
        {"model_id": "guest#9999#m", "model_version": "v"},
    ),
    (
        lambda c: c.grant_privilege(9999, "guest", commands="all"),
        "permission/grant/privilege",
        {"src_party_id": "9999", "src_role": "guest", "privilege_command": "all"},
    ),
    (
        lambda c: c.delete_privilege(9999, "guest", roles="host"),
        "permission/delete/privilege",
        {"src_party_id": "9999", "src_role": "guest", "privilege_role": "host"},
    ),
    (
        lambda c: c.query_privilege(9999, "guest"),
        "permission/query/privilege",
        {"src_party_id": "9999", "src_role": "guest"},
    ),
]


@pytest.mark.parametrize(("do", "path", "body"), SENT, ids=[row[1] for row in SENT])
def test_what_is_sent(
    client: FateFlowClient,
    server: RecordingServer,
    do: Callable[[FateFlowClient], Any],
    path: str,
    body: dict[str, Any],
) -> None:
    do(client)
    assert server.last.method == "POST"
    assert server.last.path == f"/v1/{path}"
    assert server.last.headers["content-type"] == "application/json"
    assert server.last.json == body


def test_submission(client: FateFlowClient, server: RecordingServer) -> None:
    server.answer(
        "job/submit",
        {
            **SUCCESS,
            "jobId": "7",
            "data": {
                "board_url": "http://b",
                "model_info": {"model_id": "m", "model_version": "7"},
                "warnings": ["a short key"],
            },
        },
    )
    made = client.submit_job({}, {})
    assert (made.job_id, made.model_id, made.model_version) == ("7", "m", "7")
    assert made.board_url == "http://b"
    assert made.warnings == ["a short key"]
    assert Submission("7").warnings == []


def test_a_refusal_is_an_error_with_the_servers_words(
    client: FateFlowClient, server: RecordingServer
) -> None:
    server.answer("job/submit", {"retcode": 100, "retmsg": "job_dsl.components: missing"})
    with pytest.raises(ApiError, match=r"job_dsl\.components: missing") as caught:
        client.submit_job({}, {})
    assert caught.value.retcode == 100
    assert caught.value.answer["retcode"] == 100


def test_nothing_found_is_an_empty_list(client: FateFlowClient, server: RecordingServer) -> None:
    server.answer("job/query", {"retcode": 101, "retmsg": "find job failed"})
    assert client.query_jobs(job_id="1") == []
    with pytest.raises(ApiError, match="can not found job: 1"):
        client.job_state("1")


def test_answers_without_data_are_empty(client: FateFlowClient) -> None:
    assert client.metrics("1", "lr_0") == {}
    assert client.metric("1", "lr_0", "train", "loss") == ([], {})
    assert client.output_data("1", "lr_0").rows == []
    assert client.table_info("n", "t").count == 0


def test_typed_answers(client: FateFlowClient, server: RecordingServer) -> None:
    server.answer(
        "tracking/component/metric_data",
        {**SUCCESS, "data": [[0, 0.7], [1, 0.5]], "meta": {"metric_type": "LOSS"}},
    )
    points, meta = client.metric("1", "lr_0", "train", "loss")
    assert points == [(0, 0.7), (1, 0.5)]
    assert meta == {"metric_type": "LOSS"}
    server.answer(
        "table/table_info",
        {**SUCCESS, "data": {"namespace": "n", "table_name": "t", "count": 5, "partition": 2}},
    )
    assert (client.table_info("n", "t").count, client.table_info("n", "t").partition) == (5, 2)
    server.answer("model/transfer", {**SUCCESS, "data": {"lr_0.lr:Param": "AQI="}})
    assert client.transfer_model("m", "v") == {"lr_0.lr:Param": b"\x01\x02"}
    server.answer("model/transfer", {**SUCCESS, "data": {"x": "!!"}})
    with pytest.raises(ProtocolError, match="base64"):
        client.transfer_model("m", "v")


def test_lists_are_pages(client: FateFlowClient, server: RecordingServer) -> None:
    server.answer("job/list/job", {"retcode": 0, "data": {"count": 1, "jobs": [{"job_id": "1"}]}})
    assert client.list_jobs(5, status=["failed"]) == {"count": 1, "jobs": [{"job_id": "1"}]}
    assert server.last.json == {"limit": 5, "page": 1, "status": ["failed"]}
    server.answer("job/list/task", {"retcode": 0, "data": {"count": 0, "tasks": []}})
    assert client.list_tasks(page=2, job_id="1") == {"count": 0, "tasks": []}
    assert server.last.json == {"limit": 10, "page": 2, "job_id": "1"}
