from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient

from fate_flow.db.models import Job, JobDetail, TaskDetail
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.site import CONF, DSL, JOB_ID, MODEL_ID, Site, add_job, add_task


def post(client: TestClient, path: str, body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_job_query_shows_all_columns_and_the_reason(site: Site, client: TestClient) -> None:
    with site.session() as session:
        add_job(session, status="failed")
        session.add(JobDetail(f_job_id=JOB_ID, reason="no rows", failed_component="dataio_0"))
    rows = post(client, "/job/query", {"job_id": JOB_ID, "party_id": 9999})["data"]
    assert len(rows) == 1
    assert rows[0]["f_role"] == "guest"
    assert json.loads(rows[0]["f_roles"]) == CONF["role"]
    assert rows[0]["f_reason"] == "dataio_0: no rows"
    assert rows[0]["f_end_time"] is None


def test_task_query_shows_what_a_task_does(site: Site, client: TestClient) -> None:
    with site.session() as session:
        add_task(session, "dataio_0", status="running")
        session.add(
            TaskDetail(
                job_id=JOB_ID,
                component_name="dataio_0",
                role="guest",
                party_id="9999",
                attempt=1,
                waiting_for="host 10000",
            )
        )
    row = post(client, "/job/task/query", {"component_name": "dataio_0"})["data"][0]
    assert (row["f_message"], row["f_attempt"], row["f_error"]) == ("host 10000", 1, "")


def test_data_view_query(site: Site, client: TestClient) -> None:
    with site.session() as session:
        scope = TaskScope(JOB_ID, "dataio_0", "guest", "9999")
        store.save_data_view(session, scope, table_name="t", table_namespace="n")
    answer = post(client, "/job/data/view/query", {"table_namespace": "n"})
    assert [row["f_table_name"] for row in answer["data"]] == ["t"]
    assert post(client, "/job/data/view/query", {}) == {
        "retcode": 101,
        "retmsg": "find data view failed",
    }


def test_config_decodes_the_documents(site: Site, client: TestClient) -> None:
    with site.session() as session:
        add_job(session)
    data = post(client, "/job/config", {"job_id": JOB_ID, "role": "host"})["data"]
    assert data["dsl"] == DSL
    assert data["runtime_conf"]["role"] == CONF["role"]
    assert data["train_runtime_conf"] == {}
    assert data["model_info"] == {"model_id": MODEL_ID, "model_version": JOB_ID}


def test_notes_are_written_and_committed(site: Site, client: TestClient) -> None:
    with site.session() as session:
        add_job(session)
    body = {"job_id": JOB_ID, "role": "guest", "party_id": 9999, "notes": "a note"}
    assert post(client, "/job/update", body) == {"retcode": 0, "retmsg": "success"}
    with site.session() as session:
        job = store.initiator_row(session, JOB_ID)
        assert job is not None
        assert job.f_description == "a note"


def _members(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        found = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


@pytest.mark.parametrize(("method", "path"), [("GET", "/job/log"), ("POST", "/job/log/download")])
def test_logs_come_as_a_tree(site: Site, client: TestClient, method: str, path: str) -> None:
    folder = site.settings.logs_dir / JOB_ID
    inner = folder / "guest" / "9999" / "dataio_0"
    inner.mkdir(parents=True)
    text = "".join(f"line {number}\n" for number in range(50_000))
    (inner / "INFO.log").write_text(text)
    (folder / "empty.log").write_text("")
    (folder / "secret").symlink_to(site.settings.secret_file)
    answer = client.request(method, path, json={"job_id": JOB_ID})
    assert answer.headers["content-disposition"].endswith(f"filename=job_{JOB_ID}_log.tar.gz")
    found = _members(answer.content)
    assert found.keys() == {"guest/9999/dataio_0/INFO.log", "empty.log"}
    assert found["guest/9999/dataio_0/INFO.log"].decode() == text


def test_a_file_is_not_compressed_once_more(site: Site) -> None:
    """As Airflow's server would, for clients that keep the raw stream."""
    (site.settings.logs_dir / JOB_ID).mkdir(parents=True)
    (site.settings.logs_dir / JOB_ID / "a.log").write_text("x" * 5000)
    app = GZipMiddleware(site.app, minimum_size=10)
    with TestClient(app, base_url="http://127.0.0.1:9380") as client:
        request = {"url": "/job/log", "json": {"job_id": JOB_ID}}
        with client.stream("GET", **request, headers={"Accept-Encoding": "gzip"}) as answer:
            assert _members(b"".join(answer.iter_raw()))["a.log"] == b"x" * 5000


def test_a_null_filter_meets_no_rows(site: Site, client: TestClient) -> None:
    """A script that found no job id must not be shown, or clean, those of all jobs."""
    with site.session() as session:
        add_job(session)
        add_task(session, "dataio_0")
        scope = TaskScope(JOB_ID, "dataio_0", "guest", "9999")
        store.save_data_view(session, scope, table_name="t", table_namespace="n")
    body = {"job_id": None, "role": "guest"}
    for path, text in (
        ("/job/query", "find job failed"),
        ("/job/config", "find job failed"),
        ("/job/task/query", "find task failed"),
        ("/job/data/view/query", "find data view failed"),
        ("/job/clean", "no found task"),
        ("/table/delete", "no find table"),
    ):
        assert post(client, path, body)["retmsg"] == text
    assert post(client, "/job/list/job", body)["data"]["count"] == 1
    assert post(client, "/job/query", {"end_time": None})["retcode"] == 0


def test_logs_of_an_unknown_job_are_an_empty_archive(client: TestClient) -> None:
    answer = client.request("GET", "/job/log", json={"job_id": "nope"})
    assert answer.status_code == 200
    assert _members(answer.content) == {}


@pytest.mark.parametrize("job_id", ["..", "../conf", "a/b", "", "x" * 100, "a\0b"])
def test_logs_cannot_leave_the_folder(site: Site, client: TestClient, job_id: str) -> None:
    site.settings.logs_dir.mkdir()
    answer = client.request("GET", "/job/log", json={"job_id": job_id})
    assert answer.json()["retcode"] == 100
    assert "job_id" in answer.json()["retmsg"]


def test_submit_answers_with_paths_and_model(
    site: Site,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from fate_flow.jobs import service

    seen: list[Any] = []

    def submit_job(session: Any, dsl: Any, conf: Any) -> service.SubmitResult:
        seen.append((dsl, conf))
        add_job(session, "1", status="waiting")
        return service.SubmitResult("1", {"logs_directory": "/x"}, ("w",))

    monkeypatch.setattr(service, "submit_job", submit_job)
    body = {"job_dsl": DSL, "job_runtime_conf": CONF, "function": "submit_job"}
    answer = post(client, "/job/submit", body)
    assert answer["jobId"] == "1"
    assert answer["data"] == {"logs_directory": "/x", "warnings": ["w"]}
    assert "job 1: w" in caplog.messages
    assert seen == [(DSL, CONF)]
    assert post(client, "/job/query", {"job_id": "1"})["retcode"] == 0


def test_an_error_rolls_everything_back(
    site: Site, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fate_flow.jobs import service

    def submit_job(session: Any, dsl: Any, conf: Any) -> service.SubmitResult:
        add_job(session, "1")
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service, "submit_job", submit_job)
    answer = post(client, "/job/submit", {"job_runtime_conf": {}})
    assert answer["retcode"] == 100
    assert "secret detail" not in answer["retmsg"]
    with site.session() as session:
        assert session.query(Job).count() == 0


@pytest.mark.parametrize("key", ["initiator", "job_parameters", "role"])
def test_submit_names_a_key_that_is_missing(client: TestClient, key: str) -> None:
    conf = {name: value for name, value in CONF.items() if name != key}
    answer = post(client, "/job/submit", {"job_dsl": DSL, "job_runtime_conf": conf})
    assert answer["retcode"] == 100
    assert f"job_runtime_conf.{key}: the key {key!r} is missing" in answer["retmsg"]


def test_submit_without_a_conf_names_it(client: TestClient) -> None:
    answer = post(client, "/job/submit", {"job_dsl": DSL})
    assert answer == {"retcode": 100, "retmsg": "job_runtime_conf: missing; allowed: an object"}


def test_stop_and_clean_call_the_use_cases(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fate_flow.jobs import service

    monkeypatch.setattr(service, "stop_job", lambda _, job_id: f"kill job success {job_id}")
    monkeypatch.setattr(service, "clean_job", lambda _, filters: len(filters))
    monkeypatch.setattr(service, "clean_queue", lambda _: 0)
    assert post(client, "/job/stop", {"job_id": JOB_ID})["retmsg"] == f"kill job success {JOB_ID}"
    assert post(client, "/job/clean", {"job_id": JOB_ID})["retcode"] == 0
    monkeypatch.setattr(service, "clean_job", lambda _, filters: 0)
    none = {"retcode": 100, "retmsg": "no found task"}
    assert post(client, "/job/clean", {"job_id": "1"}) == none
    required = {"retcode": 100, "retmsg": "the following arguments are required: job_id "}
    for body in ({}, {"jobid": JOB_ID}):
        assert post(client, "/job/clean", body) == required
    empty = client.post("/job/clean/queue")
    assert empty.json() == {"retcode": 100, "retmsg": "There are no jobs in the queue"}
