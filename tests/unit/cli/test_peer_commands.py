"""``fate_flow peer``, ``job`` and ``demo-sites``: what they read, ask, send and print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import demo_sites, job_commands, peer_commands, site
from fate_flow.cli import main as cli
from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError
from fate_flow.settings import Settings, load
from fate_flow.sites import invitation, own
from tests.support.invitations import OtherSite

BANK = OtherSite("bank-b", (Party("host", 10000),))
SHOWN: dict[str, Any] = {
    "name": "bank-b",
    "site_id": BANK.site_id,
    "parties": ["host:10000"],
    "address": "bank.example:9360",
    "via": "",
    "dials_in": False,
    "we_dial": False,
    "may_route": False,
    "fingerprint": "AB" * 32,
    "connection": "fate_flow_peer_bank_b",
    "policy": {"roles": ["host"], "components": ["*"], "tables": [], "approval": "ask"},
    "added_by": "ada",
    "added_at": 1_700_000_000_000,
    "confirmed_at": None,
}


class _Api:
    """Stands in for the site's server and notes what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    def __call__(self, _: Settings, path: str, body: Mapping[str, Any] | None = None) -> Any:
        self.sent.append((path, dict(body or {})))
        return self.answers.get(path, SHOWN)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> _Api:
    made = _Api()
    monkeypatch.setattr(peer_commands, "call", made)
    monkeypatch.setattr(job_commands, "call", made)
    return made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FATE_FLOW_HOME", raising=False)
    options = {"PARTIES": ["guest:9999"], "GATEWAY_ADDRESS": "a.example:9360"}
    site.initialise(tmp_path / "site", options, name="bank-a")
    return tmp_path / "site"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bank-b.json"
    path.write_text(BANK.text())
    return path


def _run(home: Path, *arguments: str) -> int:
    return cli.main([*arguments, "--home", str(home)])


def test_an_invitation_is_all_of_standard_output(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(home, "peer", "invite") == 0
    printed = capsys.readouterr()
    found = invitation.read(printed.out)
    assert (found.name, found.address, found.parties) == (
        "bank-a",
        "a.example:9360",
        (Party("guest", 9999),),
    )
    assert found.fingerprint == own.identity_of(load(home)).fingerprint
    assert found.short_fingerprint in printed.err
    assert "PRIVATE" not in printed.out
    assert _run(home, "peer", "invite", "--dials-out", "--days", "1") == 0
    hidden = invitation.read(capsys.readouterr().out)
    assert (hidden.address, hidden.expires - hidden.made) == ("", 86_400)


def test_a_loopback_address_is_warned_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(home, "peer", "invite", "--address", "127.0.0.1:9360") == 0
    assert "from this machine only" in capsys.readouterr().err


def test_a_standalone_site_cannot_invite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.initialise(tmp_path / "alone", {})
    assert _run(tmp_path / "alone", "peer", "invite") == 1
    assert "fate_flow init --party" in capsys.readouterr().err


def test_adding_with_a_fingerprint(
    home: Path, file: Path, api: _Api, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = invitation.read(file.read_text()).short_fingerprint
    options = ["--name", "b", "--via", "hub", "--they-dial", "--approval", "ask"]
    assert _run(home, "peer", "add", str(file), "--fingerprint", fingerprint, *options) == 0
    ((path, body),) = api.sent
    assert path == "peer/add"
    assert (body["name"], body["via"], body["dials_in"], body["we_dial"]) == (
        "b",
        "hub",
        True,
        False,
    )
    assert body["policy"] == {"approval": "ask"}
    assert invitation.read(json.dumps(body["invitation"])).name == "bank-b"
    printed = capsys.readouterr().out
    assert fingerprint in printed
    assert "tables none" in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fingerprint", "00" * 32], "not this one"),
        ([], "nobody is there to compare the fingerprint"),
    ],
)
def test_nothing_is_sent_without_a_yes(
    home: Path,
    file: Path,
    api: _Api,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert _run(home, "peer", "add", str(file), *options) == 1
    assert words in capsys.readouterr().err
    assert api.sent == []


def test_a_person_may_say_yes_or_no(
    home: Path, file: Path, api: _Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert _run(home, "peer", "add", str(file)) == 1
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert _run(home, "peer", "add", str(file)) == 0
    assert len(api.sent) == 1


def test_bad_files(home: Path, file: Path, api: _Api, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(file.read_text().replace("bank.example", "evil.example"))
    assert _run(home, "peer", "add", str(file), "--yes") == 1
    assert "its signature is wrong" in capsys.readouterr().err
    file.write_text(BANK.text(days=-1))
    assert _run(home, "peer", "add", str(file), "--yes") == 1
    assert "was valid until" in capsys.readouterr().err
    file.write_text(own.invite(load(home)))
    assert _run(home, "peer", "add", str(file), "--yes") == 1
    assert "of this site itself" in capsys.readouterr().err
    file.write_bytes(b"\xff\xfe")
    assert _run(home, "peer", "add", str(file), "--yes") == 1
    assert "is not a text" in capsys.readouterr().err
    assert _run(home, "peer", "add", str(file) + ".x", "--yes") == 1
    assert "No such file" in capsys.readouterr().err
    assert api.sent == []


def test_looking_and_changing(home: Path, api: _Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers = {"peer/list": [SHOWN, {**SHOWN, "name": "c", "via": "bank-b"}]}
    assert _run(home, "peer", "list") == 0
    printed = capsys.readouterr().out.splitlines()
    assert "host:10000" in printed[1]
    assert printed[2].endswith("via bank-b")
    assert _run(home, "peer", "show", "bank-b") == 0
    assert "fate_flow_peer_bank_b (Airflow)" in capsys.readouterr().out
    assert _run(home, "peer", "update", "bank-b") == 1
    assert "nothing to change" in capsys.readouterr().err
    assert _run(home, "peer", "update", "bank-b", "--nobody-dials", "--may-route", "yes") == 0
    changed = {"name": "bank-b", "dials_in": False, "we_dial": False, "may_route": True}
    assert api.sent[-1] == ("peer/update", changed)
    api.answers["peer/policy"] = SHOWN["policy"]
    assert _run(home, "peer", "policy", "bank-b", "--tables", "a/*, b/c", "--roles", "") == 0
    assert api.sent[-1][1] == {"name": "bank-b", "tables": ["a/*", "b/c"], "roles": []}
    assert _run(home, "peer", "remove", "bank-b") == 0
    assert api.sent[-1] == ("peer/remove", {"name": "bank-b"})


@pytest.mark.parametrize("ok", [True, False])
def test_a_check_shows_each_step(
    home: Path, api: _Api, ok: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    step = {"step": "back: tcp", "ok": ok, "text": "the port", "remedy": "" if ok else "open it"}
    api.answers = {"peer/check": {"ok": ok, "steps": [step]}}
    assert _run(home, "peer", "check", "bank-b", "--megabytes", "1.5") == (0 if ok else 1)
    assert api.sent[-1][1] == {"name": "bank-b", "bytes": 1_500_000}
    printed = capsys.readouterr().out
    assert ("WRONG  back: tcp" in printed) == (not ok)
    assert ("-> open it" in printed) == (not ok)
    verdict = "works in both directions" if ok else "does not work yet"
    assert printed.endswith(f"the connection to bank-b {verdict}\n")


def test_a_wrong_clock_is_wrong_but_no_dead_connection(
    home: Path, api: _Api, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("tcp", "clock", "back: clock")
    steps = [{"step": name, "ok": name == "tcp", "text": "x", "remedy": ""} for name in names]
    api.answers = {"peer/check": {"ok": False, "steps": steps}}
    assert _run(home, "peer", "check", "bank-b") == 1
    assert capsys.readouterr().out.endswith("to bank-b works, but the clocks differ\n")


def test_jobs_that_wait_for_a_yes(
    home: Path, api: _Api, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers = {"approval/list": None}
    assert _run(home, "job", "approvals") == 0
    assert "no job waits" in capsys.readouterr().out
    assert _run(home, "job", "approve", "7") == 0
    assert _run(home, "job", "refuse", "7", "--reason", "no contract") == 0
    assert api.sent[1:] == [
        ("approval/approve", {"job_id": "7"}),
        ("approval/refuse", {"job_id": "7", "reason": "no contract"}),
    ]


def test_without_a_server_the_remedy_is_named(
    home: Path, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FATE_FLOW__HTTP_PORT", "1")
    assert _run(home, "peer", "list") == 1
    assert "fate_flow service start" in capsys.readouterr().err


def test_the_members_of_the_demo_differ_in_everything(tmp_path: Path) -> None:
    members = demo_sites.members(tmp_path, 9480, 9460)
    assert [member.party for member in members] == ["guest:9999", "host:10000", "arbiter:10000"]
    ports = [port for member in members for port in (member.http_port, member.grpc_port)]
    assert len({*ports, *(member.home for member in members)}) == 9


def test_a_step_that_fails_says_what_was_wrong(tmp_path: Path) -> None:
    member = demo_sites.members(tmp_path, 9480, 9460)[0]
    with pytest.raises(demo_sites.StepFailedError, match=r"fate_flow peer list: .* is not a site"):
        member.run("peer", "list")
    with pytest.raises(ConfigurationError):
        own.identity_of(member.settings)
