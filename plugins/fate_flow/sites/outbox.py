"""Messages to other sites, kept in the transaction that they tell of until they are taken.

A message is a snapshot: of one method about one job to one site only the newest is kept, and
its version lets the receiver pass over older ones. So nothing piles up for a site that is
away, and order does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from fate_flow.db.models import Outbox, now_ms
from fate_flow.db.session import rows_changed

FIRST_PAUSE_MS = 300
LONGEST_PAUSE_MS = 5000


@dataclass(frozen=True)
class Message:
    """One row of the outbox.

    Attributes:
        peer: name of the site that it is for.
        version: of the snapshot.
        attempts: how often its delivery has failed.
    """

    number: int
    peer: str
    method: str
    job_id: str
    body: Mapping[str, Any]
    version: int
    attempts: int


def put(
    session: Session, peer: str, method: str, job_id: str, version: int, body: Mapping[str, Any]
) -> None:
    """Send a snapshot, in place of an older one that has not been taken."""
    same = (Outbox.destination == peer, Outbox.path == method, Outbox.job_id == job_id)
    content = json.dumps({"job_id": job_id, "version": version, **body})
    changed = rows_changed(
        session,
        update(Outbox)
        .where(*same)
        .values(body=content, state_version=version)
        .execution_options(synchronize_session=False),
    )
    if not changed:
        session.add(
            Outbox(
                destination=peer, path=method, job_id=job_id, body=content, state_version=version
            )
        )
        session.flush()


def due(session: Session, now: int) -> list[Message]:
    """What is to be delivered now, the oldest first."""
    # No message waits for longer than the longest pause: the clock was set back since.
    is_due = or_(Outbox.next_at <= now, Outbox.next_at > now + LONGEST_PAUSE_MS)
    rows = session.scalars(select(Outbox).where(is_due).order_by(Outbox.id).limit(500))
    return [
        Message(
            row.id,
            row.destination,
            row.path,
            row.job_id,
            json.loads(row.body),
            row.state_version,
            row.attempts,
        )
        for row in rows
    ]


def taken(session: Session, message: Message) -> None:
    """The other site has it; a newer snapshot that was put meanwhile stays."""
    session.execute(
        delete(Outbox).where(Outbox.id == message.number, Outbox.state_version == message.version)
    )


def not_taken(session: Session, message: Message, reason: str) -> None:
    """Try again later."""
    pause = min(FIRST_PAUSE_MS * 2 ** min(message.attempts, 10), LONGEST_PAUSE_MS)
    session.execute(
        update(Outbox)
        .where(Outbox.id == message.number)
        .values(attempts=message.attempts + 1, next_at=now_ms() + pause, last_error=reason[:2000])
        .execution_options(synchronize_session=False)
    )


def retry_at_once(session: Session, peer: str) -> None:
    """A site is there again: what waits for it need not wait longer."""
    session.execute(
        update(Outbox)
        .where(Outbox.destination == peer, Outbox.next_at > 0)
        .values(next_at=0)
        .execution_options(synchronize_session=False)
    )


def waiting_for(session: Session, job_id: str) -> dict[str, str]:
    """Sites that have not taken all that is to be said of a job -> the last error, if any."""
    rows = session.execute(
        select(Outbox.destination, func.max(Outbox.last_error))
        .where(Outbox.job_id == job_id)
        .group_by(Outbox.destination)
    )
    return {name: error or "" for name, error in rows}


def forget(session: Session, job_id: str, method: str) -> None:
    """Take back what has not been delivered."""
    session.execute(delete(Outbox).where(Outbox.job_id == job_id, Outbox.path == method))
