"""Parameters of Download."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from fate_flow.errors import Problem
from fate_flow.runtime.params import Param, integer, param, text


@dataclass
class DownloadParam(Param):
    """Parameters of Download, FATE 1.4's."""

    conf_name: ClassVar[str] = "DownloadParam"

    output_path: str = param("", text())
    delimitor: str = param(",", text())
    namespace: str = param("", text())
    table_name: str = param("", text())
    work_mode: int = param(0, integer(0, 1))

    def check(self) -> Iterator[Problem]:
        for name in ("output_path", "namespace", "table_name"):
            if not getattr(self, name):
                yield Problem(name, "is empty", "a text")
