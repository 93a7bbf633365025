"""Sessions on Airflow's metadata database, where our tables lie too.

One session may hold job rows, a DAG and its run, so that they commit or roll back together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import CursorResult, Delete, Update
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
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


def may_pass(error: BaseException) -> bool:
    """Whether the database failed in a way that another try may survive: it was away or busy,
    or it ended this transaction so that a deadlock is over."""
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError)):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def rows_changed(session: Session, statement: Update | Delete) -> int:
    """Execute a statement; how many rows it has changed or deleted."""
    # Typed as any result; that of such a statement is a cursor's.
    return cast("CursorResult[Any]", session.execute(statement)).rowcount
