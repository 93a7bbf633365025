"""The handle on a stored table: what its columns mean, and reading its rows.

The store that makes handles, and the layout on disk, are in :mod:`fate_flow.data.table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fate_flow.data.merge import Run
from fate_flow.data.order import key_of, lower_bound, shortlex_order
from fate_flow.data.writer import part_name
from fate_flow.errors import DataError, TableNotFoundError

SID = "__sid__"
LABEL = "__label__"
VALUE = "__value__"

_GROUP_BYTES = 64 << 20

#: Header of prediction rows.
PREDICTION_HEADER = ("label", "predict_result", "predict_score", "predict_detail", "type")
#: In ``extra`` of a table of predictions: the classes in its details are whole numbers.
INTEGER_CLASSES = "integer_classes"


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


@dataclass(frozen=True)
class Table:
    """A handle on a stored table; cheap to pass, reads on demand.

    Attributes:
        schema: meaning of the columns.
        count: number of rows.
        partitions: number of partitions asked for; small tables are stored in fewer files.
        path: folder of the Parquet files.
        rows: number of rows of each Parquet file.
    """

    namespace: str
    name: str
    schema: TableSchema
    count: int
    partitions: int
    path: Path
    rows: tuple[int, ...]

    def _file(self, index: int) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path / part_name(index))
        except FileNotFoundError:
            raise TableNotFoundError(
                f"table {self.name!r} of namespace {self.namespace!r} was replaced or removed"
                " while it was read",
                remedy="Run the job again",
            ) from None

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in canonical order, in pieces of at most 65,536 rows or about 64 MB.

        One piece is in memory at a time.
        An empty table gives one piece without rows, so that columns and types are known.
        """
        wanted = list(columns) if columns is not None else None
        for index in range(len(self.rows)):
            with self._file(index) as file:
                for group in range(file.num_row_groups):
                    if file.metadata.row_group(group).num_rows or len(self.rows) == 1:
                        yield file.read_row_group(group, columns=wanted)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches in canonical order, bounded in memory like :meth:`blocks`."""
        for block in self.blocks(columns):
            yield from block.to_batches()

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table (or some columns) in memory."""
        return pa.concat_tables(list(self.blocks(columns)))

    def columns(self, names: Sequence[str]) -> Iterator[tuple[str, pa.ChunkedArray]]:
        """Columns one after the other, each of length ``count``, in the order of ``names``.

        They are read in groups of about 64 MB: opening a file anew for every column of a
        wide table would take longer than reading it.
        """
        wanted = list(names)
        step = max(1, _GROUP_BYTES // (8 * max(self.count, 1)))
        for start in range(0, len(wanted), step):
            group = wanted[start : start + step]
            yield from zip(group, self.arrow(group).select(group).columns, strict=True)

    @property
    def arrow_schema(self) -> pa.Schema:
        """Names and types of the stored columns."""
        with self._file(0) as file:
            return file.schema_arrow

    @property
    def has_label(self) -> bool:
        return LABEL in self.arrow_schema.names

    def ids(self) -> pa.Array:
        """Ids in canonical order, string array of length ``count``."""
        return self.arrow([SID]).column(SID).combine_chunks()

    def features(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Feature matrix, float64, shape (count, len(header)), C order; missing is NaN.

        Raises:
            DataError: a column is not numeric.
        """
        header, stored = self.schema.header, self.arrow_schema
        for name in header:
            kind = stored.field(name).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise DataError(f"column {name!r} of table {self.name} holds {kind}, not numbers")
        matrix = np.empty((self.count, len(header)), dtype=np.float64)
        start = 0
        for block in self.blocks(header) if header else ():
            part = matrix[start : start + block.num_rows]
            for index, name in enumerate(header):
                column = block.column(name)
                if not pa.types.is_float64(column.type):
                    column = column.cast(pa.float64(), safe=False)
                part[:, index] = column.to_numpy(zero_copy_only=False)
            start += block.num_rows
        return matrix

    def labels(self) -> np.ndarray[Any, Any]:
        """Labels, shape (count,).

        Raises:
            DataError: the table has no label.
        """
        if not self.has_label:
            raise DataError(f"table {self.name} of namespace {self.namespace} has no label column")
        labels: np.ndarray[Any, Any] = (
            self.arrow([LABEL]).column(LABEL).to_numpy(zero_copy_only=False)
        )
        return labels

    def selected(
        self, ids: pa.Array | pa.ChunkedArray, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """The rows whose id is in ``ids``, block by block, in canonical order.

        Args:
            ids: string array, any order, duplicates do no harm; ids that the table does
                not have are passed over.
        """
        wanted = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
        wanted = wanted.take(shortlex_order(wanted))
        names = None if columns is None else list(dict.fromkeys([SID, *columns]))
        position = 0
        for block in self.blocks(names):
            # Only the wanted ids up to the block's last one are looked up in this block.
            end = position
            if block.num_rows:
                length, last = key_of(block.column(SID)[-1].as_py())
                end = lower_bound(wanted, (length, last + b"\0"))  # just above the last id
            candidates = wanted.slice(position, end - position)
            position = end
            found = block.filter(pc.is_in(block.column(SID), value_set=candidates))
            yield found if columns is None else found.select(list(columns))

    def select(
        self, ids: pa.Array | pa.ChunkedArray, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of :meth:`selected` in memory."""
        return pa.concat_tables(list(self.selected(ids, columns)))

    def run(self) -> Run:
        """The table as a sorted run for :func:`fate_flow.data.merge.merge`."""
        firsts, sizes, places = [], [], []
        for index in range(len(self.rows)):
            with self._file(index) as file:
                for group in range(file.num_row_groups):
                    found = file.metadata.row_group(group)
                    if found.num_rows:
                        first = next(
                            file.iter_batches(batch_size=1, row_groups=[group], columns=[SID])
                        )
                        firsts.append(key_of(first.column(0)[0].as_py()))
                        sizes.append(found.total_byte_size)
                        places.append((index, group))

        def load(batch: int) -> pa.Table:
            index, group = places[batch]
            with self._file(index) as file:
                return file.read_row_group(group)

        return Run(firsts, sizes, load)
