"""All rooms of a gateway: found, cancelled, reset and forgotten."""

from __future__ import annotations

import logging
import time

from fate_flow.entities import Party
from fate_flow.federation.attempts import Room
from fate_flow.federation.diagnosis import Counters
from fate_flow.federation.failures import JobCanceledError
from fate_flow.federation.store import BlobStore

log = logging.getLogger("fate_flow.gateway")


class Coordinator:
    """All rooms of this gateway.

    Args:
        grace: seconds that a broken connection has to come back.
        keep: seconds after which a room without anybody is forgotten.
    """

    def __init__(
        self, store: BlobStore, counters: Counters, *, grace: float = 3.0, keep: float = 21_600.0
    ) -> None:
        self.grace = grace
        self.rooms: dict[tuple[str, str], Room] = {}
        self._store = store
        self._counters = counters
        self._keep = keep
        self._canceled: dict[str, tuple[float, JobCanceledError]] = {}

    def room(self, job_id: str, component: str) -> Room:
        """The room of a component; made when it is first entered.

        Raises:
            JobCanceledError
        """
        self.check(job_id)
        key = (job_id, component)
        if key not in self.rooms:
            self.rooms[key] = Room(job_id, component, self._store, self._counters)
        return self.rooms[key]

    def check(self, job_id: str) -> None:
        """
        Raises:
            JobCanceledError
        """
        if job_id in self._canceled:
            raise self._canceled[job_id][1]

    def cancel(self, job_id: str, reason: str) -> int:
        """End all tasks of a job; number of tasks that were told."""
        error = JobCanceledError(f"job {job_id} was cancelled: {reason}")
        self._canceled[job_id] = (time.monotonic(), error)
        self._counters.add("jobs_canceled")
        told = 0
        for room in self._of(job_id):
            told += sum(member.push is not None for member in room.members.values())
            room.fail(Party("local", 0), error)
        log.info("job %s cancelled: %d tasks told", job_id, told)
        return told

    def reset(self, job_id: str, component: str = "") -> int:
        """Forget a job or one of its components, so that it can run anew."""
        self._canceled.pop(job_id, None)
        rooms = [r for r in self._of(job_id) if not component or r.component == component]
        for room in rooms:
            room.end()
        return len(rooms)

    def purge(self) -> None:
        """Forget rooms and cancellations that nobody has asked about for long."""
        old = time.monotonic() - self._keep
        for key, room in list(self.rooms.items()):
            if room.touched < old and not any(m.push for m in room.members.values()):
                del self.rooms[key]
        for job_id, (since, _) in list(self._canceled.items()):
            if since < old:
                del self._canceled[job_id]

    def _of(self, job_id: str) -> list[Room]:
        return [room for room in self.rooms.values() if room.job_id == job_id]
