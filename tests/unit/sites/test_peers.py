"""The table of peers: rows and connections together, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from airflow.models.connection import Connection
from sqlalchemy import select

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.federation.admin import Health
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import PeerTable
from fate_flow.sites import peers
from fate_flow.sites.invitation import InvitationOwnError
from fate_flow.sites.peers import PeerExistsError, PeerInUseError, UnknownPeerError
from fate_flow.sites.policy import Policy
from tests.support.invitations import OtherSite
from tests.support.site import Site, add_job

OWN = {"own_site_id": "00" * 8, "own_parties": (Party("guest", 9999),)}


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[PeerTable]:
    """What the gateway was given."""
    told: list[PeerTable] = []
    monkeypatch.setattr(peers, "_push", lambda table, _: told.append(table))
    return told


@pytest.fixture
def site(
    tmp_path: Path,
    airflow_template: Path,
    monkeypatch: pytest.MonkeyPatch,
    pushed: list[PeerTable],
) -> Iterator[Site]:
    made = Site.make(tmp_path / "site", airflow_template, monkeypatch)
    yield made
    made.close()


def _add(site: Site, other: OtherSite, **options: Any) -> peers.PeerRecord:
    with site.session() as session:
        return peers.add(session, other.invitation(), **{**OWN, **options})


BANK = OtherSite("bank-b", (Party("host", 10000),))
HUB = OtherSite("hub", (), address="hub.example:9360")


def test_a_party_stands_for_its_site(site: Site, pushed: list[PeerTable]) -> None:
    _add(site, BANK)
    _add(site, OtherSite("court", (Party("arbiter", 10000), Party("arbiter", 10)), address="c:1"))
    with site.session() as session:
        for text in ("bank-b", "host:10000", "host_10000"):
            assert peers.name_of(session, text) == "bank-b"
        assert peers.name_of(session, "10") == "court"
        with pytest.raises(UnknownPeerError, match="of id 10000 are at bank-b and court"):
            peers.name_of(session, "10000")
        with pytest.raises(UnknownPeerError, match="no peer 'guest:10000'; known: bank-b, court"):
            peers.name_of(session, "guest:10000")


def test_a_peer_is_a_row_and_a_connection(site: Site, pushed: list[PeerTable]) -> None:
    _add(site, BANK, by="ada", policy=Policy(approval="ask"))
    with site.session() as session:
        (found,) = peers.peer_table(session)
        assert (found.name, found.parties, found.address) == (
            "bank-b",
            BANK.parties,
            "bank.example:9360",
        )
        connection = session.scalar(select(Connection))
        assert connection is not None
        assert connection.conn_id == "fate_flow_peer_bank_b"
        assert (connection.conn_type, connection.host, connection.port) == (
            "fate_flow_peer",
            "bank.example",
            9360,
        )
        entry = peers.record(session, "bank-b")
        assert (entry.added_by, entry.confirmed_at) == ("ada", None)
        assert peers.policy_of(session, "bank-b").asks
        assert peers.peer_table(session).of_party(Party("host", 10000)) == found
    assert [len(table) for table in pushed] == [1]
    assert pushed[0].of_site(BANK.site_id) == found


def test_the_gateway_hears_of_nothing_that_did_not_happen(
    site: Site, pushed: list[PeerTable]
) -> None:
    with site.session() as session:
        peers.add(session, BANK.invitation(), **OWN)
        session.rollback()
    assert pushed == []
    with site.session() as session:
        assert list(peers.peer_table(session)) == []
        assert session.scalar(select(Connection)) is None


def test_the_address_is_that_of_the_connection(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _add(site, BANK)
    with site.session() as session:
        connection = session.scalar(select(Connection))
        assert connection is not None
        connection.host = "moved.example"  # as the Airflow UI does it
    with site.session() as session:
        assert peers.record(session, "bank-b").peer.address == "moved.example:9360"
        uri = "fate-flow-peer://env.example:9361"
        monkeypatch.setenv("AIRFLOW_CONN_FATE_FLOW_PEER_BANK_B", uri)
        assert peers.record(session, "bank-b").peer.address == "env.example:9361"


def test_routes_and_policies_change(site: Site, pushed: list[PeerTable]) -> None:
    _add(site, HUB)
    _add(site, BANK)
    with site.session() as session:
        peers.change_route(session, "bank-b", {"via": "hub", "address": ""})
        peers.change_route(session, "hub", {"we_dial": True, "via": None})
        peers.change_policy(session, "bank-b", {"tables": ["demo/*"]})
    with site.session() as session:
        bank, hub = peers.peer_table(session)
        assert (bank.via, bank.address, hub.we_dial) == ("hub", "", True)
        assert peers.policy_of(session, "bank-b").tables == ("demo/*",)
        with pytest.raises(ConfigurationError, match="is no peer that is reached directly"):
            peers.change_route(session, "bank-b", {"via": "nobody"})
    assert pushed[-1].digest == PeerTable([bank, hub]).digest


def test_removing(site: Site, pushed: list[PeerTable]) -> None:
    _add(site, HUB)
    _add(site, BANK, route={"via": "hub"})
    with site.session() as session, pytest.raises(PeerInUseError, match="bank-b is reached via"):
        peers.remove(session, "hub")
    with site.session() as session:
        add_job(session, status="running")
        with pytest.raises(PeerInUseError, match="have not ended"):
            peers.remove(session, "bank-b")
        session.rollback()
    with site.session() as session:
        peers.remove(session, "bank-b")
    with site.session() as session:
        peers.remove(session, "hub")
        assert session.scalars(select(Connection)).all() == []
    assert len(pushed[-1]) == 0


def test_who_is_taken_is_said(site: Site) -> None:
    _add(site, BANK)

    def refused(other: OtherSite, words: str, kind: type[FateFlowError] = PeerExistsError) -> None:
        with pytest.raises(kind, match=words):
            _add(site, other)

    refused(BANK, "is the peer bank-b already")
    refused(OtherSite("bank-b", (Party("host", 1),)), "another site is called bank-b")
    refused(OtherSite("bank-c", BANK.parties), "host 10000 is at the peer bank-b already")
    refused(OtherSite("bank-c", (Party("guest", 9999),)), "guest 9999 is a party of this site")
    with pytest.raises(InvitationOwnError, match="of this site itself"):
        _add(site, HUB, own_site_id=HUB.site_id)


def test_a_newer_invitation_replaces_what_it_says(site: Site) -> None:
    _add(site, BANK)
    newer = replace(BANK.invitation(), parties=(Party("host", 10001),), address="new.example:1")
    with site.session() as session:
        peers.confirm(session, "bank-b")
        peers.renew(session, newer, own_site_id="00" * 8)
    with site.session() as session:
        entry = peers.record(session, "bank-b")
        assert (entry.peer.parties, entry.peer.address) == (newer.parties, "new.example:1")
        assert entry.confirmed_at is None
        with pytest.raises(UnknownPeerError):
            peers.renew(session, HUB.invitation(), own_site_id="00" * 8)


@pytest.mark.parametrize("name", ["nobody", "", "x" * 300, "' or 1=1"])
def test_unknown_peers(site: Site, name: str) -> None:
    with site.session() as session, pytest.raises(UnknownPeerError, match="there is no peer"):
        peers.record(session, name)


class _Gateway:
    """Has the list that it was given last."""

    def __init__(self) -> None:
        self.table = PeerTable()
        self.times = 0

    def of(self, *_: Any) -> _Gateway:
        return self

    def __enter__(self) -> _Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def health(self) -> Health:
        return Health("i", "v", 1.0, self.table.digest)

    def set_peers(self, table: PeerTable) -> str:
        self.table = table
        self.times += 1
        return table.digest


def test_a_gateway_with_another_list_is_given_ours(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = _Gateway()
    monkeypatch.setattr(peers, "GatewayAdmin", gateway)
    _add(site, BANK)
    with site.session() as session:
        peers.push_if_other(session)
        assert gateway.times == 0, "a standalone site has nothing to say"
        site.settings.identity_dir.mkdir()
        peers.push_if_other(session)
        peers.push_if_other(session)
        assert (gateway.times, len(gateway.table)) == (1, 1)
        connection = session.scalar(select(Connection))
        assert connection is not None
        connection.port = 1
        peers.push_if_other(session)
    assert gateway.table.digest != PeerTable().digest
    assert [peer.address for peer in gateway.table] == ["bank.example:1"]


def test_a_gateway_that_is_away_is_asked_again_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    SiteIdentity.create(site.settings)
    monkeypatch.setitem(cast("dict[str, Any]", site.settings.values), "GRPC_PORT", 1)
    with site.session() as session:
        peers.push_if_other(session)
