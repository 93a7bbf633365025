"""Writing prediction rows: the output table of every model component at the guest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from fate_flow.data.table import (
    INTEGER_CLASSES,
    LABEL,
    PREDICTION_HEADER,
    SID,
    Table,
    TableKind,
    TableSchema,
)
from fate_flow.runtime.context import TaskContext


def write_predictions(
    context: TaskContext,
    data: Table,
    result: Any,
    score: Any,
    detail: Sequence[str],
    data_type: str,
    *,
    integer_classes: bool = False,
) -> Table:
    """Store the predictions of a table's rows.

    Args:
        context: of the task that predicts.
        data: the table that was scored; ids, labels and the id's name come from it.
        result: predicted class or number, shape (n,).
        score: float64, shape (n,).
        detail: JSON text of each row.
        data_type: value of the ``type`` column.
        integer_classes: whether the keys of ``detail`` are whole numbers, to be shown as such.
    """
    rows = data.arrow([SID, LABEL] if data.has_label else [SID])
    label = rows.column(LABEL) if data.has_label else pa.nulls(data.count, pa.int64())
    columns = {
        SID: rows.column(SID),
        "label": label,
        "predict_result": pa.array(result),
        "predict_score": pa.array(score),
        "predict_detail": pa.array(detail, pa.string()),
        "type": pa.DictionaryArray.from_arrays(
            pa.array([0] * data.count, pa.int8()), [data_type]
        ).cast(pa.string()),
    }
    schema = TableSchema(
        TableKind.PREDICTIONS,
        data.schema.sid_name,
        PREDICTION_HEADER,
        extra={INTEGER_CLASSES: True} if integer_classes else {},
    )
    namespace, name = context.output
    return context.tables.put(
        namespace,
        _name(context, name, data_type),
        pa.table(columns),
        schema,
        partitions=data.partitions,
        ordered=True,
    )


def _name(context: TaskContext, name: str, data_type: str) -> str:
    """Where both train and validate rows are scored they lie apart until they are united."""
    types = {kind for by_type in context.inputs.data.values() for kind in by_type}
    return f"{name}.{data_type}" if {"train_data", "eval_data"} <= types else name


def unite_predictions(context: TaskContext, tables: Sequence[Table]) -> Table:
    """Rows of all tables under the task's output name; the parts are removed."""
    united = context.tables.union(*context.output, tables)
    for table in tables:
        if table.name != united.name:
            context.tables.drop(table.namespace, table.name)
    return united


def binary_details(probability: Any) -> list[str]:
    """``{"0": 1 - p, "1": p}`` of each p."""
    return [f'{{"0": {1 - p!r}, "1": {p!r}}}' for p in probability.tolist()]
