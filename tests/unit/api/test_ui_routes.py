"""Routes of the FATE metrics page, against a site with a job in it."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fate_flow.data.table import LABEL, SID, TableKind, TableSchema
from fate_flow.db.models import JobDetail, TaskDetail
from fate_flow.dsl.parser import compile_plan
from fate_flow.entities import Party, Placement
from fate_flow.models.proto.lr_model_meta_pb2 import LRModelMeta
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from fate_flow.operators.plans import write_placement, write_plan
from fate_flow.tracking import store as tracking
from fate_flow.tracking.store import TaskScope
from fate_flow.ui.assets import digest
from tests.support.site import CONF, DSL, JOB_ID, MODEL_ID, Site, add_job, add_task

GUEST = TaskScope(JOB_ID, "dataio_0", "guest", "9999")
DATA = f"/ui/data/{JOB_ID}"
TASK = f"{DATA}/dataio_0/guest/9999"


def _get(client: TestClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert content["retcode"] == 0, content
    assert answer.headers["cache-control"] == "no-store"
    return content["data"]


@pytest.fixture
def job(site: Site) -> Site:
    """A job of two components of which the first one ended at the guest."""
    with site.session() as session:
        add_job(session, status="running")
        session.add(JobDetail(f_job_id=JOB_ID))
        add_task(session, "dataio_0")
        add_task(session, "dataio_0", "host", 10000, status="running")
        session.add(
            TaskDetail(
                job_id=JOB_ID,
                component_name="dataio_0",
                role="host",
                party_id="10000",
                attempt=2,
                progress=0.25,
                waiting_for="waiting for guest 9999",
            )
        )
        session.flush()
        tracking.add_metrics(
            session, GUEST, "train", "loss", [(1, 0.5), (0, 0.7)], {"metric_type": "LOSS"}
        )
        table = pa.table({SID: ["a", "b"], LABEL: [1, 0], "x0": [0.5, float("nan")]})
        schema = TableSchema(TableKind.INSTANCES, "id", ("x0",), "y")
        site.tables.put("ns", "out", table, schema)
        tracking.save_data_view(session, GUEST, table_namespace="ns", table_name="out")
    site.models.save(
        f"guest#9999#{MODEL_ID}",
        JOB_ID,
        "dataio_0",
        "HeteroLR",
        "dataio",
        {
            "LRModelMeta": LRModelMeta(fit_intercept=True),
            "LRModelParam": LRModelParam(weight={"x0": 1.5}, header=["x0"], iters=3),
        },
    )
    write_plan(site.settings.jobs_dir, JOB_ID, compile_plan(DSL, CONF))
    return site


def test_the_job(job: Site, client: TestClient) -> None:
    found = _get(client, DATA)
    assert found["job"]["status"] == "running"
    assert found["job"]["airflow"] == f"dags/fate_flow_{JOB_ID}/runs/{JOB_ID}"
    first, second = found["components"]
    assert [one["status"] for one in first["parties"]] == ["success", "running"]
    assert first["parties"][1]["message"] == "waiting for guest 9999"
    assert first["parties"][1]["attempt"] == 2
    assert second["status"] == "waiting"


def _at_bank_b(site: Site) -> None:
    """The job's host is at another site."""
    guest, host = Party("guest", 9999), Party("host", 10000)
    placement = Placement(
        frozenset({guest}), guest, True, "", {guest: "00" * 32, host: "11" * 32}, {"bank-b": [host]}
    )
    write_placement(site.settings.jobs_dir, JOB_ID, placement)


def test_a_job_that_waits_for_another_site(site: Site, client: TestClient) -> None:
    """Its run is not there yet: a link to it would lead nowhere."""
    text = "waiting for site bank-b: it waits for approval by its people"
    with site.session() as session:
        add_job(session, status="waiting")
        session.add(JobDetail(f_job_id=JOB_ID, home="guest_9999", reason=text))
    write_plan(site.settings.jobs_dir, JOB_ID, compile_plan(DSL, CONF))
    _at_bank_b(site)
    found = _get(client, DATA)["job"]
    assert (found["status"], found["waits_for"], found["airflow"]) == ("waiting", text, None)
    [line] = _get(client, "/ui/data")["jobs"]
    assert (line["waits_for"], line["has_run"]) == (text, False)


def test_what_stays_at_another_site(job: Site, client: TestClient) -> None:
    _at_bank_b(job)
    first = _get(client, DATA)["components"][0]
    assert [party["site"] for party in first["parties"]] == ["", "bank-b"]
    there = _get(client, f"{DATA}/dataio_0/host/10000")
    assert (there["site"], there["airflow"]) == ("bank-b", None)
    assert _get(client, TASK)["site"] == ""


def test_a_component(job: Site, client: TestClient) -> None:
    found = _get(client, TASK)
    assert [panel["title"] for panel in found["metrics"]] == ["Loss"]
    assert found["metrics"][0]["series"][0]["points"] == [[0, 0.7], [1, 0.5]]
    assert found["model"][0]["models"][0]["rows"] == [["x0", 1.5]]
    assert found["model_meta"]["fitIntercept"] is True
    assert found["output"] == {"rows": 2}
    assert set(found["parameters"]) == {"DataIOParam"}
    assert found["airflow"].endswith("/tasks/dataio_0.guest_9999")
    host = _get(client, f"{DATA}/dataio_0/host/10000")
    assert (host["metrics"], host["model"], host["output"]) == ([], [], None)
    assert host["task"]["progress"] == 0.25


def test_a_component_that_has_not_begun(job: Site, client: TestClient) -> None:
    found = _get(client, f"{DATA}/intersection_0/guest/9999")
    assert found["metrics"] == found["model"] == []
    assert set(found["parameters"]) == {"IntersectParam"}


def test_rows_and_download(job: Site, client: TestClient) -> None:
    found = _get(client, f"{TASK}/rows")
    assert found["header"] == ["id", "y", "x0"]
    assert found["rows"] == [["a", 1, 0.5], ["b", 0, None]]
    assert (found["total"], found["columns"]) == (2, 3)
    answer = client.get(f"/ui/download/{JOB_ID}/dataio_0/guest/9999")
    assert "attachment" in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        member = archive.extractfile("output_data.csv")
        assert member is not None
        assert member.read().decode().splitlines() == ["id,y,x0", "a,1,0.5", "b,0,nan"]
    assert _get(client, f"{DATA}/dataio_0/host/10000/rows")["total"] == 0


def test_wide_tables_are_cut_for_the_page_only(job: Site, client: TestClient) -> None:
    names = [f"x{i}" for i in range(500)]
    table = pa.table({SID: ["a"], **{name: [1.0] for name in names}})
    job.tables.put("ns", "wide", table, TableSchema(TableKind.INSTANCES, "id", tuple(names)))
    with job.session() as session:
        tracking.save_data_view(session, GUEST, table_namespace="ns", table_name="wide")
    found = _get(client, f"{TASK}/rows")
    assert len(found["header"]) == len(found["rows"][0]) == 400
    assert found["columns"] == 501


def test_a_job_whose_files_are_gone(job: Site, client: TestClient) -> None:
    (job.settings.jobs_dir / JOB_ID / "plan.json").unlink()
    from fate_flow.operators.plans import read_plan

    read_plan.cache_clear()
    assert [one["name"] for one in _get(client, DATA)["components"]] == [
        "dataio_0",
        "intersection_0",
    ]
    assert _get(client, TASK)["parameters"] is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/ui/data/1", "can not found job: 1"),
        (f"{DATA}/nothing_0/guest/9999", "can not found component"),
        (f"{DATA}/dataio_0/guest/x", "there is no party guest x"),
        (f"{DATA}/dataio_0/%2e%2e/9999", "there is no party"),
        (f"{DATA}/dataio_0/guest/x/rows", "there is no party"),
        ("/ui/data/1/dataio_0/guest/9999", "can not found job: 1"),
        ("/ui/data/1/dataio_0/guest/9999/rows", "can not found job: 1"),
        ("/ui/data?limit=0", "limit"),
        ("/ui/data?before=x", "before"),
    ],
)
def test_what_is_not_there(job: Site, client: TestClient, path: str, text: str) -> None:
    content = client.get(path).json()
    assert content["retcode"] != 0
    assert text in content["retmsg"]
    assert "data" not in content


def test_recent_jobs_page_by_page(site: Site, client: TestClient) -> None:
    assert _get(client, "/ui/data") == {"jobs": [], "next": None}
    ids = [f"20260101120000000000{i:02d}" for i in range(5)]
    with site.session() as session:
        for created, job_id in enumerate(ids):
            add_job(session, job_id)
            for row in tracking.query_jobs(session, {"job_id": job_id}):
                row.f_create_time = created
    seen: list[str] = []
    before = ""
    while True:
        page = _get(client, f"/ui/data?limit=2{before}")
        seen += [one["id"] for one in page["jobs"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == ids[::-1]
    first = _get(client, "/ui/data")["jobs"][0]
    assert first["initiator"] == {"role": "guest", "party_id": "9999"}
    assert first["dag_id"] == f"fate_flow_{ids[-1]}"


def test_pages(client: TestClient) -> None:
    page = client.get(f"/ui/run/fate_flow_{JOB_ID}/{JOB_ID}")
    assert f'data-job="{JOB_ID}"' in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    other = client.get("/ui/run/my_dag/manual__2026-01-01T00:00:00+00:00")
    assert other.status_code == 200
    assert "not a federated job" in other.text
    assert "<code>my_dag</code>" in other.text
    deep = client.get("/ui/run/my_dag/a%2Fb")
    assert 'href="../../../"' in deep.text, "addresses stay right below a run id with slashes"
    odd = client.get("/ui/run/fate_flow_%22%3E%3Cscript%3E/x")
    assert "<script>" not in odd.text.replace("<script ", "")
    moved = client.get("/ui", follow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (307, "ui/")


def test_static_files(client: TestClient) -> None:
    current = client.get(f"/ui/static/{digest()}/job.js")
    assert current.headers["content-type"].startswith("text/javascript")
    assert "immutable" in current.headers["cache-control"]
    assert client.get("/ui/static/old/job.js").headers["cache-control"] == "no-cache"
    for name in ("nothing.js", "..%2F..%2Fpages.py", "%2Fetc%2Fpasswd", ""):
        answer = client.get(f"/ui/static/{digest()}/{name}")
        assert answer.status_code == 404, name
        assert answer.json()["retcode"] == 100
