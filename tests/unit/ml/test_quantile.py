"""Exact quantiles."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fate_flow.ml.quantile import order_statistics, percentile, quantile_splits

COLUMNS = st.lists(st.floats(-1e9, 1e9) | st.integers(-3, 3).map(float), min_size=1, max_size=60)


@given(COLUMNS, st.data())
def test_order_statistics_are_those_of_the_sorted_column(
    values: list[float], data: st.DataObject
) -> None:
    ranks = data.draw(st.lists(st.integers(1, len(values)), min_size=1))
    found = order_statistics(np.array(values), ranks)
    assert found.tolist() == [sorted(values)[rank - 1] for rank in ranks]


@given(COLUMNS, st.integers(1, 20))
def test_splits_stand_at_the_ranks(values: list[float], parts: int) -> None:
    splits = quantile_splits(np.array(values), parts)
    ordered = sorted(values)
    ranks = [math.ceil(Fraction(k * len(values), parts)) for k in range(1, parts + 1)]
    assert splits.tolist() == sorted({ordered[rank - 1] for rank in ranks})
    assert splits[-1] == ordered[-1]


@given(st.integers(1, 300), st.integers(1, 30))
def test_bins_of_distinct_values_are_equally_full(rows: int, parts: int) -> None:
    column = np.random.default_rng(rows).permutation(rows).astype(np.float64)
    splits = quantile_splits(column, parts)
    sizes = np.diff(np.searchsorted(np.sort(column), splits, side="right"), prepend=0)
    assert sizes.sum() == rows
    if rows >= parts:
        assert sizes.max() - sizes.min() <= 1


@given(COLUMNS, st.floats(0, 1))
def test_percentile_is_the_smallest_value_that_covers_the_share(
    values: list[float], share: float
) -> None:
    column = np.array(values)
    found = percentile(column, share)
    exact = Fraction(str(share))
    assert Fraction(int((column <= found).sum()), len(values)) >= exact
    below = column[column < found]
    assert len(below) == 0 or Fraction(len(below), len(values)) < exact


def test_a_share_means_the_decimal_that_was_written() -> None:
    assert percentile(np.arange(1.0, 11.0), 0.3) == 3.0
    assert percentile(np.arange(1.0, 11.0), 0.0) == 1.0
    assert percentile(np.arange(1.0, 11.0), 1.0) == 10.0
