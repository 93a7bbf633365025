"""Which waiting jobs may run: a limit on jobs and a limit on task processes.

The second limit keeps Airflow's slots from being taken by parts of many components:
the tasks of one component wait for each other, so a job is let in only when the
widest row of its graph still has room.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.compiler.build import build_dag
from fate_flow.compiler.names import dag_id_of
from fate_flow.compiler.register import register_job
from fate_flow.db.models import JobDetail, Queue, now_ms
from fate_flow.db.session import rows_changed
from fate_flow.entities import JobStatus, Party, Plan
from fate_flow.errors import FateFlowError
from fate_flow.jobs import uploads
from fate_flow.jobs.states import (
    QUEUE_AWAITING,
    QUEUE_LOCK,
    QUEUE_RESERVED,
    QUEUE_TAKEN,
    QUEUE_WAITING,
    Failure,
    end_job,
    hold_job,
    open_jobs,
    queued,
)
from fate_flow.operators.plans import read_placement, read_plan

log = logging.getLogger("fate_flow.jobs")

#: How long a place is kept for a job whose other sites are asked for theirs.
RESERVE_MS = 60_000


def width_of(plan: Plan, local: Iterable[Party] | None = None) -> int:
    """Most tasks that can run at once here: the fullest level of the graph, at least 1."""
    here = set(plan.parties if local is None else local)
    level: dict[str, int] = {}
    load: dict[int, int] = {}
    for component in plan.components:
        depth = 1 + max((level.get(name, 0) for name in component.upstream), default=0)
        level[component.name] = depth
        load[depth] = load.get(depth, 0) + sum(p in here for p in component.parties)
    return max(1, *load.values()) if load else 1


def admit(session: Session) -> list[str]:
    """Hand as many waiting jobs to Airflow as the limits allow, oldest first.

    Returns:
        Ids of the jobs whose runs now exist.
    """
    if not queued(session, QUEUE_WAITING):
        return []
    _lock(session)
    waiting = queued(session, QUEUE_WAITING)
    settings = site_settings.current()
    running = _occupying(session)
    widths = _widths(session, [*running, *waiting])
    held = uploads.awaited(session, waiting)
    used = sum(widths.get(job_id, 1) for job_id in running)
    count = len(running) - len(_of_other_sites(session, running))
    admitted = []
    for job_id in waiting:
        if job_id in held:
            _say(session, job_id, held[job_id])
            continue
        width = widths.get(job_id, 1)
        if count >= settings.MAX_CONCURRENT_JOB_RUN:
            break
        if count and used + width > settings.PARALLELISM:
            break
        if _take(session, job_id):
            admitted.append(job_id)
            count += 1
            used += width
    return admitted


def reserve(session: Session, job_id: str) -> bool:
    """Keep a place for a job that spans sites, for a minute; False: there is none.

    Every site is asked for a place before any starts: a job that held one here while it
    waited for another site could wait for a job that does the same the other way round.
    """
    hold_job(session, job_id)
    _lock(session)
    detail = session.get(JobDetail, job_id)
    if detail is None or uploads.awaited(session, [job_id]):
        return False
    settings = site_settings.current()
    others = [other for other in _occupying(session) if other != job_id]
    of_others = _of_other_sites(session, others)
    if detail.home_is_local:
        full = len(others) - len(of_others) >= settings.MAX_CONCURRENT_JOB_RUN
    else:
        full = len(of_others) >= settings.MAX_CONCURRENT_JOB_RUN_HOST
    used = sum(_widths(session, others).values())
    if full or (others and used + detail.width > settings.PARALLELISM):
        return False
    changed = rows_changed(
        session,
        update(Queue)
        .where(Queue.f_job_id == job_id, Queue.f_is_waiting.in_((QUEUE_AWAITING, QUEUE_RESERVED)))
        .values(f_is_waiting=QUEUE_RESERVED),
    )
    detail.reserved_until = now_ms() + RESERVE_MS
    return changed > 0


def release(session: Session, job_id: str) -> None:
    """Give a kept place back."""
    session.execute(
        update(Queue)
        .where(Queue.f_job_id == job_id, Queue.f_is_waiting == QUEUE_RESERVED)
        .values(f_is_waiting=QUEUE_AWAITING)
    )


def start_here(session: Session, job_id: str) -> bool:
    """Run this site's part of a job that spans sites; False: it had been started, or is over."""
    hold_job(session, job_id)
    return _take(session, job_id, QUEUE_AWAITING, QUEUE_RESERVED)


def _occupying(session: Session) -> list[str]:
    """Jobs that run, and those that a place is kept for."""
    kept = session.scalars(
        select(JobDetail.f_job_id)
        .join(Queue, Queue.f_job_id == JobDetail.f_job_id)
        .where(Queue.f_is_waiting == QUEUE_RESERVED, JobDetail.reserved_until > now_ms())
    )
    return [*open_jobs(session, taken=True), *kept]


def _of_other_sites(session: Session, job_ids: Sequence[str]) -> set[str]:
    """Those of the jobs whose home is another site."""
    return set(
        session.scalars(
            select(JobDetail.f_job_id).where(
                JobDetail.f_job_id.in_(job_ids),
                JobDetail.home != "",
                JobDetail.home_is_local == 0,
            )
        )
    )


def _lock(session: Session) -> None:
    """Let one transaction at a time count and take; two could pass the limits together.

    A row of the queue that belongs to no job is locked until the transaction ends; on
    SQLite the write lock is what counts.
    """
    change = update(Queue).where(Queue.f_is_waiting == QUEUE_LOCK).values(f_event=str(now_ms()))
    if not rows_changed(session, change):
        session.add(Queue(f_job_id="", f_event="", f_is_waiting=QUEUE_LOCK))
        session.flush()


def _widths(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    rows = session.execute(
        select(JobDetail.f_job_id, JobDetail.width).where(JobDetail.f_job_id.in_(job_ids))
    )
    return {row.f_job_id: row.width for row in rows}


def _take(session: Session, job_id: str, *states: int) -> bool:
    """Claim one job and create its run; False when another process was faster."""
    claimed = rows_changed(
        session,
        update(Queue)
        .where(Queue.f_job_id == job_id, Queue.f_is_waiting.in_(states or (QUEUE_WAITING,)))
        .values(f_is_waiting=QUEUE_TAKEN),
    )
    if not claimed:
        return False
    settings = site_settings.current()
    try:
        plan = read_plan(settings.jobs_dir, job_id)
    except FateFlowError as error:
        end_job(session, job_id, JobStatus.FAILED, Failure(f"its plan is lost: {error}"))
        return False
    placement = read_placement(settings.jobs_dir, job_id)
    local = placement.local if placement is not None else None
    register_job(session, build_dag(job_id, plan, settings.TASK_RETRIES, local), job_id)
    detail = session.get(JobDetail, job_id)
    if detail is not None:
        detail.dag_id, detail.run_id, detail.reason = dag_id_of(job_id), job_id, None
        detail.timeout_at = now_ms() + int(_timeout(plan, settings.JOB_DEFAULT_TIMEOUT) * 1000)
    return True


def _say(session: Session, job_id: str, reason: str) -> None:
    detail = session.get(JobDetail, job_id)
    if detail is not None and detail.reason != reason:
        detail.reason = reason


def _timeout(plan: Plan, default: float) -> float:
    """Seconds that a job may run: ``job_parameters.timeout`` when it is a positive number."""
    value = plan.job_parameters.get("timeout")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    return default
