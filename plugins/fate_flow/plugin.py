"""The Airflow plugin: the ``/v1`` app and the FATE metrics tab.

Airflow loads plugins in every process. What only the API server needs is a property,
so that no other process imports it.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class FateFlowPlugin(AirflowPlugin):
    """FATE-Flow inside Airflow."""

    name = "fate_flow"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The REST API of FATE-Flow, on the API server's port."""
        from fate_flow import settings as site_settings
        from fate_flow.api.app import create_app
        from fate_flow.jobs.startup import start_in_background
        from fate_flow.operators.job_logs import write_schedule_logs

        settings = site_settings.current()
        write_schedule_logs(settings.logs_dir)
        app = create_app(settings)
        start_in_background()
        return [{"app": app, "url_prefix": "/v1", "name": "FATE-Flow"}]

    @property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The metrics tab of a job's run, the list of jobs, and those that wait for a yes."""
        return [
            {
                "name": "FATE metrics",
                "href": "/v1/ui/run/{DAG_ID}/{RUN_ID}",
                "destination": "dag_run",
                "url_route": "fate_metrics",
                "category": "federated learning",
            },
            {
                "name": "Federated jobs",
                "href": "/v1/ui/",
                "destination": "nav",
                "url_route": "fate_jobs",
                "category": "browse",
            },
            {
                "name": "Job approvals",
                "href": "/v1/ui/approvals",
                "destination": "nav",
                "url_route": "fate_approvals",
                "category": "browse",
            },
        ]
