"""The tables: names and columns that FATE-Board reads, and the migration that makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from fate_flow.db.migrations.versions import r0001_first_tables as first
from fate_flow.db.migrations.versions import r0003_peers as peers
from fate_flow.db.migrations.versions import r0004_sites as sites
from fate_flow.db.models import Job, Metric, Outbox, columns_of, metadata, row_to_dict

STEPS: list[Any] = [first, peers, sites]

#: What FATE-Board 1.4 selects.
BOARD_JOB = """
f_job_id f_role f_party_id f_name f_tag f_initiator_party_id f_status f_current_steps
f_current_tasks f_progress f_create_time f_update_time f_start_time f_end_time f_elapsed
f_run_ip f_description f_roles f_dsl f_runtime_conf"""
BOARD_TASK = """
f_task_id f_job_id f_component_name f_operator f_run_ip f_run_pid f_status f_create_time
f_update_time f_start_time f_end_time f_elapsed f_role f_party_id"""


def _migrate(engine: Engine, step: Callable[[], None]) -> None:
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            step()


@pytest.fixture
def migrated(tmp_path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    for step in STEPS:
        _migrate(engine, step.upgrade)
    return engine


def test_board_finds_its_columns() -> None:
    assert set(BOARD_JOB.split()) <= set(metadata.tables["t_job"].columns.keys())
    assert set(BOARD_TASK.split()) <= set(metadata.tables["t_task"].columns.keys())


def test_migrations_make_what_the_models_say(migrated: Engine) -> None:
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_downgrade_leaves_nothing(migrated: Engine) -> None:
    for step in reversed(STEPS):
        _migrate(migrated, step.downgrade)
    assert inspect(migrated).get_table_names() == []


@pytest.mark.parametrize(
    "dialect", [make() for make in (sqlite.dialect, postgresql.dialect, mysql.dialect)]
)
def test_ddl_of_each_database(dialect: Dialect) -> None:
    for table in metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert "PRIMARY KEY" in text
        if dialect.name == "mysql":
            key_bytes = sum(4 * getattr(c.type, "length", 2) for c in table.primary_key)
            assert key_bytes <= 3072, f"{table.name}: key too long for InnoDB"
            for index in table.indexes:
                size = sum(4 * (getattr(c.type, "length", None) or 2) for c in index.columns)
                assert size <= 3072, f"{index.name}: too long for InnoDB"
    job = str(CreateTable(metadata.tables["t_job"]).compile(dialect=dialect))
    assert ("MEDIUMTEXT" in job) == (dialect.name == "mysql")


def test_automatic_keys_and_defaults(migrated: Engine) -> None:
    with Session(migrated) as session:
        session.add(Outbox(destination="d", path="/p", body="{}"))
        job = Job(
            f_job_id="1",
            f_role="guest",
            f_party_id="1",
            f_roles="{}",
            f_dsl="{}",
            f_runtime_conf="{}",
            f_status="waiting",
        )
        session.add(job)
        session.commit()
        outbox = session.query(Outbox).one()
        assert (outbox.id, outbox.attempts) == (1, 0)
        row = row_to_dict(session.query(Job).one())
    assert list(row) == columns_of(Job)
    assert (row["f_progress"], row["f_is_initiator"], row["f_description"]) == (0, -1, "")
    assert row["f_create_time"] > 1_700_000_000_000


def test_metrics_are_found_by_an_index(migrated: Engine) -> None:
    with migrated.connect() as connection:
        plan = connection.exec_driver_sql(
            f"explain query plan select * from {Metric.__tablename__} "
            "where f_job_id='1' and f_component_name='c' and f_role='guest' and f_party_id='1'"
        ).fetchall()
    assert "idx_t_tracking_metric_component" in str(plan)
