"""The watch loop: finds what no message told, so that no job can hang unseen.

Runs in every API server, once a second: ends jobs whose time is up or whose run ended
without a report (a killed process cannot report), seals what is done, lets waiting
jobs in, and takes old jobs out of Airflow's lists. Every step is safe to do twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.compiler.names import FINISH_TASK
from fate_flow.compiler.register import retire_dag, run_state, task_states
from fate_flow.db.models import Job, JobDetail, TaskDetail, now_ms
from fate_flow.db.session import create_session
from fate_flow.entities import JobStatus, Party
from fate_flow.errors import FateFlowError
from fate_flow.jobs.admission import admit
from fate_flow.jobs.leftovers import remove_leftovers
from fate_flow.jobs.sealing import seal_job
from fate_flow.jobs.service import end
from fate_flow.jobs.states import Failure, open_jobs
from fate_flow.sites.peers import push_if_other

log = logging.getLogger("fate_flow.watch")

INTERVAL = 1.0
RETIRE_INTERVAL = 3600.0
SWEEP_INTERVAL = 3.0
#: A gateway that was restarted, or whose peers' addresses changed in Airflow, hears of it.
PEERS_INTERVAL = 5.0


class Watch:
    """The loop, in a daemon thread."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="fate-flow-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _loop(self) -> None:
        due: dict[Callable[[Session], object], float] = {}
        while not self._stop.wait(self._interval):
            try:
                with create_session() as session:
                    look(session)
                for chore, interval in _CHORES.items():
                    if time.monotonic() >= due.get(chore, 0.0):
                        due[chore] = time.monotonic() + interval
                        with create_session() as session:
                            chore(session)
            except OperationalError as error:
                log.warning("the database is busy, looking again: %s", error.orig)
            except Exception:
                log.exception("the watch loop failed once")


def look(session: Session) -> None:
    """One pass over all jobs that have not ended."""
    running = open_jobs(session, taken=True)
    if running:
        states = task_states(session, list(running))
        for job_id in running:
            _look_at(session, job_id, states[job_id])
    admit(session)


def _look_at(session: Session, job_id: str, tasks: dict[str, tuple[str | None, int]]) -> None:
    detail = session.get(JobDetail, job_id)
    if detail is not None and detail.timeout_at is not None and now_ms() > detail.timeout_at:
        end(session, job_id, JobStatus.TIMEOUT, Failure("its time is up (job_parameters.timeout)"))
        return
    for task_id, (state, tries) in tasks.items():
        if state == "failed":
            end(session, job_id, JobStatus.FAILED, _failure_of(session, job_id, task_id, tries))
            return
    state = run_state(session, job_id)
    if state is None:
        end(session, job_id, JobStatus.FAILED, Failure("its DAG run was removed from Airflow"))
    elif state == "failed":
        end(session, job_id, JobStatus.FAILED, Failure("its DAG run was failed in Airflow"))
    elif state == "success":
        try:
            seal_job(session, job_id)
        except FateFlowError as error:
            end(session, job_id, JobStatus.FAILED, Failure(str(error)))


def _failure_of(session: Session, job_id: str, task_id: str, tries: int) -> Failure:
    """Why a task that is failed in Airflow never reported a final failure."""
    component, _, key = task_id.partition(".")
    if task_id == FINISH_TASK or not key:
        return Failure(f"the task {task_id!r} failed; its log in Airflow has the reason")
    party = Party.parse(key)
    detail = session.get(TaskDetail, (job_id, component, party.role, str(party.party_id)))
    known = detail.error if detail is not None and detail.error else None
    reason = known or (
        f"its process ended without a report, {tries} time(s); killed, or out of memory? "
        "The task's log in Airflow has the last lines"
    )
    return Failure(f"{component} at {party}: {reason}", component, party)


def retire_old(session: Session) -> None:
    """Take jobs that ended long ago out of Airflow's DAG list; history and results stay."""
    days = site_settings.current().KEEP_JOB_DAGS_DAYS
    limit = now_ms() - int(days * 86_400_000)
    rows = session.execute(
        select(JobDetail.f_job_id)
        .join(Job, Job.f_job_id == JobDetail.f_job_id)
        .where(Job.f_end_time.is_not(None), Job.f_end_time < limit, JobDetail.dag_id != "")
        .distinct()
        .limit(500)
    )
    for (job_id,) in rows:
        retire_dag(session, job_id)
        detail = session.get(JobDetail, job_id)
        if detail is not None:
            detail.dag_id = ""


#: What is done now and then -> seconds between two times.
_CHORES: Mapping[Callable[[Session], object], float] = {
    remove_leftovers: SWEEP_INTERVAL,
    push_if_other: PEERS_INTERVAL,
    retire_old: RETIRE_INTERVAL,
}
