"""Plain Airflow commands make our tables, and one session holds our rows and Airflow's."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from fate_flow.db.migrations.versions import r0004_sites
from fate_flow.db.models import metadata

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A fresh Airflow home whose database ``airflow db migrate`` has made."""
    home = tmp_path_factory.mktemp("airflow")
    made = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/fate_flow_sqlite.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ann:admin,vic:viewer",
        "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
        "FATE_FLOW_HOME": str(home),
    }
    _airflow(made, "db", "migrate")
    return made


def _airflow(environment: Mapping[str, str], *arguments: str) -> str:
    return _run(environment, "-m", "airflow", *arguments)


def _run(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def _database(environment: Mapping[str, str]) -> Path:
    return Path(environment["AIRFLOW_HOME"]) / "fate_flow_sqlite.db"


def _names(environment: Mapping[str, str]) -> set[str]:
    with sqlite3.connect(_database(environment)) as connection:
        rows = connection.execute("select name from sqlite_master where type = 'table'")
        return {row[0] for row in rows}


def test_migrate_makes_and_stamps_our_tables(environment: Mapping[str, str]) -> None:
    assert set(metadata.tables) <= _names(environment)
    with sqlite3.connect(_database(environment)) as connection:
        stamp = connection.execute("select version_num from alembic_version_fate_flow").fetchall()
    assert stamp == [(r0004_sites.revision,)], "the newest"
    _airflow(environment, "db", "check-migrations", "--migration-wait-timeout", "1")


MANAGER = """
from airflow import settings
settings.initialize()
from airflow.utils.session import create_session
from fate_flow.db.manager import FateFlowDBManager as Manager
from sqlalchemy import inspect
with create_session(scoped=False) as session:
    assert Manager(session).check_migration()
    Manager(session).downgrade("base")
    assert not inspect(settings.engine).has_table("t_job")
    assert not Manager(session).check_migration()
    Manager(session).upgradedb(use_migration_files=True)
    assert inspect(settings.engine).has_table("t_job")
    assert Manager(session).check_migration()
"""


def test_our_chain_goes_down_and_up(environment: Mapping[str, str]) -> None:
    _run(environment, "-c", MANAGER)
    assert set(metadata.tables) <= _names(environment)


TRANSACTION = """
from airflow import settings
settings.initialize()
from airflow.models import Variable
from fate_flow.db.models import Queue
from fate_flow.db.session import create_session
try:
    with create_session() as session:
        session.add(Queue(f_job_id="1", f_event="{}"))
        session.add(Variable(key="k", val="v"))
        session.flush()
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
with create_session() as session:
    assert session.query(Queue).count() == session.query(Variable).count() == 0
    session.add(Queue(f_job_id="1", f_event="{}"))
    session.add(Variable(key="k", val="v"))
with create_session() as session:
    assert session.query(Queue).count() == session.query(Variable).count() == 1
"""


def test_one_transaction_for_our_rows_and_airflows(environment: Mapping[str, str]) -> None:
    _run(environment, "-c", TRANSACTION)


AUTHENTICATION = """
from pathlib import Path
import os
from starlette.testclient import TestClient
from airflow import settings as airflow_settings
airflow_settings.initialize()
from airflow.api_fastapi.app import init_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser as User
from fate_flow import settings
from fate_flow.api.app import create_app

manager = init_auth_manager()
values = {key.name: key.default for key in settings.KEYS}
values.update(IP="0.0.0.0", USE_AUTHENTICATION=True)
app = create_app(settings.Settings(Path(os.environ["FATE_FLOW_HOME"]), values))

def ask(path, token=None, **more):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"job_id": "1", "src_party_id": "1", "src_role": "guest"}
    answer = TestClient(app).post(path, json=body, headers=headers, **more)
    return answer.status_code, answer.json()["retcode"]

ann = manager.generate_jwt(User(username="ann", role="admin"))
vic = manager.generate_jwt(User(username="vic", role="viewer"))
bob = manager.generate_jwt(User(username="bob", role="user"))
assert ask("/job/query") == (401, 100)
assert ask("/job/query", "x.y.z") == (403, 100)
assert ask("/job/query", ann[:-3]) == (403, 100)
assert ask("/job/query", ann) == (200, 101)
assert ask("/job/query", vic) == (200, 101)
assert ask("/job/stop", vic) == (403, 100)
assert ask("/job/stop", ann) == (200, 100)
assert ask("/job/stop", bob) == (200, 100)
assert ask("/job/query", cookies={"_token": ann}) == (200, 101)
assert ask("/permission/grant/privilege", bob) == (403, 100)
assert ask("/permission/grant/privilege", ann) == (200, 0)
assert ask("/permission/query/privilege", vic) == (200, 0)
"""


def test_airflows_tokens_open_the_api(environment: Mapping[str, str]) -> None:
    _run(environment, "-c", AUTHENTICATION)
