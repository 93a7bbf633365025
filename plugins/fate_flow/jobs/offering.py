"""A job is offered to the other sites of its parties before it exists anywhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fate_flow.db.session import create_session
from fate_flow.errors import FateFlowError, InvalidInputError, Problem
from fate_flow.federation.peers import PeerRefusedError
from fate_flow.federation.tokens import issue_ticket
from fate_flow.jobs.telling import FORGET
from fate_flow.sites import delivery, outbox

if TYPE_CHECKING:
    from fate_flow.jobs.creation import PreparedJob
    from fate_flow.settings import Settings

log = logging.getLogger("fate_flow.jobs")

CREATE = "job.create"
_SECONDS = 30.0
#: Tickets outlast a job's longest time by this: what is late is still let in.
_TICKET_SLACK_SECONDS = 86_400.0


def offer(settings: Settings, job: PreparedJob) -> None:
    """Create the job at the other sites, or at none of them.

    Raises:
        InvalidInputError: what the other sites find wrong, all of it, each with its site.
        FateFlowError: a site does not answer, or does not want the job.
    """
    if job.placement is None:
        return
    names = list(job.placement.sites)
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: _ask(settings, job, name), names))
    refused = [(n, e) for n, e in zip(names, answers, strict=True) if e is not None]
    errors = [error for _, error in refused]
    if not errors:
        return
    # Also where no answer came: the site may have created it all the same.
    withdraw(job)
    problems = [p for name, error in refused for p in _problems(name, error)]
    if problems:
        raise InvalidInputError(problems)
    raise errors[0]


def withdraw(job: PreparedJob) -> None:
    """Let the other sites forget a job that does not come to be."""
    if job.placement is None:
        return
    with create_session() as session:
        for name in job.placement.sites:
            outbox.put(session, name, FORGET, job.job_id, 1, {})
    delivery.wake()


def _ask(settings: Settings, job: PreparedJob, peer: str) -> FateFlowError | None:
    parties = job.placement.sites[peer] if job.placement is not None else ()
    timeout = float(job.plan.job_parameters.get("timeout") or settings.JOB_DEFAULT_TIMEOUT)
    ticket = issue_ticket(
        settings.secret(),
        job_id=job.job_id,
        parties=parties,
        ttl=timeout + settings.ORPHAN_LIMIT + _TICKET_SLACK_SECONDS,
    )
    body = {
        "job_id": job.job_id,
        "home": job.plan.initiator.key,
        "dsl": job.dsl,
        "conf": job.submitted,
        "train_conf": job.train_runtime_conf,
        "plan_hash": job.plan.content_hash,
        "ticket": ticket,
    }
    try:
        delivery.call(peer, CREATE, body, _SECONDS)
    except FateFlowError as error:
        log.info("job %s: %s", job.job_id, error.message)
        return error
    return None


def _problems(peer: str, error: FateFlowError) -> list[Problem]:
    """What a site finds wrong with the documents, if that is why it refuses."""
    data: Any = error.data if isinstance(error, PeerRefusedError) else None
    found = data.get("problems") if isinstance(data, Mapping) else None
    if not isinstance(found, list):
        return []
    return [
        Problem(
            str(entry.get("path") or ""),
            f"at site {peer}: {entry.get('message')}",
            str(entry.get("allowed") or ""),
            str(entry.get("hint") or ""),
        )
        for entry in found[:200]
        if isinstance(entry, Mapping)
    ]
