"""OneHotEncoder: columns, values, models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import OneHotEncoder as Reference

from fate_flow.components.one_hot_encoder.params import OneHotEncoderParam
from fate_flow.data.export import preview
from fate_flow.data.table import LABEL, SID, TableKind, TableSchema, TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError
from fate_flow.models.proto.one_hot_encoder_meta_pb2 import OneHotMeta
from fate_flow.models.proto.one_hot_encoder_param_pb2 import OneHotParam
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import PartyResult, run_component

GUEST = Party("guest", 9999)
Columns = dict[str, list[Any]]


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path)


def run(
    store: TableStore, columns: Columns, model: dict[str, bytes] | None = None, **conf: Any
) -> PartyResult:
    rows = len(next(iter(columns.values())))
    data = pa.table(
        {SID: [f"{i:05d}" for i in range(rows)], LABEL: [i % 2 for i in range(rows)], **columns}
    )
    schema = TableSchema(TableKind.INSTANCES, "id", tuple(columns), "y")
    inputs = TaskInputs(
        data={"binning_0": {"data": store.put("n", "t", data, schema)}},
        model={"one_hot_0": model} if model else {},
    )
    return run_component("OneHotEncoder", {GUEST: store}, {GUEST: conf}, {GUEST: inputs})[GUEST]


def shown(result: PartyResult) -> tuple[list[str], list[list[Any]]]:
    assert result.output.data is not None
    return preview(result.output.data)


def test_effective_defaults() -> None:
    assert OneHotEncoderParam.defaults() == {
        "transform_col_indexes": -1,
        "transform_col_names": None,
        "need_run": True,
    }


def test_all_columns(store: TableStore) -> None:
    result = run(store, {"b": [2, 10], "a": [0.0, -1.0]})
    assert shown(result) == (
        ["id", "y", "b_2", "b_10", "a_-1", "a_0"],
        [["00000", 0, 1, 0, 0, 1], ["00001", 1, 0, 1, 1, 0]],
    )
    meta = OneHotMeta.FromString(result.model()["OneHotMeta"])
    assert list(meta.transform_col_names) == ["b", "a"]
    assert list(meta.header) == ["b", "a"]
    assert meta.need_run
    learnt = OneHotParam.FromString(result.model()["OneHotParam"])
    assert list(learnt.col_map["b"].values) == ["2", "10"]
    assert list(learnt.col_map["a"].transformed_headers) == ["a_-1", "a_0"]
    assert list(learnt.result_header) == ["b_2", "b_10", "a_-1", "a_0"]


def test_against_scikit_learn(store: TableStore) -> None:
    matrix = np.random.default_rng(3).integers(-5, 20, size=(70_000, 3))
    result = run(store, {f"x{i}": matrix[:, i].tolist() for i in range(3)})
    assert result.output.data is not None
    expected = Reference(sparse_output=False).fit_transform(matrix)
    assert np.array_equal(result.output.data.features(), expected)


def test_some_columns_and_unknown_ones(store: TableStore) -> None:
    result = run(
        store,
        {"a": [1, 2], "b": [0.5, 0.25], "c": [7, 7]},
        transform_col_indexes=[2, 99],
        transform_col_names=["a", "nobody"],
    )
    assert shown(result)[0] == ["id", "y", "a_1", "a_2", "b", "c_7"]
    assert shown(result)[1][1] == ["00001", 1, 0, 1, 0.25, 1]


def test_one_index(store: TableStore) -> None:
    result = run(store, {"a": [1], "b": [2]}, transform_col_indexes=1)
    assert shown(result)[0] == ["id", "y", "a", "b_2"]


def test_no_columns(store: TableStore) -> None:
    result = run(store, {"a": [1.5]}, transform_col_indexes=None)
    assert shown(result) == (["id", "y", "a"], [["00000", 0, 1.5]])


def test_transform_gives_zeros_for_new_values(store: TableStore) -> None:
    fitted = run(store, {"b": [1, 2], "a": [3, 4]})
    again = run(store, {"b": [2, 9], "a": [3, 3]}, model=fitted.model())
    assert shown(again)[1] == [["00000", 0, 0, 1, 1, 0], ["00001", 1, 0, 0, 1, 0]]
    assert again.model() == fitted.model()
    with pytest.raises(DataError, match="lacks columns of the model: a"):
        run(store, {"b": [1]}, model=fitted.model())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.5], "column 'x', id '00001' has 1.5"),
        ([1.0, float("nan")], "column 'x', id '00001' has nan"),
        ([1, None], "column 'x', id '00001' has None"),
        ([float("inf")], "id '00000' has inf"),
        (["a"], "column 'x' holds string"),
        (
            list(range(1025)),
            "not have more than 1024 possible value .* column 'x' has at least 1025",
        ),
    ],
)
def test_refused_columns(store: TableStore, values: list[Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        run(store, {"x": values})


def test_names_that_collide(store: TableStore) -> None:
    with pytest.raises(DataError, match="two columns of the name 'a_1'"):
        run(store, {"a": [1], "a_1": [0]}, transform_col_indexes=[0])


def test_need_run_false_passes_on(store: TableStore) -> None:
    result = run(store, {"a": [1]}, need_run=False)
    assert shown(result)[0] == ["id", "y", "a"]


def test_foreign_model(store: TableStore) -> None:
    with pytest.raises(DataError, match="the model is not a one-hot model"):
        run(store, {"a": [1]}, model={"ScaleMeta": b""})
