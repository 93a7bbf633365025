"""The table of peers: rows of ours, addresses in Airflow connections, a copy at the gateway."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, SitePeer, now_ms
from fate_flow.entities import JobStatus, Party
from fate_flow.errors import FateFlowError, NotFoundError
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.operators.hooks import delete_address, peer_address, store_address
from fate_flow.sites.policy import Policy

if TYPE_CHECKING:
    from fate_flow.settings import Settings
    from fate_flow.sites.invitation import Invitation

log = logging.getLogger("fate_flow.sites")

#: What of a peer can be changed without a new invitation.
ROUTE = ("address", "via", "dials_in", "we_dial", "may_route")


class PeerExistsError(FateFlowError):
    """A name, a site or a party is at another peer already."""

    code = "peer_exists"


class PeerInUseError(FateFlowError):
    """A peer cannot go while something needs it."""

    code = "peer_in_use"


class UnknownPeerError(NotFoundError):
    """No peer has this name."""

    code = "peer_not_found"
    remedy = "fate_flow peer list shows the peers of this site"


@dataclass(frozen=True)
class PeerRecord:
    """A peer with what only this site knows of it.

    Attributes:
        peer: as the gateway has it; ``address`` is that of the connection.
        conn_id: the Airflow connection.
        policy: what its jobs may do here.
        added_by, added_at, confirmed_at: user, and milliseconds since 1970;
            ``confirmed_at`` is when both directions were last seen to work.
    """

    peer: Peer
    conn_id: str
    policy: Policy
    added_by: str
    added_at: int
    confirmed_at: int | None


def connection_id(name: str) -> str:
    """Of the Airflow connection; also good as ``AIRFLOW_CONN_…`` in an environment."""
    return f"fate_flow_peer_{name.replace('-', '_')}"


def records(session: Session) -> list[PeerRecord]:
    """All peers by name."""
    return [_record(session, row) for row in _rows(session)]


def record(session: Session, name: str) -> PeerRecord:
    """
    Raises:
        UnknownPeerError: there is none of this name.
    """
    return _record(session, _row(session, name))


def name_of(session: Session, text: str) -> str:
    """The peer that somebody means: its name, or a party of it (``host:10000``, ``10000``).

    Raises:
        UnknownPeerError: none, or more than one site has a party of this id.
    """
    rows = _rows(session)
    if any(row.name == text for row in rows):
        return text
    wanted = text.replace(":", "_")
    found = [
        row.name
        for row in rows
        if any(wanted in (party.key, str(party.party_id)) for party in _parties(row))
    ]
    if len(found) > 1:
        raise UnknownPeerError(
            f"parties of id {text:.60} are at {' and '.join(found)}",
            remedy="Give the peer's name, or role:id",
        )
    return found[0] if found else _row(session, text).name


def peer_table(session: Session) -> PeerTable:
    """What the gateway is told, and what says at which site a party is."""
    return PeerTable(entry.peer for entry in records(session))


def policy_of(session: Session, peer_name: str) -> Policy:
    """
    Raises:
        UnknownPeerError: there is none of this name.
    """
    return Policy.from_json(_row(session, peer_name).policy)


def add(
    session: Session,
    invitation: Invitation,
    *,
    own_site_id: str,
    own_parties: tuple[Party, ...],
    name: str = "",
    route: Mapping[str, Any] | None = None,
    policy: Policy | None = None,
    by: str = "",
) -> PeerRecord:
    """Trust the site of an invitation from now on; the caller has compared its fingerprint.

    Args:
        own_site_id, own_parties: of this site.
        name: what it is to be called here; empty: as it calls itself.
        route: values for some of :data:`ROUTE`.

    Raises:
        FateFlowError: expired, own, a name, site or party that is taken, a bad route.
    """
    invitation.check(own_site_id)
    peer = invitation.peer(name, **{k: v for k, v in (route or {}).items() if v is not None})
    others = list(peer_table(session))
    _refuse_taken(peer, others, own_parties)
    PeerTable([*others, peer])  # refuses a ``via`` that leads nowhere
    row = SitePeer(
        name=peer.name,
        conn_id=connection_id(peer.name),
        site_id=peer.site_id,
        parties=" ".join(party.key for party in peer.parties),
        ca_pem=peer.ca_pem,
        seal_public=peer.seal_public,
        policy=(policy or Policy()).to_json(),
        added_by=by[:250],
    )
    _write_route(session, row, peer)
    session.add(row)
    session.flush()
    log.info("peer %s added by %s, invitation %s", peer.name, by or "-", invitation.nonce)
    push_after_commit(session)
    return _record(session, row)


def renew(
    session: Session, invitation: Invitation, *, own_site_id: str, by: str = ""
) -> PeerRecord:
    """Take a newer invitation of a known site: other parties, certificates, address.

    Raises:
        FateFlowError: expired, not a peer, or a party that is taken.
    """
    invitation.check(own_site_id)
    row = session.scalar(select(SitePeer).where(SitePeer.site_id == invitation.site_id))
    if row is None:
        raise UnknownPeerError(f"no peer is the site {invitation.name} ({invitation.site_id})")
    before = _record(session, row).peer
    peer = replace(
        before,
        parties=invitation.parties,
        ca_pem=invitation.ca_pem,
        seal_public=invitation.seal_public,
        address=invitation.address or before.address,
    )
    others = [other for other in peer_table(session) if other.name != peer.name]
    _refuse_taken(peer, others, ())
    row.parties = " ".join(party.key for party in peer.parties)
    row.ca_pem, row.seal_public, row.confirmed_at = peer.ca_pem, peer.seal_public, None
    _write_route(session, row, peer)
    log.info("peer %s renewed by %s, invitation %s", peer.name, by or "-", invitation.nonce)
    push_after_commit(session)
    return _record(session, row)


def change_route(session: Session, name: str, route: Mapping[str, Any]) -> PeerRecord:
    """Reach a peer in another way; None leaves a value of :data:`ROUTE` as it is.

    Raises:
        FateFlowError: no such peer, or a route that leads nowhere.
    """
    row = _row(session, name)
    wanted = {key: value for key, value in route.items() if key in ROUTE and value is not None}
    peer = replace(_record(session, row).peer, **wanted)
    PeerTable([*(other for other in peer_table(session) if other.name != name), peer])
    _write_route(session, row, peer)
    push_after_commit(session)
    return _record(session, row)


def change_policy(session: Session, name: str, wanted: Mapping[str, Any]) -> Policy:
    """
    Raises:
        FateFlowError: no such peer, or a rule that is not allowed.
    """
    row = _row(session, name)
    policy = Policy.from_json(row.policy).changed(wanted)
    row.policy = policy.to_json()
    return policy


def remove(session: Session, name: str, *, by: str = "") -> None:
    """Trust a site no longer.

    Raises:
        PeerInUseError: open jobs, or another peer that is reached through it.
    """
    row = _row(session, name)
    through = [other.name for other in _rows(session) if other.via == name]
    if through:
        raise PeerInUseError(
            f"{', '.join(through)} is reached via {name}",
            remedy=f"Change that first: fate_flow peer update {through[0]} --via NAME",
        )
    jobs = _open_jobs(session, _parties(row))
    if jobs:
        raise PeerInUseError(
            f"{name} takes part in {len(jobs)} job(s) that have not ended: {', '.join(jobs[:3])}",
            remedy="Wait for them, or stop them: fate_flow_client -f stop_job -j JOB_ID",
        )
    delete_address(session, row.conn_id)
    session.delete(row)
    session.flush()
    log.info("peer %s removed by %s", name, by or "-")
    push_after_commit(session)


def confirm(session: Session, name: str) -> None:
    """Note that both directions were seen to work."""
    _row(session, name).confirmed_at = now_ms()


# -- the gateway's copy ----------------------------------------------------------------------


def push_peers(session: Session, settings: Settings | None = None) -> str:
    """Give the gateway the list; its digest.

    Raises:
        FateFlowError: the gateway does not answer.
    """
    return _push(peer_table(session), settings or site_settings.current())


def push_after_commit(session: Session) -> None:
    """Tell the gateway once the transaction holds; the watch loop makes up for a failure."""
    table, settings = peer_table(session), site_settings.current()

    def push(_: Session) -> None:
        try:
            _push(table, settings)
        except FateFlowError as error:
            log.warning("the gateway could not be given the list of peers yet: %s", error)

    event.listen(session, "after_commit", push, once=True)


def push_if_other(session: Session) -> None:
    """For the watch loop: a gateway that has another list gets this one."""
    settings = site_settings.current()
    if not settings.identity_dir.exists():
        return
    table = peer_table(session)
    try:
        with GatewayAdmin.of(settings) as gateway:
            if gateway.health().peers_digest != table.digest:
                gateway.set_peers(table)
    except FateFlowError as error:
        log.debug("the gateway was not asked for its peers: %s", error)


def _push(table: PeerTable, settings: Settings) -> str:
    with GatewayAdmin.of(settings) as gateway:
        return gateway.set_peers(table)


# -- rows ------------------------------------------------------------------------------------


def _rows(session: Session) -> list[SitePeer]:
    return list(session.scalars(select(SitePeer).order_by(SitePeer.name)))


def _row(session: Session, name: str) -> SitePeer:
    row = session.get(SitePeer, name) if len(name) <= 40 else None
    if row is None:
        known = ", ".join(other.name for other in _rows(session)) or "none"
        raise UnknownPeerError(f"there is no peer {name!r:.60}; known: {known:.200}")
    return row


def _record(session: Session, row: SitePeer) -> PeerRecord:
    peer = Peer(
        name=row.name,
        site_id=row.site_id,
        parties=_parties(row),
        ca_pem=row.ca_pem,
        seal_public=row.seal_public,
        address=peer_address(session, row.conn_id),
        via=row.via,
        dials_in=bool(row.dials_in),
        we_dial=bool(row.we_dial),
        may_route=bool(row.may_route),
    )
    policy = Policy.from_json(row.policy)
    return PeerRecord(peer, row.conn_id, policy, row.added_by, row.added_at, row.confirmed_at)


def _parties(row: SitePeer) -> tuple[Party, ...]:
    return tuple(Party.parse(key) for key in row.parties.split())


def _write_route(session: Session, row: SitePeer, peer: Peer) -> None:
    row.via = peer.via
    row.dials_in, row.we_dial = int(peer.dials_in), int(peer.we_dial)
    row.may_route = int(peer.may_route)
    store_address(session, row.conn_id, peer.address, f"Site {peer.name} ({peer.site_id})")


def _refuse_taken(peer: Peer, others: list[Peer], own: tuple[Party, ...]) -> None:
    mine = sorted(set(peer.parties) & set(own))
    if mine:
        raise PeerExistsError(
            f"{mine[0]} is a party of this site and of {peer.name}",
            remedy="A party has one site: change PARTIES of one of the two, and invite anew",
        )
    for other in others:
        if other.site_id == peer.site_id:
            raise PeerExistsError(
                f"the site {peer.site_id} is the peer {other.name} already",
                remedy="fate_flow peer add --renew FILE takes what is new in the invitation",
            )
        if other.name == peer.name:
            raise PeerExistsError(
                f"another site is called {peer.name} here", remedy="Give it a name: --name NAME"
            )
        shared = sorted(set(peer.parties) & set(other.parties))
        if shared:
            raise PeerExistsError(
                f"{shared[0]} is at the peer {other.name} already",
                remedy=f"If it has moved: fate_flow peer remove {other.name}",
            )


def _open_jobs(session: Session, parties: tuple[Party, ...]) -> list[str]:
    found: set[str] = set()
    states = (JobStatus.WAITING.value, JobStatus.RUNNING.value)
    for party in parties:
        found.update(
            session.scalars(
                select(Job.f_job_id).where(
                    Job.f_role == party.role,
                    Job.f_party_id == str(party.party_id),
                    Job.f_status.in_(states),
                )
            )
        )
    return sorted(found)
