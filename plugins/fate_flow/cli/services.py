"""Which processes a site has, by its settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fate_flow.cli import site
from fate_flow.settings import Settings

#: Time of graceful ending at a stop; the rest is killed.
STOP_SECONDS = 6.0
#: The API server answers its last requests at once; then its interpreter spends seconds on
#: taking its modules apart, which nobody needs.
API_SERVER_STOP_SECONDS = 3.0


@dataclass(frozen=True)
class Service:
    """One long-lived process of a site.

    Attributes:
        name: also the name of its log file.
        command: argument vector.
        port: TCP port it listens on, if any.
        owns_tasks: its children are task processes; they must not outlive it.
        grace: seconds from SIGTERM to SIGKILL at a stop.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    owns_tasks: bool = False
    grace: float = STOP_SECONDS


def services_of(settings: Settings) -> list[Service]:
    """The processes that these settings ask for."""
    airflow = site.airflow_command
    found = [
        Service(
            "gateway",
            (sys.executable, "-m", "fate_flow.federation.gateway", "--home", str(settings.home)),
            port=settings.GRPC_PORT,
        ),
        Service(
            "api-server",
            tuple(airflow("api-server", "--workers", "1", "--port", str(settings.HTTP_PORT))),
            port=settings.HTTP_PORT,
            grace=API_SERVER_STOP_SECONDS,
        ),
        Service(
            "scheduler",
            tuple(airflow("scheduler", "--skip-serve-logs")),
            owns_tasks=settings.EXECUTOR == "local" or "LocalExecutor" in settings.EXECUTOR,
        ),
    ]
    if wants_dag_processor(settings):
        # The bundle of the jobs is left out on purpose: its DAGs are registered directly.
        bundles = ("-B", "fate_flow_dags", "-B", "dags-folder")
        found.append(Service("dag-processor", tuple(airflow("dag-processor", *bundles))))
    return found


def wants_dag_processor(settings: Settings) -> bool:
    if settings.DAG_PROCESSOR != "auto":
        return bool(settings.DAG_PROCESSOR == "on")
    return any((settings.home / "dags").rglob("*.py"))
