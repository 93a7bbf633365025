"""An API server that starts while the database is away, or together with another one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from fate_flow.jobs import startup


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup.time, "sleep", lambda _: None)
    state = {"ready": False, "error": "", "waiting_for": ""}
    monkeypatch.setattr(startup, "_state", state)


def _database(monkeypatch: pytest.MonkeyPatch, *failures: Exception) -> list[dict[str, object]]:
    """Each session fails with the next of these, then they open; what was said meanwhile."""
    left, said = list(failures), []

    @contextlib.contextmanager
    def session() -> Iterator[object]:
        said.append(startup.readiness())
        if left:
            raise left.pop(0)
        yield None

    monkeypatch.setattr(startup, "create_session", session)
    return said


def test_it_waits_for_a_database_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    away = OperationalError("SELECT 1", {}, Exception("connection refused"))
    said = _database(monkeypatch, *[away] * 50)
    done = []
    startup._in_a_transaction(lambda _: done.append(1))
    assert done == [1]
    assert "connection refused" in str(said[-1]["waiting_for"])
    assert startup.readiness() == {"ready": False}


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (IntegrityError("INSERT", {}, Exception("twice")), startup.ATTEMPTS),
        (ProgrammingError("SELECT", {}, Exception("no such table")), 1),
    ],
)
def test_what_does_not_pass_is_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int
) -> None:
    said = _database(monkeypatch, *[error] * 50)
    with pytest.raises(type(error)):
        startup._in_a_transaction(lambda _: None)
    assert len(said) == tries
