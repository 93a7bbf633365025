"""A scheduled pipeline: train every night, and fail the run when the model got worse.

Paused when it is installed. Copy it to the site's ``dags/`` folder and put your own
documents in place of the example's; then unpause your copy.
"""

from __future__ import annotations

import datetime as dt
import json

from airflow.sdk import DAG, Param, task

from fate_flow.operators.submit import SubmitJobOperator, examples_folder

EXAMPLE = examples_folder() / "hetero_lr"

with DAG(
    dag_id="fate_flow_nightly",
    dag_display_name="FATE-Flow: nightly training (example)",
    description="Train on a schedule and check the model's AUC",
    schedule="0 3 * * *",
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
    tags=["fate_flow", "example"],
    doc_md=__doc__,
    params={
        "least_auc": Param(
            default=0.9,
            type="number",
            minimum=0,
            maximum=1,
            title="Least AUC",
            description_md="The run fails when the new model's AUC on its training data is lower.",
        ),
    },
) as dag:
    train = SubmitJobOperator(
        task_id="train",
        job_dsl=json.loads((EXAMPLE / "dsl.json").read_text()),
        job_runtime_conf=json.loads((EXAMPLE / "conf.json").read_text()),
    )

    @task
    def check_model(job_id: str, least_auc: str) -> float:
        """AUC of the job's model; fails below the limit."""
        from airflow.sdk.exceptions import AirflowFailException

        from fate_flow.client import FateFlowClient

        points, _ = FateFlowClient().metric(job_id, "evaluation_0", "train", "hetero_lr_0")
        auc = float(dict(points)["auc"])
        if auc < float(least_auc):
            raise AirflowFailException(f"AUC {auc} of job {job_id} is below {least_auc}")
        return auc

    check_model(train.output, "{{ params.least_auc }}")  # type: ignore[arg-type]
