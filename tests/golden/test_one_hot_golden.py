"""OneHotEncoder against recorded answers, with the recorded binning output rebuilt as its input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from fate_flow.components.one_hot_encoder.params import OneHotEncoderParam
from fate_flow.data.export import preview, write_file
from fate_flow.data.table import LABEL, SID, Table, TableKind, TableSchema, TableStore
from fate_flow.entities import Party
from fate_flow.models.proto.one_hot_encoder_meta_pb2 import OneHotMeta
from fate_flow.models.proto.one_hot_encoder_param_pb2 import OneHotParam
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import run_component
from tests.support.reference import reference_path

JOB = "hetero_feature_binning.quantile_binning"
GUEST, HOST = Party("guest", 10000), Party("host", 10000)
PARTIES = pytest.mark.parametrize("party", [GUEST, HOST], ids=str)


def recorded(component: str, party: Party, name: str) -> Any:
    path = reference_path("golden-1.4", JOB, "components", component, party.key, name)
    return json.loads(path.read_text())


def binned(store: TableStore, party: Party) -> Table:
    """The recorded rows that went into the encoder (the first hundred)."""
    answer = recorded("hetero_feature_binning_0", party, "output_data.json")
    names, rows = answer["meta"]["header"], answer["data"]
    stored = [SID, *([LABEL] if party == GUEST else [])]
    stored += names[len(stored) :]
    data = pa.table(dict(zip(stored, map(list, zip(*rows, strict=True)), strict=True)))
    header = tuple(name for name in stored if name not in (SID, LABEL))
    schema = TableSchema(TableKind.INSTANCES, "id", header, "y")
    return store.put("n", "t", data, schema)


def as_json(message: Message) -> dict[str, Any]:
    return MessageToDict(message, always_print_fields_with_no_presence=True)


@PARTIES
def test_parameters(party: Party) -> None:
    conf = recorded("one_hot_encoder_0", party, "parameters.json")["data"]["OneHotEncoderParam"]
    assert OneHotEncoderParam.defaults() == conf


@PARTIES
def test_output_data_and_model(party: Party, tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    inputs = TaskInputs(data={"binning_0": {"data": binned(store, party)}})
    result = run_component("OneHotEncoder", {party: store}, {party: {}}, {party: inputs})[party]
    assert result.output.data is not None
    assert result.output.model is not None
    answer = recorded("one_hot_encoder_0", party, "output_data.json")
    assert preview(result.output.data) == (answer["meta"]["header"], answer["data"])
    model = recorded("one_hot_encoder_0", party, "output_model.json")
    assert as_json(result.output.model["OneHotParam"]) == model["data"]
    assert as_json(result.output.model["OneHotMeta"]) == model["meta"]["meta_data"]


@PARTIES
def test_recorded_model_is_used(party: Party, tmp_path: Path) -> None:
    folder = reference_path("golden-1.4", JOB, "model", f"cache_{party.key}")
    stored = folder / "variables" / "data" / "one_hot_encoder_0" / "model"
    model = {path.name: path.read_bytes() for path in stored.iterdir()}
    store = TableStore(tmp_path)
    inputs = TaskInputs(
        data={"binning_0": {"data": binned(store, party)}}, model={"one_hot_encoder_0": model}
    )
    result = run_component("OneHotEncoder", {party: store}, {party: {}}, {party: inputs})[party]
    assert result.output.data is not None
    answer = recorded("one_hot_encoder_0", party, "output_data.json")
    assert preview(result.output.data) == (answer["meta"]["header"], answer["data"])
    for name, kind in (("OneHotMeta", OneHotMeta), ("OneHotParam", OneHotParam)):
        assert kind.FromString(result.model()[name]) == kind.FromString(model[name])


def test_download(tmp_path: Path) -> None:
    folder = reference_path("golden-1.4", JOB, "components", "one_hot_encoder_0", GUEST.key)
    body = (folder / "download" / "output_data.csv").read_text().split("\n", 1)[1]
    store = TableStore(tmp_path)
    inputs = TaskInputs(data={"binning_0": {"data": binned(store, GUEST)}})
    result = run_component("OneHotEncoder", {GUEST: store}, {GUEST: {}}, {GUEST: inputs})[GUEST]
    assert result.output.data is not None
    write_file(result.output.data, tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines == body.splitlines()[: len(lines)]
