"""What unit tests of several rooms need."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def airflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with Airflow's tables and ours; copied for each test."""
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from fate_flow.compiler.register import sync_bundles
    from fate_flow.db.models import metadata

    path = tmp_path_factory.mktemp("airflow_database") / "template.db"
    engine = create_engine(f"sqlite:///{path}")
    import_all_models()  # type: ignore[no-untyped-call]
    Base.metadata.create_all(engine)
    metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        sync_bundles(session)
    engine.dispose()
    return path
