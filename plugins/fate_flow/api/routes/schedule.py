"""``/schedule``: what FATE-Flow 1.4's servers say to each other about a job's life.

Here sites speak over their gateways, so these routes are for scripts of operators: kill,
cancel, clean and notes work on the jobs of this site. What would hand over work (create,
run, save/pipeline, statuses of tasks) is refused with the way it is done here; a site's own
state machine is the only writer of statuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from fate_flow.api.body import Body, body_of
from fate_flow.api.dependencies import DbSession
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_write
from fate_flow.db.models import Job, now_ms
from fate_flow.entities import JobStatus
from fate_flow.errors import RETCODE_EXCEPTION, RETCODE_NOT_FOUND, UnsupportedError

router = APIRouter(prefix="/schedule", tags=["schedule"])

#: A part of a path: an id, a role, a name. None begins with a dot: ``..`` is no name, and HTTP
#: libraries take it out of a path.
Part = Annotated[str, Path(pattern=r"^[A-Za-z0-9_=+\-][A-Za-z0-9_.,=+\-]{0,127}$")]

_JOB = "/{job_id}/{role}/{party_id}"
_TASK = "/{job_id}/{component_name}/{task_id}/{role}/{party_id}"
_REFUSAL = "sites hand jobs and tasks to each other over their gateways, not over /v1/schedule"
_REMEDY = "Make the other site a peer (fate_flow peer add) and submit the job at one of them"


class KillBody(Body):
    """Who asks, and why; a component's name is taken for its whole job."""

    job_initiator: dict[str, Any] | None = None
    timeout: bool = False
    component_name: str = ""


class StatusBody(Body):
    """Columns of a job's row; a note is stored, an end ends the job, the rest is known here."""

    f_status: str | None = None
    f_description: str | None = None


class AnyBody(Body):
    """Whatever the 1.4 server sends."""


_KILL = {"job_initiator": {"role": "guest", "party_id": 9999}, "timeout": False}


@router.post(_JOB + "/kill", dependencies=[can_write], **docs(KillBody, _KILL, required=False))
def kill(
    job_id: Part,
    role: Part,
    party_id: Part,
    body: Annotated[KillBody, body_of(KillBody, optional=True)],
    session: DbSession,
) -> Response:
    """End a job with all its tasks; one that has ended, or is not known, stays as it is."""
    from fate_flow.jobs import service
    from fate_flow.jobs.states import Failure

    if _row(session, job_id, role, party_id) is not None:
        if body.timeout:
            service.end(session, job_id, JobStatus.TIMEOUT, Failure("its time is up"))
        else:
            service.stop_job(session, job_id)
    return answer()


@router.post(_JOB + "/cancel", dependencies=[can_write], **docs(KillBody, _KILL, required=False))
def cancel(
    job_id: Part,
    role: Part,
    party_id: Part,
    body: Annotated[KillBody, body_of(KillBody, optional=True)],
    session: DbSession,
) -> Response:
    """Take a job that waits out of the queue, at its initiator."""
    from fate_flow.jobs import service
    from fate_flow.jobs.states import open_jobs

    row = _row(session, job_id, role, party_id)
    who = f"role {role} party id {party_id} cancel waiting job"
    if row is None:
        return answer(retcode=RETCODE_EXCEPTION, retmsg=f"{who} failed, no find jod {job_id}")
    if row.f_is_initiator != 1:
        text = f"{who} {job_id} failed, not is initiator"
        return answer(retcode=RETCODE_EXCEPTION, retmsg=text)
    if job_id not in open_jobs(session, taken=False):
        return answer(retcode=RETCODE_NOT_FOUND, retmsg="cancel job failed")
    return answer(retmsg=service.stop_job(session, job_id))


@router.post(
    _JOB + "/{roles}/{party_ids}/clean",
    dependencies=[can_write],
    **docs(AnyBody, {}, required=False),
)
def clean(
    job_id: Part,
    role: Part,
    party_id: Part,
    roles: Part,
    party_ids: Part,
    body: Annotated[AnyBody, body_of(AnyBody, optional=True)],
) -> Response:
    """Temporary tables of a job's tasks: here they go with the task, so there are none."""
    return answer()


@router.post(
    _JOB + "/status",
    dependencies=[can_write],
    **docs(StatusBody, {"f_description": "a note"}, required=False),
)
def status(
    job_id: Part,
    role: Part,
    party_id: Part,
    body: Annotated[StatusBody, body_of(StatusBody, optional=True)],
    session: DbSession,
) -> Response:
    """Store a note; a status that ends a job early ends it; an unknown job is passed over."""
    from fate_flow.jobs import service
    from fate_flow.jobs.states import Failure

    row = _row(session, job_id, role, party_id)
    if row is None:
        return answer()
    if body.f_description is not None:
        row.f_description, row.f_update_time = body.f_description, now_ms()
    early = (JobStatus.CANCELED.value, JobStatus.FAILED.value, JobStatus.TIMEOUT.value)
    if body.f_status in early:
        reason = Failure("stopped by request")
        service.end(session, job_id, JobStatus(body.f_status), reason)
    return answer()


def _of_job(job_id: Part, role: Part, party_id: Part) -> None:
    """The parts of a path that name a job at a party are checked, as in every route."""


def _of_pipeline(
    job_id: Part, role: Part, party_id: Part, model_id: Part, model_version: Part
) -> None:
    """As :func:`_of_job`, with a model."""


def _of_task(job_id: Part, component_name: Part, task_id: Part, role: Part, party_id: Part) -> None:
    """As :func:`_of_job`, for a task."""


def _refuse(body: Annotated[AnyBody, body_of(AnyBody, optional=True)]) -> Response:
    raise UnsupportedError(_REFUSAL, remedy=_REMEDY)


#: What would hand over work: path, name, check of the path's parts, and why it is refused.
_REFUSED: tuple[tuple[str, str, Callable[..., None], str], ...] = (
    (
        _JOB + "/create",
        "create",
        _of_job,
        "Refused: a job comes from a peer's gateway or from ``/job/submit``.",
    ),
    (
        _JOB + "/{model_id}/{model_version}/save/pipeline",
        "save_pipeline",
        _of_pipeline,
        "Refused: the end of a job saves its pipeline.",
    ),
    (_TASK + "/run", "run", _of_task, "Refused: Airflow runs the tasks."),
    (
        _TASK + "/status",
        "task_status",
        _of_task,
        "Refused: tasks report to their own site, with a token each.",
    ),
)
for _path, _name, _parts, _reason in _REFUSED:
    router.add_api_route(
        _path,
        _refuse,
        methods=["POST"],
        name=_name,
        description=_reason,
        dependencies=[can_write, Depends(_parts)],
        **docs(AnyBody, {}, required=False),
    )


def _row(session: Session, job_id: str, role: str, party_id: str) -> Job | None:
    return session.scalars(
        select(Job).where(Job.f_job_id == job_id, Job.f_role == role, Job.f_party_id == party_id)
    ).first()
