"""Parties exchange values through a real gateway process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import (
    FateFlowError,
    FederationTimeoutError,
    PeerFailedError,
    ProtocolError,
)
from fate_flow.federation.client import GatewaySession, connect
from fate_flow.federation.failures import JobCanceledError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.runtime.context import Federation
from tests.support.gateway import ARBITER, GUEST, HOST, JOB, GatewayProcess

pytestmark = pytest.mark.slow
PAIR = {"guest": [9999], "host": [10000]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("site") / "home")
    process.start()
    yield process
    process.stop()


def together(**programs: Callable[[], Any]) -> dict[str, Any]:
    """Run the parties' programs at once; raises the first error in order of the arguments."""
    with ThreadPoolExecutor(len(programs)) as pool:
        futures = {name: pool.submit(program) for name, program in programs.items()}
        return {name: future.result() for name, future in futures.items()}


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


def test_a_large_value_passes_in_bounded_memory(gateway: GatewayProcess) -> None:
    """200 MB to a receiver that is slow to start, with 64 MB allowed for the mailbox."""
    value = np.random.default_rng(1).random(25_000_000)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, gateway.rss())

    def guest() -> None:
        with gateway.session(GUEST, component="large_0", roles=PAIR) as session:
            session.join()
            session.send("matrix", value, HOST)
            session.send("sent", True, HOST)
            session.finish()

    def host() -> None:
        with gateway.session(HOST, component="large_0", roles=PAIR) as session:
            session.join()
            session.receive("sent", GUEST)
            with gateway.admin() as admin:
                # Small values are acknowledged several at once, and may still be there.
                (entry,) = [e for e in admin.mailbox(JOB) if e.variable == "matrix"]
                assert entry.on_disk
                assert entry.size == entry.available > value.nbytes
            assert list((gateway.home / "gateway" / "values").iterdir())
            np.testing.assert_array_equal(session.receive("matrix", GUEST), value)
            session.finish()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        together(guest=guest, host=host)
    finally:
        done.set()
        watcher.join()
    assert peak < 150e6, f"{peak / 1e6:.0f} MB"
    assert not list((gateway.home / "gateway" / "values").iterdir())


def test_a_slow_receiver_does_not_fill_the_gateway(gateway: GatewayProcess) -> None:
    value = b"s" * 200_000_000
    with (
        gateway.session(GUEST, component="slow_0", roles=PAIR) as guest,
        gateway.session(HOST, component="slow_0", roles=PAIR) as host,
    ):
        together(guest=guest.join, host=host.join)
        guest.send("matrix", value, HOST)
        before = gateway.rss()
        request = pb.ReceiveRequest(
            caller=host._caller,
            attempt=host._attempt,
            message=pb.MessageRef(
                variable="matrix", tag="default", sender=pb.PartyRef(role="guest", party_id=9999)
            ),
            timeout=5.0,
        )
        replies = host._stub.Receive(request, metadata=host._metadata)
        assert next(replies).header.size > len(value)
        for _ in range(3):
            next(replies)
            time.sleep(0.3)
        assert gateway.rss() - before < 30e6
        replies.cancel()
        # What was broken off is still there, whole.
        assert host.receive("matrix", GUEST) == value


def test_small_values_beyond_the_memory_go_to_disk_and_leave(gateway: GatewayProcess) -> None:
    value = b"x" * (4 << 20)

    def guest() -> None:
        with gateway.session(GUEST, component="many_0", roles=PAIR) as session:
            session.join()
            for i in range(24):
                session.send("piece", value, HOST, [i])
            with gateway.admin() as admin:
                counters = admin.counters()
            assert counters["memory_bytes"] <= 64 << 20
            assert counters["disk_bytes"] >= 24 << 20
            session.finish()

    def host() -> None:
        with gateway.session(HOST, component="many_0", roles=PAIR) as session:
            session.join()
            time.sleep(1.0)
            for i in range(24):
                assert session.receive("piece", GUEST, [i]) == value
            session.finish()

    together(guest=guest, host=host)
    with gateway.admin() as admin:
        counters = admin.counters()
    assert counters["memory_bytes"] == counters["disk_bytes"] == 0


def test_deadlines_say_who_what_and_how_long(gateway: GatewayProcess) -> None:
    told: list[str | None] = []

    def guest() -> None:
        with gateway.session(
            GUEST, component="hetero_lr_7", roles=PAIR, on_wait=told.append
        ) as session:
            session.join()
            with pytest.raises(FederationTimeoutError) as caught:
                session.receive("host_forward_dict", HOST, (3, 2), timeout=3.0)
            assert (
                "waiting for host 10000, hetero_lr_7 attempt 0, host_forward_dict 3.2, 3 s"
                in str(caught.value)
            )
            session.send("go_on", True, HOST)
            session.finish()

    def host() -> None:
        with gateway.session(HOST, component="hetero_lr_7", roles=PAIR) as session:
            session.join()
            time.sleep(1.0)
            with gateway.admin() as admin:
                (wait,) = [w for w in admin.waits(JOB) if w.component == "hetero_lr_7"]
            assert wait.text.startswith(
                "waiting for host 10000, hetero_lr_7 attempt 0, host_forward_dict 3.2, "
            )
            assert (wait.party, wait.waited_for, wait.kind) == (GUEST, (HOST,), "receive")
            assert wait.deadline == pytest.approx(3.0, abs=0.2)
            session.receive("go_on", GUEST)
            session.finish()

    together(guest=guest, host=host)
    assert told == [
        "waiting for host 10000, hetero_lr_7 attempt 0, host_forward_dict 3.2, 2 s",
        None,
    ]


def test_a_join_that_nobody_answers(gateway: GatewayProcess) -> None:
    with (
        gateway.session(GUEST, component="alone_0") as session,
        pytest.raises(FederationTimeoutError) as caught,
    ):
        session.join(timeout=0.5)
    assert "waiting for arbiter 10000 and host 10000, alone_0 attempt 0, to join" in str(
        caught.value
    )


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


def test_a_failure_reaches_everyone_at_once(gateway: GatewayProcess) -> None:
    failed = 0.0
    heard: dict[str, float] = {}

    def guest() -> None:
        nonlocal failed
        with gateway.session(GUEST, component="fails_0") as session:
            session.join()
            time.sleep(0.5)
            failed = time.monotonic()
            session.finish("the label column\nis missing")

    def other(party: Party, program: Callable[[GatewaySession], Any]) -> Callable[[], None]:
        def task() -> None:
            with gateway.session(party, component="fails_0") as session:
                session.join()
                with pytest.raises(PeerFailedError) as caught:
                    program(session)
                heard[party.key] = time.monotonic()
                assert str(caught.value) == (
                    "guest 9999 failed in fails_0: the label column is missing"
                )

        return task

    together(
        guest=guest,
        host=other(HOST, lambda session: session.receive("x", GUEST)),
        arbiter=other(ARBITER, lambda session: session.finish()),
    )
    assert max(heard.values()) - failed < 1.0
    # Those who know may come again: that is a rerun, and attempts count on.
    roles = {"guest": [9999], "host": [10000], "arbiter": [10000]}

    def again(party: Party) -> Callable[[], int]:
        def task() -> int:
            with gateway.session(party, component="fails_0", roles=roles, try_number=2) as session:
                attempt = session.join()
                session.finish()
                return attempt

        return task

    results = together(guest=again(GUEST), host=again(HOST), arbiter=again(ARBITER))
    assert results == {"guest": 1, "host": 1, "arbiter": 1}


def test_one_that_comes_late_to_a_failure_fails_too(gateway: GatewayProcess) -> None:
    with gateway.session(GUEST, component="late_0", roles=PAIR) as session:
        session.finish("bad parameters")
    with (
        gateway.session(HOST, component="late_0", roles=PAIR) as session,
        pytest.raises(PeerFailedError, match="guest 9999 failed in late_0: bad parameters"),
    ):
        session.join()


def test_cancel_and_reset(gateway: GatewayProcess) -> None:
    job = "2026010100000000000002"
    started = threading.Event()

    def guest() -> float:
        with gateway.session(GUEST, job=job, roles=PAIR) as session:
            session.join()
            started.set()
            with pytest.raises(JobCanceledError, match="stopped by the user"):
                session.receive("x", HOST)
            with pytest.raises(PeerFailedError):
                session.check()
            return time.monotonic()

    def host() -> float:
        with gateway.session(HOST, job=job, roles=PAIR) as session:
            session.join()
            started.wait(5)
            time.sleep(0.3)
            with gateway.admin() as admin:
                canceled = time.monotonic()
                assert admin.cancel(job, "stopped by the user") == 2
            return canceled

    results = together(guest=guest, host=host)
    assert results["guest"] - results["host"] < 1.0
    with (
        gateway.session(GUEST, job=job, roles=PAIR) as session,
        pytest.raises(JobCanceledError),
    ):
        session.join()
    with gateway.admin() as admin:
        assert admin.reset(job) == 1
    both = together(
        guest=lambda: _join_and_finish(gateway, GUEST, job),
        host=lambda: _join_and_finish(gateway, HOST, job),
    )
    assert both["guest"] == both["host"] == 1


def _join_and_finish(gateway: GatewayProcess, party: Party, job: str) -> int:
    with gateway.session(party, job=job, roles=PAIR) as session:
        attempt = session.join()
        session.finish()
        return attempt


def test_a_component_can_run_again_in_the_same_job(gateway: GatewayProcess) -> None:
    job = "2026010100000000000003"
    for expected in (0, 1, 2):
        both = together(
            guest=lambda: _join_and_finish(gateway, GUEST, job),
            host=lambda: _join_and_finish(gateway, HOST, job),
        )
        assert both == {"guest": expected, "host": expected}


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


def test_senders_wait_when_the_mailbox_is_full(tmp_path: Path) -> None:
    gateway = GatewayProcess(
        tmp_path / "home", {"MAILBOX_MEMORY_BYTES": 1 << 20, "MAILBOX_DISK_BYTES": 8 << 20}
    )
    gateway.start()
    sent: list[float] = []
    taken: list[float] = []
    value = b"y" * (3 << 20)

    def guest() -> None:
        with gateway.session(GUEST, roles=PAIR) as session:
            session.join()
            with pytest.raises(ProtocolError, match="larger than the mailbox"):
                session.send("huge", b"z" * (9 << 20), HOST)
            for i in range(4):
                session.send("v", value, HOST, [i])
                sent.append(time.monotonic())
            session.finish()

    def host() -> None:
        with gateway.session(HOST, roles=PAIR) as session:
            session.join()
            time.sleep(1.0)
            with gateway.admin() as admin:
                (wait,) = [w for w in admin.waits() if w.kind == "send"]
            assert "room in the mailbox for v 2" in wait.text
            for i in range(4):
                taken.append(time.monotonic())
                assert session.receive("v", GUEST, [i]) == value
            session.finish()

    try:
        together(guest=guest, host=host)
        assert sent[1] < taken[0] < sent[2]
    finally:
        gateway.stop()


def test_an_idle_gateway_is_cheap(gateway: GatewayProcess, tmp_path: Path) -> None:
    fresh = GatewayProcess(tmp_path / "home")
    fresh.start()
    try:
        assert fresh.rss() < 80e6
        process = psutil.Process(fresh.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(3.0)
        assert sum(process.cpu_times()[:2]) - before <= 0.03
        modules = {Path(m.path).name.split(".")[0] for m in process.memory_maps()}
        assert not {name for name in modules if "arrow" in name or "multiarray" in name}
    finally:
        fresh.stop()


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
