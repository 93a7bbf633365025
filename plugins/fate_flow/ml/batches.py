"""Cutting a table's rows into batches."""

from __future__ import annotations


def batch_slices(rows: int, batch_size: int) -> list[slice]:
    """Consecutive slices of ``batch_size`` rows, the last one may be shorter; -1: one slice.

    The rows stand in the table's canonical order, so parties with the same ids cut the
    same batches. They are the same in every iteration.
    """
    if batch_size == -1 or batch_size >= rows:
        return [slice(0, rows)]
    return [slice(start, min(start + batch_size, rows)) for start in range(0, rows, batch_size)]
