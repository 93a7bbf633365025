"""Small tables of instances for component tests."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from fate_flow.data.table import LABEL, SID, VALUE, Table, TableKind, TableSchema, TableStore
from fate_flow.runtime.context import TaskInputs


def put_instances(
    store: TableStore,
    ids: Sequence[str],
    columns: Mapping[str, Sequence[float] | np.ndarray],
    labels: Sequence[int] | np.ndarray | None = None,
    *,
    name: str = "data",
) -> Table:
    data: dict[str, pa.Array] = {SID: pa.array(list(ids), type=pa.string())}
    if labels is not None:
        data[LABEL] = pa.array(labels)
    for column, values in columns.items():
        data[column] = pa.array(np.asarray(values, dtype=np.float64))
    schema = TableSchema(
        TableKind.INSTANCES,
        sid_name="id",
        header=tuple(columns),
        label_name="y" if labels is not None else None,
    )
    return store.put("test", name, pa.table(data), schema)


def put_raw(store: TableStore, rows: Mapping[str, str], header: Sequence[str]) -> Table:
    data = pa.table({SID: pa.array(list(rows)), VALUE: pa.array(list(rows.values()))})
    return store.put("test", "raw", data, TableSchema(TableKind.RAW, "id", tuple(header)))


def put_csv(store: TableStore, path: Path, label: str | None = None) -> Table:
    """A CSV file with a header; the first column is the id."""
    with path.open() as file:
        header, *rows = csv.reader(file)
    by_name = dict(zip(header, zip(*rows, strict=True), strict=True))
    ids = by_name.pop(header[0])
    labels = [int(value) for value in by_name.pop(label)] if label else None
    numbers = {name: [float(value) for value in values] for name, values in by_name.items()}
    return put_instances(store, ids, numbers, labels, name=path.stem)


def as_data(table: Table | None) -> TaskInputs:
    return TaskInputs(data={"source": {"data": table}})
