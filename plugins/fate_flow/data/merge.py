"""Merging of sorted runs in bounded memory, the second half of an external sort.

A run is a sequence of batches whose rows are in canonical order. Several runs are
merged range by range: a range of ids is chosen from the batches' first ids, the rows
of that range are taken from every run, put together, sorted and freed of duplicates.
At most one range plus one batch per run is in memory (Knuth, The Art of Computer
Programming 3, section 5.4.1, with ranges in place of a selection tree so that all
work is vectorised).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fate_flow.data.order import Key, equal_to_next, key_of, lower_bound, shortlex_order

_RUN = "__run__"
#: Bytes of one merged range, about.
_RANGE_BYTES = 24 << 20


@dataclass(frozen=True)
class Run:
    """Sorted batches that can be read one by one.

    Attributes:
        firsts: key of each batch's first row; batches have at least one row.
        sizes: bytes of each batch in memory, about.
        load: reads batch ``i``; its columns are the same in all runs of a merge.
    """

    firsts: Sequence[Key]
    sizes: Sequence[int]
    load: Callable[[int], pa.Table]


#: Told of rows that lost against an equal id: their ids and the runs they come from.
OnDropped = Callable[[pa.Array, "np.ndarray[tuple[int], np.dtype[np.int64]]"], None]


def merge(
    runs: Sequence[Run],
    id_column: str,
    on_dropped: OnDropped | None = None,
    range_bytes: int = _RANGE_BYTES,
) -> Iterator[pa.Table]:
    """Rows of all runs in canonical order; of equal ids the row of the *last* run is kept.

    Args:
        runs: each with distinct ids.
        id_column: name of the id column.
        on_dropped: called for every range that had equal ids.
        range_bytes: size of one merged range, about.
    """
    cursors = [_Cursor(run, id_column) for run in runs]
    for end in [*_splitters(runs, range_bytes), None]:
        parts = []
        for index, cursor in enumerate(cursors):
            for part in cursor.take_below(end):
                mark = pa.array(np.full(part.num_rows, index, dtype=np.int64))
                parts.append(part.append_column(_RUN, mark))
        if parts:
            yield _merge_range(parts, id_column, on_dropped)


def _splitters(runs: Sequence[Run], range_bytes: int) -> list[Key]:
    """Keys at which ranges end, so that each range holds about ``range_bytes``."""
    starts = sorted(
        (first, size) for run in runs for first, size in zip(run.firsts, run.sizes, strict=True)
    )
    splitters: list[Key] = []
    collected = 0
    for first, size in starts:
        if collected >= range_bytes:
            splitters.append(first)
            collected = 0
        collected += size
    return splitters


class _Cursor:
    """Reads a run up to one id after the other."""

    def __init__(self, run: Run, id_column: str) -> None:
        self.run = run
        self.id_column = id_column
        self.next_batch = 0
        self.rest: pa.Table | None = None

    def take_below(self, end: Key | None) -> Iterator[pa.Table]:
        """What is left of the run below ``end`` (None: all of it)."""
        while True:
            if self.rest is None:
                if self.next_batch == len(self.run.firsts):
                    return
                if end is not None and self.run.firsts[self.next_batch] >= end:
                    return
                self.rest = self.run.load(self.next_batch)
                self.next_batch += 1
            batch, self.rest = self.rest, None
            cut = batch.num_rows
            if end is not None:
                ids = batch.column(self.id_column).combine_chunks()
                if key_of(ids[-1].as_py()) >= end:
                    cut = lower_bound(ids, end)
            if cut:
                yield batch.slice(0, cut)
            if cut < batch.num_rows:
                self.rest = batch.slice(cut)
                return


def _merge_range(
    parts: Sequence[pa.Table], id_column: str, on_dropped: OnDropped | None
) -> pa.Table:
    """Sort the rows of one range and drop those that lose against an equal id."""
    rows = pa.concat_tables(parts)
    if len({part.column(_RUN)[0].as_py() for part in parts}) == 1:
        return rows.drop_columns([_RUN])
    # The sort is stable and the parts stand in run order, so the last of equals wins.
    rows = rows.take(shortlex_order(rows.column(id_column).combine_chunks()))
    ids = rows.column(id_column).combine_chunks()
    loses = equal_to_next(ids)
    if loses.any():
        if on_dropped is not None:
            lost = pa.array(loses)
            on_dropped(ids.filter(lost), rows.column(_RUN).filter(lost).to_numpy())
        rows = rows.filter(pa.array(~loses))
    return rows.drop_columns([_RUN])
