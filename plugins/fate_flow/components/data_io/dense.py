"""Rows of fixed columns: ``value,value,...`` in the order of the header."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from fate_flow.components.data_io.cast import NOT_A_NUMBER, arrow_type, cast, refuse_missing
from fate_flow.components.data_io.impute import Cells, Replacement, Rule, decide, measure
from fate_flow.data.engine import map_partitions, reduce_partitions
from fate_flow.data.table import LABEL, SID, VALUE, Table
from fate_flow.errors import DataError

#: Stands between items while a block is split, when the delimiter has several characters.
_UNIT_SEPARATOR = "\x1f"
#: Sparse output leaves out numbers smaller than this (FATE 1.4).
_ZERO = 1e-6
_SHOWN_COLUMNS = 20


@dataclass(frozen=True)
class Layout:
    """Columns of the raw rows.

    Attributes:
        sid_name: name of the id column.
        columns: names of the items of a value, in order.
        label: name of the label column among them, or None.
        delimitor: text between the items.
    """

    sid_name: str
    columns: tuple[str, ...]
    label: str | None
    delimitor: str

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if name != self.label)


def layout_of(table: Table, with_label: bool, label_name: str | None, delimitor: str) -> Layout:
    """How the table's values are to be read.

    Raises:
        DataError: the table was uploaded without a header, or has no such label column.
    """
    schema = table.schema
    if not schema.extra.get("head", True):
        raise DataError(
            "dense input-format should have header schema:"
            f" table {table.name!r} of namespace {table.namespace!r} was uploaded without a header",
            remedy="Upload it with head 1, or use input_format sparse or tag",
        )
    columns = tuple(",".join(schema.header).split(delimitor)) if schema.header else ()
    if with_label and label_name not in columns:
        near = difflib.get_close_matches(str(label_name), columns, n=1, cutoff=0.5)
        listed = ", ".join(columns[:_SHOWN_COLUMNS]) or "(none)"
        more = f" and {len(columns) - _SHOWN_COLUMNS} more" if len(columns) > _SHOWN_COLUMNS else ""
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"label column {label_name!r} is not in table {table.name!r} of namespace"
            f" {table.namespace!r}; its columns are {listed}{more}",
            remedy=f"{hint}Set label_name, or with_label to false at a party without labels",
        )
    return Layout(schema.sid_name, columns, label_name if with_label else None, delimitor)


def split(block: pa.Table, layout: Layout) -> dict[str, pa.Array]:
    """Items of a block's values: column name -> string array.

    Raises:
        DataError: names the id whose value has another number of items.
    """
    ids = block.column(SID).combine_chunks()
    values = block.column(VALUE).combine_chunks()
    width = len(layout.columns)
    if width == 0:
        return {}
    counts = pc.add(pc.count_substring(values, layout.delimitor), 1)
    wrong = pc.not_equal(counts, width)
    if pc.any(wrong).as_py():
        position = pc.index(wrong, True).as_py()
        raise DataError(
            f"id {ids[position].as_py()!r} has {counts[position].as_py()} items where the header"
            f" has {width} columns (delimitor {layout.delimitor!r})",
            remedy="Correct the data, or the delimitor",
        )
    if width == 1:
        return {layout.columns[0]: values}
    delimiter = layout.delimitor
    if len(delimiter) > 1 or not delimiter.isascii():
        values = pc.replace_substring(values, delimiter, _UNIT_SEPARATOR)
        delimiter = _UNIT_SEPARATOR
    return _split_lines(values, layout.columns, delimiter)


def _split_lines(values: pa.Array, columns: Sequence[str], delimiter: str) -> dict[str, pa.Array]:
    """Let Arrow's CSV reader split the values; their texts, joined by LF, are a csv."""
    lines = pc.binary_join_element_wise(values, "", "\n")
    start, end = lines.offset, lines.offset + len(lines)
    offsets = pa.Array.from_buffers(pa.int32(), end + 1, [None, lines.buffers()[1]])
    first, last = offsets[start].as_py(), offsets[end].as_py()
    places = [str(index) for index in range(len(columns))]
    rows = csv.read_csv(
        pa.BufferReader(lines.buffers()[2].slice(first, last - first)),
        csv.ReadOptions(column_names=places, use_threads=False, block_size=max(last - first, 1)),
        csv.ParseOptions(
            delimiter=delimiter, quote_char=False, double_quote=False, ignore_empty_lines=False
        ),
        csv.ConvertOptions(
            column_types=dict.fromkeys(places, pa.string()),
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    return {name: rows.column(index).combine_chunks() for index, name in enumerate(columns)}


def learn(table: Table, layout: Layout, missing: Rule, outlier: Rule) -> Replacement:
    """What missing values and outliers are replaced by, and their shares."""
    features = layout.features
    if not (missing.is_on or outlier.is_on):
        return Replacement(missing, outlier)

    def measure_block(block: pa.Table) -> list[Cells]:
        ids = block.column(SID).combine_chunks()
        items = split(block, layout)
        return [measure(items[name], name, ids, missing, outlier) for name in features]

    def combine(left: list[Cells], right: list[Cells]) -> list[Cells]:
        return [one + other for one, other in zip(left, right, strict=True)]

    cells = reduce_partitions(table, measure_block, combine)
    return decide(dict(zip(features, cells, strict=True)), table.count, missing, outlier)


@dataclass(frozen=True)
class Conversion:
    """How items become stored columns.

    Attributes:
        types: feature -> Arrow type.
        label_type: Arrow type of the label.
        replacement: what missing values and outliers become.
        sparse: the output leaves out zeros (they are stored, as exact zeros).
    """

    types: Mapping[str, pa.DataType]
    label_type: pa.DataType
    replacement: Replacement
    sparse: bool


def feature_types(
    features: Sequence[str], data_type: str, exclusive: Mapping[str, str] | None
) -> dict[str, pa.DataType]:
    other = exclusive or {}
    return {name: arrow_type(str(other.get(name, data_type))) for name in features}


def convert(table: Table, layout: Layout, conversion: Conversion) -> Iterator[pa.Table]:
    """The instances, block by block: id, label (when there is one), features.

    Raises:
        DataError: a cell that cannot be stored as its column's type.
    """

    def convert_block(block: pa.Table) -> pa.Table:
        ids = block.column(SID).combine_chunks()
        items = split(block, layout)
        columns: dict[str, pa.Array] = {SID: ids}
        if layout.label is not None:
            columns[LABEL] = cast_label(
                items[layout.label], conversion.label_type, layout.label, ids
            )
        for name in layout.features:
            columns[name] = _feature(items[name], name, ids, conversion)
        return pa.table(columns)

    return map_partitions(table, convert_block)


def cast_label(texts: pa.Array, kind: pa.DataType, name: str, ids: pa.Array) -> pa.Array:
    if not pa.types.is_string(kind):
        gaps = pc.if_else(pc.equal(texts, ""), None, texts)
        if gaps.null_count:
            position = pc.index(gaps.is_null(), True).as_py()
            raise DataError(
                f"id {ids[position].as_py()!r} has no label (column {name!r} is empty)",
                remedy="Correct the data, or set with_label to false",
            )
    return cast(texts, kind, name, ids)


def _feature(texts: pa.Array, name: str, ids: pa.Array, conversion: Conversion) -> pa.Array:
    kind = conversion.types[name]
    texts = conversion.replacement.apply(texts, name)
    if pa.types.is_string(kind):
        return texts
    if not conversion.replacement.missing.is_on:
        gaps = pc.is_in(texts, value_set=NOT_A_NUMBER)
        if pc.any(gaps).as_py():
            texts = pc.if_else(gaps, None, texts)
    values = cast(texts, kind, name, ids)
    if pa.types.is_integer(kind):
        refuse_missing(values, name, ids, "which an integer column cannot hold")
        return values
    if conversion.sparse:
        refuse_missing(values, name, ids, "which sparse output cannot hold")
        return pc.if_else(pc.less(pc.abs(values), _ZERO), 0.0, values)
    return values.fill_null(float("nan"))
