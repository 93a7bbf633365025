"""The same behaviour on every database: SQLite, PostgreSQL, MariaDB, and others that are named.

The variable FATE_FLOW_TEST_DATABASES holds SQLAlchemy URLs of empty databases, separated by
blanks, for instance
``postgresql+psycopg2://u:p@127.0.0.1/t mysql+pymysql://u:p@127.0.0.1/t?charset=utf8mb4``.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.orm import Session

from fate_flow.cli.airflow_config import database_urls
from fate_flow.db.migrations import versions
from fate_flow.db.models import Job, Outbox, metadata
from fate_flow.settings import KEYS, Settings
from fate_flow.tracking import store
from fate_flow.tracking.store import TaskScope
from tests.support import servers
from tests.support.site import JOB_ID, add_job

URLS = os.environ.get("FATE_FLOW_TEST_DATABASES", "").split()
#: Started for these tests where they are installed.
SERVERS = {"postgresql": servers.postgresql, "mariadb": servers.mariadb}
SCOPE = TaskScope(JOB_ID, "hetero_lr_0", "guest", "9999")


@pytest.fixture(
    scope="module",
    params=["sqlite://", *(pytest.param(name, marks=pytest.mark.slow) for name in SERVERS), *URLS],
    ids=lambda text: text.partition(":")[0],
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of an empty database."""
    start = SERVERS.get(request.param)
    if start is None:
        yield request.param
        return
    with start() as server:
        values = {key.name: key.default for key in KEYS}
        values |= server.site_values("contract")
        yield database_urls(Settings(Path("/nowhere"), values))[0]


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An empty database, migrated by the chain."""
    made = create_engine(url)
    metadata.drop_all(made)
    with made.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        for name in sorted(module.name for module in pkgutil.iter_modules(versions.__path__)):
            importlib.import_module(f"{versions.__name__}.{name}").upgrade()
    yield made
    metadata.drop_all(made)
    made.dispose()


def test_the_chain_makes_all_tables(engine: Engine) -> None:
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())


def test_long_documents_and_exact_names(engine: Engine) -> None:
    text = "ü" * 200_000
    with Session(engine) as session, session.begin():
        add_job(session)
        session.query(Job).update({"f_description": text})
        store.save_task(session, SCOPE, status="running")
        store.save_task(session, SCOPE._replace(component="HETERO_lr_0"), status="running")
    with Session(engine) as session:
        assert {job.f_description for job in session.query(Job)} == {text}
        names = [task.f_component_name for task in store.query_tasks(session, {})]
        assert sorted(names) == ["HETERO_lr_0", "hetero_lr_0"]
        assert store.query_tasks(session, {"component_name": "HETERO_LR_0"}) == []


def test_tracking(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        for round_ in range(3):
            points = [(key, key * 0.5) for key in range(600 * round_, 600 * (round_ + 1))]
            store.add_metrics(session, SCOPE, "train", "loss", points, {"round": round_})
        store.save_data_view(session, SCOPE, table_name="t", table_count_actual=3_000_000_000)
        store.save_job_view(session, JOB_ID, "guest", 9999, {"roles": {"guest": [9999]}})
        store.save_version(session, "n", "t", log="x")
        session.add(Outbox(destination="d", path="/p", body="{}"))
    with Session(engine) as session:
        metric = store.read_metric(session, SCOPE, "train", "loss")
        assert metric.points == [[key, key * 0.5] for key in range(1800)]
        assert metric.meta == {"round": 2}
        view = store.data_view(session, SCOPE)
        assert view is not None
        assert view.f_table_count_actual == 3_000_000_000
        assert store.newest_name(session, "n") == "t"
        assert store.delete_task_metrics(session, SCOPE) == 1803
        assert store.read_job_view(session, JOB_ID, "guest", 9999)["roles"] == {"guest": [9999]}


def test_an_ended_task_stays_ended(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        assert store.save_task(session, SCOPE, status="success", start_time=1, end_time=3)
        assert not store.save_task(session, SCOPE, status="failed")
        task = store.query_tasks(session, {"job_id": JOB_ID})[0]
        assert (task.f_status, task.f_elapsed) == ("success", 2)
