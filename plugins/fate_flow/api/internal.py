"""Routes for the site's own tasks, gateway and supervisor; never for clients.

Each is opened by the token of one task (or of a job's finish task) and lets it speak
for itself only, or by that of the gateway, which hands over what other sites say;
``/health`` is open and says nothing but whether the site is ready.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from fate_flow import settings as site_settings
from fate_flow.api.body import read_json
from fate_flow.api.dependencies import DbSession, SiteSettings
from fate_flow.errors import FateFlowError, InvalidInputError
from fate_flow.federation import tokens
from fate_flow.federation.tokens import Claims
from fate_flow.jobs.reports import apply_reports, status_of_task
from fate_flow.jobs.sealing import seal_job
from fate_flow.jobs.startup import readiness
from fate_flow.sites import calls

router = APIRouter(prefix="/internal", tags=["internal"], include_in_schema=False)


def task_claims(request: Request) -> Claims:
    """Who speaks, by the bearer token.

    Raises:
        FateFlowError: no token, or one that is not this site's or has expired.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise FateFlowError("a task's token is needed here")
    return tokens.verify(site_settings.current().secret(), token)


def gateway_peer(request: Request) -> str:
    """The peer whose message the site's own gateway hands over.

    Raises:
        FateFlowError: it is not the gateway that speaks.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise FateFlowError("the token of the site's gateway is needed here")
    tokens.verify_site(site_settings.current().secret(), token)
    peer = request.headers.get("X-Fate-Flow-Peer", "")
    if not peer:
        raise FateFlowError("the gateway does not say which peer sent this")
    return peer


TaskClaims = Annotated[Claims, Depends(task_claims)]


async def report_body(request: Request, claims: TaskClaims) -> dict[str, Any]:
    """The request's JSON, read only once the token has been checked, bounded in size."""
    return await read_json(request)


ReportBody = Annotated[dict[str, Any], Depends(report_body)]


GatewayPeer = Annotated[str, Depends(gateway_peer)]


async def peer_body(request: Request, peer: GatewayPeer) -> dict[str, Any]:
    """As :func:`report_body`."""
    return await read_json(request)


PeerMessage = Annotated[dict[str, Any], Depends(peer_body)]


@router.post("/report")
def report(claims: TaskClaims, body: ReportBody, session: DbSession) -> dict[str, Any]:
    """Take a batch of a task's events."""
    over = apply_reports(session, claims, body)
    # No exception: what ended the job has to be committed.
    return {"retcode": 100, "retmsg": over} if over else {"retcode": 0, "retmsg": "success"}


@router.post("/task")
def task(claims: TaskClaims, session: DbSession) -> dict[str, Any]:
    """What is stored of the token's task: a process that was started again asks."""
    return {"retcode": 0, "data": {"status": status_of_task(session, claims)}}


@router.post("/finish")
def finish(claims: TaskClaims, session: DbSession) -> dict[str, Any]:
    """Seal the job of the token."""
    if claims.component != "*":
        raise FateFlowError("this token may not finish a job")
    seal_job(session, claims.job_id)
    return {"retcode": 0, "retmsg": "success"}


@router.post("/peer")
def peer_message(
    peer: GatewayPeer, body: PeerMessage, session: DbSession, settings: SiteSettings
) -> dict[str, Any]:
    """Take a message of another site."""
    method, content = body.get("method"), body.get("body")
    if not isinstance(method, str) or not isinstance(content, dict):
        raise FateFlowError("a message has a method and an object as body")
    try:
        return {"retcode": 0, "data": calls.answer(session, settings, peer, method, content)}
    except FateFlowError as error:
        session.rollback()
        problems = error.problems if isinstance(error, InvalidInputError) else []
        data = {"error": error.code, "problems": [asdict(problem) for problem in problems]}
        return {"retcode": error.retcode, "retmsg": str(error), "data": data}


@router.get("/health")
def health() -> dict[str, Any]:
    """Whether the site is warm and takes jobs."""
    return {"retcode": 0, **readiness()}
