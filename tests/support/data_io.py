"""Uploads a text as a table of a guest and runs DataIO over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from fate_flow.data.export import preview
from fate_flow.data.table import Table, TableStore
from fate_flow.data.upload import DESTROY_FIRST, upload
from fate_flow.entities import Party
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import PartyResult, run_component

GUEST = Party("guest", 9999)


class Bench:
    """Uploads texts and runs DataIO over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = TableStore(folder / "tables")

    def upload(self, text: str, head: bool = True, delimiter: str = ",") -> Table:
        path = self.folder / "data.csv"
        path.write_text(text)
        return upload(
            self.store, path, "n", "t", head=head, drop=DESTROY_FIRST, delimiter=delimiter
        ).table

    def run(
        self,
        text: str,
        *,
        model: Mapping[str, bytes] | None = None,
        head: bool = True,
        **parameters: Any,
    ) -> PartyResult:
        inputs = TaskInputs(
            data={"args": {"data": self.upload(text, head)}},
            model={"dataio_0": model} if model is not None else {},
        )
        return run_component("DataIO", {GUEST: self.store}, {GUEST: parameters}, {GUEST: inputs})[
            GUEST
        ]

    def rows(self, text: str, **parameters: Any) -> list[list[Any]]:
        table = self.run(text, **parameters).output.data
        assert table is not None
        return preview(table)[1]


def model_of(result: PartyResult) -> dict[str, Any]:
    assert result.output.model is not None
    return MessageToDict(result.output.model["DataIOParam"])
