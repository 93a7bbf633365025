from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from fate_flow.api.dependencies import get_session
from fate_flow.api.envelope import answer
from fate_flow.federation import tokens
from tests.support.site import JOB_ID, Site, add_job
from tests.unit.api.test_job_routes import post


def _content(**parts: Any) -> Any:
    return json.loads(bytes(answer(**parts).body))


def test_falsy_parts_are_left_out() -> None:
    assert _content(data=[], meta={}, job_id="", retmsg="") == {"retcode": 0}
    assert _content(data=[0], meta={"a": None}) == {
        "retcode": 0, "retmsg": "success", "data": [0], "meta": {"a": None},
    }  # fmt: skip


def test_keys_are_sorted_and_odd_numbers_become_null() -> None:
    body = bytes(answer({"b": float("nan"), "a": [float("inf"), 1.5]}).body).decode()
    assert body == '{"data": {"a": [null, 1.5], "b": null}, "retcode": 0, "retmsg": "success"}'


def test_lone_surrogates_do_not_break_the_answer() -> None:
    assert _content(data="\ud800") == {"retcode": 0, "retmsg": "success", "data": "\ud800"}


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/nowhere", 404, "there is no /nowhere in this API"),
        ("POST", "/job/query/", 404, "there is no /job/query/ in this API"),
        ("GET", "/job/query", 405, "GET is not possible on /job/query; possible: POST"),
        ("POST", "/job/log", 405, "POST is not possible on /job/log; possible: GET"),
        ("DELETE", "/job/submit", 405, "DELETE is not possible"),
    ],
)
def test_wrong_paths_and_methods(
    client: TestClient, method: str, path: str, status: int, text: str
) -> None:
    got = client.request(method, path)
    assert got.status_code == status
    assert got.headers["content-type"] == "application/json"
    assert got.json()["retcode"] == 100
    assert text in got.json()["retmsg"]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "raw", [b"{", b"nonsense", b"\xff\xfe", b'{"a": NaN}', b'{"a": Infinity}', b"[" * 100_000]
)
def test_broken_json(client: TestClient, raw: bytes) -> None:
    got = client.post("/job/query", content=raw, headers=JSON)
    assert got.status_code == 400
    assert "the body is not JSON" in got.json()["retmsg"]


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"5"])
def test_a_body_must_be_an_object(client: TestClient, raw: bytes) -> None:
    got = client.post("/job/query", content=raw, headers=JSON)
    assert got.status_code == 200
    assert "allowed: a JSON object" in got.json()["retmsg"]


def test_content_types(site: Site, client: TestClient) -> None:
    with site.session() as session:
        add_job(session)
    raw = json.dumps({"job_id": JOB_ID}).encode()
    plain = client.post("/job/query", content=raw, headers={"Content-Type": "text/plain"})
    assert "Content-Type text/plain" in plain.json()["retmsg"]
    board = {"Content-Type": "application/json;charset=UTF-8", "Content-Encoding": "UTF-8"}
    assert client.post("/job/query", content=raw, headers=board).json()["retcode"] == 0


def test_large_bodies_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fate_flow.api.body.MAX_JSON_BYTES", 100)
    got = client.post("/job/query", content=b'{"a": "' + b"x" * 200 + b'"}', headers=JSON)
    assert got.status_code == 413
    assert got.json()["retcode"] == 100


def test_every_wrong_field_is_named(client: TestClient) -> None:
    body = {"job_id": ["x"], "role": {"a": 1}, "party_id": "guest", "component_name": 1.5}
    text = post(client, "/tracking/component/metrics", body)["retmsg"]
    for line in (
        "job_id: found a list; allowed: a text",
        "role: found an object",
        "party_id: found 'guest'; allowed: an integer",
        "component_name: found 1.5",
    ):
        assert line in text


def test_missing_arguments_in_one_text(client: TestClient) -> None:
    text = "the following arguments are required: job_id,component_name "
    got = post(client, "/tracking/component/metrics", {"job_id": None})
    assert got == {"retcode": 100, "retmsg": text}


def test_unexpected_errors_show_an_id_only(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: Any) -> None:
        raise ZeroDivisionError("the password is swordfish")

    monkeypatch.setattr("fate_flow.tracking.store.query_jobs", explode)
    got = client.post("/job/query", json={"job_id": "1"})
    assert got.status_code == 200
    found = re.fullmatch(r".*log as ([0-9a-f]{12})", got.json()["retmsg"])
    assert found is not None
    assert "swordfish" not in got.text
    assert found.group(1) in caplog.text


def test_openapi_has_an_example_for_each_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["servers"] == [{"url": "/v1"}]
    without = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {})
            if "example" not in body.get("application/json", {}) and path != "/model/import":
                without.append(f"{method} {path}")
            assert operation.get("summary") or operation.get("description")
    assert without == []
    assert "progress" in json.dumps(document["paths"]["/job/query"])


def test_mounted_below_a_prefix_it_answers_for_itself(site: Site) -> None:
    """As in Airflow's API server: errors stay envelopes and do not reach the outer app."""
    outer = FastAPI()
    outer.mount("/v1", site.app)
    with TestClient(outer, base_url="http://127.0.0.1:9380") as client:
        missing = client.post("/v1/nowhere")
        assert missing.status_code == 404
        assert "there is no /v1/nowhere in this API" in missing.json()["retmsg"]
        assert client.get("/v1/job/query").json()["retcode"] == 100
        found = client.post("/v1/job/query", json={"job_id": "1"}).json()
        assert found == {"retcode": 101, "retmsg": "find job failed"}
        foreign = {"Origin": "http://evil.example"}
        assert client.post("/v1/job/query", json={}, headers=foreign).status_code == 403
        assert "/job/submit" in client.get("/v1/openapi.json").json()["paths"]


def _has_no_database() -> None:
    raise OperationalError("SELECT 1", {}, Exception("server closed the connection"))


def test_a_database_that_is_away_is_no_last_word_for_tasks(site: Site, client: TestClient) -> None:
    site.app.dependency_overrides[get_session] = _has_no_database
    token = tokens.issue(
        site.settings.secret(), job_id=JOB_ID, component="*", role="local", party_id=0, ttl=60.0
    )
    got = client.post("/internal/finish", headers={"Authorization": f"Bearer {token}"}, json={})
    assert got.status_code == 503, got.text
    assert got.json()["retcode"] == 100


def test_a_database_that_is_away_is_said_in_words(site: Site, client: TestClient) -> None:
    site.app.dependency_overrides[get_session] = _has_no_database
    got = client.post("/job/query", json={"job_id": JOB_ID})
    assert got.status_code == 200
    assert got.json()["retcode"] == 100
    assert "database" in got.json()["retmsg"]
    assert "closed the connection" not in got.json()["retmsg"]
