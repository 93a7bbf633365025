"""Binning in the clear: what a job's models must say, computed from the joined data.

Written without the package's kernels, but for the merging of small bins, which has a plain
implementation to be held against in its own tests.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fate_flow.ml.binning_optimal import OptimalRule, optimal_bins

Columns = dict[str, list[float]]


@dataclass
class PlainTable:
    """Rows of a CSV file in the order in which tables keep them.

    Attributes:
        ids: shorter ones first, then by their bytes.
        labels: None without a label.
        columns: name -> values, in the file's order.
    """

    ids: list[str]
    labels: list[int] | None
    columns: Columns


def read_csv(path: Path, *, label: str | None = None, is_tag: bool = False) -> PlainTable:
    """A file with a header; with ``is_tag`` every value after the label is a tag's name."""
    with path.open() as file:
        header, *rows = csv.reader(file)
    rows.sort(key=lambda row: (len(row[0]), row[0].encode()))
    ids = [row[0] for row in rows]
    labels = None if label is None else [int(row[header.index(label)]) for row in rows]
    if is_tag:
        tags = sorted({tag for row in rows for tag in row[2:]})
        columns = {tag: [float(tag in row[2:]) for row in rows] for tag in tags}
    else:
        names = [name for name in header[1:] if name != label]
        columns = {name: [float(row[header.index(name)]) for row in rows] for name in names}
    return PlainTable(ids, labels, columns)


@dataclass
class PlainBins:
    """Bins of a column and what the labels say about them; all lists run over the bins."""

    splits: list[float]
    codes: list[int]
    events: list[int] = field(default_factory=list)
    non_events: list[int] = field(default_factory=list)
    woe: list[float] = field(default_factory=list)
    iv: list[float] = field(default_factory=list)


def plain_bins(
    values: Sequence[float],
    labels: Sequence[int],
    param: Mapping[str, Any],
    *,
    is_category: bool,
    adjustment: float,
) -> PlainBins:
    """Bins of one column as the parameters of its party ask for.

    Args:
        adjustment: the guest's ``adjustment_factor``.
    """
    optimal = param.get("optimal_binning_param", {})
    is_optimal = param["method"] == "optimal" and not is_category
    method, parts = param["method"], param["bin_num"]
    if is_optimal:
        method, parts = optimal["init_bucket_method"], max(optimal["init_bin_nums"], parts)
    if is_category:
        splits = sorted(set(values))
    elif method == "quantile":
        ordered = sorted(values)
        splits = sorted({ordered[math.ceil(k * len(ordered) / parts) - 1] for k in _upto(parts)})
    else:
        low, high = min(values), max(values)
        width = high / parts - low / parts
        splits = sorted({*(min(low + width * k, high) for k in range(1, parts)), high})
    bins = _weighed(values, labels, splits, adjustment)
    if not is_optimal:
        return bins
    metric = optimal["metric_method"].replace("-", "_")
    rule = OptimalRule(
        metric,
        param["bin_num"],
        optimal["mixture"],
        optimal["min_bin_pct"],
        optimal["max_bin_pct"],
        adjustment,
    )
    ends = optimal_bins(np.array(bins.events), np.array(bins.non_events), rule)
    return _weighed(values, labels, [splits[end] for end in ends], adjustment)


def _upto(parts: int) -> range:
    return range(1, parts + 1)


def _weighed(
    values: Sequence[float], labels: Sequence[int], splits: list[float], adjustment: float
) -> PlainBins:
    codes = [min(bisect_left(splits, value), len(splits) - 1) for value in values]
    bins = PlainBins(splits, codes, [0] * len(splits), [0] * len(splits))
    for code, label in zip(codes, labels, strict=True):
        (bins.events if label == 1 else bins.non_events)[code] += 1
    all_events, all_others = sum(bins.events), sum(bins.non_events)
    for events, others in zip(bins.events, bins.non_events, strict=True):
        more = adjustment if 0 in (events, others) else 0.0
        rate, other_rate = (events + more) / all_events, (others + more) / all_others
        bins.woe.append(math.log(rate / other_rate))
        bins.iv.append((rate - other_rate) * bins.woe[-1])
    return bins


def as_recorded(bins: PlainBins, *, is_own: bool, is_weighed: bool) -> dict[str, Any]:
    """The column's entry of the model as the REST API shows it.

    Args:
        is_own: limits are known: the party's own column.
        is_weighed: WOE and IV are known: any column at the guest.
    """
    shown: dict[str, Any] = {}
    if is_own:
        shown["splitPoints"] = bins.splits
    if is_weighed:
        shown.update(
            woeArray=bins.woe,
            ivArray=bins.iv,
            eventCountArray=[str(count) for count in bins.events],
            nonEventCountArray=[str(count) for count in bins.non_events],
            iv=sum(bins.iv),
            binNums=str(len(bins.woe)),
        )
    return shown
