"""Bins of numeric columns: where they end, and which bin a value is in.

A bin is named by its upper limit (inclusive). A value belongs to the first bin
whose limit is not smaller, and to the last bin when it exceeds all limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fate_flow.ml.quantile import FloatArray

CodeArray = np.ndarray[Any, np.dtype[np.int64]]
CountArray = np.ndarray[Any, np.dtype[np.int64]]


def bucket_splits(column: FloatArray, parts: int) -> FloatArray:
    """Upper limits of ``parts`` bins of equal width; the last one is the maximum.

    Args:
        column: float64, shape (n,), n >= 1, no NaN.

    Returns:
        float64, shape (m,), ascending and distinct; one limit when all values are equal.
    """
    low, high = float(column.min()), float(column.max())
    # Divided before subtracting: the difference of two huge numbers may overflow.
    width = high / parts - low / parts
    inner = low + width * np.arange(1, parts, dtype=np.float64)
    return np.unique(np.append(np.minimum(inner, high), high))


def category_splits(column: FloatArray) -> FloatArray:
    """Distinct values, ascending: each value of a categorical column is a bin."""
    return np.unique(column)


def assign_bins(column: FloatArray, splits: FloatArray) -> CodeArray:
    """Bin index of each value.

    Args:
        column: float64, shape (n,), no NaN.
        splits: float64, shape (m,), ascending, m >= 1.

    Returns:
        int64, shape (n,), within 0..m-1.
    """
    codes: CodeArray = np.searchsorted(splits, column, side="left").astype(np.int64, copy=False)
    return np.minimum(codes, len(splits) - 1, out=codes)


def assign_all(matrix: FloatArray, splits: Sequence[FloatArray]) -> CodeArray:
    """Bin indices of all columns, int64, shape (n, len(splits)), column-major."""
    codes = np.empty(matrix.shape, dtype=np.int64, order="F")
    for index, points in enumerate(splits):
        codes[:, index] = assign_bins(matrix[:, index], points)
    return codes


def bin_counts(codes: CodeArray, bins: int, weights: FloatArray | None = None) -> CountArray:
    """Rows per bin, or the sum of 0/1 ``weights`` per bin; int64, shape (bins,)."""
    counts = np.bincount(codes, weights=weights, minlength=bins)
    return np.rint(counts).astype(np.int64)
