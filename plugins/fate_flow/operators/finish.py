"""The last task of a job: asks the site to seal it (pipeline models, final status)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.bases.operator import BaseOperator


class FinishJobOperator(BaseOperator):
    """Reports the end of a job to the site's API and returns when it is stored."""

    template_fields: Sequence[str] = ()
    ui_color = "#d5e8d4"

    def __init__(self, *, job_id: str, **kwargs: Any) -> None:
        kwargs.setdefault("do_xcom_push", False)
        super().__init__(**kwargs)
        self.job_id = job_id

    def execute(self, context: Any) -> None:
        from fate_flow import settings as site_settings
        from fate_flow.runtime.reporting import SiteClient

        settings = site_settings.current()
        SiteClient.for_job(settings, self.job_id).post("/finish", {"job_id": self.job_id})
