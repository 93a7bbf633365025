"""The list of other sites: what it finds, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError
from fate_flow.federation.peers import Peer, PeerTable


def peer(name: str, number: int, *parties: str, **more: Any) -> Peer:
    return Peer(
        name,
        f"{number:016x}",
        tuple(map(Party.parse, parties)),
        ca_pem="PEM",
        seal_public=f"{number:064x}",
        **more,
    )


def test_a_table_survives_its_text_and_has_one_digest() -> None:
    one = peer("bank-b", 1, "host:10000", address="b.example:9360")
    two = peer("hub", 2, may_route=True)
    table = PeerTable([two, one])
    again = PeerTable.from_json(table.to_json())
    assert list(again) == [one, two]
    assert again.digest == PeerTable([one, two]).digest
    assert again.of_party(Party("host", 10000)) == one
    assert again.of_site(two.site_id) == two
    assert again.of_party(Party("guest", 1)) is None


def test_a_party_has_one_site() -> None:
    with pytest.raises(ConfigurationError, match="host 10000 is at a and at b"):
        PeerTable([peer("a", 1, "host:10000"), peer("b", 2, "host:10000")])


def test_a_way_leads_over_a_known_peer() -> None:
    with pytest.raises(ConfigurationError, match="via hub"):
        PeerTable([peer("a", 1, via="hub")])
    PeerTable([peer("a", 1, via="hub"), peer("hub", 2)])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "../x"}, "name"),
        ({"site_id": "zz"}, "site_id"),
        ({"seal_public": ""}, "seal_public"),
        ({"parties": ["robot:1"]}, "robot"),
        ({"via": "a"}, "via"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], text: str) -> None:
    values = {**peer("a", 1).to_dict(), **change}
    with pytest.raises(ConfigurationError, match=text):
        Peer.from_dict(values)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"name": "a"}]'])
def test_a_damaged_list_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PeerTable.from_json(text)
