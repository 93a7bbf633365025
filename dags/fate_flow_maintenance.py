"""Remove what finished jobs left behind: output tables, metrics, temporary folders, logs.

Triggered by hand or by a schedule of your own; nothing is removed by itself.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from fate_flow.operators.maintenance import CleanOldJobsOperator

with DAG(
    dag_id="fate_flow_maintenance",
    dag_display_name="FATE-Flow: clean old jobs",
    description="Remove results of jobs that ended long ago",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=1,
    tags=["fate_flow"],
    doc_md=__doc__,
    params={
        "older_than_days": Param(
            default=30,
            type="number",
            minimum=0,
            title="Older than (days)",
            description_md="Jobs that ended at least this long ago are cleaned.",
        ),
        "only_list": Param(
            default=True,
            type="boolean",
            title="Only list them",
            description_md="Log what would be removed and remove nothing.",
        ),
    },
) as dag:
    CleanOldJobsOperator(
        task_id="clean",
        older_than_days="{{ params.older_than_days }}",
        only_list="{{ params.only_list | tojson }}",
    )
