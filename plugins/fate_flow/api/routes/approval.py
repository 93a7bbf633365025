"""``/approval``: jobs of other sites that wait until a person here says yes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from fate_flow.api.body import Body, Name, Text, body_of
from fate_flow.api.dependencies import DbSession
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_administer, can_read, user_name
from fate_flow.jobs import approval

router = APIRouter(prefix="/approval", tags=["approval"])

_JOB_ID = "2026010112000012345612"
_WAITING = {
    "job_id": _JOB_ID,
    "site": "bank-a",
    "initiator": "guest 9999",
    "parties": ["host 10000"],
    "modules": ["DataIO", "Intersection", "HeteroLR"],
    "tables": ["shared/customers"],
    "created": 1767268800000,
}


class ApproveBody(Body):
    """A job that waits."""

    job_id: Name


class RefuseBody(ApproveBody):
    """A job that waits, and why it may not run."""

    reason: Text


@router.post("/list", dependencies=[can_read], **docs(Body, {}, [_WAITING], required=False))
def waiting(session: DbSession) -> Response:
    """Jobs that wait for a yes of this site, the oldest first."""
    return answer([job.to_dict() for job in approval.waiting(session)])


@router.post("/approve", dependencies=[can_administer], **docs(ApproveBody, {"job_id": _JOB_ID}))
def approve(
    body: Annotated[ApproveBody, body_of(ApproveBody)], request: Request, session: DbSession
) -> Response:
    """Let a job of another site run here."""
    approval.approve(session, body.job_id, user_name(request))
    return answer()


@router.post(
    "/refuse",
    dependencies=[can_administer],
    **docs(RefuseBody, {"job_id": _JOB_ID, "reason": "no contract"}),
)
def refuse(
    body: Annotated[RefuseBody, body_of(RefuseBody)], request: Request, session: DbSession
) -> Response:
    """Keep a job of another site from running; it is canceled everywhere, with the reason."""
    approval.refuse(session, body.job_id, body.reason, user_name(request))
    return answer()
