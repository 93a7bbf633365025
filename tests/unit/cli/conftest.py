"""``fate_flow_client`` against a server that records, in folders of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli.client import main
from tests.support.recording_server import RecordingServer, recording_server
from tests.unit.cli.client_runs import Run


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as running:
        yield running


@pytest.fixture
def client_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FATE_FLOW_ADDRESS", "FATE_FLOW_TOKEN", "FATE_FLOW_EXIT_CODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FATE_FLOW_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def run(server: RecordingServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with exit status 0; its answer."""

    def call(*arguments: str, status: int = 0) -> dict[str, Any]:
        assert main([*arguments, "--address", server.url]) == status
        out, err = capsys.readouterr()
        assert err == ""
        assert out.endswith("}\n\n")
        answer: dict[str, Any] = json.loads(out)
        assert out == json.dumps(answer, indent=4, ensure_ascii=False) + "\n\n"
        return answer

    return call
