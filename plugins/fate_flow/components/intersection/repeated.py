"""Ids that stand in several rows of the guest (``repeated_id_process``).

The guest's table then has row keys as ids, and the real ids in its first column. The parties
intersect the distinct real ids by whatever method was chosen; then the guest tells each host
which row keys its common ids have, and the host repeats its rows under those keys, so that
both sides have the same rows again.

Hosts get to know the row keys, and so how often an id occurs at the guest, of the common
ids alone. (FATE 1.4 sends the guest's repeated ids before the intersection, in the clear.)

Both sides take the common ids in the tables' canonical order, so nothing but counts and keys
has to cross.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.components.intersection import messages
from fate_flow.components.intersection.closing import Session
from fate_flow.components.intersection.matching import Positions
from fate_flow.components.intersection.stream import Receiver, send_matrix, send_texts
from fate_flow.data.table import SID, VALUE, Table, TableKind, TableSchema, shortlex_order
from fate_flow.errors import DataError, ProtocolError

_COUNT_WIDTH = 4
_DELIMITER = ","
#: Whole numbers up to here are exact as float64.
_EXACT = 2**53


@dataclass(frozen=True)
class RepeatedIds:
    """The guest's real ids.

    Attributes:
        distinct: each id once, in canonical order.
        codes: per row of the table its place in ``distinct``.
        keys: row keys of the table.
    """

    distinct: pa.Array
    codes: Positions
    keys: pa.Array

    @classmethod
    def of(cls, table: Table) -> RepeatedIds:
        """Read the first column.

        Raises:
            DataError: there is none, or it holds what cannot be an id.
        """
        ids = _first_column(table)
        unique = pc.unique(ids)
        distinct = unique.take(shortlex_order(unique))
        codes = pc.index_in(ids, value_set=distinct).to_numpy(zero_copy_only=False)
        return cls(distinct, codes.astype(np.int64), table.ids())

    def rows(self, common: Positions) -> Positions:
        """Rows of the table whose id is one of ``common`` (places in ``distinct``)."""
        return np.flatnonzero(np.isin(self.codes, common)).astype(np.int64)

    def tell(self, session: Session, common: Positions) -> None:
        """Send the row keys of the common ids to all hosts."""
        rows = self.rows(common)
        rows = rows[np.argsort(self.codes[rows], kind="stable")]
        counts = np.bincount(self.codes[rows], minlength=len(self.distinct))[np.sort(common)]
        matrix = counts.astype("<u4").view(np.uint8).reshape(len(counts), _COUNT_WIDTH)
        hosts = list(session.hosts)
        send_matrix(session.federation, messages.ID_COUNTS, matrix, hosts)
        send_texts(session.federation, messages.ID_MAP, self.keys.take(pa.array(rows)), hosts)


def _first_column(table: Table) -> pa.Array:
    is_raw = table.schema.kind is TableKind.RAW
    if not is_raw and not table.schema.header:
        raise DataError(
            f"repeated_id_process: table {table.name!r} has no column with the ids",
            remedy="The first column after the row key must hold them",
        )
    stored = VALUE if is_raw else table.schema.header[0]
    name = table.schema.header[0] if table.schema.header else "1"
    column = table.arrow([stored]).column(stored).combine_chunks()
    if is_raw:
        column = pc.list_element(pc.split_pattern(column, _DELIMITER, max_splits=1), 0)
    texts = _texts(column)
    if texts is None or texts.null_count or pc.any(pc.equal(texts, "")).as_py():
        raise DataError(
            f"repeated_id_process: column {name!r} of table {table.name!r} has values that"
            " cannot be ids: missing ones, fractions, or whole numbers too large to be exact",
            remedy="Read the column as int64 or str (data_type of DataIO), or upload ids as texts",
        )
    return texts


def _texts(column: pa.Array) -> pa.Array | None:
    """Ids as texts; 12 and 12.0 are ``12``; None when one is no whole number."""
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            if not ((np.abs(numbers) <= _EXACT) & (numbers == np.floor(numbers))).all():
                return None
        column = pa.array(numbers.astype(np.int64))
    return column.cast(pa.string())


def without_id_column(table: Table, rows: pa.Table) -> tuple[pa.Table, TableSchema]:
    """The guest's rows without the first column, and their schema."""
    schema = replace(table.schema, header=table.schema.header[1:])
    if schema.kind is not TableKind.RAW:
        return rows.drop_columns([table.schema.header[0]]), schema
    first = f"^[^{_DELIMITER}]*{_DELIMITER}?"
    values = pc.replace_substring_regex(rows.column(VALUE), first, "", max_replacements=1)
    return rows.set_column(rows.schema.get_field_index(VALUE), VALUE, values), schema


def expand(session: Session, rows: pa.Table) -> pa.Table:
    """A host's common rows, in canonical order, repeated under the guest's row keys.

    Raises:
        ProtocolError: the guest's keys do not fit the common ids.
    """
    counts = Receiver(session.federation, messages.ID_COUNTS, session.guest).matrix(_COUNT_WIDTH)
    keys = Receiver(session.federation, messages.ID_MAP, session.guest).texts()
    times = np.ascontiguousarray(counts).view("<u4").ravel().astype(np.int64)
    fits = len(times) == rows.num_rows and (times > 0).all() and times.sum() == len(keys)
    if not fits or len(pc.unique(keys)) != len(keys):
        raise ProtocolError(f"{session.guest} sent row keys that do not fit the common ids")
    repeated = rows.take(pa.array(np.repeat(np.arange(rows.num_rows), times)))
    named = repeated.set_column(repeated.schema.get_field_index(SID), SID, keys)
    return named.take(shortlex_order(keys))
