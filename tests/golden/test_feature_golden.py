"""Intersection and binning against the recorded answers of FATE 1.4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from fate_flow.data.table import TableStore
from fate_flow.entities import Party
from fate_flow.models.proto.feature_binning_meta_pb2 import FeatureBinningMeta
from fate_flow.models.proto.feature_binning_param_pb2 import FeatureBinningParam
from fate_flow.runtime.context import TaskInputs
from fate_flow.runtime.registry import find
from tests.support.instances import as_data, put_csv
from tests.support.parties import Run, run_component
from tests.support.reference import reference_path

GUEST, HOST = Party("guest", 10000), Party("host", 10000)
BINNING = ("golden-1.4", "hetero_feature_binning.quantile_binning", "components")
INTERSECT = ("golden-1.4", "intersect.rsa_intersect", "components")


def recorded(party: Party, *parts: str) -> Any:
    *folders, component, name = parts
    path = reference_path(*folders, component, party.key, name)
    return json.loads(path.read_text())


def run_on_breast(tmp_path: Path, module: str, **parameters: Any) -> Run:
    stores = {party: TableStore(tmp_path / party.key) for party in (GUEST, HOST)}
    data = reference_path("examples-1.4", "data")
    tables = {
        GUEST: put_csv(stores[GUEST], data / "breast_b.csv", label="y"),
        HOST: put_csv(stores[HOST], data / "breast_a.csv"),
    }
    inputs = {party: as_data(table) for party, table in tables.items()}
    return run_component(module, stores, dict.fromkeys(tables, parameters), inputs)


def assert_same(found: Any, expected: Any, path: str = "$") -> None:
    if isinstance(expected, dict):
        assert set(found) == set(expected), path
        for key, value in expected.items():
            assert_same(found[key], value, f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{path}[{index}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-6), path
    else:
        assert found == expected, path


@pytest.fixture(scope="module")
def binning(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_on_breast(tmp_path_factory.mktemp("binning"), "HeteroFeatureBinning")


@pytest.mark.parametrize("party", [GUEST, HOST], ids=str)
@pytest.mark.parametrize("name", ["FeatureBinningParam", "FeatureBinningMeta"])
def test_binning_model(binning: Run, party: Party, name: str) -> None:
    answer = recorded(party, *BINNING, "hetero_feature_binning_0", "output_model.json")
    expected = answer["data"] if name.endswith("Param") else answer["meta"]["meta_data"]
    model = binning[party].output.model
    assert model is not None
    assert_same(
        MessageToDict(model[name], always_print_fields_with_no_presence=True),
        expected,
    )


@pytest.mark.parametrize("party", [GUEST, HOST], ids=str)
def test_binning_output(binning: Run, party: Party) -> None:
    answer = recorded(party, *BINNING, "hetero_feature_binning_0", "output_data.json")
    table = binning[party].output.data
    assert table is not None
    rows = len(answer["data"])
    ids = table.ids().to_pylist()[:rows]
    features = table.features()[:rows].tolist()
    labels = [[int(label)] for label in table.labels()[:rows]] if party == GUEST else [[]] * rows
    found = [[i, *label, *row] for i, label, row in zip(ids, labels, features, strict=True)]
    assert found == answer["data"]
    names = ["id", "y"] if party == GUEST else ["id"]
    assert [*names, *table.schema.header] == answer["meta"]["header"]


@pytest.mark.parametrize("party", [GUEST, HOST], ids=str)
def test_recorded_model_is_read_and_written_unchanged(party: Party) -> None:
    folder = reference_path(
        *BINNING[:2], "model", f"cache_{party.key}", "variables", "data",
        "hetero_feature_binning_0", "model",
    )  # fmt: skip
    param = FeatureBinningParam.FromString((folder / "FeatureBinningParam").read_bytes())
    meta = FeatureBinningMeta.FromString((folder / "FeatureBinningMeta").read_bytes())
    answer = recorded(party, *BINNING, "hetero_feature_binning_0", "output_model.json")
    assert_same(MessageToDict(param, always_print_fields_with_no_presence=True), answer["data"])
    assert_same(
        MessageToDict(meta, always_print_fields_with_no_presence=True),
        answer["meta"]["meta_data"],
    )


@pytest.mark.parametrize("method", [pytest.param("rsa", marks=pytest.mark.slow), "ecdh", "raw"])
def test_intersection(tmp_path: Path, method: str) -> None:
    run = run_on_breast(tmp_path, "Intersection", intersect_method=method, only_output_key=True)
    for party in (GUEST, HOST):
        answer = recorded(party, *INTERSECT, "intersect_0", "metric_all.json")
        expected = answer["data"]["train"]["intersection"]
        tracker = run[party].tracker
        points = [list(point) for point in tracker.points["train", "intersection"]]
        assert points == expected["data"]
        assert tracker.metas["train", "intersection"] == expected["meta"]
        table = run[party].output.data
        assert table is not None
        if method == "rsa":
            answer = recorded(party, *INTERSECT, "intersect_0", "output_data.json")
            found = [list(row.values()) for row in table.arrow().to_pylist()]
            assert found[: len(answer["data"])] == answer["data"]
            assert [table.schema.sid_name] == answer["meta"]["header"]


@pytest.mark.parametrize(
    ("module", "where"),
    [
        ("Intersection", (*BINNING, "intersection_0")),
        ("HeteroFeatureBinning", (*BINNING, "hetero_feature_binning_0")),
    ],
)
def test_effective_defaults(module: str, where: tuple[str, ...]) -> None:
    spec = find(module)
    assert spec is not None
    answer = recorded(GUEST, *where, "parameters.json")
    assert answer["data"][spec.param_class.conf_name] == spec.param_class.defaults()


def test_selection_by_recorded_information_values(tmp_path: Path, binning: Run) -> None:
    answer = recorded(GUEST, *BINNING, "hetero_feature_binning_0", "output_model.json")["data"]
    own = {n: c["iv"] for n, c in answer["binningResult"]["binningResult"].items()}
    host = {n: c["iv"] for n, c in answer["hostResults"][0]["binningResult"].items()}
    stores = {party: TableStore(tmp_path / party.key) for party in (GUEST, HOST)}
    inputs = {}
    for party in stores:
        table = binning[party].output.data
        assert table is not None
        inputs[party] = TaskInputs(
            data={"binning_0": {"data": table}},
            isometric_model={"binning_0": binning[party].model()},
        )
    parameters = {
        "filter_methods": ["unique_value", "iv_value_thres"],
        "iv_value_param": {"value_threshold": 1.0},
    }
    run = run_component("HeteroFeatureSelection", stores, dict.fromkeys(stores, parameters), inputs)
    for party, values in ((GUEST, own), (HOST, host)):
        output = run[party].output.data
        assert output is not None
        wanted = {int(name.strip("hostx.")) for name, value in values.items() if value > 1.0}
        assert 0 < len(wanted) < len(values)
        assert [int(name[1:]) for name in output.schema.header] == sorted(wanted)


CONF_FOLDERS = ("intersect", "hetero_feature_binning", "hetero_logistic_regression")
MODULES = {
    "intersect": "Intersection",
    "hetero_feature_binning": "HeteroFeatureBinning",
    "hetero_feature_selection": "HeteroFeatureSelection",
}


def test_parameters_of_the_example_jobs_are_accepted() -> None:
    checked = 0
    for folder in CONF_FOLDERS:
        for path in sorted(reference_path("examples-1.4", "dsl", folder).glob("*conf.json")):
            conf = json.loads(path.read_text()).get("algorithm_parameters", {})
            for component, parameters in conf.items():
                module = MODULES.get(component.rpartition("_")[0])
                spec = find(module) if module else None
                if spec is None:
                    continue
                base = spec.param_class.defaults()
                _, problems = spec.param_class.parse({**base, **parameters}, component)
                assert not problems, (path.name, problems)
                checked += 1
    assert checked > 20
