"""Base of all components: decides from the inputs what to do.

The rules are FATE-Flow 1.4's (which inputs lead to fit, predict or transform);
a module overrides ``fit``, ``predict``, ``transform``, ``export_model`` and
``load_model`` as far as it has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from google.protobuf.message import Message

from fate_flow.data.table import Table
from fate_flow.errors import DataError, UnsupportedError
from fate_flow.runtime.context import ModelBuffers, TaskContext
from fate_flow.runtime.params import Param

P = TypeVar("P", bound=Param)


@dataclass
class TaskOutput:
    """What a task leaves behind.

    Attributes:
        data: the output table (already written), or None.
        model: buffer name -> message, or None when the module has no model.
    """

    data: Table | None = None
    model: Mapping[str, Message] | None = None


class Component(Generic[P]):
    """One module at one role.

    Subclasses set ``param_class``; ``self.param`` is the checked parameter object.
    """

    param_class: ClassVar[type[Param]]
    #: False for modules that may return another number of rows than they were given.
    keeps_rows: ClassVar[bool] = True

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.param: P = self.param_class.from_conf(context.parameters)  # type: ignore[assignment]

    # -- what a module overrides -------------------------------------------------------

    def fit(self, data: Table | None, validate: Table | None = None) -> Table | None:
        """Learn from ``data``; a transformer returns the transformed table.

        ``data`` is None at parties that have no data (arbiter).
        """
        raise UnsupportedError(f"{self.context.identity.module} cannot be trained")

    def predict(self, data: Table | None, data_type: str) -> Table | None:
        """Score ``data``; ``data_type`` is the ``type`` column: train, validate or predict."""
        raise UnsupportedError(f"{self.context.identity.module} cannot predict")

    def transform(self, data: Table | None) -> Table | None:
        """Apply a loaded model to ``data``."""
        raise UnsupportedError(f"{self.context.identity.module} cannot transform")

    def fit_many(self, data: Mapping[str, Table]) -> Table | None:
        """Like fit, for modules that take several tables (source component -> table)."""
        raise UnsupportedError(
            f"{self.context.identity.module} takes one data input, found {sorted(data)}"
        )

    def cross_validate(self, data: Table | None) -> None:
        """Fit and evaluate on parts of ``data``; leaves neither data nor a fitted model."""
        raise UnsupportedError(f"{self.context.identity.module} has no cross validation")

    def select_stepwise(self, data: Table | None) -> Table | None:
        """Choose columns step by step, keep the best model and score ``data`` with it."""
        raise UnsupportedError(f"{self.context.identity.module} has no stepwise selection")

    def export_model(self) -> Mapping[str, Message] | None:
        return None

    def load_model(self, buffers: ModelBuffers) -> None:
        """Restore from buffers of the same kind of module."""
        raise UnsupportedError(f"{self.context.identity.module} does not take a model")

    def load_isometric_model(self, models: Mapping[str, ModelBuffers]) -> None:
        """Take another module's model (component -> buffers) as an input of fit."""
        raise UnsupportedError(f"{self.context.identity.module} does not take an isometric_model")

    # -- the frame ---------------------------------------------------------------------

    def run(self) -> TaskOutput:
        """Do what the inputs ask for and return what is to be stored."""
        inputs = self.context.inputs
        if not getattr(self.param, "need_run", True):
            return TaskOutput(self._pass_through(), self.export_model())
        if self._asks_for("cv_param", "need_cv"):
            self.context.federation.flow = "fit"
            self.cross_validate(self._first("train_data"))
            return TaskOutput(None, self.export_model())
        if self._asks_for("stepwise_param", "need_stepwise"):
            self.context.federation.flow = "fit"
            chosen = self.select_stepwise(self._first("train_data"))
            self._check_row_count(chosen)
            return TaskOutput(chosen, self.export_model())
        if inputs.model:
            self.load_model(next(iter(inputs.model.values())))
        if inputs.isometric_model:
            self.load_isometric_model(inputs.isometric_model)
        result = self._act()
        self._check_row_count(result)
        return TaskOutput(result, self.export_model())

    def _asks_for(self, group: str, switch: str) -> bool:
        """Whether a parameter switches a way of training on; a prediction is not concerned."""
        return bool(getattr(getattr(self.param, group, None), switch, False)) and self._has(
            "train_data"
        )

    def _tables(self, data_type: str) -> dict[str, Table]:
        found: dict[str, Table] = {}
        for source, by_type in self.context.inputs.data.items():
            table = by_type.get(data_type)
            if table is not None:
                found[source] = table
        return found

    def _has(self, data_type: str) -> bool:
        return any(data_type in by_type for by_type in self.context.inputs.data.values())

    def _first(self, data_type: str) -> Table | None:
        return next(iter(self._tables(data_type).values()), None)

    def _pass_through(self) -> Table | None:
        return self._first("data")

    def _act(self) -> Table | None:
        federation = self.context.federation
        has_train, has_eval = self._has("train_data"), self._has("eval_data")
        if has_train:
            train = self._first("train_data")
            validate = self._first("eval_data") if has_eval else None
            federation.flow = "fit"
            self.fit(train, validate)
            federation.flow = "validate"
            scores = self.predict(train, "train")
            if not has_eval:
                return scores
            federation.flow = "predict"
            return self._stack(scores, self.predict(validate, "validate"))
        if has_eval:
            federation.flow = "predict"
            return self.predict(self._first("eval_data"), "predict")
        if self.context.inputs.model:
            federation.flow = "transform"
            return self.transform(self._first("data"))
        federation.flow = "fit"
        tables = self._tables("data")
        if len(tables) > 1:
            return self.fit_many(tables)
        return self.fit(next(iter(tables.values()), None))

    def _stack(self, first: Table | None, second: Table | None) -> Table | None:
        """Rows of both; of equal ids the first table's row is kept."""
        if first is None or second is None:
            return first if second is None else second
        namespace, name = self.context.output
        return self.context.tables.union(namespace, name, [first, second])

    def _check_row_count(self, result: Table | None) -> None:
        if result is None or not self.keeps_rows:
            return
        given = sum(
            table.count
            for by_type in self.context.inputs.data.values()
            for table in by_type.values()
            if table is not None
        )
        if given != result.count and not self._has("eval_data"):
            raise DataError(
                f"{self.context.identity.component} made {result.count} rows of {given} input rows"
            )

    # -- helpers for modules -----------------------------------------------------------

    def require_table(self, data: Table | None) -> Table:
        """The table, or an error that names the input that is missing or empty.

        Raises:
            DataError: no table, or a table without rows.
        """
        identity = self.context.identity
        if data is None:
            raise DataError(f"{identity.component} at {identity.party} got no input table")
        if data.count == 0:
            raise DataError(
                f"Count of data_instance is 0, table_name: {data.name}, namespace: {data.namespace}"
            )
        return data

    def note(self, message: str, **values: Any) -> None:
        """A line in the task's log."""
        extra = {"values": values} if values else None
        self.context.log.info(message, extra=extra, stacklevel=2)
