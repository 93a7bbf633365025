"""Names under which a job appears in Airflow."""

from __future__ import annotations

from fate_flow.entities import Party

JOB_BUNDLE = "fate_flow_jobs"
DAGS_BUNDLE = "fate_flow_dags"
DISPATCHER_FILE = "fate_flow_jobs.py"
DAG_PREFIX = "fate_flow_"
FINISH_TASK = "finish"


def dag_id_of(job_id: str) -> str:
    return f"{DAG_PREFIX}{job_id}"


def job_id_of(dag_id: str) -> str:
    """The job id in a DAG id.

    Raises:
        ValueError: not the DAG of a job.
    """
    job_id = dag_id.removeprefix(DAG_PREFIX)
    if job_id == dag_id or not job_id.isdigit():
        raise ValueError(f"{dag_id!r} is not the DAG of a FATE-Flow job")
    return job_id


def airflow_task_id(component: str, party: Party) -> str:
    """``hetero_lr_0.guest_9999``: the component's task group, then the party."""
    return f"{component}.{party.key}"
