"""The operator of every federated component: one Airflow task per party."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import AirflowFailException


class FederatedComponentOperator(BaseOperator):
    """Runs one component for one party.

    The DAG carries names only; parameters, inputs and parties stand in the job's plan,
    which the task reads. Results are references: XCom is not used.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#dae8fc"

    def __init__(
        self, *, job_id: str, component: str, role: str, party_id: int, **kwargs: Any
    ) -> None:
        kwargs.setdefault("do_xcom_push", False)
        super().__init__(**kwargs)
        self.job_id = job_id
        self.component = component
        self.role = role
        self.party_id = party_id

    def execute(self, context: Any) -> None:
        """Run the task.

        Raises:
            AirflowFailException: the component failed for good; no retry.
        """
        # Imported here: a DAG is built in processes that never run a component.
        from fate_flow import settings as site_settings
        from fate_flow.entities import Party
        from fate_flow.operators.hooks import open_gateway_channel
        from fate_flow.operators.job_logs import job_log_files
        from fate_flow.operators.plans import read_placement, read_plan
        from fate_flow.operators.task_files import write_task_files
        from fate_flow.runtime.task_runner import TaskFailedError, TaskRun

        settings = site_settings.current()
        plan = read_plan(settings.jobs_dir, self.job_id)
        run = TaskRun(
            settings=settings,
            job_id=self.job_id,
            plan=plan,
            component=plan.component(self.component),
            party=Party(self.role, self.party_id),
            try_number=context["ti"].try_number,
            open_channel=partial(open_gateway_channel, settings.grpc_address),
            placement=read_placement(settings.jobs_dir, self.job_id),
        )
        write_task_files(settings.jobs_dir, self.job_id, plan, run.component, run.party)
        with job_log_files(settings.logs_dir, run.identity):
            try:
                run.execute()
            except TaskFailedError as error:
                raise AirflowFailException(error.message) from None
