"""Exact quantiles of numeric columns.

FATE 1.4 reads quantiles from a Greenwald-Khanna sketch; for tables of up to
1/error rows its answer is the exact order statistic that is computed here, for
larger ones it lies within error * rows ranks of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def order_statistics(column: FloatArray, ranks: Sequence[int]) -> FloatArray:
    """Values at 1-based ranks of the sorted column.

    Args:
        column: float64, shape (n,), n >= 1, no NaN.
        ranks: each within 1..n.

    Returns:
        float64, shape (len(ranks),).
    """
    wanted = np.asarray(ranks, dtype=np.int64) - 1
    values: FloatArray = np.partition(column, np.unique(wanted))[wanted]
    return values


def quantile_splits(column: FloatArray, parts: int) -> FloatArray:
    """Upper limits of ``parts`` bins of equal frequency, ascending and distinct.

    The k-th limit is the value at rank ceil(k * n / parts), k = 1..parts; the last
    one is the maximum. Equal values fall together, so there may be fewer bins.

    Args:
        column: float64, shape (n,), n >= 1, no NaN.
        parts: number of bins asked for.

    Returns:
        float64, shape (m,), 1 <= m <= parts.
    """
    n = len(column)
    ranks = [-(-k * n // parts) for k in range(1, parts + 1)]
    return np.unique(order_statistics(column, ranks))


def percentile(column: FloatArray, share: float) -> float:
    """The smallest value that at least ``share`` (0..1) of the rows do not exceed.

    Args:
        column: float64, shape (n,), n >= 1, no NaN.
    """
    # The share is taken as the decimal number a person wrote: 0.3 of 10 rows is rank 3.
    exact = Fraction(str(float(share))) * len(column)
    rank = min(max(-(-exact.numerator // exact.denominator), 1), len(column))
    return float(order_statistics(column, [rank])[0])
