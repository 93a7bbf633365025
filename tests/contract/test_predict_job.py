"""A training job, then predict jobs with its model: submitted as users do, run in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fate_flow.cli.client import main as fate_flow_client
from fate_flow.data.table import SID, VALUE, TableKind, TableSchema
from tests.support.local_jobs import keep_jobs_waiting, run_job
from tests.support.serving import http_server
from tests.support.site import DSL as INTERSECTION
from tests.support.site import Site
from tests.unit.api.test_job_routes import post

ROWS = 60
DSL: dict[str, Any] = {
    "components": {
        **INTERSECTION["components"],
        "scale_0": {
            "module": "FeatureScale",
            "input": {"data": {"data": ["intersection_0.train"]}},
            "output": {"data": ["train"], "model": ["scale"]},
        },
        "hetero_lr_0": {
            "module": "HeteroLR",
            "input": {"data": {"train_data": ["scale_0.train"]}},
            "output": {"data": ["train"], "model": ["lr"]},
        },
        "evaluation_0": {
            "module": "Evaluation",
            "input": {"data": {"data": ["hetero_lr_0.train"]}},
        },
    }
}
ROLE = {"guest": [9999], "host": [10000], "arbiter": [10000]}


def _args(key: str, table: str) -> dict[str, Any]:
    return {"args": {"data": {key: [{"name": table, "namespace": "n"}]}}}


TRAIN: dict[str, Any] = {
    "initiator": {"role": "guest", "party_id": 9999},
    "job_parameters": {"work_mode": 0},
    "role": ROLE,
    "role_parameters": {
        "guest": {
            **_args("train_data", "guest"),
            "dataio_0": {"with_label": [True], "label_name": ["y"], "label_type": ["int"]},
        },
        "host": {
            **_args("train_data", "host"),
            "dataio_0": {"with_label": [False]},
            "evaluation_0": {"need_run": [False]},
        },
    },
    "algorithm_parameters": {
        "intersection_0": {"intersect_method": "raw"},
        "hetero_lr_0": {
            "max_iter": 3,
            "learning_rate": 0.3,
            "encrypt_param": {"method": "Paillier", "key_length": 1024},
        },
    },
}


def _tables(site: Site) -> None:
    random = np.random.default_rng(5)
    # FATE's FeatureScale keeps six digits of a column's range: more would be lost in its model.
    features = random.normal(size=(ROWS, 4)).round(4)
    labels = (features @ [1.0, -2.0, 1.5, 0.5] + random.normal(size=ROWS) > 0).astype(int)
    ids = [f"u{number:03d}" for number in range(ROWS)]

    def put(name: str, header: tuple[str, ...], columns: list[Any], rows: slice) -> None:
        lines = [",".join(map(str, values)) for values in zip(*columns, strict=True)][rows]
        data = pa.table({SID: ids[rows], VALUE: lines})
        site.tables.put("n", name, data, TableSchema(TableKind.RAW, "id", header))

    guest = [labels.tolist(), *features[:, :2].T.tolist()]
    host = features[:, 2:].T.tolist()
    put("guest", ("y", "x0", "x1"), guest, slice(0, 50))
    put("host", ("z0", "z1"), host, slice(0, 50))
    put("guest_new", ("y", "x0", "x1"), guest, slice(40, 60))
    put("host_new", ("z0", "z1"), host, slice(40, 60))


@pytest.fixture
def trained(
    site: Site, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The answer to a training job that has run."""
    keep_jobs_waiting(monkeypatch)
    _tables(site)
    answer = post(client, "/job/submit", {"job_dsl": DSL, "job_runtime_conf": TRAIN})
    assert answer["retcode"] == 0, answer
    run_job(site, answer["jobId"], tmp_path / "work")
    return answer


def _predict_conf(trained: dict[str, Any], guest: str, host: str) -> dict[str, Any]:
    return {
        "initiator": TRAIN["initiator"],
        "job_parameters": {
            "work_mode": 0,
            "job_type": "predict",
            **trained["data"]["model_info"],
        },
        "role": ROLE,
        "role_parameters": {
            "guest": _args("eval_data", guest),
            "host": _args("eval_data", host),
        },
    }


def _scores(client: TestClient, job_id: str) -> dict[str, list[Any]]:
    body = {"job_id": job_id, "component_name": "hetero_lr_0", "role": "guest", "party_id": 9999}
    rows = post(client, "/tracking/component/output/data", body)["data"]
    return {row[0]: row[1:] for row in rows}


def test_scores_of_the_same_rows_are_equal_to_the_last_bit(
    site: Site, client: TestClient, trained: dict[str, Any], tmp_path: Path
) -> None:
    conf = _predict_conf(trained, "guest", "host")
    answer = post(client, "/job/submit", {"job_dsl": {}, "job_runtime_conf": conf})
    assert answer["retcode"] == 0, answer
    assert answer["data"]["model_info"] == trained["data"]["model_info"]
    plan = run_job(site, answer["jobId"], tmp_path / "work")
    assert [component.name for component in plan.components] == list(DSL["components"])[:-1]
    before, after = _scores(client, trained["jobId"]), _scores(client, answer["jobId"])
    assert len(before) == 50
    assert {sid: row[:-1] for sid, row in after.items()} == {
        sid: row[:-1] for sid, row in before.items()
    }
    assert {row[-1] for row in before.values()} == {"train"}
    assert {row[-1] for row in after.values()} == {"predict"}
    rows = post(client, "/job/query", {"job_id": answer["jobId"]})["data"]
    assert {row["f_status"] for row in rows} == {"success"}
    assert json.loads(rows[0]["f_train_runtime_conf"])["role"] == ROLE


def test_new_rows_by_the_command_line_without_a_dsl(
    site: Site,
    client: TestClient,
    trained: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    conf = tmp_path / "predict.json"
    conf.write_text(json.dumps(_predict_conf(trained, "guest_new", "host_new")))
    with http_server(site.app) as port:
        address = f"127.0.0.1:{port}"
        assert fate_flow_client(["-f", "submit_job", "-c", str(conf), "--address", address]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["retcode"] == 0, answer
    run_job(site, answer["jobId"], tmp_path / "work")
    scores = _scores(client, answer["jobId"])
    assert sorted(scores) == [f"u{number:03d}" for number in range(40, 60)]
    known = _scores(client, trained["jobId"])
    assert all(scores[sid][:4] == known[sid][:4] for sid in known if sid in scores)


def test_a_predict_job_leaves_the_model_as_it_was(
    site: Site, client: TestClient, trained: dict[str, Any], tmp_path: Path
) -> None:
    info = trained["data"]["model_info"]
    names = [f"{role}#{ids[0]}#{info['model_id']}" for role, ids in ROLE.items()]
    before = [site.models.load_all(name, info["model_version"]) for name in names]
    conf = _predict_conf(trained, "guest_new", "host_new")
    job_id = post(client, "/job/submit", {"job_dsl": {}, "job_runtime_conf": conf})["jobId"]
    run_job(site, job_id, tmp_path / "work")
    assert [site.models.load_all(name, info["model_version"]) for name in names] == before
    assert any(key.startswith("hetero_lr_0.lr:") for key in before[0])


def test_what_the_routes_say_about_a_predict_job(
    site: Site, client: TestClient, trained: dict[str, Any], tmp_path: Path
) -> None:
    conf = _predict_conf(trained, "guest_new", "host_new")
    job_id = post(client, "/job/submit", {"job_dsl": {}, "job_runtime_conf": conf})["jobId"]
    run_job(site, job_id, tmp_path / "work")
    lr = {"job_id": job_id, "component_name": "hetero_lr_0", "role": "guest", "party_id": 9999}
    trained_lr = {**lr, "job_id": trained["jobId"]}
    for path in ("parameters", "output/model"):
        answer = post(client, f"/tracking/component/{path}", lr)
        assert answer == post(client, f"/tracking/component/{path}", trained_lr)
    party = {"job_id": job_id, "role": "guest", "party_id": 9999}
    graph = post(client, "/pipeline/dag/dependency", party)["data"]
    assert graph["component_list"] == ["dataio_0", "intersection_0", "scale_0", "hetero_lr_0"]
    assert graph["dependencies"]["hetero_lr_0"] == [{"component_name": "scale_0", "type": "data"}]
    view = post(client, "/tracking/job/data_view", party)["data"]
    assert view["dataset"]["host"] == {"10000": {"eval_data": "n.host_new"}}
    config = post(client, "/job/config", party)["data"]
    documents = {
        "job_dsl": config["dsl"],
        "job_runtime_conf": config["runtime_conf"],
        "job_train_runtime_conf": config["train_runtime_conf"],
    }
    by_documents = {"role": "guest", "party_id": 9999, **documents}
    assert post(client, "/pipeline/dag/dependency", by_documents)["data"] == graph


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model_version": "2"}, "there is no model arbiter-10000#guest-9999#host-10000#model"),
        ({"model_id": ""}, "job_runtime_conf.job_parameters.model_id: missing"),
        ({"model_id": "../.."}, "model_id: found 'guest#9999#../..'"),
    ],
)
def test_predict_jobs_that_name_no_model(
    site: Site, client: TestClient, trained: dict[str, Any], change: dict[str, str], text: str
) -> None:
    conf = _predict_conf(trained, "guest", "host")
    conf["job_parameters"].update(change)
    answer = post(client, "/job/submit", {"job_dsl": {}, "job_runtime_conf": conf})
    assert answer["retcode"] == 100
    assert text in answer["retmsg"]


def test_a_predict_job_with_a_table_that_is_not_there(
    client: TestClient, trained: dict[str, Any]
) -> None:
    conf = _predict_conf(trained, "guest", "lost")
    answer = post(client, "/job/submit", {"job_dsl": {}, "job_runtime_conf": conf})
    assert "host 10000 has no table 'lost' in namespace 'n'" in answer["retmsg"]
