"""Parties exchange values through a real gateway process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import FateFlowError, ProtocolError
from fate_flow.federation.client import GatewaySession, connect
from fate_flow.runtime.context import Federation
from tests.support.gateway import ARBITER, GUEST, HOST, JOB, PAIR, GatewayProcess, together

pytestmark = pytest.mark.slow


def test_three_parties_exchange_and_commit_together(gateway: GatewayProcess) -> None:
    finished: dict[Party, float] = {}

    def run(party: Party, program: Callable[[GatewaySession], Any]) -> Callable[[], Any]:
        def task() -> Any:
            with gateway.session(party, component="three_0") as session:
                assert isinstance(session, Federation)
                assert session.join() == 0
                result = program(session)
                if party == ARBITER:
                    time.sleep(0.5)
                    finished[party] = time.monotonic()
                session.finish()
                finished.setdefault(party, time.monotonic())
                return result

        return task

    def guest(session: GatewaySession) -> Any:
        session.flow = "fit"
        session.send("exponent", {"n": 3, "x": np.arange(4)}, [HOST, ARBITER])
        session.send("batch", pa.table({"id": ["a", "b"]}), HOST, (0, 1))
        return session.receive("answer", ARBITER, (3,))

    def host(session: GatewaySession) -> Any:
        session.flow = "fit"
        table = session.receive("batch", GUEST, (0, 1))
        value = session.receive("exponent", GUEST)
        session.send("host_sum", int(value["x"].sum()), ARBITER, [0])
        return table.num_rows

    def arbiter(session: GatewaySession) -> Any:
        session.flow = "fit"
        total = session.receive("host_sum", HOST, [0]) * session.receive("exponent", GUEST)["n"]
        session.send("answer", [total, None, 0.1], GUEST, (3,))
        return total

    results = together(guest=run(GUEST, guest), host=run(HOST, host), arbiter=run(ARBITER, arbiter))
    assert results == {"guest": [18, None, 0.1], "host": 2, "arbiter": 18}
    # The barrier: nobody is done before the slowest has finished.
    assert min(finished[GUEST], finished[HOST]) >= finished[ARBITER]
    with gateway.admin() as admin:
        assert not [entry for entry in admin.mailbox(JOB) if entry.component == "three_0"]


def test_duplicates(gateway: GatewayProcess) -> None:
    def guest() -> None:
        with gateway.session(GUEST, component="twice_0", roles=PAIR) as session:
            session.join()
            session.send("key", [1, 2], HOST)
            session.send("key", [1, 2], HOST)
            with pytest.raises(ProtocolError, match="key of guest 9999 for host 10000 was sent"):
                session.send("key", [1, 3], HOST)
            session.receive("got", HOST)
            session.send("key", [1, 2], HOST)
            with pytest.raises(ProtocolError, match="cannot receive from guest 9999"):
                session.send("key", 1, Party("host", 10001))
            with pytest.raises(ProtocolError, match="cannot receive from guest 9999"):
                session.send("key", 1, GUEST)
            session.finish()

    def host() -> None:
        with gateway.session(HOST, component="twice_0", roles=PAIR) as session:
            session.join()
            assert session.receive("key", GUEST) == [1, 2]
            session.send("got", True, GUEST)
            session.send("got", True, GUEST)
            # Acknowledgements travel on a stream of their own.
            time.sleep(0.5)
            with pytest.raises(ProtocolError, match="was received before"):
                session.receive("key", GUEST, timeout=1.0)
            with pytest.raises(ProtocolError, match="finished without sending never"):
                session.receive("never", GUEST)
            session.finish()

    together(host=host, guest=guest)


def test_parties_must_agree_who_takes_part(gateway: GatewayProcess) -> None:
    with gateway.session(GUEST, component="disagree_0") as session:
        thread = threading.Thread(target=lambda: _quiet(lambda: session.join(timeout=2.0)))
        thread.start()
        time.sleep(0.5)
        with (
            gateway.session(HOST, component="disagree_0", roles=PAIR) as other,
            pytest.raises(ProtocolError, match="names other parties of disagree_0"),
        ):
            other.join()
        thread.join()


def _quiet(call: Callable[[], Any]) -> None:
    with contextlib.suppress(FateFlowError):
        call()


def test_threads_of_one_task_share_a_session(gateway: GatewayProcess) -> None:
    def guest() -> None:
        with gateway.session(GUEST, component="threads_0", roles=PAIR) as session:
            session.join()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda i: session.send("v", {"i": i}, HOST, [i]), range(64)))
                sums = list(pool.map(lambda i: session.receive("w", HOST, [i]), range(64)))
            assert sums == [2 * i for i in range(64)]
            session.finish()

    def host() -> None:
        with gateway.session(HOST, component="threads_0", roles=PAIR) as session:
            session.join()
            with ThreadPoolExecutor(8) as pool:

                def answer(i: int) -> None:
                    session.send("w", 2 * session.receive("v", GUEST, [i])["i"], GUEST, [i])

                list(pool.map(answer, range(64)))
            session.finish()

    together(guest=guest, host=host)


def test_connect_takes_the_settings(gateway: GatewayProcess) -> None:
    identity = TaskIdentity(JOB, "single_0", "DataIO", GUEST, {"guest": [9999]})
    token = gateway.token(GUEST, component="single_0")
    with connect(gateway.settings, token, identity) as session:
        assert session.join() == 0
        session.finish()
        assert (session.identity.attempt, session.is_complete) == (0, False)


def test_a_second_gateway_says_that_the_port_is_taken(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    second = GatewayProcess(tmp_path / "home")
    (second.home / "fate_flow.yaml").write_text(f"IP: 127.0.0.1\nGRPC_PORT: {gateway.port}\n")
    result = subprocess.run(
        [sys.executable, "-m", "fate_flow.federation.gateway", "--home", str(second.home)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 2
    assert f"cannot bind 127.0.0.1:{gateway.port}" in result.stderr
    assert "Traceback" not in result.stderr
