from __future__ import annotations

import pytest

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError, UnsupportedError
from fate_flow.federation.routing import Local, PeerSite, RouteError, Router

GUEST, HOST = Party("guest", 9999), Party("host", 10000)


def test_standalone_hosts_all() -> None:
    router = Router.from_setting([])
    assert router.resolve(HOST) == Local()
    router.require_local([GUEST, HOST])


def test_a_listed_party_is_here_and_no_other() -> None:
    router = Router.from_setting(["guest:9999"])
    assert router.resolve(GUEST) == Local()
    with pytest.raises(RouteError, match="party host 10000 is not hosted here and no peer"):
        router.require_local([GUEST, HOST])


def test_a_peer_is_known_but_not_reached_by_this_version() -> None:
    router = Router(frozenset({GUEST}), {HOST: PeerSite("bank", "bank:9360")})
    assert router.resolve(HOST) == PeerSite("bank", "bank:9360")
    with pytest.raises(UnsupportedError, match=r"host 10000 is at site bank \(bank:9360\)"):
        router.require_local([HOST])


@pytest.mark.parametrize("entry", ["guest", "boss:1", "guest:x", 9999, None, ""])
def test_entries_that_are_not_parties(entry: object) -> None:
    with pytest.raises(ConfigurationError, match="PARTIES"):
        Router.from_setting([entry])
