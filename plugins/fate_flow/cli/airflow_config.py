"""The ``airflow.cfg`` of a site, derived from its settings.

The file is generated at ``fate_flow init`` and at every start, so that ``fate_flow.yaml``
stays the only file to edit. Options of Airflow beyond those set here go under the key
``AIRFLOW`` of that file. The keys by which Airflow's processes trust each other are derived
from the site's secret: they are the same on every machine that shares it.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

from fate_flow.errors import ConfigurationError
from fate_flow.settings import Settings

Sections = dict[str, dict[str, str]]

_DRIVERS = {
    "postgresql": ("postgresql+psycopg2", "postgresql+asyncpg", 5432),
    "mysql": ("mysql+pymysql", "mysql+aiomysql", 3306),
}
_ENGINE_NAMES = {"postgres": "postgresql", "mariadb": "mysql"}
_EXECUTORS = {
    "local": "fate_flow.operators.executor.FateLocalExecutor",
    "celery": "CeleryExecutor",
    "kubernetes": "KubernetesExecutor",
}
#: A server whose machine is gone says nothing, and the kernel would wait a quarter of an hour
#: for an answer, two hours for a word: seconds, and milliseconds for what was sent.
_LIBPQ_OPTIONS = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: Celery's own options.
_CELERY_OPTIONS = {
    # Imported before it forks its pool: no task pays for them.
    "imports": ["fate_flow.operators.celery_preload"],
    # For ever, that is until the scheduler's patience is over, which is no failure of the task.
    # A refused connection would be one, at once.
    "task_publish_retry_policy": {
        "max_retries": None,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.2,
    },
}
_WORKERS = {
    # A finished task frees its slot, and a stopped one ends, within this time.
    "min_heartbeat_interval": "1",
    # Tasks outlive a restart of the API server.
    "max_failed_heartbeats": "120",
    "execution_api_retries": "10",
    "execution_api_retry_wait_max": "5.0",
    "execution_api_timeout": "20.0",
}
_HEADER = """\
# Written by fate_flow from {source}; changes made here are lost.
# Set options of Airflow under the key AIRFLOW of that file.
"""

#: For sites on MySQL and MariaDB.
LOCAL_SETTINGS = """\
# Written by fate_flow, once. Keep these lines in a file of your own.
from fate_flow.db.mysql import stand_in_for_mysqldb

stand_in_for_mysqldb()
"""


def bundles(settings: Settings) -> list[dict[str, Any]]:
    """DAG bundles of a site: one DAG per job, the shipped DAGs, the user's folder."""
    ours = [
        ("fate_flow_jobs", "fate_flow.compiler.bundle.JobBundle"),
        ("fate_flow_dags", "fate_flow.compiler.bundle.ShippedDagBundle"),
    ]
    found: list[dict[str, Any]] = [
        {"name": name, "classpath": path, "kwargs": {}} for name, path in ours
    ]
    folder = {"path": str(settings.home / "dags")}
    users = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return [*found, {"name": "dags-folder", "classpath": users, "kwargs": folder}]


def driver_of(settings: Settings) -> tuple[str, str, int]:
    """SQLAlchemy's names of the drivers of DATABASE, and the usual port.

    Raises:
        ConfigurationError: DATABASE names an unknown engine.
    """
    engine = str(settings.DATABASE.get("engine", "mysql")).lower()
    engine = _ENGINE_NAMES.get(engine, engine)
    if engine not in _DRIVERS:
        raise ConfigurationError(
            f"DATABASE.engine: found {engine!r}; allowed: {', '.join(_DRIVERS)}"
        )
    return _DRIVERS[engine]


def is_mariadb(settings: Settings) -> bool:
    engine = str(settings.DATABASE.get("engine", "")).lower()
    return not settings.USE_LOCAL_DATABASE and engine == "mariadb"


def database_urls(settings: Settings) -> tuple[str, str | None]:
    """Addresses of the metadata database: synchronous, asynchronous (None: Airflow derives it).

    Raises:
        ConfigurationError: DATABASE is incomplete or names an unknown engine.
    """
    if settings.USE_LOCAL_DATABASE:
        return f"sqlite:///{settings.database_file}", None
    database: Mapping[str, Any] = settings.DATABASE
    sync, asynchronous, port = driver_of(settings)
    missing = [key for key in ("name", "user", "passwd", "host") if key not in database]
    if missing:
        raise ConfigurationError(f"DATABASE: {', '.join(missing)} missing")
    user, password = quote_plus(str(database["user"])), quote_plus(str(database["passwd"]))
    place = f"{user}:{password}@{database['host']}:{database.get('port', port)}/{database['name']}"
    if sync.startswith("mysql"):
        return f"{sync}://{place}?charset=utf8mb4", f"{asynchronous}://{place}?charset=utf8mb4"
    return f"{sync}://{place}?{urlencode(_LIBPQ_OPTIONS)}", f"{asynchronous}://{place}"


def derived_key(secret: bytes, purpose: str, hash_name: str = "sha256") -> str:
    """A key for one purpose, in URL-safe base64: HMAC of the purpose, as long as the hash."""
    digest = hmac.new(secret, f"airflow {purpose}".encode(), hash_name).digest()
    return base64.urlsafe_b64encode(digest).decode()


def passwords_file(settings: Settings) -> Path:
    """Where the password of Airflow's user ``admin`` stands when logins are on."""
    return settings.home / "conf" / "airflow_passwords.json"


def sections(settings: Settings) -> Sections:
    """All options that differ from Airflow's defaults.

    Raises:
        ConfigurationError: the database or the secret cannot be used.
    """
    secret = settings.secret()
    result: Sections = {
        "core": _core(settings, secret),
        "database": _database(settings),
        "logging": _logging(settings),
        "api": _api(settings, secret),
        "api_auth": {
            # Signs by HMAC-SHA512, which wants a key as long as its hash (RFC 7518, 3.2).
            "jwt_secret": derived_key(secret, "jwt_secret", "sha512"),
            "jwt_issuer": "fate_flow",
        },
        "workers": dict(_WORKERS),
        "scheduler": _scheduler(settings),
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(bundles(settings), indent=2),
            "refresh_interval": "30",
            "parsing_processes": "1",
        },
    }
    if settings.uses_celery:
        result["celery"] = _celery(settings)
        # Redis hands a task out a second time when it was not done within this time.
        longest = max(86_400, int(settings.JOB_DEFAULT_TIMEOUT))
        result["celery_broker_transport_options"] = {"visibility_timeout": str(longest)}
    for section, options in settings.AIRFLOW.items():
        result.setdefault(section, {}).update({k: str(v) for k, v in options.items()})
    return result


def _core(settings: Settings, secret: bytes) -> dict[str, str]:
    no_login = settings.is_loopback and not settings.USE_AUTHENTICATION
    return {
        "executor": ",".join(_EXECUTORS.get(name, name) for name in settings.executor_names),
        "parallelism": str(settings.PARALLELISM),
        "max_active_tasks_per_dag": str(settings.PARALLELISM),
        "dags_folder": str(settings.home / "dags"),
        "load_examples": "False",
        "fernet_key": derived_key(secret, "fernet_key"),
        "execution_api_server_url": f"{settings.http_url}/execution/",
        # The default asks the resolver, which can take seconds where there is none.
        "hostname_callable": "socket.gethostname",
        "simple_auth_manager_all_admins": str(no_login),
        "simple_auth_manager_users": "admin:admin",
        "simple_auth_manager_passwords_file": str(passwords_file(settings)),
        "daemon_umask": "0o077",
    }


def _api(settings: Settings, secret: bytes) -> dict[str, str]:
    return {
        "host": settings.IP,
        "port": str(settings.HTTP_PORT),
        "base_url": settings.http_url,
        "workers": str(settings.API_SERVERS),
        "secret_key": derived_key(secret, "secret_key"),
        "expose_config": "False",
        "instance_name": "FATE-Flow",
    }


def _scheduler(settings: Settings) -> dict[str, str]:
    options = {
        "scheduler_idle_sleep_time": "0.25",
        # How soon the tasks of a killed scheduler start anew under the next one.
        "scheduler_health_check_threshold": "15",
        "orphaned_tasks_check_interval": "10",
        # Longer than the API server needs to restart: tasks cannot report meanwhile.
        "task_instance_heartbeat_timeout": "90",
        "task_instance_heartbeat_timeout_detection_interval": "5",
        "catchup_by_default": "False",
    }
    if is_mariadb(settings):
        # Airflow's sweep of unused assets, every so often, is SQL that MariaDB does not know;
        # jobs have no assets. A hundred years between two sweeps.
        options["parsing_cleanup_interval"] = str(100 * 365 * 86_400)
    if settings.uses_celery:
        # A worker that is killed takes along what it had fetched and not begun. Such a task is
        # sent again as often as needed; one that only waits for a free process loses its turn.
        options["task_queued_timeout"] = "45"
        options["task_queued_timeout_check_interval"] = "10"
        options["num_stuck_in_queued_retries"] = "1000"
    return options


def _database(settings: Settings) -> dict[str, str]:
    sync, asynchronous = database_urls(settings)
    options = {"sql_alchemy_conn": sync}
    if asynchronous:
        options["sql_alchemy_conn_async"] = asynchronous
    return options


def _logging(settings: Settings) -> dict[str, str]:
    folder = settings.logs_dir / "airflow"
    return {
        "base_log_folder": str(folder),
        "dag_processor_child_process_log_directory": str(folder / "dag_processor"),
        "logging_level": "INFO",
        "uvicorn_logging_level": "WARNING",
        "colored_console_log": "False",
        "file_task_handler_new_folder_permissions": "0o750",
        "file_task_handler_new_file_permissions": "0o640",
    }


def broker_url(settings: Settings) -> str:
    """Address of Celery's broker, password included."""
    redis: Mapping[str, Any] = settings.REDIS
    password = f":{quote_plus(str(redis['password']))}@" if redis.get("password") else ""
    place = f"{password}{redis.get('host', '127.0.0.1')}:{redis.get('port', 6379)}"
    return f"redis://{place}/{settings.REDIS_QUEUE_DB_INDEX}"


def _celery(settings: Settings) -> dict[str, str]:
    return {
        "broker_url": broker_url(settings),
        "result_backend": "db+" + database_urls(settings)[0],
        "worker_concurrency": str(settings.PARALLELISM),
        "extra_celery_config": json.dumps(_CELERY_OPTIONS),
        # A task that cannot be sent within a second, since the broker is away, is sent again in
        # the scheduler's next round, for a quarter of an hour or more.
        "task_publish_max_retries": "1000",
    }


def render(settings: Settings) -> str:
    """Text of ``airflow.cfg``.

    Raises:
        ConfigurationError: see :func:`sections`.
    """
    lines = [_HEADER.format(source=settings.home / "fate_flow.yaml")]
    for section, options in sections(settings).items():
        lines.append(f"[{section}]")
        for name, value in options.items():
            # The parser interpolates %; a continuation line must be indented.
            text = value.replace("%", "%%").replace("\n", "\n    ")
            lines.append(f"{name} = {text}")
        lines.append("")
    return "\n".join(lines)
