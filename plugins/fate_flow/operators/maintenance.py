"""Cleans up after jobs that ended long ago, through the site's REST API."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from airflow.sdk.bases.operator import BaseOperator

TERMINAL = ("success", "failed", "timeout", "canceled")


class CleanOldJobsOperator(BaseOperator):
    """Remove output tables, metrics and temporary folders of old jobs.

    Args:
        older_than_days: age of a job's end, in days.
        only_list: log what would be cleaned, clean nothing.

    Returns:
        The ids of the jobs.
    """

    template_fields: Sequence[str] = ("older_than_days", "only_list")

    def __init__(
        self, *, older_than_days: float | str = 30, only_list: bool | str = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.older_than_days = older_than_days
        self.only_list = only_list

    def execute(self, context: Any) -> list[str]:
        from fate_flow.client import FateFlowClient

        client = FateFlowClient()
        limit = (time.time() - float(self.older_than_days) * 86400) * 1000
        dry = json.loads(str(self.only_list).lower())
        old: dict[str, None] = {}
        for status in TERMINAL:
            for row in client.query_jobs(status=status):
                if row.get("f_end_time") and row["f_end_time"] < limit:
                    old[row["f_job_id"]] = None
        for job_id in old:
            self.log.info("%s job %s", "would clean" if dry else "cleaning", job_id)
            if not dry:
                client.clean_job(job_id)
        return list(old)
