"""``airflow.cfg``: every option exists in Airflow, values survive its parser."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fate_flow.cli import airflow_config
from fate_flow.errors import ConfigurationError
from fate_flow.settings import KEYS, Settings


def _settings(home: Path, **values: Any) -> Settings:
    (home / "conf").mkdir(parents=True, exist_ok=True)
    (home / "conf" / "site_secret").write_text("ab" * 32)
    return Settings(home, {**{key.name: key.default for key in KEYS}, "IP": "127.0.0.1", **values})


def _parse(settings: Settings) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(airflow_config.render(settings))
    return parser


def test_every_option_is_one_of_airflows(tmp_path: Path) -> None:
    import airflow

    folder = Path(airflow.__file__).parent
    known = yaml.safe_load((folder / "config_templates" / "config.yml").read_text())
    for section, options in airflow_config.sections(_settings(tmp_path)).items():
        for option in options:
            assert option in known[section]["options"], f"[{section}] {option}"


def test_addresses_and_folders(tmp_path: Path) -> None:
    parser = _parse(_settings(tmp_path, HTTP_PORT=19380))
    assert parser["api"]["port"] == "19380"
    assert parser["api"]["host"] == "127.0.0.1"
    assert parser["core"]["execution_api_server_url"] == "http://127.0.0.1:19380/execution/"
    assert parser["database"]["sql_alchemy_conn"] == f"sqlite:///{tmp_path}/fate_flow_sqlite.db"
    assert parser["logging"]["base_log_folder"] == str(tmp_path / "logs" / "airflow")
    assert parser["core"]["load_examples"] == "False"


def test_bundles_are_json_and_load(tmp_path: Path) -> None:
    parser = _parse(_settings(tmp_path))
    bundles = json.loads(parser["dag_processor"]["dag_bundle_config_list"])
    assert [bundle["name"] for bundle in bundles] == [
        "fate_flow_jobs",
        "fate_flow_dags",
        "dags-folder",
    ]
    from airflow.sdk._shared.module_loading import import_string

    for bundle in bundles:
        assert import_string(bundle["classpath"])
    assert import_string(parser["core"]["executor"])


@pytest.mark.parametrize(
    ("values", "no_login"),
    [
        ({}, "True"),
        ({"USE_AUTHENTICATION": True}, "False"),
        ({"IP": "0.0.0.0", "USE_AUTHENTICATION": True}, "False"),
        ({"IP": "0.0.0.0", "ALLOW_PUBLIC_WITHOUT_AUTHENTICATION": True}, "False"),
    ],
)
def test_no_login_only_on_loopback(tmp_path: Path, values: dict[str, Any], no_login: str) -> None:
    parser = _parse(_settings(tmp_path, **values))
    assert parser["core"]["simple_auth_manager_all_admins"] == no_login


def test_keys_depend_on_secret_and_purpose_only(tmp_path: Path) -> None:
    one, other = _settings(tmp_path / "a"), _settings(tmp_path / "b", HTTP_PORT=1234)
    keys = [("api", "secret_key"), ("api_auth", "jwt_secret"), ("core", "fernet_key")]
    values = [airflow_config.sections(one)[section][key] for section, key in keys]
    assert values == [airflow_config.sections(other)[section][key] for section, key in keys]
    assert len(set(values)) == 3
    assert airflow_config.derived_key(b"another", "fernet_key") not in values


def test_fernet_key_is_valid(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    key = airflow_config.sections(_settings(tmp_path))["core"]["fernet_key"]
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"x")) == b"x"


@pytest.mark.parametrize(
    ("engine", "sync", "asynchronous"),
    [
        ("mysql", "mysql+pymysql", "mysql+aiomysql"),
        ("mariadb", "mysql+pymysql", "mysql+aiomysql"),
        ("postgresql", "postgresql+psycopg2", "postgresql+asyncpg"),
    ],
)
def test_database_server(tmp_path: Path, engine: str, sync: str, asynchronous: str) -> None:
    database = {"engine": engine, "name": "ff", "user": "u", "passwd": "p@s%s/w", "host": "db"}
    settings = _settings(tmp_path, USE_LOCAL_DATABASE=False, DATABASE=database)
    parser = _parse(settings)
    address = parser["database"]["sql_alchemy_conn"]
    assert address.startswith(f"{sync}://u:p%40s%25s%2Fw@db:")
    assert parser["database"]["sql_alchemy_conn_async"].startswith(f"{asynchronous}://")
    # Neither driver knows the other's options.
    assert ("tcp_user_timeout=" in address) is (engine.startswith("postgres"))
    assert "tcp_user_timeout" not in parser["database"]["sql_alchemy_conn_async"]


@pytest.mark.parametrize(
    ("database", "message"),
    [({"engine": "oracle"}, "allowed: postgresql, mysql"), ({"host": "h"}, "name, user, passwd")],
)
def test_unusable_database(tmp_path: Path, database: dict[str, Any], message: str) -> None:
    settings = _settings(tmp_path, USE_LOCAL_DATABASE=False, DATABASE=database)
    with pytest.raises(ConfigurationError, match=message):
        airflow_config.render(settings)


def test_celery(tmp_path: Path) -> None:
    redis = {"host": "r", "port": 6380, "password": "p"}
    parser = _parse(_settings(tmp_path, EXECUTOR="celery", REDIS=redis, REDIS_QUEUE_DB_INDEX=2))
    assert parser["core"]["executor"] == "CeleryExecutor"
    assert parser["celery"]["broker_url"] == "redis://:p@r:6380/2"
    # Without an end, the wait for a broker that is away is a time-out, which Airflow forgives.
    extra = json.loads(parser["celery"]["extra_celery_config"])
    assert extra["task_publish_retry_policy"]["max_retries"] is None
    assert extra["imports"] == ["fate_flow.operators.celery_preload"]
    assert int(parser["celery"]["task_publish_max_retries"]) >= 900


def test_own_options_win_and_percent_survives(tmp_path: Path) -> None:
    own = {"scheduler": {"scheduler_idle_sleep_time": 1}, "email": {"subject_template": "100%"}}
    parser = _parse(_settings(tmp_path, AIRFLOW=own))
    assert parser["scheduler"]["scheduler_idle_sleep_time"] == "1"
    assert parser["email"]["subject_template"] == "100%"


def test_class_path_as_executor(tmp_path: Path) -> None:
    assert _parse(_settings(tmp_path, EXECUTOR="a.b.C"))["core"]["executor"] == "a.b.C"
