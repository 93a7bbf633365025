"""What a component sees while it runs: identity, inputs, federation, tables, tracker.

These are the only doors out of a component. The classes behind them live in
``federation``, ``data`` and ``tracking``; a test may put its own there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from fate_flow.data.table import Table, TableStore
from fate_flow.entities import Party, TaskIdentity
from fate_flow.models.store import ModelStore
from fate_flow.models.stores import ArchiveStores

#: What may cross the boundary: None is not sendable; containers may nest; leaves are
#: str, int, float, bool, None, bytes, numpy arrays, Arrow tables and record batches.
Payload = Any


@runtime_checkable
class Federation(Protocol):
    """Messages between the parties of one component, in one attempt.

    A message is addressed by (variable, flow, suffix, sender, receiver) and can be
    sent once. ``variable`` is a plain name such as ``host_forward_dict``.
    """

    flow: str

    def send(
        self,
        variable: str,
        value: Payload,
        to: Party | Iterable[Party],
        suffix: Sequence[object] = (),
    ) -> None:
        """Hand a value to the gateway; returns when the gateway has it.

        Raises:
            PeerFailedError: a receiver's task has failed.
            AttemptSupersededError: the component is being computed anew.
        """

    def receive(
        self,
        variable: str,
        sender: Party,
        suffix: Sequence[object] = (),
        timeout: float | None = None,
    ) -> Payload:
        """Wait for a value.

        Raises:
            FederationTimeoutError: the deadline passed (``timeout`` seconds, else the job's).
            PeerFailedError: the sender's task has failed.
            AttemptSupersededError: the component is being computed anew.
        """


@runtime_checkable
class Tracker(Protocol):
    """Where a component reports what a person wants to see while it runs."""

    def metrics(
        self,
        namespace: str,
        name: str,
        points: Iterable[tuple[Any, Any]] = (),
        meta: Mapping[str, Any] | None = None,
        *,
        job_level: bool = False,
    ) -> None:
        """Append points (key, value) and merge meta entries (``name``, ``metric_type``, …)."""

    def progress(self, done: float, message: str = "") -> None:
        """Share of the work done, 0..1, and what is being done."""

    def data_view(self, **columns: Any) -> None:
        """Set columns of this task's ``t_data_view`` row (without the ``f_`` prefix)."""


#: Buffer name (``HeteroLogisticRegressionParam``) -> serialised protobuf message.
ModelBuffers = Mapping[str, bytes]


@dataclass
class TaskInputs:
    """Resolved inputs of a component.

    Attributes:
        data: source component (``args`` for job arguments) -> data type -> table, or None
            when the reference led to no table.
        model: component -> buffers, of ``input.model``.
        isometric_model: component -> buffers, of ``input.isometric_model``.
    """

    data: Mapping[str, Mapping[str, Table | None]] = field(default_factory=dict)
    model: Mapping[str, ModelBuffers] = field(default_factory=dict)
    isometric_model: Mapping[str, ModelBuffers] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelAccess:
    """The site's models, for the components that move them.

    Attributes:
        store: the model cache.
        archives: opens the places that archives can be put to.
    """

    store: ModelStore
    archives: ArchiveStores


@dataclass
class TaskContext:
    """All that a component may touch.

    Attributes:
        identity: job, component, party, roles, attempt.
        parameters: this party's merged configuration of the module (plain values).
        inputs: resolved tables and models.
        federation: messages to and from the other parties.
        tables: the site's table store; results are written through it.
        output: (namespace, name) under which the output table is to be stored.
        tracker: metrics, progress, data view.
        work_dir: a folder of this task for temporary files, removed afterwards.
        job_parameters: ``job_parameters`` of the job.
        models: the site's models, where a module moves them.
        log: goes to the task log and the log files of the job.
    """

    identity: TaskIdentity
    parameters: Mapping[str, Any]
    inputs: TaskInputs
    federation: Federation
    tables: TableStore
    output: tuple[str, str]
    tracker: Tracker
    work_dir: str
    job_parameters: Mapping[str, Any] = field(default_factory=dict)
    models: ModelAccess | None = None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("fate_flow.task"))

    @property
    def party(self) -> Party:
        return self.identity.party

    @property
    def guest(self) -> Party:
        return self.identity.parties("guest")[0]

    @property
    def hosts(self) -> list[Party]:
        return self.identity.parties("host")

    @property
    def arbiter(self) -> Party:
        return self.identity.parties("arbiter")[0]
