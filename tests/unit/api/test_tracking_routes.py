from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fate_flow.data.table import LABEL, SID, TableKind, TableSchema
from fate_flow.dsl.parser import compile_plan
from fate_flow.models.proto.feature_binning_meta_pb2 import FeatureBinningMeta
from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningParam
from fate_flow.operators.plans import write_plan
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.site import CONF, DSL, JOB_ID, MODEL_ID, Site, add_job
from tests.unit.api.test_job_routes import post

SCOPE = TaskScope(JOB_ID, "dataio_0", "guest", "9999")
BODY = {"job_id": JOB_ID, "component_name": "dataio_0", "role": "guest", "party_id": 9999}


@pytest.fixture
def job(site: Site) -> Site:
    """A job with its plan."""
    with site.session() as session:
        add_job(session)
    write_plan(site.settings.jobs_dir, JOB_ID, compile_plan(DSL, CONF))
    return site


def _add_loss(site: Site) -> None:
    with site.session() as session:
        meta = {"name": "train", "metric_type": "LOSS"}
        store.add_metrics(session, SCOPE, "train", "loss", [(1, 0.5), (0, float("nan"))], meta)


def test_metrics(job: Site, client: TestClient) -> None:
    assert post(client, "/tracking/component/metrics", BODY) == {"retcode": 0, "retmsg": "no data"}
    _add_loss(job)
    assert post(client, "/tracking/component/metrics", BODY)["data"] == {"train": ["loss"]}
    metric = {"metric_namespace": "train", "metric_name": "loss"}
    answer = post(client, "/tracking/component/metric_data", {**BODY, **metric})
    assert answer["data"] == [[0, None], [1, 0.5]]
    assert answer["meta"] == {"name": "train", "metric_type": "LOSS"}
    everything = post(client, "/tracking/component/metric/all", BODY)["data"]
    assert everything["train"]["loss"]["meta"]["metric_type"] == "LOSS"


def test_a_metric_without_a_meta_has_its_two_keys(job: Site, client: TestClient) -> None:
    with job.session() as session:
        store.add_metrics(session, SCOPE, "train", "loss", [(0, 0.5)])
    meta = {"name": None, "metric_type": None}
    found = post(client, "/tracking/component/metric/all", BODY)["data"]["train"]["loss"]
    assert found == {"data": [[0, 0.5]], "meta": meta}
    body = {**BODY, "metric_namespace": "train", "metric_name": "loss"}
    assert post(client, "/tracking/component/metric_data", body)["meta"] == meta


def test_role_and_party_default_to_the_initiators(job: Site, client: TestClient) -> None:
    _add_loss(job)
    short = {"job_id": JOB_ID, "component_name": "dataio_0"}
    assert post(client, "/tracking/component/metrics", short)["data"] == {"train": ["loss"]}
    one = post(client, "/tracking/component/metrics", {**short, "role": "guest"})
    assert one["retmsg"] == "the following arguments are required: party_id "


def test_metric_delete(job: Site, client: TestClient) -> None:
    _add_loss(job)
    path, names = "/tracking/component/metric/delete", "/tracking/component/metrics"
    kept = post(client, path, {**BODY, "role": "host"})
    assert kept.keys() == {"retcode", "retmsg", "data"}
    assert kept["data"].startswith("DELETE FROM t_tracking_metric WHERE")
    assert f"f_job_id = '{JOB_ID}'" in kept["data"]
    assert "f_role = 'host'" in kept["data"]
    assert post(client, names, BODY)["data"] == {"train": ["loss"]}
    gone = post(client, path, {"model": JOB_ID[:8]})
    assert f"LIKE '{JOB_ID[:8]}' || '%'" in gone["data"]
    assert post(client, names, BODY) == {"retcode": 0, "retmsg": "no data"}
    quoted = post(client, path, {"job_id": "x'; drop table t_job; --"})
    assert "f_job_id = 'x''; drop table t_job; --'" in quoted["data"]
    wrong = post(client, "/tracking/component/metric/delete", {"model": "%"})
    assert wrong["retmsg"] == "model: found '%'; allowed: a day as YYYYMMDD"
    assert post(client, "/tracking/component/metric/delete", {})["retcode"] == 100


def test_job_data_view(job: Site, client: TestClient) -> None:
    view = {"partner": {"host": [10000]}, "roles": {}, "dataset": {}}
    with job.session() as session:
        store.save_job_view(session, JOB_ID, "guest", 9999, view)
    answer = post(client, "/tracking/job/data_view", {**BODY, "party_id": "9999"})
    assert answer["data"] == {**view, "model_summary": {"job": {"job_view": {}}}}


def test_parameters_of_the_plan(job: Site, client: TestClient) -> None:
    answer = post(client, "/tracking/component/parameters", BODY)
    assert answer["data"]["module"] == "DataIO"
    assert list(answer["data"]) == ["DataIOParam", "module"]
    assert answer["data"]["DataIOParam"]["input_format"] == "dense"
    arbiter = post(client, "/tracking/component/parameters", {**BODY, "role": "arbiter"})
    assert arbiter == {"retcode": 0, "retmsg": "can not found this component parameters"}
    unknown = post(client, "/tracking/component/parameters", {**BODY, "component_name": "x"})
    assert unknown["retcode"] == 100
    assert "dataio_0, intersection_0" in unknown["retmsg"]


def test_dag_dependency(job: Site, client: TestClient) -> None:
    body = {"job_id": JOB_ID, "role": "guest", "party_id": 9999}
    data = post(client, "/pipeline/dag/dependency", body)["data"]
    assert data["component_list"] == ["dataio_0", "intersection_0"]
    assert data["dependencies"] == {
        "intersection_0": [{"component_name": "dataio_0", "type": "data"}]
    }
    documents = {**body, "job_id": None, "job_dsl": DSL, "job_runtime_conf": CONF}
    assert post(client, "/pipeline/dag/dependency", documents)["data"] == data
    stranger = post(client, "/pipeline/dag/dependency", {**body, "party_id": 1})
    assert "party id 1 is unknown" in stranger["retmsg"]
    gone = post(client, "/pipeline/dag/dependency", {**body, "job_id": "../../etc"})
    assert gone["retcode"] == 100
    assert gone["retmsg"] == "query job ../../etc failed"


def test_output_model(job: Site, client: TestClient) -> None:
    nothing = post(client, "/tracking/component/output/model", BODY)
    assert nothing == {"retcode": 0, "retmsg": "no data"}
    buffers = {
        "FeatureBinningMeta": FeatureBinningMeta(bin_num=10),
        "FeatureBinningParam": FeatureBinningParam(header=["x0"]),
    }
    address = (f"guest#9999#{MODEL_ID}", JOB_ID)
    job.models.save(*address, "dataio_0", "DataIO", "dataio", buffers)
    answer = post(client, "/tracking/component/output/model", BODY)
    assert answer["data"] == {"header": ["x0"], "hostResults": []}
    assert answer["meta"]["module_name"] == "DataIO"
    assert answer["meta"]["meta_data"]["binNum"] == "10"


def _add_output(site: Site, rows: int = 250) -> None:
    ids = [str(number) for number in range(rows)]
    data = pa.table({SID: ids, LABEL: [n % 2 for n in range(rows)], "x0": [0.5] * rows})
    schema = TableSchema(TableKind.INSTANCES, "id", ("x0",), "y")
    site.tables.put(f"output_data_{SCOPE.task_id}", "t", data, schema)
    with site.session() as session:
        store.save_data_view(
            session, SCOPE, table_name="t", table_namespace=f"output_data_{SCOPE.task_id}"
        )


def test_output_data(job: Site, client: TestClient) -> None:
    path = "/tracking/component/output/data"
    assert post(client, path, BODY) == {"retcode": 0, "retmsg": "no data"}
    _add_output(job)
    answer = post(client, path, BODY)
    assert len(answer["data"]) == 100
    assert answer["data"][1] == ["1", 1, 0.5]
    assert answer["meta"] == {"header": ["id", "y", "x0"], "total": 250}
    table = post(client, f"{path}/table", BODY)
    assert table["data"] == {"table_name": "t", "table_namespace": f"output_data_{SCOPE.task_id}"}
    wrong = post(client, path, {**BODY, "component_name": "nope"})
    assert wrong["retcode"] == 100
    assert "allowed: dataio_0, intersection_0" in wrong["retmsg"]


def _download(client: TestClient, **extra: Any) -> Any:
    path = "/tracking/component/output/data/download"
    return client.request("GET", path, json={**BODY, **extra})


def test_output_data_download(job: Site, client: TestClient) -> None:
    missing = _download(client)
    assert missing.status_code == 500
    assert missing.json() == {"retcode": 500, "retmsg": "no data"}
    _add_output(job)
    assert _download(client, limit=0).json() == {"retcode": 500, "retmsg": "limit is 0"}
    answer = _download(client, limit=2)
    name = f"job_{JOB_ID}_dataio_0_guest_9999_output_data.tar.gz"
    assert answer.headers["content-disposition"].endswith(name)
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:gz") as archive:
        csv, meta = (archive.extractfile(n) for n in archive.getnames())
        assert csv is not None
        assert csv.read() == b"id,y,x0\n0,0,0.5\n1,1,0.5\n"
        assert meta is not None
        assert json.load(meta) == {"header": ["id", "y", "x0"]}
    assert list((job.settings.storage_root / "tmp").iterdir()) == []


def test_output_table_asked_for_by_the_job_alone(job: Site, client: TestClient) -> None:
    question = ("/tracking/component/output/data/table", {"job_id": JOB_ID})
    with job.session() as session:
        pipeline = TaskScope(JOB_ID, "a_pipeline", "guest", "9999")
        store.save_data_view(session, pipeline, party_model_id="m", model_version=JOB_ID)
    answer = post(client, *question)
    assert answer["data"] == {"table_name": "", "table_namespace": ""}, "as 1.4"
    with job.session() as session:
        store.save_data_view(session, SCOPE, table_name="t", table_namespace="n")
    assert post(client, *question)["data"] == {"table_name": "t", "table_namespace": "n"}
