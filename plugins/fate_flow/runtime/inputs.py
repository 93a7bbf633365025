"""Resolves the references of a component to tables and models of this party.

Output tables are found by rule, not by a look-up: the output of component ``c`` of
job ``j`` at party ``p`` is the table ``<c>_<p>_<j>`` in namespace ``output_data_<j>_<c>``.
Models are read from the party's own model cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fate_flow.data.table import Table, TableStore
from fate_flow.entities import Party, Plan, model_id_of, party_model_id
from fate_flow.errors import InvalidInputError, NotFoundError
from fate_flow.runtime.context import ModelBuffers, TaskInputs

if TYPE_CHECKING:
    from fate_flow.models.store import ModelStore

ARGUMENTS = "args"
PIPELINE = "pipeline"


def output_address(job_id: str, component: str, party: Party) -> tuple[str, str]:
    """(namespace, name) under which a component's output table is stored.

    The name alone is unique: FATE-Flow deletes tables by their name without a namespace.
    """
    return f"output_data_{job_id}_{component}", f"{component}_{party.key}_{job_id}"


@dataclass(frozen=True)
class InputResolver:
    """Finds inputs for one party of one job."""

    job_id: str
    plan: Plan
    party: Party
    tables: TableStore
    models: ModelStore

    @property
    def model_address(self) -> tuple[str, str]:
        """(party model id, model version) that this job reads and writes."""
        parameters = self.plan.job_parameters
        if parameters.get("job_type") == "predict":
            model_id, version = str(parameters["model_id"]), str(parameters["model_version"])
        else:
            model_id, version = model_id_of(self.plan.roles), self.job_id
        return party_model_id(self.party, model_id), version

    def resolve(self, component_name: str) -> TaskInputs:
        component = self.plan.component(component_name)
        return TaskInputs(
            data=self._data(component.data),
            model=self._models(component.model),
            isometric_model=self._models(component.isometric_model),
        )

    def _data(self, by_type: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Table | None]]:
        found: dict[str, dict[str, Table | None]] = {}
        for data_type, references in by_type.items():
            for reference in references:
                source, _, name = reference.partition(".")
                table = self._argument(name) if source == ARGUMENTS else self._output(source, name)
                found.setdefault(source, {})[data_type] = table
        return found

    def _argument(self, key: str) -> Table | None:
        arguments = self.plan.job_args.get(self.party.key)
        if arguments is None:
            return None
        if key not in arguments:
            raise InvalidInputError(f"{self.party} has no data for args.{key}")
        address = arguments[key]
        return self.tables.open(*address) if address else None

    def _output(self, source: str, name: str) -> Table | None:
        producer = self.plan.component(source)
        if name != producer.data_name:
            return None
        address = output_address(self.job_id, source, self.party)
        return self.tables.open(*address) if self.tables.exists(*address) else None

    def _models(self, references: Sequence[str]) -> dict[str, ModelBuffers]:
        """Buffers by component; an alias that was never filled is left out beside one that was."""
        found: dict[str, ModelBuffers] = {}
        missing: dict[str, NotFoundError] = {}
        for reference in references:
            parts = reference.split(".")
            if len(parts) == 3 and parts[0] == PIPELINE:
                parts = parts[1:]
            if len(parts) != 2:
                raise InvalidInputError(f"get input model failed: {reference!r}")
            component, alias = parts
            try:
                found[component] = self.models.load(*self.model_address, component, alias)
            except NotFoundError as error:
                text = f"{self.party} has no model {alias!r} of {component}: {error.message}"
                missing.setdefault(component, NotFoundError(text))
        for component, absent in missing.items():
            if component not in found:
                raise absent
        return found
