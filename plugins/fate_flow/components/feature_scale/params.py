"""Parameters of FeatureScale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from fate_flow.errors import Problem
from fate_flow.runtime.params import (
    Param,
    boolean,
    integer,
    list_of,
    null,
    number,
    one_of,
    param,
    text,
)

Limit = float | list[float] | None


@dataclass
class ScaleParam(Param):
    """Parameters of FeatureScale; every key of FATE 1.4 with its effective default."""

    conf_name: ClassVar[str] = "ScaleParam"

    method: str | None = param("min_max_scale", one_of("min_max_scale", "standard_scale") | null())
    mode: str = param("normal", one_of("normal", "cap"))
    feat_upper: Limit = param(None, number() | list_of(number()) | null())
    feat_lower: Limit = param(None, number() | list_of(number()) | null())
    scale_col_indexes: int | list[int] = param(-1, integer(-1, -1) | list_of(integer(0)))
    scale_names: list[str] = param([], list_of(text()))
    with_mean: bool = param(True, boolean())
    with_std: bool = param(True, boolean())
    need_run: bool = param(True, boolean())

    def check(self) -> Iterator[Problem]:
        for name in ("feat_upper", "feat_lower"):
            value = getattr(self, name)
            if self.mode == "cap" and value is not None:
                if isinstance(value, list):
                    yield Problem(name, f"found {value!r}", "in mode cap one quantile, 0 to 1")
                elif not 0 <= value <= 1:
                    yield Problem(name, f"found {value!r}", "in mode cap a quantile, 0 to 1")
        low, high = self.feat_lower, self.feat_upper
        if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
            yield Problem("feat_lower", f"{low} is above feat_upper {high}", "at most feat_upper")
