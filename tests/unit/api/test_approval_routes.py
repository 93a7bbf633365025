"""``/approval`` and its page: jobs of another site that wait for a yes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from fate_flow.db.models import JobDetail, Outbox
from fate_flow.dsl.parser import compile_plan
from fate_flow.entities import JobStatus, Party, Placement
from fate_flow.jobs import states
from fate_flow.operators.plans import write_placement, write_plan
from tests.support.site import CONF, DSL, JOB_ID, Site, add_job
from tests.unit.api.test_job_routes import post

GUEST, HOST = Party("guest", 9999), Party("host", 10000)


@pytest.fixture
def site(tmp_path: Path, airflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The host's site; a job of the guest's site has just come."""
    made = Site.make(tmp_path / "site", airflow_template, monkeypatch, PARTIES=["host:10000"])
    jobs_dir = made.settings.jobs_dir
    plan = compile_plan(DSL, CONF)
    write_plan(jobs_dir, JOB_ID, plan)
    keys = {GUEST: "aa" * 32, HOST: "bb" * 32}
    placement = Placement(frozenset({HOST}), GUEST, False, "t", keys, {"bank-a": [GUEST]})
    write_placement(jobs_dir, JOB_ID, placement)
    with made.session() as session:
        add_job(session, status="waiting")
        session.add(JobDetail(f_job_id=JOB_ID, approval="asked", home=GUEST.key, home_is_local=0))
    yield made
    made.close()


def _state(site: Site) -> tuple[JobStatus | None, str]:
    with site.session() as session:
        detail = session.get(JobDetail, JOB_ID)
        assert detail is not None
        return states.status_of(session, JOB_ID), detail.approval


def test_a_waiting_job_is_shown_with_what_it_wants(client: TestClient) -> None:
    (job,) = post(client, "/approval/list", {})["data"]
    assert job["job_id"] == JOB_ID
    assert (job["site"], job["initiator"]) == ("bank-a", "guest 9999")
    assert job["parties"] == ["host 10000"]
    assert job["modules"] == ["DataIO", "Intersection"]
    assert job["tables"] == ["n/h"], "tables of other sites are no business of ours"
    page: Any = client.get("/ui/approvals/data")
    assert page.json()["data"] == [job]
    assert page.headers["cache-control"] == "no-store"
    html = client.get("/ui/approvals")
    assert "approvals.js" in html.text
    assert "default-src 'none'" in html.headers["content-security-policy"]


def test_approving(client: TestClient, site: Site) -> None:
    assert post(client, "/approval/approve", {"job_id": JOB_ID})["retcode"] == 0
    assert _state(site) == (JobStatus.WAITING, "approved")
    assert "data" not in post(client, "/approval/list", {})
    again = post(client, "/approval/approve", {"job_id": JOB_ID})
    assert "does not wait for approval: approved" in again["retmsg"]


def test_refusing_tells_the_other_site_why(client: TestClient, site: Site) -> None:
    missing = post(client, "/approval/refuse", {"job_id": JOB_ID})
    assert "required: reason" in missing["retmsg"]
    body = {"job_id": JOB_ID, "reason": "no contract"}
    assert post(client, "/approval/refuse", body)["retcode"] == 0
    assert _state(site)[1] == "refused"
    assert "data" not in post(client, "/approval/list", {})
    with site.session() as session:
        messages = session.scalars(select(Outbox)).all()
        assert any("no contract" in json.dumps(json.loads(m.body)) for m in messages)
        assert {m.destination for m in messages} == {"bank-a"}


@pytest.mark.parametrize("action", ["approve", "refuse"])
@pytest.mark.parametrize("job_id", ["1", "x" * 200, "../../etc"])
def test_unknown_jobs(client: TestClient, action: str, job_id: str) -> None:
    answer = post(client, f"/approval/{action}", {"job_id": job_id, "reason": "r"})
    assert answer["retcode"] == 101
    assert "can not found job" in answer["retmsg"]
