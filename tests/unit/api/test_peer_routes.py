"""``/peer``: what is asked of an administrator, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fate_flow.entities import Party
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.reachability import Finding
from fate_flow.federation.tokens import issue_site
from fate_flow.sites import calls, invitation, own, peers
from tests.support.invitations import OtherSite
from tests.support.site import Site
from tests.unit.api.test_job_routes import post

BANK = OtherSite("bank-b", (Party("host", 10000),))


@pytest.fixture
def site(tmp_path: Path, airflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site.make(tmp_path / "site", airflow_template, monkeypatch, PARTIES=["guest:9999"])
    SiteIdentity.create(made.settings, "bank-a")
    monkeypatch.setattr(peers, "_push", lambda *_: "")  # no gateway runs here
    yield made
    made.close()


def _body(other: OtherSite = BANK, **more: Any) -> dict[str, Any]:
    text = other.text()
    shown = invitation.read(text).short_fingerprint
    return {"invitation": json.loads(text), "fingerprint": shown, **more}


def test_a_life_of_a_peer(client: TestClient) -> None:
    added = post(client, "/peer/add", _body())["data"]
    assert added["parties"] == ["host:10000"]
    assert added["policy"]["approval"] == "auto"
    assert post(client, "/peer/list", {})["data"] == [added]
    moved = post(client, "/peer/update", {"name": "bank-b", "address": "b.example:1"})["data"]
    assert moved["address"] == "b.example:1"
    rules = {"tables": ["shared/*"], "approval": "ask"}
    policy = post(client, "/peer/policy", {"name": "bank-b", **rules})["data"]
    assert policy == {"roles": ["guest", "host", "arbiter"], "components": ["*"], **rules}
    shown = post(client, "/peer/show", {"name": "bank-b"})["data"]
    assert (shown["policy"], shown["address"]) == (policy, "b.example:1")
    assert shown["fingerprint"] == invitation.read(BANK.text()).fingerprint
    assert post(client, "/peer/remove", {"name": "bank-b"})["retcode"] == 0
    assert post(client, "/peer/list", {}) == {"retcode": 0, "retmsg": "success"}


def test_options_of_adding(client: TestClient) -> None:
    hub = OtherSite("hub", ())
    body = _body(hub, may_route=False, we_dial=True)
    assert post(client, "/peer/add", body)["data"]["we_dial"] is True
    more = {"name": "b", "via": "hub", "policy": {"approval": "ask", "roles": ["host"]}}
    added = post(client, "/peer/add", _body(**more))["data"]
    assert (added["name"], added["via"], added["policy"]["roles"]) == ("b", "hub", ["host"])
    renewed = post(client, "/peer/add", _body(renew=True))["data"]
    assert (renewed["name"], renewed["via"]) == ("b", "hub")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fingerprint": "00" * 32}, "the fingerprint of bank-b is"),
        ({"fingerprint": "1234"}, "at least 32 hexadecimal digits"),
        ({"invitation": {}}, "no invitation"),
        ({"invitation": "text"}, "invitation: found 'text'; allowed: an object"),
        ({"via": "nobody"}, "which is no peer that is reached directly"),
        ({"address": "x"}, "allowed: host:port"),
        ({"name": "Bank B"}, "allowed: 1 to 40"),
        ({"policy": {"approval": "maybe"}}, "approval: found 'maybe'"),
        ({"we_dial": "perhaps"}, "we_dial: found 'perhaps'; allowed: true or false"),
        ({"renew": True}, "no peer is the site bank-b"),
    ],
)
def test_what_is_refused_and_why(client: TestClient, change: dict[str, Any], words: str) -> None:
    answer = post(client, "/peer/add", {**_body(), **change})
    assert answer["retcode"] != 0
    assert words in answer["retmsg"]
    assert "data" not in post(client, "/peer/list", {})


def test_own_expired_and_taken(client: TestClient, site: Site) -> None:
    text = own.invite(site.settings)
    mine = {"invitation": json.loads(text), "fingerprint": invitation.read(text).fingerprint}
    assert "of this site itself" in post(client, "/peer/add", mine)["retmsg"]
    old = json.loads(BANK.text(days=-1))
    answer = post(client, "/peer/add", {**_body(), "invitation": old})
    assert "was valid until" in answer["retmsg"]
    assert "peer invite" in answer["retmsg"]
    post(client, "/peer/add", _body())
    again = post(client, "/peer/add", _body(OtherSite("bank-c", BANK.parties)))
    assert "host 10000 is at the peer bank-b already" in again["retmsg"]


def test_a_standalone_site_has_no_peers(client: TestClient, site: Site) -> None:
    for file in site.settings.identity_dir.iterdir():
        file.unlink()
    site.settings.identity_dir.rmdir()
    answer = post(client, "/peer/add", _body())
    assert "has no identity" in answer["retmsg"]
    assert "fate_flow init --party" in answer["retmsg"]


@pytest.mark.parametrize("action", ["show", "update", "remove", "policy"])
def test_unknown_peers(client: TestClient, action: str) -> None:
    answer = post(client, f"/peer/{action}", {"name": "nobody"})
    assert answer["retcode"] == 101
    assert "there is no peer 'nobody'; known: none" in answer["retmsg"]
    assert (
        "the following arguments are required: name"
        in post(client, f"/peer/{action}", {})["retmsg"]
    )


def test_a_check_of_both_directions(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateways are replaced: this is about what is made of their answers."""
    post(client, "/peer/add", _body())
    gateway = _Gateway()
    monkeypatch.setattr("fate_flow.sites.checks.GatewayAdmin", gateway)
    report = post(client, "/peer/check", {"name": "host:10000", "bytes": 10})["data"]
    assert report["ok"] is True
    assert [step["step"] for step in report["steps"]] == ["tcp", "back: tcp"]
    assert post(client, "/peer/show", {"name": "10000"})["data"]["confirmed_at"]
    gateway.back = {"ok": False, "steps": [{"step": "tcp\x1b[2J", "ok": "no", "text": "x"}]}
    report = post(client, "/peer/check", {"name": "bank-b"})["data"]
    assert report["ok"] is False
    assert report["steps"][1]["step"] == "back: tcp?[2J"
    gateway.there = [Finding("tcp", True, "fine"), Finding("clock", False, "late", "by NTP")]
    report = post(client, "/peer/check", {"name": "bank-b"})["data"]
    assert report["ok"] is False
    assert [step["step"] for step in report["steps"]] == ["tcp", "clock", "back: tcp?[2J"]
    gateway.there = [Finding("tcp", False, "refused", "start it")]
    report = post(client, "/peer/check", {"name": "bank-b"})["data"]
    assert report == {"ok": False, "steps": [asdict(gateway.there[0])]}
    assert "there is no peer" in post(client, "/peer/check", {"name": "other"})["retmsg"]


def _message(client: TestClient, site: Site, message: Any, peer: str = "bank-b") -> Any:
    headers = {"Authorization": f"Bearer {issue_site(site.settings.secret())}"}
    if peer:
        headers["X-Fate-Flow-Peer"] = peer
    return client.post("/internal/peer", json=message, headers=headers).json()


def test_messages_of_other_sites_come_through_the_gateway_only(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(calls._HANDLERS, "echo", lambda *call: [*call[2:]])
    message = {"method": "echo", "body": {"a": 1}, "protocol": [1, 0]}
    found = _message(client, site, message)
    assert found == {"retcode": 0, "data": ["bank-b", {"a": 1}]}
    assert "which peer" in _message(client, site, message, peer="")["retmsg"]
    unknown = _message(client, site, {**message, "method": "job.dance"})
    assert "does not know the message 'job.dance'" in unknown["retmsg"]
    assert "method and an object" in _message(client, site, {"method": "echo"})["retmsg"]
    for token in ("", "Bearer ", "Bearer x", f"Bearer {issue_site(b'another secret')}"):
        headers = {"Authorization": token, "X-Fate-Flow-Peer": "bank-b"}
        answer = client.post("/internal/peer", json=message, headers=headers).json()
        assert answer["retcode"] == 100
        assert "data" not in answer


def test_a_peer_may_ask_for_a_check(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fate_flow.sites.checks.GatewayAdmin", _Gateway())
    found = _message(client, site, {"method": "peer.check", "body": {}})
    assert found["data"] == {"ok": True, "steps": [asdict(Finding("tcp", True, "fine"))]}


class _Gateway:
    there = [Finding("tcp", True, "fine")]
    back: Any = {"ok": True, "steps": [asdict(there[0])]}

    def of(self, *_: Any, **__: Any) -> _Gateway:
        return self

    def __enter__(self) -> _Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set_peers(self, table: Any) -> str:
        return str(table.digest)

    def check_peer(self, *_: Any) -> list[Finding]:
        return self.there

    def call_peer(self, *_: Any) -> Any:
        return self.back
