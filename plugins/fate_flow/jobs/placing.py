"""Where the parties of a job are: here, or at other sites."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from fate_flow.entities import Party, Placement, Plan
from fate_flow.errors import InvalidInputError, Problem
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.sites.peers import peer_table

if TYPE_CHECKING:
    from fate_flow.settings import Settings

LOCAL_ROLE = "local"


def hosted_here(settings: Settings, party: Party) -> bool:
    """A site that names no parties hosts all; ``local 0`` is everywhere."""
    return not settings.PARTIES or party.role == LOCAL_ROLE or party in hosted(settings)


def hosted(settings: Settings) -> frozenset[Party]:
    """Parties that the site names."""
    return frozenset(Party.parse(str(text)) for text in settings.PARTIES)


def place(session: Session, settings: Settings, plan: Plan) -> Placement | None:
    """Placement of a job that is submitted here; None: all its parties are here.

    Raises:
        InvalidInputError: a party that is nowhere, or an initiator that is elsewhere.
    """
    elsewhere = [party for party in plan.parties if not hosted_here(settings, party)]
    if not elsewhere:
        return None
    table = peer_table(session)
    problems = _unknown(settings, table, elsewhere)
    if plan.initiator in elsewhere:
        peer = table.of_party(plan.initiator)
        where = f"at the site {peer.name}" if peer is not None else "at no site known here"
        problems.append(
            Problem(
                "job_runtime_conf.initiator",
                f"{plan.initiator} is {where}",
                ", ".join(sorted(map(str, hosted(settings)))),
                "a job is submitted at the site of its initiator",
            )
        )
    if problems:
        raise InvalidInputError(problems)
    return _placement(settings, table, plan, elsewhere, ticket="")


def place_at_peer(
    session: Session, settings: Settings, plan: Plan, home: Peer, ticket: str
) -> Placement:
    """Placement of a job that another site has submitted, as seen here.

    Raises:
        InvalidInputError: no party is here, a party is nowhere, or the initiator is not the
            sender's.
    """
    elsewhere = [party for party in plan.parties if not hosted_here(settings, party)]
    table = peer_table(session)
    problems = _unknown(settings, table, elsewhere)
    if plan.initiator not in home.parties:
        problems.append(
            Problem(
                "job_runtime_conf.initiator",
                f"{plan.initiator} is not a party of the site that sent the job",
                ", ".join(map(str, home.parties)) or "none",
            )
        )
    if len(elsewhere) == len(plan.parties):
        problems.append(Problem("job_runtime_conf.role", "none of its parties is at this site"))
    if problems:
        raise InvalidInputError(problems)
    return _placement(settings, table, plan, elsewhere, ticket=ticket)


def _placement(
    settings: Settings, table: PeerTable, plan: Plan, elsewhere: Iterable[Party], ticket: str
) -> Placement:
    identity = SiteIdentity.load(settings)
    away = set(elsewhere)
    keys = dict.fromkeys(plan.parties, identity.seal_public)
    sites: dict[str, list[Party]] = {}
    for party in plan.parties:
        peer = table.of_party(party) if party in away else None
        if peer is not None:
            keys[party] = peer.seal_public
            sites.setdefault(peer.name, []).append(party)
    return Placement(
        local=frozenset(set(plan.parties) - away),
        home=plan.initiator,
        home_is_local=plan.initiator not in away,
        ticket=ticket,
        seal_keys=keys,
        sites={name: tuple(parties) for name, parties in sites.items()},
    )


def _unknown(settings: Settings, table: PeerTable, parties: Iterable[Party]) -> list[Problem]:
    here = ", ".join(sorted(map(str, hosted(settings))))
    known = ", ".join(sorted(str(party) for peer in table for party in peer.parties)) or "none"
    return [
        Problem(
            f"job_runtime_conf.role.{party.role}",
            f"{party} is not hosted at this site, nor at one that it knows",
            f"here: {here}; at other sites: {known}",
            "fate_flow peer add FILE takes the invitation of the site that hosts it",
        )
        for party in parties
        if table.of_party(party) is None
    ]
