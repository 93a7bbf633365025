"""The Evaluation component on small tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fate_flow.components.evaluation.params import EvaluateParam
from fate_flow.data.table import PREDICTION_HEADER, SID, Table, TableKind, TableSchema, TableStore
from fate_flow.entities import Party
from fate_flow.errors import DataError, InvalidInputError
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import MemoryTracker, run_component

GUEST = Party("guest", 9999)


def predictions(store: TableStore, name: str, **columns: list[Any]) -> Table:
    count = len(columns["label"])
    data = {
        SID: [str(index) for index in range(count)],
        "predict_result": [0] * count,
        "predict_score": [0.5] * count,
        "predict_detail": ["{}"] * count,
        "type": ["train"] * count,
        **columns,
    }
    schema = TableSchema(TableKind.PREDICTIONS, "id", PREDICTION_HEADER)
    return store.put("output", name, pa.table(data), schema)


def evaluate(store: TableStore, tables: dict[str, Table], **parameters: Any) -> MemoryTracker:
    inputs = TaskInputs(data={source: {"data": table} for source, table in tables.items()})
    return run_component("Evaluation", {GUEST: store}, {GUEST: parameters}, {GUEST: inputs})[
        GUEST
    ].tracker


def test_each_type_of_rows_has_its_own_namespace(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    table = predictions(
        store,
        "lr",
        label=[1, 0, 1, 0],
        predict_score=[0.9, 0.1, 0.2, 0.8],
        type=["train", "train", "validate", "validate"],
    )
    tracker = evaluate(store, {"lr_0": table}, metrics=["auc"])
    assert tracker.points == {
        ("train", "lr_0"): [("auc", 1.0)],
        ("validate", "lr_0"): [("auc", 0.0)],
    }
    assert tracker.metas["train", "lr_0"] == {
        "name": "lr_0",
        "metric_type": "EVALUATION_SUMMARY",
    }


def test_several_tables_are_named_by_their_source(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    first = predictions(store, "a", label=[1, 0], predict_score=[0.9, 0.1])
    second = predictions(store, "b", label=[1, 0], predict_score=[0.1, 0.9])
    tracker = evaluate(store, {"a_0": first, "b_0": second}, metrics=["auc"])
    assert tracker.points == {
        ("train", "a_0"): [("auc", 1.0)],
        ("train", "b_0"): [("auc", 0.0)],
    }
    assert tracker.progress_reports[-1][0] == 1


@pytest.mark.parametrize(
    ("labels", "pos_label"),
    [([2, 3], 2), ([2.0, 3.0], 2), (["good", "bad"], "good"), (["1", "0"], 1), ([1, 0], "1")],
)
def test_pos_label_may_be_a_number_or_a_text(
    tmp_path: Path, labels: list[Any], pos_label: Any
) -> None:
    store = TableStore(tmp_path)
    table = predictions(store, "a", label=labels, predict_score=[0.9, 0.1])
    tracker = evaluate(store, {"a_0": table}, metrics=["auc"], pos_label=pos_label)
    assert tracker.points["train", "a_0"] == [("auc", 1.0)]


def test_multi_and_regression(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    classes = predictions(store, "m", label=["1", "2", "2"], predict_result=[1, 2, 1])
    tracker = evaluate(store, {"m_0": classes}, eval_type="multi")
    assert ("accuracy", 0.666667) in tracker.points["train", "m_0"]
    assert tracker.points["train", "m_0_precision"] == [("1", 0.5), ("2", 1.0)]
    numbers = predictions(store, "r", label=[1.0, 2.0], predict_score=[1.0, 3.0])
    tracker = evaluate(store, {"r_0": numbers}, eval_type="regression", metrics=["mae", "mse"])
    assert tracker.points["train", "r_0"] == [
        ("mean_absolute_error", 0.5),
        ("mean_squared_error", 0.5),
    ]


def test_one_class_is_refused_with_what_to_do(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    table = predictions(store, "a", label=[1, 1])
    with pytest.raises(DataError, match=r"all labels are positive or negative.*pos_label"):
        evaluate(store, {"a_0": table})


def test_labels_that_are_missing_or_a_wrong_table_are_refused(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    table = predictions(store, "a", label=[1, None])
    with pytest.raises(DataError, match="1 of 2 rows of a_0 have no label"):
        evaluate(store, {"a_0": table})
    other = store.put(
        "output", "x", pa.table({SID: ["1"], "x0": [1.0]}), TableSchema(TableKind.INSTANCES)
    )
    with pytest.raises(DataError, match="is not a table of predictions"):
        evaluate(store, {"x_0": other})


def test_without_a_table_nothing_happens(tmp_path: Path) -> None:
    assert not evaluate(TableStore(tmp_path), {}).points


def test_need_run_false_passes_the_table_through(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    table = predictions(store, "a", label=[1, 1])
    assert not evaluate(store, {"a_0": table}, need_run=False).points


def test_parameters_are_checked_all_at_once() -> None:
    with pytest.raises(InvalidInputError) as caught:
        EvaluateParam.from_conf({"eval_type": "binaryy", "pos_label": None, "need_run": 1})
    assert [problem.path for problem in caught.value.problems] == [
        "eval_type",
        "pos_label",
        "need_run",
    ]
    with pytest.raises(InvalidInputError, match="metric foo is not supported"):
        EvaluateParam.from_conf({"metrics": ["foo"]})
    assert EvaluateParam.from_conf({"eval_type": "BINARY"}).eval_type == "binary"
