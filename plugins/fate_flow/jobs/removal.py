"""A job that did not come to be is forgotten, as if it had never been offered."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

from sqlalchemy import delete
from sqlalchemy.orm import Session

from fate_flow.db.models import Job, JobDetail, Metric, Outbox, Queue
from fate_flow.entities import model_id_of, party_model_id
from fate_flow.errors import FateFlowError
from fate_flow.jobs.effects import after_commit
from fate_flow.jobs.telling import placement_of
from fate_flow.models.store import ModelStore
from fate_flow.operators.plans import read_plan

if TYPE_CHECKING:
    from fate_flow.settings import Settings

log = logging.getLogger("fate_flow.jobs")


def remove_job(session: Session, settings: Settings, job_id: str) -> None:
    """Remove the rows and files of a job that has not started."""
    for model, column in (
        (Job, Job.f_job_id),
        (JobDetail, JobDetail.f_job_id),
        (Queue, Queue.f_job_id),
        (Metric, Metric.f_job_id),
        (Outbox, Outbox.job_id),
    ):
        session.execute(delete(model).where(column == job_id))
    after_commit(session, lambda: _remove_files(settings, job_id))
    log.info("job %s did not come to be and is forgotten", job_id)


def _remove_files(settings: Settings, job_id: str) -> None:
    try:
        plan, placement = read_plan(settings.jobs_dir, job_id), placement_of(job_id)
    except FateFlowError:
        return
    if plan.job_parameters.get("job_type") != "predict":
        store = ModelStore(settings.models_dir)
        for party in placement.local if placement is not None else plan.parties:
            store.remove(party_model_id(party, model_id_of(plan.roles)), job_id)
    shutil.rmtree(settings.jobs_dir / job_id, ignore_errors=True)
    shutil.rmtree(settings.logs_dir / job_id, ignore_errors=True)
