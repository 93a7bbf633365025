"""All settings: name, default, kind, limits, what each does; read by `fate_flow.settings`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """One setting.

    Attributes:
        name: key in the file.
        default: effective when nothing is set.
        kind: "int", "bool", "text", "list", "object", "number".
        help: what it does, one line.
        ours: not a FATE-Flow key.
        minimum, maximum: limits of numbers.
    """

    name: str
    default: Any
    kind: str
    help: str
    ours: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


KEYS: tuple[Key, ...] = (
    Key("IP", "0.0.0.0", "text", "address that the HTTP and gRPC servers bind"),  # noqa: S104
    Key(
        "HTTP_PORT",
        9380,
        "int",
        "port of the REST API and the Airflow UI",
        minimum=1,
        maximum=65535,
    ),
    Key("GRPC_PORT", 9360, "int", "port of the gateway", minimum=1, maximum=65535),
    Key("WORK_MODE", 0, "int", "0 standalone, 1 cluster", minimum=0, maximum=1),
    Key(
        "USE_LOCAL_DATA",
        True,
        "bool",
        "upload sends the client's file; false: a file of the server",
    ),
    Key("USE_LOCAL_DATABASE", True, "bool", "SQLite in the site's home; false: DATABASE"),
    Key("USE_AUTHENTICATION", False, "bool", "ask for a bearer token and check privileges"),
    Key("PRIVILEGE_COMMAND_WHITELIST", [], "list", "commands that need no privilege"),
    Key("USE_CONFIGURATION_CENTER", False, "bool", "find FATE-Serving by zookeeper"),
    Key("ZOOKEEPER_HOSTS", ["127.0.0.1:2181"], "list", "addresses of zookeeper"),
    Key("MAX_CONCURRENT_JOB_RUN", 5, "int", "jobs running at once", minimum=1, maximum=10000),
    Key(
        "MAX_CONCURRENT_JOB_RUN_HOST",
        10,
        "int",
        "jobs of other initiators running at once as host",
        minimum=1,
        maximum=10000,
    ),
    Key(
        "DATABASE",
        {},
        "object",
        "engine (postgresql, mysql, mariadb), name, user, passwd, host, port",
    ),
    Key("REDIS", {}, "object", "host, port, password, db of Redis"),
    Key("REDIS_QUEUE_DB_INDEX", 0, "int", "Redis database of the Celery broker", minimum=0),
    Key("SERVERS", {}, "object", "addresses of services: fateboard, proxy, servings"),
    Key("DEFAULT_MODEL_STORE_ADDRESS", {}, "object", "where model/store puts archives"),
    Key("JOB_DEFAULT_TIMEOUT", 604800, "number", "seconds after which a job is stopped", minimum=1),
    Key(
        "EXECUTOR",
        "local",
        "text",
        "Airflow executor: local, celery (needs REDIS), kubernetes, or a class path",
        ours=True,
    ),
    Key(
        "CELERY_WORKERS",
        1,
        "int",
        "Celery workers at this machine, PARALLELISM tasks each; 0: all are elsewhere",
        ours=True,
        minimum=0,
        maximum=64,
    ),
    Key(
        "SCHEDULERS",
        1,
        "int",
        "schedulers at this machine (several: not on SQLite); 0: all are elsewhere",
        ours=True,
        minimum=0,
        maximum=8,
    ),
    Key(
        "API_SERVERS",
        1,
        "int",
        "processes of the API server, on one port (several: not on SQLite)",
        ours=True,
        minimum=1,
        maximum=64,
    ),
    Key(
        "OWN_API_URL",
        "",
        "text",
        "where this site's processes reach its API server; empty: IP and HTTP_PORT",
        ours=True,
    ),
    Key(
        "OWN_GATEWAY",
        "",
        "text",
        "where this site's processes reach its gateway, host:port; empty: IP and GRPC_PORT",
        ours=True,
    ),
    Key("PARALLELISM", 16, "int", "task processes at once", ours=True, minimum=3, maximum=1024),
    Key("PARTIES", [], "list", "parties hosted here (role:id); empty: all (standalone)", ours=True),
    Key(
        "STORAGE",
        "",
        "text",
        "folder of tables, models, job files, logs; empty: the site's home",
        ours=True,
    ),
    Key("MAX_UPLOAD_BYTES", 10_737_418_240, "int", "largest uploaded file", ours=True, minimum=1),
    Key(
        "FEDERATION_TIMEOUT",
        3600,
        "number",
        "longest wait for one value of a peer, seconds",
        ours=True,
        minimum=1,
    ),
    Key(
        "MAILBOX_MEMORY_BYTES",
        268_435_456,
        "int",
        "values kept in memory before they go to disk",
        ours=True,
        minimum=1_048_576,
    ),
    Key(
        "MAILBOX_DISK_BYTES",
        21_474_836_480,
        "int",
        "values kept on disk before senders wait; also the largest value",
        ours=True,
        minimum=1_048_576,
    ),
    Key(
        "GATEWAY_TLS",
        "auto",
        "text",
        "mutual TLS at the gateway: auto (on when the site has an identity), on, off",
        ours=True,
        choices=("auto", "on", "off"),
    ),
    Key(
        "GATEWAY_IP",
        "",
        "text",
        "address that the gateway binds; empty: IP. Needs certificates when others can reach it",
        ours=True,
    ),
    Key(
        "GATEWAY_ADDRESS",
        "",
        "text",
        "host:port under which other sites reach the gateway; empty: IP and GRPC_PORT",
        ours=True,
    ),
    Key(
        "PEER_PATIENCE",
        600,
        "number",
        "seconds that tasks wait for a peer site that cannot be reached",
        ours=True,
        minimum=1,
    ),
    Key(
        "PEER_GRACE",
        90,
        "number",
        "seconds that a peer's task has to come back after its connection broke",
        ours=True,
        minimum=1,
    ),
    Key(
        "ORPHAN_LIMIT",
        86_400,
        "number",
        "seconds after a job's time is up that a site waits for the initiator's site to end it",
        ours=True,
        minimum=0,
    ),
    Key(
        "HANG_PATIENCE",
        60,
        "number",
        "seconds without an answer after which a process that hangs is ended and started again"
        " (a scheduler: twice as long); 0: never",
        ours=True,
        minimum=0,
    ),
    Key("TASK_RETRIES", 2, "int", "restarts of a task whose process died", ours=True, minimum=0),
    Key(
        "DAG_PROCESSOR",
        "auto",
        "text",
        "Airflow's dag-processor: auto (when dags/ has files), on, off",
        ours=True,
        choices=("auto", "on", "off"),
    ),
    Key(
        "ALLOW_PUBLIC_WITHOUT_AUTHENTICATION",
        False,
        "bool",
        "accept binding a public address while USE_AUTHENTICATION is off",
        ours=True,
    ),
    Key(
        "KEEP_JOB_DAGS_DAYS",
        30,
        "number",
        "days after which a finished job leaves the DAG list",
        ours=True,
        minimum=0,
    ),
    Key(
        "AIRFLOW",
        {},
        "object",
        "further options of airflow.cfg: {section: {option: value}}",
        ours=True,
    ),
)
