"""Runs the tasks of one component for all parties in threads of this process.

Messages go through a mailbox in memory, with every value passed through the real
codec, so that what a component sends is what could cross a wire. The mailbox keeps
a record of all messages, for tests that look at what a party gets to see.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fate_flow.data.table import TableStore
from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import FederationTimeoutError, PeerFailedError
from fate_flow.federation.codec import decode, encode
from fate_flow.runtime.component import TaskOutput
from fate_flow.runtime.context import TaskContext, TaskInputs
from fate_flow.runtime.registry import find


@dataclass
class Record:
    """One message that crossed: decoded value and encoded bytes."""

    variable: str
    tag: str
    sender: Party
    receiver: Party
    data: bytes


@dataclass
class Mailbox:
    messages: dict[tuple[str, str, Party, Party], bytes] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    failed: list[tuple[Party, BaseException]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)


@dataclass
class MemoryFederation:
    """A Federation (see runtime.context) between threads."""

    mailbox: Mailbox
    party: Party
    flow: str = "default"
    deadline: float = 60.0

    def _tag(self, suffix: Sequence[object]) -> str:
        return ".".join([self.flow, *map(str, suffix)])

    def send(
        self, variable: str, value: Any, to: Party | Iterable[Party], suffix: Sequence[object] = ()
    ) -> None:
        receivers = [to] if isinstance(to, Party) else list(to)
        data = bytes(encode(value))
        with self.mailbox.changed:
            for receiver in receivers:
                key = (variable, self._tag(suffix), self.party, receiver)
                assert key not in self.mailbox.messages, f"sent twice: {key}"
                self.mailbox.messages[key] = data
                self.mailbox.records.append(
                    Record(variable, self._tag(suffix), self.party, receiver, data)
                )
            self.mailbox.changed.notify_all()

    def receive(
        self,
        variable: str,
        sender: Party,
        suffix: Sequence[object] = (),
        timeout: float | None = None,
    ) -> Any:
        key = (variable, self._tag(suffix), sender, self.party)
        end = time.monotonic() + (timeout or self.deadline)
        with self.mailbox.changed:
            while key not in self.mailbox.messages:
                if self.mailbox.failed:
                    party, error = self.mailbox.failed[0]
                    raise PeerFailedError(f"{party}: {error}")
                if not self.mailbox.changed.wait(end - time.monotonic()) and time.monotonic() > end:
                    raise FederationTimeoutError(f"{self.party} waited for {key}")
            return decode(self.mailbox.messages[key])


@dataclass
class MemoryTracker:
    """Keeps what a component reports."""

    points: dict[tuple[str, str], list[tuple[Any, Any]]] = field(default_factory=dict)
    metas: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    progress_reports: list[tuple[float, str]] = field(default_factory=list)
    views: dict[str, Any] = field(default_factory=dict)

    def metrics(
        self,
        namespace: str,
        name: str,
        points: Iterable[tuple[Any, Any]] = (),
        meta: Mapping[str, Any] | None = None,
        *,
        job_level: bool = False,
    ) -> None:
        self.points.setdefault((namespace, name), []).extend(points)
        self.metas.setdefault((namespace, name), {}).update(meta or {})

    def progress(self, done: float, message: str = "") -> None:
        self.progress_reports.append((done, message))

    def data_view(self, **columns: Any) -> None:
        self.views.update(columns)


@dataclass
class PartyResult:
    output: TaskOutput
    tracker: MemoryTracker
    context: TaskContext

    def model(self) -> dict[str, bytes]:
        return {k: m.SerializeToString() for k, m in (self.output.model or {}).items()}


@dataclass
class Run:
    results: dict[Party, PartyResult]
    mailbox: Mailbox

    def __getitem__(self, party: Party) -> PartyResult:
        return self.results[party]


def run_component(
    module: str,
    stores: Mapping[Party, TableStore],
    parameters: Mapping[Party, Mapping[str, Any]],
    inputs: Mapping[Party, TaskInputs],
    *,
    component: str | None = None,
    job_id: str = "2026010100000000000001",
    work_dir: Path | None = None,
    deadline: float = 60.0,
) -> Run:
    """Run ``module`` at every party of ``parameters``; raises the first error of any party.

    ``parameters`` are overlaid on the module's defaults. Roles take their party order
    from the order of the mapping.
    """
    spec = find(module)
    assert spec is not None
    roles: dict[str, list[int]] = {}
    for party in parameters:
        roles.setdefault(party.role, []).append(party.party_id)
    mailbox = Mailbox()
    name = component or f"{module.lower()}_0"

    def run_one(party: Party) -> PartyResult:
        tracker = MemoryTracker()
        identity = TaskIdentity(job_id, name, module, party, roles)
        folder = (work_dir or stores[party].root) / f"work-{party.key}"
        folder.mkdir(parents=True, exist_ok=True)
        context = TaskContext(
            identity=identity,
            parameters={**spec.param_class.defaults(), **parameters[party]},
            inputs=inputs.get(party, TaskInputs()),
            federation=MemoryFederation(mailbox, party, deadline=deadline),
            tables=stores[party],
            output=(f"output_data_{identity.task_id}", f"{name}_{party.key}"),
            tracker=tracker,
            work_dir=str(folder),
        )
        try:
            return PartyResult(spec.program(party.role)(context).run(), tracker, context)
        except BaseException as error:
            with mailbox.changed:
                mailbox.failed.append((party, error))
                mailbox.changed.notify_all()
            raise

    parties = [p for p in parameters if p.role in spec.programs]
    with ThreadPoolExecutor(len(parties)) as pool:
        futures = {party: pool.submit(run_one, party) for party in parties}
        results: dict[Party, PartyResult] = {}
        for future in futures.values():
            future.exception()
    if mailbox.failed:
        raise mailbox.failed[0][1]
    results = {party: future.result() for party, future in futures.items()}
    return Run(results, mailbox)
