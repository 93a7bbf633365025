"""Submits a job from a DAG of the user's, through the site's REST API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from fate_flow.dsl.schema import job_dsl_schema, job_runtime_conf_schema
from fate_flow.entities import JobStatus

if TYPE_CHECKING:
    from fate_flow.client import FateFlowClient

_SCHEMAS = {"job_dsl": job_dsl_schema, "job_runtime_conf": job_runtime_conf_schema}
_FILES = {"job_dsl": "dsl.json", "job_runtime_conf": "conf.json"}


class SubmitJobOperator(BaseOperator):
    """Submit a federated job and, if asked, follow it to its end.

    Args:
        job_dsl, job_runtime_conf: the documents, as objects or JSON texts.
        wait: succeed or fail with the job instead of right after submission.
        poll_seconds: time between two looks at the job.

    The XCom ``return_value`` is the job id.
    """

    template_fields: Sequence[str] = ("job_dsl", "job_runtime_conf", "wait")
    template_fields_renderers = {"job_dsl": "json", "job_runtime_conf": "json"}
    ui_color = "#ffe6cc"

    def __init__(
        self,
        *,
        job_dsl: Any,
        job_runtime_conf: Any,
        wait: bool | str = True,
        poll_seconds: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_dsl = job_dsl
        self.job_runtime_conf = job_runtime_conf
        self.wait = wait
        self.poll_seconds = poll_seconds
        self._job_id: str | None = None

    def execute(self, context: Any) -> str:
        from fate_flow.client import FateFlowClient
        from fate_flow.client.answers import ApiError

        client = FateFlowClient()
        try:
            submission = client.submit_job(
                _document(self.job_dsl), _document(self.job_runtime_conf)
            )
        except ApiError as error:
            raise AirflowFailException(f"the job was refused:\n{error.message}") from None
        self._job_id = submission.job_id
        self.log.info("job %s submitted: %s", self._job_id, submission.board_url)
        for warning in submission.warnings:
            self.log.warning("%s", warning)
        if str(self.wait).lower() != "false":
            self._follow(client, self._job_id)
        return self._job_id

    def _follow(self, client: FateFlowClient, job_id: str) -> None:
        state = client.wait(
            job_id,
            lambda now: self.log.info("job %s: %s, %s %%", job_id, now.status.value, now.progress),
            interval=self.poll_seconds,
        )
        if state.status is not JobStatus.SUCCESS:
            reason = next((row["f_reason"] for row in state.rows if row.get("f_reason")), "")
            raise AirflowFailException(
                f"job {job_id} {state.status.value}: {reason or 'no reason given'}"
            )

    def on_kill(self) -> None:
        """A stopped run stops its job."""
        if self._job_id is not None:
            from fate_flow.client import FateFlowClient

            FateFlowClient().stop_job(self._job_id)


def _document(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def document_param(name: str, **more: Any) -> Param:
    """A ``Param`` for ``job_dsl`` or ``job_runtime_conf``: JSON Schema, example as default."""
    schema = _SCHEMAS[name]()
    schema.pop("$schema", None)
    schema.pop("$id", None)
    example = examples_folder() / "hetero_lr" / _FILES[name]
    return Param(json.loads(example.read_text()), **{**schema, **more})


def examples_folder() -> Path:
    """``fate_flow/dsl_examples`` of an installed package, ``dsl_examples`` of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "dsl_examples"
    return installed if installed.is_dir() else package.parents[1] / "dsl_examples"
