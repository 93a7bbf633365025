"""The reference's example jobs about features on a live site: as they are, looked into whole.

Intersections, binnings of every kind, and the job with all feature components before HeteroLR.
All are submitted at once, so the site's limit of jobs is met too. The credit tables are cut to
their first rows, because 30,000 encrypted labels and signed ids take half a minute each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.example_jobs import (
    BINNING,
    BINNING_JOBS,
    ENGINEERING,
    INTERSECT,
    INTERSECT_JOBS,
    JOBS,
    WITHOUT_DATAIO,
    ExampleJob,
    Expected,
    documents,
    suite,
)
from tests.support.live_site import LiveSite
from tests.support.plain_binning import as_recorded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Tables = dict[tuple[str, str], Path]

#: Modules that leave no model; the others do so also where the DSL names no output for it.
WITHOUT_MODEL = {"Intersection", "Evaluation"}


@pytest.fixture
def job(request: pytest.FixtureRequest, feature_jobs: dict[str, ExampleJob]) -> ExampleJob:
    """One example that has succeeded."""
    found = feature_jobs[request.param]
    found.site.must_succeed(found.job_id, timeout=600)
    return found


def of(folder: str, *names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "job", [f"{folder}.{n}" for n in names], indirect=True, ids=names
    )


every_job = pytest.mark.parametrize("job", JOBS, indirect=True)


@pytest.mark.parametrize("folder", [INTERSECT, BINNING])
def test_no_task_of_the_suites_is_left_out(folder: str) -> None:
    names = {INTERSECT: INTERSECT_JOBS, BINNING: BINNING_JOBS}[folder]
    assert sorted(suite(folder)["tasks"]) == sorted(names)


@every_job
def test_job_succeeds_everywhere(job: ExampleJob) -> None:
    rows = job.site.client.query_jobs(job_id=job.job_id)
    assert {row["f_status"] for row in rows} == {"success"}
    tasks = job.site.client.query_tasks(job_id=job.job_id)
    assert {task["f_status"] for task in tasks} == {"success"}
    assert {task["f_component_name"] for task in tasks} == set(job.dsl["components"])
    for task in tasks:
        assert task["f_create_time"] <= task["f_start_time"] <= task["f_end_time"]


@every_job
def test_every_component_can_be_looked_into(job: ExampleJob, tmp_path: Path) -> None:
    client, job_id = job.site.client, job.job_id
    views = {
        (view["f_component_name"], view["f_role"], view["f_party_id"]): view
        for view in client.query_data_views(job_id=job_id)
    }
    for name, component in job.dsl["components"].items():
        for role, party_id in job.parties(name):
            where = (job_id, name, role, party_id)
            assert client.parameters(*where)["module"] == component["module"]
            metrics = client.all_metrics(*where)
            assert set(metrics) == set(client.summary(*where))
            model, meta = client.output_model(*where)
            is_modelled = component["module"] not in WITHOUT_MODEL
            assert bool(model) == is_modelled or role == "arbiter", where
            if model:
                assert meta["module_name"] == component["module"]
            view = views.get((name, role, str(party_id)), {})
            assert bool(view.get("f_party_model_id")) == is_modelled
            # Predictions are the guest's.
            is_elsewhere = component["module"] == "HeteroLR" and role != "guest"
            if "data" not in component.get("output", {}) or is_elsewhere:
                assert not view.get("f_table_name")
                continue
            data = client.output_data(*where)
            table = client.output_data_table(job_id, name, role=role, party_id=party_id)
            stored = client.table_info(table["table_namespace"], table["table_name"])
            assert stored.count == view["f_table_count_actual"] > 100
            assert len(data.rows) == 100
            folder = tmp_path / f"{name}-{role}-{party_id}"
            paths = client.download_output_data(*where, folder)
            texts = {path.name: path.read_text() for path in paths}
            header, *lines = texts["output_data.csv"].splitlines()
            assert header.split(",") == list(data.header)
            assert json.loads(texts["output_data_meta.json"]) == {"header": list(data.header)}
            assert len(lines) == stored.count
            assert lines[0].startswith(f"{data.rows[0][0]},") or len(data.rows[0]) == 1


@every_job
def test_dependencies_are_those_of_the_dsl(job: ExampleJob) -> None:
    components = job.dsl["components"]
    for role, ids in job.conf["role"].items():
        graph = job.site.client.dag_dependency(role, ids[0], job_id=job.job_id)
        assert set(graph["component_list"]) == set(components)
        modules = {name: component["module"] for name, component in components.items()}
        assert graph["component_module"] == modules
        for name, component in components.items():
            sources = {
                source.partition(".")[0]
                for inputs in component["input"].get("data", {}).values()
                for source in inputs
            } - {"args"}
            found = {edge["component_name"] for edge in graph["dependencies"].get(name, [])}
            assert sources <= found


# -- intersections ---------------------------------------------------------------------------


@of(INTERSECT, *INTERSECT_JOBS, WITHOUT_DATAIO)
def test_all_ids_are_common(job: ExampleJob) -> None:
    parameters = job.parameters("intersect_0", "guest")
    word = "intersect_id" if parameters["intersect_method"] == "raw" else "id"
    for role, party_id in job.parties("intersect_0"):
        where = (job.job_id, "intersect_0", role, party_id)
        points, meta = job.site.client.metric(
            job.job_id, "intersect_0", "train", "intersection", role, party_id
        )
        assert dict(points) == {"intersect_count": 569, "intersect_rate": 1.0}
        assert meta["metric_type"] == "INTERSECTION"
        data = job.site.client.output_data(*where)
        value = 1 if (word, role) == ("id", "guest") else word
        assert list(data.header) == ["sid"]
        assert data.rows == [[str(index), value] for index in range(100)]


def test_a_job_of_work_mode_1_runs_where_all_parties_are(
    live_site: LiveSite, example_tables: Tables
) -> None:
    dsl, conf = documents(f"{INTERSECT}.raw_intersect")
    conf["job_parameters"]["work_mode"] = 1
    job_id = live_site.finish(dsl, conf)
    rows = live_site.client.query_jobs(job_id=job_id)
    assert {row["f_work_mode"] for row in rows} == {1}


# -- binnings --------------------------------------------------------------------------------


def _same(found: Any, expected: Mapping[str, Any], where: str) -> None:
    for key, value in expected.items():
        if isinstance(value, list) and value and isinstance(value[0], str):
            assert found[key] == value, (where, key)
        else:
            assert found[key] == pytest.approx(value, abs=1e-9), (where, key)


@of(BINNING, *BINNING_JOBS)
def test_bins_are_those_of_the_data_in_the_clear(job: ExampleJob, example_tables: Tables) -> None:
    name = "hetero_feature_binning_0"
    expected, client = Expected(job, example_tables), job.site.client
    guest_id = job.conf["role"]["guest"][0]
    at_guest, meta = client.output_model(job.job_id, name, "guest", guest_id)
    own = expected.columns("guest", 0)
    assert set(at_guest["binningResult"]["binningResult"]) == set(own)
    for column, bins in own.items():
        found = at_guest["binningResult"]["binningResult"][column]
        _same(found, as_recorded(bins, is_own=True, is_weighed=True), column)
    assert meta["meta_data"]["method"] == expected.parameters("guest", 0)["method"]
    for place, host_id in enumerate(job.conf["role"]["host"]):
        columns = expected.columns("host", place)
        seen = at_guest["hostResults"][place]
        assert (seen["role"], seen["partyId"]) == ("host", str(host_id))
        at_host, _ = client.output_model(job.job_id, name, "host", host_id)
        assert "hostResults" not in at_host or not at_host["hostResults"]
        for index, (column, bins) in enumerate(columns.items()):
            shown = seen["binningResult"][f"host.{index}"]
            _same(shown, as_recorded(bins, is_own=False, is_weighed=True), column)
            assert not shown.get("splitPoints")
            found = at_host["binningResult"]["binningResult"][column]
            _same(found, as_recorded(bins, is_own=True, is_weighed=False), column)
            assert not found.get("woeArray")


@of(BINNING, *BINNING_JOBS)
def test_rows_are_transformed(job: ExampleJob, example_tables: Tables) -> None:
    expected = Expected(job, example_tables)
    for role in ("guest", "host"):
        for place, party_id in enumerate(job.conf["role"][role]):
            transform = expected.parameters(role, place)["transform_param"]
            data = job.site.client.output_data(
                job.job_id, "hetero_feature_binning_0", role, party_id
            )
            columns = expected.columns(role, place)
            first = len(data.header) - len(columns)
            assert list(data.header)[first:] == list(columns)
            is_woe = transform["transform_type"] == "woe"
            chosen = transform["transform_cols"]
            for index, (name, bins) in enumerate(columns.items()):
                values: list[float] = [float(code) for code in bins.codes]
                if is_woe:
                    values = [bins.woe[code] for code in bins.codes]
                if (is_woe and role == "host") or (chosen != -1 and index not in chosen):
                    values = expected.table(role, place).columns[name]
                assert [row[first + index] for row in data.rows] == pytest.approx(values[:100])


@of(BINNING, "quantile_binning", "multi_host_binning")
def test_bins_are_encoded_one_hot(job: ExampleJob) -> None:
    for role, party_id in job.parties("one_hot_encoder_0"):
        client = job.site.client
        before = client.output_data(job.job_id, "hetero_feature_binning_0", role, party_id)
        after = client.output_data(job.job_id, "one_hot_encoder_0", role, party_id)
        places = {name: index for index, name in enumerate(after.header)}
        first = 2 if role == "guest" else 1
        for index, name in enumerate(before.header[first:], first):
            for row, encoded in zip(before.rows, after.rows, strict=True):
                assert encoded[places[f"{name}_{int(row[index])}"]] == 1
        for encoded in after.rows:
            assert sum(encoded[first:]) == len(before.header) - first


def test_feature_engineering_leads_to_a_model(feature_jobs: dict[str, ExampleJob]) -> None:
    job = feature_jobs[ENGINEERING]
    job.site.must_succeed(job.job_id, timeout=600)
    client = job.site.client
    guest_id = job.conf["role"]["guest"][0]
    selected, _ = client.output_model(job.job_id, "hetero_feature_selection_0", "guest", guest_id)
    wanted = job.parameters("hetero_feature_selection_0", "guest")["filter_methods"]
    assert [result["filterName"] for result in selected["results"]] == wanted
    left = [name for name, stays in selected["finalLeftCols"]["leftCols"].items() if stays]
    assert 0 < len(left) < len(selected["header"])
    summary = client.all_metrics(job.job_id, "evaluation_0", "guest", guest_id)
    assert dict(summary["train"]["hetero_lr_0"]["data"])["auc"] > 0.9
