"""The newest jobs of a site, for lists that people look at."""

from __future__ import annotations

from itertools import groupby

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fate_flow.db.models import Job


def recent_jobs(session: Session, limit: int, before: int | None = None) -> list[list[Job]]:
    """Rows of the newest jobs, newest first; of each job the initiator's row first.

    Args:
        limit: number of jobs.
        before: only jobs created before this time (ms).
    """
    created = func.min(Job.f_create_time)
    newest = select(Job.f_job_id).group_by(Job.f_job_id).order_by(created.desc(), Job.f_job_id)
    if before is not None:
        newest = newest.having(created < before)
    ids = list(session.scalars(newest.limit(limit)))
    rows = session.scalars(
        select(Job)
        .where(Job.f_job_id.in_(ids))
        .order_by(Job.f_job_id, Job.f_is_initiator.desc(), Job.f_role, Job.f_party_id)
    )
    grouped = {job_id: list(of_job) for job_id, of_job in groupby(rows, lambda row: row.f_job_id)}
    return [grouped[job_id] for job_id in ids if job_id in grouped]
