"""The frame around every module: which inputs lead to fit, predict or transform."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.data.table import SID, Table, TableKind, TableSchema, TableStore
from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import DataError, InvalidInputError, UnsupportedError
from fate_flow.runtime.component import Component
from fate_flow.runtime.context import TaskContext, TaskInputs
from fate_flow.runtime.params import Param, boolean, param
from tests.support.parties import Mailbox, MemoryFederation, MemoryTracker

GUEST = Party("guest", 9999)


@dataclass
class SwitchParam(Param):
    conf_name: ClassVar[str] = "SwitchParam"
    need_run: bool = param(True, boolean())


class Recorder(Component[SwitchParam]):
    """Notes what it is asked to do, in which flow."""

    param_class = SwitchParam

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self.calls: list[tuple[Any, ...]] = []

    def _note(self, what: str, *more: Any) -> None:
        self.calls.append((what, self.context.federation.flow, *more))

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        self._note("fit", data and data.name, validate and validate.name)
        return data

    def predict(self, data: Table | None, data_type: str) -> Table | None:
        self._note("predict", data and data.name, data_type)
        return data

    def transform(self, data: Table | None) -> Table | None:
        self._note("transform", data and data.name)
        return data

    def fit_many(self, data: Any) -> Table | None:
        self._note("fit_many", sorted(data))
        first: Table = next(iter(data.values()))
        return first

    def load_model(self, buffers: Any) -> None:
        self.calls.append(("load", dict(buffers)))

    def load_isometric_model(self, models: Any) -> None:
        self.calls.append(("isometric", sorted(models)))


class Grower(Recorder):
    """Returns another number of rows than it was given."""

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        assert data is not None
        return self.context.tables.union("n", "grown", [data, self._more()])

    def _more(self) -> Table:
        return self.context.tables.put(
            "n", "more", pa.table({SID: ["z1", "z2"], "x0": [0.0, 1.0]}), SCHEMA
        )


class FreeGrower(Grower):
    keeps_rows = False


SCHEMA = TableSchema(TableKind.INSTANCES, "id", ("x0",), None)


@dataclass
class World:
    store: TableStore
    tables: dict[str, Table] = field(default_factory=dict)

    def table(self, name: str, ids: tuple[str, ...] = ("a", "b")) -> Table:
        content = pa.table({SID: list(ids), "x0": np.arange(len(ids), dtype=float)})
        return self.store.put("n", name, content, SCHEMA)

    def context(self, inputs: TaskInputs, **parameters: Any) -> TaskContext:
        return TaskContext(
            identity=TaskIdentity("1", "switch_0", "Switch", GUEST, {"guest": [9999]}),
            parameters=parameters,
            inputs=inputs,
            federation=MemoryFederation(Mailbox(), GUEST),
            tables=self.store,
            output=("out", "switch_0"),
            tracker=MemoryTracker(),
            work_dir=str(self.store.root),
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(TableStore(tmp_path))


def run(
    world: World, inputs: TaskInputs, kind: type[Recorder] = Recorder, **parameters: Any
) -> Any:
    component = kind(world.context(inputs, **parameters))
    return component.calls, component.run()


def test_data_leads_to_fit(world: World) -> None:
    data = world.table("data")
    calls, output = run(world, TaskInputs({"dataio_0": {"data": data}}))
    assert calls == [("fit", "fit", "data", None)]
    assert output.data is data
    assert output.model is None


def test_data_with_a_model_leads_to_transform(world: World) -> None:
    inputs = TaskInputs({"dataio_0": {"data": world.table("data")}}, {"dataio_0": {"Meta": b"m"}})
    assert run(world, inputs)[0] == [("load", {"Meta": b"m"}), ("transform", "transform", "data")]


def test_training_data_is_fitted_and_scored(world: World) -> None:
    calls, _ = run(world, TaskInputs({"a": {"train_data": world.table("train")}}))
    assert calls == [
        ("fit", "fit", "train", None),
        ("predict", "validate", "train", "train"),
    ]


def test_validation_data_is_watched_and_scored_too(world: World) -> None:
    train, validate = world.table("train"), world.table("validate", ("b", "c"))
    inputs = TaskInputs({"a": {"train_data": train}, "b": {"eval_data": validate}})
    calls, output = run(world, inputs)
    assert calls == [
        ("fit", "fit", "train", "validate"),
        ("predict", "validate", "train", "train"),
        ("predict", "predict", "validate", "validate"),
    ]
    rows = output.data.arrow()
    assert dict(zip(rows[SID].to_pylist(), rows["x0"].to_pylist(), strict=True)) == {
        "a": 0.0,
        "b": 1.0,  # of equal ids the training row is kept
        "c": 1.0,
    }


def test_evaluation_data_alone_is_predicted(world: World) -> None:
    inputs = TaskInputs({"a": {"eval_data": world.table("new")}}, {"lr_0": {"Meta": b"m"}})
    assert run(world, inputs)[0] == [
        ("load", {"Meta": b"m"}),
        ("predict", "predict", "new", "predict"),
    ]


def test_an_isometric_model_is_an_input_of_fit(world: World) -> None:
    inputs = TaskInputs(
        {"a": {"data": world.table("data")}}, isometric_model={"binning_0": {"Meta": b"m"}}
    )
    assert run(world, inputs)[0] == [("isometric", ["binning_0"]), ("fit", "fit", "data", None)]


def test_several_tables(world: World) -> None:
    inputs = TaskInputs({"a": {"data": world.table("one")}, "b": {"data": world.table("two")}})
    with pytest.raises(DataError, match="made 2 rows of 4"):
        run(world, inputs)
    calls, _ = run(world, inputs, FreeGrower)
    assert calls == [("fit_many", "fit", ["a", "b"])]


def test_a_party_without_data_takes_part(world: World) -> None:
    for inputs, expected in (
        (TaskInputs({"a": {"train_data": None}}), "fit"),
        (TaskInputs(), "fit"),
    ):
        calls, output = run(world, inputs)
        assert calls[0][:1] == (expected,)
        assert output.data is None


def test_a_component_that_is_switched_off_hands_its_data_on(world: World) -> None:
    data = world.table("data")
    calls, output = run(world, TaskInputs({"a": {"data": data}}), need_run=False)
    assert calls == []
    assert output.data is data


def test_rows_must_not_come_or_go_unnoticed(world: World) -> None:
    inputs = TaskInputs({"a": {"data": world.table("data")}})
    with pytest.raises(DataError, match="switch_0 made 4 rows of 2 input rows"):
        run(world, inputs, Grower)
    assert run(world, inputs, FreeGrower)[1].data.count == 4


def test_what_a_module_does_not_have_is_unsupported(world: World) -> None:
    class Bare(Component[SwitchParam]):
        param_class = SwitchParam

    inputs = {
        "cannot be trained": TaskInputs({"a": {"data": world.table("data")}}),
        "does not take a model": TaskInputs(model={"a": {}}),
        "does not take an isometric_model": TaskInputs(isometric_model={"a": {}}),
        "cannot predict": TaskInputs({"a": {"eval_data": world.table("data")}}),
    }
    for text, given in inputs.items():
        with pytest.raises(UnsupportedError, match=f"Switch {text}"):
            Bare(world.context(given)).run()


def test_a_table_that_is_needed(world: World) -> None:
    component = Recorder(world.context(TaskInputs()))
    with pytest.raises(DataError, match="switch_0 at guest 9999 got no input table"):
        component.require_table(None)
    empty = world.store.put("n", "empty", pa.table({SID: pa.array([], pa.string())}), SCHEMA)
    with pytest.raises(DataError, match=r"Count of data_instance is 0, table_name: empty"):
        component.require_table(empty)
    table = world.table("data")
    assert component.require_table(table) is table


def test_bad_parameters_never_reach_a_program(world: World) -> None:
    with pytest.raises(InvalidInputError, match="need_run: found 'no'"):
        Recorder(world.context(TaskInputs(), need_run="no"))
