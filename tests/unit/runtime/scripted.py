"""A component that does what a test says, with a gateway and a site that keep what they hear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fate_flow.entities import ComponentPlan, Party, Placement, Plan, TaskIdentity
from fate_flow.runtime import registry, task_runner
from fate_flow.runtime.component import Component, TaskOutput
from fate_flow.runtime.params import Param
from fate_flow.runtime.registry import ModuleSpec
from fate_flow.runtime.task_runner import TaskRun
from tests.support.site import Site

JOB = "2026010112000012345612"
GUEST, HOST = Party("guest", 9999), Party("host", 10000)


@dataclass
class ScriptParam(Param):
    conf_name: ClassVar[str] = "ScriptParam"


class Scripted(Component[ScriptParam]):
    """Does what the test says, one entry per attempt."""

    param_class = ScriptParam
    script: ClassVar[list[Callable[[Scripted], Any]]] = []
    seen: ClassVar[list[tuple[int, str]]] = []

    def run(self) -> TaskOutput:
        self.seen.append((self.context.identity.attempt, self.context.work_dir))
        Path(self.context.work_dir, "scratch").write_text("x")
        output = self.script.pop(0)(self)
        return output if isinstance(output, TaskOutput) else TaskOutput()


@dataclass
class Session:
    """Stands in for the gateway."""

    identity: TaskIdentity
    joins: list[Any] = field(default_factory=list)
    finishes: list[Any] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    is_complete: bool = False
    closed: bool = False
    flow: str = "default"
    _number: int = -1

    def join(self) -> int:
        if self.joins:
            answer = self.joins.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            self._number = answer
        else:
            self._number += 1
        return self._number

    def finish(self, error: str | None = None) -> None:
        if error is not None:
            self.told.append(error)
            return
        if self.finishes and (answer := self.finishes.pop(0)) is not None:
            raise answer

    def close(self) -> None:
        self.closed = True


@dataclass
class Reporter:
    """Keeps statuses; raises what it is told to at the next one."""

    statuses: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    raises: list[BaseException] = field(default_factory=list)
    closed: bool = False
    succeeded: bool = False

    def start(self) -> None:
        return None

    def status(self, status: str, *, attempt: int = 0, error: str = "", final: bool = True) -> None:
        if self.raises:
            raise self.raises.pop(0)
        self.statuses.append({"status": status, "attempt": attempt, "error": error, "final": final})

    def has_succeeded(self) -> bool:
        if self.raises:
            raise self.raises.pop(0)
        return self.succeeded

    def data_view(self, **columns: Any) -> None:
        self.views.append(columns)

    def waiting_for(self, reason: str | None) -> None:
        return None

    def close(self) -> None:
        self.closed = True

    @property
    def words(self) -> list[str]:
        return [entry["status"] for entry in self.statuses]


@dataclass
class World:
    site: Site
    reporter: Reporter
    session: Session | None = None
    joins: list[Any] = field(default_factory=list)
    finishes: list[Any] = field(default_factory=list)
    complete: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def execute(
        self,
        *script: Callable[[Scripted], Any],
        parties: tuple[Party, ...] = (GUEST, HOST),
        try_number: int = 1,
        placement: Placement | None = None,
    ) -> None:
        Scripted.script[:] = list(script)
        Scripted.seen.clear()
        component = ComponentPlan(
            "script_0", "Scripted", {}, (), (), ("train",), ("model",), parties,
            {party.key: {"ScriptParam": {}} for party in parties}, (),
        )  # fmt: skip
        plan = Plan({"guest": [9999], "host": [10000]}, GUEST, (component,), {}, {})
        TaskRun(
            self.site.settings, JOB, plan, component, GUEST, try_number, placement=placement
        ).execute()


def scripted_world(site: Site, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(site, Reporter())
    program = f"{__name__}:Scripted"
    spec = ModuleSpec(
        "Scripted", {"guest": program, "host": program}, param=f"{__name__}:ScriptParam"
    )
    registry.modules()
    monkeypatch.setitem(registry._MODULES, "Scripted", spec)

    def session_of(address: str, token: str, identity: TaskIdentity, **options: Any) -> Session:
        made.options = options
        made.session = Session(identity, made.joins, made.finishes, is_complete=made.complete)
        return made.session

    monkeypatch.setattr(task_runner, "GatewaySession", session_of)
    monkeypatch.setattr(task_runner, "Reporter", lambda *_: made.reporter)
    return made
