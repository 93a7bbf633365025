"""Jobs of other sites that wait until a person here says yes."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, JobDetail
from fate_flow.entities import JobStatus
from fate_flow.errors import FateFlowError, NotFoundError
from fate_flow.jobs import states, telling
from fate_flow.jobs.incoming import ASKED, REFUSED
from fate_flow.jobs.service import end
from fate_flow.operators.plans import read_plan

log = logging.getLogger("fate_flow.jobs")

APPROVED = "approved"


@dataclass(frozen=True)
class Waiting:
    """A job that waits for an answer of this site's people.

    Attributes:
        site: peer that submitted it.
        initiator: party that did.
        parties: those of this site that take part.
        modules: that would run here, in order.
        tables: ``namespace/name`` that would be read here.
        created: when it came, ms since 1970.
    """

    job_id: str
    site: str
    initiator: str
    parties: list[str]
    modules: list[str]
    tables: list[str]
    created: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def waiting(session: Session) -> list[Waiting]:
    """Jobs that wait for a yes, the oldest first."""
    rows = session.scalars(
        select(JobDetail)
        .join(Job, Job.f_job_id == JobDetail.f_job_id)
        .where(JobDetail.approval == ASKED, Job.f_status == JobStatus.WAITING.value)
        .order_by(JobDetail.created)
        .distinct()
    ).all()
    return [_waiting(row) for row in rows if not row.proposal]


def _waiting(detail: JobDetail) -> Waiting:
    plan = read_plan(site_settings.current().jobs_dir, detail.f_job_id)
    placement = telling.require_placement(detail.f_job_id)
    tables = {
        "/".join(address)
        for party in placement.local
        for address in plan.job_args.get(party.key, {}).values()
        if address is not None
    }
    return Waiting(
        job_id=detail.f_job_id,
        site=telling.home_peer(placement),
        initiator=str(plan.initiator),
        parties=sorted(map(str, placement.local)),
        modules=list(
            dict.fromkeys(c.module for c in plan.components if set(c.parties) & placement.local)
        ),
        tables=sorted(tables),
        created=detail.created,
    )


def approve(session: Session, job_id: str, by: str = "") -> None:
    """Let a job run here.

    Raises:
        FateFlowError: it does not wait for an answer.
    """
    detail = _asked(session, job_id)
    detail.approval, detail.approved_by = APPROVED, by or None
    detail.reason = "approved; waiting for a place at every site"
    log.info("job %s approved by %s", job_id, by or "-")
    telling.tell(session, job_id)


def refuse(session: Session, job_id: str, reason: str = "", by: str = "") -> None:
    """Keep a job from running; it is canceled everywhere, with the reason.

    Raises:
        FateFlowError: it does not wait for an answer.
    """
    detail = _asked(session, job_id)
    detail.approval, detail.approved_by = REFUSED, by or None
    parties = ", ".join(sorted(map(str, telling.require_placement(job_id).local)))
    text = f"refused by the site of {parties}" + (f": {reason[:1000]}" if reason else "")
    log.info("job %s refused by %s: %s", job_id, by or "-", json.dumps(reason[:1000]))
    end(session, job_id, JobStatus.CANCELED, states.Failure(text))


def _asked(session: Session, job_id: str) -> JobDetail:
    states.hold_job(session, job_id[:26])
    detail = session.get(JobDetail, job_id) if len(job_id) <= 25 else None
    if detail is None:
        raise NotFoundError(f"can not found job: {job_id:.60}")
    status = states.status_of(session, job_id)
    if detail.approval != ASKED or status is None or status.is_terminal:
        is_over = status is not None and status.is_terminal
        state = status.value if status is not None and is_over else detail.approval or "not asked"
        raise FateFlowError(
            f"job {job_id} does not wait for approval: {state}",
            remedy="fate_flow job approvals lists those that do",
        )
    return detail
