from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from fate_flow.federation.handshakes import HandshakeAudit

_LINE = (
    b"I1124 11:48:32.435555 13218 ssl_transport_security.cc:2563] Handshake failed with error "
    b"SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: "
)


def test_failures_become_lines_of_the_audit(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    audit = HandshakeAudit(lambda: now[0])
    assert not audit.take(b"something else\n")
    for _ in range(5):
        assert audit.take(_LINE + b"unable to get local issuer certificate\n")
    assert audit.take(_LINE + b"certificate has expired\n")
    now[0] = 2.0
    assert audit.take(_LINE + b"unable to get local issuer certificate\n")
    assert [record.getMessage().partition("failed: ")[2] for record in caplog.records] == [
        "its certificate is of no site that is known here",
        "its certificate has expired",
        "its certificate is of no site that is known here (4 more before)",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_standard_error_is_passed_on_whole() -> None:
    program = (
        "import os, sys, logging\n"
        "from fate_flow.federation.handshakes import audited_stderr\n"
        "with audited_stderr() as stream:\n"
        "    logging.basicConfig(stream=stream, level=logging.INFO, format='%(message)s')\n"
        "    sys.stderr.write('from python\\n')\n"
        "    os.write(2, b'from below\\n')\n"
        "    os.write(2, b'x] Handshake failed with error HTTP_REQUEST\\n')\n"
        "    raise ValueError('at the end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    for expected in (
        "from python",
        "from below",
        "it does not speak TLS",
        "ValueError: at the end",
    ):
        assert expected in done.stderr
    assert "HTTP_REQUEST" not in done.stderr
