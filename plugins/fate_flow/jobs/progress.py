"""How far a job is: the share of components whose tasks have all succeeded."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Task
from fate_flow.entities import TaskStatus
from fate_flow.jobs import states
from fate_flow.operators.plans import read_plan


def update(session: Session, job_id: str, component: str) -> None:
    """Store the progress after a task of ``component`` has succeeded."""
    plan = read_plan(site_settings.current().jobs_dir, job_id)
    succeeded = {
        (name, f"{role}_{party_id}")
        for name, role, party_id in session.execute(
            select(Task.f_component_name, Task.f_role, Task.f_party_id).where(
                Task.f_job_id == job_id, Task.f_status == TaskStatus.SUCCESS.value
            )
        )
    }
    done = sum(
        all((each.name, party.key) in succeeded for party in each.parties)
        for each in plan.components
    )
    states.set_progress(session, job_id, done, len(plan.components), f"{job_id}_{component}")
