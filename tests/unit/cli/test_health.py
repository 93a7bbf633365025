"""What is made of the answers of a site's processes."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import health, service
from fate_flow.settings import KEYS, Settings


class _Handler(http.server.BaseHTTPRequestHandler):
    answer: dict[str, Any]

    def do_GET(self) -> None:
        body = json.dumps(type(self).answer).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a site whose API server is a stand-in."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        values = {key.name: key.default for key in KEYS}
        yield Settings(tmp_path, {**values, "HTTP_PORT": server.server_address[1]})
        server.shutdown()


def test_ready(settings: Settings) -> None:
    _Handler.answer = {"ready": True}
    assert health.api_server(settings) == ""


def test_not_yet(settings: Settings) -> None:
    _Handler.answer = {"ready": False}
    assert health.api_server(settings).startswith("/v1/internal/health: 200")


def test_never(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits five minutes for a server that has said that it cannot."""
    _Handler.answer = {"ready": False, "error": "OperationalError: no room"}
    assert health.api_server(settings) == "could not start: OperationalError: no room"
    monkeypatch.setitem(health.CHECKS, "gateway", lambda _: "")  # type: ignore[index]
    with pytest.raises(service.StartFailedError, match="api-server could not start: Operational"):
        service.wait_until_ready(settings, lambda _: None, timeout=30)


def test_several_of_a_kind_are_asked_alike() -> None:
    assert health.check_of("scheduler-2") is health.scheduler
    assert health.check_of("api-server") is health.api_server
    assert health.check_of("dag-processor") is None


@pytest.mark.parametrize(("age", "is_hopeless"), [(5.0, True), (3600.0, False)])
def test_old_restarts_do_not_count_at_a_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, age: float, is_hopeless: bool
) -> None:
    """``service start`` at a site that runs, and whose gateway once died twice."""
    _Handler.answer = {"ready": True}
    for name in ("gateway", "scheduler"):
        monkeypatch.setitem(health.CHECKS, name, lambda _: "")  # type: ignore[index]
    row = {"name": "gateway", "pid": 1, "since": time.time() - age, "restarts": 2, "last_exit": "x"}
    monkeypatch.setattr(service.state, "read_state", lambda _: {"services": [row]})
    if is_hopeless:
        with pytest.raises(service.StartFailedError, match="gateway does not start"):
            service.wait_until_ready(settings, lambda _: None, timeout=10)
    else:
        service.wait_until_ready(settings, lambda _: None, timeout=10)


def test_a_clock_that_was_set_back_makes_no_process_younger_than_new(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = time.time() + 600
    row = {"name": "gateway", "pid": 1, "port": 9360, "since": since, "restarts": 0}
    found = {"pid": 1, "since": since, "services": [row]}
    monkeypatch.setitem(health.CHECKS, "gateway", lambda _: "")  # type: ignore[index]
    monkeypatch.setattr(service.state, "read_state", lambda _: found)
    rows = service.status(settings)
    assert rows is not None
    assert [row.uptime for row in rows] == [0.0, 0.0]
