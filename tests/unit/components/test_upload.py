"""The Upload component: parameters, metrics and the data view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fate_flow.components.upload.params import UploadParam
from fate_flow.data.table import TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError
from tests.support.parties import PartyResult, run_component

LOCAL = Party("local", 0)
TEXT = "id,y,x0\nb,1,2\na,0,3\nb,1,4\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATE_FLOW_HOME", str(tmp_path))
    (tmp_path / "data.csv").write_text(TEXT)
    return tmp_path


def run(home: Path, **conf: Any) -> PartyResult:
    store = TableStore(home / "tables")
    given = {"file": "data.csv", "namespace": "n", "table_name": "t", **conf}
    return run_component("Upload", {LOCAL: store}, {LOCAL: given}, {})[LOCAL]


def test_effective_defaults() -> None:
    assert UploadParam.defaults() == {
        "file": "",
        "head": 1,
        "partition": 10,
        "namespace": "",
        "table_name": "",
        "work_mode": 0,
        "in_version": False,
        "delimiter": ",",
        "drop": 0,
    }


@pytest.mark.parametrize(
    ("conf", "path"),
    [
        ({"file": ""}, "file"),
        ({"head": 2}, "head"),
        ({"partition": 0}, "partition"),
        ({"partition": 1024}, "partition"),
        ({"namespace": ""}, "namespace"),
        ({"table_name": "x" * 201}, "table_name"),
        ({"delimiter": "||"}, "delimiter"),
        ({"drop": 3}, "drop"),
        ({"in_version": []}, "in_version"),
    ],
)
def test_bad_parameters(conf: dict[str, Any], path: str) -> None:
    given = {"file": "f", "namespace": "n", "table_name": "t", **conf}
    with pytest.raises(InvalidInputError) as caught:
        UploadParam.from_conf(given)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_fields_of_a_form_are_texts() -> None:
    form = {
        "file": "f",
        "namespace": "n",
        "table_name": "t",
        "head": "0",
        "partition": "16",
        "in_version": "false",
    }
    param = UploadParam.from_conf(form)
    assert (param.head, param.partition, param.in_version) == (0, 16, False)


def test_reports(home: Path) -> None:
    result = run(home, partition=16)
    assert result.output.data is None
    assert result.output.model is None
    assert result.tracker.views == {
        "table_name": "t",
        "table_namespace": "n",
        "partition": 16,
        "table_count_upload": 3,
        "table_count_actual": 2,
    }
    assert result.tracker.points == {("upload", "data_access"): [("count", 2)]}
    assert result.tracker.metas == {
        ("upload", "data_access"): {"name": "upload", "metric_type": "UPLOAD"}
    }
    assert result.tracker.progress_reports[-1][0] == 1.0
    assert TableStore(home / "tables").open("n", "t").schema.header == ("y", "x0")


def test_absolute_path(home: Path) -> None:
    assert run(home, file=str(home / "data.csv")).tracker.views["table_count_actual"] == 2


def test_names_that_are_null(home: Path) -> None:
    views = run(home, namespace=None, table_name=None).tracker.views
    assert views["table_namespace"] == "data.csv"
    assert len(views["table_name"]) == 14


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("missing.csv", "missing.csv is not exist, please check the configure"),
        ("../data.csv", "leads out of the site's home"),
        ("tables", "belongs to the site's own state"),
    ],
)
def test_bad_paths(home: Path, file: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        run(home, file=file)


def test_bad_lines(home: Path) -> None:
    (home / "data.csv").write_text("id,y\na\n")
    with pytest.raises(DataError, match="line 2: 1 item where the header has 2"):
        run(home)
