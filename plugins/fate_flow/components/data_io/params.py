"""Parameters of DataIO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fate_flow.errors import Problem
from fate_flow.runtime.params import (
    Check,
    Param,
    anything,
    boolean,
    list_of,
    mapping,
    null,
    one_of,
    param,
    text,
)

#: Texts regarded as missing, or as outliers, when the conf names none.
DEFAULT_IMPUTE = ("", "none", "null", "na")

_TYPES = ("int", "int64", "float", "float64", "str", "long")


def _method() -> Check:
    return one_of("min", "max", "mean", "designated") | null()


def numpy_kind(name: str) -> str:
    """``i`` for integers, ``f`` for floating numbers, ``s`` for texts.

    Raises:
        ValueError: not the name of a numpy type that a column can have.
    """
    try:
        kind = np.dtype({"long": "int64"}.get(name, name)).kind
    except TypeError:
        raise ValueError(name) from None
    if kind not in "iufUSO":
        raise ValueError(name)
    return {"i": "i", "u": "i", "f": "f"}.get(kind, "s")


@dataclass
class DataIOParam(Param):
    """Parameters of DataIO; every key of FATE 1.4 with its effective default."""

    conf_name: ClassVar[str] = "DataIOParam"

    input_format: str = param("dense", one_of("dense", "sparse", "tag"))
    delimitor: str = param(",", text())
    data_type: str = param("float64", one_of(*_TYPES))
    exclusive_data_type: dict[str, str] | None = param(None, mapping() | null())
    tag_with_value: bool = param(False, boolean())
    tag_value_delimitor: str = param(":", text())
    missing_fill: bool = param(False, boolean())
    default_value: Any = param(0, anything())
    missing_fill_method: str | None = param(None, _method())
    missing_impute: list[Any] | None = param(None, list_of(anything()) | null())
    outlier_replace: bool = param(False, boolean())
    outlier_replace_method: str | None = param(None, _method())
    outlier_impute: list[Any] | None = param(None, list_of(anything()) | null())
    outlier_replace_value: Any = param(0, anything())
    with_label: bool = param(True, boolean())
    label_name: str | None = param("y", text() | null())
    label_type: str = param("int", one_of(*_TYPES))
    output_format: str = param("dense", one_of("dense", "sparse"))

    def check(self) -> Iterator[Problem]:
        for name in ("delimitor", "tag_value_delimitor"):
            if not getattr(self, name):
                yield Problem(name, "found an empty text", "a separator, for instance ','")
        if self.with_label and not self.label_name:
            yield Problem("label_name", f"found {self.label_name!r}", "a column name")
        for switch, method, value in (
            ("missing_fill", "missing_fill_method", "default_value"),
            ("outlier_replace", "outlier_replace_method", "outlier_replace_value"),
        ):
            is_designated = getattr(self, switch) and getattr(self, method) == "designated"
            if is_designated and getattr(self, value) is None:
                yield Problem(value, f"null while {method} is designated", "the value to fill in")
        for column, kind in (self.exclusive_data_type or {}).items():
            try:
                numpy_kind(str(kind))
            except ValueError:
                yield Problem(
                    f"exclusive_data_type.{column}",
                    f"found {kind!r}",
                    "the name of a numpy type: int, int64, float, float64, str",
                )
