"""Runs our migrations, on Airflow's engine or as SQL text; loaded by alembic only."""

from __future__ import annotations

from typing import Any

from airflow import settings
from alembic import context

from fate_flow.db.manager import FateFlowDBManager

_METADATA = FateFlowDBManager.metadata


def _is_ours(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
    return kind != "table" or name in _METADATA.tables


_OPTIONS: dict[str, Any] = {
    "target_metadata": _METADATA,
    "version_table": FateFlowDBManager.version_table_name,
    "include_object": _is_ours,
    "compare_type": True,
    "render_as_batch": True,
}


def _run_as_text() -> None:
    context.configure(url=settings.SQL_ALCHEMY_CONN, literal_binds=True, **_OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def _run_on_database() -> None:
    if settings.engine is None:
        raise RuntimeError("Airflow's settings are not initialised")
    with settings.engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True, **_OPTIONS)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    _run_as_text()
else:
    _run_on_database()
