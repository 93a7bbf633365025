"""Tables: named, partitioned, columnar data, addressed by (namespace, name).

A table is a folder of Parquet partitions plus ``table.json``. Rows stand in one
canonical order, *shortlex* of the id's UTF-8 bytes (shorter ids first, then byte
order), so that two parties with the same ids have their rows, and the batches cut
from them, in the same order. FATE 1.4's standalone engine iterates in that order
too, which makes mini-batch runs comparable.

Columns: ``__sid__`` (the id, string), ``__label__`` (only when the table has a
label), then one column per name in ``schema.header``; a *raw* table, as uploaded,
has ``__sid__`` and ``__value__`` (the rest of the line as text) instead.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fate_flow.errors import DataError, InvalidInputError, Problem, TableNotFoundError

SID = "__sid__"
LABEL = "__label__"
VALUE = "__value__"

#: Header of prediction rows.
PREDICTION_HEADER = ("label", "predict_result", "predict_score", "predict_detail", "type")


class TableKind(str, Enum):
    """What the rows are."""

    RAW = "raw"
    INSTANCES = "instances"
    PREDICTIONS = "predictions"
    KEYS = "keys"


@dataclass(frozen=True)
class TableSchema:
    """Meaning of the columns.

    Attributes:
        kind: what the rows are.
        sid_name: name of the id column in the source.
        header: column names in order, without id and label.
        label_name: name of the label column; may be set though no label is stored.
        sparse: absent values of the source were zeros (shown expanded either way).
        extra: anything a component wants to keep with the table (JSON).
    """

    kind: TableKind
    sid_name: str = "sid"
    header: tuple[str, ...] = ()
    label_name: str | None = None
    sparse: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "kind": self.kind.value, "header": list(self.header)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TableSchema:
        values = dict(document)
        values["kind"] = TableKind(values["kind"])
        values["header"] = tuple(values["header"])
        return cls(**values)


def shortlex_order(ids: pa.Array) -> pa.Array:
    """Indices that put ids (string array) into the canonical order."""
    binary = ids.cast(pa.binary())
    keys = pa.table({"length": pc.binary_length(binary), "id": binary})
    return pc.sort_indices(keys, sort_keys=[("length", "ascending"), ("id", "ascending")])


@dataclass(frozen=True)
class Table:
    """A handle on a stored table; cheap to pass, reads on demand."""

    namespace: str
    name: str
    schema: TableSchema
    count: int
    partitions: int
    path: Path

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches in canonical order, one partition in memory at a time."""
        for index in range(self.partitions):
            yield from pq.ParquetFile(self.path / _part_name(index)).iter_batches(
                columns=list(columns) if columns is not None else None
            )

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table (or some columns) in memory."""
        parts = [
            pq.read_table(
                self.path / _part_name(index),
                columns=list(columns) if columns is not None else None,
            )
            for index in range(self.partitions)
        ]
        return pa.concat_tables(parts)

    @property
    def has_label(self) -> bool:
        return LABEL in pq.read_schema(self.path / _part_name(0)).names

    def ids(self) -> pa.Array:
        """Ids in canonical order, string array of length ``count``."""
        return self.arrow([SID]).column(SID).combine_chunks()

    def features(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Feature matrix, float64, shape (count, len(header)), C order; missing is NaN.

        Raises:
            DataError: a column is not numeric.
        """
        table = self.arrow(self.schema.header)
        matrix = np.empty((table.num_rows, table.num_columns), dtype=np.float64)
        for index, name in enumerate(self.schema.header):
            column = table.column(name)
            if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
                raise DataError(
                    f"column {name!r} of table {self.name} holds {column.type}, not numbers"
                )
            matrix[:, index] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return matrix

    def labels(self) -> np.ndarray[Any, Any]:
        """Labels, shape (count,).

        Raises:
            DataError: the table has no label.
        """
        if not self.has_label:
            raise DataError(f"table {self.name} of namespace {self.namespace} has no label column")
        labels: np.ndarray[Any, Any] = self.arrow([LABEL]).column(LABEL).to_numpy()
        return labels


def _part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


def _folder_name(text: str) -> str:
    """A path-safe folder name, different for different texts, readable for plain ones.

    Every byte outside ``[A-Za-z0-9_-]`` is written ``%XX``: no separators, no dots.
    """
    return (
        re.sub(
            rb"[^A-Za-z0-9_-]", lambda found: b"%%%02X" % found.group()[0], text.encode()
        ).decode()
        or "%"
    )


class TableStore:
    """All tables of a site, below one folder; every change is atomic (write aside, rename)."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path_of(self, namespace: str, name: str) -> Path:
        problems = [
            Problem(key, f"found a text of {len(text.encode())} bytes", "1 to 200 bytes")
            for key, text in (("namespace", namespace), ("name", name))
            if not 0 < len(text.encode()) <= 200
        ]
        if problems:
            raise InvalidInputError(problems)
        return self.root / _folder_name(namespace) / _folder_name(name)

    def exists(self, namespace: str, name: str) -> bool:
        return bool(namespace and name) and (self.path_of(namespace, name) / "table.json").is_file()

    def open(self, namespace: str, name: str) -> Table:
        """A handle.

        Raises:
            TableNotFoundError: no such table.
        """
        path = self.path_of(namespace, name)
        try:
            document = json.loads((path / "table.json").read_text())
        except FileNotFoundError:
            raise TableNotFoundError(
                f"there is no table {name!r} in namespace {namespace!r}",
                remedy="Upload it first, or look at its spelling with table_info",
            ) from None
        return Table(
            namespace=document["namespace"],
            name=document["name"],
            schema=TableSchema.from_json(document["schema"]),
            count=document["count"],
            partitions=document["partitions"],
            path=path,
        )

    def put(
        self,
        namespace: str,
        name: str,
        data: pa.Table,
        schema: TableSchema,
        *,
        partitions: int = 4,
        ordered: bool = False,
    ) -> Table:
        """Store a table, replacing one of the same name.

        Args:
            data: columns as the module docstring says; ids must be distinct.
            partitions: number of Parquet files, rows divided evenly in order.
            ordered: the rows are in canonical order already.
        """
        if not ordered:
            data = data.take(shortlex_order(data.column(SID).combine_chunks()))
        target = self.path_of(namespace, name)
        aside = target.parent / f".new-{uuid.uuid4().hex}"
        aside.mkdir(parents=True)
        try:
            per_part = -(-data.num_rows // partitions) if data.num_rows else 0
            for index in range(partitions):
                part = data.slice(index * per_part, per_part)
                pq.write_table(part, aside / _part_name(index), compression="zstd")
            return self.commit(aside, namespace, name, schema, data.num_rows, partitions)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def commit(
        self,
        aside: Path,
        namespace: str,
        name: str,
        schema: TableSchema,
        count: int,
        partitions: int,
    ) -> Table:
        """Move a folder of finished partitions into place."""
        document = {
            "namespace": namespace,
            "name": name,
            "schema": schema.to_json(),
            "count": count,
            "partitions": partitions,
        }
        (aside / "table.json").write_text(json.dumps(document))
        target = self.path_of(namespace, name)
        old = target.parent / f".old-{uuid.uuid4().hex}"
        if target.exists():
            target.rename(old)
        aside.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        return self.open(namespace, name)

    def union(self, namespace: str, name: str, tables: Sequence[Table]) -> Table:
        """Rows of all tables; of equal ids the first table's row is kept."""
        seen: pa.Array | None = None
        parts: list[pa.Table] = []
        for table in tables:
            part = table.arrow()
            if seen is not None:
                part = part.filter(pc.invert(pc.is_in(part.column(SID), value_set=seen)))
            ids = part.column(SID).combine_chunks()
            seen = ids if seen is None else pa.concat_arrays([seen, ids])
            parts.append(part)
        return self.put(
            namespace,
            name,
            pa.concat_tables(parts, promote_options="default"),
            tables[0].schema,
            partitions=tables[0].partitions,
        )

    def drop(self, namespace: str, name: str) -> bool:
        """Remove a table; False when there was none."""
        if not self.exists(namespace, name):
            return False
        path = self.path_of(namespace, name)
        old = path.parent / f".old-{uuid.uuid4().hex}"
        path.rename(old)
        shutil.rmtree(old, ignore_errors=True)
        return True
