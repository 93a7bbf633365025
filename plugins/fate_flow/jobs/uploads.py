"""Tables that uploads are still writing: the jobs that read them wait for these uploads.

FATE-Flow answers an upload before the table is there, and scripts submit the job that reads
it right behind. It runs when the uploads that were submitted before it have ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import Job, Queue
from fate_flow.entities import JobStatus, Party, Plan
from fate_flow.errors import NotFoundError
from fate_flow.operators.plans import read_placement, read_plan

#: (namespace, name).
Address = tuple[str, str]

_OPEN = (JobStatus.WAITING.value, JobStatus.RUNNING.value)


def being_written(session: Session) -> set[Address]:
    """The tables of all uploads that have not ended."""
    return {address for _, _, address in _unfinished(session)}


def awaited(session: Session, job_ids: Sequence[str]) -> dict[str, str]:
    """Job id -> why it waits, for those of the jobs that read what an earlier upload writes."""
    uploads = list(_unfinished(session))
    if not uploads or not job_ids:
        return {}
    places = dict(
        session.execute(select(Queue.f_job_id, Queue.id).where(Queue.f_job_id.in_(job_ids)))
        .tuples()
        .all()
    )
    found: dict[str, str] = {}
    for job_id in job_ids:
        reads = _read_by(job_id)
        for place, upload, (namespace, name) in uploads:
            if (namespace, name) in reads and place < places.get(job_id, 0):
                table = f"table {name!r} of namespace {namespace!r}"
                found[job_id] = f"waiting for upload {upload}, which writes {table}"
    return found


def _unfinished(session: Session) -> Iterator[tuple[int, str, Address]]:
    """(place in the queue, job id, table) of every upload that has not ended."""
    rows = session.execute(
        select(Queue.id, Job.f_job_id)
        .join(Job, Job.f_job_id == Queue.f_job_id)
        .where(Job.f_role == "local", Job.f_status.in_(_OPEN))
        .order_by(Queue.id)
    )
    for place, job_id in rows.tuples().all():
        plan = _plan(job_id)
        for address in _parameters(plan, "Upload", "UploadParam") if plan else ():
            yield place, job_id, address


def _read_by(job_id: str) -> set[Address]:
    """The tables of this site that a job's components read."""
    plan = _plan(job_id)
    if plan is None:
        return set()
    placement = read_placement(site_settings.current().jobs_dir, job_id)
    local = plan.parties if placement is None else placement.local
    return {*_arguments(plan, local), *_parameters(plan, "Download", "DownloadParam")}


def _arguments(plan: Plan, local: Iterable[Party]) -> Iterator[Address]:
    here = set(local)
    for component in plan.components:
        for references in component.data.values():
            for reference in references:
                source, _, key = reference.partition(".")
                for party in component.parties if source == "args" else ():
                    address = plan.job_args.get(party.key, {}).get(key)
                    if party in here and address is not None:
                        yield address


def _parameters(plan: Plan, module: str, group: str) -> Iterator[Address]:
    for component in plan.components:
        for conf in component.parameters.values() if component.module == module else ():
            values = conf.get(group, {})
            yield str(values.get("namespace")), str(values.get("table_name"))


def _plan(job_id: str) -> Plan | None:
    try:
        return read_plan(site_settings.current().jobs_dir, job_id)
    except NotFoundError:
        return None
