"""Which addresses a site binds, and what is refused because others could reach it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fate_flow.settings import FILE_NAME, _lan_address, inspect


def _write(home: Path, **values: object) -> None:
    (home / FILE_NAME).write_text(yaml.safe_dump(values))


@pytest.mark.parametrize(
    ("values", "binds", "reached"),
    [
        ({"IP": "127.0.0.1"}, "127.0.0.1", "127.0.0.1:9360"),
        ({"IP": "127.0.0.1", "GATEWAY_IP": "0.0.0.0"}, "0.0.0.0", "127.0.0.1:9360"),
        ({"IP": "127.0.0.1", "GATEWAY_IP": "10.1.2.3"}, "10.1.2.3", "10.1.2.3:9360"),
        ({"OWN_GATEWAY": "gateway:1", "USE_AUTHENTICATION": True}, "0.0.0.0", "gateway:1"),
    ],
)
def test_the_gateway_may_bind_another_address(
    tmp_path: Path, values: dict[str, object], binds: str, reached: str
) -> None:
    (tmp_path / "conf" / "identity").mkdir(parents=True)
    _write(tmp_path, **values)
    settings, problems = inspect(tmp_path)
    assert problems == []
    assert (settings.gateway_ip, settings.grpc_address) == (binds, reached)
    if values.get("IP"):
        assert settings.is_loopback
        assert settings.http_url == "http://127.0.0.1:9380"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"IP": "127.0.0.1"}, "http://127.0.0.1:9380"),
        ({"IP": "10.1.2.3"}, "http://10.1.2.3:9380"),
        ({"IP": "0.0.0.0"}, "http://10.9.8.7:9380"),
        ({"IP": "0.0.0.0", "OWN_API_URL": "http://api:80/"}, "http://api:80"),
        ({"SERVERS": {"fateflow": {"host": "flow.example"}}}, "http://flow.example:9380"),
        ({"SERVERS": {"fateflow": {"host": "f", "http.port": 80}}}, "http://f:80"),
    ],
)
def test_links_for_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, object], shown: str
) -> None:
    monkeypatch.setattr("fate_flow.settings._lan_address", lambda: "10.9.8.7")
    _write(tmp_path, USE_AUTHENTICATION=True, **values)
    settings, _ = inspect(tmp_path)
    assert settings.shown_url == shown


def test_the_own_address_is_found_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError("no route")

    own = _lan_address.__wrapped__
    assert own().count(".") == 3
    monkeypatch.setattr("socket.socket.connect", unreachable)
    assert own() == "127.0.0.1"


@pytest.mark.parametrize("tls", ["auto", "off"])
def test_a_public_gateway_needs_certificates(tmp_path: Path, tls: str) -> None:
    if tls == "off":
        (tmp_path / "conf" / "identity").mkdir(parents=True)
    _write(tmp_path, IP="127.0.0.1", GATEWAY_IP="0.0.0.0", GATEWAY_TLS=tls)
    (problem,) = inspect(tmp_path)[1]
    assert problem.path == "GATEWAY_IP"
    assert "there is no TLS" in problem.message
    _write(tmp_path, IP="127.0.0.1", GATEWAY_IP="127.0.0.2", GATEWAY_TLS=tls)
    assert inspect(tmp_path)[1] == []


@pytest.mark.parametrize(("seconds", "is_taken"), [(0, True), (5, True), (60.5, True), (2, False)])
def test_a_patience_that_no_busy_process_could_meet_is_refused(
    tmp_path: Path, seconds: float, is_taken: bool
) -> None:
    _write(tmp_path, IP="127.0.0.1", HANG_PATIENCE=seconds)
    problems = inspect(tmp_path)[1]
    assert [problem.path for problem in problems] == ([] if is_taken else ["HANG_PATIENCE"])
