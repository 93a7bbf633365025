"""What a person asks a gateway: who waits for whom, since when, and how much has passed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fate_flow.entities import Party
from fate_flow.federation.addresses import waiting_text, what


class Counters:
    """Counts of events since the gateway started."""

    NAMES = (
        "tasks_attached",
        "tasks_lost",
        "tasks_failed",
        "attempts_started",
        "attempts_superseded",
        "components_completed",
        "jobs_canceled",
        "messages_stored",
        "messages_received",
        "duplicates",
        "bytes_in",
        "bytes_out",
        "calls_refused",
    )

    def __init__(self) -> None:
        self._values = dict.fromkeys(self.NAMES, 0)

    def add(self, name: str, count: int = 1) -> None:
        self._values[name] += count

    def values(self) -> dict[str, int]:
        return dict(self._values)


@dataclass(eq=False)
class Wait:
    """One call that is waiting.

    Attributes:
        party: who waits.
        waited_for: for whom; changes while parties arrive.
        kind: join, receive, send, finish.
        timeout: seconds from ``started`` to its deadline.
        reported: the watchdog has written about it.
    """

    job_id: str
    component: str
    attempt: int
    party: Party
    waited_for: Sequence[Party]
    kind: str
    timeout: float
    variable: str = ""
    tag: str = ""
    started: float = field(default_factory=time.monotonic)
    reported: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def subject(self) -> str:
        if self.kind == "receive":
            return what(self.variable, self.tag)
        if self.kind == "send":
            return f"room in the mailbox for {what(self.variable, self.tag)}"
        return {"join": "to join", "finish": "to finish"}[self.kind]

    @property
    def text(self) -> str:
        return waiting_text(
            self.waited_for, self.component, self.attempt, self.subject, self.seconds
        )


class Waits:
    """All calls that are waiting."""

    def __init__(self) -> None:
        self._open: set[Wait] = set()

    @contextlib.contextmanager
    def open(self, wait: Wait) -> Iterator[Wait]:
        self._open.add(wait)
        try:
            yield wait
        finally:
            self._open.discard(wait)

    def list(self, job_id: str = "") -> list[Wait]:
        """Open waits, the oldest first; of one job or of all."""
        return sorted(
            (wait for wait in self._open if not job_id or wait.job_id == job_id),
            key=lambda wait: wait.started,
        )
