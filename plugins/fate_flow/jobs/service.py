"""The use cases of jobs: submit, stop, clean. Called by the API inside its transaction."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.compiler.register import fail_run
from fate_flow.data.paths import readable_file
from fate_flow.db.models import Job, JobDetail
from fate_flow.db.session import create_session
from fate_flow.entities import JobStatus, Party
from fate_flow.errors import RETCODE_EXCEPTION, FateFlowError, NotFoundError
from fate_flow.jobs import offering, telling
from fate_flow.jobs.admission import admit
from fate_flow.jobs.agreement import Proposal
from fate_flow.jobs.creation import create_job, prepare
from fate_flow.jobs.effects import after_commit, on_rollback
from fate_flow.jobs.peers import cancel_at_gateway
from fate_flow.jobs.permission import CLEAN, gate_of_job
from fate_flow.jobs.states import Failure, end_job, hold_job, open_jobs, status_of
from fate_flow.runtime.task_runner import work_folder, work_prefix
from fate_flow.sites import delivery, outbox

log = logging.getLogger("fate_flow.jobs")


@dataclass(frozen=True)
class SubmitResult:
    """What a submission is answered with.

    Attributes:
        job_id: the new job.
        data: ``data`` of the envelope.
        warnings: what was accepted but looks wrong.
    """

    job_id: str
    data: Mapping[str, Any]
    warnings: tuple[str, ...] = field(default_factory=tuple)


def submit_job(
    session: Session, job_dsl: Any, runtime_conf: Any, *, job_id: str | None = None
) -> SubmitResult:
    """Validate, create at every party, hand to Airflow as far as the limits allow.

    Raises:
        InvalidInputError: everything that is wrong with the documents; nothing was created.
        FateFlowError: the job could not be created; nothing was left behind.
    """
    settings = site_settings.current()
    prepared = prepare(settings, session, job_dsl, runtime_conf, job_id)
    if prepared.placement is not None:
        # Nothing is held in the database while other sites are asked.
        session.commit()
        offering.offer(settings, prepared)
        on_rollback(session, lambda: offering.withdraw(prepared))
    # Whatever fails, the commit included: no file stays without its rows.
    on_rollback(session, lambda: prepared.remove_files(settings))
    try:
        create_job(session, settings, prepared)
        if prepared.placement is not None:
            telling.wake_after_commit(session)
        admit(session)
        session.flush()
    except BaseException:
        prepared.remove_files(settings)
        raise
    has_run = prepared.job_id in open_jobs(session, taken=True)
    data = prepared.answer(settings, has_run=has_run)
    return SubmitResult(prepared.job_id, data, tuple(prepared.plan.warnings))


def stop_job(session: Session, job_id: str) -> str:
    """Cancel a waiting job or end a running one; a finished job stays as it is.

    Returns:
        The text that FATE-Flow answers.

    Raises:
        FateFlowError: unknown job.
    """
    status = status_of(session, job_id)
    if status is None:
        raise NotFoundError(f"can not found job: {job_id}", retcode=RETCODE_EXCEPTION)
    if status.is_terminal:
        return "kill job success"
    waiting = job_id in open_jobs(session, taken=False)
    reason = Failure("canceled while it was waiting" if waiting else "stopped by request")
    stopped = JobStatus.CANCELED if waiting else JobStatus.FAILED
    end(session, job_id, stopped, reason, is_stop=True)
    return "cancel job success" if waiting else "kill job success"


@dataclass(frozen=True)
class StopResult:
    """What a stop is answered with.

    Attributes:
        text: FATE-Flow's.
        acknowledged: other sites that know of it.
        told_later: other sites that cannot be reached now -> why.
    """

    text: str
    acknowledged: tuple[str, ...] = ()
    told_later: Mapping[str, str] = field(default_factory=dict)


def stop_everywhere(session: Session, job_id: str, patience: float = 2.0) -> StopResult:
    """Stop a job and say which other sites have heard of it after a moment.

    Raises:
        FateFlowError: unknown job.
    """
    text = stop_job(session, job_id)
    placement = telling.placement_of(job_id)
    if placement is None:
        return StopResult(text)
    session.commit()
    delivery.wake()
    deadline = time.monotonic() + patience
    while True:
        with create_session() as other:
            late = outbox.waiting_for(other, job_id)
        if not late or time.monotonic() > deadline:
            break
        # Another process may deliver; only the database tells of it.
        time.sleep(0.05)
    told = placement.sites if placement.home_is_local else [telling.home_peer(placement)]
    return StopResult(text, tuple(name for name in told if name not in late), late)


def end(
    session: Session,
    job_id: str,
    status: JobStatus,
    failure: Failure | None,
    *,
    is_stop: bool = False,
    decided: bool = False,
) -> bool:
    """End a job for good and everywhere: rows, Airflow's run, the peers' waits, the queue.

    A site that is not the job's home ends its own part and proposes the rest to the home.

    Args:
        is_stop: a person asked for it.
        decided: the home has decided so, or nobody else can.

    Returns:
        False when the job had ended before, or the end been proposed.
    """
    detail = session.get(JobDetail, job_id)
    if detail is not None and telling.is_elsewhere(detail) and not decided:
        return _propose(session, detail, status, failure, is_stop=is_stop)
    if not end_job(session, job_id, status, failure):
        return False
    if status is not JobStatus.SUCCESS:
        _end_here(session, job_id, failure.reason if failure else status.value)
    if detail is not None and detail.home_is_local:
        outbox.forget(session, job_id, telling.START)
        telling.tell(session, job_id)
    admit(session)
    return True


def _end_here(session: Session, job_id: str, reason: str) -> None:
    fail_run(session, job_id)
    after_commit(session, lambda: cancel_at_gateway(job_id, reason))


def _propose(
    session: Session,
    detail: JobDetail,
    status: JobStatus,
    failure: Failure | None,
    *,
    is_stop: bool,
) -> bool:
    """End this site's part at once and ask the home to end the job."""
    job_id = detail.f_job_id
    now = status_of(session, job_id)
    if now is None or now.is_terminal or detail.proposal:
        return False
    hold_job(session, job_id)
    session.refresh(detail)
    if detail.proposal:
        return False
    reason = failure.reason if failure else status.value
    proposal = Proposal(status, reason, is_stop)
    detail.proposal = json.dumps(
        {
            "status": proposal.status.value,
            "reason": proposal.reason,
            "is_stop": proposal.is_stop,
            "component": failure.component if failure else None,
            "party": failure.party.key if failure and failure.party else None,
        }
    )
    placement = telling.placement_of(job_id)
    peer = telling.home_peer(placement) if placement is not None else detail.home
    detail.reason = f"{reason}; the job's home, site {peer}, has been asked to end it"
    _end_here(session, job_id, reason)
    telling.tell(session, job_id)
    return True


def clean_queue(session: Session) -> int:
    """Cancel every waiting job.

    Returns:
        How many there were.
    """
    waiting = open_jobs(session, taken=False)
    for job_id in waiting:
        failure = Failure("removed by clean queue")
        end(session, job_id, JobStatus.CANCELED, failure, is_stop=True)
    return len(waiting)


_UPLOAD_REQUIRED = ("work_mode", "namespace", "table_name", "head", "partition")
_UPLOAD_KEYS = (
    "work_mode",
    "head",
    "partition",
    "file",
    "namespace",
    "table_name",
    "in_version",
    "drop",
    "delimiter",
)
_INTEGERS = ("work_mode", "head", "partition", "drop")


def submit_upload(
    session: Session, config: Mapping[str, Any], file: Path | None, job_id: str | None = None
) -> SubmitResult:
    """Submit a job that imports a file into a table.

    Args:
        config: the request's keys; numbers may be texts, as a form sends them.
        file: where a file that was sent with the request lies; None: ``config["file"]`` is a
            path of the server.
        job_id: id that was drawn before, when the file had to be stored below it.
    """
    required = _UPLOAD_REQUIRED if file is not None else (*_UPLOAD_REQUIRED, "file")
    values = _checked(config, required)
    home = site_settings.current().home
    path = file if file is not None else readable_file(str(values["file"]), home)
    values["file"] = str(path)
    _refuse_filled_table(values)
    result = _submit_local(session, "upload_0", "Upload", _UPLOAD_KEYS, values, job_id)
    names = {"table_name": values["table_name"], "namespace": values["namespace"]}
    data = {k: v for k, v in result.data.items() if k != "model_info"}
    return SubmitResult(result.job_id, {**names, **data}, result.warnings)


def submit_download(session: Session, config: Mapping[str, Any]) -> SubmitResult:
    """Submit a job that writes a table to a file of the server."""
    keys = ("work_mode", "namespace", "table_name", "output_path", "delimitor")
    values = _checked(config, keys[:4])
    result = _submit_local(session, "download_0", "Download", keys, values, None)
    data = {k: v for k, v in result.data.items() if k != "model_info"}
    return SubmitResult(result.job_id, data, result.warnings)


def _checked(config: Mapping[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    missing = [key for key in required if config.get(key) in (None, "")]
    if missing:
        raise FateFlowError(f"the following arguments are required: {','.join(missing)} ")
    values = dict(config)
    for key in _INTEGERS:
        if values.get(key) is None:
            continue
        try:
            values[key] = int(values[key])
        except (TypeError, ValueError):
            raise FateFlowError(f"{key}: found {values[key]!r}; allowed: an integer") from None
    if "in_version" in values and not isinstance(values["in_version"], bool):
        values["in_version"] = str(values["in_version"]).lower() not in ("", "0", "false", "none")
    return values


def _refuse_filled_table(values: Mapping[str, Any]) -> None:
    """In cluster mode a table with rows is only touched when the request says how."""
    from fate_flow.data.table import TableStore

    settings = site_settings.current()
    drop = values.get("drop", 2 if settings.WORK_MODE else 0)
    store = TableStore(settings.tables_dir)
    address = str(values["namespace"]), str(values["table_name"])
    if drop != 2 or not store.exists(*address):
        return
    count = store.open(*address).count
    if count:
        raise FateFlowError(
            f"The data table already exists, table data count:{count}."
            "If you still want to continue uploading, please add the parameter -drop. "
            "0 means not to delete and continue uploading, "
            "1 means to upload again after deleting the table"
        )


def _submit_local(
    session: Session,
    component: str,
    module: str,
    keys: tuple[str, ...],
    values: Mapping[str, Any],
    job_id: str | None,
) -> SubmitResult:
    """Submit a job of one component for the party ``local 0``."""
    dsl = {"components": {component: {"module": module}}}
    parameters = {key: [values[key]] for key in keys if values.get(key) is not None}
    conf = {
        "initiator": {"role": "local", "party_id": 0},
        "job_parameters": {"work_mode": values.get("work_mode", 0)},
        "role": {"local": [0]},
        "role_parameters": {"local": {component: parameters}},
    }
    return submit_job(session, dsl, conf, job_id=job_id)


def clean_job(session: Session, filters: Mapping[str, Any]) -> int:
    """Remove output tables, metrics and temporary folders of the tasks that match.

    Returns:
        Number of tasks cleaned.

    Raises:
        NotAuthorizedError: a party has not granted it; nothing was cleaned.
    """
    from fate_flow.data.table import TableStore
    from fate_flow.tracking import store as tracking

    settings = site_settings.current()
    tables = TableStore(settings.tables_dir)
    tasks = tracking.query_tasks(session, filters)
    for task in tasks:
        gate = gate_of_job(session, settings, task.f_job_id)
        if gate is not None:
            gate.check(Party(task.f_role, int(task.f_party_id)), CLEAN)
    for task in tasks:
        scope = tracking.TaskScope(
            task.f_job_id, task.f_component_name, task.f_role, task.f_party_id
        )
        view = tracking.data_view(session, scope)
        namespace = f"output_data_{scope.task_id}"
        if view is not None and view.f_table_namespace == namespace and view.f_table_name:
            tables.drop(namespace, view.f_table_name)
        tracking.delete_task_metrics(session, scope)
        prefix = work_prefix(task.f_job_id, task.f_component_name)
        for folder in work_folder(settings).glob(f"{prefix}*"):
            shutil.rmtree(folder, ignore_errors=True)
    return len(tasks)


def job_exists(session: Session, job_id: str) -> bool:
    return session.scalar(select(Job.f_job_id).where(Job.f_job_id == job_id).limit(1)) is not None
