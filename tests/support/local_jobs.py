"""Runs submitted jobs of a test site in this process: real plans, components, stores and
reports; threads for the parties, a mailbox in memory, no Airflow."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fate_flow.entities import ComponentPlan, Party, Plan, TaskIdentity
from fate_flow.federation.tokens import Claims
from fate_flow.jobs import service
from fate_flow.jobs.reports import apply_reports
from fate_flow.jobs.sealing import seal_job
from fate_flow.operators.plans import read_plan
from fate_flow.runtime.context import Federation
from fate_flow.runtime.task_runner import NoFederation, TaskRun, _AttemptLoop
from tests.support.parties import Mailbox, MemoryFederation
from tests.support.site import Site

_numbers = itertools.count(1)


@dataclass
class _Reports:
    """Collects what a task reports; stands in for the reporter that sends it."""

    events: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def metrics(
        self,
        namespace: str,
        name: str,
        points: Iterable[tuple[Any, Any]] = (),
        meta: Mapping[str, Any] | None = None,
        *,
        job_level: bool = False,
    ) -> None:
        from fate_flow.runtime.reporting import _plain

        self.events.append(
            {
                "kind": "metrics",
                "namespace": namespace,
                "name": name,
                "points": [[_plain(key), _plain(value)] for key, value in points],
                "meta": {key: _plain(value) for key, value in (meta or {}).items()},
                "job_level": job_level,
            }
        )

    def progress(self, done: float, message: str = "") -> None:
        self.events.append({"kind": "progress", "done": done, "message": message})

    def data_view(self, **columns: Any) -> None:
        self.events.append({"kind": "data_view", "columns": columns})


def keep_jobs_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitted jobs are not handed to Airflow."""
    monkeypatch.setattr(service, "admit", lambda _: [])
    monkeypatch.setattr(service, "fail_run", lambda *_: None)
    monkeypatch.setattr(service, "cancel_at_gateway", lambda *_: None)


def run_job(site: Site, job_id: str, work_dir: Path) -> Plan:
    """Run all components of a job in order, store what they leave, and seal it."""
    plan = read_plan(site.settings.jobs_dir, job_id)
    for component in plan.components:
        _run_component(site, job_id, plan, component, work_dir)
    with site.session() as session:
        seal_job(session, job_id)
    return plan


def _run_component(
    site: Site, job_id: str, plan: Plan, component: ComponentPlan, work_dir: Path
) -> None:
    mailbox = Mailbox()

    def run_one(party: Party) -> _Reports:
        run = TaskRun(site.settings, job_id, plan, component, party)
        reports = _Reports()
        loop = _AttemptLoop(run, run.identity, reports)  # type: ignore[arg-type]
        federation: Federation = NoFederation()
        if len(component.parties) > 1:
            federation = MemoryFederation(mailbox, party)
        folder = work_dir / f"{job_id}-{component.name}-{party.key}"
        folder.mkdir(parents=True)
        try:
            output = loop._compute(run.identity, federation, str(folder))
            loop._store(output)
        except BaseException as error:
            with mailbox.changed:
                mailbox.failed.append((party, error))
                mailbox.changed.notify_all()
            raise
        return reports

    with ThreadPoolExecutor(max(len(component.parties), 1)) as pool:
        futures = {party: pool.submit(run_one, party) for party in component.parties}
    if mailbox.failed:
        raise mailbox.failed[0][1]
    for party, future in futures.items():
        _report(site, TaskIdentity(job_id, component.name, "", party, {}), future.result().events)


def _report(site: Site, task: TaskIdentity, events: list[dict[str, Any]]) -> None:
    claims = Claims(task.job_id, task.component, task.party, 0.0)
    running = {"kind": "status", "status": "running", "attempt": 0}
    success = {"kind": "status", "status": "success", "attempt": 0}
    with site.session() as session:
        body = {"number": next(_numbers), "events": [running, *events, success]}
        assert apply_reports(session, claims, body) == ""
