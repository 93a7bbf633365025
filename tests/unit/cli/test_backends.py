"""What is said of a database or a broker that cannot be used, without any server."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from fate_flow.cli import airflow_config, backends, services
from fate_flow.errors import ConfigurationError
from fate_flow.settings import KEYS, Settings, inspect
from tests.support.service import free_ports

DATABASE = {"name": "n", "user": "u", "passwd": "p%@/", "host": "127.0.0.1"}


def _settings(home: Path, **values: Any) -> Settings:
    return Settings(home, {**{key.name: key.default for key in KEYS}, **values})


def _bigger(home: Path, **values: Any) -> Settings:
    (port,) = free_ports(1)
    database = {**DATABASE, "engine": "postgresql", "port": port}
    redis = {"host": "127.0.0.1", "port": port, "password": "s:e/c@ret"}
    given = {"USE_LOCAL_DATABASE": False, "DATABASE": database}
    return _settings(home, **{**given, "EXECUTOR": "celery", "REDIS": redis, **values})


def test_a_standalone_site_needs_nothing(tmp_path: Path) -> None:
    assert backends.examine(_settings(tmp_path)) == ([], [])


def test_servers_that_are_not_there(tmp_path: Path) -> None:
    settings = _bigger(tmp_path)
    port = settings.REDIS["port"]
    _, problems = backends.examine(settings)
    assert [text.partition(":")[0] for text in problems] == ["DATABASE", "REDIS"]
    assert all(f"127.0.0.1:{port}" in text and "refused" in text.lower() for text in problems)
    assert not any(word in text for text in problems for word in ("s:e/c@ret", "p%@/"))
    with pytest.raises(ConfigurationError, match="REDIS"):
        backends.require(settings)
    assert not backends.has_schema(settings)


@pytest.mark.parametrize(
    ("missing", "engine", "extra"),
    [
        ("asyncpg", "postgresql", "postgres"),
        ("aiomysql", "mysql", "mysql"),
        ("apache-airflow-providers-celery", "mysql", "celery"),
        ("redis", "postgresql", "celery"),
    ],
)
def test_a_missing_driver_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, engine: str, extra: str
) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return known("pip") if name != missing else ""

    monkeypatch.setattr(importlib.metadata, "version", version)
    settings = _bigger(tmp_path, DATABASE={**DATABASE, "engine": engine})
    _, problems = backends.examine(settings)
    assert len(problems) == 1
    assert missing in problems[0]
    assert f"pip install 'fate-flow-airflow[{extra}]'" in problems[0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SCHEDULERS: 2", "SCHEDULERS"),
        ("API_SERVERS: 2", "API_SERVERS"),
        ("EXECUTOR: celery\nREDIS: {host: h}", "EXECUTOR"),
        (
            "USE_LOCAL_DATABASE: false\nDATABASE: {name: n}\nEXECUTOR: celery",
            "REDIS",
        ),
        ("OWN_API_URL: somewhere", "OWN_API_URL"),
        ("OWN_GATEWAY: http://host:1", "OWN_GATEWAY"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "fate_flow.yaml").write_text(f"IP: 127.0.0.1\n{text}\n")
    problems = inspect(tmp_path)[1]
    assert [problem.path for problem in problems] == [named]


def test_processes_of_a_bigger_site(tmp_path: Path) -> None:
    settings = _bigger(tmp_path, SCHEDULERS=2, CELERY_WORKERS=2, API_SERVERS=3, PARALLELISM=7)
    found = {service.name: service for service in services.services_of(settings)}
    assert list(found) == [
        *("gateway", "api-server", "scheduler", "scheduler-2"),
        *("celery-worker", "celery-worker-2"),
    ]
    command = found["api-server"].command
    assert command[command.index("--workers") + 1] == "3"
    assert not found["scheduler"].owns_tasks
    worker = found["celery-worker-2"]
    assert worker.owns_tasks
    assert worker.killed
    assert worker.command[worker.command.index("--concurrency") + 1] == "7"
    assert "celery-worker-2@%h" in worker.command


def test_processes_that_are_elsewhere_can_be_run_by_name(tmp_path: Path) -> None:
    settings = _bigger(tmp_path, SCHEDULERS=0, CELERY_WORKERS=0)
    assert [s.name for s in services.services_of(settings)] == ["gateway", "api-server"]
    assert services.service_named(settings, "celery-worker").owns_tasks
    assert "scheduler" in services.service_named(settings, "scheduler").command
    with pytest.raises(ConfigurationError, match="no process 'celery-worker'"):
        services.service_named(_settings(tmp_path), "celery-worker")


def test_airflow_cfg_of_a_bigger_site(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "site_secret").write_text("ab" * 32)
    settings = _bigger(tmp_path, OWN_API_URL="http://api:9380/", OWN_GATEWAY="gate:9360")
    found = airflow_config.sections(settings)
    assert found["celery"]["broker_url"].startswith("redis://:s%3Ae%2Fc%40ret@127.0.0.1:")
    assert found["celery"]["result_backend"].startswith("db+postgresql+psycopg2://u:p%25%40%2F@")
    assert int(found["celery_broker_transport_options"]["visibility_timeout"]) >= 604_800
    assert found["core"]["execution_api_server_url"] == "http://api:9380/execution/"
    assert settings.grpc_address == "gate:9360"


def test_sqlite_stays_the_database_while_the_setting_says_so(tmp_path: Path) -> None:
    settings = _settings(tmp_path, DATABASE={**DATABASE, "engine": "postgresql"})
    assert airflow_config.database_urls(settings)[0].startswith("sqlite:///")


def test_several_executors(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "site_secret").write_text("ab" * 32)
    settings = _bigger(tmp_path, EXECUTOR="celery, kubernetes")
    core = airflow_config.sections(settings)["core"]
    assert core["executor"] == "CeleryExecutor,KubernetesExecutor"
