"""Computing over the partitions of a table: map, and reduce of what map gives.

The work is done by threads: the functions that are mapped are made of Arrow and numpy
calls, which run outside Python's interpreter lock, and threads need no copy of the rows.
A partition is handed over in pieces of at most 65,536 rows, so memory is bounded by the
number of workers and not by the size of a partition.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from fate_flow.data.table import Table

T = TypeVar("T")


def default_workers() -> int:
    """Cores this process may use, at most 8."""
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)


def map_partitions(
    table: Table,
    function: Callable[[pa.Table], T],
    columns: Sequence[str] | None = None,
    workers: int | None = None,
) -> Iterator[T]:
    """``function`` of every piece of the table, in row order.

    Args:
        function: gets the rows of one piece; must be safe to run in several threads.
        columns: names of the columns that are read; None: all.
        workers: pieces worked on at once.

    Raises:
        Exception: whatever ``function`` raised for the first piece that failed.
    """
    count = workers or default_workers()
    if count == 1 or table.count == 0:
        yield from map(function, table.blocks(columns))
        return
    with ThreadPoolExecutor(count, thread_name_prefix="partition") as pool:
        running: deque[Future[T]] = deque()
        try:
            for block in table.blocks(columns):
                running.append(pool.submit(function, block))
                if len(running) > count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def reduce_partitions(
    table: Table,
    function: Callable[[pa.Table], T],
    combine: Callable[[T, T], T],
    columns: Sequence[str] | None = None,
    workers: int | None = None,
) -> T:
    """``combine`` over what ``function`` gives for every piece, from first to last row."""
    return functools.reduce(combine, map_partitions(table, function, columns, workers))
