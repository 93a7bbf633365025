"""The containers of several sites: safe by their settings, and made by commands that exist."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fate_flow.cli.main import build_parser
from fate_flow.cli.site import parse_party
from fate_flow.settings import ENVIRONMENT_PREFIX, KEYS

DOCKER = Path(__file__).parents[2] / "docker"
FILES = ("compose.two-sites.yml", "compose.exchange.yml")
#: Read by docker/entrypoint.sh.
ENTRYPOINT = {"FATE_FLOW_SITE_NAME", "FATE_FLOW_PARTIES"}


def _services(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())["services"]
    return found


@pytest.mark.parametrize("name", FILES)
def test_each_site_is_closed_by_itself(name: str) -> None:
    services = _services(name)
    assert len(services) >= 2
    for site, service in services.items():
        assert service["read_only"] is True, site
        assert service["cap_drop"] == ["ALL"], site
        assert "no-new-privileges:true" in service["security_opt"], site
        assert "user" not in service, "the image's own user is not root"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), site
        settings = service["environment"]
        assert settings["FATE_FLOW__USE_AUTHENTICATION"] == "true", site
        assert settings["FATE_FLOW__GATEWAY_ADDRESS"] == f"{site}:9360"
        assert settings["FATE_FLOW_SITE_NAME"] == site


@pytest.mark.parametrize("name", FILES)
def test_settings_and_parties_exist(name: str) -> None:
    known = {ENVIRONMENT_PREFIX + key.name for key in KEYS} | ENTRYPOINT
    parties: list[str] = []
    for service in _services(name).values():
        assert set(service["environment"]) <= known
        parties += service["environment"].get("FATE_FLOW_PARTIES", "").split()
    assert len(parties) == len(set(parties)) > 1
    assert [parse_party(party) for party in parties] == parties


@pytest.mark.parametrize("name", FILES)
def test_commands_in_the_comments_are_commands(name: str) -> None:
    parser = build_parser()
    services = _services(name)
    text = (DOCKER / name).read_text()
    commands = re.findall(r"\$dc ([\w-]+) +fate_flow ([^|\n]+)", text)
    assert len(commands) > 4
    for site, line in commands:
        assert site in services
        parsed = parser.parse_args(line.split())
        assert callable(parsed.run)


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    last = text.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", last, re.M)
    assert "HEALTHCHECK" in last


def test_the_entrypoint_makes_the_site_once(tmp_path: Path) -> None:
    """With a ``fate_flow`` that only notes how it was called."""
    script = tmp_path / "fate_flow"
    script.write_text(
        '#!/bin/sh\nprintf "%s|" "$@" >>"$NOTES"\necho >>"$NOTES"\n'
        '[ "$1" = init ] && : >"$FATE_FLOW_HOME/fate_flow.yaml"\nexit 0\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    home, notes = tmp_path / "site", tmp_path / "notes"
    home.mkdir()
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "NOTES": str(notes),
        "FATE_FLOW_HOME": str(home),
        "FATE_FLOW_PARTIES": "guest:9999 host:1",
        "FATE_FLOW_SITE_NAME": "bank a",
    }
    for _ in range(2):
        command = ["sh", str(DOCKER / "entrypoint.sh"), "service", "start"]
        subprocess.run(command, env=environment, check=True)
    made = "init|--party|guest:9999|--party|host:1|--name|bank a|"
    assert notes.read_text().splitlines() == [made, "service|start|", "service|start|"]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_shellcheck_is_content() -> None:
    done = subprocess.run(
        ["shellcheck", str(DOCKER / "entrypoint.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", FILES)
def test_yamllint_is_content(name: str) -> None:
    pytest.importorskip("yamllint")
    rules = "extends: default\nrules: {document-start: disable, line-length: {max: 100}}"
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "-s", "-d", rules, str(DOCKER / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
