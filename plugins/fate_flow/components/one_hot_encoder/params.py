"""Parameters of OneHotEncoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fate_flow.runtime.params import Param, boolean, integer, list_of, null, param, text


@dataclass
class OneHotEncoderParam(Param):
    """Parameters of OneHotEncoder; every key of FATE 1.4 with its effective default."""

    conf_name: ClassVar[str] = "OneHotEncoderParam"

    transform_col_indexes: int | list[int] | None = param(
        -1, integer(-1) | list_of(integer(0)) | null()
    )
    transform_col_names: list[str] | None = param(None, list_of(text()) | null())
    need_run: bool = param(True, boolean())
