"""Runs HeteroLR of several parties in this process, on arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.data.table import LABEL, SID, Table, TableKind, TableSchema, TableStore
from fate_flow.entities import Party
from fate_flow.models.proto.lr_model_param_pb2 import LRModelParam
from fate_flow.runtime.context import TaskInputs
from tests.support.parties import Run, run_component

GUEST, ARBITER = Party("guest", 9999), Party("arbiter", 10000)
HOSTS = (Party("host", 10000), Party("host", 10001))

Array = np.ndarray[Any, Any]


class Site:
    """Stores of all parties, and tables made of arrays."""

    def __init__(self, folder: Path) -> None:
        self.stores = {party: TableStore(folder / party.key) for party in (GUEST, *HOSTS, ARBITER)}

    def table(
        self,
        party: Party,
        features: Array,
        labels: Any = None,
        ids: Sequence[str] | None = None,
        name: str = "train",
        header: tuple[str, ...] = (),
    ) -> Table:
        header = header or tuple(f"x{index}" for index in range(features.shape[1]))
        columns: dict[str, Any] = {
            SID: ids if ids is not None else [str(index) for index in range(len(features))]
        }
        if labels is not None:
            columns[LABEL] = pa.array(labels)
        columns.update(zip(header, features.T, strict=True))
        schema = TableSchema(TableKind.INSTANCES, "id", header, "y")
        return self.stores[party].put("data", name, pa.table(columns), schema)

    def run(
        self,
        tables: Mapping[Party, Mapping[str, Table]],
        models: Mapping[Party, Mapping[str, bytes]] | None = None,
        deadline: float = 60.0,
        **parameters: Any,
    ) -> Run:
        """One HeteroLR component; ``tables``: party -> data type -> table (no arbiter)."""
        types = sorted({data_type for by_type in tables.values() for data_type in by_type})
        parties = [*tables, ARBITER]
        inputs = {}
        for party in parties:
            given = tables.get(party, {})
            inputs[party] = TaskInputs(
                data={"intersection_0": {kind: given.get(kind) for kind in types}},
                model={"hetero_lr_0": models[party]} if models else {},
            )
        conf = {"encrypt_param": {"key_length": 1024}, **parameters}
        return run_component(
            "HeteroLR",
            self.stores,
            dict.fromkeys(parties, conf),
            inputs,
            component="hetero_lr_1",
            deadline=deadline,
        )


def weights_of(run: Run, party: Party) -> tuple[Array, float]:
    """Coefficients in header order, and the intercept, of the exported model."""
    message = LRModelParam.FromString(run[party].model()["HeteroLogisticRegressionParam"])
    return np.array([message.weight[name] for name in message.header]), message.intercept


def losses_of(run: Run) -> list[float]:
    return [value for _, value in run[ARBITER].tracker.points.get(("train", "loss"), [])]


def details_of(table: Table) -> list[dict[str, float]]:
    return [json.loads(text) for text in table.arrow().column("predict_detail").to_pylist()]
