"""Import of a text file as a raw table, in bounded memory.

The file is read in blocks; each block is sorted by id and written as a run to a scratch
folder, then the runs are merged into the table's partitions (external merge sort). The
table appears only when the whole file was good; until then readers see the old one.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.data import files
from fate_flow.data.lines import Block, LineProblems, parse, read_blocks, split_first_line
from fate_flow.data.merge import Run, merge
from fate_flow.data.order import equal_to_next, key_of, shortlex_order
from fate_flow.data.table import LABEL, SID, VALUE, Table, TableKind, TableSchema, TableStore
from fate_flow.errors import DataError, InvalidInputError, Problem

BLOCK_BYTES = 32 << 20
#: Size of one batch of a run: what a merge keeps of each run in memory.
_RUN_BATCH_BYTES = 256 << 10
MOST_PARTITIONS = 1023
_SHOWN_IDS = 5
_REMEMBERED_VERSIONS = 10

KEEP_AND_ADD, DESTROY_FIRST, REFUSE = 0, 1, 2

_SCHEMA = pa.schema([(SID, pa.string()), (VALUE, pa.string())])


@dataclass(frozen=True)
class UploadReport:
    """What an upload did.

    Attributes:
        table: the table as it is now.
        upload_count: data lines of the file.
        actual_count: rows of the table, older rows included.
        duplicates: lines that a later line of the same id replaced.
        duplicate_ids: the first few such ids.
        overwritten: older rows of the table that a line of the file replaced.
        warnings: what was accepted but looks wrong.
    """

    table: Table
    upload_count: int
    actual_count: int
    duplicates: int = 0
    duplicate_ids: tuple[str, ...] = ()
    overwritten: int = 0
    warnings: tuple[str, ...] = ()


@dataclass
class _Duplicates:
    lines: int = 0
    older_rows: int = 0
    ids: list[str] = field(default_factory=list)

    def note(self, ids: pa.Array) -> None:
        self.lines += len(ids)
        for text in ids.unique()[:_SHOWN_IDS].to_pylist():
            if text not in self.ids and len(self.ids) < _SHOWN_IDS:
                self.ids.append(text)


def upload(
    store: TableStore,
    file: Path,
    namespace: str,
    name: str,
    *,
    head: bool = True,
    partitions: int = 10,
    delimiter: str = ",",
    drop: int = KEEP_AND_ADD,
    in_version: bool = False,
    progress: Callable[[float], None] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> UploadReport:
    """Import a file into (namespace, name).

    Args:
        head: the first line names the columns; then every line must have as many items.
        partitions: 1 to 1023.
        delimiter: one ASCII character; tabs always separate too.
        drop: 0 keep rows of an existing table and add, 1 replace it, 2 refuse when it has rows.
        in_version: keep a record of this upload with the table.
        progress: called with the share of the work done, 0..1.
        block_bytes: size of the pieces the file is read in; peak memory is about 10 times that.

    Raises:
        InvalidInputError: an argument is out of range.
        DataError: the file cannot be used (bad lines are listed), or the table has rows and
            ``drop`` is 2. The table is as it was before.
    """
    _check_arguments(partitions, delimiter, drop)
    store.path_of(namespace, name)
    report = progress or (lambda share: None)
    with ExitStack() as stack:
        stack.enter_context(store.lock(namespace, name))
        before = _rows_to_keep(store, namespace, name, drop)
        scratch = files.new_scratch(store.root)
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        reader = _Reader(file, head, delimiter, block_bytes, scratch)
        if before is not None:
            _check_kind(before, name)
            reader.older = before.schema
        for share in reader.read():
            report(0.6 * share)
        schema = reader.schema()
        if in_version:
            schema = _with_version(schema, before, namespace, name)
        return _store(store, namespace, name, schema, partitions, before, reader, report)


def _rows_to_keep(store: TableStore, namespace: str, name: str, drop: int) -> Table | None:
    """The table that the file's rows are added to; None to begin anew.

    Raises:
        DataError: the table has rows, and ``drop`` is 2.
    """
    before = store.open(namespace, name) if store.exists(namespace, name) else None
    if before is None or not before.count:
        return None
    if drop == REFUSE:
        raise DataError(
            f"The data table already exists, table data count:{before.count}.If you still want"
            " to continue uploading, please add the parameter -drop. 0 means not to delete and"
            " continue uploading, 1 means to upload again after deleting the table"
        )
    return None if drop == DESTROY_FIRST else before


def _check_arguments(partitions: int, delimiter: str, drop: int) -> None:
    problems = []
    if not 1 <= partitions <= MOST_PARTITIONS:
        problems.append(
            Problem(
                "partition",
                f"found {partitions}: Error number of partition, it should between 0 and 1024",
                f"1 to {MOST_PARTITIONS}",
            )
        )
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in "\r\n\0":
        problems.append(Problem("delimiter", f"found {delimiter!r}", "one ASCII character"))
    if drop not in (KEEP_AND_ADD, DESTROY_FIRST, REFUSE):
        problems.append(Problem("drop", f"found {drop!r}", "0, 1 or 2"))
    if problems:
        raise InvalidInputError(problems)


class _Reader:
    """First half: the file's lines as sorted runs in the scratch folder."""

    def __init__(
        self, file: Path, head: bool, delimiter: str, block_bytes: int, scratch: Path
    ) -> None:
        self.file = file
        self.head = head
        self.delimiter = delimiter
        self.block_bytes = block_bytes
        self.scratch = scratch
        self.problems = LineProblems(file.name)
        self.names: list[str] | None = None
        self.older: TableSchema | None = None
        self.lines = 0
        self.rows = 0
        self.runs: list[Run] = []
        self.duplicates = _Duplicates()

    def read(self) -> Iterator[float]:
        """Make the runs; yields the share of the file that was read.

        Raises:
            DataError: lists the bad lines.
        """
        size = max(self.file.stat().st_size, 1)
        with self.file.open("rb") as handle:
            for block in read_blocks(handle, self.file.name, self.block_bytes):
                self._read_block(block)
                yield min(block.position / size, 1.0)
        self.problems.raise_if_any()
        if not self.lines:
            raise DataError(
                f"{self.file.name} has a header but no rows",
                remedy="Give a file with at least one row",
            )

    def _read_block(self, block: Block) -> None:
        rest: Block | None = block
        if self.head and self.names is None:
            line, rest = split_first_line(block)
            self.names = _header(line, self.delimiter, self.file.name)
        if rest is None:
            return
        self.lines += rest.data.count(b"\n")
        columns = len(self.names) if self.names is not None else None
        ids, values = parse(rest, self.delimiter, columns, self.problems)
        if not self.problems.count:
            self._add_run(ids, values)

    def _add_run(self, ids: pa.Array, values: pa.Array) -> None:
        order = shortlex_order(ids)
        ids = ids.take(order)
        loses = equal_to_next(ids)  # the order is stable: of equal ids the last line stays
        if loses.any():
            self.duplicates.note(ids.filter(pa.array(loses)))
            keep = pa.array(~loses)
            ids, order = ids.filter(keep), order.filter(keep)
        batch = pa.table([ids, values.take(order)], schema=_SCHEMA)
        self.rows += batch.num_rows
        self.runs.append(_write_run(self.scratch / f"run-{len(self.runs):05d}.arrow", batch))

    def schema(self) -> TableSchema:
        if self.names is None:  # what is added without a header leaves the table's as it is
            return self.older or TableSchema(TableKind.RAW, extra={"head": False})
        return TableSchema(
            TableKind.RAW, self.names[0] or "sid", tuple(self.names[1:]), extra={"head": True}
        )

    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.names is not None:
            quoted = [text for text in self.names if text[:1] == text[-1:] == '"' and text]
            if quoted:
                found.append(
                    f"the header's names are quoted ({quoted[0]}); quotes are not understood"
                    " and stay part of names and values"
                )
        if self.duplicates.lines:
            found.append(
                f"{self.duplicates.lines} lines were replaced by a later line of the same id"
                f" (first ids: {', '.join(self.duplicates.ids)})"
            )
        return tuple(found)


def _header(line: bytes, delimiter: str, file: str) -> list[str]:
    """Names of all columns, the id's first."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: line 1: byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8"
        ) from None
    sid, *names = text.replace("\t", delimiter).split(delimiter)
    if names:
        names[0], names[-1] = names[0].lstrip(), names[-1].rstrip()
    seen: set[str] = set()
    problems = []
    for number, name in enumerate(names, 2):
        if not name.strip():
            problems.append(Problem(f"column {number}", "has no name"))
        elif name in seen:
            problems.append(Problem(f"column {number}", f"the name {name!r} occurs twice"))
        elif name in (SID, LABEL, VALUE):
            problems.append(Problem(f"column {number}", f"the name {name!r} is reserved"))
        elif "," in name:
            problems.append(Problem(f"column {number}", f"the name {name!r} holds a comma"))
        seen.add(name)
    if problems:
        listed = "\n".join(str(problem) for problem in problems[:10])
        raise DataError(
            f"{file}: the header in line 1 cannot be used:\n{listed}",
            remedy="Correct the header, or set head to 0 when the file has none",
        )
    return [sid.strip(), *names]


def _write_run(path: Path, batch: pa.Table) -> Run:
    firsts, sizes = [], []
    batch_rows = max(1, batch.num_rows * _RUN_BATCH_BYTES // max(batch.nbytes, 1))
    with pa.ipc.new_file(str(path), batch.schema) as writer:
        for start in range(0, batch.num_rows, batch_rows):
            piece = batch.slice(start, batch_rows).combine_chunks()
            writer.write_table(piece)
            firsts.append(key_of(piece.column(SID)[0].as_py()))
            sizes.append(piece.nbytes)

    def load(index: int) -> pa.Table:
        with pa.OSFile(str(path)) as source:
            return pa.Table.from_batches([pa.ipc.open_file(source).get_batch(index)])

    return Run(firsts, sizes, load)


def _check_kind(before: Table, name: str) -> None:
    if before.schema.kind is not TableKind.RAW:
        raise DataError(
            f"table {name!r} holds {before.schema.kind.value}, uploaded rows cannot be added",
            remedy="Choose another table name, or upload with drop 1 to replace it",
        )


def _check_fits(before: Table, schema: TableSchema, name: str) -> None:
    """Rows of two different layouts in one table could not be read any more."""
    old, new = before.schema.header, schema.header
    if old != new and old and new:
        raise DataError(
            f"table {name!r} has the columns {', '.join(old[:20])}, the file has"
            f" {', '.join(new[:20])}, and the table has rows that the file does not replace",
            remedy="Upload with drop 1 to replace the table, or choose another table name",
        )


def _with_version(
    schema: TableSchema, before: Table | None, namespace: str, name: str
) -> TableSchema:
    history: list[Mapping[str, Any]] = list(
        (before.schema.extra if before else {}).get("versions", ())
    )
    record = {
        "commitId": uuid.uuid4().hex,
        "parent": history[0]["commitId"] if history else None,
        "name": name,
        "namespace": namespace,
        "log": f"[AUTO] save data at {time.strftime('%Y-%m-%d %H:%M:%S')}.",
        "tag": None,
    }
    versions = [record, *history][:_REMEMBERED_VERSIONS]
    return TableSchema(
        schema.kind, schema.sid_name, schema.header, extra={**schema.extra, "versions": versions}
    )


def _store(
    store: TableStore,
    namespace: str,
    name: str,
    schema: TableSchema,
    partitions: int,
    before: Table | None,
    reader: _Reader,
    report: Callable[[float], None],
) -> UploadReport:
    """Second half: merge the runs, and the table's older rows, into partitions."""
    duplicates = reader.duplicates
    runs = list(reader.runs)
    if before is not None:
        runs.insert(0, before.run())

    def on_dropped(ids: pa.Array, sources: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        is_older = (sources == 0) if before is not None else np.zeros(len(sources), dtype=np.bool_)
        duplicates.older_rows += int(is_older.sum())
        duplicates.note(ids.filter(pa.array(~is_older)))

    total = reader.rows + (before.count if before is not None else 0)
    done = 0
    with store.writer(
        namespace, name, schema, partitions=partitions, expected_rows=total
    ) as writer:
        for block in merge(runs, SID, on_dropped):
            writer.write(block)
            done += block.num_rows
            report(0.6 + 0.4 * done / total)
        if before is not None and duplicates.older_rows < before.count:
            _check_fits(before, schema, name)
    report(1.0)
    return UploadReport(
        writer.table,
        upload_count=reader.lines,
        actual_count=writer.table.count,
        duplicates=duplicates.lines,
        duplicate_ids=tuple(duplicates.ids),
        overwritten=duplicates.older_rows,
        warnings=reader.warnings(),
    )
