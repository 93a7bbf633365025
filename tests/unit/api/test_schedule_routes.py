"""``/schedule``: what a script may do to a job, and what is refused with the way it is done."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from fate_flow.db.models import Job, Queue
from fate_flow.jobs import service
from tests.support.site import JOB_ID, Site, add_job

GUEST = f"/schedule/{JOB_ID}/guest/9999"
HOST = f"/schedule/{JOB_ID}/host/10000"
TASK = f"/schedule/{JOB_ID}/dataio_0/{JOB_ID}_dataio_0/guest/9999"


@pytest.fixture(autouse=True)
def _without_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "fail_run", lambda *_: None)
    monkeypatch.setattr(service, "admit", lambda _: [])
    monkeypatch.setattr(service, "cancel_at_gateway", lambda *_: None)


def _post(client: TestClient, path: str, body: Any = None) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def _statuses(site: Site) -> set[str]:
    with site.session() as session:
        return {row.f_status for row in session.query(Job)}


def _add(site: Site, status: str, queue: int | None = None) -> None:
    with site.session() as session:
        add_job(session, status=status)
        for row in session.query(Job):
            row.f_is_initiator = int(row.f_role == "guest")
        if queue is not None:
            session.add(Queue(f_job_id=JOB_ID, f_event="{}", f_is_waiting=queue))


@pytest.mark.parametrize(("body", "status"), [(None, "failed"), ({"timeout": True}, "timeout")])
def test_kill_ends_the_job(site: Site, client: TestClient, body: Any, status: str) -> None:
    _add(site, "running", queue=0)
    assert _post(client, f"{HOST}/kill", body)["retcode"] == 0
    assert _statuses(site) == {status}


def test_kill_passes_over_what_has_ended_or_is_unknown(site: Site, client: TestClient) -> None:
    _add(site, "success")
    assert _post(client, f"{GUEST}/kill")["retcode"] == 0
    assert _statuses(site) == {"success"}
    assert _post(client, "/schedule/nothing/guest/9999/kill")["retcode"] == 0


def test_cancel_is_for_the_initiator_and_for_a_waiting_job(site: Site, client: TestClient) -> None:
    assert "no find jod" in _post(client, f"{GUEST}/cancel")["retmsg"]
    _add(site, "waiting", queue=1)
    assert "not is initiator" in _post(client, f"{HOST}/cancel")["retmsg"]
    assert _post(client, f"{GUEST}/cancel") == {"retcode": 0, "retmsg": "cancel job success"}
    assert _statuses(site) == {"canceled"}
    answer = _post(client, f"{GUEST}/cancel")
    assert answer == {"retcode": 101, "retmsg": "cancel job failed"}


def test_a_note_is_stored_and_no_status_is_forged(site: Site, client: TestClient) -> None:
    _add(site, "running")
    assert _post(client, f"{GUEST}/status", {"f_description": "mine", "f_status": "success"})
    with site.session() as session:
        notes = {(row.f_role, row.f_description) for row in session.query(Job)}
    assert ("guest", "mine") in notes
    assert _statuses(site) == {"running"}
    _post(client, f"{GUEST}/status", {"f_status": "canceled"})
    assert _statuses(site) == {"canceled"}


@pytest.mark.parametrize(
    "path",
    [
        f"{GUEST}/create",
        f"{GUEST}/bW9kZWw=/dmVyc2lvbg==/save/pipeline",
        f"{TASK}/run",
        f"{TASK}/status",
    ],
)
def test_work_is_handed_over_by_gateways_only(client: TestClient, path: str) -> None:
    answer = _post(client, path, {"anything": 1})
    assert answer["retcode"] == 100
    assert "fate_flow peer add" in answer["retmsg"]


def test_clean_has_nothing_to_do(client: TestClient) -> None:
    assert _post(client, f"{GUEST}/guest,host/9999,10000/clean", {})["retcode"] == 0


@pytest.mark.parametrize("part", [".x", "a b", "x" * 129])
def test_parts_of_a_path_that_are_no_names(client: TestClient, part: str) -> None:
    answer = _post(client, f"/schedule/{part}/guest/9999/kill", {})
    assert answer["retcode"] == 100
    assert "job_id" in answer["retmsg"]
