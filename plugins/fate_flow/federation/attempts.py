"""When parties compute together, and when they start over.

The tasks of one component meet in a *room*. Its rules:

1. An attempt starts when a task of every party has joined; all get the same number.
2. It is over when a task is lost (its stream breaks and does not come back within the grace
   time) or starts again. Everybody else is told at once and joins again; values of the old
   attempt are dropped. The restarted task's messages would differ from those it sent before
   (fresh randomness), so nothing of an old attempt can be used on.
3. Finish is a barrier: nobody's task succeeds before every party has finished, because a task
   that was lost needs all the others to compute again. Tasks write their results before it,
   so it may also end while the connection of one that has come to it is broken.
4. A task that is lost between the barrier and its own success is told at its next join that
   the component is complete: its results are written.
5. When a party fails, or the job is cancelled, all others fail, also those that come later.
   A party that knows of the failure, or has left a complete component, and comes with a new
   process means a rerun: the room starts afresh. Attempts keep counting up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from fate_flow.entities import Party
from fate_flow.errors import (
    AttemptSupersededError,
    FateFlowError,
    FederationTimeoutError,
    PeerFailedError,
    ProtocolError,
)
from fate_flow.federation.diagnosis import Counters, Wait
from fate_flow.federation.failures import DetachedError, TaskReplacedError
from fate_flow.federation.mailbox import Mailbox
from fate_flow.federation.store import BlobStore, Signal

log = logging.getLogger("fate_flow.gateway")

#: Tells the caller of a barrier who is missing.
Progress = Callable[[Sequence[Party]], Awaitable[None]]
#: Writes the error that ended an attempt to a task.
Push = Callable[[int, FateFlowError], None]
#: Tells a task whose connections are broken now.
ShowAway = Callable[[Sequence[Party]], None]


class Phase(Enum):
    """Where a room stands."""

    GATHERING = "gathering"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(eq=False)
class Attempt:
    """One common computation of a component's parties."""

    number: int
    mailbox: Mailbox
    complete: bool = False


@dataclass(eq=False)
class Member:
    """One party's task: the process that speaks for it now.

    Attributes:
        session_id: made by that process.
        try_number: restarts that the scheduler counts; a lower one can not take over.
        push: writes an ended attempt's error to the process; None while it is not attached.
        show_away: tells it whom it waits for in vain at the moment; ``away`` is what it was told.
        joining: the join call that waits; None when none does.
        attempt: number of the attempt it is part of.
        lost_timer: fires when a broken connection has not come back.
    """

    party: Party
    session_id: str
    try_number: int
    push: Push | None = None
    show_away: ShowAway | None = None
    away: tuple[Party, ...] = ()
    joining: object | None = None
    attempt: int = -1
    finished: bool = False
    left: bool = False
    lost_timer: asyncio.TimerHandle | None = None

    def tell(self, attempt: int, error: FateFlowError) -> None:
        if self.push is not None:
            self.push(attempt, error)


@dataclass(eq=False)
class Room:
    """The meeting place of one component's tasks (rules above)."""

    job_id: str
    component: str
    store: BlobStore
    counters: Counters
    parties: frozenset[Party] = frozenset()
    phase: Phase = Phase.GATHERING
    number: int = -1
    attempt: Attempt | None = None
    members: dict[Party, Member] = field(default_factory=dict)
    fenced: set[str] = field(default_factory=set)
    failure: PeerFailedError | None = None
    told: set[Party] = field(default_factory=set)
    changed: Signal = field(default_factory=Signal)
    touched: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"{self.component} of job {self.job_id}"

    # -- processes ------------------------------------------------------------------------

    def attach(self, party: Party, session_id: str, try_number: int) -> Member:
        """The process ``session_id`` speaks for ``party`` from now on.

        Raises:
            TaskReplacedError: a later process of the party does already.
        """
        self.touched = time.monotonic()
        old = self.members.get(party)
        if old is not None and old.session_id == session_id:
            if old.lost_timer is not None:
                old.lost_timer.cancel()
            return old
        if session_id in self.fenced or (old is not None and try_number < old.try_number):
            raise TaskReplacedError(f"another process runs {party} in {self}")
        if self._is_rerun(party, old):
            self._restart()
        elif old is not None:
            self._replace(old)
        self.members[party] = Member(party, session_id, try_number)
        self.counters.add("tasks_attached")
        log.info("%s attached to %s, try %d", party, self, try_number)
        return self.members[party]

    def member(self, party: Party, session_id: str) -> Member:
        """The caller as a member.

        Raises:
            TaskReplacedError, DetachedError: it does not speak for the party.
        """
        member = self.members.get(party)
        if member is not None and member.session_id == session_id:
            return member
        if session_id in self.fenced:
            raise TaskReplacedError(f"another process runs {party} in {self}")
        raise DetachedError(f"the gateway does not know this process of {party} in {self}")

    def connect(self, member: Member, push: Push, show_away: ShowAway | None = None) -> None:
        """A process's stream is there."""
        member.push, member.show_away, member.away = push, show_away, ()
        self._tell_away()

    def _tell_away(self) -> None:
        """Tell everybody whose connections are broken, where that has changed."""
        away = tuple(m.party for m in self.members.values() if m.push is None and not m.left)
        for member in self.members.values():
            if member.push is not None and member.show_away is not None and member.away != away:
                member.away = away
                member.show_away(away)

    def detach(self, member: Member, push: Push, grace: float) -> None:
        """A process's stream has broken; it has ``grace`` seconds to come back."""
        if member.push is not push:
            return
        member.push = None
        if self.members.get(member.party) is member and not member.left:
            loop = asyncio.get_running_loop()
            member.lost_timer = loop.call_later(grace, self._lost, member)
            self._tell_away()

    def leave(self, member: Member) -> None:
        """A process ends by its own will."""
        member.left = True
        if self.members.get(member.party) is member and self.phase is not Phase.COMPLETE:
            del self.members[member.party]
            self._supersede(f"{member.party} left before the end")
            self.changed.notify()
        self._tell_away()

    def _lost(self, member: Member) -> None:
        if self.members.get(member.party) is not member or member.push is not None:
            return
        # In a complete room it is remembered as one that has not left (rule 4).
        if self.phase is Phase.COMPLETE:
            return
        # Not fenced: should the process live after all, it may come back and join again.
        del self.members[member.party]
        self.counters.add("tasks_lost")
        log.warning("%s of %s was lost", member.party, self)
        self._supersede(f"the task of {member.party} was lost")
        self.changed.notify()
        self._tell_away()

    def _replace(self, old: Member) -> None:
        self.fenced.add(old.session_id)
        del self.members[old.party]
        old.tell(old.attempt, TaskReplacedError(f"another process runs {old.party} in {self}"))
        self._supersede(f"the task of {old.party} was started again")
        self.changed.notify()

    def _is_rerun(self, party: Party, old: Member | None) -> bool:
        if self.phase is Phase.FAILED:
            return party in self.told
        return self.phase is Phase.COMPLETE and old is not None and old.left

    def _restart(self) -> None:
        log.info("%s runs anew", self)
        for member in self.members.values():
            self.fenced.add(member.session_id)
            member.tell(self.number, TaskReplacedError(f"{self} runs anew"))
        self.members.clear()
        self.phase = Phase.GATHERING
        self.failure = None
        self.attempt = None
        self.told.clear()

    # -- attempts -------------------------------------------------------------------------

    async def join(
        self,
        member: Member,
        parties: frozenset[Party],
        after: int,
        floor: int,
        wait: Wait,
        progress: Progress,
    ) -> Attempt:
        """Wait until every party has joined.

        Args:
            after: the last attempt the caller was part of, -1: none.
            floor: the attempt shall not have a lower number.
            wait: its end is the deadline; gets the parties that are missing.

        Raises:
            ProtocolError: another party's task named other parties.
            PeerFailedError, FederationTimeoutError
        """
        self.touched = time.monotonic()
        self._agree(member, parties)
        self.raise_failure(member.party)
        if self.attempt is not None and self.phase in (Phase.RUNNING, Phase.COMPLETE):
            if self.phase is Phase.COMPLETE:
                member.attempt = self.number
            # The answer to an earlier join may have been lost on its way.
            if self.phase is Phase.COMPLETE or member.attempt == self.number > after:
                return self.attempt
            self._supersede(f"{member.party} starts over")
        ticket = member.joining = object()
        member.finished = False
        self.number = max(self.number, after, floor - 1)
        try:
            self._start_if_ready()
            while member.joining is ticket:
                wait.waited_for = self._missing()
                await self._barrier(wait, progress)
                self.raise_failure(member.party)
                self.member(member.party, member.session_id)
        finally:
            if member.joining is ticket:
                member.joining = None
                self.changed.notify()
        return self.running(member)

    def running(self, member: Member, number: int | None = None) -> Attempt:
        """The attempt that a member is part of.

        Args:
            number: what the caller believes it to be.

        Raises:
            AttemptSupersededError, PeerFailedError
        """
        self.raise_failure(member.party)
        believed = member.attempt if number is None else number
        if self.attempt is None or not member.attempt == believed == self.attempt.number:
            raise AttemptSupersededError(f"{self} is computed anew")
        return self.attempt

    async def finish(
        self, member: Member, attempt: Attempt, wait: Wait, progress: Progress
    ) -> None:
        """Wait until every party has finished ``attempt``."""
        if attempt.complete:
            return
        attempt.mailbox.check()
        member.finished = True
        attempt.mailbox.finished(member.party)
        if all(m.finished for m in self.members.values()) and len(self.members) == len(
            self.parties
        ):
            self._complete(attempt)
        self.changed.notify()
        while not attempt.complete:
            self.raise_failure(member.party)
            attempt.mailbox.check()
            wait.waited_for = sorted(p for p, m in self.members.items() if not m.finished)
            await self._barrier(wait, progress)

    def fail(self, party: Party, error: PeerFailedError) -> None:
        """The component has failed for all; the first failure counts."""
        if self.phase in (Phase.FAILED, Phase.COMPLETE):
            self.told.add(party)
            return
        self.phase = Phase.FAILED
        self.failure = error
        self.told = {party}
        if self.attempt is not None:
            self.attempt.mailbox.end(error)
        for member in self.members.values():
            if member.push is not None and member.party != party:
                member.tell(self.number, error)
                self.told.add(member.party)
        self.changed.notify()

    def raise_failure(self, party: Party) -> None:
        if self.failure is not None:
            self.told.add(party)
            raise self.failure

    def end(self) -> None:
        """Forget everything; processes that are still there are told to end."""
        if self.attempt is not None:
            self.attempt.mailbox.end(TaskReplacedError(f"{self} was reset"))
        self._restart()
        self.changed.notify()

    def _agree(self, member: Member, parties: frozenset[Party]) -> None:
        if member.party not in parties:
            raise ProtocolError(f"{member.party} is not among the parties of {self}")
        if parties == self.parties:
            return
        joined = [m for m in self.members.values() if m.joining is not None or m.attempt >= 0]
        if any(other is not member for other in joined):
            raise ProtocolError(
                f"{member.party} names other parties of {self} than the others: "
                f"{_names(parties)}; the others: {_names(self.parties)}"
            )
        self.parties = parties

    def _missing(self) -> list[Party]:
        joined = {party for party, member in self.members.items() if member.joining is not None}
        return sorted(self.parties - joined)

    def _start_if_ready(self) -> None:
        if self._missing():
            self.changed.notify()
            return
        self.number += 1
        self.attempt = Attempt(self.number, Mailbox(self.store, self.counters))
        self.phase = Phase.RUNNING
        for party in self.parties:
            member = self.members[party]
            member.joining = None
            member.attempt = self.number
            member.finished = False
        self.counters.add("attempts_started")
        log.info("%s: attempt %d starts with %s", self, self.number, _names(self.parties))
        self.changed.notify()

    def _supersede(self, reason: str) -> None:
        if self.phase is not Phase.RUNNING or self.attempt is None:
            return
        error = AttemptSupersededError(f"{reason}: {self.component} is computed anew")
        self.phase = Phase.GATHERING
        self.attempt.mailbox.end(error)
        self.counters.add("attempts_superseded")
        log.warning("%s: attempt %d is over: %s", self, self.number, reason)
        for member in self.members.values():
            member.finished = False
            member.tell(self.number, error)
        self.changed.notify()

    def _complete(self, attempt: Attempt) -> None:
        attempt.complete = True
        self.phase = Phase.COMPLETE
        attempt.mailbox.end(ProtocolError(f"{self} is complete"))
        self.counters.add("components_completed")
        log.info("%s: attempt %d is complete", self, attempt.number)

    async def _barrier(self, wait: Wait, progress: Progress) -> None:
        version = self.changed.version
        if wait.seconds >= wait.timeout:
            raise FederationTimeoutError(f"deadline passed {wait.text}")
        await progress(wait.waited_for)
        await self.changed.wait(wait.timeout - wait.seconds, since=version)


def _names(parties: Iterable[Party]) -> str:
    return ", ".join(map(str, sorted(parties)))
