"""DataIO against recorded answers: output data, download, model and parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from fate_flow.components.data_io.params import DataIOParam
from fate_flow.data.export import preview, write_archive, write_file
from fate_flow.data.table import TableStore
from fate_flow.data.upload import upload
from fate_flow.entities import Party
from fate_flow.models.proto.data_io_meta_pb2 import DataIOMeta
from fate_flow.models.proto.data_io_param_pb2 import DataIOParam as DataIOParamMessage
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import PartyResult, run_component
from tests.support.reference import reference_path

JOBS = (
    "hetero_logistic_regression.lr",
    "hetero_feature_binning.quantile_binning",
    "intersect.rsa_intersect",
)
GUEST, HOST = Party("guest", 10000), Party("host", 10000)
FILES = {GUEST: "breast_b.csv", HOST: "breast_a.csv"}


def recorded(job: str, party: Party, name: str) -> Any:
    path = reference_path("golden-1.4", job, "components", "dataio_0", party.key, name)
    return json.loads(path.read_text())


def run(job: str, party: Party, folder: Path) -> PartyResult:
    conf = recorded(job, party, "parameters.json")["data"]["DataIOParam"]
    store = TableStore(folder / "tables")
    source = reference_path("examples-1.4", "data", FILES[party])
    table = upload(store, source, "n", "t", partitions=10).table
    inputs = TaskInputs(data={"args": {"data": table}})
    return run_component("DataIO", {party: store}, {party: conf}, {party: inputs})[party]


def as_json(message: Message) -> dict[str, Any]:
    return MessageToDict(message, always_print_fields_with_no_presence=True)


@pytest.fixture(params=[(job, party) for job in JOBS for party in (GUEST, HOST)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[str, Party]:
    job, party = request.param
    return job, party


def test_parameters_have_the_same_keys_and_defaults(case: tuple[str, Party]) -> None:
    conf = recorded(*case, "parameters.json")["data"]["DataIOParam"]
    job, party = case
    assert DataIOParam.from_conf(conf).to_conf() == conf
    submitted = json.loads(reference_path("golden-1.4", job, "conf.json").read_text())
    given = submitted["role_parameters"][party.role]["dataio_0"]
    assert {**DataIOParam.defaults(), **{key: value[0] for key, value in given.items()}} == conf


def test_output_data(case: tuple[str, Party], tmp_path: Path) -> None:
    table = run(*case, tmp_path).output.data
    assert table is not None
    header, rows = preview(table)
    expected = recorded(*case, "output_data.json")
    assert header == expected["meta"]["header"]
    assert rows == expected["data"]


def test_download(case: tuple[str, Party], tmp_path: Path) -> None:
    job, party = case
    folder = reference_path("golden-1.4", job, "components", "dataio_0")
    csv = folder / party.key / "download" / "output_data.csv"
    if not csv.exists():
        pytest.skip("no download was recorded for this party")
    table = run(job, party, tmp_path).output.data
    assert table is not None
    write_file(table, tmp_path / "body.csv")
    head, _, body = csv.read_text().partition("\n")
    assert (tmp_path / "body.csv").read_text() == body
    assert preview(table, 1)[0] == head.split(",")
    assert write_archive(table, tmp_path / "x.tar.gz") == body.count("\n")


def test_model(case: tuple[str, Party], tmp_path: Path) -> None:
    model = run(*case, tmp_path).output.model
    assert model is not None
    expected = recorded(*case, "output_model.json")
    assert as_json(model["DataIOParam"]) == expected["data"]
    assert as_json(model["DataIOMeta"]) == expected["meta"]["meta_data"]


@pytest.mark.parametrize("party", [GUEST, HOST], ids=str)
def test_recorded_messages_are_read(party: Party) -> None:
    folder = reference_path("golden-1.4", JOBS[0], "model", f"cache_{party.key}")
    stored = folder / "variables" / "data" / "dataio_0" / "dataio"
    expected = recorded(JOBS[0], party, "output_model.json")
    meta = DataIOMeta.FromString((stored / "DataIOMeta").read_bytes())
    learnt = DataIOParamMessage.FromString((stored / "DataIOParam").read_bytes())
    assert as_json(meta) == expected["meta"]["meta_data"]
    assert as_json(learnt) == expected["data"]


def test_tag_example_counts_a_repeated_tag_once(tmp_path: Path) -> None:
    source = reference_path("examples-1.4", "data", "tag_value_1000_140.csv")
    store = TableStore(tmp_path / "tables")
    table = upload(store, source, "n", "t", head=False).table
    conf = {"input_format": "tag", "tag_with_value": True, "with_label": False}
    inputs = TaskInputs(data={"args": {"data": table}})
    result = run_component("DataIO", {HOST: store}, {HOST: conf}, {HOST: inputs})[HOST].output.data
    assert result is not None
    expected = {
        key: {tag: float(value) for tag, _, value in (item.partition(":") for item in items)}
        for key, *items in (line.split(",") for line in source.read_text().splitlines())
    }
    assert list(result.schema.header) == sorted({tag for row in expected.values() for tag in row})
    for key, row in zip(result.ids().to_pylist(), result.features(), strict=True):
        found = {tag: value for tag, value in zip(result.schema.header, row, strict=True) if value}
        assert found == expected[key]
