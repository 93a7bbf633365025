"""Merging many small bins into few that tell the classes apart.

Bins without rows go first, each into the next bin: they say nothing about the classes.
``iv``, ``gini``, ``chi_square``: neighbours are merged, at each step the pair whose merge
costs least: information value lost, Gini impurity gained, or the chi-square statistic of
the pair's 2 x 2 table (ChiMerge: Kerber, 1992). ``ks``: the range is split, and its parts
again, where the distance between the classes' cumulative shares inside the part is greatest.

The rules are met one after the other: first every bin gets both classes (``mixture``), then
enough rows (``min_share``), then the number of bins is brought down. A later step never
undoes an earlier one, because the union of bins that meet a rule meets it.
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
    last = counts.shape[1] - 1
    filled = np.flatnonzero(counts.sum(axis=0) > 0)
    if len(filled) < 2:
        return np.array([last], dtype=np.int64)
    counts = counts[:, filled]
    found = _split(counts, rule) if rule.metric == "ks" else _merge(counts, rule)
    ends = filled[found]
    # The last bin has the last limit, also where no row is above the one before it.
    ends[-1] = last
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
        pairs = counts[:, :-1] + counts[:, 1:]
        candidates = _candidates(counts, pairs.sum(axis=0) <= rule.max_share * rows, rows, rule)
        if not candidates.any():
            break
        cost = np.where(candidates, _merge_costs(counts, pairs, totals, rule), np.inf)
        at = int(np.argmin(cost))
        counts[:, at] = pairs[:, at]
        counts = np.delete(counts, at + 1, axis=1)
        ends = np.delete(ends, at)
    return ends


def _candidates(counts: FloatArray, small_enough: Bools, rows: float, rule: OptimalRule) -> Bools:
    """Pairs of neighbours that the first unmet rule may merge; bool, shape (m - 1,)."""
    lacking = counts.min(axis=0) == 0 if rule.mixture else np.zeros(counts.shape[1], dtype=np.bool_)
    if not lacking.any():
        lacking = counts.sum(axis=0) < rule.min_share * rows
    if lacking.any():
        candidates = lacking[:-1] | lacking[1:]
        allowed = candidates & small_enough
        return np.asarray(allowed if allowed.any() else candidates, dtype=np.bool_)
    return np.asarray(small_enough & (counts.shape[1] > rule.bins), dtype=np.bool_)


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
    rows = counts.sum()
    parts = [(0, counts.shape[1])]
    found: dict[tuple[int, int], _Cut | None] = {}
    while len(parts) < rule.bins:
        for part in parts:
            if part not in found:
                found[part] = _best_cut(counts[:, slice(*part)], rows, rule)
        # Too large parts first, then the part that gains most.
        choices = [(cut.is_needed, cut.gain, part) for part in parts if (cut := found[part])]
        if not choices:
            break
        _, _, part = max(choices)
        cut = found[part]
        assert cut is not None
        parts.remove(part)
        parts += [(part[0], part[0] + cut.at + 1), (part[0] + cut.at + 1, part[1])]
    return sorted(end - 1 for _, end in parts)


@dataclass(frozen=True)
class _Cut:
    """Where to cut a part.

    Attributes:
        at: last bin of the left side, from the part's first bin.
        gain: KS distance, weighted with e * n / (e + n) of the part's e events and n
            non-events, so that parts can be compared.
        is_needed: the part is larger than ``max_share``.
    """

    at: int
    gain: float
    is_needed: bool


def _best_cut(counts: FloatArray, rows: float, rule: OptimalRule) -> _Cut | None:
    """The cut of a part with the largest KS distance, if any is allowed and of use."""
    inside = counts.sum(axis=1)
    left = np.cumsum(counts, axis=1)[:, :-1]
    right = inside[:, None] - left
    smallest = np.minimum(left.sum(axis=0), right.sum(axis=0))
    allowed = smallest >= rule.min_share * rows
    if rule.mixture:
        allowed &= (left.min(axis=0) > 0) & (right.min(axis=0) > 0)
    if not allowed.any():
        return None
    shares = left / np.maximum(inside, 1.0)[:, None]
    distance = np.where(allowed, np.abs(shares[0] - shares[1]), -1.0)
    at = int(np.argmax(distance))
    gain = float(distance[at] * inside[0] * inside[1] / inside.sum())
    is_needed = bool(inside.sum() > rule.max_share * rows)
    if gain > 0:
        return _Cut(at, gain, is_needed)
    # Nothing to tell apart: only a part that is too large is cut, near its middle.
    return _Cut(int(np.argmax(np.where(allowed, smallest, -1.0))), 0.0, True) if is_needed else None
