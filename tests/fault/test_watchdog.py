"""Processes that are there and do nothing any more: found, ended, started again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fate_flow.cli import probes
from fate_flow.federation.identity import SiteIdentity
from fate_flow.settings import Settings
from tests.support.gateway import GatewayProcess
from tests.support.live_jobs import lr_job, upload_breast, weights
from tests.support.live_site import LiveSite, started
from tests.support.service import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 15
ITERATIONS = 15


#: In every process of the site: at this signal all threads stand still for good, and no other
#: signal but SIGKILL ends it, as with a lock that nobody gives back.
LOCK_SIGNAL = signal.SIGRTMIN + 7
_LOCKABLE = f"""
import ctypes, signal
def lock(*_):
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(3600)
signal.signal({int(LOCK_SIGNAL)}, lock)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """A site with little patience, whose processes can be locked."""
    folder = tmp_path_factory.mktemp("hang")
    (folder / "python").mkdir()
    (folder / "python" / "sitecustomize.py").write_text(_LOCKABLE)
    variables = {"PYTHONPATH": str(folder / "python")}
    with started(folder / "site", environment=variables, HANG_PATIENCE=PATIENCE) as made:
        upload_breast(made)
        yield made


@pytest.mark.parametrize(
    ("victim", "number", "reason"),
    [
        ("gateway", signal.SIGSTOP, "was stopped by a signal"),
        ("api-server", LOCK_SIGNAL, "has not answered"),
        ("scheduler", LOCK_SIGNAL, "has not answered"),
        ("scheduler", signal.SIGSTOP, "was stopped by a signal"),
    ],
    ids=["stopped gateway", "locked api-server", "locked scheduler", "stopped scheduler"],
)
def test_a_process_that_hangs_is_started_again_and_the_job_succeeds(
    site: LiveSite, victim: str, number: int, reason: str
) -> None:
    before = site.service(victim)
    others = {name: site.service(name)["restarts"] for name in _NAMES if name != victim}
    job_id = site.submit(*lr_job(max_iter=ITERATIONS, early_stop="weight_diff", tol=0.0))
    site.wait_until("HeteroLR runs", lambda: _is_running(site, job_id), 180)
    began = time.monotonic()
    os.kill(before["pid"], number)
    wait_for(
        lambda: site.service(victim)["restarts"] == before["restarts"] + 1,
        240,  # on a busy machine it takes longer
        f"{victim} was started again\n{site.log_tails()}",
    )
    assert time.monotonic() - began > PATIENCE - 2
    site.must_succeed(job_id, 180)
    site.wait_healthy(60)
    assert len(weights(site, job_id)) > 10
    assert site.service(victim)["pid"] != before["pid"]
    assert f"({reason} for " in site.service(victim)["last_exit"]
    assert {name: site.service(name)["restarts"] for name in others} == others
    log = (site.settings.logs_dir / "fate_flow" / "supervisor.log").read_text()
    what = f" {victim} (pid {before['pid']}) {reason} for "
    lines = [line for line in log.splitlines() if what in line]
    assert len(lines) == 1
    assert "HANG_PATIENCE" in lines[0]
    site.nothing_left(job_id)


_NAMES = ("gateway", "api-server", "scheduler")


def _is_running(site: LiveSite, job_id: str) -> bool:
    tasks = site.client.query_tasks(job_id=job_id, component_name="hetero_lr_0")
    return len(tasks) == 3 and all(task["f_status"] == "running" for task in tasks)


@pytest.fixture(params=["plain", "tls"])
def gateway(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[GatewayProcess]:
    made = GatewayProcess(tmp_path / "home")
    if request.param == "tls":
        SiteIdentity.create(made.settings, "bank")
    made.start()
    yield made
    made.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    made.stop()


def test_a_gateway_answers_the_watchdogs_question(gateway: GatewayProcess) -> None:
    assert _ask(gateway.settings) == (True, "")
    assert _ask(gateway.settings) == (True, "")
    os.kill(gateway.pid, signal.SIGSTOP)
    assert _ask(gateway.settings) == (False, "nothing")
    os.kill(gateway.pid, signal.SIGCONT)
    assert _ask(gateway.settings) == (True, "")
    assert "Traceback" not in gateway.log
    assert "refused" not in gateway.log, "the question is no attempt to break in"


def test_a_gateway_whose_loop_hangs_does_not_answer(tmp_path: Path) -> None:
    """Its port still takes connections, and gRPC's own threads still greet."""
    hang = (
        "import asyncio, sys, time\n"
        "from fate_flow.federation import gateway\n"
        "def hang(state): print('hanging', flush=True); time.sleep(600)\n"
        "async def watch(state): await asyncio.sleep(3); hang(state)\n"
        "gateway._watch = watch\n"
        "sys.exit(gateway.main(['--home', sys.argv[1]]))\n"
    )
    made = HangingGateway(tmp_path / "home")
    made.code = hang
    made.start()
    try:
        assert _ask(made.settings) == (True, "")
        wait_for(lambda: "hanging" in made.log, 20, "it hangs")
        assert _ask(made.settings) == (False, "nothing")
    finally:
        made.kill()


class HangingGateway(GatewayProcess):
    """A gateway that runs a program of the test's."""

    code = ""

    def start(self) -> None:
        with (self.home / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self.code, str(self.home)], stdout=log, stderr=log
            )
        wait_for(lambda: "listens on" in self.log, 20, "it listens")


def _ask(settings: Settings) -> tuple[bool, str]:
    has_tls = settings.identity_dir.exists()
    question = probes.grpc_question(
        "127.0.0.1", settings.GRPC_PORT, settings.identity_dir if has_tls else None
    )
    probe = probes.Probe(question, time.monotonic())
    while probe.answer is None:
        if not any(select.select(probe.reads, probe.writes, [], 3.0)[:2]):
            probe.give_up("nothing")
        probe.advance()
    return probe.answer, probe.reason
