"""What is said before anything is started, by what real servers answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import backends
from fate_flow.settings import KEYS, Settings
from tests.support import servers
from tests.support.servers import DatabaseServer

pytestmark = pytest.mark.slow


def _settings(**values: Any) -> Settings:
    given = {**{key.name: key.default for key in KEYS}, **values}
    return Settings(Path("/nowhere"), given)


@pytest.fixture(scope="module", params=[servers.postgresql, servers.mariadb])
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    start: Callable[[], Any] = request.param
    with start() as server:
        server.create("known")
        yield server


def _examine(database: DatabaseServer, **change: Any) -> tuple[list[str], list[str]]:
    setting = {**database.setting("known"), **change}
    return backends.examine(_settings(USE_LOCAL_DATABASE=False, DATABASE=setting))


def test_a_database_that_lets_us_in(database: DatabaseServer) -> None:
    facts, problems = _examine(database)
    assert problems == []
    kind = "postgresql" if database.engine == "postgresql" else "MariaDB"
    assert f"database known at 127.0.0.1:{database.port} lets us in ({kind} 1" in facts[0]


def test_a_wrong_password(database: DatabaseServer) -> None:
    _, problems = _examine(database, passwd="not this one")
    assert len(problems) == 1
    assert problems[0].startswith("DATABASE.passwd: the server 127.0.0.1:")
    assert "refuses user 'fate_flow'" in problems[0]
    assert "not this one" not in problems[0]


def test_a_database_that_does_not_exist(database: DatabaseServer) -> None:
    # On MariaDB a user without rights on a database is not told whether it exists.
    database.sql(
        "ALTER ROLE fate_flow CREATEDB"
        if database.engine == "postgresql"
        else "GRANT ALL ON unknown.* TO fate_flow@'%'"
    )
    _, problems = _examine(database, name="unknown")
    assert len(problems) == 1
    assert "DATABASE.name: there is no database 'unknown'" in problems[0]
    assert "CREATE DATABASE unknown" in problems[0]


def test_a_database_that_is_not_ours(database: DatabaseServer) -> None:
    if database.engine == "postgresql":
        database.sql("CREATE DATABASE others", "REVOKE CONNECT ON DATABASE others FROM PUBLIC")
    else:
        database.sql("CREATE DATABASE others")
    _, problems = _examine(database, name="others")
    assert len(problems) == 1
    assert "user 'fate_flow' has no rights on 'others'" in problems[0]


def test_redis() -> None:
    with servers.redis() as server:

        def ask(index: int = 0, **change: Any) -> tuple[list[str], list[str]]:
            redis = {**server.setting(), **change}
            return backends.examine(_broker(redis, index))

        assert ask() == ([f"Redis at 127.0.0.1:{server.port} answers, database 0"], [])
        (problem,) = ask(password="wrong")[1]
        assert problem.startswith("REDIS.password: ")
        (problem,) = ask(password="")[1]
        assert problem.startswith("REDIS.password: ")
        (problem,) = ask(index=4000)[1]
        assert problem.startswith("REDIS_QUEUE_DB_INDEX: ")


def _broker(redis: dict[str, Any], index: int) -> Settings:
    return _settings(EXECUTOR="celery", REDIS=redis, REDIS_QUEUE_DB_INDEX=index)
