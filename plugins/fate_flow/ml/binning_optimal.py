"""Merging many small bins into few that tell the classes apart.

``iv``, ``gini``, ``chi_square``: neighbours are merged, at each step the pair whose merge
costs least: information value lost, Gini impurity gained, or the chi-square statistic of
the pair's 2 x 2 table (ChiMerge: Kerber, 1992). ``ks``: the range is split, at each step
where the distance between the classes' cumulative shares inside a part is greatest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fate_flow.ml.binning import CountArray
from fate_flow.ml.quantile import FloatArray

Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class OptimalRule:
    """What the final bins have to be like.

    Attributes:
        metric: iv, gini, chi_square or ks.
        bins: at most so many.
        mixture: every bin holds both classes, if the column does.
        min_share, max_share: limits of a bin's share of the rows. ``max_share`` gives way
            where ``mixture`` or ``min_share`` leave no other merge; then, and where small
            bins cannot be merged below it, there may be more than ``bins`` bins.
        adjustment: see ``binning_iv``.
    """

    metric: str = "iv"
    bins: int = 10
    mixture: bool = True
    min_share: float = 0.05
    max_share: float = 1.0
    adjustment: float = 0.5


def optimal_bins(events: CountArray, non_events: CountArray, rule: OptimalRule) -> CountArray:
    """Which of the small bins end a final bin.

    Args:
        events, non_events: int64 counts of the small bins, shape (m,), m >= 1.

    Returns:
        int64 indices, ascending, the last one is m - 1.
    """
    counts = np.stack([np.asarray(events), np.asarray(non_events)]).astype(np.float64)
    ends = _split(counts, rule) if rule.metric == "ks" else _merge(counts, rule)
    return np.asarray(ends, dtype=np.int64)


def merged_counts(counts: CountArray, ends: CountArray) -> CountArray:
    """Counts of the final bins, int64, shape (len(ends),)."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    return np.add.reduceat(np.asarray(counts, dtype=np.int64), starts)


def _merge(counts: FloatArray, rule: OptimalRule) -> CountArray:
    totals = np.maximum(counts.sum(axis=1), 1.0)
    rows = counts.sum()
    ends = np.arange(counts.shape[1])
    while len(ends) > 1:
        lacking = _lacking(counts, rows, rule)
        pairs = counts[:, :-1] + counts[:, 1:]
        small_enough = pairs.sum(axis=0) <= rule.max_share * rows
        if lacking.any():
            candidates = lacking[:-1] | lacking[1:]
            if (candidates & small_enough).any():
                candidates &= small_enough
        elif len(ends) > rule.bins:
            candidates = small_enough
        else:
            break
        if not candidates.any():
            break
        cost = np.where(candidates, _merge_costs(counts, pairs, totals, rule), np.inf)
        at = int(np.argmin(cost))
        counts[:, at] = pairs[:, at]
        counts = np.delete(counts, at + 1, axis=1)
        ends = np.delete(ends, at)
    return ends


def _lacking(counts: FloatArray, rows: float, rule: OptimalRule) -> Bools:
    """Bins that may not stay as they are."""
    lacking = counts.sum(axis=0) < rule.min_share * rows
    if rule.mixture:
        lacking |= counts.min(axis=0) == 0
    return np.asarray(lacking, dtype=np.bool_)


def _merge_costs(
    counts: FloatArray, pairs: FloatArray, totals: FloatArray, rule: OptimalRule
) -> FloatArray:
    if rule.metric == "iv":
        value = _iv(counts, totals, rule.adjustment)
        lost: FloatArray = value[:-1] + value[1:] - _iv(pairs, totals, rule.adjustment)
        return lost
    if rule.metric == "gini":
        impurity = _impurity(counts)
        gained: FloatArray = _impurity(pairs) - impurity[:-1] - impurity[1:]
        return gained
    return _chi_square(counts, pairs)


def _iv(counts: FloatArray, totals: FloatArray, adjustment: float) -> FloatArray:
    shares = (counts + adjustment * (counts.min(axis=0) == 0)) / totals[:, None]
    value: FloatArray = (shares[0] - shares[1]) * np.log(shares[0] / shares[1])
    return value


def _impurity(counts: FloatArray) -> FloatArray:
    """Rows times Gini impurity: n * 2 p (1 - p)."""
    value: FloatArray = 2 * counts[0] * counts[1] / np.maximum(counts.sum(axis=0), 1.0)
    return value


def _chi_square(counts: FloatArray, pairs: FloatArray) -> FloatArray:
    rows = counts.sum(axis=0)
    both = np.maximum(pairs.sum(axis=0), 1.0)
    total: FloatArray = np.zeros_like(both)
    for side in (slice(None, -1), slice(1, None)):
        expected = pairs * rows[side] / both
        difference = (counts[:, side] - expected) ** 2
        total += np.divide(
            difference, expected, out=np.zeros_like(difference), where=expected > 0
        ).sum(axis=0)
    return total


def _split(counts: FloatArray, rule: OptimalRule) -> list[int]:
    totals = np.maximum(counts.sum(axis=1), 1.0)
    rows = counts.sum()
    parts = [(0, counts.shape[1])]
    closed: set[tuple[int, int]] = set()
    while len(parts) < rule.bins:
        best: tuple[bool, float, int, tuple[int, int]] | None = None
        for part in parts:
            if part in closed:
                continue
            found = _best_split(counts[:, slice(*part)], totals, rows, rule)
            if found is None:
                closed.add(part)
                continue
            too_big = bool(counts[:, slice(*part)].sum() > rule.max_share * rows)
            choice = (too_big, found[0], part[0] + found[1], part)
            if best is None or choice[:2] > best[:2]:
                best = choice
        if best is None:
            break
        _, _, at, part = best
        parts.remove(part)
        parts += [(part[0], at + 1), (at + 1, part[1])]
    return sorted(end - 1 for _, end in parts)


def _best_split(
    counts: FloatArray, totals: FloatArray, rows: float, rule: OptimalRule
) -> tuple[float, int] | None:
    """(KS distance within the part, index of the left side's last bin), if any is allowed."""
    left = np.cumsum(counts, axis=1)[:, :-1]
    right = counts.sum(axis=1)[:, None] - left
    smallest = np.minimum(left.sum(axis=0), right.sum(axis=0))
    allowed = (smallest >= rule.min_share * rows) & (smallest > 0)
    if rule.mixture:
        allowed &= (left.min(axis=0) > 0) & (right.min(axis=0) > 0)
    if not allowed.any():
        return None
    inside = counts.sum(axis=1)
    # Distance of the cumulative shares inside the part, weighted by its share of all.
    expected = left.sum(axis=0) / inside.sum() * inside[:, None]
    distance = np.abs((left - expected) / totals[:, None])
    spread = np.where(allowed, np.abs(distance.sum(axis=0)), -1.0)
    at = int(np.argmax(spread))
    return float(spread[at]), at
