from __future__ import annotations

import pytest

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.federation.routing import Local, RouteError, Router

GUEST, HOST = Party("guest", 9999), Party("host", 10000)


def test_standalone_hosts_all() -> None:
    router = Router.from_setting([])
    assert router.resolve(HOST) == Local()
    router.require_known([GUEST, HOST])


def test_a_listed_party_is_here_and_no_other() -> None:
    router = Router.from_setting(["guest:9999"])
    assert router.resolve(GUEST) == Local()
    with pytest.raises(RouteError, match="party host 10000 is not hosted here and at no peer"):
        router.require_known([GUEST, HOST])


def _peer(*parties: Party) -> Peer:
    return Peer("bank", "0" * 16, parties, "PEM", "0" * 64, "bank:9360")


def test_a_peer_is_found_by_its_parties() -> None:
    bank = _peer(HOST)
    router = Router.from_setting([], PeerTable([bank]))
    assert router.resolve(HOST) == bank
    assert router.resolve(GUEST) == Local()
    router.require_known([GUEST, HOST])


def test_a_party_has_one_site() -> None:
    with pytest.raises(ConfigurationError, match=r"guest 9999 is hosted here .* peer bank"):
        Router.from_setting(["guest:9999"], PeerTable([_peer(GUEST)]))


@pytest.mark.parametrize("entry", ["guest", "boss:1", "guest:x", 9999, None, ""])
def test_entries_that_are_not_parties(entry: object) -> None:
    with pytest.raises(ConfigurationError, match="PARTIES"):
        Router.from_setting([entry])
