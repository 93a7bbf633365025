"""``/pipeline``: what depends on what in a job."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from starlette.responses import Response

from fate_flow.api.body import Body, Name, PartyId, body_of
from fate_flow.api.dependencies import SiteSettings
from fate_flow.api.describe import docs
from fate_flow.api.envelope import answer
from fate_flow.api.guards import can_read
from fate_flow.entities import Plan
from fate_flow.errors import FateFlowError, NotFoundError
from fate_flow.settings import Settings

router = APIRouter(prefix="/pipeline", tags=["pipeline"])


class DependencyBody(Body):
    """A job, or the two (predict: three) documents of one."""

    role: Name
    party_id: PartyId
    job_id: Name | None = None
    job_dsl: Any = None
    job_runtime_conf: Any = None
    job_train_runtime_conf: Any = None


_EXAMPLE = {"job_id": "2026010112000012345612", "role": "guest", "party_id": 9999}
_ANSWER = {
    "component_list": ["dataio_0", "intersection_0"],
    "dependencies": {"intersection_0": [{"component_name": "dataio_0", "type": "data"}]},
    "component_module": {"dataio_0": "DataIO", "intersection_0": "Intersection"},
    "component_need_run": {"dataio_0": True, "intersection_0": True},
}


@router.post("/dag/dependency", dependencies=[can_read], **docs(DependencyBody, _EXAMPLE, _ANSWER))
def dag_dependency(
    body: Annotated[DependencyBody, body_of(DependencyBody)], settings: SiteSettings
) -> Response:
    """Components in order, their upstreams, modules, and which of them the party runs."""
    from fate_flow.dsl.dependency import dependency

    return answer(dependency(_plan(body, settings), body.role, body.party_id))


def _plan(body: DependencyBody, settings: Settings) -> Plan:
    from fate_flow.dsl.parser import compile_plan, compile_predict_plan

    if body.job_id:
        return plan_of(settings, body.job_id)
    if body.job_train_runtime_conf:
        return compile_predict_plan(
            body.job_dsl, body.job_train_runtime_conf, body.job_runtime_conf
        )
    return compile_plan(body.job_dsl, body.job_runtime_conf)


def plan_of(settings: Settings, job_id: str) -> Plan:
    """The compiled plan of a job.

    Raises:
        FateFlowError: ``query job <id> failed``.
    """
    from fate_flow.operators.plans import read_plan

    try:
        return read_plan(settings.jobs_dir, checked_job_id(job_id))
    except NotFoundError:
        raise FateFlowError(f"query job {job_id} failed") from None


def checked_job_id(job_id: str) -> str:
    """``job_id`` if it can be a folder's name.

    Raises:
        NotFoundError: it cannot be the id of any job.
    """
    if not job_id.isascii() or not job_id.replace("_", "").isalnum() or len(job_id) > 64:
        raise NotFoundError(f"can not found job: {job_id[:80]}")
    return job_id
