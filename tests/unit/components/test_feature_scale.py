"""FeatureScale against scikit-learn, and its own rules for limits, quantiles and models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fate_flow.components.feature_scale.params import ScaleParam
from fate_flow.data.table import LABEL, SID, Table, TableKind, TableSchema, TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError
from fate_flow.models.proto.feature_scale_meta_pb2 import ScaleMeta
from fate_flow.models.proto.feature_scale_param_pb2 import ScaleParam as ScaleParamMessage
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import PartyResult, run_component

HOST = Party("host", 10000)
MATRIX = np.random.default_rng(5).normal(3, 4, size=(50, 4))


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path)


def put(store: TableStore, matrix: np.ndarray[Any, Any], name: str = "t") -> Table:
    header = tuple(f"x{i}" for i in range(matrix.shape[1]))
    data = pa.table(
        {
            SID: [f"{i:03d}" for i in range(len(matrix))],
            LABEL: np.zeros(len(matrix), dtype=np.int64),
            **{column: matrix[:, i] for i, column in enumerate(header)},
        }
    )
    return store.put("n", name, data, TableSchema(TableKind.INSTANCES, "id", header, "y"))


def run(
    store: TableStore,
    matrix: np.ndarray[Any, Any],
    model: dict[str, bytes] | None = None,
    **conf: Any,
) -> PartyResult:
    inputs = TaskInputs(
        data={"dataio_0": {"data": put(store, matrix)}},
        model={"feature_scale_0": model} if model else {},
    )
    return run_component("FeatureScale", {HOST: store}, {HOST: conf}, {HOST: inputs})[HOST]


def scaled(result: PartyResult) -> np.ndarray[Any, Any]:
    assert result.output.data is not None
    return result.output.data.features()


def learnt(result: PartyResult) -> ScaleParamMessage:
    return ScaleParamMessage.FromString(result.model()["ScaleParam"])


def test_effective_defaults() -> None:
    assert ScaleParam.defaults() == {
        "method": "min_max_scale",
        "mode": "normal",
        "feat_upper": None,
        "feat_lower": None,
        "scale_col_indexes": -1,
        "scale_names": [],
        "with_mean": True,
        "with_std": True,
        "need_run": True,
    }


@pytest.mark.parametrize(
    ("conf", "path"),
    [
        ({"method": "max"}, "method"),
        ({"mode": "cap", "feat_upper": 1.5}, "feat_upper"),
        ({"mode": "cap", "feat_lower": [0.1]}, "feat_lower"),
        ({"feat_upper": 1, "feat_lower": 2}, "feat_lower"),
        ({"scale_col_indexes": -2}, "scale_col_indexes"),
    ],
)
def test_bad_parameters(conf: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ScaleParam.from_conf(conf)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_min_max(store: TableStore) -> None:
    result = run(store, MATRIX)
    expected = MinMaxScaler().fit_transform(MATRIX)
    assert np.array_equal(scaled(result), np.round(expected, 6))
    assert result.tracker.metas[("train", "scale")] == {
        "name": "scale",
        "metric_type": "SCALE",
        "method": "min_max_scale",
        "curve_name": "scale",
    }
    assert result.tracker.points[("train", "scale")] == []


def test_standard(store: TableStore) -> None:
    result = run(store, MATRIX, method="Standard_Scale")
    expected = StandardScaler().fit_transform(MATRIX)
    assert scaled(result) == pytest.approx(np.round(expected, 6), abs=1.1e-6)


@pytest.mark.parametrize(("with_mean", "with_std"), [(True, False), (False, True), (False, False)])
def test_standard_in_parts(store: TableStore, with_mean: bool, with_std: bool) -> None:
    result = run(store, MATRIX, method="standard_scale", with_mean=with_mean, with_std=with_std)
    expected = StandardScaler(with_mean=with_mean, with_std=with_std).fit_transform(MATRIX)
    assert scaled(result) == pytest.approx(expected, abs=1.1e-6)


def test_constant_columns(store: TableStore) -> None:
    matrix = np.full((3, 1), 5.0)
    assert scaled(run(store, matrix)).tolist() == [[0.0]] * 3
    assert scaled(run(store, matrix, method="standard_scale")).tolist() == [[0.0]] * 3


def test_limits_of_all_and_of_each_column(store: TableStore) -> None:
    matrix = np.array([[0.0, 0.0], [5.0, 5.0], [10.0, 10.0]])
    assert scaled(run(store, matrix, feat_lower=5, feat_upper=7)).tolist() == [
        [0.0, 0.0],
        [0.0, 0.0],
        [1.0, 1.0],
    ]
    result = run(store, matrix, feat_upper=[5, 20])
    assert scaled(result).tolist() == [[0.0, 0.0], [1.0, 0.5], [1.0, 1.0]]
    meta = ScaleMeta.FromString(result.model()["ScaleMeta"])
    assert list(meta.feat_upper) == ["5", "20"]
    assert list(meta.feat_lower) == ["None", "None"]
    with pytest.raises(InvalidInputError, match="found 3 numbers; allowed: one, or 2"):
        run(store, matrix, feat_upper=[1, 2, 3])


def test_cap_uses_quantiles(store: TableStore) -> None:
    matrix = np.arange(100.0)[:, None]
    result = run(store, matrix, mode="cap", feat_lower=0.1, feat_upper=0.9)
    assert learnt(result).col_scale_param["x0"].column_lower == 9.0
    assert learnt(result).col_scale_param["x0"].column_upper == 89.0
    assert scaled(result)[[0, 9, 49, 89, 99], 0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_some_columns(store: TableStore) -> None:
    result = run(store, MATRIX, scale_col_indexes=[2], scale_names=["x0"])
    expected = np.round(MinMaxScaler().fit_transform(MATRIX), 6)
    expected[:, [1, 3]] = MATRIX[:, [1, 3]]
    assert np.array_equal(scaled(result), expected)
    meta = ScaleMeta.FromString(result.model()["ScaleMeta"])
    assert list(meta.scale_column) == ["x0", "x2"]
    assert sorted(learnt(result).col_scale_param) == ["x0", "x2"]
    assert list(learnt(result).header) == ["x0", "x1", "x2", "x3"]


def test_unknown_columns_are_refused(store: TableStore) -> None:
    with pytest.raises(InvalidInputError, match="found index 9"):
        run(store, MATRIX, scale_col_indexes=[9])
    with pytest.raises(InvalidInputError, match="no column 'q'"):
        run(store, MATRIX, scale_col_indexes=[], scale_names=["q"])


def test_missing_values_stay_missing(store: TableStore) -> None:
    matrix = np.array([[0.0], [np.nan], [4.0]])
    assert np.array_equal(scaled(run(store, matrix)), [[0.0], [np.nan], [1.0]], equal_nan=True)
    with pytest.raises(DataError, match="column 'x0' has no value that is not missing"):
        run(store, np.full((2, 1), np.nan))


@pytest.mark.parametrize("method", ["min_max_scale", "standard_scale"])
def test_transform(store: TableStore, method: str) -> None:
    fitted = run(store, MATRIX, method=method, scale_col_indexes=[0, 1])
    again = run(store, MATRIX, model=fitted.model())
    assert scaled(again) == pytest.approx(scaled(fitted), abs=1e-5)
    assert again.model() == fitted.model()
    with pytest.raises(DataError, match="lacks columns the model scales: x1"):
        run(store, MATRIX[:, :1], model=fitted.model())


def test_nothing_to_do(store: TableStore) -> None:
    for conf in ({"method": None}, {"need_run": False}):
        result = run(store, MATRIX, **conf)
        assert np.array_equal(scaled(result), MATRIX)
        assert not learnt(result).col_scale_param


def test_foreign_model(store: TableStore) -> None:
    with pytest.raises(DataError, match="the model is not a scale model"):
        run(store, MATRIX, model={"OneHotMeta": b""})
    damaged = {"ScaleMeta": b"\xff\xff", "ScaleParam": b""}
    with pytest.raises(DataError, match="the model is not a scale model"):
        run(store, MATRIX, model=damaged)


def test_several_blocks_and_labels(store: TableStore) -> None:
    matrix = np.arange(140_000.0)[:, None]
    store_matrix = run_big(store, matrix)
    assert np.array_equal(store_matrix.features(), np.round(matrix / 139_999, 6))
    assert store_matrix.labels().sum() == 0


def run_big(store: TableStore, matrix: np.ndarray[Any, Any]) -> Table:
    data = pa.table(
        {
            SID: [f"{i:06d}" for i in range(len(matrix))],
            LABEL: np.zeros(len(matrix), dtype=np.int64),
            "x0": matrix[:, 0],
        }
    )
    table = store.put("n", "big", data, TableSchema(TableKind.INSTANCES, "id", ("x0",), "y"))
    inputs = TaskInputs(data={"dataio_0": {"data": table}})
    result = run_component("FeatureScale", {HOST: store}, {HOST: {}}, {HOST: inputs})[HOST]
    assert result.output.data is not None
    return result.output.data
