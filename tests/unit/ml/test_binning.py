"""Bins, weight of evidence, information value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fate_flow.ml.binning import assign_all, assign_bins, bin_counts, bucket_splits, category_splits
from fate_flow.ml.binning_iv import information_value

COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12)


@given(
    st.lists(st.floats(allow_nan=False), min_size=1),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, unique=True),
)
def test_a_value_is_in_the_first_bin_whose_limit_is_not_smaller(
    values: list[float], limits: list[float]
) -> None:
    splits = np.unique(np.array(limits))
    for value, code in zip(values, assign_bins(np.array(values), splits), strict=True):
        expected = next((i for i, limit in enumerate(splits) if limit >= value), len(splits) - 1)
        assert code == expected


def test_all_columns_at_once() -> None:
    matrix = np.array([[0.0, 5.0], [1.0, 7.0]])
    codes = assign_all(matrix, [np.array([0.0, 1.0]), np.array([6.0])])
    assert codes.tolist() == [[0, 0], [1, 0]]


def test_buckets_have_equal_width_and_end_at_the_maximum() -> None:
    column = np.array([2.0, 4.0, 12.0])
    assert bucket_splits(column, 5).tolist() == [4.0, 6.0, 8.0, 10.0, 12.0]
    assert bucket_splits(np.array([3.0, 3.0]), 4).tolist() == [3.0]
    assert bucket_splits(np.array([-1.5e308, 1.5e308]), 2).tolist() == [0.0, 1.5e308]


@given(st.lists(st.floats(-1e12, 1e12), min_size=1), st.integers(1, 30))
def test_every_value_falls_into_a_bucket(values: list[float], parts: int) -> None:
    column = np.array(values)
    splits = bucket_splits(column, parts)
    assert 1 <= len(splits) <= parts
    assert splits[-1] == column.max()
    assert bin_counts(assign_bins(column, splits), len(splits)).sum() == len(values)


def test_categories_are_the_distinct_values() -> None:
    assert category_splits(np.array([2.0, 1.0, 2.0])).tolist() == [1.0, 2.0]


@given(COUNTS, st.floats(0.01, 0.99))
def test_information_value_of_the_definition(
    counts: list[tuple[int, int]], adjustment: float
) -> None:
    events, non_events = np.array(counts).T
    found = information_value(events, non_events, adjustment)
    total_event, total_non_event = max(sum(events), 1), max(sum(non_events), 1)
    expected = 0.0
    for event, non_event, woe in zip(events, non_events, found.woe, strict=True):
        add = adjustment if 0 in (event, non_event) else 0
        p, q = (event + add) / total_event, (non_event + add) / total_non_event
        assert woe == pytest.approx(math.log(p / q))
        expected += (p - q) * math.log(p / q)
    assert found.total == pytest.approx(expected)
    assert found.total >= 0


@pytest.mark.parametrize(
    ("events", "is_monotonic"),
    [([1, 5, 9], True), ([9, 5, 1], True), ([5, 5, 5], True), ([1, 9, 5], False), ([3], True)],
)
def test_monotonic(events: list[int], is_monotonic: bool) -> None:
    result = information_value(np.array(events), np.array([5] * len(events)), 0.5)
    assert result.is_monotonic is is_monotonic
