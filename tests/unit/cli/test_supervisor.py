"""Parts of the supervisor that need no processes: back-off, log rotation, lock, environment."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import processes, service, services, site, state
from fate_flow.cli.processes import Identity
from fate_flow.cli.services import Service
from fate_flow.cli.supervisor import BACKOFF_SECONDS, Child, Supervisor
from fate_flow.settings import KEYS, Settings


def _settings(home: Path, **values: Any) -> Settings:
    return Settings(home, {**{key.name: key.default for key in KEYS}, "IP": "127.0.0.1", **values})


def test_backoff_grows_and_ends_at_its_limit() -> None:
    child = Child(Service("x", ("true",)))
    delays = []
    for _ in range(8):
        child.started_at = 100.0
        child.ended(1, 101.0)
        delays.append(child.next_start - 101.0)
    assert delays[: len(BACKOFF_SECONDS)] == list(BACKOFF_SECONDS)
    assert delays[-1] == BACKOFF_SECONDS[-1]


def test_backoff_starts_anew_after_a_long_run() -> None:
    child = Child(Service("x", ("true",)))
    for _ in range(4):
        child.ended(1, 1.0)
    child.started_at = 1.0
    child.ended(-9, 1000.0)
    assert child.next_start == 1000.0 + BACKOFF_SECONDS[0]
    assert child.last_exit == "signal SIGKILL"


def test_a_clock_that_is_set_back_delays_no_start() -> None:
    child = Child(Service("x", ("true",)))
    child.started_at = 1000.0
    for _ in BACKOFF_SECONDS:
        child.ended(1, 1000.0)
    assert child.wait(1000.0) == BACKOFF_SECONDS[-1]
    assert child.wait(1010.0) == BACKOFF_SECONDS[-1] - 10
    assert child.wait(400.0) == 0


@pytest.mark.parametrize(
    ("setting", "has_files", "wanted"),
    [
        ("auto", False, False),
        ("auto", True, True),
        ("on", False, True),
        ("off", True, False),
    ],
)
def test_dag_processor_runs_where_there_are_dags(
    tmp_path: Path, setting: str, has_files: bool, wanted: bool
) -> None:
    (tmp_path / "dags").mkdir()
    if has_files:
        (tmp_path / "dags" / "mine.py").touch()
    settings = _settings(tmp_path, DAG_PROCESSOR=setting)
    names = [each.name for each in services.services_of(settings)]
    assert ("dag-processor" in names) == wanted
    assert names[:3] == ["gateway", "api-server", "scheduler"]


def test_dag_processor_is_kept_away_from_the_jobs(tmp_path: Path) -> None:
    settings = _settings(tmp_path, DAG_PROCESSOR="on")
    command = services.services_of(settings)[-1].command
    assert "fate_flow_jobs" not in command
    assert "dags-folder" in command


@pytest.mark.parametrize(("executor", "owns"), [("local", True), ("celery", False)])
def test_only_a_local_executor_owns_tasks(tmp_path: Path, executor: str, owns: bool) -> None:
    found = {s.name: s for s in services.services_of(_settings(tmp_path, EXECUTOR=executor))}
    assert found["scheduler"].owns_tasks is owns


def test_rotation_keeps_copies_and_the_writers_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with path.open("ab") as writer:
        for content in (b"first" * 10, b"second" * 10, b"third" * 10):
            writer.write(content)
            writer.flush()
            assert state.rotate(path, limit=20, copies=2)
        writer.write(b"after")
    assert path.read_bytes() == b"after"
    assert (tmp_path / "x.log.1").read_bytes() == b"third" * 10
    assert (tmp_path / "x.log.2").read_bytes() == b"second" * 10
    assert not (tmp_path / "x.log.3").exists()


def test_small_or_missing_logs_stay(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("short")
    assert not state.rotate(tmp_path / "x.log", limit=20)
    assert not state.rotate(tmp_path / "none.log", limit=20)


def test_lock_is_exclusive(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with state.hold_lock(path) as first, state.hold_lock(path) as second:
        assert (first, second) == (True, False)
    with state.hold_lock(tmp_path / "lock") as third:
        assert third


def test_state_counts_only_while_the_lock_is_held(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    paths = state.Paths.of(settings)
    paths.state.parent.mkdir()
    paths.state.write_text('{"pid": 1, "services": []}')
    assert state.read_state(settings) is None
    with state.hold_lock(paths.lock):
        assert state.read_state(settings) == {"pid": 1, "services": []}


def test_a_recycled_pid_is_another_process() -> None:
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.is_alive
    assert not Identity(me.pid, me.started + 1).is_alive
    assert not Identity(me.pid, me.started + 1).send(0)


def test_an_ended_child_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    identity = Identity(child.pid, 0.0)
    child.wait()
    assert Identity.of(child.pid) is None
    assert not identity.is_alive
    assert identity.process() is None


def test_end_terminates_and_kills() -> None:
    gentle = subprocess.Popen(["sleep", "60"])
    deaf = subprocess.Popen(
        ["bash", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"],
        stdout=subprocess.PIPE,
    )
    assert deaf.stdout is not None
    deaf.stdout.readline()
    identities = [Identity.of(child.pid) for child in (gentle, deaf)]
    assert processes.end([i for i in identities if i], grace=0.3) == 1
    assert gentle.wait(5) == -15
    assert deaf.wait(5) == -9
    deaf.stdout.close()


def test_child_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.setenv("AIRFLOW_HOME", "/somewhere/else")
    environment = site.child_environment(_settings(tmp_path), supervised=True)
    assert environment["AIRFLOW_HOME"] == str(tmp_path / "airflow")
    assert environment["FATE_FLOW_HOME"] == str(tmp_path)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["NO_PROXY"].split(",")[:2] == ["intranet", "127.0.0.1"]
    assert environment[processes.MARK] == str(tmp_path)
    assert processes.MARK not in site.child_environment(_settings(tmp_path))


def test_exported_variables_do_not_mark_a_users_shell(tmp_path: Path) -> None:
    assert processes.MARK not in site.site_variables(_settings(tmp_path))


def test_log_tail_names_the_file(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    path = state.Paths.of(settings).log("gateway")
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {i}\n" for i in range(100)))
    tail = service.log_tail(settings, "gateway", lines=2)
    assert tail.splitlines() == [f"last lines of {path}:", "  line 98", "  line 99"]
    assert "no log" in service.log_tail(settings, "scheduler")


def test_port_zero_of_an_unknown_host_is_a_reason() -> None:
    assert "cannot resolve" in processes.can_bind("no.such.host.invalid", 1)
    assert processes.listener(0) == ""


def test_a_full_disk_does_not_end_the_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    said: list[str] = []
    made = Supervisor(settings, [Service("x", ("true",))], said.append)
    made.paths.state.parent.mkdir(parents=True, exist_ok=True)
    real = Path.write_text

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    made._write_state()
    made._write_state()
    assert len(said) == 1, "once"
    assert "No space left" in said[0]
    monkeypatch.setattr(Path, "write_text", real)
    assert made._state_is_old, "it is written as soon as there is room"
    made._write_state()
    assert json.loads(made.paths.state.read_text())["pid"] == os.getpid()
    assert not made._state_is_old


def test_a_process_that_cannot_be_started_now_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    made = Supervisor(_settings(tmp_path), [Service("x", ("true",))], said.append)
    made.paths.state.parent.mkdir(parents=True, exist_ok=True)

    def full(_: Child) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(made, "_start", full)
    made._restart_due()
    assert "x cannot be started" in said[0]
    assert made.children[0].next_start > time.time()
