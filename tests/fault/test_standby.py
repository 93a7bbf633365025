"""A second gateway waits beside the first one and takes over when that is killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fate_flow.federation import lease
from fate_flow.federation.lease import Lease
from tests.support.gateway import GUEST, HOST, GatewayProcess
from tests.support.service import wait_for

pytestmark = pytest.mark.slow


def _start(gateway: GatewayProcess, *options: str) -> subprocess.Popen[bytes]:
    module = ("-m", "fate_flow.federation.gateway", "--home", str(gateway.home))
    with (gateway.home / "second.log").open("wb") as log:
        return subprocess.Popen([sys.executable, *module, *options], stderr=log, stdout=log)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path / "home")
    process.start()
    yield process
    process.stop()


@pytest.fixture
def standby(gateway: GatewayProcess) -> Iterator[subprocess.Popen[bytes]]:
    process = _start(gateway, "--standby")
    log = gateway.home / "second.log"
    wait_for(lambda: "waiting for the lease" in log.read_text(), 20, "the standby waits")
    yield process
    if process.poll() is None:
        process.terminate()
    assert process.wait(15) == 0
    assert "Traceback" not in log.read_text()


def _pair(gateway: GatewayProcess, value: float, *, tries: int) -> float:
    """One value from guest to host, each in a task of its own."""
    roles = {"guest": [9999], "host": [10000]}
    with (
        gateway.session(GUEST, roles=roles, try_number=tries) as guest,
        gateway.session(HOST, roles=roles, try_number=tries) as host,
        ThreadPoolExecutor() as pool,
    ):
        joined = [pool.submit(session.join) for session in (guest, host)]
        assert len({each.result(30) for each in joined}) == 1
        guest.send("number", np.array([value]), HOST)
        return float(host.receive("number", GUEST)[0])


def test_the_standby_takes_over_on_the_same_port(
    gateway: GatewayProcess, standby: subprocess.Popen[bytes]
) -> None:
    assert _pair(gateway, 1.0, tries=1) == 1.0
    with gateway.admin() as admin:
        first = admin.health().incarnation
        gateway.kill()
        began = time.monotonic()
        second = wait_for(lambda: _incarnation(gateway), 10, "another gateway answers")
    assert time.monotonic() - began < 5
    assert second != first
    assert f"pid {standby.pid}" in Lease(_path(gateway)).holder()
    assert _pair(gateway, 2.0, tries=2) == 2.0


def _incarnation(gateway: GatewayProcess) -> str:
    try:
        with socket.create_connection(("127.0.0.1", gateway.port), 0.2):
            pass
    except OSError:
        return ""
    with gateway.admin() as admin:
        return str(admin.health().incarnation)


def _path(gateway: GatewayProcess) -> Path:
    return gateway.settings.storage_root / "gateway" / "lease.json"


def test_a_waiting_standby_can_be_stopped(
    gateway: GatewayProcess, standby: subprocess.Popen[bytes]
) -> None:
    standby.send_signal(signal.SIGTERM)
    assert standby.wait(5) == 0
    assert _incarnation(gateway)


def test_a_gateway_whose_lease_is_lost_ends(gateway: GatewayProcess) -> None:
    # As after a file server that forgot its locks: another one has written itself in.
    path = _path(gateway)
    path.write_text('{"holder": "elsewhere pid 1 abcd"}')
    assert gateway.process is not None
    assert gateway.process.wait(lease.CHECK_SECONDS + 10) == 0
    assert "elsewhere pid 1 has the lease now" in gateway.log


def test_a_second_gateway_that_is_no_standby_says_who_serves(gateway: GatewayProcess) -> None:
    second = _start(gateway)
    assert second.wait(lease.PATIENCE_SECONDS + 20) == 2
    text = (gateway.home / "second.log").read_text()
    assert f"pid {gateway.pid}" in text
    assert "gateway-standby" in text
    assert _incarnation(gateway)
