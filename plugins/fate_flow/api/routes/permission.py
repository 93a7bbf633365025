"""``/permission``: what other parties' jobs may do at the parties of this site."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from fate_flow.api.body import Body, PartyId, RoleName, Text, body_of
from fate_flow.api.dependencies import DbSession
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_administer, can_read
from fate_flow.jobs import permission
from fate_flow.jobs.permission import COMMAND, COMPONENT, KINDS, ROLE

router = APIRouter(prefix="/permission", tags=["permission"])


class SourceBody(Body):
    """Who asks: a party and its role."""

    src_party_id: PartyId
    src_role: RoleName


class PrivilegeBody(SourceBody):
    """Names with commas between, or ``all``, of each kind."""

    privilege_role: Text | None = None
    privilege_command: Text | None = None
    privilege_component: Text | None = None

    @property
    def wanted(self) -> dict[str, str | None]:
        return {
            ROLE: self.privilege_role,
            COMMAND: self.privilege_command,
            COMPONENT: self.privilege_component,
        }


_SOURCE = {"src_party_id": "9999", "src_role": "guest"}
_EXAMPLE: dict[str, Any] = {
    **_SOURCE,
    "privilege_role": "host",
    "privilege_command": "all",
    "privilege_component": "dataio,intersection,heterolr",
}
_ANSWER = {
    "src_party_id": "9999",
    "role": "guest",
    "privilege_role": ["host"],
    "privilege_command": ["create_job", "save_pipeline", "clean", "run_task"],
    "privilege_component": ["dataio", "heterolr", "intersection"],
}


@router.post("/grant", dependencies=[can_administer], include_in_schema=False)
@router.post("/grant/privilege", dependencies=[can_administer], **docs(PrivilegeBody, _EXAMPLE))
def grant(body: Annotated[PrivilegeBody, body_of(PrivilegeBody)], session: DbSession) -> Response:
    """Allow a party's jobs roles, commands and components here."""
    permission.grant(session, body.src_party_id, body.src_role, body.wanted)
    return answer()


@router.post("/delete", dependencies=[can_administer], include_in_schema=False)
@router.post("/delete/privilege", dependencies=[can_administer], **docs(PrivilegeBody, _EXAMPLE))
def delete(body: Annotated[PrivilegeBody, body_of(PrivilegeBody)], session: DbSession) -> Response:
    """Take privileges back; jobs that run already lose them at their next component."""
    permission.revoke(session, body.src_party_id, body.src_role, body.wanted)
    return answer()


@router.post("/query", dependencies=[can_read], include_in_schema=False)
@router.post("/query/privilege", dependencies=[can_read], **docs(SourceBody, _SOURCE, _ANSWER))
def query(body: Annotated[SourceBody, body_of(SourceBody)], session: DbSession) -> Response:
    """What a party's jobs may do here."""
    who = (body.src_party_id, body.src_role)
    found = {f"privilege_{kind}": permission.granted(session, *who, kind) for kind in KINDS}
    return answer({"src_party_id": body.src_party_id, "role": body.src_role, **found})
