"""Submit a federated job by triggering a DAG, and watch it to its end.

    airflow dags trigger fate_flow_submit --conf '{"job_dsl": {…}, "job_runtime_conf": {…}}'

The run validates both documents as FATE-Flow does, submits them, and succeeds or fails
with the job.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from fate_flow.operators.submit import SubmitJobOperator, document_param

with DAG(
    dag_id="fate_flow_submit",
    dag_display_name="FATE-Flow: submit a job",
    description="Validate and submit a federated job, then follow it",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    max_active_runs=100,
    tags=["fate_flow"],
    doc_md=__doc__,
    params={
        "job_dsl": document_param("job_dsl", title="Job DSL"),
        "job_runtime_conf": document_param("job_runtime_conf", title="Runtime conf"),
        "wait": Param(
            default=True,
            type="boolean",
            title="Follow the job",
            description_md="End with the job's own result instead of right after submission.",
        ),
    },
) as dag:
    SubmitJobOperator(
        task_id="submit",
        job_dsl="{{ params.job_dsl | tojson }}",
        job_runtime_conf="{{ params.job_runtime_conf | tojson }}",
        wait="{{ params.wait | tojson }}",
    )
