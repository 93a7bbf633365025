"""Parameters of HeteroFeatureBinning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from fate_flow.errors import Problem
from fate_flow.runtime.params import (
    Check,
    Param,
    anything,
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


def decimal(*, open_interval: bool = False) -> Check:
    """A share: a float (not an integer) within 0..1."""
    within = number(0, 1, open_interval=open_interval)

    def convert(value: Any) -> float:
        if not isinstance(value, float):
            raise TypeError
        return float(within.convert(value))

    sign = "<" if open_interval else "<="
    return Check(f"a decimal fraction with 0 {sign} value {sign} 1, such as 0.5", convert)


def only(value: int) -> Check:
    return integer(value, value)


INDEXES = only(-1) | list_of(integer(minimum=0))


@dataclass
class TransformParam(Param):
    """Which columns are replaced by what.

    Attributes:
        transform_cols: positions; -1 for all that were binned.
        transform_names: names that are added.
        transform_type: bin_num (index of the bin), woe, or null (data is left alone).
    """

    transform_cols: Any = param(-1, INDEXES | null())
    transform_names: list[str] | None = param(None, list_of(text()) | null())
    transform_type: str | None = param("bin_num", one_of("bin_num", "woe") | null())


@dataclass
class OptimalBinningParam(Param):
    """How many small bins are merged into few good ones (method optimal).

    Attributes:
        metric_method: what the bins are to be good at.
        init_bucket_method, init_bin_nums: the small bins to begin with.
        mixture: every bin must hold both classes.
        max_bin_pct, min_bin_pct: limits of a bin's share of the rows.
        max_bin, adjustment_factor: set from the other parameters.
    """

    metric_method: str = param(
        "iv", one_of("iv", "gini", "chi_square", "ks", aliases={"chi-square": "chi_square"})
    )
    init_bucket_method: str = param("quantile", one_of("quantile", "bucket"))
    init_bin_nums: int = param(1000, integer(minimum=1))
    mixture: bool = param(True, boolean())
    max_bin_pct: float = param(1.0, decimal())
    min_bin_pct: float = param(0.05, decimal())
    max_bin: Any = param(None, anything(), internal=True)
    adjustment_factor: Any = param(None, anything(), internal=True)

    def check(self) -> Iterator[Problem]:
        if self.min_bin_pct > self.max_bin_pct:
            yield Problem(
                "min_bin_pct",
                f"found {self.min_bin_pct}",
                f"at most max_bin_pct {self.max_bin_pct}",
            )


@dataclass
class FeatureBinningParam(Param):
    """How columns are cut into bins.

    ``compress_thres``, ``head_size`` and ``error`` tune FATE's quantile sketch; quantiles
    are exact here, so they have no effect.

    Attributes:
        bin_indexes, bin_names: columns to bin; unknown names are skipped.
        category_indexes, category_names: columns whose distinct values are the bins.
        adjustment_factor: see ``ml.binning_iv``; the guest's value counts.
        local_only: hosts' columns get no WOE and IV; to be set at all parties.
    """

    conf_name: ClassVar[str] = "FeatureBinningParam"

    method: str = param("quantile", one_of("quantile", "bucket", "optimal"))
    compress_thres: int = param(10000, integer(minimum=1))
    head_size: int = param(10000, integer(minimum=1))
    error: float = param(0.001, decimal())
    bin_num: int = param(10, integer(minimum=1))
    bin_indexes: Any = param(-1, INDEXES)
    bin_names: list[str] | None = param(None, list_of(text()) | null())
    adjustment_factor: float = param(0.5, decimal(open_interval=True))
    category_indexes: Any = param(None, INDEXES | null())
    category_names: list[str] | None = param(None, list_of(text()) | null())
    local_only: bool = param(False, boolean())
    transform_param: TransformParam = nested(TransformParam)
    optimal_binning_param: OptimalBinningParam = nested(OptimalBinningParam)
    need_run: bool = param(True, boolean())

    def check(self) -> Iterator[Problem]:
        if self.method == "optimal":
            yield from self._check_optimal()

    def _check_optimal(self) -> Iterator[Problem]:
        share = self.optimal_binning_param.max_bin_pct
        if share <= 0 or math.ceil(1.0 / share) > self.bin_num:
            yield Problem(
                "optimal_binning_param.max_bin_pct",
                f"found {share}, which needs more than bin_num {self.bin_num} bins",
                f"at least 1 / bin_num = {1 / self.bin_num:g}",
            )
