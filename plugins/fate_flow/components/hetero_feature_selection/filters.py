"""The filters, as functions of column values and of information values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fate_flow.components.columns import choose, numbers
from fate_flow.components.hetero_feature_selection.params import FeatureSelectionParam
from fate_flow.data.table import Table
from fate_flow.ml.quantile import FloatArray, percentile

#: Means nearer to zero count as this, so that the coefficient of variation stays finite.
SMALLEST_MEAN = 1e-6


@dataclass(frozen=True)
class Judgement:
    """What one filter says about the columns of one party.

    Attributes:
        original: columns it looked at.
        values: what it measured, column -> value.
        left: columns that stay, in the order of ``original``.
    """

    original: Sequence[str]
    values: Mapping[str, float]
    left: Sequence[str]


@dataclass(frozen=True)
class FilterResult:
    """What one filter says about all columns that a party knows of.

    Attributes:
        name: the filter.
        own: the party's own columns.
        hosts: columns of each host, by anonymous names; guest only.
    """

    name: str
    own: Judgement
    hosts: Sequence[Judgement] = field(default_factory=tuple)


def judge(
    columns: Sequence[str],
    values: Mapping[str, float],
    keeps: Callable[[float], bool],
    *,
    highest_is_best: bool = True,
) -> Judgement:
    """Keep the columns whose value passes; columns without a value stay.

    A filter never drops everything: of columns that all fail, the best one stays.
    """
    left = [name for name in columns if name not in values or keeps(values[name])]
    if not left and columns:
        best = max if highest_is_best else min
        left = [best(columns, key=lambda name: values[name])]
    return Judgement(tuple(columns), dict(values), left)


def apply_local(
    method: str, table: Table, columns: Sequence[str], param: FeatureSelectionParam
) -> Judgement:
    """A filter that needs the party's own values only.

    Raises:
        DataError: a column that has no numbers.
        InvalidInputError: an index outside the header.
    """
    if method == "manually":
        return _manually(table, columns, param)
    if method == "unique_value":
        eps = param.unique_param.eps
        return judge(columns, _measure(table, columns, value_range), lambda v: v >= eps)
    if method == "coefficient_of_variation_value_thres":
        threshold = param.variance_coe_param.value_threshold
        values = _measure(table, columns, coefficient_of_variation)
        return judge(columns, values, lambda v: v >= threshold)
    share, upper = param.outlier_param.percentile, param.outlier_param.upper_threshold
    values = _measure(table, columns, lambda column: percentile(column, share))
    return judge(columns, values, lambda v: v < upper, highest_is_best=False)


def _manually(table: Table, columns: Sequence[str], param: FeatureSelectionParam) -> Judgement:
    header = table.schema.header
    given = param.manually_param
    dropped = {
        header[position]
        for position in choose(
            header,
            given.filter_out_indexes,
            given.filter_out_names,
            path="manually_param.filter_out_indexes",
        )
    }
    left = [name for name in columns if name not in dropped]
    return Judgement(tuple(columns), {}, left or list(columns[:1]))


def _measure(
    table: Table, columns: Sequence[str], measure: Callable[[FloatArray], float]
) -> dict[str, float]:
    """Measures of the present values; a column without any counts as constant zero."""
    values: dict[str, float] = {}
    for name, column in numbers(table, columns, finite=False):
        present = column[~np.isnan(column)]
        values[name] = measure(present if len(present) else np.zeros(1))
    return values


def value_range(column: FloatArray) -> float:
    """Maximum less minimum."""
    return float(column.max() - column.min())


def coefficient_of_variation(column: FloatArray) -> float:
    """Population standard deviation over the mean's magnitude."""
    return float(column.std() / max(abs(float(column.mean())), SMALLEST_MEAN))


def percentile_threshold(values: Sequence[float], share: float) -> float:
    """The information value that a column has to exceed.

    Args:
        values: information values of all parties' candidates, at least one.
        share: 0..1; the value stands at floor(share * count - 1e-6) of the descending order.
    """
    descending = sorted(values, reverse=True)
    return descending[max(0, math.floor(share * len(descending) - 1e-6))]
