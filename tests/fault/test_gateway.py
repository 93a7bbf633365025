"""Tasks, connections and the gateway are killed; the parties' computation goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fate_flow.errors import (
    AttemptSupersededError,
    FederationTimeoutError,
    GatewayUnreachableError,
    PeerFailedError,
)
from fate_flow.federation.channel import open_channel
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.failures import TaskReplacedError
from tests.support.gateway import GUEST, HOST, GatewayProcess, environment

pytestmark = pytest.mark.slow
PAIR = {"guest": [9999], "host": [10000]}

#: A host task of its own process: joins, answers `rounds` questions, finishes.
_HOST = """
import sys
from pathlib import Path
from tests.support.gateway import GUEST, HOST, GatewayProcess
gateway = GatewayProcess.__new__(GatewayProcess)
gateway.home, gateway.port = Path(sys.argv[1]), int(sys.argv[2])
with gateway.session(HOST, component=sys.argv[3], roles={"guest": [9999], "host": [10000]},
                     try_number=int(sys.argv[5])) as session:
    print("joined", session.join(), flush=True)
    for i in range(int(sys.argv[4])):
        session.send("answer", session.receive("question", GUEST, [i]) + 1, GUEST, [i])
    print("answered", flush=True)
    session.finish()
    print("finished", flush=True)
    if sys.argv[-1] == "linger":
        import time
        time.sleep(60)
"""

#: A host task whose interpreter stands still for a time, as in a long call of a library.
_BUSY_HOST = """
import ctypes, sys
from pathlib import Path
from tests.support.gateway import GUEST, HOST, GatewayProcess
gateway = GatewayProcess.__new__(GatewayProcess)
gateway.home, gateway.port = Path(sys.argv[1]), int(sys.argv[2])
with gateway.session(HOST, component="lr_10", roles={"guest": [9999], "host": [10000]}) as session:
    session.join()
    ctypes.PyDLL(None).sleep(40)  # holds the interpreter's lock
    session.send("answer", "well", GUEST)
    session.finish()
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path / "home")
    process.start()
    yield process
    process.stop()
    assert "Traceback" not in process.log
    assert "never retrieved" not in process.log


class HostProcess:
    def __init__(
        self, gateway: GatewayProcess, component: str, rounds: int, *more: str, attempt: int = 1
    ) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _HOST,
                str(gateway.home),
                str(gateway.port),
                component,
                str(rounds),
                str(attempt),
                *more,
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def expect(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == line

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _ask(session: GatewaySession, rounds: int) -> int:
    total = 0
    for i in range(rounds):
        session.send("question", i, HOST, [i])
        total += session.receive("answer", HOST, [i])
    return total


def test_a_killed_task_makes_the_others_start_over(gateway: GatewayProcess) -> None:
    first = HostProcess(gateway, "lr_0", 1000)
    with gateway.session(GUEST, component="lr_0", roles=PAIR) as session:
        assert session.join() == 0
        first.expect("joined 0")
        session.send("question", 5, HOST, [0])
        assert session.receive("answer", HOST, [0]) == 6
        killed = time.monotonic()
        threading.Timer(0.3, first.kill).start()
        with pytest.raises(AttemptSupersededError, match="host 10000 was lost"):
            session.receive("answer", HOST, [1])
        assert time.monotonic() - killed < 6.0
        with pytest.raises(AttemptSupersededError):
            session.send("question", 6, HOST, [1])
        with pytest.raises(AttemptSupersededError):
            session.check()
        second = HostProcess(gateway, "lr_0", 3, attempt=2)
        assert session.join() == 1
        second.expect("joined 1")
        # Questions of the old attempt are gone, and its names are free again.
        assert _ask(session, 3) == 6
        session.finish()
        assert second.process.wait(10) == 0
    with gateway.admin() as admin:
        counters = admin.counters()
    assert (counters["tasks_lost"], counters["attempts_superseded"]) == (1, 1)
    assert "host 10000 of lr_0" in gateway.log


def test_a_task_that_starts_again_does_not_wait_for_the_loss(gateway: GatewayProcess) -> None:
    first = HostProcess(gateway, "lr_1", 1000)
    with gateway.session(GUEST, component="lr_1", roles=PAIR) as session:
        session.join()
        first.expect("joined 0")
        with gateway.session(HOST, component="lr_1", roles=PAIR, try_number=2) as again:
            joined = _in_background(again.join)
            with pytest.raises(AttemptSupersededError, match="host 10000 was started again"):
                session.receive("answer", HOST, [0])
            assert session.join() == joined.result(10) == 1
            # The replaced process learns that it is no longer wanted, and ends.
            assert first.process.wait(10) != 0
            assert _error_of(
                lambda: gateway.session(HOST, component="lr_1", roles=PAIR, try_number=1).join()
            ) == (TaskReplacedError, "another process runs host 10000 in lr_1")
            session.check()


def test_lost_before_the_barrier_and_after_it(gateway: GatewayProcess) -> None:
    with gateway.session(GUEST, component="lr_2", roles=PAIR) as session:
        host = HostProcess(gateway, "lr_2", 1)
        session.join()
        host.expect("joined 0")
        assert _ask(session, 1) == 1
        host.expect("answered")
        host.kill()
        with gateway.admin() as admin:
            while not admin.counters()["tasks_lost"]:
                time.sleep(0.1)
        # The host had nothing left to do but had not passed the barrier: all compute anew.
        with pytest.raises(AttemptSupersededError):
            session.finish()
        host = HostProcess(gateway, "lr_2", 1, "linger", attempt=2)
        assert session.join() == 1
        _ask(session, 1)
        session.finish()
        host.expect("joined 1")
        host.expect("answered")
        host.expect("finished")
        host.kill()
    # The host's next try finds everything done, although no guest is there.
    with gateway.session(HOST, component="lr_2", roles=PAIR, try_number=3) as late:
        assert late.join(timeout=5.0) == 1
        assert late.is_complete
        late.finish()


def test_a_killed_gateway_comes_back(gateway: GatewayProcess) -> None:
    def run(party: Any, program: Callable[[GatewaySession, int], Any]) -> list[int]:
        attempts: list[int] = []
        with gateway.session(party, component="lr_3", roles=PAIR) as session:
            while True:
                attempts.append(session.join())
                try:
                    program(session, attempts[-1])
                    session.finish()
                    return attempts
                except AttemptSupersededError as error:
                    reasons.append(str(error))

    reasons: list[str] = []
    killed = threading.Event()

    def guest(session: GatewaySession, attempt: int) -> None:
        for i in range(2):
            session.send("question", np.full(300_000, attempt), HOST, [i])
            if attempt == 0 and i == 1:
                killed.set()
            assert session.receive("answer", HOST, [i]) == attempt

    def host(session: GatewaySession, attempt: int) -> None:
        for i in range(2):
            value = session.receive("question", GUEST, [i])
            if attempt == 0 and i == 1:
                # Stay in the middle of the attempt until the gateway is gone.
                session.receive("never", GUEST)
            session.send("answer", int(value[0]), GUEST, [i])

    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(run, GUEST, guest), pool.submit(run, HOST, host)]
        assert killed.wait(20)
        time.sleep(0.5)
        gateway.kill()
        time.sleep(1.0)
        gateway.start()
        assert tasks[0].result(40) == tasks[1].result(40) == [0, 1]
    assert len(reasons) == 2
    assert all("gateway was restarted" in reason for reason in reasons)


def test_a_gateway_that_stays_away_ends_the_wait(gateway: GatewayProcess) -> None:
    with (
        gateway.session(GUEST, component="lr_4", roles=PAIR, patience=2.0) as session,
        gateway.session(HOST, component="lr_4", roles=PAIR, patience=2.0) as other,
    ):
        joined = _in_background(other.join)
        session.join()
        joined.result(10)
        threading.Timer(0.3, gateway.kill).start()
        start = time.monotonic()
        with pytest.raises(GatewayUnreachableError, match=f"127.0.0.1:{gateway.port} has not"):
            session.receive("x", HOST)
        assert time.monotonic() - start < 8.0


def test_a_stopped_task_is_lost_and_one_that_computes_is_not(gateway: GatewayProcess) -> None:
    """Neither says anything for longer than connections are trusted; gRPC's threads tell them
    apart."""
    arguments = [sys.executable, "-c", _BUSY_HOST, str(gateway.home), str(gateway.port)]
    with (
        gateway.session(GUEST, component="lr_9", roles=PAIR) as session,
        gateway.session(GUEST, component="lr_10", roles=PAIR) as other,
        subprocess.Popen(arguments, env=environment()) as busy,
    ):
        stopped = HostProcess(gateway, "lr_9", 1000)
        try:
            session.join()
            stopped.expect("joined 0")
            assert other.join() == 0
            os.kill(stopped.process.pid, signal.SIGSTOP)
            began = time.monotonic()
            answer = _in_background(lambda: other.receive("answer", HOST, timeout=60.0))
            with pytest.raises(AttemptSupersededError, match="host 10000 was lost"):
                session.receive("answer", HOST, [0], timeout=60.0)
            assert 15 < time.monotonic() - began < 40
            assert answer.result(60) == "well"
            assert time.monotonic() - began > 35
            assert other.identity.attempt == 0
            other.finish()
            assert busy.wait(10) == 0
        finally:
            stopped.kill()
            busy.kill()


class Wire:
    """A TCP relay in front of the gateway whose connections can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self.passed = 0
        self.cut_after: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self._relay, args=(a, b), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.passed += len(data)
                if self.cut_after is not None and self.passed > self.cut_after:
                    self.cut_after = None
                    self.cut()
                target.sendall(data)

    def cut(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._sockets.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()


def test_cut_connections_do_not_end_an_attempt(gateway: GatewayProcess) -> None:
    """Cut while idle, in the middle of a send, and in the middle of a receive."""
    wire = Wire(gateway.port)
    value = np.random.default_rng(0).integers(0, 255, 30_000_000, np.uint8)

    def over_the_wire() -> Any:
        return open_channel(f"127.0.0.1:{wire.port}")

    def host() -> None:
        with gateway.session(
            HOST, component="lr_5", roles=PAIR, channel_factory=over_the_wire
        ) as session:
            assert session.join() == 0
            wire.cut()
            time.sleep(0.2)
            wire.passed, wire.cut_after = 0, 10_000_000
            session.send("up", value, GUEST)
            assert wire.cut_after is None
            assert 30_000_000 < wire.passed < 36_000_000, "it goes on where it broke"
            session.receive("sent", GUEST)
            wire.passed, wire.cut_after = 0, 10_000_000
            np.testing.assert_array_equal(session.receive("down", GUEST), value)
            assert wire.cut_after is None
            session.finish()

    with gateway.session(GUEST, component="lr_5", roles=PAIR) as session:
        task = _in_background(host)
        assert session.join() == 0
        np.testing.assert_array_equal(session.receive("up", HOST), value)
        session.send("down", value, HOST)
        session.send("sent", True, HOST)
        session.finish()
        task.result(30)
    with gateway.admin() as admin:
        counters = admin.counters()
    assert counters["attempts_superseded"] == counters["tasks_lost"] == 0
    assert counters["disk_bytes"] == 0
    wire.close()


def test_a_task_that_leaves_without_finish_is_not_waited_for(gateway: GatewayProcess) -> None:
    with gateway.session(GUEST, component="lr_6", roles=PAIR) as session:
        other = gateway.session(HOST, component="lr_6", roles=PAIR)
        joined = _in_background(other.join)
        session.join()
        joined.result(10)
        start = time.monotonic()
        threading.Timer(0.2, other.close).start()
        with pytest.raises(AttemptSupersededError, match="host 10000 left before the end"):
            session.receive("x", HOST)
        assert time.monotonic() - start < 1.5
        with pytest.raises(FederationTimeoutError, match="waiting for host 10000"):
            session.join(timeout=0.5)


def test_a_process_that_fails_by_itself_tells_its_reason(gateway: GatewayProcess) -> None:
    with gateway.session(GUEST, component="lr_8", roles=PAIR) as session:
        with gateway.session(HOST, component="lr_8", roles=PAIR) as other:
            joined = _in_background(other.join)
            session.join()
            joined.result(10)
            other.finish(error="no such column: y")
        with pytest.raises(PeerFailedError, match="host 10000 failed in lr_8: no such column: y"):
            session.receive("x", HOST)


def _in_background(call: Callable[[], Any]) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    pool.shutdown(wait=False)
    return future


def _error_of(call: Callable[[], Any]) -> tuple[type[BaseException], str]:
    try:
        call()
    except Exception as error:
        return type(error), str(error).split(" of job")[0]
    raise AssertionError("no error")
