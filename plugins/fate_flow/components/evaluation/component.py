"""Evaluation: metrics of prediction tables. No federation, no output data, no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.components.evaluation.params import EvaluateParam
from fate_flow.data.table import PREDICTION_HEADER, Table
from fate_flow.errors import DataError
from fate_flow.ml.evaluation import (
    MetricSeries,
    binary_report,
    multi_report,
    regression_report,
)
from fate_flow.runtime.component import Component


class Evaluation(Component[EvaluateParam]):
    """Evaluates each input table, each ``type`` of rows (train, validate, predict) by itself.

    A party without a prediction table (a hetero host) has nothing to do.
    """

    param_class = EvaluateParam

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        self._evaluate(self._tables("data"))
        return None

    def fit_many(self, data: Mapping[str, Table]) -> Table | None:
        self._evaluate(data)
        return None

    def transform(self, data: Table | None) -> Table | None:
        return self.fit(data)

    def _evaluate(self, tables: Mapping[str, Table]) -> None:
        if not tables:
            self.note("no prediction table at this party, nothing to evaluate")
        for done, (source, table) in enumerate(tables.items()):
            for data_type, rows in _by_type(self.require_table(table), source):
                for series in self._report(source, rows):
                    self.context.tracker.metrics(data_type, series.name, series.points, series.meta)
            self.context.tracker.progress((done + 1) / len(tables), f"evaluated {source}")

    def _report(self, source: str, rows: pa.Table) -> list[MetricSeries]:
        param = self.param
        label = _filled(rows, "label", source)
        if param.eval_type == "binary":
            score = _numbers(rows, "predict_score", source)
            return binary_report(
                source, _is_positive(label, param.pos_label), score, param.effective_metrics
            )
        if param.eval_type == "regression":
            score = _numbers(rows, "predict_score", source)
            truth = _numbers(rows, "label", source)
            return regression_report(source, truth, score, param.effective_metrics)
        predicted = _filled(rows, "predict_result", source)
        if _is_number(label.type) != _is_number(predicted.type):
            label, predicted = label.cast(pa.string()), predicted.cast(pa.string())
        return multi_report(source, _to_numpy(label), _to_numpy(predicted), param.effective_metrics)


def _by_type(table: Table, source: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each value of the ``type`` column, in order of appearance."""
    missing = [name for name in PREDICTION_HEADER if name not in table.schema.header]
    if missing:
        raise DataError(
            f"the table of {source} is not a table of predictions, "
            f"it has no column {', '.join(missing)}",
            remedy="Evaluation takes the output data of a model component",
        )
    rows = table.arrow(["label", "predict_result", "predict_score", "type"])
    kinds = rows.column("type").unique().to_pylist()
    for kind in kinds:
        yield kind, rows if len(kinds) == 1 else rows.filter(pc.equal(rows.column("type"), kind))


def _filled(rows: pa.Table, name: str, source: str) -> pa.ChunkedArray:
    column = rows.column(name)
    if column.null_count:
        raise DataError(
            f"{column.null_count} of {len(column)} rows of {source} have no {name}",
            remedy="Rows can be evaluated only where the label is known"
            if name == "label"
            else "Evaluate the table of a party that has the predictions",
        )
    return column


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _numbers(rows: pa.Table, name: str, source: str) -> Any:
    column = _filled(rows, name, source)
    try:
        return column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise DataError(
            f"column {name} of {source} holds {column.type}, not numbers: {error}",
            remedy="Choose eval_type multi for classes that are texts",
        ) from None


def _is_positive(label: pa.ChunkedArray, pos_label: object) -> Any:
    """Where the label is ``pos_label``; numbers and texts that look alike are equal."""
    if _is_number(label.type):
        try:
            wanted = float(str(pos_label))
        except ValueError:
            return np.zeros(len(label), dtype=bool)
        return label.cast(pa.float64()).to_numpy() == wanted
    return pc.equal(label.cast(pa.string()), str(pos_label)).to_numpy()


def _to_numpy(column: pa.ChunkedArray) -> Any:
    """Numbers as they are, texts as a fixed-width array (sorting objects is slow)."""
    values = column.to_numpy()
    return values.astype(str) if values.dtype == object else values
