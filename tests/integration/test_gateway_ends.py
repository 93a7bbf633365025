"""How attempts at a gateway end: deadlines, failures, cancels, and what comes after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fate_flow.entities import Party
from fate_flow.errors import FederationTimeoutError, PeerFailedError
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.failures import JobCanceledError
from tests.support.gateway import ARBITER, GUEST, HOST, JOB, PAIR, GatewayProcess, together

pytestmark = pytest.mark.slow


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
