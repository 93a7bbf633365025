"""The end of a job that went well: pipeline models of every party, then success."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, JobDetail, Task
from fate_flow.dsl.parser import derive_predict_dsl
from fate_flow.entities import JobStatus, Party, Plan, model_id_of, party_model_id
from fate_flow.errors import FateFlowError, NotFoundError
from fate_flow.jobs import states, telling
from fate_flow.jobs.agreement import not_succeeded
from fate_flow.jobs.permission import SAVE_PIPELINE, Gate, NotAuthorizedError, gate_of_job
from fate_flow.jobs.service import end
from fate_flow.models.store import ModelStore
from fate_flow.operators.plans import read_plan
from fate_flow.tracking import store as tracking
from fate_flow.tracking.store import TaskScope


def seal_job(session: Session, job_id: str) -> None:
    """End a job whose tasks have all succeeded; its pipeline models are saved before.

    Of a job that spans sites only this site's tasks can be known for certain here: the home
    waits for the reports of the others, the others for the home.

    Raises:
        NotFoundError: unknown job.
        FateFlowError: a task of this site has not succeeded.
    """
    status = states.status_of(session, job_id)
    if status is None:
        raise NotFoundError(f"can not found job: {job_id}")
    if status.is_terminal:
        return
    states.hold_job(session, job_id)
    plan = read_plan(site_settings.current().jobs_dir, job_id)
    placement = telling.placement_of(job_id)
    local = plan.parties if placement is None else sorted(placement.local)
    missing = _not_succeeded(session, job_id, plan, local)
    if missing:
        raise FateFlowError(f"job {job_id} cannot be finished: {', '.join(missing)}")
    states.start_job(session, job_id)
    refusal = _refusal_to_save(session, job_id, plan, local)
    if refusal is not None:
        end(session, job_id, JobStatus.FAILED, refusal)
        return
    if placement is not None and not placement.home_is_local:
        return
    late = _not_succeeded(session, job_id, plan, plan.parties)
    if late:
        detail = session.get(JobDetail, job_id)
        if detail is not None:
            detail.reason = f"waiting for the report of another site: {late[0]}"
        return
    finish(session, job_id, plan, local)


def finish(session: Session, job_id: str, plan: Plan, local: Sequence[Party]) -> None:
    """Save the pipeline models of the parties here and end the job with success, for good."""
    if plan.job_parameters.get("job_type") != "predict":
        row = session.scalars(select(Job).where(Job.f_job_id == job_id).limit(1)).one()
        _save_pipelines(session, job_id, local, plan.roles, row)
    detail = session.get(JobDetail, job_id)
    if detail is not None:
        detail.reason = None
    end(session, job_id, JobStatus.SUCCESS, None, decided=True)


def _refusal_to_save(
    session: Session, job_id: str, plan: Plan, parties: Sequence[Party]
) -> states.Failure | None:
    """Why a party here does not let the initiator save its model, if it does not."""
    gate = gate_of_job(session, site_settings.current(), job_id)
    if gate is None or plan.job_parameters.get("job_type") == "predict":
        return None
    return _refusal_at(gate, parties)


def _refusal_at(gate: Gate, parties: Sequence[Party]) -> states.Failure | None:
    for party in parties:
        try:
            gate.check(party, SAVE_PIPELINE)
        except NotAuthorizedError as error:
            return states.Failure(f"save_pipeline: {error.message}", None, party)
    return None


def _not_succeeded(
    session: Session, job_id: str, plan: Plan, parties: Collection[Party]
) -> list[str]:
    """Tasks of these parties that have not succeeded, in words."""
    rows = session.execute(
        select(Task.f_component_name, Task.f_role, Task.f_party_id, Task.f_status).where(
            Task.f_job_id == job_id
        )
    )
    found = {(name, f"{role}_{party}"): status for name, role, party, status in rows}
    needed = [
        (component.name, party.key)
        for component in plan.components
        for party in component.parties
        if party in parties
    ]
    return [
        f"{name} of {Party.parse(key)} is {found.get((name, key), 'not run')}"
        for name, key in not_succeeded(needed, found)
    ]


def _save_pipelines(
    session: Session, job_id: str, parties: Sequence[Party], roles: Mapping[str, Any], row: Job
) -> None:
    """The pipeline model of every party, and the data view that says where it is."""
    store = ModelStore(site_settings.current().models_dir)
    dsl = json.loads(row.f_dsl)
    model_id = model_id_of(roles)
    for party in parties:
        owner = party_model_id(party, model_id)
        store.save_pipeline(
            owner,
            job_id,
            inference_dsl=json.dumps(derive_predict_dsl(dsl, party.role)).encode(),
            train_dsl=row.f_dsl.encode(),
            train_runtime_conf=row.f_runtime_conf.encode(),
            model_id=model_id,
        )
        scope = TaskScope(job_id, "pipeline", party.role, str(party.party_id))
        tracking.save_data_view(session, scope, party_model_id=owner, model_version=job_id)
