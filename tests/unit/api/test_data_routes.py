from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fate_flow.api.uploads import safe_file_name
from fate_flow.data.table import SID, VALUE, TableKind, TableSchema
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.site import Site, add_job, add_task
from tests.unit.api.test_job_routes import post

FIELDS = {"work_mode": "0", "namespace": "n", "table_name": "t", "head": "1", "partition": "4"}
LOCAL = {
    "initiator": {"role": "local", "party_id": 0},
    "job_parameters": {"work_mode": 0},
    "role": {"local": [0]},
}


class Uploads:
    """Stands for the use case: remembers what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from fate_flow.jobs import service

        self.calls: list[tuple[dict[str, Any], Path | None, str]] = []
        self.error: Exception | None = None

        def submit(
            session: Any, config: Any, file: Path | None, job_id: str
        ) -> service.SubmitResult:
            if self.error:
                raise self.error
            self.calls.append((dict(config), file, job_id))
            return service.SubmitResult(job_id, {"table_name": "t", "namespace": "n"})

        monkeypatch.setattr(service, "submit_upload", submit)


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> Uploads:
    return Uploads(monkeypatch)


def _send(client: TestClient, content: bytes, name: str = "a.csv", **fields: str) -> Any:
    return client.post("/data/upload", data={**FIELDS, **fields}, files={"file": (name, content)})


def test_a_file_is_stored_below_the_job(site: Site, client: TestClient, uploads: Uploads) -> None:
    content = b"id,x0\n" + b"1,0.5\n" * 500_000
    answer = _send(client, content, "../../etc/pass wd.csv", drop="1")
    assert answer.json()["retcode"] == 0
    ((values, file, job_id),) = uploads.calls
    assert answer.json()["jobId"] == job_id
    assert file == site.settings.jobs_dir / job_id / "tmp" / "pass_wd.csv"
    assert file.read_bytes() == content
    assert values == {**FIELDS, "drop": "1"}


@pytest.mark.parametrize("form", ["single", "json"])
def test_keys_may_stand_in_the_query_string(
    client: TestClient, uploads: Uploads, form: str
) -> None:
    import json
    from urllib.parse import quote

    query = quote(json.dumps(FIELDS)) if form == "json" else "&".join(map("=".join, FIELDS.items()))
    answer = client.post(f"/data/upload?{query}", files={"file": ("a.csv", b"x")})
    assert answer.json()["retcode"] == 0
    assert uploads.calls[0][0]["table_name"] == "t"


@pytest.mark.parametrize("how", [{"module": "Upload"}, {"use_local_data": 0}])
def test_json_names_a_file_of_the_server(
    client: TestClient, uploads: Uploads, how: dict[str, Any]
) -> None:
    body = {**FIELDS, "file": "/data/a.csv"}
    assert "no file came" in post(client, "/data/upload", {**body, "use_local_data": 1})["retmsg"]
    assert post(client, "/data/upload", {**body, **how})["retcode"] == 0
    assert [(values["file"], part) for values, part, _ in uploads.calls] == [("/data/a.csv", None)]


def _left_behind(site: Site) -> list[Path]:
    return list(site.settings.jobs_dir.glob("*")) if site.settings.jobs_dir.exists() else []


def test_refused_uploads_leave_nothing(site: Site, client: TestClient, uploads: Uploads) -> None:
    missing = client.post("/data/upload", data={"namespace": "n"}, files={"file": ("a", b"x")})
    text = "the following arguments are required: work_mode,table_name,head,partition "
    assert missing.json() == {"retcode": 100, "retmsg": text}
    uploads.error = RuntimeError("inside")
    assert "inside" not in _send(client, b"x").json()["retmsg"]
    other = client.post("/data/upload", data=FIELDS, files={"other": ("a.csv", b"x")})
    assert "one file part named 'file'" in other.json()["retmsg"]
    two = client.post(
        "/data/upload",
        data=FIELDS,
        files=[("file", ("a.csv", b"x")), ("file", ("b.csv", b"x"))],
    )
    assert two.json()["retcode"] == 100
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (
        b"",
        b"nothing",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"',
    ):
        broken = client.post("/data/upload", content=body, headers=headers)
        assert broken.status_code == 400
        assert broken.json()["retcode"] == 100
    assert _left_behind(site) == []
    assert uploads.calls == []


def test_a_form_without_a_file(site: Site, client: TestClient, uploads: Uploads) -> None:
    """HTTP libraries send such a form URL-encoded."""
    missing = client.post("/data/upload", data={"namespace": "n", "head": ""})
    text = "the following arguments are required: work_mode,table_name,head,partition "
    assert missing.json() == {"retcode": 100, "retmsg": text}
    assert "no file came" in client.post("/data/upload", data=FIELDS).json()["retmsg"]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for content, words in (
        (b'{"namespace": "n"}', "its Content-Type is application/x-www-form-urlencoded"),
        (b"a=%ff", "cannot be read"),
        (b"a=%00", "NUL"),
        (b"&".join(b"f%d=1" % number for number in range(65)), "at most 64 fields"),
        (b"a=" + b"x" * 70_000, "larger than 65536 bytes"),
    ):
        answer = client.post("/data/upload", content=content, headers=headers)
        assert words in answer.json()["retmsg"]
    assert _left_behind(site) == []
    assert uploads.calls == []


def test_uploads_are_bounded(
    tmp_path: Path, database_template: Path, monkeypatch: pytest.MonkeyPatch, uploads: Uploads
) -> None:
    site = Site.make(tmp_path / "s", database_template, monkeypatch, MAX_UPLOAD_BYTES=10_000)
    with site.client() as client:
        assert _send(client, b"x" * 5000).json()["retcode"] == 0
        uploads.calls.clear()
        declared = _send(client, b"x" * 20_000)
        assert declared.status_code == 413

        def streamed() -> Any:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(10):
                yield b"x" * 5000

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        undeclared = client.post("/data/upload", content=streamed(), headers=headers)
        assert undeclared.status_code == 413
        assert "MAX_UPLOAD_BYTES = 10000" in undeclared.json()["retmsg"]
        fields = client.post("/data/upload", data={"a": "y" * 9000}, files={"x": (None, "1")})
        assert fields.json()["retcode"] == 100
    assert uploads.calls == []
    assert len(_left_behind(site)) == 1
    site.close()


def test_large_fields_and_many_fields(client: TestClient, uploads: Uploads) -> None:
    large = client.post("/data/upload", files={"note": (None, "y" * 70_000)})
    assert "a form field of over 65536 bytes" in large.json()["retmsg"]
    many = client.post("/data/upload", files={f"f{n}": (None, "1") for n in range(65)})
    assert "more than 64 fields" in many.json()["retmsg"]


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("a.csv", "a.csv"),
        ("/etc/passwd", "passwd"),
        ("C:\\x\\y.csv", "y.csv"),
        ("..", "upload"),
        ("", "upload"),
        (".hidden", "hidden"),
        ("a\0b\n.csv", "a_b_.csv"),
        ("größe.csv", "größe.csv"),
    ],
)
def test_file_names(given: str, safe: str) -> None:
    assert safe_file_name(given) == safe


def test_long_file_names_keep_their_end() -> None:
    name = safe_file_name("é" * 300 + ".csv")
    assert len(name.encode()) <= 120
    assert name.endswith(".csv")


def test_unknown_operation(client: TestClient) -> None:
    answer = post(client, "/data/sideways", {})
    assert answer == {"retcode": 100, "retmsg": "can not support this operating: sideways"}


def test_upload_history(site: Site, client: TestClient) -> None:
    assert post(client, "/data/upload/history", {}) == {"retcode": 0, "retmsg": "success"}
    schema = TableSchema(TableKind.RAW, "id", ("y", "x0"), extra={"head": True})
    site.tables.put("n", "t2", pa.table({SID: ["1"], VALUE: ["1,2"]}), schema)
    with site.session() as session:
        for number in ("1", "2", "3"):
            add_job(session, number, conf=LOCAL)
            status = "success" if number != "3" else "running"
            add_task(session, "upload_0", "local", 0, job_id=number, status=status)
            scope = TaskScope(number, "upload_0", "local", "0")
            store.save_data_view(
                session, scope, table_name=f"t{number}", table_namespace="n", partition=4,
                table_count_upload=5, table_count_actual=4,
            )  # fmt: skip
        store.save_notes(session, "2", "local", "0", "second")
    newest = post(client, "/data/upload/history", {"limit": 1})["data"]
    assert newest == [
        {
            "2": {
                "upload_info": {
                    "table_name": "t2",
                    "namespace": "n",
                    "partition": 4,
                    "upload_count": 5,
                    "actual_count": 4,
                },
                "notes": "second",
                "meta": {"header": "y,x0", "sid": "id"},
            }
        }
    ]
    assert [list(entry) for entry in post(client, "/data/upload/history", {})["data"]] == [
        ["2"],
        ["1"],
    ]
    assert list(post(client, "/data/upload/history", {"job_id": "1"})["data"][0]) == ["1"]


def test_table_info_and_delete(site: Site, client: TestClient) -> None:
    names = {"namespace": "n", "table_name": "t"}
    missing = post(client, "/table/table_info", names)
    assert missing["data"] == {**names, "count": 0, "partition": 1}
    site.tables.put("n", "t", pa.table({SID: ["1"], VALUE: [""]}), TableSchema(TableKind.RAW))
    assert post(client, "/table/table_info", names)["data"] == {**names, "count": 1, "partition": 4}
    flags = {"role": "guest", "party_id": "9999", "local": {"role": "guest"}, "data_type": 1}
    assert post(client, "/table/table_info", {**names, **flags})["data"]["count"] == 1
    derived = post(client, "/table/table_info", {**flags, "gen_table_info": True})
    assert derived == {"retcode": 100, "retmsg": "role: found 'guest'; allowed: an object"}
    assert post(client, "/table/delete", names)["data"] == [names]
    assert not site.tables.exists("n", "t")
    assert post(client, "/table/delete", {"job_id": "x"}) == {
        "retcode": 101,
        "retmsg": "no find table",
    }
    long_name = post(client, "/table/table_info", {"namespace": "n" * 300, "table_name": "t"})
    assert "1 to 200 bytes" in long_name["retmsg"]


def test_table_names_are_derived(site: Site, client: TestClient) -> None:
    body = {
        "gen_table_info": True,
        "local": {"role": "guest", "party_id": 9999},
        "role": {"host": [2, 1], "guest": [9999]},
        "data_type": "train",
    }
    namespace = "guest#9999#guest-9999#host-1_2#train"
    assert post(client, "/table/table_info", body)["data"]["namespace"] == namespace
    with site.session() as session:
        store.save_version(session, namespace, "newest")
    assert post(client, "/table/table_info", body)["data"]["table_name"] == "newest"
    wrong = post(client, "/table/table_info", {**body, "role": {"host": "x"}})
    assert wrong["retmsg"].startswith("role: found")


def test_tables_of_data_views_are_deleted(site: Site, client: TestClient) -> None:
    schema = TableSchema(TableKind.RAW)
    site.tables.put("n", "t", pa.table({SID: ["1"], VALUE: [""]}), schema)
    with site.session() as session:
        scope = TaskScope("1", "c_0", "guest", "9999")
        store.save_data_view(session, scope, table_name="t", table_namespace="n")
        other = scope._replace(role="host")
        store.save_data_view(session, other, table_name="t", table_namespace="n")
    answer = post(client, "/table/delete", {"job_id": "1"})
    assert answer["data"] == [{"table_name": "t", "namespace": "n"}]
    assert post(client, "/table/delete", {"job_id": "1"}) == {"retcode": 101, "retmsg": "failed"}
