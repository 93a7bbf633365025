"""When a silent process is ended and when it is left alone; real sockets, a clock by hand."""

from __future__ import annotations

import itertools
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import probes, processes, watchdog
from fate_flow.cli.processes import Identity
from fate_flow.cli.services import Service
from fate_flow.cli.watchdog import Watchdog
from fate_flow.settings import KEYS, Settings

pytestmark = pytest.mark.slow

HEALTHY = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "healthy"}}
SILENT_SCHEDULER = {**HEALTHY, "scheduler": {"status": "unhealthy"}}
DATABASE_DOWN = {"metadatabase": {"status": "unhealthy"}, "scheduler": {"status": "unhealthy"}}


class Server:
    """Listens; answers what it is told to, or nothing."""

    def __init__(self) -> None:
        self.answer: bytes | None = b""
        self.asked = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._held: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def says(self, page: dict[str, Any] | None) -> None:
        body = json.dumps(page).encode()
        self.answer = None if page is None else b"HTTP/1.1 200 OK\r\n\r\n" + body

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.asked += 1
            if self.answer is None:
                self._held.append(connection)
                continue
            with connection:
                if self.answer.startswith(b"HTTP"):
                    connection.recv(1000)
                connection.sendall(self.answer)

    def close(self) -> None:
        self._socket.close()
        for connection in self._held:
            connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


class Process:
    """A process to be ended."""

    def __init__(self, code: str = "import time; time.sleep(600)") -> None:
        self.popen = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        identity = Identity.of(self.popen.pid)
        assert identity is not None
        self.identity = identity

    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def ended(self) -> int:
        return self.popen.wait(10)


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.popen.kill()
    made.popen.wait()


class Site:
    """A watchdog with a clock that goes on when it is told to."""

    def __init__(self, home: Path, api: Server, **values: Any) -> None:
        self.said: list[str] = []
        self.now, self.slept, self.burden = 1000.0, 0.0, 1.0
        known = {key.name: key.default for key in KEYS}
        mine = {"HTTP_PORT": api.port, "IP": "127.0.0.1", **values}
        self.settings = Settings(home, {**known, **mine})
        self.dog = Watchdog(
            self.settings,
            self.said.append,
            lambda: self.now,
            lambda: self.now + self.slept,
            lambda: self.burden,
        )
        self.running: list[tuple[Service, Identity]] = []

    def run(self, name: str, process: Process, **options: Any) -> Site:
        self.running.append((Service(name, ("x",), **options), process.identity))
        return self

    def pass_time(self, seconds: float) -> list[str]:
        """Time in steps of a few seconds; names of what was found to hang."""
        found: list[str] = []
        end = self.now + seconds
        while self.now < end and not found:
            self.now += 4.0
            found = self._step()
        return found

    def _step(self) -> list[str]:
        """Let the answers come that are on their way."""
        found: list[str] = []
        for _ in range(20):
            found += [service.name for service, _ in self.dog.tick(self.running)]
            reads, writes = self.dog.sockets()
            if not (reads or writes) or not any(select.select(reads, writes, [], 0.05)[:2]):
                return found
        return found


@pytest.fixture
def site(tmp_path: Path, server: Server) -> Site:
    return Site(tmp_path, server)


def test_a_server_that_answers_is_left_alone(site: Site, server: Server, process: Process) -> None:
    server.says(HEALTHY)
    assert site.run("api-server", process).pass_time(300) == []
    assert 25 <= server.asked <= 35, "a question every ten seconds"
    assert process.is_alive()


def test_a_silent_server_is_ended(site: Site, server: Server, process: Process) -> None:
    server.says(HEALTHY)
    site.run("api-server", process).pass_time(30)
    server.says(None)
    began = site.now
    assert site.pass_time(120) == ["api-server"]
    assert 50 <= site.now - began <= 75
    assert process.ended() == -signal.SIGTERM
    assert len(site.said) == 1
    for part in ("api-server (pid", "has not answered for", "api-server.log", "HANG_PATIENCE"):
        assert part in site.said[0]


def test_what_was_never_well_is_left_alone(site: Site, server: Server, process: Process) -> None:
    """It may still be starting; who starts the site is told."""
    server.says(None)
    assert site.run("api-server", process).pass_time(600) == []
    assert process.is_alive()


def test_any_answer_is_one(site: Site, server: Server, process: Process) -> None:
    server.answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    assert site.run("api-server", process).pass_time(300) == []


def test_a_pause_shorter_than_the_patience(site: Site, server: Server, process: Process) -> None:
    server.says(HEALTHY)
    site.run("api-server", process).pass_time(30)
    for _ in range(4):
        server.says(None)
        assert site.pass_time(40) == []
        server.says(HEALTHY)
        assert site.pass_time(20) == []


def test_a_machine_that_slept(site: Site, server: Server, process: Process) -> None:
    """The patience begins anew when the supervisor itself did not run for long."""
    server.says(HEALTHY)
    site.run("api-server", process).pass_time(30)
    server.says(None)
    for _ in range(5):
        assert site.pass_time(50) == []
        site.slept += 3600
    assert site.pass_time(80) == ["api-server"]


def test_nothing_is_asked_when_it_is_off(tmp_path: Path, server: Server, process: Process) -> None:
    site = Site(tmp_path, server, HANG_PATIENCE=0).run("api-server", process)
    process.identity.send(signal.SIGSTOP)
    assert site.pass_time(600) == []
    assert server.asked == 0
    assert site.dog.due() == float("inf")


def _count_cpu_by_looks(monkeypatch: pytest.MonkeyPatch, still: set[int]) -> None:
    """Steps of the clock cost no time, so the CPU time is counted by looks."""
    ticks: dict[int, int] = {}

    def activity(pid: int) -> tuple[str, int]:
        ticks[pid] = ticks.get(pid, 0) + (pid not in still)
        return "S", ticks[pid]

    monkeypatch.setattr(processes, "activity", activity)


def test_a_scheduler_that_does_not_report(
    site: Site, server: Server, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    _count_cpu_by_looks(monkeypatch, set())
    server.says(HEALTHY)
    api = Process()
    try:
        site.run("api-server", api).run("scheduler", process, owns_tasks=True)
        assert site.pass_time(60) == []
        server.says(SILENT_SCHEDULER)
        began = site.now
        assert site.pass_time(300) == ["scheduler"]
        assert 110 <= site.now - began <= 140, "twice the patience"
        assert process.ended() == -signal.SIGKILL, "so that it reports no task as failed"
        assert api.is_alive()
    finally:
        api.popen.kill()
        api.popen.wait()


def test_nothing_known_of_the_scheduler(
    site: Site, server: Server, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a database no scheduler reports; a restart would not help."""
    _count_cpu_by_looks(monkeypatch, set())
    server.says(HEALTHY)
    site.run("api-server", process).run("scheduler", process)
    site.pass_time(60)
    server.says(DATABASE_DOWN)
    assert site.pass_time(900) == []


def test_the_one_of_two_schedulers_that_stands_still(
    site: Site, server: Server, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Process()
    still: set[int] = set()
    _count_cpu_by_looks(monkeypatch, still)
    try:
        server.says(HEALTHY)
        for name, each in (("api-server", process), ("scheduler", process), ("scheduler-2", other)):
            site.run(name, each)
        assert site.pass_time(60) == []
        still.add(other.identity.pid)
        assert site.pass_time(300) == ["scheduler-2"]
    finally:
        other.popen.kill()
        other.popen.wait()


@pytest.mark.parametrize("answers", [False, True])
def test_a_database_that_does_not_answer(
    tmp_path: Path, server: Server, process: Process, answers: bool
) -> None:
    """The API server waits for it; a restart would not help."""
    database = Server()
    database.answer = b"N" if answers else None
    values = {"engine": "postgresql", "host": "127.0.0.1", "port": database.port}
    site = Site(tmp_path, server, USE_LOCAL_DATABASE=False, DATABASE=values)
    try:
        server.says(HEALTHY)
        site.run("api-server", process).pass_time(30)
        assert database.asked == 0, "only when something is wrong"
        server.says(None)
        assert site.pass_time(200) == (["api-server"] if answers else [])
        assert database.asked == (1 if answers else 2)
        if not answers:
            assert "left alone" in site.said[0]
            assert str(database.port) in site.said[0]
    finally:
        database.close()


def test_a_process_that_was_stopped(site: Site, process: Process) -> None:
    """Of some nothing else is known; and nothing waits for what a stopped one holds."""
    site.run("celery-worker", process, owns_tasks=True, killed=True)
    assert site.pass_time(100) == []
    process.identity.send(signal.SIGSTOP)
    _wait(lambda: (processes.activity(process.identity.pid) or ("",))[0] == "T")
    assert site.pass_time(100) == ["celery-worker"]
    assert "was stopped by a signal" in site.said[0]
    assert process.ended() == -signal.SIGKILL


def test_a_stopped_process_that_goes_on(site: Site, process: Process) -> None:
    site.run("dag-processor", process)
    process.identity.send(signal.SIGSTOP)
    _wait(lambda: (processes.activity(process.identity.pid) or ("",))[0] == "T")
    assert site.pass_time(50) == []
    process.identity.send(signal.SIGCONT)
    _wait(lambda: (processes.activity(process.identity.pid) or ("T",))[0] != "T")
    assert site.pass_time(300) == []
    assert process.is_alive()


def test_others_wait_for_a_stopped_one(site: Site, server: Server, process: Process) -> None:
    """The API server may wait for a lock that the stopped scheduler holds."""
    scheduler = Process()
    try:
        server.says(HEALTHY)
        site.run("api-server", process).run("scheduler", scheduler, owns_tasks=True)
        site.pass_time(30)
        scheduler.identity.send(signal.SIGSTOP)
        _wait(lambda: (processes.activity(scheduler.identity.pid) or ("",))[0] == "T")
        server.says(None)
        assert site.pass_time(120) == ["scheduler"]
        assert process.is_alive()
    finally:
        scheduler.popen.kill()
        scheduler.popen.wait()


def test_waiting_for_a_disk(
    site: Site, server: Server, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says(HEALTHY)
    site.run("api-server", process).pass_time(30)
    monkeypatch.setattr(processes, "activity", lambda _: (watchdog.WAITS_FOR_DISK, 1))
    server.says(None)
    assert site.pass_time(300) == []
    monkeypatch.setattr(processes, "activity", lambda _: ("S", 1))
    assert site.pass_time(100) == ["api-server"]


def test_patience_grows_with_the_load(site: Site, server: Server, process: Process) -> None:
    server.says(HEALTHY)
    site.run("api-server", process).pass_time(30)
    server.says(None)
    site.burden = 3.0
    assert site.pass_time(150) == []
    assert site.pass_time(60) == ["api-server"]


def test_the_load_is_measured_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog.os, "cpu_count", lambda: 2)
    for load, burden in ((0.1, 1.0), (4.0, 1.0), (8.0, 2.0), (500.0, 4.0)):
        monkeypatch.setattr(watchdog.os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert watchdog._burden() == burden


def test_patience_grows_with_each_hang(site: Site, server: Server) -> None:
    waits: list[float] = []
    for _ in range(4):
        process = Process()
        try:
            server.says(HEALTHY)
            site.running.clear()
            site.run("api-server", process)
            site.pass_time(30)
            server.says(None)
            began = site.now
            assert site.pass_time(1000) == ["api-server"]
            waits.append(site.now - began)
        finally:
            process.popen.kill()
            process.popen.wait()
    for shorter, longer in itertools.pairwise(waits):
        assert 1.6 < longer / shorter < 2.4


def test_a_deaf_process_is_killed(site: Site, server: Server) -> None:
    deaf = Process(
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\nimport time; time.sleep(600)"
    )
    try:
        assert deaf.popen.stdout is not None
        deaf.popen.stdout.readline()
        server.says(HEALTHY)
        site.run("api-server", deaf).pass_time(30)
        server.says(None)
        assert site.pass_time(100) == ["api-server"]
        assert deaf.is_alive()
        site.pass_time(watchdog.END_SECONDS + 2)
        assert deaf.ended() == -signal.SIGKILL
    finally:
        deaf.popen.kill()
        deaf.popen.wait()


def test_the_watchdog_imports_no_clients() -> None:
    code = (
        "import sys, fate_flow.cli.supervisor\n"
        "heavy = {'ssl', 'grpc', 'airflow', 'sqlalchemy', 'http.client', 'asyncio', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestWhatIsUnderstood:
    """Answers in pieces, as they may come."""

    def test_a_call_is_answered_by_its_headers_only(self) -> None:
        settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
        goaway = bytes([0, 0, 1, 7, 0, 0, 0, 0, 0, 9])
        headers = bytes([0, 0, 2, 1, 5, 0, 0, 0, 1, 0x88, 0x88])
        assert probes.answered_call(settings + goaway) is None
        assert probes.answered_call(settings + headers[:8]) is None
        assert probes.answered_call(settings + headers) is True

    def test_http_is_waited_for_until_it_is_complete(self) -> None:
        whole = b'HTTP/1.1 200 OK\r\na: b\r\n\r\n{"x": 1}'
        for length in range(len(whole)):
            assert probes.complete_http(whole[:length]) is None
        assert probes.complete_http(whole) is True
        assert probes.complete_http(b"HTTP/1.1 503 No\r\n\r\n") is True

    def test_a_port_that_nobody_has(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        probe = probes.Probe(probes.http_question("127.0.0.1", port, "/"), 0.0)
        while probe.answer is None:
            select.select(probe.reads, probe.writes, [], 1)
            probe.advance()
        assert probe.answer is False
        assert "refused" in probe.reason.lower()

    def test_a_name_that_nobody_knows(self) -> None:
        probe = probes.Probe(probes.database_question("mysql", "no.such.host.invalid", 1), 0.0)
        assert probe.answer is False
        assert probe.reason


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
