"""Merging of small bins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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


def test_bins_without_rows_join_the_next() -> None:
    events = np.array([0, 3, 0, 0, 9, 0])
    non_events = np.array([0, 9, 0, 0, 3, 0])
    for metric in METRICS:
        assert optimal_bins(events, non_events, OptimalRule(metric)).tolist() == [1, 5]
        assert optimal_bins(events[:4], non_events[:4], OptimalRule(metric)).tolist() == [3]
        assert optimal_bins(events[:1], non_events[:1], OptimalRule(metric)).tolist() == [0]


def test_ks_does_not_cut_where_there_is_nothing_to_tell_apart() -> None:
    same = np.full(12, 5)
    rule = OptimalRule("ks", bins=6, mixture=False, min_share=0.0)
    assert optimal_bins(same, same, rule).tolist() == [11]
    assert optimal_bins(same, 0 * same, rule).tolist() == [11]
    small = OptimalRule("ks", bins=6, mixture=False, min_share=0.0, max_share=0.5)
    assert optimal_bins(same, same, small).tolist() == [5, 11]


# A plain implementation of the rules, for comparison. Where several pairs cost the same it
# follows all of them, because rounding decides which one the fast implementation takes.

Bins = tuple[tuple[int, int], ...]
EQUAL = 1e-9


def plain_iv(bins: Bins, adjustment: float) -> float:
    events = sum(e for e, _ in bins) or 1
    others = sum(n for _, n in bins) or 1
    total = 0.0
    for e, n in bins:
        more = adjustment if 0 in (e, n) else 0.0
        first, second = (e + more) / events, (n + more) / others
        total += (first - second) * math.log(first / second)
    return total


def plain_gini(bins: Bins) -> float:
    rows = sum(e + n for e, n in bins)
    return sum((e + n) / rows * (1 - (e / (e + n)) ** 2 - (n / (e + n)) ** 2) for e, n in bins)


def plain_chi_square(left: tuple[int, int], right: tuple[int, int]) -> float:
    (a, b), (c, d) = left, right
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    return (a + b + c + d) * (a * d - b * c) ** 2 / margins if margins else 0.0


def plain_merge(bins: Bins, at: int) -> Bins:
    (a, b), (c, d) = bins[at : at + 2]
    return (*bins[:at], (a + c, b + d), *bins[at + 2 :])


def plain_cost(bins: Bins, at: int, rule: OptimalRule) -> float:
    if rule.metric == "chi_square":
        return plain_chi_square(bins[at], bins[at + 1])
    if rule.metric == "gini":
        return plain_gini(plain_merge(bins, at)) - plain_gini(bins)
    return plain_iv(bins, rule.adjustment) - plain_iv(plain_merge(bins, at), rule.adjustment)


def plain_pairs(bins: Bins, rule: OptimalRule) -> list[int]:
    """Pairs that may be merged next."""
    rows = sum(e + n for e, n in bins)
    places = range(len(bins) - 1)
    fit = [i for i in places if sum(bins[i] + bins[i + 1]) <= rule.max_share * rows]
    lacks: list[Callable[[tuple[int, int]], bool]] = [lambda b: sum(b) < rule.min_share * rows]
    if rule.mixture:
        lacks.insert(0, lambda b: 0 in b)
    for lack in lacks:
        if any(map(lack, bins)):
            wanted = [i for i in places if lack(bins[i]) or lack(bins[i + 1])]
            return [i for i in wanted if i in fit] or wanted
    return fit if len(bins) > rule.bins else []


def plain_merges(bins: Bins, ends: tuple[int, ...], rule: OptimalRule) -> Iterator[tuple[int, ...]]:
    costs = {at: plain_cost(bins, at, rule) for at in plain_pairs(bins, rule)}
    if not costs:
        yield ends
        return
    for at, cost in costs.items():
        if cost <= min(costs.values()) + EQUAL:
            yield from plain_merges(plain_merge(bins, at), (*ends[:at], *ends[at + 1 :]), rule)


def plain_cuts(bins: Bins, rows: int, rule: OptimalRule) -> dict[int, float]:
    """Allowed cuts of a part -> KS distance there."""
    events, others = sum(e for e, _ in bins), sum(n for _, n in bins)
    cuts = {}
    for at in range(1, len(bins)):
        left = (sum(e for e, _ in bins[:at]), sum(n for _, n in bins[:at]))
        right = (events - left[0], others - left[1])
        if min(sum(left), sum(right)) < rule.min_share * rows:
            continue
        if rule.mixture and 0 in left + right:
            continue
        # With one class only there is no distance.
        cuts[at] = abs(left[0] / events - left[1] / others) if events and others else 0.0
    return cuts


SMALL = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any), min_size=1, max_size=7
)


@settings(deadline=None, max_examples=300)
@given(
    SMALL,
    st.sampled_from(["iv", "gini", "chi_square"]),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from([0.4, 0.7, 1.0]),
)
def test_merges_are_those_of_a_plain_implementation(
    counts: list[tuple[int, int]],
    metric: str,
    bins: int,
    mixture: bool,
    min_share: float,
    max_share: float,
) -> None:
    rule = OptimalRule(metric, bins, mixture, min_share, max_share)
    events, non_events = np.array(counts).T
    found = tuple(optimal_bins(events, non_events, rule).tolist())
    assert found in set(plain_merges(tuple(counts), tuple(range(len(counts))), rule))


@settings(deadline=None, max_examples=300)
@given(SMALL, st.booleans(), st.sampled_from([0.0, 0.1, 0.3]))
def test_cuts_are_those_of_a_plain_implementation(
    counts: list[tuple[int, int]], mixture: bool, min_share: float
) -> None:
    rule = OptimalRule("ks", 100, mixture, min_share)
    events, non_events = np.array(counts).T
    rows = int(events.sum() + non_events.sum())
    ends = (optimal_bins(events, non_events, rule) + 1).tolist()

    def check(start: int, stop: int) -> None:
        """The part was cut at a best place, or could not be cut."""
        inner = [end for end in ends if start < end < stop]
        cuts = plain_cuts(tuple(counts[start:stop]), rows, rule)
        best = max(cuts.values(), default=0.0)
        if not inner:
            assert best <= EQUAL
            return
        at = next(end for end in inner if cuts.get(end - start, -1.0) >= best - EQUAL)
        check(start, at)
        check(at, stop)

    check(0, len(counts))


def test_ks_cuts_the_part_that_gains_most_when_bins_are_few() -> None:
    # The first cut is in the middle; the right half is worth cutting again, the left is not.
    events = np.array([5, 5, 5, 5, 40, 10])
    non_events = np.array([40, 40, 40, 42, 10, 40])
    ends = optimal_bins(events, non_events, OptimalRule("ks", bins=3, min_share=0.0))
    assert ends.tolist() == [3, 4, 5]
