"""Where the client looks for its server."""

from __future__ import annotations

from pathlib import Path

import pytest

from fate_flow.client.address import is_loopback, parse_address, server_url
from fate_flow.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("10.0.0.1", "http://10.0.0.1:9380"),
        (" flow.example:80 ", "http://flow.example:80"),
        ("https://flow.example/", "https://flow.example"),
        ("https://flow.example:1/base/", "https://flow.example:1/base"),
        ("[::1]:9", "http://[::1]:9"),
    ],
)
def test_addresses(text: str, url: str) -> None:
    assert parse_address(text) == url


@pytest.mark.parametrize(
    "text", ["host:port", "ftp://h:1", "http://", "u:p@h:1", "h:99999", "a b:1", "h:1?x=1", "[::1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidInputError, match="host:port"):
        parse_address(text)


def test_argument_then_environment_then_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FATE_FLOW_HOME", str(tmp_path))
    monkeypatch.setenv("FATE_FLOW_ADDRESS", "env.example:7")
    assert server_url("arg.example:8") == "http://arg.example:8"
    assert server_url() == "http://env.example:7"
    monkeypatch.delenv("FATE_FLOW_ADDRESS")
    assert server_url() == "http://127.0.0.1:9380"
    (tmp_path / "fate_flow.yaml").write_text("IP: 192.0.2.4\nHTTP_PORT: 1234\n")
    assert server_url() == "http://192.0.2.4:1234"


def test_loopback() -> None:
    assert is_loopback("http://127.0.0.9:1")
    assert is_loopback("http://localhost:1")
    assert is_loopback("http://[::1]:1")
    assert not is_loopback("http://10.0.0.1:1")
