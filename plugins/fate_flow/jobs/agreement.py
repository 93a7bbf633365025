"""How the sites of a job come to one result: pure rules, without database or network.

The site of the initiator, the *home*, is the only one that gives a job its terminal state.
The others report what their tasks have done, and propose an early end; the home answers with
the state. Every message is a snapshot with a version, so that it may be lost, doubled or
overtaken: an older one is passed over, and only the newest needs to arrive. Each site keeps
the newest snapshot for each other site until it is acknowledged.

1. A terminal state never changes. The first decision counts; whoever proposes later learns it.
2. A site does what the home says. Until then its own part of a job that it wants to end is
   over (processes are ended), but the job is not.
3. The home ends a job with success only when every task of every site has reported success.
4. A job that its home does not know (any more) is over.
5. A site that hears nothing from the home until long after the job's time was up ends it by
   itself; nothing can be agreed with somebody who is gone.

Used by the database layer (:mod:`fate_flow.jobs.incoming`) and by the simulation in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from fate_flow.entities import JobStatus, TaskStatus

#: (component, party key) -> status.
TaskStatuses = Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Proposal:
    """What a site wants the home to decide.

    Attributes:
        status: terminal state that it wants.
        reason: why, for people.
        is_stop: a person asked for it; a job that waits is then canceled, one that runs failed.
    """

    status: JobStatus
    reason: str
    is_stop: bool = False


@dataclass(frozen=True)
class Decision:
    """The state that the home gives a job."""

    status: JobStatus
    reason: str


class Take(Enum):
    """What a site does with the home's state."""

    NOTHING = "nothing"
    UPDATE = "update"
    END = "end"


def is_news(seen: int, version: int) -> bool:
    """Whether a snapshot is newer than all that were taken before."""
    return version > seen


def decide(
    current: JobStatus,
    needed: Iterable[tuple[str, str]],
    tasks: TaskStatuses,
    proposal: Proposal | None,
) -> Decision | None:
    """What the home makes of the job after a report; None: it goes on (rules 1 to 3).

    Args:
        needed: every task of the job.
        tasks: statuses that are known.
        proposal: of the reporting site.
    """
    if current.is_terminal:
        return None
    if proposal is not None:
        if not proposal.is_stop:
            return Decision(proposal.status, proposal.reason)
        waiting = current is JobStatus.WAITING
        return Decision(JobStatus.CANCELED if waiting else JobStatus.FAILED, proposal.reason)
    if all_succeeded(needed, tasks):
        return Decision(JobStatus.SUCCESS, "")
    return None


def all_succeeded(needed: Iterable[tuple[str, str]], tasks: TaskStatuses) -> bool:
    return not not_succeeded(needed, tasks)


def not_succeeded(needed: Iterable[tuple[str, str]], tasks: TaskStatuses) -> list[tuple[str, str]]:
    """Tasks that a success still waits for."""
    return [task for task in needed if tasks.get(task) != TaskStatus.SUCCESS.value]


def take_state(current: JobStatus, seen: int, version: int, status: JobStatus) -> Take:
    """What a site does with a state of the home (rules 1 and 2)."""
    if current.is_terminal or not is_news(seen, version):
        return Take.NOTHING
    return Take.END if status.is_terminal else Take.UPDATE


def may_start(current: JobStatus, approval: str) -> bool:
    """Whether a site runs its part when the home says so."""
    return not current.is_terminal and approval in ("", "approved")


def task_update(current: str | None, reported: str) -> bool:
    """Whether a reported task status replaces the known one: an end is never taken back, but
    a task that failed once and was tried again may have succeeded."""
    if current is None or current == reported:
        return current is None
    known = TaskStatus(current)
    return not known.is_terminal or (
        known is not TaskStatus.SUCCESS and TaskStatus(reported) is TaskStatus.SUCCESS
    )


def gives_up(timeout_at: int | None, heard_at: int, now: int, limit_ms: int) -> bool:
    """Whether a site ends a job without its home (rule 5); times in ms."""
    if timeout_at is None:
        return now > heard_at + 2 * limit_ms
    return now > max(timeout_at, heard_at) + limit_ms
