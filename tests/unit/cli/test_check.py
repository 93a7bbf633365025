"""``fate_flow check``: what is wrong is found, all at once, and no secret is shown."""

from __future__ import annotations

import datetime
import shutil
import socket
from pathlib import Path

import pytest

from fate_flow import settings
from fate_flow.cli import check, site
from fate_flow.errors import ConfigurationError
from fate_flow.federation.identity import SiteIdentity
from fate_flow.sites.invitation import short
from tests.support.service import free_ports


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FATE_FLOW_HOME", raising=False)
    http_port, grpc_port = free_ports(2)
    folder = tmp_path / "site"
    site.initialise(folder, {"HTTP_PORT": http_port, "GRPC_PORT": grpc_port})
    return folder


def test_a_fresh_site_lacks_only_its_schema(home: Path) -> None:
    report = check.examine(home)
    assert report.errors == []
    assert report.warnings == ["the schema is not up to date; run: fate_flow db migrate"]
    assert report.settings["HTTP_PORT"][1] == "file"
    assert report.settings["PARALLELISM"][1] == "default"


def test_a_folder_that_is_no_site(tmp_path: Path) -> None:
    report = check.examine(tmp_path / "nothing")
    assert any("fate_flow.yaml is missing" in text for text in report.errors)
    assert any("site_secret is missing" in text for text in report.errors)
    assert not (tmp_path / "nothing").exists()


def test_everything_wrong_is_told_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "conf" / "site_secret").chmod(0o644)
    with (home / "fate_flow.yaml").open("a") as file:
        file.write("\nPARALELISM: 8\nTASK_RETRIES: -1\nAIRFLOW: {core: 3}\n")
    monkeypatch.setenv("FATE_FLOW__WORK_MODE", "7")
    text = check.examine(home).to_text()
    assert "can be read by others (0644)" in text
    assert "did you mean PARALLELISM?" in text
    assert "TASK_RETRIES: found -1" in text
    assert "FATE_FLOW__WORK_MODE: found 7" in text
    assert "AIRFLOW.core: found 3" in text
    assert "5 wrong" in text


def test_a_taken_port_is_named_with_its_holder(home: Path) -> None:
    port = check.examine(home).settings["HTTP_PORT"][0]
    with socket.create_server(("127.0.0.1", port)):
        errors = check.examine(home).errors
    assert len(errors) == 1
    assert errors[0].startswith(f"HTTP_PORT {port}: Address already in use, held by pid")


def test_a_damaged_secret(home: Path) -> None:
    (home / "conf" / "site_secret").write_text("not hex\n")
    assert any("site_secret cannot be read" in text for text in check.examine(home).errors)


def test_an_unreachable_database_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_ports(1)[0]
    monkeypatch.setenv("FATE_FLOW__USE_LOCAL_DATABASE", "false")
    monkeypatch.setenv(
        "FATE_FLOW__DATABASE",
        '{"engine": "postgresql", "name": "n", "user": "u", "passwd": "very secret",'
        f' "host": "127.0.0.1", "port": {port}}}',
    )
    report = check.examine(home)
    assert any(f"127.0.0.1:{port}" in text for text in report.errors)
    assert "very secret" not in report.to_text()
    assert report.settings["DATABASE"][0]["passwd"] == "***"


def test_secrets_are_hidden_at_any_depth() -> None:
    shown = check.hide_secrets({"a": [{"password": "x", "user": "u"}], "api_token": "t"})
    assert shown == {"a": [{"password": "***", "user": "u"}], "api_token": "***"}


@pytest.mark.parametrize("url", ["s3://bucket/fate", "memory://x", "gs://b", "file://host/x"])
def test_a_storage_that_is_no_folder_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FATE_FLOW__STORAGE", url)
    (error,) = check.examine(home).errors
    assert error.startswith(f"STORAGE: found '{url}'; object stores")
    assert "mount the store as a folder" in error
    with pytest.raises(ConfigurationError, match="STORAGE: found"):
        settings.load(home)


def test_storage_as_a_path_a_file_url_and_below_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text, folder in (
        (str(tmp_path / "data"), tmp_path / "data"),
        (f"file://{tmp_path}/data", tmp_path / "data"),
        ("data", home / "data"),
        ("", home),
    ):
        monkeypatch.setenv("FATE_FLOW__STORAGE", text)
        assert settings.load(home).storage_root == folder


# -- sites with an identity ------------------------------------------------------------------


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of several sites."""
    monkeypatch.delenv("FATE_FLOW_HOME", raising=False)
    folder = tmp_path / "member"
    http_port, grpc_port = free_ports(2)
    ports = {"HTTP_PORT": http_port, "GRPC_PORT": grpc_port}
    site.initialise(folder, {**ports, "PARTIES": ["guest:9999"]}, name="bank-a")
    return folder


def test_the_identity_is_shown(member: Path) -> None:
    report = check.examine(member)
    own = SiteIdentity.load(settings.load(member))
    assert report.errors == []
    assert f"site bank-a ({own.site_id}), parties: guest:9999" in report.facts
    assert any(short(own.fingerprint) in fact for fact in report.facts)
    assert any("certificate is valid until" in fact and "39" in fact for fact in report.facts)


def test_what_is_wrong_with_an_identity(member: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = member / "conf" / "identity"
    (folder / "ca.key").chmod(0o644)
    monkeypatch.setenv("FATE_FLOW__GATEWAY_TLS", "off")
    errors = check.examine(member).errors
    assert any("ca.key can be read by others (0644)" in text for text in errors)
    assert any("GATEWAY_TLS is off" in text for text in errors)
    (folder / "site.json").write_text("{}")
    assert any("cannot be used" in text for text in check.examine(member).errors)
    shutil.rmtree(folder)
    assert any("PARTIES are set but" in text for text in check.examine(member).warnings)


@pytest.mark.parametrize(
    ("days", "kind", "words"),
    [(10, "warnings", "does it run?"), (-1, "errors", "start the gateway, which renews it")],
)
def test_a_certificate_that_ends(
    member: Path, monkeypatch: pytest.MonkeyPatch, days: int, kind: str, words: str
) -> None:
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days, hours=1)
    monkeypatch.setattr(SiteIdentity, "leaf_expires", lambda _: end)
    assert any(words in text for text in getattr(check.examine(member), kind))
