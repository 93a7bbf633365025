"""Whole jobs on a site with real processes: submit, follow, look into, hurt.

Starting a site costs 15 to 40 s, so most tests share the session's (fixture ``live_site``);
tests that kill a site's processes make one of their own (:func:`started`).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml

from fate_flow.cli import service, site
from fate_flow.cli.airflow_config import database_urls
from fate_flow.cli.processes import Identity, descendants, marked
from fate_flow.client import FateFlowClient, JobState
from fate_flow.entities import Party
from fate_flow.errors import FateFlowError
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.runtime.task_runner import work_folder
from fate_flow.settings import FILE_NAME, Settings, load
from tests.support.service import RunningSite, clean_environment, fate_flow

T = TypeVar("T")

#: The machine may be busy with something else.
START_SECONDS = 400.0
JOB_SECONDS = 240.0


@dataclass(frozen=True)
class TaskProcess:
    """A living process that runs one party's part of a component.

    Attributes:
        identity: the process that runs the task's code.
        component, party: which task it is.
    """

    identity: Identity
    component: str
    party: Party


@dataclass
class LiveSite(RunningSite):
    """A site that can be started, used for jobs, hurt and stopped.

    Attributes:
        tables: (namespace, name) of what was uploaded.
        environment: variables that its processes get.
    """

    tables: set[tuple[str, str]] = field(default_factory=set)
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(
        cls, home: Path, *, environment: Mapping[str, str] | None = None, **values: Any
    ) -> LiveSite:
        """Initialise a site on free ports with settings of its own; nothing is started."""
        plain = RunningSite.make(home)
        if values:
            file = home / FILE_NAME
            file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **values}))
        return cls(home, plain.http_port, plain.grpc_port, environment=environment or {})

    def run(self, *arguments: str, timeout: float = 420.0) -> subprocess.CompletedProcess[str]:
        home = ("--home", str(self.home))
        return fate_flow(*arguments, *home, timeout=timeout, environment=self.environment)

    @cached_property
    def settings(self) -> Settings:
        return load(self.home)

    @cached_property
    def client(self) -> FateFlowClient:
        return FateFlowClient(self.url, timeout=120.0)

    def stop(self) -> None:
        super().stop()
        left = [process.pid for process in self.processes()]
        assert not left, f"processes left by the site: {left}"

    def module(
        self, name: str, *arguments: str, timeout: float = 180.0
    ) -> subprocess.CompletedProcess[str]:
        """``python -m name …`` with the environment of the site's own processes."""
        return subprocess.run(
            [sys.executable, "-m", name, *arguments],
            env={**clean_environment(), **site.site_variables(self.settings)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def cli(self, function: str, *arguments: str) -> dict[str, Any]:
        """The JSON that ``fate_flow_client -f FUNCTION …`` prints."""
        done = self.module("fate_flow.cli.client", "-f", function, *arguments)
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(
                f"{function} printed {done.stdout!r} and {done.stderr!r}"
            ) from None
        return answer

    # -- jobs -----------------------------------------------------------------------------

    def upload(self, file: Path, namespace: str, name: str, *, head: int = 1) -> None:
        """Store a CSV file as a table, once, and wait for it."""
        if (namespace, name) in self.tables:
            return
        job = self.client.upload(file, namespace, name, head=head, drop=1)
        state = self.wait(job.job_id)
        assert state.status.value == "success", self.why(job.job_id)
        self.tables.add((namespace, name))

    def submit(self, dsl: Mapping[str, Any] | None, conf: Mapping[str, Any]) -> str:
        """Submit a job; its id."""
        return self.client.submit_job(dsl, conf).job_id

    def wait(self, job_id: str, timeout: float = JOB_SECONDS) -> JobState:
        """Wait until a job has ended; a job that hangs fails the test with all that is known."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(FateFlowError):
                state = self.client.job_state(job_id)
                if state.status.is_terminal:
                    return state
            assert time.monotonic() < deadline, f"job {job_id} hangs: {self.why(job_id)}"
            time.sleep(0.2)

    def finish(
        self, dsl: Mapping[str, Any] | None, conf: Mapping[str, Any], timeout: float = JOB_SECONDS
    ) -> str:
        """Submit a job that must succeed; its id."""
        job_id = self.submit(dsl, conf)
        self.must_succeed(job_id, timeout)
        return job_id

    def must_succeed(self, job_id: str, timeout: float = JOB_SECONDS) -> JobState:
        state = self.wait(job_id, timeout)
        assert state.status.value == "success", self.why(job_id)
        return state

    def why(self, job_id: str) -> str:
        """What is known of a job, for the text of a failed assertion."""
        try:
            rows = self.client.query_jobs(job_id=job_id)
            tasks = self.client.query_tasks(job_id=job_id)
        except FateFlowError as error:
            return f"the site does not answer: {error}\n{self.log_tails()}"
        lines = [
            f"{r['f_role']} {r['f_party_id']}: {r['f_status']} {r.get('f_reason')}" for r in rows
        ]
        lines += [
            f"  {t['f_component_name']} {t['f_role']} {t['f_party_id']}: {t['f_status']}"
            f" {t.get('f_error') or t.get('f_waiting_for') or ''}"
            for t in tasks
        ]
        return "\n".join(lines)

    def reason(self, job_id: str) -> str:
        """Why a job ended, as its initiator's row says."""
        rows = self.client.query_jobs(job_id=job_id)
        leading = next(row for row in rows if row["f_is_initiator"] == 1)
        return str(leading.get("f_reason") or "")

    def task(self, job_id: str, component: str, party: Party) -> dict[str, Any]:
        """One task's row; empty when it has none."""
        rows = self.client.query_tasks(
            job_id=job_id, component_name=component, role=party.role, party_id=party.party_id
        )
        return rows[0] if rows else {}

    def wait_until(self, what: str, look: Callable[[], T | None], timeout: float = 90.0) -> T:
        """The first true answer of ``look``; fails the test after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(FateFlowError):
                if found := look():
                    return found
            assert time.monotonic() < deadline, f"{what}: not within {timeout:.0f} s"
            time.sleep(0.05)

    # -- processes ------------------------------------------------------------------------

    def wait_healthy(self, timeout: float = START_SECONDS) -> None:
        """Wait until every process of the site is there and answers."""

        def healthy() -> bool:
            rows = service.status(self.settings)
            return rows is not None and not any(row.problem for row in rows)

        self.wait_until("a healthy site", healthy, timeout)

    def processes_of(self, job_id: str) -> list[TaskProcess]:
        """Living processes that run a task's code for a job."""
        known = self._task_instances(job_id)
        found = []
        for identity in marked(self.home):
            title = _command_line(identity)
            place = next((task for mark, task in known.items() if mark in title), None)
            # The executor's worker, which waits for the task, has a title of its own.
            if place is None or "LocalExecutor" in title or "supervisor" in title:
                continue
            component, _, key = place.partition(".")
            found.append(TaskProcess(identity, component, Party.parse(key or "local_0")))
        return found

    def process_of(self, job_id: str, component: str, party: Party) -> Identity:
        """The process of one task, waited for."""

        def look() -> Identity | None:
            for one in self.processes_of(job_id):
                if (one.component, one.party) == (component, party):
                    return one.identity
            return None

        return self.wait_until(f"a process of {component} at {party}", look)

    def living_of(self, job_id: str) -> list[str]:
        """Pids and titles of all living processes of a job's tasks, their children too."""
        found: dict[int, str] = {}
        for task in self.processes_of(job_id):
            for one in (task.identity, *descendants(task.identity.pid)):
                found[one.pid] = f"{one.pid} {_command_line(one)}"
        return list(found.values())

    def select(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the site's database, Airflow's tables too."""
        if not self.settings.USE_LOCAL_DATABASE:
            return self._select_from_server(statement, values)
        address = f"file:{self.settings.database_file}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
            return database.execute(statement, values).fetchall()

    def _select_from_server(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(database_urls(self.settings)[0], poolclass=NullPool)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(statement.replace("?", "%s"), values)
            return [tuple(row) for row in found]

    def run_states(self, dag_id: str) -> list[str]:
        """States of a DAG's runs, the newest last."""
        rows = self.select("SELECT state FROM dag_run WHERE dag_id = ? ORDER BY id", dag_id)
        return [row[0] for row in rows]

    def _task_instances(self, job_id: str) -> dict[str, str]:
        """Id of a try, which Airflow puts in the process title -> ``component.party``."""
        dag_id = f"fate_flow_{job_id}"
        rows = self.select(
            "SELECT id, task_id FROM task_instance WHERE dag_id = ? UNION ALL"
            " SELECT task_instance_id, task_id FROM task_instance_history WHERE dag_id = ?",
            dag_id,
            dag_id,
        )
        return {str(uuid.UUID(str(one))): task for one, task in rows}

    def gateway(self) -> GatewayAdmin:
        return GatewayAdmin.of(self.settings)

    def nothing_left(self, job_id: str, timeout: float = 10.0) -> None:
        """No process, no temporary folder and no value at the gateway is left of a job."""
        self.wait_until(f"no process of job {job_id}", lambda: not self.living_of(job_id), timeout)
        with self.gateway() as gateway:
            self.wait_until(
                f"an empty mailbox for {job_id}",
                lambda: not gateway.mailbox(job_id) and not gateway.waits(job_id),
                timeout,
            )
        folder = work_folder(self.settings)
        self.wait_until(
            f"no temporary folder of {job_id} in {folder}",
            lambda: not list(folder.glob(f"*{job_id}*")),
            timeout,
        )

    def log_tails(self) -> str:
        names = ("supervisor", "api-server", "scheduler", "gateway")
        return "\n".join(service.log_tail(self.settings, name, 10) for name in names)


def _command_line(identity: Identity) -> str:
    process = identity.process()
    if process is None:
        return ""
    try:
        return " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return ""


@contextlib.contextmanager
def started(home: Path, **values: Any) -> Iterator[LiveSite]:
    """A running site that is stopped whatever happens."""
    made = LiveSite.make(home, **values)
    try:
        made.start()
        yield made
    finally:
        made.stop()
