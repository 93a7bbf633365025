"""FATE 1.4's example jobs and recorded jobs, submitted to a live site as a user submits them.

By default the long ones are shortened to two iterations and a 1024-bit key, nothing else;
with ``FATE_FLOW_TEST_EXAMPLES=full`` in the environment they run as they are (an hour on two
cores). One job of each kind runs as it is in any case.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.breast import golden_run
from tests.support.live_site import LiveSite
from tests.support.reference import reference_path
from tests.support.shapes import differences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

IS_FULL = os.environ.get("FATE_FLOW_TEST_EXAMPLES") == "full"
JOB_SECONDS = 3000.0 if IS_FULL else 600.0

#: What the reference's users upload before: file of the upload's conf, relative to ``dsl``.
UPLOADS = (
    "fate_flow/upload_guest.json",
    "fate_flow/upload_host.json",
    "hetero_logistic_regression/upload_data_guest.json",
    "hetero_logistic_regression/upload_data_host.json",
    "hetero_logistic_regression/upload_vehicle_guest.json",
    "hetero_logistic_regression/upload_vehicle_host.json",
)
TRAIN, VALIDATE, FOLDS = ("test_hetero_lr_train", "test_hetero_lr_validate", "test_hetero_lr_cv")
#: conf -> DSL, as the reference's test suite pairs them.
EXAMPLES = {
    "test_hetero_lr_none_penalty_train_job_conf": TRAIN,
    "test_hetero_lr_sparse_train_job_conf": TRAIN,
    "test_hetero_lr_one_vs_rest_job_conf": TRAIN,
    "test_hetero_lr_sqn_job_conf": TRAIN,
    "test_hetero_lr_sparse_sqn_train_job_conf": TRAIN,
    "test_hetero_lr_ovr_sqn_job_conf": TRAIN,
    "test_multi_host_job_conf": TRAIN,
    "test_spark_backend_job_conf": TRAIN,
    "test_hetero_lr_validate_job_conf": VALIDATE,
    "test_hetero_lr_early_stop_train_job_conf": VALIDATE,
    "test_lr_with_feature_engineering_job_conf": "test_lr_with_feature_engineering",
    "test_hetero_lr_cv_job_conf": FOLDS,
    "test_hetero_lr_cv_sparse_job_conf": FOLDS,
    "test_hetero_lr_cv_ovr_job_conf": FOLDS,
}


def _dsl_folder() -> Path:
    return reference_path("examples-1.4", "dsl")


def _read(*parts: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_dsl_folder().joinpath(*parts).read_text())
    return document


@pytest.fixture(scope="module")
def site(live_site: LiveSite) -> LiveSite:
    """The live site with the tables of the examples."""
    for name in UPLOADS:
        upload = _read(name)
        file = reference_path("examples-1.4", "data", Path(upload["file"]).name)
        live_site.upload(file, upload["namespace"], upload["table_name"], head=upload["head"])
    return live_site


def _summary(site: LiveSite, job_id: str, party_id: int = 10000) -> dict[str, float]:
    found = site.client.all_metrics(job_id, "evaluation_0", "guest", party_id)
    return dict(found["train"]["hetero_lr_0"]["data"])


def _losses(site: LiveSite, job_id: str) -> list[float]:
    found = site.client.all_metrics(job_id, "hetero_lr_0", "arbiter", 10000)
    return [value for _, value in found["train"]["loss"]["data"]]


def _shortened(conf: dict[str, Any]) -> dict[str, Any]:
    if not IS_FULL:
        parameters = conf["algorithm_parameters"]["hetero_lr_0"]
        parameters["max_iter"] = 2
        parameters["encrypt_param"] = {"method": "Paillier", "key_length": 1024}
    return conf


def test_fate_flows_own_example_runs_as_it_is(site: LiveSite) -> None:
    """DataIO → binning → selection → HeteroLR → Evaluation, without an intersection.

    It trains on the numbers of bins for three iterations only, from random weights: the loss
    falls from hundreds, the AUC says nothing yet.
    """
    dsl = _read("fate_flow", "test_hetero_lr_job_dsl.json")
    conf = _read("fate_flow", "test_hetero_lr_job_conf.json")
    job_id = site.finish(dsl, conf, JOB_SECONDS)
    assert {"auc", "ks"} <= set(_summary(site, job_id, 9999))
    losses = _losses(site, job_id)
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)


def test_the_training_example_runs_as_it_is(site: LiveSite) -> None:
    folder = "hetero_logistic_regression"
    dsl, conf = _read(folder, f"{TRAIN}_job_dsl.json"), _read(folder, f"{TRAIN}_job_conf.json")
    job_id = site.finish(dsl, conf, JOB_SECONDS)
    summary = _summary(site, job_id)
    assert summary["auc"] > 0.98
    assert summary["ks"] > 0.88
    losses = _losses(site, job_id)
    assert 3 < len(losses) <= 30
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_other_example_runs(site: LiveSite, name: str) -> None:
    folder = "hetero_logistic_regression"
    dsl_name = EXAMPLES[name]
    suffix = "_dsl.json" if dsl_name.endswith("engineering") else "_job_dsl.json"
    dsl, conf = _read(folder, dsl_name + suffix), _shortened(_read(folder, f"{name}.json"))
    job_id = site.finish(dsl, conf, JOB_SECONDS)
    rows = site.client.query_jobs(job_id=job_id)
    assert all(row["f_progress"] == 100 for row in rows)
    tasks = site.client.query_tasks(job_id=job_id)
    assert {t["f_status"] for t in tasks} == {"success"}
    if dsl_name == FOLDS:
        metrics = site.client.metrics(job_id, "hetero_lr_0", "guest", 10000)
        assert metrics, "folds leave their metrics"
    elif "ovr" not in name and "one_vs_rest" not in name:
        # Two iterations from random weights say little.
        assert _summary(site, job_id)["auc"] > (0.7 if IS_FULL else 0.55)
    site.nothing_left(job_id)


def test_all_confs_of_the_folder_are_tried() -> None:
    """The rest needs a table that the examples have no data of, or a trained model."""
    found = {path.stem for path in _dsl_folder().glob("hetero_logistic_regression/*_conf.json")}
    rest = {"test_hetero_lr_train_job_conf", "test_hetero_lr_tag_job_conf", "test_predict_conf"}
    assert found == set(EXAMPLES) | rest


def test_a_prediction_with_the_trained_model(site: LiveSite) -> None:
    """``test_predict_conf.json`` with the model that a shortened training made."""
    folder = "hetero_logistic_regression"
    dsl = _read(folder, f"{TRAIN}_job_dsl.json")
    conf = _read(folder, f"{TRAIN}_job_conf.json")
    conf["algorithm_parameters"]["hetero_lr_0"].update(
        max_iter=2, encrypt_param={"method": "Paillier", "key_length": 1024}
    )
    trained = site.client.submit_job(dsl, conf)
    site.must_succeed(trained.job_id, JOB_SECONDS)
    predict = _read(folder, "test_predict_conf.json")
    predict["job_parameters"].update(model_id=trained.model_id, model_version=trained.model_version)
    job_id = site.finish(None, predict, JOB_SECONDS)
    rows = site.client.output_data(job_id, "hetero_lr_0", "guest", 10000).rows
    expected = site.client.output_data(trained.job_id, "hetero_lr_0", "guest", 10000).rows
    scores = {row[0]: float(row[3]) for row in expected}
    assert rows
    for row in rows:
        assert float(row[3]) == pytest.approx(scores[row[0]], abs=1e-9)
        assert row[-1] == "predict"


@pytest.mark.parametrize("name", ["lr_adam_-1_L2", "lr_sgd_-1_L1", "lr_sgd_-1_L2"])
def test_recorded_runs_are_met_through_airflow(site: LiveSite, name: str) -> None:
    """Weights, losses, AUC and KS of the reference's own run of the same job, within 1e-4."""
    golden = golden_run(name)
    folder = "hetero_logistic_regression"
    dsl, conf = _read(folder, f"{TRAIN}_job_dsl.json"), _read(folder, f"{TRAIN}_job_conf.json")
    conf["algorithm_parameters"] = {
        "intersection_0": {"intersect_method": "raw"},
        "hetero_lr_0": {
            **golden["conf"],
            "encrypt_param": {"method": "Paillier", "key_length": 1024},
        },
    }
    job_id = site.finish(dsl, conf, JOB_SECONDS)
    for role in ("guest", "host"):
        model, _ = site.client.output_model(job_id, "hetero_lr_0", role, 10000)
        wanted = golden[role]
        assert model["header"] == wanted["header"]
        assert model["iters"] == wanted["iters"]
        assert model["isConverged"] == wanted["isConverged"]
        assert float(model["intercept"]) == pytest.approx(wanted["intercept"], abs=1e-4)
        for column, value in wanted["weight"].items():
            assert float(model["weight"][column]) == pytest.approx(value, abs=1e-4), column
    metrics = site.client.all_metrics(job_id, "hetero_lr_0", "arbiter", 10000)
    loss, recorded = metrics["train"]["loss"], golden["loss"]["train"]["loss"]
    assert loss["meta"] == recorded["meta"]
    assert [point[0] for point in loss["data"]] == [point[0] for point in recorded["data"]]
    for (_, value), (_, wanted_value) in zip(loss["data"], recorded["data"], strict=True):
        assert value == pytest.approx(wanted_value, abs=1e-4)
    summary, wanted_summary = _summary(site, job_id), dict(golden["evaluation"]["data"])
    assert summary["auc"] == pytest.approx(wanted_summary["auc"], abs=1e-4)
    assert summary["ks"] == pytest.approx(wanted_summary["ks"], abs=1e-3)


RECORDED = ("golden-1.4", "hetero_logistic_regression.lr")


@pytest.fixture(scope="module")
def recorded_job(site: LiveSite) -> str:
    dsl, conf = (
        json.loads(reference_path(*RECORDED, f"{part}.json").read_text())
        for part in ("dsl", "conf")
    )
    parameters = conf["algorithm_parameters"]["hetero_lr_0"]
    parameters["encrypt_param"] = {"method": "Paillier", "key_length": 1024}
    return site.finish(dsl, conf, JOB_SECONDS)


def test_the_recorded_job_reaches_an_auc_like_the_recorded_one(
    site: LiveSite, recorded_job: str
) -> None:
    """Three iterations from random weights, where the reference got 0.9736, KS 0.852.

    The same algorithm in the clear, from 300 random beginnings, gives 0.960 to 0.978 (median
    0.9715): one run can be held to that range only. The runs without randomness are held to
    the recorded numbers above.
    """
    summary = _summary(site, recorded_job)
    assert 0.957 < summary["auc"] < 0.982
    assert summary["ks"] > 0.78


def test_all_answers_about_the_recorded_job_look_as_recorded(
    site: LiveSite, recorded_job: str
) -> None:
    """Every component at every party, those without output or metrics too."""
    folder = reference_path(*RECORDED)
    found: list[str] = []

    def check(path: str, file: Path, **body: Any) -> None:
        url, question = f"{site.url}/v1/{path}", {"job_id": recorded_job, **body}
        answer = requests.post(url, json=question, timeout=60).json()
        name = str(file.relative_to(folder))
        found.extend(name + text for text in differences(answer, json.loads(file.read_text())))

    check("job/query", folder / "query_job.json")
    check("job/task/query", folder / "query_task.json")
    check("job/data/view/query", folder / "job_data_view_query.json")
    for role in ("guest", "host", "arbiter"):
        party = {"role": role, "party_id": 10000}
        check("job/config", folder / f"job_config_{role}_10000.json", **party)
        check("pipeline/dag/dependency", folder / f"dag_dependency_{role}_10000.json", **party)
        check(
            "tracking/job/data_view", folder / f"tracking_job_data_view_{role}_10000.json", **party
        )
        for component in ("dataio_0", "intersection_0", "hetero_lr_0", "evaluation_0"):
            for file in folder.glob(f"components/{component}/{role}_10000/*.json"):
                if file.stem in ANSWERS:
                    check(ANSWERS[file.stem], file, component_name=component, **party)
    # The length of the key, which is set above, is no part of the recorded conf.
    assert [
        text for text in found if ".runtime_conf." not in text or "encrypt_param" not in text
    ] == []


#: Name of a recording -> the route that was asked.
ANSWERS = {
    "metrics": "tracking/component/metrics",
    "metric_all": "tracking/component/metric/all",
    "output_model": "tracking/component/output/model",
    "output_data": "tracking/component/output/data",
    "output_data_table": "tracking/component/output/data/table",
    "parameters": "tracking/component/parameters",
}
