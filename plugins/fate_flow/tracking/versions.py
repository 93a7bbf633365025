"""Version records of tables: a chain of commits per namespace, the newest on a branch."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow.db.models import TableVersion

MASTER = "master"
HISTORY_LIMIT = 10


def save_version(
    session: Session,
    namespace: str,
    name: str,
    *,
    log: str = "",
    commit_id: str | None = None,
    tag: str | None = None,
    branch: str = MASTER,
) -> str:
    """Append a commit to a branch; its parent is the branch's newest commit.

    ``commit_id`` defaults to the table's name, as uploads do it. Saving the newest commit
    again marks it as repeated instead of making it its own parent.

    Returns:
        The commit id.
    """
    commit = commit_id or name or uuid.uuid4().hex
    head = _head(session, namespace, branch)
    if head is not None and head.commit_id == commit:
        head.repeat_commit, head.log = 1, log or head.log
        session.flush()
        return commit
    session.add(
        TableVersion(
            namespace=namespace,
            branch=branch,
            name=name,
            commit_id=commit,
            parent=head.commit_id if head else None,
            log=log,
            tag=tag,
        )
    )
    session.flush()
    return commit


def _head(session: Session, namespace: str, branch: str) -> TableVersion | None:
    statement = (
        select(TableVersion)
        .where(TableVersion.namespace == namespace, TableVersion.branch == branch)
        .order_by(TableVersion.id.desc())
        .limit(1)
    )
    return session.scalar(statement)


def newest_name(session: Session, namespace: str, branch: str = MASTER) -> str | None:
    """Table name of the branch's newest commit."""
    head = _head(session, namespace, branch)
    return head.name if head else None


def version_history(
    session: Session, namespace: str, *, branch: str = MASTER, limit: int = HISTORY_LIMIT
) -> list[dict[str, Any]]:
    """Commits, newest first: ``commitId, parent, name, namespace, log, tag[, repeatCommit]``."""
    statement = (
        select(TableVersion)
        .where(TableVersion.namespace == namespace, TableVersion.branch == branch)
        .order_by(TableVersion.id.desc())
        .limit(limit)
    )
    return [_commit(row) for row in session.scalars(statement)]


def _commit(row: TableVersion) -> dict[str, Any]:
    commit: dict[str, Any] = {
        "commitId": row.commit_id,
        "parent": row.parent,
        "name": row.name,
        "namespace": row.namespace,
        "log": row.log,
        "tag": row.tag,
    }
    if row.repeat_commit:
        commit["repeatCommit"] = True
    return commit
