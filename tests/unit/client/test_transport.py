"""The way to the server: tokens, proxies, lost connections, answers that are none; waiting."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from fate_flow.client import FateFlowClient, JobState, ServerUnreachableError, WaitTimeoutError
from fate_flow.entities import JobStatus
from fate_flow.errors import FateFlowError
from tests.support.recording_server import SUCCESS, RecordingServer, Reply


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
