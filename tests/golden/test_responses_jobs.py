"""Answers about recorded runs: models, metrics and rows, served from the recorded state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from fate_flow.db.models import DataView, Job, Task
from fate_flow.dsl.parser import compile_plan
from fate_flow.models.archive import export_model, import_model
from fate_flow.models.store import ModelStore
from fate_flow.operators.plans import write_plan
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support.reference import reference_path
from tests.support.site import Site

JOBS = (
    "hetero_feature_binning.quantile_binning",
    "hetero_logistic_regression.lr",
    "intersect.rsa_intersect",
)


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


class Recorded:
    """One recorded job, put into a site."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.folder = reference_path("golden-1.4", name)
        self.jobs = _read(self.folder / "query_job.json")["data"]
        self.job_id: str = self.jobs[0]["f_job_id"]
        with site.session() as session:
            session.add_all(Job(**row) for row in self.jobs)
            tasks = _read(self.folder / "query_task.json")["data"]
            session.add_all(Task(**row) for row in tasks)
            views = _read(self.folder / "job_data_view_query.json")["data"]
            session.add_all(DataView(**row) for row in views)
        self._add_models()
        self._add_metrics()
        dsl, conf = json.loads(self.jobs[0]["f_dsl"]), json.loads(self.jobs[0]["f_runtime_conf"])
        write_plan(site.settings.jobs_dir, self.job_id, compile_plan(dsl, conf))

    def parties(self) -> list[tuple[str, str]]:
        return [(row["f_role"], row["f_party_id"]) for row in self.jobs]

    def components(self) -> list[Path]:
        return sorted(self.folder.glob("components/*/*"))

    def body(self, folder: Path) -> dict[str, Any]:
        role, _, party = folder.name.rpartition("_")
        return {
            "job_id": self.job_id,
            "component_name": folder.parent.name,
            "role": role,
            "party_id": int(party),
        }

    def _add_models(self) -> None:
        conf = json.loads(self.jobs[0]["f_runtime_conf"])["job_parameters"]
        for role, party in self.parties():
            source = self.folder / "model" / f"cache_{role}_{party}"
            if source.exists():
                name = f"{role}#{party}#{conf['model_id']}"
                target = self.site.models.folder(name, conf["model_version"])
                shutil.copytree(source, target, copy_function=shutil.copyfile)
                for folder in [target, *target.rglob("*")]:
                    if folder.is_dir():
                        folder.chmod(0o755)

    def _add_metrics(self) -> None:
        with self.site.session() as session:
            for folder in self.components():
                if not (folder / "metric_all.json").exists():
                    continue
                body = self.body(folder)
                scope = TaskScope(
                    self.job_id, body["component_name"], body["role"], str(body["party_id"])
                )
                recorded = _read(folder / "metric_all.json").get("data", {})
                for namespace, by_name in recorded.items():
                    order = _read(folder / "metrics.json")["data"][namespace]
                    for name in order:
                        metric = by_name[name]
                        store.add_metrics(
                            session, scope, namespace, name, metric["data"][::-1], metric["meta"]
                        )


@pytest.fixture(params=JOBS)
def recorded(request: pytest.FixtureRequest, site: Site) -> Recorded:
    return Recorded(site, request.param)


def _post(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, json=body).json()


def test_models_look_as_recorded(recorded: Recorded, client: TestClient) -> None:
    compared = 0
    for folder in recorded.components():
        theirs = _read(folder / "output_model.json")
        if "data" in theirs and not (recorded.folder / "model" / f"cache_{folder.name}").exists():
            continue  # the recording has the answer, not the files
        ours = _post(client, "/tracking/component/output/model", recorded.body(folder))
        assert ours == theirs, folder
        compared += 1
    assert compared


def test_metrics_look_as_recorded(recorded: Recorded, client: TestClient) -> None:
    for folder in recorded.components():
        body = recorded.body(folder)
        names = _post(client, "/tracking/component/metrics", body)
        assert names == _read(folder / "metrics.json"), folder
        if not (folder / "metric_all.json").exists():
            continue
        everything = _post(client, "/tracking/component/metric/all", body)
        theirs = _read(folder / "metric_all.json")
        assert _by_key(everything) == _by_key(theirs), folder
        for path in folder.glob("metric_data/*.json"):
            namespace, _, name = path.stem.partition(".")
            wanted = {**body, "metric_namespace": namespace, "metric_name": name}
            ours = _post(client, "/tracking/component/metric_data", wanted)
            assert ours["meta"] == _read(path)["meta"]
            assert sorted(ours["data"]) == sorted(_read(path)["data"])
            keys = [key for key, _ in ours["data"]]
            assert keys == sorted(keys)


def _by_key(answer: Any) -> Any:
    """Points with equal keys may stand in either order."""
    for by_name in answer.get("data", {}).values():
        for metric in by_name.values():
            metric["data"].sort()
    return answer


def test_rows_look_as_recorded(recorded: Recorded, client: TestClient) -> None:
    wanted = {"job_id": recorded.job_id}
    assert _post(client, "/job/query", wanted) == _read(recorded.folder / "query_job.json")
    views = _post(client, "/job/data/view/query", wanted)
    assert views == _read(recorded.folder / "job_data_view_query.json")
    tasks = _post(client, "/job/task/query", wanted)
    for row in tasks["data"]:
        for added in ("f_error", "f_message", "f_attempt"):
            row.pop(added)
    assert tasks == _read(recorded.folder / "query_task.json")


def test_configuration_and_dependencies_look_as_recorded(
    recorded: Recorded, client: TestClient
) -> None:
    for role, party in recorded.parties():
        body = {"job_id": recorded.job_id, "role": role, "party_id": party}
        ours = _post(client, "/job/config", body)
        assert ours == _read(recorded.folder / f"job_config_{role}_{party}.json")
        graph = _post(client, "/pipeline/dag/dependency", body)
        theirs = _read(recorded.folder / f"dag_dependency_{role}_{party}.json")
        assert graph == theirs


def test_parameters_look_as_recorded(recorded: Recorded, client: TestClient) -> None:
    for folder in recorded.components():
        theirs = _read(folder / "parameters.json")
        ours = _post(client, "/tracking/component/parameters", recorded.body(folder))
        assert ours.keys() == theirs.keys(), folder
        assert ours["retmsg"] == theirs["retmsg"]
        if "data" in theirs:
            assert ours["data"]["module"] == theirs["data"]["module"]
            for key, value in theirs["data"].items():
                if isinstance(value, dict):
                    assert value.keys() <= ours["data"][key].keys(), (folder, key)


def test_output_tables_look_as_recorded(recorded: Recorded, client: TestClient) -> None:
    for folder in recorded.components():
        body = recorded.body(folder)
        table = _post(client, "/tracking/component/output/data/table", body)
        theirs = _read(folder / "output_data_table.json")
        assert (table["retcode"], table.get("data")) == (theirs["retcode"], theirs.get("data"))


def test_job_views_are_computed_as_recorded(recorded: Recorded, client: TestClient) -> None:
    from fate_flow.dsl.parser import compile_plan

    conf = json.loads(recorded.jobs[0]["f_runtime_conf"])
    plan = compile_plan(json.loads(recorded.jobs[0]["f_dsl"]), conf)
    dataset: dict[str, dict[str, dict[str, str]]] = {}
    for party in plan.parties:
        arguments = {k: ".".join(v) for k, v in plan.job_args.get(party.key, {}).items() if v}
        if arguments:
            dataset.setdefault(party.role, {})[str(party.party_id)] = arguments
    with recorded.site.session() as session:
        for party in plan.parties:
            view = store.job_view(
                plan.roles, party.role, party.party_id, dataset,
                is_initiator=party == plan.initiator,
            )  # fmt: skip
            store.save_job_view(session, recorded.job_id, party.role, party.party_id, view)
    for role, party_id in recorded.parties():
        body = {"job_id": recorded.job_id, "role": role, "party_id": party_id}
        ours = _post(client, "/tracking/job/data_view", body)
        theirs = _read(recorded.folder / f"tracking_job_data_view_{role}_{party_id}.json")
        assert ours == theirs


@pytest.mark.parametrize("name", JOBS[:2])
def test_a_model_of_the_reference_can_be_imported(site: Site, tmp_path: Path, name: str) -> None:
    """Export and import leave the bytes and the definition as they are."""
    recorded = Recorded(site, name)
    model_id = json.loads(recorded.jobs[0]["f_runtime_conf"])["job_parameters"]["model_id"]
    role, party = recorded.parties()[-1]
    address = (f"{role}#{party}#{model_id}", recorded.job_id)
    archive = export_model(site.models, *address, tmp_path / "m.zip")
    other = ModelStore(tmp_path / "other")
    folder = import_model(other, *address, archive)
    assert other.load_all(*address) == site.models.load_all(*address)
    source = recorded.folder / "model" / f"cache_{role}_{party}" / "define" / "define_meta.yaml"
    theirs = yaml.safe_load(source.read_text())
    assert yaml.safe_load((folder / "define" / "define_meta.yaml").read_text()) == theirs
    assert other.read_pipeline(*address).fate_version == "1.4.0"
