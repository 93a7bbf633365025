"""Parameters of Upload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from fate_flow.errors import Problem
from fate_flow.runtime.params import Check, Param, boolean, integer, null, param, text


def _number_or_text(minimum: int, maximum: int) -> Check:
    """An integer, also as text: the fields of a multipart form are all texts."""
    number = integer(minimum, maximum)

    def convert(value: object) -> int:
        return int(number.convert(int(value) if isinstance(value, str) else value))

    return Check(number.allowed, convert)


def _switch() -> Check:
    """True, false, or any text or number as FATE-Flow takes it (``"false"`` counts as false)."""

    def convert(value: object) -> bool:
        if isinstance(value, str):
            return value.strip().lower() not in ("", "0", "false", "no")
        if isinstance(value, (bool, int)):
            return bool(value)
        raise TypeError

    return Check("true or false", convert)


@dataclass
class UploadParam(Param):
    """Parameters of Upload; ``delimiter`` and ``drop`` are additions to FATE 1.4's."""

    conf_name: ClassVar[str] = "UploadParam"

    file: str = param("", text())
    head: int = param(1, _number_or_text(0, 1))
    partition: int = param(10, _number_or_text(1, 1023))
    namespace: str | None = param("", text() | null())
    table_name: str | None = param("", text() | null())
    work_mode: int = param(0, _number_or_text(0, 1))
    in_version: bool = param(False, boolean() | _switch())
    delimiter: str = param(",", text())
    drop: int = param(0, _number_or_text(0, 2))

    def check(self) -> Iterator[Problem]:
        if not self.file:
            yield Problem("file", "no file is given", "the path of a file on the server")
        for name in ("namespace", "table_name"):
            value = getattr(self, name)
            if value is not None and not 0 < len(value.encode()) <= 200:
                yield Problem(
                    name, f"found a text of {len(value.encode())} bytes", "1 to 200 bytes"
                )
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in "\r\n\0":
            yield Problem("delimiter", f"found {self.delimiter!r}", "one ASCII character")
