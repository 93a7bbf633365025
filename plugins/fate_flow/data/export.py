"""Rows of any table as a person sees them: preview, text lines, download archive.

The line form is FATE 1.4's: id, label (when the rows have one), then the features or
items; a raw row is its id and one item that holds the rest of the line. Text items are
joined with commas without quoting, and numbers are written as Python writes them.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.data import files
from fate_flow.data.table import INTEGER_CLASSES, LABEL, SID, VALUE, Table, TableKind
from fate_flow.errors import DataError

PREVIEW_ROWS = 100
CSV_NAME = "output_data.csv"
META_NAME = "output_data_meta.json"
_DETAIL = "predict_detail"


def header_of(table: Table) -> list[str]:
    """Names of the columns of the line form.

    Rows of keys may have a value, which has no name, as in FATE 1.4.
    """
    schema = table.schema
    names = [schema.sid_name or "sid"]
    if schema.kind is TableKind.KEYS:
        return names
    if schema.kind is TableKind.INSTANCES and table.has_label:
        names.append(schema.label_name or "label")
    return [*names, *schema.header]


def table_meta(table: Table) -> dict[str, Any]:
    """The table's metas as FATE-Flow shows them (``meta`` of the upload history)."""
    schema = table.schema
    if schema.kind is TableKind.RAW:
        if not schema.extra.get("head", True):
            return {}
        return {"header": ",".join(schema.header), "sid": schema.sid_name}
    shown: dict[str, Any] = {"sid_name": schema.sid_name}
    if schema.header:
        shown["header"] = list(schema.header)
    if schema.label_name:
        shown["label_name"] = schema.label_name
    return {"schema": shown, "header": list(schema.header)}


def _stored_columns(table: Table) -> list[str]:
    """Stored columns in the order of :func:`header_of`."""
    kind = table.schema.kind
    if kind is TableKind.RAW:
        return [SID, VALUE]
    if kind is TableKind.KEYS:
        return [name for name in (SID, VALUE) if name in table.arrow_schema.names]
    label = [LABEL] if kind is TableKind.INSTANCES and table.has_label else []
    return [SID, *label, *table.schema.header]


def _limited(table: Table, columns: Sequence[str], limit: int) -> Iterator[pa.Table]:
    left = limit if limit >= 0 else table.count
    for block in table.blocks(columns):
        if left <= 0:
            return
        yield block.slice(0, left)
        left -= block.num_rows


def preview(table: Table, limit: int = PREVIEW_ROWS) -> tuple[list[str], list[list[Any]]]:
    """Header and the first ``limit`` rows (-1: all) as values that JSON can hold.

    Rows of keys may be one longer than the header, see :func:`header_of`.
    Missing numbers are None, infinite ones the texts ``inf`` and ``-inf``; the detail of
    a prediction is an object.
    """
    columns = _stored_columns(table)
    rows: list[list[Any]] = []
    for block in _limited(table, columns, limit):
        shown = [_json_values(block.column(name), _is_detail(table, name)) for name in columns]
        rows.extend(map(list, zip(*shown, strict=True)))
    return header_of(table), rows


def _is_detail(table: Table, name: str) -> bool:
    return table.schema.kind is TableKind.PREDICTIONS and name == _DETAIL


def _json_values(column: pa.ChunkedArray, is_detail: bool) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if is_detail:
        return [_detail(value) for value in values]
    if pa.types.is_floating(column.type):
        return [_json_number(value) for value in values]
    return values


def _json_number(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _detail(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _classes_of(detail: dict[str, Any]) -> dict[int, Any]:
    """A detail whose keys are whole numbers, which JSON has as texts."""
    return {int(key): value for key, value in detail.items()}


def _detail_texts(table: Table, column: pa.ChunkedArray) -> list[str]:
    details = [_detail(value) for value in column.to_pylist()]
    if table.schema.extra.get(INTEGER_CLASSES):
        details = [None if detail is None else _classes_of(detail) for detail in details]
    return list(map(repr, details))


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Items of a column as Python writes them (``str``)."""
    if pa.types.is_floating(column.type):
        return list(map(repr, column.fill_null(math.nan).to_pylist()))
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    elif not pa.types.is_string(column.type):
        return list(map(str, column.to_pylist()))
    texts: list[str] = column.fill_null("None").to_pylist()
    return texts


def _values(table: Table, block: pa.Table, columns: Sequence[str]) -> list[str]:
    """Everything of the rows but the id, as text."""
    items = [
        _detail_texts(table, block.column(name))
        if _is_detail(table, name)
        else _texts(block.column(name))
        for name in columns[1:]
    ]
    if not items:
        return [""] * block.num_rows
    return items[0] if len(items) == 1 else list(map(",".join, zip(*items, strict=True)))


def text_blocks(table: Table, delimiter: str = ",", limit: int = -1) -> Iterator[tuple[int, str]]:
    """The rows as lines, id and value separated by ``delimiter``; (rows, text) per block.

    A row without a value is its id alone.
    """
    columns = _stored_columns(table)
    for block in _limited(table, columns, limit):
        if block.num_rows:
            if table.schema.kind is TableKind.RAW:
                values = block.column(VALUE)
            else:
                values = pa.array(_values(table, block, columns), pa.string())
            lines = pc.if_else(
                pc.equal(pc.binary_length(values), 0),
                block.column(SID),
                pc.binary_join_element_wise(block.column(SID), values, delimiter),
            )
            yield block.num_rows, "\n".join(lines.to_pylist()) + "\n"


def write_lines(
    table: Table,
    target: TextIO,
    *,
    delimiter: str = ",",
    head: bool = False,
    limit: int = -1,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Write the rows as lines; returns the number of rows.

    Args:
        head: write the names of the columns first.
        limit: first rows only; -1: all.
        progress: called with the share of the rows written, 0..1.
    """
    if head:
        target.write(delimiter.join(header_of(table)) + "\n")
    total = min(table.count, limit) if limit >= 0 else table.count
    done = 0
    for rows, text in text_blocks(table, delimiter, limit):
        target.write(text)
        done += rows
        if progress is not None:
            progress(done / total)
    return done


def write_file(
    table: Table,
    path: Path,
    *,
    delimiter: str = ",",
    progress: Callable[[float], None] | None = None,
) -> int:
    """Write all rows to a text file, which appears when it is complete.

    Raises:
        DataError: the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        with aside.open("w", encoding="utf-8", newline="") as handle:
            rows = write_lines(table, handle, delimiter=delimiter, progress=progress)
        files.flush(aside)
        aside.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        aside.unlink(missing_ok=True)
    return rows


def write_archive(table: Table, path: Path, *, head: bool = True, limit: int = -1) -> int:
    """Write the download archive (gzip tar of the csv and its header); returns the rows in it.

    Args:
        head: the csv begins with the header.
        limit: first rows only; -1: all.
    """
    if limit == 0 or limit < -1:
        raise DataError(f"limit is {limit}", remedy="Give -1 for all rows, or a positive number")
    # A tar entry begins with its size, so the csv is written out first.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        csv = Path(folder) / CSV_NAME
        with csv.open("w", encoding="utf-8", newline="") as handle:
            rows = write_lines(table, handle, head=head, limit=limit)
        meta = json.dumps({"header": header_of(table)}, indent=4, ensure_ascii=False).encode()
        done = Path(folder) / "archive"
        with tarfile.open(done, "w:gz", compresslevel=5) as archive:
            with csv.open("rb") as content:
                archive.addfile(_entry(CSV_NAME, csv.stat().st_size), content)
            archive.addfile(_entry(META_NAME, len(meta)), io.BytesIO(meta))
        shutil.move(done, path)
    return rows


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mtime = int(time.time())
    entry.mode = 0o644
    return entry
