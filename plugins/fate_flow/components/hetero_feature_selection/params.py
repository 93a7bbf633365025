"""Parameters of HeteroFeatureSelection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fate_flow.components.hetero_feature_binning.params import decimal
from fate_flow.runtime.params import (
    Param,
    boolean,
    integer,
    list_of,
    nested,
    null,
    number,
    one_of,
    param,
    text,
)

FILTERS = (
    "manually",
    "unique_value",
    "iv_value_thres",
    "iv_percentile",
    "coefficient_of_variation_value_thres",
    "outlier_cols",
)

_POSITIVE = number(0, None, open_interval=True)


@dataclass
class UniqueValueParam(Param):
    """Keep columns whose maximum and minimum differ by ``eps`` or more."""

    eps: float = param(1e-05, _POSITIVE)


@dataclass
class IVValueSelectionParam(Param):
    """Keep columns whose information value exceeds the threshold.

    Attributes:
        host_thresholds: one threshold per host in conf order, instead of the common one.
        local_only: hosts' columns are not looked at; to be the same at all parties.
    """

    value_threshold: float = param(0.0, number())
    host_thresholds: list[float] | None = param(None, list_of(number()) | null())
    local_only: bool = param(False, boolean())


@dataclass
class IVPercentileSelectionParam(Param):
    """Keep the columns with the best information values of all parties together."""

    percentile_threshold: float = param(1.0, decimal())
    local_only: bool = param(False, boolean())


@dataclass
class VarianceOfCoeSelectionParam(Param):
    """Keep columns whose standard deviation is large against their mean."""

    value_threshold: float = param(1.0, _POSITIVE)


@dataclass
class OutlierColsSelectionParam(Param):
    """Keep columns whose value at a percentile lies below a limit."""

    percentile: float = param(1.0, decimal())
    upper_threshold: float = param(1.0, number())


@dataclass
class ManuallyFilterParam(Param):
    """Drop columns by position or name."""

    filter_out_indexes: list[int] | None = param([], list_of(integer(minimum=0)) | null())
    filter_out_names: list[str] | None = param([], list_of(text()) | null())


@dataclass
class FeatureSelectionParam(Param):
    """Which columns are candidates, and the filters in the order they are applied.

    Attributes:
        select_col_indexes: positions of the candidates; -1 for all. Other columns stay.
        select_names: names that are added.
    """

    conf_name: ClassVar[str] = "FeatureSelectionParam"

    select_col_indexes: Any = param(-1, list_of(integer(minimum=0)) | integer(minimum=-1))
    select_names: list[str] = param([], list_of(text()))
    filter_methods: list[str] = param(["unique_value"], list_of(one_of(*FILTERS)))
    unique_param: UniqueValueParam = nested(UniqueValueParam)
    iv_value_param: IVValueSelectionParam = nested(IVValueSelectionParam)
    iv_percentile_param: IVPercentileSelectionParam = nested(IVPercentileSelectionParam)
    variance_coe_param: VarianceOfCoeSelectionParam = nested(VarianceOfCoeSelectionParam)
    outlier_param: OutlierColsSelectionParam = nested(OutlierColsSelectionParam)
    manually_param: ManuallyFilterParam = nested(ManuallyFilterParam)
    need_run: bool = param(True, boolean())

    def federated_filters(self) -> list[str]:
        """Filters that guest and hosts run together, in order."""
        local = {
            "iv_value_thres": self.iv_value_param.local_only,
            "iv_percentile": self.iv_percentile_param.local_only,
        }
        return [method for method in self.filter_methods if local.get(method) is False]
