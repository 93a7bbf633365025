"""Every method against a real server: what is sent, what comes back."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fate_flow.client import (
    ApiError,
    FateFlowClient,
    JobState,
    ServerUnreachableError,
    WaitTimeoutError,
)
from fate_flow.client.answers import Submission
from fate_flow.client.models import Roles
from fate_flow.entities import JobStatus
from fate_flow.errors import DataError, FateFlowError, ProtocolError
from tests.support.recording_server import SUCCESS, RecordingServer, Reply, form

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


def test_token(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATE_FLOW_TOKEN", "from-environment")
    FateFlowClient(server.url).clean_queue()
    assert server.last.headers["authorization"] == "Bearer from-environment"
    FateFlowClient(server.url, "given").clean_queue()
    assert server.last.headers["authorization"] == "Bearer given"
    monkeypatch.delenv("FATE_FLOW_TOKEN")
    FateFlowClient(server.url).clean_queue()
    assert "authorization" not in server.last.headers


def test_a_proxy_is_not_used_for_this_machine(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    FateFlowClient(server.url).clean_queue()
    assert server.last.path == "/v1/job/clean/queue"


def test_reads_are_repeated_when_the_connection_is_lost(
    client: FateFlowClient, server: RecordingServer
) -> None:
    server.answer("job/query", Reply(drop=True), Reply(drop=True), {**SUCCESS, "data": [{"a": 1}]})
    assert client.query_jobs(job_id="1") == [{"a": 1}]
    assert len(server.requests) == 3


def test_writes_are_not_repeated(client: FateFlowClient, server: RecordingServer) -> None:
    server.answer("job/submit", Reply(drop=True), SUCCESS)
    with pytest.raises(ServerUnreachableError, match="connection was lost"):
        client.submit_job({}, {})
    assert len(server.requests) == 1


def test_refused_connection() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ServerUnreachableError, match="Connection refused") as caught:
            FateFlowClient(address).query_jobs(job_id="1")
    assert caught.value.refused


def test_silent_server() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = FateFlowClient(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        with pytest.raises(ServerUnreachableError, match=r"did not answer within 0\.1 s"):
            client.clean_queue()


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(b"<html>no</html>", 404, {"Content-Type": "text/html"}), "HTTP 404, which is no"),
        (Reply.of({"detail": "Not Found"}, 404), "FATE-Flow: Not Found"),
        (Reply.of([1]), "HTTP 200, which is no answer"),
        (
            Reply.of({"detail": "no token"}, 401),
            "refused .* no token.* FATE_FLOW_TOKEN",
        ),
    ],
)
def test_what_is_no_answer(
    client: FateFlowClient, server: RecordingServer, reply: Reply, text: str
) -> None:
    server.answer("job/clean/queue", reply)
    with pytest.raises(FateFlowError, match=text):
        client.clean_queue()


# -- waiting -----------------------------------------------------------------------------


def rows(status: str, progress: int) -> dict[str, Any]:
    host = {"f_status": "running", "f_progress": 0, "f_is_initiator": 0}
    guest = {"f_status": status, "f_progress": progress, "f_is_initiator": 1}
    return {**SUCCESS, "data": [host, guest]}


def test_wait_reports_changes_until_the_end(
    client: FateFlowClient, server: RecordingServer
) -> None:
    server.answer(
        "job/query",
        rows("waiting", 0),
        rows("running", 50),
        rows("running", 50),
        Reply(drop=True),
        rows("success", 100),
    )
    seen: list[JobState] = []
    state = client.wait("1", seen.append, interval=0.01)
    assert state.status is JobStatus.SUCCESS
    assert [(s.status.value, s.progress) for s in seen] == [
        ("waiting", 0),
        ("running", 50),
        ("success", 100),
    ]
    assert len(state.rows) == 2


def test_wait_has_an_end(client: FateFlowClient, server: RecordingServer) -> None:
    server.answer("job/query", rows("running", 1))
    with pytest.raises(WaitTimeoutError, match=r"job 1 is running after 0\.05 s"):
        client.wait("1", timeout=0.05, interval=0.02)


# -- files -------------------------------------------------------------------------------


def archive(members: dict[str, bytes], **kinds: bytes) -> Reply:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd"
            tar.addfile(info)
    return Reply(buffer.getvalue(), headers={"Content-Type": "application/x-tar"})


def test_upload_streams_the_file(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    file = tmp_path / 'da"ta.csv'
    file.write_bytes(content)
    server.answer("data/upload", {**SUCCESS, "jobId": "9"})
    done: list[tuple[int, int | None]] = []
    made = client.upload(
        file, "n", "表", partition=8, drop=1, on_progress=lambda *step: done.append(step)
    )
    assert made.job_id == "9"
    assert form(server.last) == {
        "work_mode": b"0",
        "namespace": b"n",
        "table_name": "表".encode(),
        "head": b"1",
        "partition": b"8",
        "drop": b"1",
        "file/da%22ta.csv": content,
    }
    assert len(done) > 3
    assert done[-1] == (len(server.last.body), len(server.last.body))


def test_upload_of_an_empty_and_of_a_missing_file(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    client.upload(tmp_path / "empty", "n", "t")
    assert form(server.last)["file/empty"] == b""
    with pytest.raises(DataError, match="No such file"):
        client.upload(tmp_path / "none", "n", "t")


def test_output_data_download(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    path = "tracking/component/output/data/download"
    server.answer(path, archive({"output_data.csv": b"a\n", "output_data_meta.json": b"{}"}))
    files = client.download_output_data("1", "lr_0", "guest", 9999, tmp_path / "new", limit=5)
    assert server.last.method == "GET"
    assert server.last.json == {**SCOPE, "limit": 5, "head": True}
    assert sorted(f.name for f in files) == ["output_data.csv", "output_data_meta.json"]
    assert (tmp_path / "new" / "output_data.csv").read_bytes() == b"a\n"
    assert len(list((tmp_path / "new").iterdir())) == 2


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (archive({"../evil": b"x"}), "outside of its folder"),
        (archive({"/evil": b"x"}), "outside of its folder"),
        (archive({}, link=tarfile.SYMTYPE), "which is no file"),
        (archive({}, device=tarfile.CHRTYPE), "which is no file"),
        (Reply(b"nothing"), "no tar.gz archive"),
        (Reply(archive({"a": b"x" * 9999}).body[:60]), "no tar.gz archive"),
        (Reply.of({"retcode": 100, "retmsg": "no such job"}), "no such job"),
        (Reply.of({"retcode": 500, "retmsg": "no data"}, 500), "no data"),
    ],
)
def test_archives_are_not_trusted(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path, reply: Reply, text: str
) -> None:
    server.answer("job/log", reply)
    with pytest.raises(FateFlowError, match=text):
        client.job_log("1", tmp_path / "a" / "b")
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == []


def test_a_cut_download_is_noticed(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path
) -> None:
    reply = Reply(archive({"a": b"x"}).body, headers={"Content-Length": "100000"})
    server.answer("job/log", reply)
    with pytest.raises(ServerUnreachableError):
        client.job_log("1", tmp_path)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="m#1.zip"', "m#1.zip"),
        ('attachment; filename="../../m.zip"', "m.zip"),
        ("attachment; filename=..\\m.zip", "m.zip"),
        ("attachment; filename*=UTF-8''a%20b.zip", "a b.zip"),
        ("attachment", "guest#1#m_v.zip"),
    ],
)
def test_export(
    client: FateFlowClient, server: RecordingServer, tmp_path: Path, header: str, name: str
) -> None:
    server.answer("model/export", Reply(b"zip", headers={"Content-Disposition": header}))
    file = client.export_model("guest#1#m", "v", tmp_path)
    assert file == tmp_path / name
    assert file.read_bytes() == b"zip"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_import(client: FateFlowClient, server: RecordingServer, tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"zip")
    client.import_model("guest#1#m", "v", tmp_path / "m.zip")
    assert server.last.path == "/v1/model/import"
    assert form(server.last) == {
        "model_id": b"guest#1#m",
        "model_version": b"v",
        "file/m.zip": b"zip",
    }
    server.answer("model/import", {"retcode": 100, "retmsg": "already existed"})
    with pytest.raises(ApiError, match="already existed"):
        client.import_model("guest#1#m", "v", tmp_path / "m.zip")


def test_lists_are_pages(client: FateFlowClient, server: RecordingServer) -> None:
    server.answer("job/list/job", {"retcode": 0, "data": {"count": 1, "jobs": [{"job_id": "1"}]}})
    assert client.list_jobs(5, status=["failed"]) == {"count": 1, "jobs": [{"job_id": "1"}]}
    assert server.last.json == {"limit": 5, "page": 1, "status": ["failed"]}
    server.answer("job/list/task", {"retcode": 0, "data": {"count": 0, "tasks": []}})
    assert client.list_tasks(page=2, job_id="1") == {"count": 0, "tasks": []}
    assert server.last.json == {"limit": 10, "page": 2, "job_id": "1"}
