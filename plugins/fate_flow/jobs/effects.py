"""What must happen only after a transaction has been committed, or only when it was not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session

log = logging.getLogger("fate_flow.jobs")


def after_commit(session: Session, action: Callable[[], None]) -> None:
    """Run ``action`` in a thread of its own once the session has committed.

    Nothing runs when the transaction rolls back. An action must be safe to lose: it only
    hurries along what the watch loop would find anyway.
    """

    def start(_: Session) -> None:
        threading.Thread(target=guarded, name="after-commit", daemon=True).start()

    def guarded() -> None:
        try:
            action()
        except Exception:
            log.exception("an action after a commit failed")

    event.listen(session, "after_commit", start, once=True)


def on_rollback(session: Session, action: Callable[[], None]) -> None:
    """Run ``action`` if the session's present transaction rolls back, nothing if it commits.

    For what was done outside the database and must not stay without its rows.
    """

    def committed(_: Session) -> None:
        if event.contains(session, "after_rollback", rolled_back):
            event.remove(session, "after_rollback", rolled_back)

    def rolled_back(_: Session) -> None:
        action()

    event.listen(session, "after_rollback", rolled_back, once=True)
    event.listen(session, "after_commit", committed, once=True)
