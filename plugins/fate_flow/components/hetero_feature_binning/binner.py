"""One party's own bins: learning the limits and the bin of every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fate_flow.components.columns import choose, numbers
from fate_flow.components.hetero_feature_binning.params import FeatureBinningParam
from fate_flow.data.table import Table
from fate_flow.ml.binning import CountArray, assign_bins, bucket_splits, category_splits
from fate_flow.ml.binning_optimal import OptimalRule
from fate_flow.ml.quantile import FloatArray, quantile_splits

SmallCodes = np.ndarray[Any, np.dtype[np.int32]]


@dataclass
class ColumnBins:
    """Bins of one column.

    Attributes:
        name: the column.
        splits: inclusive upper limits, ascending, float64 (bins,).
        codes: bin of each row, int32 (rows,).
        is_category: the bins are the distinct values, and are never merged.
    """

    name: str
    splits: FloatArray
    codes: SmallCodes
    is_category: bool

    def counts(self) -> CountArray:
        """Rows per bin, int64 (bins,)."""
        return np.bincount(self.codes, minlength=len(self.splits)).astype(np.int64)

    def keep(self, ends: CountArray) -> None:
        """Merge bins; ``ends`` are the bins whose upper limits stay."""
        self.splits = self.splits[ends]
        self.codes = np.searchsorted(ends, self.codes, side="left").astype(np.int32)


def learn(table: Table, param: FeatureBinningParam) -> list[ColumnBins]:
    """Bins of all columns that the parameters name, in header order.

    With method optimal these are the small bins that are still to be merged.

    Raises:
        InvalidInputError: an index outside the header.
        DataError: a column that has no numbers, or missing ones.
    """
    header = table.schema.header
    binned = choose(header, param.bin_indexes, param.bin_names, path="bin_indexes")
    categories = set(
        choose(header, param.category_indexes, param.category_names, path="category_indexes")
    )
    positions = sorted({*binned, *categories})
    columns: list[ColumnBins] = []
    read = numbers(table, [header[position] for position in positions])
    for position, (name, values) in zip(positions, read, strict=True):
        is_category = position in categories
        splits = category_splits(values) if is_category else _splits(values, param)
        codes = assign_bins(values, splits).astype(np.int32)
        columns.append(ColumnBins(name, splits, codes, is_category))
    return columns


def _splits(values: FloatArray, param: FeatureBinningParam) -> FloatArray:
    method, bins = param.method, param.bin_num
    if method == "optimal":
        optimal = param.optimal_binning_param
        method, bins = optimal.init_bucket_method, max(optimal.init_bin_nums, bins)
    return quantile_splits(values, bins) if method == "quantile" else bucket_splits(values, bins)


def rule_of(param: FeatureBinningParam) -> OptimalRule:
    """How small bins are to be merged."""
    optimal = param.optimal_binning_param
    return OptimalRule(
        metric=optimal.metric_method,
        bins=param.bin_num,
        mixture=optimal.mixture,
        min_share=optimal.min_bin_pct,
        max_share=optimal.max_bin_pct,
        adjustment=param.adjustment_factor,
    )


def transform_columns(
    header: tuple[str, ...], param: FeatureBinningParam, binned: list[str]
) -> list[str]:
    """Names of the columns to transform, in header order.

    Raises:
        InvalidInputError: an index outside the header, or an unknown name.
    """
    transform = param.transform_param
    chosen = choose(
        header,
        transform.transform_cols,
        transform.transform_names,
        path="transform_param",
        strict_names=True,
    )
    known = set(binned)
    return [header[position] for position in chosen if header[position] in known]
