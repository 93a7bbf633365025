"""Sessions on Airflow's metadata database, where our tables lie too.

One session may hold job rows, a DAG and its run, so that they commit or roll back together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session


@contextmanager
def create_session() -> Iterator[Session]:
    """A session of its own: commits at the end of the block, rolls back on an exception.

    Raises:
        RuntimeError: Airflow's settings are not initialised in this process, or it is a task,
            where Airflow forbids the database.
    """
    from airflow.utils.session import create_session as airflow_session

    with airflow_session(scoped=False) as session:
        yield session
