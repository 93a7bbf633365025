"""Evaluation against FATE 1.4's recorded metrics of a real run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.components.evaluation.params import EvaluateParam
from fate_flow.data.table import PREDICTION_HEADER, SID, TableKind, TableSchema, TableStore
from fate_flow.entities import Party
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import MemoryTracker, run_component
from tests.support.reference import reference_path

GUEST, HOST = Party("guest", 10000), Party("host", 10000)
COMPONENTS = ("golden-1.4", "hetero_logistic_regression.lr", "components")


def recorded(*parts: str) -> Any:
    return json.loads(reference_path(*COMPONENTS, *parts).read_text())


def recorded_predictions() -> pa.Table:
    lines = reference_path(
        *COMPONENTS, "hetero_lr_0", "guest_10000", "download", "output_data.csv"
    ).read_text()
    rows = [line.split(",") for line in lines.splitlines()[1:]]
    return pa.table(
        {
            SID: [row[0] for row in rows],
            "label": [int(row[1]) for row in rows],
            "predict_result": [int(row[2]) for row in rows],
            "predict_score": [float(row[3]) for row in rows],
            "predict_detail": ["{}"] * len(rows),
            "type": [row[-1] for row in rows],
        }
    )


def evaluated(folder: Path) -> MemoryTracker:
    store = TableStore(folder / "guest")
    schema = TableSchema(TableKind.PREDICTIONS, "id", PREDICTION_HEADER)
    table = store.put("output", "hetero_lr_0", recorded_predictions(), schema)
    run = run_component(
        "Evaluation",
        {GUEST: store, HOST: TableStore(folder / "host")},
        {GUEST: {}, HOST: {"need_run": False}},
        {GUEST: TaskInputs(data={"hetero_lr_0": {"data": table}})},
    )
    assert run[HOST].output.data is None
    assert not run[HOST].tracker.points
    assert run[GUEST].output.data is None
    assert run[GUEST].output.model is None
    return run[GUEST].tracker


def test_every_recorded_metric_is_reproduced_to_its_last_digit(tmp_path: Path) -> None:
    wanted = recorded("evaluation_0", "guest_10000", "metric_all.json")["data"]
    tracker = evaluated(tmp_path)
    assert {name for _, name in tracker.points} == set(wanted["train"])
    for name, series in wanted["train"].items():
        points = [list(point) for point in tracker.points["train", name]]
        np.testing.assert_allclose(
            [value for _, value in points], [v for _, v in series["data"]], rtol=0, atol=1e-12
        )
        assert [key for key, _ in points] == [key for key, _ in series["data"]], name
        assert tracker.metas["train", name] == series["meta"], name


def test_metrics_are_listed_in_the_recorded_order(tmp_path: Path) -> None:
    wanted = recorded("evaluation_0", "guest_10000", "metrics.json")["data"]["train"]
    assert [name for _, name in evaluated(tmp_path).points] == wanted


def test_effective_parameters_are_the_recorded_ones() -> None:
    wanted = recorded("evaluation_0", "guest_10000", "parameters.json")["data"]["EvaluateParam"]
    assert EvaluateParam.defaults() == wanted
