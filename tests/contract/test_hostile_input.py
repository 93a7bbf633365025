"""Every route with its example, without each key, with wrong types, and with hostile values.

Whatever is sent, the answer is an envelope that says what is wrong; never a 500, a traceback
or a text from inside the server, and nothing outside the site's folder is touched.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.local_jobs import keep_jobs_waiting
from tests.support.site import JOB_ID, Site, add_job, add_task, described_operations

pytestmark = pytest.mark.slow

OPERATIONS = described_operations()

WRONG: list[Any] = [
    None,
    True,
    -1,
    2**70,
    1.5,
    1e308,
    "",
    " ",
    "x",
    [],
    [1, [2]],
    ["a", None],
    {},
    {"a": {"b": 1}},
]
HOSTILE: list[Any] = [
    "'; DROP TABLE t_job; --",
    '" OR 1=1 --',
    "%",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "a\0b",
    "a\nb\r\nX-Header: 1",
    "\u202e\U0001f600",
    "\ud800",
    "x" * 100_000,
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "__class__",
    ["../.."] * 1000,
    {"$ref": "#/x", "__proto__": {}},
]
ACCIDENTS = (
    "unexpected error",
    "Traceback",
    "object has no attribute",
    "object is not",
    "sqlite3",
    "sqlalchemy",
    "KeyError",
    "list index",
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Iterator[Site]:
    """A site with a job, for the whole module; submitted jobs stay in the queue."""
    with pytest.MonkeyPatch.context() as patch:
        keep_jobs_waiting(patch)
        made = Site.make(tmp_path_factory.mktemp("hostile") / "site", database_template, patch)
        with made.session() as session:
            add_job(session)
            add_task(session, "dataio_0")
        yield made
        made.close()


@pytest.fixture(scope="module")
def client(busy: Site) -> Iterator[TestClient]:
    with busy.client() as made:
        yield made


@pytest.fixture(scope="module")
def document(client: TestClient) -> Any:
    return client.get("/openapi.json").json()


def _send(client: TestClient, path: str, method: str, body: Any) -> None:
    content = json.dumps(body).encode()  # lone surrogates are escaped
    answer = client.request(
        method, path, content=content, headers={"Content-Type": "application/json"}
    )
    _check(answer, path, body)


def _check(answer: Any, path: str, body: Any) -> None:
    where = f"{path} {str(body)[:300]}"
    if not answer.headers["content-type"].startswith("application/json"):
        assert answer.status_code == 200, where
        assert answer.headers["content-disposition"].startswith("attachment"), where
        return
    envelope = answer.json()
    assert envelope.keys() <= {"retcode", "retmsg", "data", "jobId", "meta"}, where
    assert isinstance(envelope["retcode"], int), where
    if answer.status_code != 200:
        # 500 is how a download says that there is nothing.
        assert answer.status_code == 400 or envelope["retcode"] == 500, where
    text = envelope.get("retmsg", "")
    assert text or envelope["retcode"] == 0, where
    # What was sent may be repeated: it is no accident when it reads like one.
    for accident in ACCIDENTS:
        assert accident not in text, f"{where}: {text}"


def _bodies(example: dict[str, Any], values: list[Any]) -> Iterator[dict[str, Any]]:
    """The example with each key, and each key of its objects, replaced by each value."""
    for key, inner in example.items():
        for value in values:
            yield {**example, key: value}
        if isinstance(inner, dict):
            for name in inner:
                for value in values:
                    changed = copy.deepcopy(example)
                    changed[key][name] = value
                    yield changed


def _example(document: Any, path: str, method: str) -> dict[str, Any]:
    content = document["paths"][path][method]["requestBody"]["content"]
    found: dict[str, Any] = content.get("application/json", {}).get("example", {})
    return found


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_good_and_missing_keys(client: TestClient, document: Any, path: str, method: str) -> None:
    example = _example(document, path, method)
    _send(client, path, method, example)
    _send(client, path, method, {})
    for key, inner in example.items():
        _send(client, path, method, {k: v for k, v in example.items() if k != key})
        for name in inner if isinstance(inner, dict) else ():
            changed = {**example, key: {k: v for k, v in inner.items() if k != name}}
            _send(client, path, method, changed)


@pytest.mark.slow
@pytest.mark.parametrize("values", [WRONG, HOSTILE], ids=["wrong", "hostile"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_wrong_and_hostile_values(
    busy: Site, client: TestClient, document: Any, path: str, method: str, values: list[Any]
) -> None:
    outside = busy.settings.home.parent
    before = {entry.name for entry in outside.iterdir()}
    for body in _bodies(_example(document, path, method), values):
        _send(client, path, method, body)
    assert {entry.name for entry in outside.iterdir()} == before
    assert (busy.settings.home / "conf" / "site_secret").read_text() == "5a" * 32
    rows = client.post("/job/query", json={"job_id": JOB_ID}).json()["data"]
    assert len(rows) == 2


BODIES = (
    b"",
    b"\0",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"NaN",
    b'{"a": Infinity}',
    b"\xff\xfe",
    b'{"a":' * 10_000,
    b"[" * 100_000,
    b'{"job_id": "\\ud800"}',
    b'{"job_id": "\\u0000"}',
    b'{"job_id": 1' + b"0" * 10_000 + b"}",
)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_bodies_that_are_no_objects(client: TestClient, path: str, method: str) -> None:
    for content in BODIES:
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", ""):
            headers = {"Content-Type": kind} if kind else {}
            answer = client.request(method, path, content=content, headers=headers)
            _check(answer, path, content[:50])


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_wrong_methods_and_odd_headers(client: TestClient, path: str, method: str) -> None:
    for other in ("PUT", "DELETE", "PATCH"):
        answer = client.request(other, path, json={})
        assert answer.status_code == 405
        assert answer.json()["retcode"] == 100
        assert "allow" in answer.headers
    headers = {"Content-Encoding": "UTF-8", "SIGNATURE": "x", "TIMESTAMP": "1", "Cookie": "a=b"}
    _check(client.request(method, path, json={}, headers=headers), path, {})
