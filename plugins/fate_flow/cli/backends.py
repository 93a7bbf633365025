"""The servers that a bigger site needs: are their drivers here, and do they let us in?

Asked by ``fate_flow check`` and before anything is started, so that a wrong password is one
sentence and not the traceback of a process in some log.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from typing import Any

from fate_flow.cli import airflow_config
from fate_flow.errors import ConfigurationError
from fate_flow.settings import Settings

CONNECT_SECONDS = 5
#: Distribution -> extra of this package that brings it.
_DRIVERS = {
    "postgresql": {"psycopg2-binary": "postgres", "asyncpg": "postgres"},
    "mysql": {"PyMySQL": "mysql", "aiomysql": "mysql"},
}
_CELERY = {"apache-airflow-providers-celery": "celery", "redis": "celery"}
#: Distributions that serve as well.
_SAME = {"psycopg2-binary": "psycopg2"}
#: Exists when ``fate_flow db migrate`` was run on the database.
_VERSION_TABLE = "alembic_version_fate_flow"


def require(settings: Settings) -> None:
    """Refuse to go on without database and broker.

    Raises:
        ConfigurationError: all that is wrong, each with what to do.
    """
    problems = examine(settings)[1]
    if problems:
        raise ConfigurationError("\n".join(problems), remedy="Then: fate_flow check")


def examine(settings: Settings) -> tuple[list[str], list[str]]:
    """What was found to work, and what does not, one line each."""
    facts: list[str] = []
    problems = list(_missing(settings))
    if problems:
        return facts, problems
    if not settings.USE_LOCAL_DATABASE:
        _note(_database(settings), facts, problems)
    if settings.uses_celery:
        _note(_redis(settings), facts, problems)
    return facts, problems


def has_schema(settings: Settings) -> bool:
    """Whether our tables are in the database server; False when it does not answer."""
    import sqlalchemy

    try:
        engine = _engine(settings)
        try:
            return bool(sqlalchemy.inspect(engine).has_table(_VERSION_TABLE))
        finally:
            engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ConfigurationError):
        return False


def _note(answer: tuple[str, str], facts: list[str], problems: list[str]) -> None:
    fact, problem = answer
    if problem:
        problems.append(problem)
    else:
        facts.append(fact)


def _missing(settings: Settings) -> Iterator[str]:
    wanted: dict[str, str] = {}
    if not settings.USE_LOCAL_DATABASE:
        url = airflow_config.database_urls(settings)[0]
        wanted |= _DRIVERS[url.partition("+")[0]]
    if settings.uses_celery:
        wanted |= _CELERY
    for name, extra in wanted.items():
        if not (_is_installed(name) or _is_installed(_SAME.get(name, name))):
            setting = "EXECUTOR" if extra == "celery" else "DATABASE.engine"
            yield (
                f"{setting}: the Python package {name} is missing; "
                f"run: pip install 'fate-flow-airflow[{extra}]'"
            )


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _engine(settings: Settings) -> Any:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    url = airflow_config.database_urls(settings)[0]
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})


def _database(settings: Settings) -> tuple[str, str]:
    """A fact or a problem."""
    from sqlalchemy.exc import DBAPIError

    database = settings.DATABASE
    _, _, default_port = airflow_config.driver_of(settings)
    server = f"{database['host']}:{database.get('port', default_port)}"
    engine = _engine(settings)
    try:
        with engine.connect() as connection:
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
            is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
        if is_mariadb and not airflow_config.is_mariadb(settings):
            return "", f"DATABASE.engine: the server {server} is MariaDB; write engine: mariadb"
        kind = "MariaDB" if is_mariadb else engine.name
        return f"database {database['name']} at {server} lets us in ({kind} {version})", ""
    except DBAPIError as error:
        return "", _explain(error.orig, database, server)
    except (OSError, UnicodeError) as error:
        return "", f"DATABASE: {server}: {error}"
    finally:
        engine.dispose()


def _explain(error: Any, database: Any, server: str) -> str:
    """A refusal of a database server as one line with what to do."""
    text = " ".join(str(error).split())
    code = error.args[0] if error is not None and error.args else None
    if "authentication failed" in text or code == 1045:
        return (
            f"DATABASE.passwd: the server {server} refuses user {database['user']!r} with this "
            "password; correct user or passwd"
        )
    if ("does not exist" in text and "database" in text) or code == 1049:
        return (
            f"DATABASE.name: there is no database {database['name']!r} at {server}; make it: "
            f"{_CREATE[_family(database)].format(**database)}"
        )
    if code == 1044 or "permission denied" in text:
        return (
            f"DATABASE: user {database['user']!r} has no rights on {database['name']!r} at "
            f"{server}; grant them"
        )
    return f"DATABASE: {server} cannot be used: {text[:300]}"


_CREATE = {
    "postgresql": "CREATE DATABASE {name} OWNER {user}",
    "mysql": "CREATE DATABASE {name} CHARACTER SET utf8mb4",
}


def _family(database: Any) -> str:
    return "postgresql" if str(database.get("engine", "")).startswith("postgres") else "mysql"


def _redis(settings: Settings) -> tuple[str, str]:
    """A fact or a problem."""
    import redis

    place = f"{settings.REDIS.get('host', '127.0.0.1')}:{settings.REDIS.get('port', 6379)}"
    client = redis.Redis.from_url(
        airflow_config.broker_url(settings),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=CONNECT_SECONDS,
        retry=None,
    )
    try:
        client.ping()
        return f"Redis at {place} answers, database {settings.REDIS_QUEUE_DB_INDEX}", ""
    except redis.AuthenticationError:
        return "", f"REDIS.password: Redis at {place} refuses it; correct it"
    except redis.ResponseError as error:
        if "out of range" in str(error):
            return "", (
                f"REDIS_QUEUE_DB_INDEX: Redis at {place} has no database "
                f"{settings.REDIS_QUEUE_DB_INDEX}; take a lower number"
            )
        return "", f"REDIS: {place}: {error}"
    except (redis.RedisError, OSError) as error:
        return "", f"REDIS: {place} does not answer: {error}"
    finally:
        client.close()
