"""Jobs that span sites are started together, and looked after where no message came.

Chores of the delivery loop: the home asks every site for a place and starts the job when all
have one; a site that has not heard of a job for a while asks its home.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, JobDetail, now_ms
from fate_flow.db.session import create_session
from fate_flow.entities import JobStatus, Placement
from fate_flow.errors import FateFlowError
from fate_flow.federation.peers import PeerRefusedError
from fate_flow.jobs import admission, states, telling, uploads
from fate_flow.jobs.agreement import gives_up
from fate_flow.jobs.incoming import BUSY, OVER, READY, REFUSED, apply_state
from fate_flow.jobs.service import end
from fate_flow.sites import delivery
from fate_flow.sites.outbox import Message

log = logging.getLogger("fate_flow.jobs")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_ASK_SECONDS = 10.0
#: A site that has heard nothing of a job for so long asks its home.
_SILENCE_MS = 20_000
_QUERY_INTERVAL = 5.0


class Starter:
    """Starts the jobs of this home, once all their sites have a place."""

    def __init__(self) -> None:
        self._pauses: dict[str, tuple[float, float]] = {}

    def __call__(self) -> None:
        for job_id in _awaiting():
            pause, due = self._pauses.get(job_id, (_FIRST_PAUSE, 0.0))
            if time.monotonic() < due:
                continue
            if self._try(job_id):
                self._pauses.pop(job_id, None)
            else:
                longer = min(pause * 2, _LONGEST_PAUSE)
                self._pauses[job_id] = (longer, time.monotonic() + pause)

    def _try(self, job_id: str) -> bool:
        """Whether nothing is left to do for the job."""
        placement = telling.placement_of(job_id)
        if placement is None:
            return True
        with create_session() as session:
            if not admission.reserve(session, job_id):
                full = "waiting for a place among the running jobs of this site"
                _say(session, job_id, uploads.awaited(session, [job_id]).get(job_id, full))
                return False
        with ThreadPoolExecutor(len(placement.sites)) as pool:
            answers = dict(
                zip(
                    placement.sites,
                    pool.map(lambda name: _ready(name, job_id), placement.sites),
                    strict=True,
                )
            )
        return _follow(job_id, placement, answers)


def _awaiting() -> list[str]:
    with create_session() as session:
        queued = states.queued(session, states.QUEUE_AWAITING, states.QUEUE_RESERVED)
        if not queued:
            return []
        return list(
            session.scalars(
                select(JobDetail.f_job_id)
                .where(JobDetail.f_job_id.in_(queued), JobDetail.home_is_local == 1)
                .order_by(JobDetail.created)
            )
        )


def _ready(peer: str, job_id: str) -> tuple[str, str]:
    """A site's answer, and its words."""
    try:
        answer = delivery.call(peer, "job.ready", {"job_id": job_id}, _ASK_SECONDS)
    except PeerRefusedError as error:
        return OVER, error.message
    except FateFlowError as error:
        return "unreachable", error.message
    if not isinstance(answer, Mapping):
        return BUSY, "its answer cannot be read"
    return str(answer.get("answer")), str(answer.get("text") or "")[:1000]


def _follow(job_id: str, placement: Placement, answers: Mapping[str, tuple[str, str]]) -> bool:
    final = {n: text for n, (answer, text) in answers.items() if answer in (OVER, REFUSED)}
    waits = {n: text for n, (answer, text) in answers.items() if answer != READY}
    with create_session() as session:
        if final:
            reason = "; ".join(f"site {name}: {text}" for name, text in final.items())
            end(session, job_id, JobStatus.CANCELED, states.Failure(reason))
            return True
        if not waits:
            if admission.start_here(session, job_id):
                _say(session, job_id, None)
                telling.tell_start(session, job_id, placement)
                telling.tell(session, job_id)
            return True
        admission.release(session, job_id)
        _say(session, job_id, "; ".join(f"waiting for site {n}: {t}" for n, t in waits.items()))
    for name, (answer, _) in answers.items():
        if answer == READY:
            try:
                delivery.call(name, "job.release", {"job_id": job_id}, _ASK_SECONDS)
            except FateFlowError as error:
                log.debug("%s keeps its place for a while: %s", name, error.message)
    return False


def _say(session: Session, job_id: str, reason: str | None) -> None:
    detail = session.get(JobDetail, job_id)
    if detail is not None and detail.reason != reason:
        status = states.status_of(session, job_id)
        if status is not None and not status.is_terminal:
            detail.reason = reason


class HomeWatch:
    """Asks the homes of jobs that nothing has been heard of for a while."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _QUERY_INTERVAL
        with create_session() as session:
            silent = session.scalars(
                select(JobDetail.f_job_id)
                .join(Job, Job.f_job_id == JobDetail.f_job_id)
                .where(
                    JobDetail.home != "",
                    JobDetail.home_is_local == 0,
                    JobDetail.heard_at < now_ms() - _SILENCE_MS,
                    Job.f_status.in_(states.OPEN),
                )
                .distinct()
            ).all()
        for job_id in silent:
            ask_home(job_id)


def ask_home(job_id: str) -> None:
    """Ask a job's home how it stands, and do what it says."""
    placement = telling.placement_of(job_id)
    if placement is None:
        return
    peer = telling.home_peer(placement)
    answer: Any = None
    problem = ""
    try:
        answer = delivery.call(peer, "job.query", {"job_id": job_id}, _ASK_SECONDS)
    except FateFlowError as error:
        problem = error.message
    with create_session() as session:
        states.hold_job(session, job_id)
        detail = session.get(JobDetail, job_id)
        if detail is None:
            return
        if isinstance(answer, Mapping):
            detail.heard_at = now_ms()
            _take(session, detail, peer, answer)
            return
        limit = int(site_settings.current().ORPHAN_LIMIT * 1000)
        if gives_up(detail.timeout_at, detail.heard_at, now_ms(), limit):
            reason = f"its home, site {peer}, has not been heard of for too long: {problem}"
            end(session, job_id, JobStatus.FAILED, states.Failure(reason), decided=True)
        elif not detail.proposal:
            _say(session, job_id, f"its home, site {peer}, does not answer: {problem}")


def _take(session: Session, detail: JobDetail, peer: str, answer: Mapping[str, Any]) -> None:
    job_id = detail.f_job_id
    if answer.get("known") is not True:
        failure = states.Failure(f"its home, site {peer}, does not know the job")
        end(session, job_id, JobStatus.CANCELED, failure, decided=True)
        return
    state = answer.get("state")
    if isinstance(state, Mapping):
        apply_state(session, job_id, detail, state)
        # What it does not know of our tasks is said again.
        if detail.reason and "does not answer" in detail.reason:
            _say(session, job_id, None)
        telling.tell(session, job_id)


def on_refusal(session: Session, message: Message, reason: str) -> None:
    """A site has refused a message for good."""
    detail = session.get(JobDetail, message.job_id)
    if detail is None:
        return
    if detail.home_is_local and message.method == telling.START:
        failure = states.Failure(f"site {message.peer} does not take part: {reason}")
        end(session, message.job_id, JobStatus.FAILED, failure)
    elif not detail.home_is_local and message.method == telling.REPORT:
        failure = states.Failure(f"its home, site {message.peer}, refused a report: {reason}")
        end(session, message.job_id, JobStatus.FAILED, failure, decided=True)
