"""Which waiting jobs may run: a limit on jobs and a limit on task processes.

The second limit keeps Airflow's slots from being taken by parts of many components:
the tasks of one component wait for each other, so a job is let in only when the
widest row of its graph still has room.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.compiler.build import build_dag
from fate_flow.compiler.names import dag_id_of
from fate_flow.compiler.register import register_job
from fate_flow.db.models import JobDetail, Queue, now_ms
from fate_flow.entities import JobStatus, Plan
from fate_flow.errors import FateFlowError
from fate_flow.jobs.states import (
    QUEUE_LOCK,
    QUEUE_TAKEN,
    QUEUE_WAITING,
    Failure,
    end_job,
    open_jobs,
)
from fate_flow.operators.plans import read_plan

log = logging.getLogger("fate_flow.jobs")


def width_of(plan: Plan) -> int:
    """Most tasks that can run at once: the fullest level of the graph, at least 1."""
    level: dict[str, int] = {}
    load: dict[int, int] = {}
    for component in plan.components:
        depth = 1 + max((level.get(name, 0) for name in component.upstream), default=0)
        level[component.name] = depth
        load[depth] = load.get(depth, 0) + len(component.parties)
    return max(load.values(), default=1)


def admit(session: Session) -> list[str]:
    """Hand as many waiting jobs to Airflow as the limits allow, oldest first.

    Returns:
        Ids of the jobs whose runs now exist.
    """
    if not open_jobs(session, taken=False):
        return []
    _lock(session)
    waiting = open_jobs(session, taken=False)
    settings = site_settings.current()
    running = open_jobs(session, taken=True)
    widths = _widths(session, [*running, *waiting])
    used = sum(widths.get(job_id, 1) for job_id in running)
    count = len(running)
    admitted = []
    for job_id in waiting:
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


def _lock(session: Session) -> None:
    """Let one transaction at a time count and take; two could pass the limits together.

    A row of the queue that belongs to no job is locked until the transaction ends; on
    SQLite the write lock is what counts.
    """
    change = update(Queue).where(Queue.f_is_waiting == QUEUE_LOCK).values(f_event=str(now_ms()))
    if not session.execute(change).rowcount:  # type: ignore[attr-defined]
        session.add(Queue(f_job_id="", f_event="", f_is_waiting=QUEUE_LOCK))
        session.flush()


def _widths(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    rows = session.execute(
        select(JobDetail.f_job_id, JobDetail.width).where(JobDetail.f_job_id.in_(job_ids))
    )
    return {row.f_job_id: row.width for row in rows}


def _take(session: Session, job_id: str) -> bool:
    """Claim one job and create its run; False when another process was faster."""
    claimed = session.execute(
        update(Queue)
        .where(Queue.f_job_id == job_id, Queue.f_is_waiting == QUEUE_WAITING)
        .values(f_is_waiting=QUEUE_TAKEN)
    )
    if not claimed.rowcount:  # type: ignore[attr-defined]
        return False
    settings = site_settings.current()
    try:
        plan = read_plan(settings.jobs_dir, job_id)
    except FateFlowError as error:
        end_job(session, job_id, JobStatus.FAILED, Failure(f"its plan is lost: {error}"))
        return False
    register_job(session, build_dag(job_id, plan, settings.TASK_RETRIES), job_id)
    detail = session.get(JobDetail, job_id)
    if detail is not None:
        detail.dag_id, detail.run_id = dag_id_of(job_id), job_id
        detail.timeout_at = now_ms() + int(_timeout(plan, settings.JOB_DEFAULT_TIMEOUT) * 1000)
    return True


def _timeout(plan: Plan, default: float) -> float:
    """Seconds that a job may run: ``job_parameters.timeout`` when it is a positive number."""
    value = plan.job_parameters.get("timeout")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    return default
