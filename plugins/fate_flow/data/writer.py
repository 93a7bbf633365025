"""Writing of Parquet partitions from a stream of ordered rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fate_flow.data.order import first_disorder, key_of
from fate_flow.errors import DataError

#: Rows of one Parquet row group, the unit of reading; fewer when rows are long.
BLOCK_ROWS = 65_536
_BLOCK_BYTES = 64 << 20
_FEWEST_ROWS_PER_BLOCK = 256
#: Below this many rows a partition is not worth a file of its own.
_FEWEST_ROWS_PER_FILE = 16_384
_ROWS_PER_FILE = 1_048_576


def part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


class PartitionWriter:
    """Cuts a stream of rows in canonical order into Parquet files of even size."""

    def __init__(
        self, folder: Path, id_column: str, partitions: int, expected_rows: int | None
    ) -> None:
        if partitions < 1:
            raise DataError(f"a table has at least one partition, found {partitions}")
        self._folder = folder
        self._id_column = id_column
        self._rows_per_file = (
            _ROWS_PER_FILE
            if expected_rows is None
            else max(-(-expected_rows // partitions), _FEWEST_ROWS_PER_FILE)
        )
        self._last: str | None = None
        self._count = 0
        self._files = 0
        self._rows_in_file = 0
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows_waiting = 0
        self._schema: pa.Schema | None = None
        self._block_rows = BLOCK_ROWS

    def write(self, rows: pa.Table) -> None:
        if self._schema is None:
            self._schema = rows.schema.remove_metadata()
        rows = rows.select(self._schema.names).cast(self._schema)
        if not rows.num_rows:
            return
        self._check_order(rows)
        fitting = _BLOCK_BYTES * rows.num_rows // max(rows.nbytes, 1)
        self._block_rows = max(min(self._block_rows, fitting), _FEWEST_ROWS_PER_BLOCK)
        self._count += rows.num_rows
        self._waiting.append(rows)
        self._rows_waiting += rows.num_rows
        while self._rows_waiting >= (size := min(self._block_rows, self._room)):
            self._write_block(size)

    @property
    def _room(self) -> int:
        return self._rows_per_file - self._rows_in_file

    def _check_order(self, rows: pa.Table) -> None:
        ids = rows.column(self._id_column).combine_chunks()
        position = first_disorder(ids)
        if ids.null_count:
            raise DataError("a row has no id")
        if position is not None:
            self._refuse(ids[position - 1].as_py(), ids[position].as_py())
        first = ids[0].as_py()
        if self._last is not None and key_of(first) <= key_of(self._last):
            self._refuse(self._last, first)
        self._last = ids[-1].as_py()

    @staticmethod
    def _refuse(before: str, after: str) -> None:
        if before == after:
            raise DataError(f"id {after!r} occurs more than once; ids of a table are distinct")
        raise DataError(f"id {after!r} follows {before!r}: rows are not in canonical order")

    def _write_block(self, size: int) -> None:
        """Write ``size`` of the waiting rows as one row group."""
        rows = pa.concat_tables(self._waiting)
        block, rest = rows.slice(0, size), rows.slice(size)
        self._waiting, self._rows_waiting = [rest], rest.num_rows
        if self._writer is None:
            self._writer = self._open(block.schema)
        self._writer.write_table(block, row_group_size=BLOCK_ROWS)
        self._rows_in_file += size
        if self._room == 0:
            self._close_file()

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        # A dictionary pays for columns of few texts; ids, values and floats are all different.
        repeated = [
            item.name
            for item in schema
            if not item.name.startswith("__") and pa.types.is_string(item.type)
        ]
        return pq.ParquetWriter(
            self._folder / part_name(self._files),
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=repeated or False,
            write_statistics=False,
        )

    def _close_file(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._files += 1
            self._rows_in_file = 0

    def close(self) -> int:
        """Finish the last file; returns the number of rows written."""
        if self._schema is None:
            raise DataError("a table was to be written, but neither rows nor columns came")
        if self._rows_waiting:
            self._write_block(self._rows_waiting)
        if self._writer is None and not self._files:
            self._writer = self._open(self._schema)
            self._writer.write_table(self._schema.empty_table())
        self._close_file()
        return self._count

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
