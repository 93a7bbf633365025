"""Parameters of ModelStore and ModelRestore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fate_flow.errors import Problem
from fate_flow.models.stores import check_address
from fate_flow.runtime.params import Param, mapping, null, param, text


@dataclass
class ModelArchiveParam(Param):
    """Which model, and where its archive is.

    Attributes:
        model_id: party model id, ``<role>#<party id>#<model id>``.
        model_version: id of the job that trained it.
        store_address: see :mod:`fate_flow.models.stores`; null for the site's default.
    """

    model_id: str | None = param(None, text() | null())
    model_version: str | None = param(None, text() | null())
    store_address: Mapping[str, Any] | None = param(None, mapping() | null())

    def check(self) -> Iterator[Problem]:
        for name in ("model_id", "model_version"):
            if not getattr(self, name):
                yield Problem(name, "missing", "a text")
        if self.store_address:
            yield from check_address(self.store_address)


@dataclass
class ModelStoreParam(ModelArchiveParam):
    """Parameters of ModelStore."""

    conf_name: ClassVar[str] = "ModelStoreParam"


@dataclass
class ModelRestoreParam(ModelArchiveParam):
    """Parameters of ModelRestore."""

    conf_name: ClassVar[str] = "ModelRestoreParam"
