"""Invitations: what they hold, and that nothing of them can be changed on the way."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError
from fate_flow.sites import invitation
from fate_flow.sites.invitation import (
    FingerprintError,
    InvitationDamagedError,
    InvitationExpiredError,
    InvitationOwnError,
)
from tests.support.invitations import OtherSite

BANK = OtherSite("bank-b", (Party("host", 10000), Party("arbiter", 10000)))
TEXT = BANK.text()


def test_it_says_who_the_site_is_and_no_secret() -> None:
    found = invitation.read(TEXT)
    assert (found.name, found.site_id, found.address) == ("bank-b", BANK.site_id, BANK.address)
    assert found.parties == BANK.parties
    assert found.expires - found.made == 14 * 86_400
    assert "PRIVATE" not in TEXT
    assert json.loads(TEXT)["parties"] == ["host:10000", "arbiter:10000"]
    assert json.loads(TEXT)["fingerprint"] == found.fingerprint
    peer = found.peer()
    assert (peer.name, peer.address, peer.dials_in) == ("bank-b", BANK.address, False)


def test_a_site_that_cannot_be_called_dials_in() -> None:
    hidden = OtherSite("hidden", (Party("guest", 1),), address="")
    assert invitation.read(hidden.text()).peer().dials_in
    assert not invitation.read(hidden.text()).peer(via="hub").dials_in


def test_the_fingerprint_is_compared_in_any_writing() -> None:
    found = invitation.read(TEXT)
    assert len(found.short_fingerprint.split()) == 8
    for text in (found.fingerprint, found.short_fingerprint, found.fingerprint.upper()):
        found.confirm(text)
    with pytest.raises(FingerprintError, match="not this one"):
        found.confirm("00" * 32)
    with pytest.raises(FingerprintError, match="at least 32"):
        found.confirm(found.short_fingerprint[:9])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("parties", ["guest:9999"]),
        ("address", "evil.example:9360"),
        ("seal_public", "cd" * 32),
        ("expires", 9_999_999_999),
        ("name", "bank-c"),
        ("fingerprint", "00"),
        ("more", 1),
        ("signature", ""),
        ("signature", "zz"),
    ],
)
def test_every_change_is_seen(key: str, value: Any) -> None:
    changed = json.dumps({**json.loads(TEXT), key: value})
    with pytest.raises(InvitationDamagedError, match="signature is wrong"):
        invitation.read(changed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ("x" * 70_000, "larger than"),
        ("[]", "no invitation"),
        ('{"kind": "other"}', "no invitation"),
        (TEXT[: len(TEXT) // 2], "not JSON"),
        (json.dumps({**json.loads(TEXT), "version": 2}), "version 2"),
        (json.dumps({**json.loads(TEXT), "parties": "all", "made": True}), "made, parties"),
        (json.dumps({**json.loads(TEXT), "parties": ["king:1"]}), "allowed roles"),
        (json.dumps({**json.loads(TEXT), "name": "../x"}), "name"),
        (json.dumps({**json.loads(TEXT), "ca_pem": "x"}), "certificate"),
        (json.dumps({**json.loads(TEXT), "address": "a b:1"}), "address"),
        (json.dumps({**json.loads(TEXT), "site_id": "00" * 8}), "site_id is not that"),
        (json.dumps({**json.loads(TEXT), "ca_pem": OtherSite("b", ()).ca_pem}), "site_id is not"),
    ],
)
def test_what_is_no_invitation_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(InvitationDamagedError, match=words) as caught:
        invitation.read(text)
    assert caught.value.remedy


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.characters(codec="ascii"))
def test_no_single_character_can_be_changed(place: int, letter: str) -> None:
    changed = TEXT[:place] + letter + TEXT[place + 1 :]
    try:
        found = invitation.read(changed)
    except InvitationDamagedError:
        return
    assert found == invitation.read(TEXT)  # white space, or the same letter


def test_expired_and_own() -> None:
    found = BANK.invitation()
    found.check("00" * 8)
    with pytest.raises(InvitationExpiredError, match=r"bank-b was valid until .* here it is 20"):
        found.check("00" * 8, now=time.time() + 15 * 86_400)
    with pytest.raises(InvitationOwnError):
        found.check(BANK.site_id)


@pytest.mark.parametrize(
    "address", ["bank.example", "bank:0", "bank:70000", "a/b:1", ":1", "b:1:2"]
)
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        invitation.check_address(address)


@pytest.mark.parametrize("address", ["bank.example:9360", "10.0.0.1:1", "[::1]:9360"])
def test_good_addresses(address: str) -> None:
    assert invitation.check_address(f" {address} ") == address
