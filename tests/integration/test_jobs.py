"""The main job on a live site: federated training in Airflow, and every result of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_jobs import (
    ARBITER,
    GUEST,
    HOST,
    long_job,
    main_job,
    upload_breast,
    weights,
)
from tests.support.live_site import LiveSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMPONENTS = (
    "dataio_0",
    "intersection_0",
    "hetero_feature_binning_0",
    "hetero_feature_selection_0",
    "hetero_lr_0",
    "evaluation_0",
)


@pytest.fixture(scope="module")
def done(live_site: LiveSite) -> tuple[LiveSite, str]:
    """The site with a main job that has succeeded."""
    upload_breast(live_site)
    return live_site, live_site.finish(*main_job(max_iter=10))


def _metric(answer: dict[str, Any], *path: str) -> Any:
    for step in path:
        answer = answer[step]
    return answer


def test_rows_of_all_parties_and_tasks(done: tuple[LiveSite, str]) -> None:
    site, job_id = done
    rows = site.client.query_jobs(job_id=job_id)
    assert {(r["f_role"], r["f_party_id"]) for r in rows} == {
        ("guest", "9999"),
        ("host", "10000"),
        ("arbiter", "10000"),
    }
    assert all(r["f_status"] == "success" and r["f_progress"] == 100 for r in rows)
    assert all(r["f_end_time"] - r["f_start_time"] == r["f_elapsed"] for r in rows)
    tasks = site.client.query_tasks(job_id=job_id)
    assert len(tasks) == 13
    assert all(t["f_status"] == "success" and t["f_run_pid"] for t in tasks)
    assert {t["f_component_name"] for t in tasks} == set(COMPONENTS)


def test_the_model_is_good_and_its_metrics_are_there(done: tuple[LiveSite, str]) -> None:
    site, job_id = done
    found = site.client.all_metrics(job_id, "evaluation_0", "guest", 9999)
    summary = dict(_metric(found, "train", "hetero_lr_0", "data"))
    assert summary["auc"] > 0.98
    assert summary["ks"] > 0.85
    loss = site.client.all_metrics(job_id, "hetero_lr_0", "arbiter", 10000)["train"]["loss"]["data"]
    values = [value for _, value in loss]
    assert len(values) == 10
    assert values == sorted(values, reverse=True)
    curves = ("accuracy", "gain", "ks_fpr", "ks_tpr", "lift", "precision", "recall", "roc")
    assert set(found["train"]) == {"hetero_lr_0", *(f"hetero_lr_0_{name}" for name in curves)}
    assert all(found["train"][f"hetero_lr_0_{name}"]["data"] for name in curves)


@pytest.mark.parametrize("method", ["raw", "rsa"])
def test_every_way_to_intersect_gives_the_same_model(
    done: tuple[LiveSite, str], method: str
) -> None:
    site, job_id = done
    other = site.finish(*main_job(method, max_iter=10))
    expected, found = weights(site, job_id), weights(site, other)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


def test_nothing_is_left_of_a_job_that_ended(done: tuple[LiveSite, str]) -> None:
    site, job_id = done
    site.nothing_left(job_id)


class TestCommandLine:
    """``fate_flow_client`` against the job that succeeded."""

    def test_query_job_and_tasks(self, done: tuple[LiveSite, str]) -> None:
        site, job_id = done
        answer = site.cli("query_job", "-j", job_id, "-r", "guest", "-p", "9999")
        assert answer["retcode"] == 0
        assert [row["f_status"] for row in answer["data"]] == ["success"]
        answer = site.cli("query_task", "-j", job_id, "-cpn", "hetero_lr_0")
        assert len(answer["data"]) == 3

    def test_component_answers(self, done: tuple[LiveSite, str]) -> None:
        site, job_id = done
        where = ("-j", job_id, "-r", "guest", "-p", "9999")
        parameters = site.cli("component_parameters", *where, "-cpn", "hetero_lr_0")["data"]
        assert parameters["HeteroLogisticParam"]["max_iter"] == 10
        assert parameters["HeteroLogisticParam"]["encrypt_param"]["key_length"] == 1024
        metrics = site.cli("component_metrics", *where, "-cpn", "evaluation_0")["data"]
        assert "hetero_lr_0" in metrics["train"]
        points = site.cli("component_metric_all", *where, "-cpn", "evaluation_0")["data"]
        assert dict(points["train"]["hetero_lr_0"]["data"])["auc"] > 0.98
        model = site.cli("component_output_model", *where, "-cpn", "hetero_lr_0")
        assert len(model["data"]["weight"]) == len(model["data"]["header"]) > 0
        assert model["meta"]["module_name"] == "HeteroLR"
        table = site.cli("component_output_data_table", *where, "-cpn", "intersection_0")["data"]
        assert table["table_namespace"] == f"output_data_{job_id}_intersection_0"

    def test_output_data_and_logs_are_files(
        self, done: tuple[LiveSite, str], tmp_path: Path
    ) -> None:
        site, job_id = done
        where = ("-j", job_id, "-r", "guest", "-p", "9999")
        answer = site.cli(
            "component_output_data", *where, "-cpn", "hetero_lr_0", "-o", str(tmp_path)
        )
        assert answer["retcode"] == 0, answer
        (folder,) = tmp_path.iterdir()
        header, *rows = (folder / "output_data.csv").read_text().splitlines()
        assert header.startswith("id,label,predict_result,predict_score,predict_detail,type")
        assert len(rows) == 494
        answer = site.cli("job_log", "-j", job_id, "-o", str(tmp_path / "logs"))
        assert answer["retcode"] == 0, answer
        logs = {str(p.relative_to(tmp_path / "logs")) for p in (tmp_path / "logs").rglob("*.log")}
        for party in (GUEST, HOST, ARBITER):
            assert any(f"{party.role}/{party.party_id}/hetero_lr_0/INFO.log" in p for p in logs)

    def test_config_and_data_views(self, done: tuple[LiveSite, str], tmp_path: Path) -> None:
        site, job_id = done
        where = ("-j", job_id, "-r", "guest", "-p", "9999")
        answer = site.cli("job_config", *where, "-o", str(tmp_path))
        assert answer["retcode"] == 0
        (folder,) = tmp_path.iterdir()
        conf = json.loads((folder / "runtime_conf.json").read_text())
        assert conf["job_parameters"]["model_version"] == job_id
        assert (folder / "dsl.json").exists()
        views = site.cli("data_view_query", "-j", job_id)["data"]
        # The pipeline model is the job's own.
        assert {v["f_component_name"] for v in views} == {"pipeline", *COMPONENTS}
        assert all(v["f_table_count_actual"] for v in views if v["f_table_name"])
        # Evaluation leaves neither a table nor a model.
        empty = [v for v in views if v["f_component_name"] == "evaluation_0"]
        assert {(v["f_table_name"], v["f_table_count_actual"]) for v in empty} == {("", 0)}

    def test_tables_and_uploads(self, done: tuple[LiveSite, str]) -> None:
        site, _ = done
        answer = site.cli("table_info", "-n", "live_jobs", "-t", "guest")
        assert answer["data"]["count"] == 523
        history = site.cli("upload_history", "-limit", "2")["data"]
        assert history
        (info,) = history[0].values()
        assert info["upload_info"]["namespace"]


def test_metrics_can_be_read_while_the_job_runs(live_site: LiveSite) -> None:
    upload_breast(live_site)
    job_id = live_site.submit(*long_job())

    def losses() -> list[list[Any]]:
        found = live_site.client.all_metrics(job_id, "hetero_lr_0", "arbiter", 10000)
        points: list[list[Any]] = found.get("train", {}).get("loss", {}).get("data", [])
        return points if len(points) > 3 else []

    first = live_site.wait_until("losses of a running job", losses, 180)
    state = live_site.client.job_state(job_id)
    assert state.status.value == "running"
    assert 0 < state.progress < 100
    live_site.wait_until("more losses", lambda: len(losses()) > len(first), 60)
    iterations = [point[0] for point in losses()]
    assert iterations == sorted(set(iterations))
    live_site.client.stop_job(job_id)
    live_site.wait(job_id)
