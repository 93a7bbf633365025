"""Processes of a site are killed: nothing is lost, nothing is left over."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fate_flow.cli import site as site_maker
from tests.support.service import (
    RunningSite,
    clean_environment,
    free_ports,
    start_fake_supervisor,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site that was initialised, but for the database."""
    for name in ("FATE_FLOW_HOME", "AIRFLOW_HOME"):
        monkeypatch.delenv(name, raising=False)
    http_port, grpc_port = free_ports(2)
    folder = tmp_path / "site"
    site_maker.initialise(folder, {"HTTP_PORT": http_port, "GRPC_PORT": grpc_port})
    return folder


@pytest.fixture
def fake(home: Path) -> Iterator[RunningSite]:
    """A supervisor of small stand-ins."""
    site = RunningSite(home, 0, 0)
    process = start_fake_supervisor(home, ["idle", "family", "stubborn"])
    wait_for(lambda: site.service("family").get("pid"), 15, "the supervisor started all")
    wait_for(lambda: len(site.processes()) >= 5, 15, "worker and task run")
    yield site
    if process.poll() is None:
        process.terminate()
    process.wait(20)
    for left in site.processes():
        left.kill()


def test_a_killed_process_is_started_again(fake: RunningSite) -> None:
    old = fake.kill("idle")
    new = wait_for(
        lambda: fake.service("idle").get("restarts") == 1 and fake.service("idle"), 10, ""
    )
    assert new["pid"] not in (None, old)
    assert new["last_exit"] == "signal SIGKILL"


def test_tasks_of_a_killed_scheduler_end_before_the_next_one_starts(fake: RunningSite) -> None:
    parent = psutil.Process(fake.service("family")["pid"])
    old = parent.children(recursive=True)
    assert len(old) == 2
    fake.kill("family")
    wait_for(lambda: fake.service("family").get("restarts") == 1, 15, "restarted")
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in old)


def test_a_task_whose_worker_was_killed_is_ended(fake: RunningSite) -> None:
    worker = psutil.Process(fake.service("family")["pid"]).children()[0]
    task = worker.children()[0]
    worker.kill()
    gone, _ = psutil.wait_procs([task], timeout=20)
    assert gone
    assert fake.service("family")["restarts"] == 0


def test_stop_ends_all_within_ten_seconds(fake: RunningSite) -> None:
    before = fake.processes()
    assert len(before) == 5
    began = time.monotonic()
    fake.stop()
    assert time.monotonic() - began < 12
    assert fake.processes() == []
    assert fake.run("service", "status").returncode == 3


def test_processes_of_a_killed_supervisor_end_with_it_or_at_the_next_stop(
    fake: RunningSite,
) -> None:
    fake.kill("supervisor")
    wait_for(lambda: fake.run("service", "status").returncode == 3, 10, "known as not running")
    fake.stop()
    assert fake.processes() == []


def test_a_second_supervisor_is_refused(fake: RunningSite) -> None:
    second = start_fake_supervisor(fake.home, ["idle"])
    assert second.wait(20) == 1
    assert fake.service("idle")["restarts"] == 0


def test_stop_spares_a_stranger_with_the_recorded_pid(home: Path) -> None:
    site = RunningSite(home, 0, 0)
    stranger = subprocess.Popen(["sleep", "60"], env=clean_environment())
    try:
        (home / "run" / "supervisor.json").write_text(
            f'{{"pid": {stranger.pid}, "started": 1.0, "services": []}}'
        )
        assert site.run("service", "stop").returncode == 0
        assert stranger.poll() is None
    finally:
        stranger.send_signal(signal.SIGKILL)
        stranger.wait()


def test_restarts_slow_down_while_a_process_keeps_failing(home: Path) -> None:
    site = RunningSite(home, 0, 0)
    process = start_fake_supervisor(home, ["failing"])
    try:
        wait_for(lambda: site.service("failing").get("restarts", 0) >= 2, 20, "two restarts")
        time.sleep(3)
        assert site.service("failing")["restarts"] <= 4
        assert site.service("failing")["last_exit"] == "code 7"
    finally:
        process.terminate()
        process.wait(15)


class TestRealSite:
    """Kills at the real site while the demo's job runs."""

    @pytest.fixture(scope="class")
    def running(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
        site = RunningSite.make(tmp_path_factory.mktemp("fault") / "site")
        site.start()
        yield site
        site.stop()

    @pytest.mark.parametrize("victim", ["scheduler", "api-server", "gateway"])
    def test_a_job_outlives_the_death_of(self, running: RunningSite, victim: str) -> None:
        """The job ends well although a process was killed while HeteroLR ran."""
        before = running.service(victim)["restarts"]
        log = running.home / f"demo_{victim}.log"
        with log.open("w") as output:
            demo = subprocess.Popen(
                _demo_command(running), env=clean_environment(), stdout=output, stderr=output
            )
            wait_for(lambda: "hetero_lr_0" in log.read_text(), 240, "HeteroLR runs")
            time.sleep(2)
            running.kill(victim)
            assert demo.wait(600) == 0, log.read_text()
        assert running.service(victim)["restarts"] == before + 1


def _demo_command(site: RunningSite) -> list[str]:
    import sys

    module = "fate_flow.cli.main"
    return [sys.executable, "-m", module, "demo", "--plain", "--home", str(site.home)]
