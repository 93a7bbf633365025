"""Merging of small bins."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.ml.binning_iv import information_value
from fate_flow.ml.binning_optimal import OptimalRule, merged_counts, optimal_bins

METRICS = ["iv", "gini", "chi_square", "ks"]
COUNTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=25)


@settings(deadline=None)
@given(
    COUNTS,
    st.sampled_from(METRICS),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from([0.0, 0.05, 0.2]),
)
def test_rules_hold(
    counts: list[tuple[int, int]], metric: str, bins: int, mixture: bool, min_share: float
) -> None:
    events, non_events = np.array(counts).T
    rule = OptimalRule(metric, bins, mixture, min_share)
    ends = optimal_bins(events, non_events, rule)
    assert ends[-1] == len(counts) - 1
    assert (np.diff(ends) > 0).all()
    assert ends[0] >= 0
    merged = np.stack([merged_counts(events, ends), merged_counts(non_events, ends)])
    assert merged.sum(axis=1).tolist() == [events.sum(), non_events.sum()]
    assert len(ends) <= bins
    if mixture and len(ends) > 1:
        assert (merged > 0).all()
    if len(ends) > 1:
        assert (merged.sum(axis=0) >= min_share * merged.sum()).all()


@pytest.mark.parametrize("metric", METRICS)
def test_two_plain_groups_are_found(metric: str) -> None:
    events = np.array([2, 2, 2, 18, 18, 18])
    ends = optimal_bins(events, 20 - events, OptimalRule(metric, bins=2))
    assert ends.tolist() == [2, 5]


def test_a_merge_by_iv_is_near_the_best_of_all() -> None:
    generator = np.random.default_rng(3)
    events = generator.integers(1, 40, size=9)
    non_events = generator.integers(1, 40, size=9)

    def total(ends: np.ndarray) -> float:
        return information_value(
            merged_counts(events, ends), merged_counts(non_events, ends), 0.5
        ).total

    found = total(optimal_bins(events, non_events, OptimalRule("iv", bins=4, min_share=0.0)))
    best = max(total(np.array([*inner, 8])) for inner in combinations(range(8), 3))
    assert 0.9 * best <= found <= best + 1e-12


def test_bins_do_not_grow_beyond_the_largest_share() -> None:
    events = np.full(20, 5)
    rule = OptimalRule("gini", bins=4, max_share=0.3)
    sizes = merged_counts(events * 2, optimal_bins(events, events, rule))
    assert sizes.max() <= 0.3 * sizes.sum()
