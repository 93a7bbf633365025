"""Preview, lines and archive of every kind of table."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.data.export import (
    header_of,
    preview,
    table_meta,
    write_archive,
    write_file,
    write_lines,
)
from fate_flow.data.table import (
    LABEL,
    PREDICTION_HEADER,
    SID,
    VALUE,
    Table,
    TableKind,
    TableSchema,
    TableStore,
)
from fate_flow.errors import DataError


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path / "tables")


@pytest.fixture
def instances(store: TableStore) -> Table:
    data = pa.table(
        {
            SID: ["a", "b", "c"],
            LABEL: [1, 0, 1],
            "x": [1.0, np.nan, -np.inf],
            "n": pa.array([1, None, 3], pa.int64()),
            "s": ["k", None, "m"],
            "f": [True, False, None],
        }
    )
    schema = TableSchema(TableKind.INSTANCES, "id", ("x", "n", "s", "f"), "y")
    return store.put("n", "instances", data, schema)


@pytest.fixture
def predictions(store: TableStore) -> Table:
    data = pa.table(
        {
            SID: ["a", "b"],
            "label": [1, 0],
            "predict_result": [1, 0],
            "predict_score": [0.9, 1e-07],
            "predict_detail": [
                json.dumps({"0": 0.1, "1": 0.9}),
                json.dumps({"0": None, "1": 1e-07}),
            ],
            "type": ["train", "train"],
        }
    )
    schema = TableSchema(TableKind.PREDICTIONS, "id", PREDICTION_HEADER)
    return store.put("n", "predictions", data, schema)


@pytest.fixture
def raw(store: TableStore) -> Table:
    data = pa.table({SID: ["a", "b"], VALUE: ["1,2", ""]})
    return store.put("n", "raw", data, TableSchema(TableKind.RAW, "id", ("x", "y")))


def text(table: Table, **arguments: object) -> str:
    target = io.StringIO()
    write_lines(table, target, **arguments)  # type: ignore[arg-type]
    return target.getvalue()


def test_instances(instances: Table) -> None:
    header, rows = preview(instances)
    assert header == ["id", "y", "x", "n", "s", "f"]
    assert rows == [
        ["a", 1, 1.0, 1, "k", True],
        ["b", 0, None, None, None, False],
        ["c", 1, "-inf", 3, "m", None],
    ]
    json.dumps(rows, allow_nan=False)
    assert text(instances, head=True) == (
        "id,y,x,n,s,f\na,1,1.0,1,k,True\nb,0,nan,None,None,False\nc,1,-inf,3,m,None\n"
    )


def test_predictions(predictions: Table) -> None:
    header, rows = preview(predictions)
    assert header == ["id", *PREDICTION_HEADER]
    assert rows[0] == ["a", 1, 1, 0.9, {"0": 0.1, "1": 0.9}, "train"]
    assert text(predictions) == (
        "a,1,1,0.9,{'0': 0.1, '1': 0.9},train\nb,0,0,1e-07,{'0': None, '1': 1e-07},train\n"
    )


def test_raw(raw: Table) -> None:
    assert preview(raw) == (["id", "x", "y"], [["a", "1,2"], ["b", ""]])
    assert text(raw, head=True) == "id,x,y\na,1,2\nb\n"
    assert text(raw, delimiter="|") == "a|1,2\nb\n"


def test_keys(store: TableStore) -> None:
    table = store.put("n", "k", pa.table({SID: ["b", "a"]}), TableSchema(TableKind.KEYS, "id"))
    assert preview(table) == (["id"], [["a"], ["b"]])
    assert text(table, head=True) == "id\na\nb\n"
    data = pa.table({SID: ["b", "a"], VALUE: [1, 1]})
    table = store.put("n", "k", data, TableSchema(TableKind.KEYS))
    assert preview(table) == (["sid"], [["a", 1], ["b", 1]])
    assert text(table, head=True) == "sid\na,1\nb,1\n"


def test_limits(instances: Table) -> None:
    assert len(preview(instances, 2)[1]) == 2
    assert text(instances, limit=1).count("\n") == 1


def test_preview_stops_at_a_hundred_rows(store: TableStore) -> None:
    data = pa.table({SID: [f"{index:03d}" for index in range(300)]})
    rows = preview(store.put("n", "k", data, TableSchema(TableKind.KEYS)))[1]
    assert [row[0] for row in rows] == [f"{index:03d}" for index in range(100)]


@pytest.mark.parametrize("head", [True, False])
def test_archive(instances: Table, tmp_path: Path, head: bool) -> None:
    target = tmp_path / "out.tar.gz"
    assert write_archive(instances, target, head=head, limit=2) == 2
    with tarfile.open(target) as archive:
        assert archive.getnames() == ["output_data.csv", "output_data_meta.json"]
        content = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    expected = text(instances, head=head, limit=2)
    assert content["output_data.csv"].decode() == expected
    assert content["output_data_meta.json"].decode() == json.dumps(
        {"header": header_of(instances)}, indent=4
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tar.gz", "tables"]


def test_archive_of_nothing_is_refused(instances: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="limit is 0"):
        write_archive(instances, tmp_path / "out.tar.gz", limit=0)


def test_write_file_reports_progress(raw: Table, tmp_path: Path) -> None:
    shares: list[float] = []
    assert write_file(raw, tmp_path / "out.csv", progress=shares.append) == 2
    assert (tmp_path / "out.csv").read_text() == "a,1,2\nb\n"
    assert shares == [1.0]


def test_write_file_says_why_not(raw: Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written: No such file"):
        write_file(raw, tmp_path / "missing" / "out.csv")


def test_metas(raw: Table, instances: Table, store: TableStore) -> None:
    assert table_meta(raw) == {"header": "x,y", "sid": "id"}
    assert table_meta(instances) == {
        "schema": {"sid_name": "id", "header": ["x", "n", "s", "f"], "label_name": "y"},
        "header": ["x", "n", "s", "f"],
    }
    headless = store.put(
        "n",
        "h",
        pa.table({SID: ["a"], VALUE: ["1"]}),
        TableSchema(TableKind.RAW, extra={"head": False}),
    )
    assert table_meta(headless) == {}
