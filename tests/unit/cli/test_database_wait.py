"""What ended is started again when its database is there; real sockets, a clock by hand."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fate_flow.cli.database_wait import PAUSE_SECONDS, DatabaseWait
from fate_flow.cli.services import Service
from fate_flow.settings import KEYS, Settings
from tests.support.service import free_ports

SCHEDULER, GATEWAY = Service("scheduler-2", ("x",)), Service("gateway", ("x",))


class Waiting:
    """A wait whose clock stands still, for a database on a port of its own."""

    def __init__(self, home: Path, engine: str = "mariadb") -> None:
        (self.port,) = free_ports(1)
        database = {"engine": engine, "name": "d", "host": "127.0.0.1", "port": self.port}
        values = {key.name: key.default for key in KEYS}
        self.settings = Settings(
            home, {**values, "USE_LOCAL_DATABASE": False, "DATABASE": database}
        )
        self.said: list[str] = []
        self.now = 100.0
        self.wait = DatabaseWait(self.settings, self.said.append, clock=lambda: self.now)

    def answer(self) -> bool:
        """What it says once nothing more can come."""
        while not self.wait.allows(SCHEDULER):
            reads, writes = self.wait.sockets()
            if not reads and not writes:
                return False
            assert any(select.select(reads, writes, [], 5)), "nothing comes"
        return True


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    return Waiting(tmp_path)


@pytest.fixture
def server(waiting: Waiting) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", waiting.port)) as listening:
        yield listening


def test_nothing_is_started_in_vain(waiting: Waiting) -> None:
    assert not waiting.answer()
    waiting.now += PAUSE_SECONDS / 2
    assert not waiting.wait.allows(SCHEDULER)
    assert waiting.wait.pause() == PAUSE_SECONDS, "it was asked a moment ago"
    waiting.now += PAUSE_SECONDS
    assert not waiting.answer()
    (told,) = waiting.said
    assert f"the database at 127.0.0.1:{waiting.port} does not answer" in told


def test_all_is_started_as_soon_as_it_answers(waiting: Waiting) -> None:
    assert not waiting.answer()
    with socket.create_server(("127.0.0.1", waiting.port)) as listening:
        waiting.now += PAUSE_SECONDS * 1.1
        assert not waiting.wait.allows(SCHEDULER)
        with listening.accept()[0] as connection:
            connection.sendall(b"\x4a\x00\x00\x00")
            assert waiting.answer()
    assert waiting.wait.allows(SCHEDULER), "the answer holds for the others too"
    assert "answers again" in waiting.said[-1]


def test_a_server_that_says_nothing_is_not_waited_for_endlessly(
    waiting: Waiting, server: socket.socket
) -> None:
    assert not waiting.wait.allows(SCHEDULER)
    assert waiting.wait.pause() < PAUSE_SECONDS
    waiting.now += 10
    assert not waiting.wait.allows(SCHEDULER)
    assert "no answer in time" in waiting.said[0]


def test_who_needs_no_server_is_not_kept(waiting: Waiting, tmp_path: Path) -> None:
    assert waiting.wait.allows(GATEWAY)
    values = {**waiting.settings.values, "USE_LOCAL_DATABASE": True}
    local = DatabaseWait(Settings(tmp_path, values), waiting.said.append)
    assert local.allows(SCHEDULER)
    assert waiting.said == []
