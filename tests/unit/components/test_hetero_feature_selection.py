"""HeteroFeatureSelection: filters, their order, and what crosses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from fate_flow.components.hetero_feature_binning.model import BinningModel
from fate_flow.components.hetero_feature_binning.params import FeatureBinningParam
from fate_flow.components.hetero_feature_selection.filters import judge, percentile_threshold
from fate_flow.components.hetero_feature_selection.params import FeatureSelectionParam
from fate_flow.data.table import TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError
from fate_flow.federation.codec import decode
from fate_flow.ml.binning_iv import InformationValue
from fate_flow.runtime.context import ModelBuffers, TaskInputs
from tests.support.instances import put_instances
from tests.support.parties import Run, run_component

GUEST = Party("guest", 9999)
HOSTS = [Party("host", 10000), Party("host", 10001)]
IDS = [f"row{index}" for index in range(10)]
RAMP = np.arange(10.0)

#: Columns of every party, and the information values that the binning model says they have.
COLUMNS = {
    GUEST: {"wide": RAMP, "flat": RAMP * 0 + 5, "near": 100 + RAMP / 100, "tall": RAMP * 1000},
    HOSTS[0]: {"p": RAMP, "q": RAMP + 1, "r": RAMP * 0},
    HOSTS[1]: {"p": RAMP, "q": RAMP + 1, "r": RAMP * 2},
}
VALUES = {
    GUEST: {"wide": 0.5, "flat": 0.0, "near": 0.2, "tall": 0.9},
    HOSTS[0]: {"p": 0.1, "q": 0.6, "r": 0.3},
    HOSTS[1]: {"p": 0.05, "q": 0.02, "r": 0.04},
}


def information(total: float) -> InformationValue:
    counts, halves = np.array([1, 1]), np.array([0.5, 0.5])
    return InformationValue(counts, counts, halves, halves, halves, np.array([total, 0.0]))


def binning_of(party: Party, hosts: list[Party]) -> ModelBuffers:
    names = list(COLUMNS[party])
    model = BinningModel(header=tuple(names), splits={name: np.array([1.0, 2.0]) for name in names})
    if party == GUEST:
        model.information = {name: information(value) for name, value in VALUES[party].items()}
        model.hosts = [
            (host, {f"host.{i}": information(v) for i, v in enumerate(VALUES[host].values())})
            for host in hosts
        ]
    messages = model.to_messages(FeatureBinningParam(), party)
    return {name: message.SerializeToString() for name, message in messages.items()}


class World:
    def __init__(self, folder: Path, hosts: int = 1) -> None:
        self.hosts = HOSTS[:hosts]
        self.parties = [GUEST, *self.hosts]
        self.stores = {party: TableStore(folder / party.key) for party in self.parties}

    def run(
        self,
        *methods: str,
        at: Mapping[Party, Mapping[str, Any]] | None = None,
        binning: bool = True,
        **parameters: Any,
    ) -> Run:
        inputs: dict[Party, TaskInputs] = {}
        for party in self.parties:
            labels = [0, 1] * 5 if party == GUEST else None
            table = put_instances(self.stores[party], IDS, COLUMNS[party], labels)
            inputs[party] = TaskInputs(
                data={"source": {"data": table}},
                isometric_model={"binning_0": binning_of(party, self.hosts)} if binning else {},
            )
        given = {
            party: {"filter_methods": list(methods), **parameters, **(at or {}).get(party, {})}
            for party in self.parties
        }
        return run_component("HeteroFeatureSelection", self.stores, given, inputs)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def left(run: Run, party: Party = GUEST) -> list[str]:
    table = run[party].output.data
    assert table is not None
    return list(table.schema.header)


def as_dict(run: Run, party: Party, name: str = "FeatureSelectionParam") -> dict[str, Any]:
    model = run[party].output.model
    assert model is not None
    document: dict[str, Any] = MessageToDict(model[name], always_print_fields_with_no_presence=True)
    return document


@pytest.mark.parametrize(
    ("method", "parameters", "stay"),
    [
        ("unique_value", {}, ["wide", "near", "tall"]),
        ("UNIQUE_VALUE", {"unique_param": {"eps": 9.0}}, ["wide", "tall"]),
        (
            "coefficient_of_variation_value_thres",
            {"variance_coe_param": {"value_threshold": 0.5}},
            ["wide", "tall"],
        ),
        ("outlier_cols", {"outlier_param": {"percentile": 0.5, "upper_threshold": 5}}, ["wide"]),
        ("outlier_cols", {"outlier_param": {"upper_threshold": 200}}, ["wide", "flat", "near"]),
        (
            "manually",
            {"manually_param": {"filter_out_indexes": [0], "filter_out_names": ["tall", "?"]}},
            ["flat", "near"],
        ),
        ("iv_value_thres", {"iv_value_param": {"value_threshold": 0.2}}, ["wide", "tall"]),
    ],
)
def test_one_filter(world: World, method: str, parameters: dict[str, Any], stay: list[str]) -> None:
    run = world.run(method, at={GUEST: parameters})
    assert left(run) == stay
    table = run[GUEST].output.data
    assert table is not None
    assert table.features().tolist() == np.stack([COLUMNS[GUEST][n] for n in stay], 1).tolist()
    assert table.labels().tolist() == [0, 1] * 5


def test_filters_work_on_what_the_one_before_left(world: World) -> None:
    run = world.run("unique_value", "iv_value_thres", iv_value_param={"value_threshold": 0.3})
    results = as_dict(run, GUEST)["results"]
    assert [result["filterName"] for result in results] == ["unique_value", "iv_value_thres"]
    assert results[0]["leftCols"]["originalCols"] == ["wide", "flat", "near", "tall"]
    assert results[1]["leftCols"]["originalCols"] == ["wide", "near", "tall"]
    assert results[1]["leftCols"]["leftCols"] == {"wide": True, "tall": True}
    assert results[1]["featureValues"] == {"wide": 0.5, "near": 0.2, "tall": 0.9}
    assert results[0]["hostLeftCols"] == []
    assert results[1]["hostFeatureValues"] == [{"featureValues": {"host.0": 0.1, "host.1": 0.6}}]
    assert results[1]["hostLeftCols"] == [
        {"originalCols": ["host.0", "host.1"], "leftCols": {"host.1": True}}
    ]
    document = as_dict(run, GUEST)
    assert document["finalLeftCols"]["leftCols"] == {"wide": True, "tall": True}
    assert document["hostColNames"] == [{"colNames": ["host.0", "host.1"], "partyId": "10000"}]
    assert left(run, HOSTS[0]) == ["q"]
    host = as_dict(run, HOSTS[0])["results"][1]
    assert host["leftCols"] == {"originalCols": ["p", "q"], "leftCols": {"q": True}}
    assert host["featureValues"] == {}


def test_host_thresholds(tmp_path: Path) -> None:
    world = World(tmp_path, hosts=2)
    parameters: dict[str, Any] = {
        "iv_value_param": {"value_threshold": 0.0, "host_thresholds": [0.2, 0.03]}
    }
    run = world.run("iv_value_thres", **parameters)
    assert left(run) == ["wide", "near", "tall"]
    assert left(run, HOSTS[0]) == ["q", "r"]
    assert left(run, HOSTS[1]) == ["p", "r"]
    with pytest.raises(InvalidInputError, match="one for each of the 2 hosts"):
        world.run("iv_value_thres", iv_value_param={"host_thresholds": [0.2]})


def test_percentile_looks_at_all_parties_together(tmp_path: Path) -> None:
    world = World(tmp_path, hosts=2)
    run = world.run("iv_percentile", iv_percentile_param={"percentile_threshold": 0.4})
    # .9 .6 .5 .3 .2 .1 .05 .04 .02 0: the value at floor(0.4 * 10 - 1e-6) = 3 is 0.3.
    assert left(run) == ["wide", "tall"]
    assert left(run, HOSTS[0]) == ["q"]
    assert left(run, HOSTS[1]) == ["p"]  # all of them fail, the best one stays


@pytest.mark.parametrize("method", ["iv_value_thres", "iv_percentile"])
def test_local_only_leaves_the_hosts_alone(world: World, method: str) -> None:
    name = {"iv_value_thres": "iv_value_param", "iv_percentile": "iv_percentile_param"}[method]
    parameters: dict[str, Any] = {name: {"local_only": True}}
    run = world.run(method, **parameters)
    assert left(run) == ["wide", "near", "tall"]
    assert left(run, HOSTS[0]) == ["p", "q", "r"]
    assert [decode(record.data) for record in run.mailbox.records] == [[], []]


def test_a_filter_that_drops_all_keeps_the_best(world: World) -> None:
    assert left(world.run("iv_value_thres", iv_value_param={"value_threshold": 9.0})) == ["tall"]
    run = world.run("outlier_cols", outlier_param={"upper_threshold": -1.0})
    assert left(run) == ["flat"]
    names = {"filter_out_names": ["wide", "flat", "near", "tall"]}
    assert left(world.run("manually", manually_param=names)) == ["wide"]


def test_columns_that_are_no_candidates_stay(world: World) -> None:
    run = world.run("unique_value", select_col_indexes=[0], select_names=["near"])
    assert left(run) == ["wide", "flat", "near", "tall"]
    run = world.run("unique_value", select_col_indexes=[0, 1])
    assert left(run) == ["wide", "near", "tall"]
    document = as_dict(run, GUEST)
    assert document["colNames"] == ["wide", "flat"]
    assert set(document["finalLeftCols"]["leftCols"]) == {"wide", "near", "tall"}


def test_missing_values_are_left_out_of_the_measures(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {**COLUMNS[GUEST], "near": RAMP * np.nan}
    columns["wide"] = np.where(RAMP == 9, np.nan, RAMP)
    monkeypatch.setitem(COLUMNS, GUEST, columns)
    run = world.run("unique_value")
    assert left(run) == ["wide", "tall"]
    assert as_dict(run, GUEST)["results"][0]["featureValues"]["wide"] == 8.0


def test_information_filters_need_a_binning_model(world: World) -> None:
    with pytest.raises(DataError, match="binning module should be called"):
        world.run("iv_value_thres", binning=False)
    assert left(world.run("unique_value", binning=False)) == ["wide", "near", "tall"]


def test_a_binning_without_values_of_the_host_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VALUES, HOSTS[0], {})
    with pytest.raises(DataError, match="no information values of host 10000"):
        world.run("iv_value_thres")


def test_a_party_without_information_filters_waits_for_nobody(world: World) -> None:
    run = world.run("unique_value", at={HOSTS[0]: {"need_run": False}})
    assert left(run) == ["wide", "near", "tall"]
    with pytest.raises(InvalidInputError, match="same order at all parties"):
        world.run("unique_value", at={HOSTS[0]: {"filter_methods": ["iv_percentile"]}})


@pytest.mark.parametrize(
    "at_host",
    [
        {"filter_methods": ["unique_value"]},
        {"filter_methods": ["iv_percentile", "iv_value_thres"]},
        {"iv_value_param": {"local_only": True}},
    ],
)
def test_parties_must_agree_on_the_order(world: World, at_host: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="same order at all parties"):
        world.run("iv_value_thres", "iv_percentile", at={HOSTS[0]: at_host})


def test_only_anonymous_names_cross(world: World) -> None:
    run = world.run("unique_value", "iv_value_thres", "iv_percentile")
    crossed = [json.dumps(decode(record.data)) for record in run.mailbox.records]
    assert sorted(crossed) == sorted(
        [
            '["iv_value_thres", "iv_percentile"]',
            '["iv_value_thres", "iv_percentile"]',
            '["host.0", "host.1"]',
            '["host.0", "host.1"]',
            '["host.0", "host.1"]',
            '["host.1"]',
        ]
    )


def test_a_loaded_model_keeps_its_columns(world: World) -> None:
    trained = world.run("unique_value")
    table = put_instances(
        world.stores[GUEST],
        ["n"],
        {"tall": [1.0], "flat": [2.0], "extra": [3.0], "near": [4.0], "wide": [5.0]},
        name="new",
    )
    model = {"selection_0": trained[GUEST].model()}
    inputs = {GUEST: TaskInputs(data={"source": {"data": table}}, model=model)}
    run = run_component("HeteroFeatureSelection", world.stores, {GUEST: {}}, inputs)
    assert left(run) == ["tall", "near", "wide"]
    results = as_dict(run, GUEST)["results"]
    assert [result["filterName"] for result in results] == ["unique_value", "conclusion"]
    assert as_dict(run, GUEST, "FeatureSelectionMeta")["filterMethods"] == ["unique_value"]
    table = put_instances(world.stores[GUEST], ["n"], {"tall": [1.0]}, name="new")
    inputs = {GUEST: TaskInputs(data={"source": {"data": table}}, model=model)}
    with pytest.raises(DataError, match="no column 'wide'"):
        run_component("HeteroFeatureSelection", world.stores, {GUEST: {}}, inputs)


def test_need_run_false_passes_the_data_on(world: World) -> None:
    run = world.run("unique_value", need_run=False)
    assert left(run) == list(COLUMNS[GUEST])
    assert as_dict(run, GUEST, "FeatureSelectionMeta")["needRun"] is False


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"filter_methods": ["chi"]}, "filter_methods"),
        ({"unique_param": {"eps": 0}}, "unique_param.eps"),
        (
            {"iv_percentile_param": {"percentile_threshold": 1}},
            "iv_percentile_param.percentile_threshold",
        ),
        ({"select_col_indexes": [4]}, "select_col_indexes"),
        (
            {"manually_param": {"filter_out_indexes": [4]}, "filter_methods": ["manually"]},
            "manually_param.filter_out_indexes",
        ),
    ],
)
def test_bad_parameters(world: World, parameters: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        world.run("unique_value", at={GUEST: parameters})
    assert caught.value.problems[0].path == path


def test_defaults_have_every_key() -> None:
    defaults = FeatureSelectionParam.defaults()
    assert len(defaults) == 10
    assert defaults["filter_methods"] == ["unique_value"]
    assert FeatureSelectionParam().filter_methods is not FeatureSelectionParam().filter_methods


@given(st.dictionaries(st.text(max_size=3), st.floats(-9, 9), min_size=1), st.floats(-9, 9))
def test_judgement_never_drops_all(values: dict[str, float], threshold: float) -> None:
    judgement = judge(list(values), values, lambda value: value > threshold)
    assert judgement.left
    passing = [name for name in values if values[name] > threshold]
    assert judgement.left == (passing or [max(values, key=values.__getitem__)])


@given(st.lists(st.floats(0, 9), min_size=1), st.floats(0, 1))
def test_percentile_threshold_keeps_at_most_the_share(values: list[float], share: float) -> None:
    threshold = percentile_threshold(values, share)
    assert threshold in values
    assert sum(value > threshold for value in values) <= share * len(values)
