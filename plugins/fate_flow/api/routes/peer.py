"""``/peer``: the other sites that this one trusts, and what their jobs may do here."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BeforeValidator, WithJsonSchema
from starlette.responses import Response

from fate_flow.api.body import Body, Flag, Integer, Name, Object, Text, body_of
from fate_flow.api.dependencies import DbSession, SiteSettings
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_administer, user_name
from fate_flow.federation.identity import fingerprint_of
from fate_flow.sites import checks, invitation, own, peers
from fate_flow.sites.peers import PeerRecord
from fate_flow.sites.policy import Policy

router = APIRouter(prefix="/peer", tags=["peer"], dependencies=[can_administer])


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts")
    return value


Texts = Annotated[
    list[str],
    BeforeValidator(_texts),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]


class RouteBody(Body):
    """How a site is reached: called, through another peer, or because one side keeps dialling."""

    address: Text | None = None
    via: Text | None = None
    dials_in: Flag | None = None
    we_dial: Flag | None = None
    may_route: Flag | None = None

    @property
    def route(self) -> dict[str, Any]:
        values = {key: getattr(self, key) for key in peers.ROUTE}
        if values["address"]:
            values["address"] = invitation.check_address(values["address"])
        return values


class AddBody(RouteBody):
    """An invitation, and the fingerprint that the other administrator has confirmed."""

    invitation: Object
    fingerprint: Text
    name: Text = ""
    renew: Flag = False
    policy: Object | None = None


class PeerBody(Body):
    """A peer by its name here, or by a party of it (``host:10000``, ``10000``)."""

    name: Name


class UpdateBody(RouteBody, PeerBody):
    """A peer, and what is to be different about the way to it."""


class PolicyBody(PeerBody):
    """A peer, and rules for its jobs; absent ones stay as they are."""

    roles: Texts | None = None
    components: Texts | None = None
    tables: Texts | None = None
    approval: Text | None = None


class CheckBody(PeerBody):
    """A peer, and how many bytes to measure the connection with."""

    bytes: Integer = checks.DEFAULT_BYTES


_PEER = {
    "name": "bank-b",
    "site_id": "0f3c1a5b7d9e2468",
    "parties": ["host:10000"],
    "address": "bank-b.example:9360",
    "via": "",
    "dials_in": False,
    "we_dial": False,
    "may_route": False,
    "fingerprint": "3F:2A:91:…",
    "policy": Policy().to_dict(),
}


def _shown(entry: PeerRecord) -> dict[str, Any]:
    peer = entry.peer
    return {
        "name": peer.name,
        "site_id": peer.site_id,
        "parties": [f"{party.role}:{party.party_id}" for party in peer.parties],
        "address": peer.address,
        "via": peer.via,
        "dials_in": peer.dials_in,
        "we_dial": peer.we_dial,
        "may_route": peer.may_route,
        "fingerprint": fingerprint_of(peer.ca_pem),
        "connection": entry.conn_id,
        "policy": entry.policy.to_dict(),
        "added_by": entry.added_by,
        "added_at": entry.added_at,
        "confirmed_at": entry.confirmed_at,
    }


@router.post(
    "/add",
    **docs(
        AddBody,
        {
            "invitation": {"kind": "fate-flow-invitation", "version": 1, "signature": "…"},
            "fingerprint": "3f2a 91c4 7b10 55de 0f3c 1a5b 7d9e 2468",
            "name": "bank-b",
        },
        _PEER,
    ),
)
def add(
    body: Annotated[AddBody, body_of(AddBody)],
    request: Request,
    session: DbSession,
    settings: SiteSettings,
) -> Response:
    """Trust the site that wrote an invitation, or take its newer invitation (``renew``)."""
    invited = invitation.read(json.dumps(body.invitation))
    invited.confirm(body.fingerprint)
    site_id, by = own.identity_of(settings).site_id, user_name(request)
    if body.renew:
        found = peers.renew(session, invited, own_site_id=site_id, by=by)
    else:
        found = peers.add(
            session,
            invited,
            own_site_id=site_id,
            own_parties=own.parties_of(settings),
            name=body.name,
            route=body.route,
            policy=Policy().changed(body.policy or {}),
            by=by,
        )
    return answer(_shown(found))


@router.post("/list", **docs(Body, {}, [_PEER], required=False))
def list_peers(session: DbSession) -> Response:
    """All peers, with their routes and policies."""
    return answer([_shown(entry) for entry in peers.records(session)])


@router.post("/show", **docs(PeerBody, {"name": "bank-b"}, _PEER))
def show(body: Annotated[PeerBody, body_of(PeerBody)], session: DbSession) -> Response:
    """One peer."""
    return answer(_shown(peers.record(session, peers.name_of(session, body.name))))


@router.post(
    "/update", **docs(UpdateBody, {"name": "bank-b", "address": "new.example:9360"}, _PEER)
)
def update(body: Annotated[UpdateBody, body_of(UpdateBody)], session: DbSession) -> Response:
    """Reach a peer in another way."""
    return answer(
        _shown(peers.change_route(session, peers.name_of(session, body.name), body.route))
    )


@router.post("/remove", **docs(PeerBody, {"name": "bank-b"}))
def remove(
    body: Annotated[PeerBody, body_of(PeerBody)], request: Request, session: DbSession
) -> Response:
    """Trust a site no longer; refused while it takes part in jobs."""
    peers.remove(session, peers.name_of(session, body.name), by=user_name(request))
    return answer()


@router.post(
    "/policy",
    **docs(
        PolicyBody,
        {"name": "bank-b", "tables": ["shared/*"], "approval": "ask"},
        {**Policy(tables=("shared/*",), approval="ask").to_dict()},
    ),
)
def policy(body: Annotated[PolicyBody, body_of(PolicyBody)], session: DbSession) -> Response:
    """What a peer's jobs may do here; sets the rules that are given."""
    wanted = {key: getattr(body, key) for key in ("roles", "components", "tables", "approval")}
    return answer(peers.change_policy(session, peers.name_of(session, body.name), wanted).to_dict())


@router.post(
    "/check",
    **docs(
        CheckBody,
        {"name": "bank-b"},
        {"ok": True, "steps": [{"step": "tcp", "ok": True, "text": "…", "remedy": ""}]},
    ),
)
def check(
    body: Annotated[CheckBody, body_of(CheckBody)], session: DbSession, settings: SiteSettings
) -> Response:
    """Try the connection to a peer, step by step, in both directions."""
    return answer(
        checks.check(session, settings, peers.name_of(session, body.name), size=body.bytes)
    )
