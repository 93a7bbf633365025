"""References of the DSL -> this party's tables and models, and nobody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fate_flow.data.table import SID, VALUE, Table, TableKind, TableSchema, TableStore
from fate_flow.entities import ComponentPlan, Party, Plan
from fate_flow.errors import InvalidInputError, NotFoundError
from fate_flow.runtime.inputs import InputResolver, output_address

JOB = "2026010112000012345612"
GUEST, HOST = Party("guest", 9999), Party("host", 10000)
ROLES = {"guest": [9999], "host": [10000]}
MODEL_ID = "guest-9999#host-10000#model"


class Models:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def load(self, *address: str) -> dict[str, bytes]:
        self.asked.append(address)
        if address[2] == "absent_0" or address[3] == "unfilled":
            raise NotFoundError("no such folder")
        return {"Meta": "/".join(address).encode()}


def component(name: str, data: Any = None, **more: Any) -> ComponentPlan:
    values: dict[str, Any] = {
        "model": (),
        "isometric_model": (),
        "output_data": ("train",),
        "output_model": (),
        "parties": (GUEST, HOST),
        "parameters": {},
        "upstream": (),
        **more,
    }
    return ComponentPlan(name=name, module="DataIO", data=data or {}, **values)


class World:
    def __init__(self, folder: Path, *components: ComponentPlan, **job_parameters: Any) -> None:
        self.store = TableStore(folder)
        self.models = Models()
        self.plan = Plan(
            ROLES,
            GUEST,
            (component("dataio_0"), *components),
            job_parameters,
            {
                GUEST.key: {"train_data": ("n", "guest"), "empty": None},
                HOST.key: {"train_data": ("n", "host")},
            },
        )

    def put(self, namespace: str, name: str) -> Table:
        rows = pa.table({SID: ["1"], VALUE: ["1"]})
        return self.store.put(namespace, name, rows, TableSchema(TableKind.RAW, "id", ("x",)))

    def resolve(self, name: str, party: Party = GUEST) -> Any:
        models: Any = self.models
        return InputResolver(JOB, self.plan, party, self.store, models).resolve(name)


def test_job_arguments_are_the_partys_own(tmp_path: Path) -> None:
    world = World(tmp_path, component("x_0", {"data": ["args.train_data"]}))
    tables = {party: world.put("n", party.role) for party in (GUEST, HOST)}
    for party, table in tables.items():
        inputs = world.resolve("x_0", party)
        assert inputs.data["args"]["data"].name == table.name == party.role


def test_an_argument_that_is_missing(tmp_path: Path) -> None:
    world = World(tmp_path, component("x_0", {"data": ["args.eval_data"]}))
    with pytest.raises(InvalidInputError, match=r"guest 9999 has no data for args\.eval_data"):
        world.resolve("x_0")
    world = World(tmp_path, component("x_0", {"data": ["args.empty"]}))
    assert world.resolve("x_0").data == {"args": {"data": None}}
    world = World(tmp_path, component("x_0", {"data": ["args.train_data"]}))
    assert world.resolve("x_0", Party("arbiter", 10000)).data == {"args": {"data": None}}
    with pytest.raises(NotFoundError, match="there is no table 'guest'"):
        world.resolve("x_0")


def test_outputs_are_found_by_rule(tmp_path: Path) -> None:
    world = World(tmp_path, component("x_0", {"train_data": ["dataio_0.train"]}))
    assert output_address(JOB, "dataio_0", HOST) == (
        f"output_data_{JOB}_dataio_0",
        f"dataio_0_host_10000_{JOB}",
    )
    assert world.resolve("x_0").data == {"dataio_0": {"train_data": None}}
    world.put(*output_address(JOB, "dataio_0", GUEST))
    assert world.resolve("x_0").data["dataio_0"]["train_data"].name == f"dataio_0_guest_9999_{JOB}"
    assert world.resolve("x_0", HOST).data["dataio_0"]["train_data"] is None


def test_only_the_first_output_is_stored(tmp_path: Path) -> None:
    world = World(tmp_path, component("x_0", {"data": ["dataio_0.second"]}))
    world.put(*output_address(JOB, "dataio_0", GUEST))
    assert world.resolve("x_0").data == {"dataio_0": {"data": None}}


def test_models_of_a_training_job(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        component("x_0", model=("dataio_0.dataio",), isometric_model=("binning_0.binning",)),
    )
    inputs = world.resolve("x_0", HOST)
    owner = f"host#10000#{MODEL_ID}"
    assert world.models.asked == [
        (owner, JOB, "dataio_0", "dataio"),
        (owner, JOB, "binning_0", "binning"),
    ]
    assert set(inputs.model) == {"dataio_0"}
    assert set(inputs.isometric_model) == {"binning_0"}


def test_models_of_a_prediction_are_the_trained_ones(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        component("x_0", model=("pipeline.lr_0.lr",)),
        job_type="predict",
        model_id=MODEL_ID,
        model_version="2025",
    )
    world.resolve("x_0")
    assert world.models.asked == [(f"guest#9999#{MODEL_ID}", "2025", "lr_0", "lr")]


@pytest.mark.parametrize("reference", ["lr_0", "a.b.c", "pipeline.a.b.c", ""])
def test_a_reference_that_is_none(tmp_path: Path, reference: str) -> None:
    world = World(tmp_path, component("x_0", model=(reference,)))
    with pytest.raises(InvalidInputError, match="get input model failed"):
        world.resolve("x_0")


def test_a_model_that_is_missing_names_party_and_alias(tmp_path: Path) -> None:
    world = World(tmp_path, component("x_0", model=("absent_0.lr",)))
    with pytest.raises(NotFoundError, match="guest 9999 has no model 'lr' of absent_0"):
        world.resolve("x_0")


def test_an_alias_that_was_never_filled_is_left_out_beside_one_that_was(tmp_path: Path) -> None:
    """Predict DSLs name every alias of ``output.model``; only the first has a model."""
    world = World(tmp_path, component("x_0", model=("pipeline.lr_0.lr", "pipeline.lr_0.unfilled")))
    assert set(world.resolve("x_0").model) == {"lr_0"}
    with pytest.raises(NotFoundError, match="has no model 'unfilled' of lr_0"):
        World(tmp_path, component("x_0", model=("pipeline.lr_0.unfilled",))).resolve("x_0")
