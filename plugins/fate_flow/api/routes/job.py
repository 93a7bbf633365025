"""``/job``: submit, stop, query, configuration, logs, clean."""

from __future__ import annotations

import json
import logging
import re
from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from fate_flow.api.archives import attachment, files_below, tar_gz
from fate_flow.api.bodies import (
    DataViewFilters,
    Filters,
    JobBody,
    JobFilters,
    PartyBody,
    TaskFilters,
)
from fate_flow.api.body import Body, MissingArgumentsError, Text, body_of
from fate_flow.api.dependencies import DbSession, SiteSettings
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read, can_write
from fate_flow.db.models import Job, Task, row_to_dict
from fate_flow.errors import (
    RETCODE_EXCEPTION,
    FateFlowError,
    InvalidInputError,
    NotFoundError,
    Problem,
)
from fate_flow.tracking import store as tracking

router = APIRouter(prefix="/job", tags=["job"])
_log = logging.getLogger("fate_flow.jobs")

_JOB_ID = "2026010112000012345612"
_JOB = {"job_id": _JOB_ID}
_PARTY = {**_JOB, "role": "guest", "party_id": 9999}


class SubmitBody(Body):
    """Two documents; ``job_dsl`` is ignored for a predict job."""

    job_dsl: Any = None
    job_runtime_conf: Any = None


_SUBMIT = {
    "job_dsl": {
        "components": {
            "dataio_0": {
                "module": "DataIO",
                "input": {"data": {"data": ["args.train_data"]}},
                "output": {"data": ["train"], "model": ["dataio"]},
            }
        }
    },
    "job_runtime_conf": {
        "initiator": {"role": "guest", "party_id": 9999},
        "job_parameters": {"work_mode": 0},
        "role": {"guest": [9999], "host": [10000]},
        "role_parameters": {
            "guest": {
                "args": {"data": {"train_data": [{"name": "t", "namespace": "n"}]}},
                "dataio_0": {"with_label": [True]},
            },
            "host": {"args": {"data": {"train_data": [{"name": "t", "namespace": "n"}]}}},
        },
    },
}
_SUBMITTED = {
    "job_dsl_path": f"<home>/jobs/{_JOB_ID}/job_dsl.json",
    "job_runtime_conf_path": f"<home>/jobs/{_JOB_ID}/job_runtime_conf.json",
    "logs_directory": f"<home>/logs/{_JOB_ID}",
    "model_info": {"model_id": "guest-9999#host-10000#model", "model_version": _JOB_ID},
    "board_url": "http://127.0.0.1:9380/…",
}


@router.post(
    "/submit", dependencies=[can_write], **docs(SubmitBody, _SUBMIT, _SUBMITTED, jobId=_JOB_ID)
)
def submit(body: Annotated[SubmitBody, body_of(SubmitBody)], session: DbSession) -> Response:
    """Check both documents and create the job at all parties; it then runs on its own."""
    from fate_flow.jobs import service

    if body.job_runtime_conf is None:
        raise InvalidInputError([Problem("job_runtime_conf", "missing", "an object")])
    result = service.submit_job(session, body.job_dsl, body.job_runtime_conf)
    data = dict(result.data)
    if result.warnings:
        data["warnings"] = list(result.warnings)
        for warning in result.warnings:
            _log.warning("job %s: %s", result.job_id, warning)
    return answer(data, job_id=result.job_id)


class StopBody(Body):
    """Names a job; an unknown one is answered as FATE-Flow does."""

    job_id: Text = ""


@router.post("/stop", dependencies=[can_write], **docs(StopBody, _JOB))
def stop(body: Annotated[StopBody, body_of(StopBody)], session: DbSession) -> Response:
    """Cancel a waiting job, end a running one; a finished job stays as it is."""
    from fate_flow.jobs import service

    stopped = service.stop_everywhere(session, body.job_id)
    data = {"acknowledged": list(stopped.acknowledged), "told_later": dict(stopped.told_later)}
    return answer(data if any(data.values()) else None, retmsg=stopped.text)


@router.post("/query", dependencies=[can_read], **docs(JobFilters, _JOB, [{"f_job_id": _JOB_ID}]))
def query(body: Annotated[Filters, body_of(JobFilters)], session: DbSession) -> Response:
    """Jobs that meet all filters; without a known filter none."""
    jobs = tracking.query_jobs(session, body.given())
    if not jobs:
        raise NotFoundError("find job failed")
    return answer(tracking.job_dicts(session, jobs))


class UpdateBody(PartyBody):
    """Notes for one row of a job."""

    notes: Text = ""


@router.post("/update", dependencies=[can_write], **docs(UpdateBody, {**_PARTY, "notes": "n"}))
def update(body: Annotated[UpdateBody, body_of(UpdateBody)], session: DbSession) -> Response:
    """Set the notes (``f_description``) of a job's row; an empty text leaves the old ones."""
    if not tracking.save_notes(session, body.job_id, body.role, body.party_id, body.notes):
        raise NotFoundError("find job failed")
    return answer()


@router.post("/config", dependencies=[can_read], **docs(JobFilters, _PARTY, {"job_id": _JOB_ID}))
def config(body: Annotated[Filters, body_of(JobFilters)], session: DbSession) -> Response:
    """DSL, runtime conf and model of the first job that meets the filters."""
    jobs = tracking.query_jobs(session, body.given())
    if not jobs:
        raise NotFoundError("find job failed")
    return answer(_config_of(jobs[0]))


def _config_of(job: Job) -> dict[str, Any]:
    runtime_conf = json.loads(job.f_runtime_conf)
    parameters = runtime_conf.get("job_parameters", {})
    return {
        "job_id": job.f_job_id,
        "dsl": json.loads(job.f_dsl),
        "runtime_conf": runtime_conf,
        "train_runtime_conf": json.loads(job.f_train_runtime_conf or "{}"),
        "model_info": {key: parameters.get(key) for key in ("model_id", "model_version")},
    }


def _log_archive(job_id: str, settings: SiteSettings) -> Response:
    if not re.fullmatch(r"\w{1,64}", job_id, re.ASCII):
        allowed = "letters, digits and '_'"
        raise InvalidInputError([Problem("job_id", f"found {job_id[:80]!r}", allowed)])
    members = files_below(settings.logs_dir / job_id)
    return attachment(tar_gz(members), f"job_{job_id}_log.tar.gz")


@router.get("/log", dependencies=[can_read], **docs(JobBody, _JOB, file="application/x-tar"))
def log(body: Annotated[JobBody, body_of(JobBody)], settings: SiteSettings) -> Response:
    """All logs of a job as tar.gz; an empty archive when there are none. The body is JSON."""
    return _log_archive(body.job_id, settings)


@router.post(
    "/log/download", dependencies=[can_read], **docs(JobBody, _JOB, file="application/x-tar")
)
def log_download(body: Annotated[JobBody, body_of(JobBody)], settings: SiteSettings) -> Response:
    """The same for clients that cannot send a body with GET."""
    return _log_archive(body.job_id, settings)


@router.post(
    "/task/query", dependencies=[can_read], **docs(TaskFilters, _JOB, [{"f_job_id": _JOB_ID}])
)
def query_task(body: Annotated[Filters, body_of(TaskFilters)], session: DbSession) -> Response:
    """Tasks that meet all filters; without a known filter all."""
    tasks = tracking.query_tasks(session, body.given())
    if not tasks:
        raise NotFoundError("find task failed")
    return answer(tracking.task_dicts(session, tasks))


@router.post(
    "/data/view/query",
    dependencies=[can_read],
    **docs(DataViewFilters, _JOB, [{"f_job_id": _JOB_ID}]),
)
def query_data_view(
    body: Annotated[Filters, body_of(DataViewFilters)], session: DbSession
) -> Response:
    """Data views (output table and model of a task) that meet all filters."""
    views = tracking.query_data_views(session, body.given())
    if not views:
        raise NotFoundError("find data view failed")
    return answer([row_to_dict(view) for view in views])


@router.post("/clean", dependencies=[can_write], **docs(TaskFilters, _JOB))
def clean(body: Annotated[Filters, body_of(TaskFilters)], session: DbSession) -> Response:
    """Remove output tables, metrics and temporary data of the tasks that meet the filters.

    Without a known filter nothing is cleaned; FATE-Flow would clean every task there is.
    """
    from fate_flow.jobs import service

    if not tracking.filters_of(Task, body.given()):
        raise MissingArgumentsError(["job_id"])
    if not service.clean_job(session, body.given()):
        raise NotFoundError("no found task", retcode=RETCODE_EXCEPTION)
    return answer()


@router.post("/clean/queue", dependencies=[can_write], **docs(Body, {}, required=False))
def clean_queue(_: Annotated[Body, body_of(Body, optional=True)], session: DbSession) -> Response:
    """Cancel all waiting jobs."""
    from fate_flow.jobs import service

    if not service.clean_queue(session):
        raise FateFlowError("There are no jobs in the queue")
    return answer()
