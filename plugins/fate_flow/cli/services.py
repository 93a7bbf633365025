"""Which processes a site has, by its settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fate_flow.cli import site
from fate_flow.errors import ConfigurationError
from fate_flow.settings import Settings

#: Time of graceful ending at a stop; the rest is killed.
STOP_SECONDS = 6.0
#: The API server answers its last requests at once; then its interpreter spends seconds on
#: taking its modules apart, which nobody needs.
API_SERVER_STOP_SECONDS = 3.0
WORKER = "celery-worker"


@dataclass(frozen=True)
class Service:
    """One long-lived process of a site.

    Attributes:
        name: also the name of its log file.
        command: argument vector.
        port: TCP port it listens on, if any.
        owns_tasks: its children are task processes; they must not outlive it.
        killed: it is killed at a stop, so that it does not report its tasks as failed.
        grace: seconds from SIGTERM to SIGKILL at a stop.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    owns_tasks: bool = False
    killed: bool = False
    grace: float = STOP_SECONDS


def services_of(settings: Settings) -> list[Service]:
    """The processes that these settings ask for."""
    airflow = site.airflow_command
    workers = ("--workers", str(settings.API_SERVERS))
    found = [
        Service(
            "gateway",
            (sys.executable, "-m", "fate_flow.federation.gateway", "--home", str(settings.home)),
            port=settings.GRPC_PORT,
        ),
        Service(
            "api-server",
            tuple(airflow("api-server", *workers, "--port", str(settings.HTTP_PORT))),
            port=settings.HTTP_PORT,
            grace=API_SERVER_STOP_SECONDS,
        ),
    ]
    found += [
        Service(
            name,
            tuple(airflow("scheduler", "--skip-serve-logs")),
            owns_tasks=settings.EXECUTOR == "local" or "LocalExecutor" in settings.EXECUTOR,
        )
        for name in _names("scheduler", settings.SCHEDULERS)
    ]
    if settings.uses_celery:
        found += [celery_worker(settings, name) for name in _names(WORKER, settings.CELERY_WORKERS)]
    if wants_dag_processor(settings):
        # The bundle of the jobs is left out on purpose: its DAGs are registered directly.
        bundles = ("-B", "fate_flow_dags", "-B", "dags-folder")
        found.append(Service("dag-processor", tuple(airflow("dag-processor", *bundles))))
    return found


def _names(name: str, count: int) -> list[str]:
    """``scheduler``, ``scheduler-2``, …"""
    return [name if number == 1 else f"{name}-{number}" for number in range(1, count + 1)]


def kind_of(name: str) -> str:
    """The name without the number: what kind of process it is."""
    kind, _, number = name.rpartition("-")
    return kind if number.isdecimal() else name


def service_named(settings: Settings, name: str) -> Service:
    """One process by its name, whether it belongs to this machine or not.

    Raises:
        ConfigurationError: the site has no such process.
    """
    known = {service.name: service for service in services_of(settings)}
    known.setdefault("scheduler", Service("scheduler", tuple(site.airflow_command("scheduler"))))
    if settings.uses_celery:
        known.setdefault(WORKER, celery_worker(settings, WORKER))
    gateway = known["gateway"]
    known["gateway-standby"] = Service("gateway-standby", (*gateway.command, "--standby"))
    if name not in known:
        raise ConfigurationError(
            f"this site has no process {name!r}; allowed: {', '.join(known)}",
            remedy="" if settings.uses_celery else f"{WORKER} needs EXECUTOR: celery",
        )
    return known[name]


def celery_worker(settings: Settings, name: str) -> Service:
    """A worker of Celery; its log server stays off, since logs lie in the site's storage."""
    options = ("--skip-serve-logs", "--concurrency", str(settings.PARALLELISM))
    place = ("--celery-hostname", f"{name}@%h", "--pid", str(settings.home / "run" / f"{name}.pid"))
    command = site.airflow_command("celery", "worker", *options, *place)
    return Service(name, tuple(command), owns_tasks=True, killed=True)


def wants_dag_processor(settings: Settings) -> bool:
    if settings.DAG_PROCESSOR != "auto":
        return bool(settings.DAG_PROCESSOR == "on")
    return any((settings.home / "dags").rglob("*.py"))
