"""Why a site is not reached, in words."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from pathlib import Path

import pytest

from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import Peer
from fate_flow.federation.reachability import (
    CLOSED,
    SILENT,
    cause_of,
    cause_of_error,
    probe,
    reason_in,
    told_by,
)
from fate_flow.settings import load


def test_the_words_of_the_site_in_the_middle_are_told_from_its_absence() -> None:
    refused = "failed to connect to all addresses; last error: Connection refused (111)"
    assert told_by("hub", refused, False) == "site hub cannot be reached: connection refused"
    words = "site b cannot be reached: Connection refused"
    assert told_by("hub", words, True) == f"site hub says: {words}"


def test_what_grpc_says_is_one_line_and_not_cut_short() -> None:
    assert reason_in("Stream removed (recvmsg:Connection timed out (110))") == "timed out"
    assert reason_in("a\nb" + "c" * 300) == "a b" + "c" * 300


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::', 1)"), "refused"),
        (OSError(errno.EHOSTUNREACH, "Connect call failed"), "no route to host"),
        (asyncio.TimeoutError(), "no answer within 10 s"),
        (OSError("Multiple exceptions: [Errno 111]"), "Multiple exceptions"),
    ],
)
def test_errors_of_sockets_are_those_of_the_system(error: Exception, text: str) -> None:
    assert text in cause_of_error(error, 10.0)
    assert "Connect call failed" not in cause_of_error(error, 10.0)


@pytest.fixture
def identity(tmp_path: Path) -> SiteIdentity:
    (tmp_path / "conf").mkdir()
    (tmp_path / "fate_flow.yaml").write_text("IP: 127.0.0.1\n")
    return SiteIdentity.create(load(tmp_path), "bank-a")


@pytest.mark.parametrize(("hangs_up", "text"), [(True, CLOSED), (False, SILENT)])
def test_a_handshake_that_comes_to_nothing(
    identity: SiteIdentity, hangs_up: bool, text: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            connection, _ = server.accept()
            if hangs_up:
                connection.recv(10_000)
                connection.close()
            kept.append(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        target = f"127.0.0.1:{server.getsockname()[1]}"
        peer = Peer("bank-b", "0" * 16, (), identity.ca_pem, identity.seal_public, address=target)
        findings = probe(peer, target, identity, 0.5)
        thread.join(5)
    assert [finding.step for finding in findings] == ["address", "tcp", "tls"]
    assert cause_of(findings) == text
    assert findings[-1].remedy
    for connection in kept:
        connection.close()
