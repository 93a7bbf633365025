from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.site import JOB_ID, Site, add_job, add_task
from tests.unit.api.test_job_routes import post


@pytest.fixture
def jobs(site: Site) -> Site:
    with site.session() as session:
        for number, status in (("1", "success"), ("2", "failed"), ("3", "running")):
            add_job(session, number, status=status)
        add_task(session, "dataio_0", job_id="2")
        add_task(session, "intersection_0", job_id="2", status="failed")
    return site


def _ids(answer: dict[str, Any]) -> list[str]:
    return [job["job_id"] for job in answer["data"]["jobs"]]


def test_jobs_by_page_filter_and_order(jobs: Site, client: TestClient) -> None:
    everything = client.post("/job/list/job").json()
    assert everything["data"]["count"] == 6
    guests = {"role": "guest", "order_by": "job_id"}
    assert _ids(post(client, "/job/list/job", guests)) == ["3", "2", "1"]
    page = post(client, "/job/list/job", {**guests, "order": "asc", "limit": 2, "page": 2})
    assert (_ids(page), page["data"]["count"]) == (["3"], 3)
    some = {**guests, "status": ["failed", "running"], "role": ["guest"]}
    assert _ids(post(client, "/job/list/job", some)) == ["3", "2"]
    one = post(client, "/job/list/job", {"job_id": "2", "role": "guest", "party_id": "9999"})
    row = one["data"]["jobs"][0]
    assert row["roles"] == {"guest": [9999], "host": [10000]}
    assert row["initiator_role"] == "guest"
    assert row["dsl"]["components"].keys() == {"dataio_0", "intersection_0"}
    assert not [key for key in row if key.startswith("f_")]


def test_bad_pages(jobs: Site, client: TestClient) -> None:
    wrong = post(client, "/job/list/job", {"limit": "many"})
    assert wrong["retmsg"] == "limit: found 'many'; allowed: an integer"
    nested = post(client, "/job/list/job", {"status": [{"a": 1}]})
    assert nested["retmsg"].startswith("status: found a list of other values")
    odd = {"order_by": "nothing; drop table", "limit": -5, "page": -1}
    assert post(client, "/job/list/job", odd)["data"]["count"] == 6
    assert post(client, "/job/list/job", {"page": 2**62})["data"]["jobs"] == []


def test_tasks(jobs: Site, client: TestClient) -> None:
    body = {"job_id": "2", "component_name": "intersection_0", "limit": 1, "order_by": "x"}
    data = post(client, "/job/list/task", body)["data"]
    assert data["count"] == 1
    assert data["tasks"][0]["status"] == "failed"


def test_components_and_their_summary(jobs: Site, client: TestClient) -> None:
    listed = post(client, "/tracking/component/list", {"job_id": "1"})
    assert listed["data"] == {"components": ["dataio_0", "intersection_0"]}
    assert post(client, "/tracking/component/list", {"job_id": "9"})["retcode"] == 100
    with jobs.session() as session:
        scope = TaskScope("1", "dataio_0", "guest", "9999")
        store.add_metrics(session, scope, "train", "loss", [[0, 0.7], [1, 0.5]], {})
        store.add_metrics(session, scope, "train", "lr_0", [["auc", 0.9], ["ks", 0.8]], {})
    body = {"job_id": "1", "component_name": "dataio_0"}
    summary = post(client, "/tracking/component/summary/download", body)
    assert summary["data"] == {"train": {"loss": 0.5, "lr_0": {"auc": 0.9, "ks": 0.8}}}
    empty = {"retcode": 0, "retmsg": "success"}
    other = {**body, "component_name": "intersection_0"}
    assert post(client, "/tracking/component/summary/download", other) == empty


def test_versions_of_the_server(client: TestClient) -> None:
    for path in ("/version/get", "/server/version/get"):
        assert client.post(path).json()["data"]["FATE"] == "1.4.0"
        assert post(client, path, {"module": "API"})["data"] == {"API": "v1"}


def test_other_operations_on_tables_are_bare_successes(client: TestClient) -> None:
    assert post(client, "/table/whatever", {}) == {"retcode": 0, "retmsg": "success"}


def test_a_derived_name_is_the_newest_version_s(site: Site, client: TestClient) -> None:
    from fate_flow.data.upload import upload

    namespace = "guest#9999#all#train"
    file = site.settings.home / "rows.csv"
    file.write_text("id,x0\n1,2\n")
    body = {
        "gen_table_info": True,
        "local": {"role": "guest", "party_id": 9999},
        "data_type": "train",
    }
    unknown = post(client, "/table/table_info", body)["data"]
    assert (unknown["namespace"], unknown["table_name"]) == (namespace, None)
    upload(site.tables, file, namespace, "first", head=True, partitions=1, in_version=True)
    data = post(client, "/table/table_info", body)["data"]
    assert data == {"namespace": namespace, "table_name": "first", "count": 1, "partition": 1}
    drawn = post(client, "/table/table_info", {**body, "create": True})["data"]
    assert (len(drawn["table_name"]), drawn["count"], drawn["partition"]) == (32, 0, None)
    version = {"namespace": namespace, "name": "second", "version_log": "by hand"}
    assert post(client, "/model/version/save", version)["retcode"] == 0
    assert post(client, "/table/table_info", body)["data"]["table_name"] == "second"
    role = {"role": {"host": [10000], "guest": [9999]}}
    named = post(client, "/table/table_info", {**body, **role})["data"]
    assert named["namespace"] == "guest#9999#guest-9999#host-10000#train"


def test_a_job_in_dsl_version_2_is_refused(client: TestClient) -> None:
    conf = {"dsl_version": 2, "initiator": {"role": "guest", "party_id": 1}, "role": {"guest": [1]}}
    answer = post(client, "/job/submit", {"job_dsl": {}, "job_runtime_conf": conf})
    assert answer["retcode"] == 100
    assert "job_runtime_conf.dsl_version: found 2; allowed: 1" in answer["retmsg"]


def test_tables_are_deleted_by_filters(site: Site, client: TestClient) -> None:
    import pyarrow as pa

    from fate_flow.data.table import SID, VALUE, TableKind, TableSchema

    with site.session() as session:
        add_job(session)
        for component in ("dataio_0", "intersection_0"):
            for role, party in (("guest", "9999"), ("host", "10000")):
                scope = TaskScope(JOB_ID, component, role, party)
                address = (f"output_data_{scope.task_id}", f"{component}_{role}_{party}")
                rows = pa.table({SID: ["1"], VALUE: ["2"]})
                site.tables.put(*address, rows, TableSchema(TableKind.RAW))
                store.save_data_view(
                    session, scope, table_namespace=address[0], table_name=address[1]
                )
    one = {"job_id": JOB_ID, "role": "guest", "party_id": 9999, "component_name": "dataio_0"}
    gone = post(client, "/table/delete", one)
    names = {"namespace": f"output_data_{JOB_ID}_dataio_0", "table_name": "dataio_0_guest_9999"}
    assert gone == {"retcode": 0, "retmsg": "success", "data": [names]}
    assert post(client, "/table/delete", one) == {"retcode": 101, "retmsg": "failed"}
    rest = post(client, "/table/delete", {"job_id": JOB_ID})
    assert len(rest["data"]) == 3
    none = {"retcode": 101, "retmsg": "no find table"}
    assert post(client, "/table/delete", {"job_id": "unknown"}) == none
    assert post(client, "/table/delete", {"nonsense": 1}) == none
