"""Runs one task: meet the peers, resolve inputs, compute, store, report.

The frame around a component, with no Airflow in it. Its rules for failures:

* a component's own error fails the job: peers are told through the gateway, the site
  through a report, and the task is not tried again;
* a peer that was restarted makes everyone drop the attempt and compute anew, here in
  this process;
* a site's API or gateway that does not come back fails this try only.
"""

from __future__ import annotations

import logging
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fate_flow.data.table import Table, TableStore
from fate_flow.entities import (
    ComponentPlan,
    Party,
    Placement,
    Plan,
    TaskIdentity,
    TaskStatus,
)
from fate_flow.errors import (
    RETCODE_EXCEPTION,
    AttemptSupersededError,
    FateFlowError,
    GatewayUnreachableError,
    PeerFailedError,
    ProtocolError,
)
from fate_flow.federation.channel import site_tls
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.failures import JobCanceledError, TaskReplacedError
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.sealing import Sealer
from fate_flow.models.store import ModelStore
from fate_flow.models.stores import ArchiveStores
from fate_flow.runtime.component import TaskOutput
from fate_flow.runtime.context import Federation, ModelAccess, TaskContext
from fate_flow.runtime.inputs import InputResolver, output_address
from fate_flow.runtime.registry import ModuleSpec, find
from fate_flow.runtime.reporting import (
    JobOverError,
    Reporter,
    SiteClient,
    SiteUnreachableError,
    task_token,
)

if TYPE_CHECKING:
    from fate_flow.settings import Settings

log = logging.getLogger("fate_flow.task")

#: Attempts in one process; more restarts of peers than this point to something broken.
MAX_ATTEMPTS = 50


class TaskFailedError(FateFlowError):
    """The task failed for good; the message is the reason that the user is shown."""

    code = "task_failed"
    retcode = RETCODE_EXCEPTION


@dataclass(frozen=True)
class TaskRun:
    """What is to be run.

    Attributes:
        settings: of the site.
        job_id, plan, component, party: which task.
        try_number: Airflow's count of process starts, from 1.
        open_channel: makes a gRPC channel to the gateway; None for the client's own.
        placement: at which sites the job's parties are; None: all at this one.
    """

    settings: Settings
    job_id: str
    plan: Plan
    component: ComponentPlan
    party: Party
    try_number: int = 1
    open_channel: Callable[[], Any] | None = None
    placement: Placement | None = None

    @property
    def identity(self) -> TaskIdentity:
        roles: dict[str, list[int]] = {}
        for party in self.component.parties:
            roles.setdefault(party.role, []).append(party.party_id)
        return TaskIdentity(
            self.job_id, self.component.name, self.component.module, self.party, roles
        )

    def execute(self) -> None:
        """Run to the end.

        Raises:
            TaskFailedError: the component failed here or at a peer, or the job is over;
                trying again would not help.
            FateFlowError: this try failed; another may succeed.
        """
        identity = self.identity
        reporter = Reporter(
            SiteClient.for_task(self.settings, identity), self.party, self.try_number
        )
        reporter.start()
        try:
            _AttemptLoop(self, identity, reporter).run()
        finally:
            reporter.close()


class NoFederation:
    """Stands in where a module exchanges nothing; using it is a programming error."""

    flow = "default"

    def send(self, variable: str, value: Any, to: Any, suffix: Sequence[object] = ()) -> None:
        raise ProtocolError(f"this module exchanges nothing, but tried to send {variable}")

    def receive(
        self,
        variable: str,
        sender: Party,
        suffix: Sequence[object] = (),
        timeout: float | None = None,
    ) -> Any:
        raise ProtocolError(f"this module exchanges nothing, but tried to receive {variable}")


class _AttemptLoop:
    """Attempts of one task in one process."""

    def __init__(self, run: TaskRun, identity: TaskIdentity, reporter: Reporter) -> None:
        self._run = run
        self._identity = identity
        self._reporter = reporter
        self._tables = TableStore(run.settings.tables_dir)
        self._models = ModelStore(run.settings.models_dir)
        self._spec = self._find_spec()

    def _find_spec(self) -> ModuleSpec:
        module, party = self._run.component.module, self._run.party
        spec = find(module)
        if spec is None or party.role not in spec.programs:
            reason = (
                f"{self._identity.component} at {party}: this installation has no program of"
                f" module {module} for the role {party.role}"
            )
            self._report_failure(reason, final=True)
            raise TaskFailedError(reason)
        return spec

    @property
    def _exchanges(self) -> bool:
        return self._spec.exchanges and len(self._run.component.parties) > 1

    def run(self) -> None:
        session: GatewaySession | None = None
        try:
            session = self._open_session() if self._exchanges else None
            self._run_attempts(session)
        except (SiteUnreachableError, GatewayUnreachableError) as error:
            self._report_failure(str(error), final=False)
            raise
        except (JobOverError, JobCanceledError, TaskReplacedError) as error:
            # Nothing to report: the site knows already, or another process took over.
            raise TaskFailedError(str(error)) from None
        except PeerFailedError as error:
            self._report_failure(str(error), final=True)
            raise TaskFailedError(str(error)) from None
        except FateFlowError as error:
            # The site first: its reason should name who failed, not who heard of it.
            failure = self._failure(self._identity, error)
            self._report_failure(failure.message, final=True)
            self._tell_peers(session, failure.message)
            raise failure from None
        except Exception as error:
            # Around the component, not in it: another try may fare better, and if none does,
            # this is why, and not that the process was killed.
            self._report_failure(self._failure(self._identity, error).message, final=False)
            raise
        finally:
            if session is not None:
                session.close()

    def _run_attempts(self, session: GatewaySession | None) -> None:
        # Airflow starts a task again also when only its end was lost on the way to it. The
        # peers have gone then, and nothing is left to do.
        if self._run.try_number > 1 and self._reporter.has_succeeded():
            log.info("%s has succeeded before", self._identity.task_id)
            return
        for _ in range(MAX_ATTEMPTS):
            try:
                attempt = session.join() if session else self._run.try_number - 1
                if session is not None and session.is_complete:
                    self._reporter.status(TaskStatus.SUCCESS.value, attempt=attempt)
                    return
                self._run_attempt(replace(self._identity, attempt=attempt), session)
                return
            except AttemptSupersededError as error:
                log.warning("%s: computing anew: %s", self._identity.task_id, error)
        raise TaskFailedError(f"given up after {MAX_ATTEMPTS} attempts")

    def _run_attempt(self, identity: TaskIdentity, session: GatewaySession | None) -> None:
        self._reporter.status(TaskStatus.RUNNING.value, attempt=identity.attempt)
        try:
            with self._work_dir(identity) as work_dir:
                output = self._compute(identity, session or NoFederation(), work_dir)
                self._store(output)
        except FateFlowError:
            raise
        except Exception as error:
            log.exception("%s failed", identity.task_id)
            raise self._failure(identity, error) from error
        _log_usage()
        if session is not None:
            session.finish()
        self._reporter.status(TaskStatus.SUCCESS.value, attempt=identity.attempt)

    @contextmanager
    def _work_dir(self, identity: TaskIdentity) -> Iterator[str]:
        root = work_folder(self._run.settings)
        root.mkdir(parents=True, exist_ok=True)
        mine = work_prefix(identity.job_id, identity.component, identity.party)
        for stale in root.glob(f"{mine}*"):  # of a process of this task that was killed
            shutil.rmtree(stale, ignore_errors=True)
        folder = tempfile.mkdtemp(prefix=mine, dir=root)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _compute(self, identity: TaskIdentity, federation: Federation, work_dir: str) -> TaskOutput:
        program = self._spec.program(identity.party.role)
        component = program(self._context(identity, federation, work_dir))
        result: TaskOutput = component.run()
        return result

    def _failure(self, identity: TaskIdentity, error: Exception) -> TaskFailedError:
        """Whatever was raised, as a reason that says where and can be read."""
        if isinstance(error, TaskFailedError):
            return error
        where = f"{identity.component} ({identity.module}) at {identity.party}"
        if isinstance(error, FateFlowError):
            log.error("%s failed: %s", where, error)
            log.debug("the error was raised here", exc_info=error)
            return TaskFailedError(f"{where}: {error}")
        return TaskFailedError(
            f"{where}: {type(error).__name__}: {error}",
            remedy="The task's log has the details",
        )

    def _context(
        self, identity: TaskIdentity, federation: Federation, work_dir: str
    ) -> TaskContext:
        run = self._run
        configuration = run.component.parameters[run.party.key]
        return TaskContext(
            identity=identity,
            parameters=configuration[self._spec.param_class.conf_name],
            inputs=self._resolver().resolve(run.component.name),
            federation=federation,
            tables=self._tables,
            output=output_address(run.job_id, run.component.name, run.party),
            tracker=self._reporter,
            work_dir=work_dir,
            job_parameters=run.plan.job_parameters,
            models=ModelAccess(self._models, ArchiveStores(run.settings)),
            log=log,
        )

    def _resolver(self) -> InputResolver:
        run = self._run
        return InputResolver(run.job_id, run.plan, run.party, self._tables, self._models)

    def _store(self, output: TaskOutput) -> None:
        """Keep the results and say where they are."""
        if output.data is not None:
            table = self._at_its_place(output.data)
            self._reporter.data_view(
                table_name=table.name,
                table_namespace=table.namespace,
                partition=table.partitions,
                table_count_actual=table.count,
            )
        if output.model:
            party_model, version = self._resolver().model_address
            component = self._run.component
            # What a prediction exports is what it has loaded; a trained model never changes.
            if self._run.plan.job_parameters.get("job_type") != "predict":
                self._models.save(
                    party_model,
                    version,
                    component.name,
                    component.module,
                    component.model_alias,
                    output.model,
                )
            self._reporter.data_view(party_model_id=party_model, model_version=version)

    def _at_its_place(self, table: Table) -> Table:
        """The table under the address where the next component looks for it."""
        address = output_address(self._run.job_id, self._run.component.name, self._run.party)
        if (table.namespace, table.name) == address:
            return table
        return self._tables.union(*address, [table])

    def _open_session(self) -> GatewaySession:
        settings = self._run.settings
        return GatewaySession(
            settings.grpc_address,
            task_token(settings, self._identity),
            self._identity,
            try_number=self._run.try_number,
            timeout=float(settings.FEDERATION_TIMEOUT),
            on_wait=self._reporter.waiting_for,
            channel_factory=self._run.open_channel,
            **site_options(settings, self._run.placement, self._identity),
        )

    def _tell_peers(self, session: GatewaySession | None, reason: str) -> None:
        if session is None:
            return
        try:
            session.finish(reason)
        except FateFlowError as error:
            log.warning("the peers could not be told: %s", error)

    def _report_failure(self, reason: str, *, final: bool) -> None:
        try:
            self._reporter.status(TaskStatus.FAILED.value, error=reason, final=final)
        except FateFlowError as error:
            log.warning("the failure could not be reported: %s", error)


def site_options(
    settings: Settings, placement: Placement | None, identity: TaskIdentity
) -> dict[str, Any]:
    """What a session needs for parties at other sites; nothing when all are at this one.

    Raises:
        ConfigurationError: this site's keys cannot be read.
    """
    if placement is None or placement.local.issuperset(identity.parties()):
        return {"tls": site_tls(settings)}
    sealer = Sealer(SiteIdentity.load(settings).seal_private, placement.seal_keys)
    options: dict[str, Any] = {"tls": site_tls(settings), "sealer": sealer}
    if not placement.home_is_local:
        options |= {
            "home": placement.home,
            "ticket": placement.ticket,
            "patience": float(settings.PEER_PATIENCE),
        }
    return options


def _log_usage() -> None:
    """What the task has cost so far: processor seconds and peak memory."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    log.info(
        "used %.2f s of processor time, %.0f MB of memory at most",
        own.ru_utime + own.ru_stime,
        own.ru_maxrss / 1024,
    )


def work_folder(settings: Settings) -> Path:
    """Where the temporary folders of all tasks lie."""
    return Path(settings.storage_root / "tmp")


def work_prefix(job_id: str, component: str | None = None, party: Party | None = None) -> str:
    """How the names of a job's, a component's or a task's temporary folders begin."""
    parts = [job_id, component, party.key if party else None]
    return ".".join(["task", *(part for part in parts if part), ""])
