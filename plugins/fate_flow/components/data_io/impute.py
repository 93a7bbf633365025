"""Replacing of missing values and outliers, and the statistics behind it.

Both steps work on the texts of a column, missing values first; the outliers are looked
for in what the first step left (FATE 1.4). All that depends on the data is found in one
pass: a column's cells fall into three groups, *missing*, *outlier* (not missing) and
*plain*, whose counts, minima, maxima and sums suffice for every method.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.components.data_io.cast import cast
from fate_flow.components.data_io.params import DEFAULT_IMPUTE
from fate_flow.errors import DataError

STATISTICS = ("min", "max", "mean")


@dataclass(frozen=True)
class Rule:
    """One of the two steps.

    Attributes:
        is_on: whether the step is done at all.
        texts: cells with one of these texts are replaced.
        method: min, max, mean, designated, or None for the text ``0``.
        value: what ``designated`` fills in; a list has one item per column.
    """

    is_on: bool = False
    texts: tuple[str, ...] = ()
    method: str | None = None
    value: Any = 0

    @classmethod
    def of(cls, is_on: bool, texts: Iterable[Any] | None, method: str | None, value: Any) -> Rule:
        if not is_on:
            return cls()
        listed = tuple(str(text) for text in (DEFAULT_IMPUTE if texts is None else texts))
        return cls(True, listed, method, value)

    @property
    def needs_statistics(self) -> bool:
        return self.is_on and self.method in STATISTICS

    def mask(self, column: pa.Array) -> pa.Array:
        return pc.is_in(column, value_set=pa.array(self.texts, pa.string()))

    def constant(self, position: int, width: int) -> str:
        """The text filled in by a method without statistics."""
        if self.method != "designated":
            return "0"
        if isinstance(self.value, (list, tuple)):
            if len(self.value) != width:
                raise DataError(
                    f"{len(self.value)} values were designated for {width} columns",
                    remedy="Give one value, or one for each feature column",
                )
            return str(self.value[position])
        return str(self.value)


@dataclass
class Group:
    """Count and statistics of some cells of a column."""

    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0

    def __add__(self, other: Group) -> Group:
        return Group(
            self.count + other.count,
            min(self.low, other.low),
            max(self.high, other.high),
            self.total + other.total,
        )

    @classmethod
    def repeated(cls, value: float, count: int) -> Group:
        return cls(count, value, value, value * count) if count else cls()

    @classmethod
    def of(cls, values: pa.Array) -> Group:
        if not len(values):
            return cls()
        limits = pc.min_max(values).as_py()
        return cls(len(values), limits["min"], limits["max"], pc.sum(values).as_py())

    def statistic(self, method: str, column: str) -> float:
        if not self.count:
            raise DataError(
                f"column {column!r} has no usable value, its {method} cannot be filled in",
                remedy="Use the method designated, or leave the column out",
            )
        value = {"min": self.low, "max": self.high, "mean": self.total / self.count}[method]
        return round(value, 6)


@dataclass
class Cells:
    """The groups of one column."""

    missing: int = 0
    outlier: Group = field(default_factory=Group)
    plain: Group = field(default_factory=Group)

    def __add__(self, other: Cells) -> Cells:
        return Cells(
            self.missing + other.missing,
            self.outlier + other.outlier,
            self.plain + other.plain,
        )


def measure(column: pa.Array, name: str, ids: pa.Array, missing: Rule, outlier: Rule) -> Cells:
    """Groups of one column's cells.

    Args:
        column: string array. name, ids: for errors.

    Raises:
        DataError: a cell that statistics need is not a number.
    """
    is_missing = missing.mask(column)
    is_outlier = pc.and_not(outlier.mask(column), is_missing)
    rest = pc.invert(pc.or_(is_missing, is_outlier))
    return Cells(
        pc.sum(is_missing).as_py() or 0,
        # Outliers may be any texts; only a method of the missing values reads them.
        _group(column, is_outlier, name, ids, missing.needs_statistics),
        _group(column, rest, name, ids, missing.needs_statistics or outlier.needs_statistics),
    )


def _group(column: pa.Array, mask: pa.Array, name: str, ids: pa.Array, with_numbers: bool) -> Group:
    if not with_numbers:
        return Group(pc.sum(mask).as_py() or 0)
    return Group.of(cast(column.filter(mask), pa.float64(), name, ids.filter(mask)))


@dataclass(frozen=True)
class Replacement:
    """What the two steps fill in, column by column.

    Attributes:
        missing, outlier: the steps.
        missing_values, outlier_values: column -> text; empty when the step is off.
        missing_ratios, outlier_ratios: column -> share of the rows, 0..1.
    """

    missing: Rule = Rule()
    outlier: Rule = Rule()
    missing_values: Mapping[str, str] = field(default_factory=dict)
    outlier_values: Mapping[str, str] = field(default_factory=dict)
    missing_ratios: Mapping[str, float] = field(default_factory=dict)
    outlier_ratios: Mapping[str, float] = field(default_factory=dict)

    def apply(self, column: pa.Array, name: str) -> pa.Array:
        """The column after both steps."""
        for rule, values in (
            (self.missing, self.missing_values),
            (self.outlier, self.outlier_values),
        ):
            if rule.is_on:
                mask = rule.mask(column)
                if pc.any(mask).as_py():
                    column = pc.if_else(mask, values[name], column)
        return column


def decide(cells: Mapping[str, Cells], rows: int, missing: Rule, outlier: Rule) -> Replacement:
    """What is to be filled in, from the groups of every column.

    Raises:
        DataError: a statistic of a column without numbers is needed.
    """
    fills: dict[str, str] = {}
    replaces: dict[str, str] = {}
    missing_ratios: dict[str, float] = {}
    outlier_ratios: dict[str, float] = {}
    for position, (name, cell) in enumerate(cells.items()):
        fill = ""
        if missing.is_on:
            if missing.needs_statistics:
                seen = cell.outlier + cell.plain
                fill = str(seen.statistic(str(missing.method), name))
            else:
                fill = missing.constant(position, len(cells))
            fills[name] = fill
            missing_ratios[name] = cell.missing / rows
        if outlier.is_on:
            fill_is_outlier = missing.is_on and fill in outlier.texts
            replaced = cell.outlier.count + (cell.missing if fill_is_outlier else 0)
            outlier_ratios[name] = replaced / rows
            replaces[name] = _outlier_text(
                position, len(cells), name, cell, outlier, None if fill_is_outlier else fill
            )
    return Replacement(missing, outlier, fills, replaces, missing_ratios, outlier_ratios)


def _outlier_text(
    position: int, width: int, name: str, cell: Cells, outlier: Rule, fill: str | None
) -> str:
    if not outlier.needs_statistics:
        return outlier.constant(position, width)
    seen = cell.plain
    if fill is not None and cell.missing:
        seen = seen + Group.repeated(_number(fill, name), cell.missing)
    return str(seen.statistic(str(outlier.method), name))


def _number(text: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(
            f"column {column!r}: {text!r} is filled in for missing values, which is no number,"
            " so no statistic for the outliers can be computed"
        ) from None
