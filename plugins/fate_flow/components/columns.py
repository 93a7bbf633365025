"""Columns of instance tables: choosing them by index and name, reading, replacing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.data.table import LABEL, SID, Table
from fate_flow.errors import DataError, InvalidInputError, Problem
from fate_flow.runtime.context import TaskContext

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def choose(
    header: Sequence[str],
    indexes: int | Sequence[int] | None,
    names: Sequence[str] | None,
    *,
    path: str,
    strict_names: bool = False,
) -> list[int]:
    """Positions in ``header`` of the columns that indexes and names name together.

    Args:
        indexes: positions; -1 for all; None for none.
        names: column names that are added.
        path: JSON path of the indexes, for the error.
        strict_names: refuse unknown names rather than skip them.

    Returns:
        distinct positions, ascending.

    Raises:
        InvalidInputError: a position outside the header, or an unknown name.
    """
    given = [indexes] if isinstance(indexes, int) else list(indexes or ())
    if indexes == -1:
        given = list(range(len(header)))
    problems = [
        Problem(path, f"found index {index}", f"0 to {len(header) - 1} (the table's columns)")
        for index in given
        if not 0 <= index < len(header)
    ]
    place = {name: position for position, name in enumerate(header)}
    unknown = [name for name in names or () if name not in place]
    if unknown and strict_names:
        problems.append(Problem(path, f"the table has no column {unknown[0]!r}", ", ".join(header)))
    if problems:
        raise InvalidInputError(problems)
    return sorted({*given, *(place[name] for name in names or () if name in place)})


def numbers(
    table: Table, names: Sequence[str], *, finite: bool = True
) -> Iterator[tuple[str, FloatArray]]:
    """Columns one after the other, with their names, each as float64 of shape (count,).

    Args:
        finite: refuse missing and infinite values; else missing ones are NaN.

    Raises:
        DataError: no such column, not numeric, or values that are refused.
    """
    known = set(table.schema.header)
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"table {table.name} has no column {missing[0]!r}",
            remedy="The data must have the columns that the model was made with",
        )
    for name, column in table.columns(names):
        yield name, _as_numbers(table, name, column, finite)


def _as_numbers(table: Table, name: str, column: pa.ChunkedArray, finite: bool) -> FloatArray:
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise DataError(
            f"column {name!r} of table {table.name} holds {kind}, not numbers",
            remedy="Set data_type of DataIO to float",
        )
    values: FloatArray = column.cast(pa.float64()).to_numpy().astype(np.float64, copy=False)
    bad = int(len(values) - np.isfinite(values).sum()) if finite else 0
    if bad:
        raise DataError(
            f"column {name!r} of table {table.name} has {bad} missing or infinite values",
            remedy="Fill them in, for instance with missing_fill of DataIO",
        )
    return values


def with_columns(context: TaskContext, table: Table, values: Mapping[str, FloatArray]) -> Table:
    """Store the task's output: ``table`` with some columns replaced by float64 values."""
    data = table.arrow()
    columns = {
        name: pa.array(values[name]) if name in values else column
        for name, column in zip(data.column_names, data.columns, strict=True)
    }
    return context.tables.put(
        *context.output, pa.table(columns), table.schema, partitions=table.partitions, ordered=True
    )


def with_header(context: TaskContext, table: Table, header: Sequence[str]) -> Table:
    """Store the task's output: ``table`` with the columns of ``header`` only."""
    columns = [SID, *([LABEL] if table.has_label else []), *header]
    schema = replace(table.schema, header=tuple(header))
    return context.tables.put(
        *context.output, table.arrow(columns), schema, partitions=table.partitions, ordered=True
    )
