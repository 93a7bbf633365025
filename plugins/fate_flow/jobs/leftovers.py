"""What tasks that were killed leave behind: their temporary folders."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, now_ms
from fate_flow.jobs.states import OPEN
from fate_flow.runtime.task_runner import work_folder, work_prefix

log = logging.getLogger("fate_flow.jobs")

#: A job's last processes may still be ending this long after it, ms.
GRACE_MS = 3000


def remove_leftovers(session: Session) -> list[Path]:
    """Remove temporary folders of jobs that have ended, or that are not known.

    Returns:
        The folders.
    """
    by_job: dict[str, list[Path]] = {}
    for folder in work_folder(site_settings.current()).glob(f"{work_prefix('*')}*"):
        by_job.setdefault(folder.name.split(".")[1], []).append(folder)
    if not by_job:
        return []
    limit = now_ms() - GRACE_MS
    alive = set(
        session.scalars(
            select(Job.f_job_id).where(
                Job.f_job_id.in_(by_job),
                Job.f_status.in_(OPEN) | (Job.f_end_time > limit),
            )
        )
    )
    gone = [folder for job_id, found in by_job.items() if job_id not in alive for folder in found]
    for folder in gone:
        log.info("removing %s, which a killed task left", folder)
        shutil.rmtree(folder, ignore_errors=True)
    return gone
