"""How much passes a gateway: large values and many, on disk, and slowly taken."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fate_flow.errors import ProtocolError
from fate_flow.federation.proto import gateway_pb2 as pb
from tests.support.gateway import GUEST, HOST, JOB, PAIR, GatewayProcess, together

pytestmark = pytest.mark.slow


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
