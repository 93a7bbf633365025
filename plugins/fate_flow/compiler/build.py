"""Plan -> Airflow DAG: a task group per component, a task per local party.

Edges are those of the DSL, at the level of groups: a component's tasks start
together once every task of the components before it has succeeded, because they
meet at the gateway anyway. The last task, ``finish``, seals the job.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import DAG, TaskGroup

from fate_flow import settings as site_settings
from fate_flow.compiler.names import FINISH_TASK, airflow_task_id, dag_id_of, job_id_of
from fate_flow.entities import ComponentPlan, Party, Plan
from fate_flow.operators.component import FederatedComponentOperator
from fate_flow.operators.finish import FinishJobOperator
from fate_flow.operators.plans import read_placement, read_plan

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperator

#: A restarted task should come back soon: its peers are waiting for it.
RETRY_DELAY = timedelta(seconds=1)


def build_job_dag(dag_id: str) -> DAG:
    """The DAG of a stored job, for a worker that was given its id."""
    settings = site_settings.current()
    job_id = job_id_of(dag_id)
    placement = read_placement(settings.jobs_dir, job_id)
    return build_dag(
        job_id,
        read_plan(settings.jobs_dir, job_id),
        settings.TASK_RETRIES,
        placement.local if placement is not None else None,
    )


def build_dag(
    job_id: str, plan: Plan, retries: int, local_parties: Iterable[Party] | None = None
) -> DAG:
    """Compile a plan.

    Args:
        job_id: id of the job; becomes part of the DAG id.
        plan: the validated job.
        retries: restarts of a task whose process died.
        local_parties: parties of this site; None for all.

    The same arguments always give the same serialised DAG.
    """
    local = set(plan.parties if local_parties is None else local_parties)
    dag = DAG(
        dag_id=dag_id_of(job_id),
        dag_display_name=f"job {job_id}",
        schedule=None,
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=1,
        max_active_tasks=1024,
        tags=["fate_flow", plan.initiator.key, *sorted({c.module for c in plan.components})],
        doc_md=_doc(job_id, plan),
    )
    with dag:
        leaves: dict[str, list[BaseOperator]] = {}
        for component in plan.components:
            leaves[component.name] = _add_component(component, job_id, retries, local, leaves)
        finish = FinishJobOperator(
            task_id=FINISH_TASK, job_id=job_id, retries=max(retries, 2), retry_delay=RETRY_DELAY
        )
        for tasks in leaves.values():
            for task in tasks:
                if not task.downstream_task_ids:
                    task >> finish
    return dag


def _add_component(
    component: ComponentPlan,
    job_id: str,
    retries: int,
    local: set[Party],
    leaves: dict[str, list[BaseOperator]],
) -> list[BaseOperator]:
    """Tasks of one component at this site, wired to what must be done before.

    A component without a local party hands on its own upstream tasks, so that the
    order is kept across it.
    """
    before = [task for name in component.upstream for task in leaves.get(name, ())]
    parties = [party for party in component.parties if party in local]
    if not parties:
        return before
    tasks: list[BaseOperator] = []
    with TaskGroup(component.name, tooltip=component.module):
        for party in parties:
            task = FederatedComponentOperator(
                task_id=party.key,
                task_display_name=str(party),
                job_id=job_id,
                component=component.name,
                role=party.role,
                party_id=party.party_id,
                retries=retries,
                retry_delay=RETRY_DELAY,
            )
            if task.task_id != airflow_task_id(component.name, party):
                raise RuntimeError(f"unexpected task id {task.task_id}")
            for upstream in dict.fromkeys(before):
                upstream >> task
            tasks.append(task)
    return tasks


def _doc(job_id: str, plan: Plan) -> str:
    parties = ", ".join(str(party) for party in plan.parties)
    rows = "\n".join(f"| {c.name} | {c.module} |" for c in plan.components)
    return (
        f"Federated job **{job_id}**, submitted by {plan.initiator}. Parties: {parties}.\n\n"
        f"Metrics, model and output data: tab *FATE metrics* of the run.\n\n"
        f"| component | module |\n| - | - |\n{rows}\n"
    )
