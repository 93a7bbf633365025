"""Rows of named or numbered items: svmlight (``label index:value ...``) and tags.

Both are read in two passes when fitting: the first finds the columns, the second fills
them. Rows are stored expanded, absent items as zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.components.data_io.cast import cast
from fate_flow.components.data_io.dense import cast_label
from fate_flow.data.engine import map_partitions, reduce_partitions
from fate_flow.data.table import LABEL, SID, VALUE, Table
from fate_flow.errors import DataError

#: More columns than this are not expanded.
MOST_COLUMNS = 100_000

_Indices = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Items:
    """Items of a block: parallel arrays, in row order.

    Attributes:
        rows: row number within the block.
        names: index or tag, as text. values: text behind the separator, null without one.
    """

    rows: _Indices
    names: pa.Array
    values: pa.Array


@dataclass(frozen=True)
class Format:
    """How a value text is cut.

    Attributes:
        delimitor: text between items.
        separator: text between an item's name and its value; None: items have no value.
        has_label: the first item is the label.
        is_numbered: names are column numbers from 0 (svmlight).
    """

    delimitor: str
    separator: str | None
    has_label: bool
    is_numbered: bool


def _parse(block: pa.Table, form: Format) -> tuple[pa.Array, pa.Array | None, Items]:
    """Ids, label texts and items of a block."""
    ids = block.column(SID).combine_chunks()
    lists = pc.split_pattern(block.column(VALUE).combine_chunks(), form.delimitor)
    texts = pc.list_flatten(lists)
    rows = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    label = None
    if form.has_label:
        is_first = np.concatenate([np.ones(min(1, len(rows)), dtype=np.bool_), np.diff(rows) > 0])
        label = texts.filter(pa.array(is_first))
        texts, rows = texts.filter(pa.array(~is_first)), rows[~is_first]
    texts = pc.utf8_trim_whitespace(texts)
    filled = pc.greater(pc.binary_length(texts), 0)  # a row without items is an empty text
    texts, rows = texts.filter(filled), rows[filled.to_numpy(zero_copy_only=False)]
    return ids, label, _items(texts, rows, form, ids)


def _items(texts: pa.Array, rows: _Indices, form: Format, ids: pa.Array) -> Items:
    if form.separator is None or not len(texts):
        return Items(rows, texts, pa.nulls(len(texts), pa.string()))
    parts = pc.split_pattern(texts, form.separator, max_splits=1)
    has_value = pc.equal(pc.list_value_length(parts), 2)
    if form.is_numbered and not pc.all(has_value).as_py():
        position = pc.index(has_value, False).as_py()
        raise DataError(
            f"id {ids[rows[position]].as_py()!r}: found {texts[position].as_py()[:60]!r} where"
            " index:value was expected",
            remedy=f"Correct the data, or the delimitor (now {form.delimitor!r})",
        )
    names = pc.list_element(parts, 0)
    values = pa.nulls(len(texts), pa.string())
    if pc.any(has_value).as_py():
        flat, offsets = pc.list_flatten(parts), parts.offsets.to_numpy()[:-1]
        offsets = offsets - parts.offsets[0].as_py()
        second = pc.if_else(has_value, pa.array(offsets + 1), pa.scalar(None, pa.int32()))
        values = flat.take(second)
    return Items(rows, names, values)


def find_columns(table: Table, form: Format) -> tuple[str, ...]:
    """Header of the whole table: ``0 … largest index``, or the sorted tags.

    Raises:
        DataError: too many columns, or an index that is no number from 0.
    """
    if form.is_numbered:
        largest = reduce_partitions(
            table, lambda block: _largest_index(block, form), max, [SID, VALUE]
        )
        header = tuple(map(str, range(largest + 1)))
    else:

        def tags(block: pa.Table) -> set[str]:
            return set(_parse(block, form)[2].names.unique().to_pylist())

        def join(left: set[str], right: set[str]) -> set[str]:
            if len(left | right) > MOST_COLUMNS:
                _refuse_width(len(left | right))
            return left | right

        found: set[str] = reduce_partitions(table, tags, join, [SID, VALUE])
        header = tuple(sorted(found))
    if len(header) > MOST_COLUMNS:
        _refuse_width(len(header))
    return header


def _refuse_width(width: int) -> None:
    raise DataError(
        f"the rows have at least {width} columns, more than {MOST_COLUMNS}",
        remedy="Number the features without gaps, or leave rare ones out",
    )


def _numbers(items: Items, ids: pa.Array) -> _Indices:
    row_ids = ids.take(pa.array(items.rows))
    indices = cast(items.names, pa.int64(), "index", row_ids)
    if len(indices) and pc.min(indices).as_py() < 0:
        position = pc.index(pc.less(indices, 0), True).as_py()
        raise DataError(
            f"id {row_ids[position].as_py()!r}: index {indices[position].as_py()} is below 0"
        )
    result: _Indices = indices.to_numpy(zero_copy_only=False)
    return result


def _largest_index(block: pa.Table, form: Format) -> int:
    ids, _, items = _parse(block, form)
    indices = _numbers(items, ids)
    return int(indices.max()) if len(indices) else -1


def expand(
    table: Table,
    form: Format,
    header: Sequence[str],
    kind: pa.DataType,
    label: tuple[str, pa.DataType] | None,
) -> Iterator[tuple[pa.Table, int]]:
    """The instances block by block, each with the number of items that no column has.

    Args:
        header: columns of the result.
        kind: float64, int64 or string.
        label: name and type of the label, when the rows have one.

    Raises:
        DataError: a value or label that is no such number.
    """
    tags = pa.array(header, pa.string())
    dtype = {pa.float64(): np.float64, pa.int64(): np.int64}.get(kind, np.object_)

    def expand_block(block: pa.Table) -> tuple[pa.Table, int]:
        ids, labels, items = _parse(block, form)
        if form.is_numbered:
            columns = _numbers(items, ids)
            known = columns < len(header)
        else:
            places = pc.index_in(items.names, value_set=tags)
            known = places.is_valid().to_numpy(zero_copy_only=False)
            columns = places.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        rows = items.rows[known]
        texts = items.values.fill_null("1").filter(pa.array(known, pa.bool_()))
        values = cast(texts, kind, "value", ids.take(pa.array(rows)))
        matrix = np.full((len(header), len(ids)), "0" if dtype is np.object_ else 0, dtype=dtype)
        matrix[columns[known], rows] = values.to_numpy(zero_copy_only=False)
        result: dict[str, pa.Array] = {SID: ids}
        if label is not None and labels is not None:
            result[LABEL] = cast_label(labels, label[1], label[0], ids)
        result.update({name: pa.array(matrix[i], kind) for i, name in enumerate(header)})
        return pa.table(result), int((~known).sum())

    return map_partitions(table, expand_block, [SID, VALUE])
