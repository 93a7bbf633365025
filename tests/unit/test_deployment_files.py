"""Files for containers fit the program: settings, commands, accounts, health checks.

No container engine runs here: what can be held is what the files say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fate_flow.cli import airflow_config, services
from fate_flow.settings import ENVIRONMENT_PREFIX, KEYS, Settings, inspect

FOLDER = Path(__file__).parents[2] / "docker"
UID = 10001

Document = dict[str, Any]


def _read(name: str) -> Document:
    document: Document = yaml.safe_load((FOLDER / name).read_text())
    return document


@pytest.fixture
def celery() -> Mapping[str, Document]:
    services: Mapping[str, Document] = _read("compose.celery.yml")["services"]
    return services


def _ours(found: Mapping[str, Document]) -> dict[str, Document]:
    return {name: one for name, one in found.items() if one["image"].startswith("fate-flow")}


@pytest.fixture
def settings(
    celery: Mapping[str, Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """What the containers of the Celery site make of their environment."""
    for name, text in celery["worker"]["environment"].items():
        value = re.sub(r"\$\{(\w+):\?[^}]*\}", r"secret-of-\1", text)
        monkeypatch.setenv(name, value)
    # As the entrypoint does.
    monkeypatch.setenv("FATE_FLOW__IP", "0.0.0.0")
    found, problems = inspect(tmp_path)
    assert problems == []
    return found


def test_settings_of_the_celery_site(settings: Settings) -> None:
    assert airflow_config.broker_url(settings).endswith("@redis:6379/0")
    sync, asynchronous = airflow_config.database_urls(settings)
    place = "://fate_flow:secret-of-POSTGRES_PASSWORD@postgres:5432/fate_flow"
    assert sync.partition("?")[0] == f"postgresql+psycopg2{place}"
    assert asynchronous == f"postgresql+asyncpg{place}"
    assert settings.http_url == "http://api-server:9380"
    assert settings.grpc_address == "gateway:9360"


def test_each_process_of_the_celery_site_is_one_of_ours(
    celery: Mapping[str, Document], settings: Settings
) -> None:
    ours = _ours(celery)
    assert set(ours) == {"migrate", "gateway", "api-server", "scheduler", "worker"}
    assert ours.pop("migrate")["command"] == ["db", "migrate"]
    for name, one in ours.items():
        *words, process = one["command"]
        assert words == ["service", "run"]
        assert services.service_named(settings, process).command
        *words, checked = one["healthcheck"]["test"]
        assert words == ["CMD", "fate_flow", "service", "health"]
        assert checked == process, name
        assert one["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    # Names by which the processes find each other are names of containers.
    assert settings.http_url.split("/")[2].partition(":")[0] in ours
    assert settings.grpc_address.partition(":")[0] in ours


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*compose*.yml")))
def test_containers_have_few_rights_and_open_no_port_to_others(name: str) -> None:
    found = _read(name)["services"]
    for title, one in found.items():
        ports = [str(port) for port in one.get("ports", [])]
        assert all(port.startswith("127.0.0.1:") for port in ports), title
        assert "privileged" not in one
        if title not in _ours(found):
            assert one["user"] not in ("root", "0"), title
            assert one["healthcheck"]["test"], title
            continue
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in one["security_opt"]


def test_no_secret_stands_in_a_file() -> None:
    for path in FOLDER.rglob("*.y*ml"):
        for line in path.read_text().splitlines():
            if re.search(r"(?i)passw(or)?d\"?\s*:", line) and not line.lstrip().startswith("#"):
                assert "${" in line, f"{path.name}: {line}"


def test_the_image_runs_as_the_account_that_pods_name() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert f"USER {UID}:{UID}" in text
    assert f"--uid {UID}" in text
    values = _read("kubernetes/values.yaml")
    assert (values["uid"], values["gid"]) == (UID, UID)


def test_the_pod_of_a_task() -> None:
    pod = _read("kubernetes/pod_template.yaml")
    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    spec = pod["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == UID
    (container,) = spec["containers"]
    assert container["name"] == "base"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in spec["volumes"]}
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables["FATE_FLOW_HOME"] == mounts["site"]


def test_values_of_the_chart_are_those_of_a_site(settings: Settings, tmp_path: Path) -> None:
    """Options of Airflow that matter to jobs do not differ between the two ways to deploy."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "site_secret").write_text("ab" * 32)
    ours = airflow_config.sections(settings)
    values = _read("kubernetes/values.yaml")
    for section, options in values["config"].items():
        for name, value in options.items():
            if name == "dag_bundle_config_list":
                assert yaml.safe_load(value)[:2] == yaml.safe_load(ours[section][name])[:2]
            else:
                assert ours[section][name] == value, f"{section}.{name}"
    (deployment, service) = values["extraObjects"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 1
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]


def test_variables_of_all_files_are_settings() -> None:
    known = {ENVIRONMENT_PREFIX + key.name for key in KEYS}
    for path in FOLDER.rglob("*"):
        if path.is_file():
            found = set(re.findall(rf"\b{ENVIRONMENT_PREFIX}[A-Z_]+\b", path.read_text()))
            assert found <= known, path
