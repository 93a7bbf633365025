"""What other sites say of jobs, taken: each message checked against who may say it.

A message can come twice, late, or never; see :mod:`fate_flow.jobs.agreement`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, JobDetail, Task, TaskDetail, now_ms
from fate_flow.entities import ROLES, JobStatus, Party, Placement, TaskStatus
from fate_flow.errors import FateFlowError, InvalidInputError, NotFoundError, ProtocolError
from fate_flow.federation.addresses import check_name
from fate_flow.federation.peers import Peer
from fate_flow.jobs import admission, clocks, progress, states, telling, uploads
from fate_flow.jobs.agreement import (
    Proposal,
    Take,
    decide,
    is_news,
    may_start,
    take_state,
    task_update,
)
from fate_flow.jobs.creation import Offer, create_job, prepare_for_peer
from fate_flow.jobs.effects import on_rollback
from fate_flow.jobs.removal import remove_job
from fate_flow.jobs.sealing import finish
from fate_flow.jobs.service import end
from fate_flow.operators.plans import read_plan
from fate_flow.sites import delivery
from fate_flow.sites.peers import peer_table, policy_of

if TYPE_CHECKING:
    from fate_flow.settings import Settings

log = logging.getLogger("fate_flow.jobs")

Body = Mapping[str, Any]
READY, BUSY, PENDING, REFUSED, OVER = "ready", "busy", "pending", "refused", "over"
ASKED = "asked"
_MAX_TEXT = 4000


def create(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """A job of another site: create this site's part of it, or say all that is against it."""
    offer = _offer(body)
    peer = _peer(session, peer_name)
    known = session.get(JobDetail, offer.job_id)
    if known is not None:
        placement = telling.placement_of(offer.job_id)
        is_same = placement is not None and telling.home_peer(placement) == peer_name
        if known.plan_hash == offer.plan_hash and is_same:
            return {"approval": known.approval}
        raise FateFlowError(f"another job has the id {offer.job_id} here")
    prepared = prepare_for_peer(settings, session, peer, offer)
    on_rollback(session, lambda: prepared.remove_files(settings))
    try:
        create_job(session, settings, prepared)
        detail = session.get_one(JobDetail, offer.job_id)
        detail.approval = ASKED if policy_of(session, peer_name).asks else ""
        if detail.approval:
            detail.reason = "waiting for approval by this site's people"
        session.flush()
    except BaseException:
        prepared.remove_files(settings)
        raise
    log.info("job %s created for site %s", offer.job_id, peer_name)
    return {"approval": detail.approval}


def ready(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """Is there a place for a job? One is kept for a minute."""
    job_id, detail = _of_home(session, peer_name, body)
    status = states.status_of(session, job_id)
    if status is None or status.is_terminal or detail.proposal:
        return {"answer": OVER, "text": detail.reason or ""}
    if detail.approval == ASKED:
        return {"answer": PENDING, "text": "it waits for approval by its people"}
    if detail.approval == REFUSED:
        return {"answer": REFUSED, "text": detail.reason or ""}
    if status is JobStatus.RUNNING or admission.reserve(session, job_id):
        return {"answer": READY}
    if uploads.awaited(session, [job_id]):
        return {"answer": BUSY, "text": "an upload of a table that the job reads has not ended"}
    return {"answer": BUSY, "text": "all its places are taken"}


def release(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """The place is not needed yet."""
    job_id, _ = _of_home(session, peer_name, body)
    admission.release(session, job_id)


def start(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """Run this site's part."""
    job_id, detail = _of_home(session, peer_name, body)
    status = states.status_of(session, job_id)
    if status is not None and may_start(status, detail.approval) and not detail.proposal:
        detail.reason = None
        admission.start_here(session, job_id)


def state(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """The home's view of a job: obey it."""
    job_id, detail = _of_home(session, peer_name, body)
    apply_state(session, job_id, detail, body)


def apply_state(session: Session, job_id: str, detail: JobDetail, body: Body) -> None:
    """
    Raises:
        ProtocolError: it cannot be read.
    """
    states.hold_job(session, job_id)
    status = _enum(JobStatus, body.get("status"))
    version = _integer(body, "state_version")
    seen = json.loads(detail.seen or "{}")
    current = states.status_of(session, job_id)
    if current is None:
        return
    take = take_state(current, int(seen.get("home", -1)), version, status)
    if take is Take.NOTHING:
        return
    detail.seen = json.dumps({**seen, "home": version})
    placement = telling.require_placement(job_id)
    away = {party for parties in placement.sites.values() for party in parties}
    _store_tasks(session, job_id, body, away)
    if take is Take.END:
        _obey(session, job_id, status, body, placement)
        return
    if status is JobStatus.RUNNING:
        states.start_job(session, job_id)
        values = {"f_progress": max(0, min(_integer(body, "progress"), 100))}
        is_running = (Job.f_job_id == job_id, Job.f_status == JobStatus.RUNNING.value)
        session.execute(update(Job).where(*is_running).values(**values))


def _obey(
    session: Session, job_id: str, status: JobStatus, body: Body, placement: Placement
) -> None:
    if status is JobStatus.SUCCESS:
        plan = read_plan(site_settings.current().jobs_dir, job_id)
        finish(session, job_id, plan, sorted(placement.local))
        return
    failed = body.get("failed")
    component, party = None, None
    if isinstance(failed, Mapping):
        component = _text(failed.get("component"))
        if failed.get("role"):
            party = _party(failed)
    failure = states.Failure(_text(body.get("reason")) or status.value, component, party)
    end(session, job_id, status, failure, decided=True)


def report(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """At the home: what the tasks of another site have done, and what it wants."""
    job_id, detail, placement = _of_member(session, peer_name, body)
    version = _integer(body, "version")
    seen = json.loads(detail.seen or "{}")
    status = states.status_of(session, job_id)
    if status is None or not is_news(int(seen.get(peer_name, -1)), version):
        return
    detail.seen = json.dumps({**seen, peer_name: version})
    if status.is_terminal:
        # It may not have heard yet.
        telling.tell(session, job_id)
        return
    changed = _store_tasks(session, job_id, body, set(placement.sites[peer_name]))
    if any(task_status is TaskStatus.RUNNING for _, task_status in changed):
        states.start_job(session, job_id)
    for component, task_status in changed:
        if task_status is TaskStatus.SUCCESS:
            progress.update(session, job_id, component)
    proposal = body.get("proposal")
    if isinstance(proposal, Mapping):
        _follow(session, job_id, peer_name, proposal)
    elif changed:
        telling.tell(session, job_id)
    if body.get("approval") == "approved":
        delivery.wake()


def _follow(session: Session, job_id: str, peer_name: str, proposal: Body) -> None:
    """End the job as a site wants it: nobody can go on without it."""
    wanted = _enum(JobStatus, proposal.get("status"))
    if not wanted.is_terminal or wanted is JobStatus.SUCCESS:
        raise ProtocolError(f"a site cannot propose {wanted.value}")
    key = proposal.get("party")
    component = _text(proposal.get("component")) or None
    party = Party.parse(key) if isinstance(key, str) and key else None
    reason = _text(proposal.get("reason")) or f"site {peer_name} gave no reason"
    current = states.status_of(session, job_id) or JobStatus.CANCELED
    wish = Proposal(wanted, reason, is_stop=proposal.get("is_stop") is True)
    decision = decide(current, (), {}, wish)
    if decision is not None:
        log.info("job %s ends as site %s wants it: %s", job_id, peer_name, reason)
        failure = states.Failure(decision.reason, component, party)
        end(session, job_id, decision.status, failure, is_stop=wish.is_stop)


def forget(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """A job that did not come to be at its home."""
    try:
        job_id, _ = _of_home(session, peer_name, body)
    except NotFoundError:
        return
    if states.status_of(session, job_id) is JobStatus.WAITING:
        remove_job(session, settings, job_id)


def query(session: Session, settings: Settings, peer_name: str, body: Body) -> Any:
    """At the home: does it know the job, and how does it stand?"""
    try:
        job_id = _of_member(session, peer_name, body)[0]
    except NotFoundError:
        return {"known": False}
    state = {**telling.state_of(session, job_id), delivery.SENT_AT: now_ms()}
    return {"known": True, "state": state}


HANDLERS: Mapping[str, Callable[[Session, Any, str, Body], Any]] = {
    "job.create": create,
    "job.ready": ready,
    "job.release": release,
    telling.START: start,
    telling.STATE: state,
    telling.REPORT: report,
    telling.FORGET: forget,
    "job.query": query,
}


# -- who may say it --------------------------------------------------------------------------


def _peer(session: Session, name: str) -> Peer:
    peer = peer_table(session).named(name)
    if peer is None:
        raise NotFoundError(f"no peer is called {name!r:.60} here")
    return peer


def _job(session: Session, body: Body) -> tuple[str, JobDetail, Placement]:
    job_id = _text(body.get("job_id"))
    check_name("job id", job_id)
    states.hold_job(session, job_id)
    detail = session.get(JobDetail, job_id)
    if detail is None or not detail.home:
        raise NotFoundError(f"job {job_id} is not known at this site")
    return job_id, detail, telling.require_placement(job_id)


def _of_home(session: Session, peer_name: str, body: Body) -> tuple[str, JobDetail]:
    """A job whose home is the peer; unknown to everybody else."""
    job_id, detail, placement = _job(session, body)
    if placement.home_is_local or telling.home_peer(placement) != peer_name:
        raise NotFoundError(f"job {job_id} is not known at this site")
    detail.heard_at = now_ms()
    return job_id, detail


def _of_member(session: Session, peer_name: str, body: Body) -> tuple[str, JobDetail, Placement]:
    """A job of this site that the peer takes part in; unknown to everybody else."""
    job_id, detail, placement = _job(session, body)
    if not placement.home_is_local or peer_name not in placement.sites:
        raise NotFoundError(f"job {job_id} is not known at this site")
    detail.heard_at = now_ms()
    return job_id, detail, placement


# -- what it says ----------------------------------------------------------------------------


def _offer(body: Body) -> Offer:
    job_id = _text(body.get("job_id"))
    check_name("job id", job_id)
    names = ("dsl", "conf", "train_conf")
    documents = {name: body[name] for name in names if isinstance(body.get(name), Mapping)}
    wrong = [name for name in names if name not in documents]
    if wrong or len(job_id) > 25:
        raise InvalidInputError(f"a job's offer cannot be read: {', '.join(wrong) or 'job_id'}")
    return Offer(
        job_id=job_id,
        plan_hash=_text(body.get("plan_hash")),
        ticket=_text(body.get("ticket")),
        **documents,
    )


def _store_tasks(
    session: Session, job_id: str, body: Body, allowed: set[Party]
) -> list[tuple[str, TaskStatus]]:
    """Rows of other sites' tasks; (component, status) of those whose status has changed."""
    entries, ahead_ms = body.get("tasks"), clocks.ahead(body)
    if not isinstance(entries, list) or len(entries) > 100_000:
        raise ProtocolError("a list of tasks cannot be read")
    plan = read_plan(site_settings.current().jobs_dir, job_id)
    known = {(c.name, party) for c in plan.components for party in c.parties if party in allowed}
    changed = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ProtocolError("a task cannot be read")
        component, party = _text(entry.get("component")), _party(entry)
        if (component, party) in known:
            status = _enum(TaskStatus, entry.get("status"))
            told = {**entry, **_times(entry, ahead_ms)}
            if _store_task(session, job_id, component, party, status, told):
                changed.append((component, status))
    session.flush()
    return changed


def _times(entry: Body, ahead_ms: int) -> dict[str, int | None]:
    """Times of a task, by this site's clock."""
    moments = {name: clocks.here(entry.get(name), ahead_ms) for name in telling.TASK_MOMENTS}
    return {**moments, "elapsed": clocks.duration(entry.get("elapsed"))}


def _store_task(
    session: Session, job_id: str, component: str, party: Party, status: TaskStatus, entry: Body
) -> bool:
    key = (job_id, f"{job_id}_{component}", party.role, str(party.party_id))
    row = session.get(Task, key)
    is_change = task_update(row.f_status if row is not None else None, status.value)
    if row is None:
        row = Task(
            f_job_id=key[0],
            f_task_id=key[1],
            f_role=key[2],
            f_party_id=key[3],
            f_component_name=component,
            f_operator="python_operator",
            f_status=status.value,
            f_create_time=now_ms(),
        )
        session.add(row)
    if is_change:
        row.f_status = status.value
        for name in (*telling.TASK_MOMENTS, "elapsed"):
            if entry[name] is not None:
                setattr(row, f"f_{name}", entry[name])
        row.f_update_time = now_ms()
    place = (job_id, component, party.role, str(party.party_id))
    detail = session.get(TaskDetail, place)
    if detail is None:
        detail = TaskDetail(
            job_id=place[0], component_name=place[1], role=place[2], party_id=place[3]
        )
        session.add(detail)
    detail.attempt = _integer(entry, "attempt", 0)
    detail.try_number = _integer(entry, "try_number", 0)
    detail.error = _text(entry.get("error")) or None
    if status is TaskStatus.SUCCESS:
        detail.progress = 1.0
    return is_change


def _party(entry: Body) -> Party:
    role = entry.get("role")
    try:
        party_id = int(str(entry.get("party_id")))
    except ValueError:
        party_id = -1
    if role not in ROLES or party_id < 0:
        raise ProtocolError(f"{role!r:.60} {entry.get('party_id')!r:.60} is not a party")
    return Party(str(role), party_id)


def _text(value: Any) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _integer(body: Body, name: str, default: int | None = None) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < 2**62:
        raise ProtocolError(f"{name}: found {value!r:.60}; allowed: a number")
    return value


def _enum(kind: Any, value: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise ProtocolError(f"found the status {value!r:.60}") from None
