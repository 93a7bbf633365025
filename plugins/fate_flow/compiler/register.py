"""The only module that touches Airflow's internals: registers, fails and retires job DAGs.

Why internals: with public means a new DAG is known to Airflow seconds after its file
is, and only if a DAG processor parses it. Here the DAG, its version and its run are
written in the caller's transaction, together with the job's own rows: submit answers
when the run exists, and all of it commits or none. What is used is checked once per
process (:func:`check_internals`) and held by a contract test.
"""

from __future__ import annotations

import datetime as dt
import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from fate_flow.compiler.bundle import dispatcher_folder
from fate_flow.compiler.names import DISPATCHER_FILE, JOB_BUNDLE, dag_id_of
from fate_flow.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from sqlalchemy.orm import Session

log = logging.getLogger("fate_flow.jobs")

#: Airflow marks a DAG stale when its file was parsed later than the DAG; a job's DAG
#: is never parsed by a DAG processor, so its time of parsing lies out of reach.
#: The last day that a TIMESTAMP of MySQL and MariaDB can hold is in January 2038.
NEVER_STALE = dt.datetime(2038, 1, 1, tzinfo=dt.timezone.utc)

SUPPORTED = ("3.3",)


@lru_cache(maxsize=1)
def check_internals() -> None:
    """Refuse an Airflow whose internals were not tested.

    Raises:
        ConfigurationError: another minor version, or a part that is used is gone.
    """
    import airflow

    if not airflow.__version__.startswith(SUPPORTED):
        raise ConfigurationError(
            f"Airflow {airflow.__version__} was not tested with this version of FATE-Flow",
            remedy="Install apache-airflow>=3.3,<3.4",
        )
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG

    parts = [
        (SerializedDAG, "bulk_write_to_db"),
        (SerializedDAG, "create_dagrun"),
        (SerializedDagModel, "write_dag"),
        (LazyDeserializedDAG, "from_dag"),
        (DagSerialization, "from_dict"),
    ]
    missing = [f"{owner.__name__}.{name}" for owner, name in parts if not hasattr(owner, name)]
    if missing:
        raise ConfigurationError(f"this Airflow has no {', '.join(missing)}")


def sync_bundles(session: Session) -> None:
    """Write the configured bundles to the database; a DAG processor would do it otherwise."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    # Airflow's constructor has no annotations.
    manager = DagBundlesManager()  # type: ignore[no-untyped-call]
    manager.sync_bundles_to_db(session=session)


def register_job(session: Session, dag: DAG, run_id: str) -> None:
    """Make Airflow know a DAG and queue its one run, in the caller's transaction."""
    _register(session, dag, JOB_BUNDLE, str(dispatcher_folder() / DISPATCHER_FILE), DISPATCHER_FILE)
    _create_run(session, dag, run_id)
    log.info("job %s admitted: its run is queued in Airflow", run_id)


def register_shipped(session: Session, dag: DAG, bundle: str, path: str, relative: str) -> None:
    """Make Airflow know a DAG of the package, without a DAG processor."""
    _register(session, dag, bundle, path, relative)


def _register(session: Session, dag: DAG, bundle: str, path: str, relative: str) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    check_internals()
    dag.fileloc = path
    dag.relative_fileloc = relative
    lazy = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db(bundle, None, [lazy], session=session)
    SerializedDagModel.write_dag(lazy, bundle_name=bundle, session=session)
    session.flush()
    model = session.get(DagModel, dag.dag_id)
    if model is None:
        raise ConfigurationError(f"Airflow did not take the DAG {dag.dag_id}")
    model.last_parsed_time = NEVER_STALE
    model.is_stale = False


def _create_run(session: Session, dag: DAG, run_id: str) -> None:
    from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    # SQLite compares whole seconds as text: a run due "now" would wait up to 1.5 s.
    due = dt.datetime.now(dt.timezone.utc).replace(microsecond=0) - dt.timedelta(seconds=1)
    DagSerialization.from_dict(LazyDeserializedDAG.from_dag(dag).data).create_dagrun(
        run_id=run_id,
        run_after=due,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.REST_API,
        state=DagRunState.QUEUED,
        session=session,
    )


def fail_run(session: Session, job_id: str) -> None:
    """End a job's run: running tasks are told to stop, pending ones are skipped."""
    from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
    from airflow.models.serialized_dag import SerializedDagModel

    dag = SerializedDagModel.get_dag(dag_id_of(job_id), session=session)
    if dag is not None and run_state(session, job_id) in ("queued", "running"):
        set_dag_run_state_to_failed(dag=dag, run_id=job_id, commit=True, session=session)
        last = {task.task_id for task in dag.tasks if not task.downstream_task_ids}
        _fail_last_tasks(session, dag.dag_id, job_id, last)


def _fail_last_tasks(session: Session, dag_id: str, run_id: str, last: set[str]) -> None:
    """Last tasks that were skipped are marked as failed by those before them.

    A scheduler that is at this run at the same moment counts its state from the last tasks,
    and skipped ones count as success.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import update

    session.flush()
    session.execute(
        update(TaskInstance)
        .where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.task_id.in_(last),
            TaskInstance.state == TaskInstanceState.SKIPPED,
        )
        .values(state=TaskInstanceState.UPSTREAM_FAILED)
    )


def run_state(session: Session, job_id: str) -> str | None:
    """State of a job's run, None when there is none."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    state = session.scalar(
        select(DagRun.state).where(DagRun.dag_id == dag_id_of(job_id), DagRun.run_id == job_id)
    )
    return None if state is None else str(getattr(state, "value", state))


def task_states(
    session: Session, job_ids: list[str]
) -> dict[str, dict[str, tuple[str | None, int]]]:
    """job id -> Airflow task id -> (state, try number), for the runs of some jobs."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    by_dag = {dag_id_of(job_id): job_id for job_id in job_ids}
    found: dict[str, dict[str, tuple[str | None, int]]] = {job_id: {} for job_id in job_ids}
    rows = session.execute(
        select(
            TaskInstance.dag_id, TaskInstance.task_id, TaskInstance.state, TaskInstance.try_number
        ).where(TaskInstance.dag_id.in_(by_dag))
    )
    for dag_id, task_id, state, try_number in rows:
        text = None if state is None else str(getattr(state, "value", state))
        found[by_dag[dag_id]][task_id] = (text, try_number)
    return found


def retire_dag(session: Session, job_id: str) -> None:
    """Take a finished job's DAG out of the lists; its history stays."""
    from airflow.models.dag import DagModel

    model = session.get(DagModel, dag_id_of(job_id))
    if model is not None:
        model.is_stale = True
