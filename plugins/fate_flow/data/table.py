"""Tables: named, partitioned, columnar data, addressed by (namespace, name).

A table is a folder with ``table.json`` and one data folder of Parquet partitions.
Rows stand in one canonical order, *shortlex* of the id's UTF-8 bytes (shorter ids
first, then byte order), so that two parties with the same ids have their rows, and
the batches cut from them, in the same order. FATE 1.4's standalone engine iterates in
that order too, which makes mini-batch runs comparable.

Columns: ``__sid__`` (the id, string), ``__label__`` (only when the table has a
label), then one column per name in ``schema.header``; a *raw* table, as uploaded,
has ``__sid__`` and ``__value__`` (the rest of the line as text) instead.

Every change is atomic: a new data folder is written aside and ``table.json`` is
replaced. A handle keeps reading the data it was opened on; data that was replaced
stays for :data:`GRACE_SECONDS`, so that a running reader can finish.
"""

from __future__ import annotations

import builtins
import json
import shutil
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fate_flow.data import files
from fate_flow.data.handle import (
    INTEGER_CLASSES,
    LABEL,
    PREDICTION_HEADER,
    SID,
    VALUE,
    Table,
    TableKind,
    TableSchema,
)
from fate_flow.data.merge import Run, merge
from fate_flow.data.order import shortlex_order
from fate_flow.data.writer import BLOCK_ROWS, PartitionWriter, part_name
from fate_flow.errors import DataError, InvalidInputError, Problem, TableNotFoundError

__all__ = [
    "INTEGER_CLASSES",
    "LABEL",
    "PREDICTION_HEADER",
    "SID",
    "VALUE",
    "Table",
    "TableInfo",
    "TableKind",
    "TableSchema",
    "TableStore",
    "TableWriter",
    "shortlex_order",
]

#: How long replaced data is kept for readers that opened it before.
GRACE_SECONDS = 3600.0
#: Age at which unfinished work of a crashed writer is removed.
SCRATCH_SECONDS = 86_400.0


@dataclass(frozen=True)
class TableInfo:
    """What can be said about a table without reading it.

    Attributes:
        count: rows. partitions: partitions asked for. files: Parquet files.
        size: bytes on disk. updated: milliseconds since 1970.
    """

    namespace: str
    name: str
    schema: TableSchema
    count: int
    partitions: int
    files: int
    size: int
    updated: int


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
        return self.root / files.folder_name(namespace) / files.folder_name(name)

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
            path=path / document["data"],
            rows=tuple(document["rows"]),
        )

    def info(self, namespace: str, name: str) -> TableInfo:
        """Counts, size and time of a table.

        Raises:
            TableNotFoundError: no such table.
        """
        table = self.open(namespace, name)
        try:
            size = files.size_of(table.path)
            updated = int((table.path.parent / "table.json").stat().st_mtime * 1000)
        except FileNotFoundError:  # replaced or dropped just now: once more
            return self.info(namespace, name)
        return TableInfo(
            table.namespace,
            table.name,
            table.schema,
            table.count,
            table.partitions,
            len(table.rows),
            size,
            updated,
        )

    def list(self, namespace: str | None = None) -> Sequence[TableInfo]:
        """All tables (of one namespace), by namespace and name."""
        pattern = "*" if namespace is None else files.folder_name(namespace)
        found = []
        for path in self.root.glob(f"{pattern}/*/table.json"):
            try:
                document = json.loads(path.read_text())
                found.append(self.info(document["namespace"], document["name"]))
            except (FileNotFoundError, TableNotFoundError):  # dropped meanwhile
                continue
        return sorted(found, key=lambda info: (info.namespace, info.name))

    def lock(self, namespace: str, name: str) -> AbstractContextManager[None]:
        """Keeps other writers of this machine that also ask for it away: read, change, put."""
        return files.locked(self.root, f"{len(namespace)}:{namespace}{name}")

    def writer(
        self,
        namespace: str,
        name: str,
        schema: TableSchema,
        *,
        partitions: int = 4,
        expected_rows: int | None = None,
    ) -> TableWriter:
        """Write a table block by block; it appears when the ``with`` block ends well.

        Args:
            expected_rows: rows that will come, at most; divides them evenly over the
                partitions. Without it every file takes 1,048,576 rows.
        """
        return TableWriter(self, namespace, name, schema, partitions, expected_rows)

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
            partitions: number of partitions, rows divided evenly in order.
            ordered: the rows are in canonical order already.

        Raises:
            DataError: an id occurs twice.
        """
        order = None if ordered else shortlex_order(data.column(SID).combine_chunks())
        with self.writer(
            namespace, name, schema, partitions=partitions, expected_rows=data.num_rows
        ) as writer:
            for start in range(0, max(data.num_rows, 1), BLOCK_ROWS):
                if order is None:
                    writer.write(data.slice(start, BLOCK_ROWS))
                else:
                    writer.write(data.take(order.slice(start, BLOCK_ROWS)))
        return writer.table

    def commit(
        self,
        aside: Path,
        namespace: str,
        name: str,
        schema: TableSchema,
        count: int,
        partitions: int,
    ) -> Table:
        """Move a folder of finished Parquet files (``part-00000.parquet`` …) into place.

        Raises:
            DataError: the files do not hold ``count`` rows.
        """
        rows: builtins.list[int] = []
        while (aside / part_name(len(rows))).is_file():
            rows.append(pq.read_metadata(aside / part_name(len(rows))).num_rows)
        if not rows or sum(rows) != count:
            raise DataError(f"table {name!r} was to get {count} rows, {sum(rows)} were written")
        target = self.path_of(namespace, name)
        data = files.move_into(aside, target, f"data-{uuid.uuid4().hex}")
        document = {
            "namespace": namespace,
            "name": name,
            "schema": schema.to_json(),
            "count": count,
            "partitions": partitions,
            "data": data.name,
            "rows": rows,
        }
        before = self._current_data(target)
        files.write_json(target / "table.json", document)
        if before is not None:
            files.touch(target / before)  # its grace begins now
        self._collect(target, data.name)
        files.sweep(self.root, SCRATCH_SECONDS)
        return Table(namespace, name, schema, count, partitions, data, tuple(rows))

    @staticmethod
    def _current_data(target: Path) -> str | None:
        try:
            return str(json.loads((target / "table.json").read_text())["data"])
        except FileNotFoundError:
            return None

    @staticmethod
    def _collect(target: Path, current: str) -> None:
        for path in target.glob("data-*"):
            if path.name != current and files.older_than(path, GRACE_SECONDS):
                shutil.rmtree(path, ignore_errors=True)

    def collect(self) -> None:
        """Remove replaced data whose grace is over, and what crashed writers left."""
        for path in self.root.glob("*/*/table.json"):
            current = self._current_data(path.parent)
            if current is not None:
                self._collect(path.parent, current)
        files.sweep(self.root, SCRATCH_SECONDS)

    def select(
        self, namespace: str, name: str, table: Table, ids: pa.Array | pa.ChunkedArray
    ) -> Table:
        """Store the rows of ``table`` whose id is in ``ids``; the schema is the table's."""
        with self.writer(
            namespace,
            name,
            table.schema,
            partitions=table.partitions,
            expected_rows=min(len(ids), table.count),
        ) as writer:
            for block in table.selected(ids):
                writer.write(block)
        return writer.table

    def union(self, namespace: str, name: str, tables: Sequence[Table]) -> Table:
        """Rows of all tables, merged block by block; of equal ids the first table's row is kept.

        The schema is the first table's; a column of one type in one table and of another
        in the next gets the common type.
        """
        common = pa.unify_schemas(
            [table.arrow_schema.remove_metadata() for table in tables],
            promote_options="permissive",
        )
        runs = [_typed(table.run(), common) for table in reversed(tables)]
        with self.writer(
            namespace,
            name,
            tables[0].schema,
            partitions=tables[0].partitions,
            expected_rows=sum(table.count for table in tables),
        ) as writer:
            writer.write(common.empty_table())
            for block in merge(runs, SID):
                writer.write(block)
        return writer.table

    def drop(self, namespace: str, name: str) -> bool:
        """Remove a table; False when there was none."""
        return self.exists(namespace, name) and files.discard(
            self.root, self.path_of(namespace, name)
        )


def _typed(run: Run, schema: pa.Schema) -> Run:
    """The run with all columns of ``schema``; missing columns are null."""
    empty = schema.empty_table()

    def load(batch: int) -> pa.Table:
        rows = pa.concat_tables([empty, run.load(batch)], promote_options="permissive")
        return rows.select(schema.names)

    return Run(run.firsts, run.sizes, load)


class TableWriter:
    """Receives a table's rows in canonical order; see :meth:`TableStore.writer`.

    Attributes:
        table: the stored table, after the ``with`` block.
    """

    table: Table

    def __init__(
        self,
        store: TableStore,
        namespace: str,
        name: str,
        schema: TableSchema,
        partitions: int,
        expected_rows: int | None,
    ) -> None:
        store.path_of(namespace, name)  # refuse a bad name before any work is done
        self._store = store
        self._target = (namespace, name)
        self._schema = schema
        self._partitions = partitions
        self._folder = files.new_scratch(store.root)
        self._parts = PartitionWriter(self._folder, SID, partitions, expected_rows)

    def write(self, rows: pa.Table) -> None:
        """Append rows.

        Raises:
            DataError: an id is not greater than the one before it.
        """
        self._parts.write(rows)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                count = self._parts.close()
                self.table = self._store.commit(
                    self._folder, *self._target, self._schema, count, self._partitions
                )
            else:
                self._parts.abort()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
