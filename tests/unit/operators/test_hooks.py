"""Connections of other sites' gateways: known to Airflow, looked up where Airflow looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.models.connection import Connection
from airflow.secrets import BaseSecretsBackend
from airflow.secrets.metastore import MetastoreBackend

from fate_flow.operators import hooks
from fate_flow.provider_info import get_provider_info
from tests.support.site import Site

CONN_ID = "fate_flow_peer_bank_b"


class _Vault(BaseSecretsBackend):
    """A secrets backend that knows one connection, or fails."""

    def __init__(self, uri: str = "", *, fails: bool = False) -> None:
        self._uri, self._fails = uri, fails
        self.asked = 0

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Any:
        self.asked += 1
        if self._fails:
            raise OSError("sealed")
        return Connection(conn_id=conn_id, uri=self._uri) if self._uri else None


@pytest.fixture
def site(tmp_path: Path, airflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site.make(tmp_path / "site", airflow_template, monkeypatch)
    yield made
    made.close()


def test_airflow_knows_the_type_of_connection() -> None:
    (known,) = get_provider_info()["connection-types"]
    assert known["connection-type"] == hooks.FatePeerHook.conn_type
    assert known["hook-name"] == hooks.FatePeerHook.hook_name
    module, _, name = known["hook-class-name"].rpartition(".")
    assert (module, name) == (hooks.__name__, hooks.FatePeerHook.__name__)


def test_an_address_is_written_read_changed_and_deleted(site: Site) -> None:
    with site.session() as session:
        assert hooks.peer_address(session, CONN_ID) == ""
        hooks.store_address(session, CONN_ID, "b.example:9360", "Site bank-b")
        assert hooks.peer_address(session, CONN_ID) == "b.example:9360"
        hooks.store_address(session, CONN_ID, "[::1]:9361", "Site bank-b")
        assert hooks.peer_address(session, CONN_ID) == "[::1]:9361"
        hooks.store_address(session, CONN_ID, "", "Site bank-b, which dials in")
        assert hooks.peer_address(session, CONN_ID) == ""
        hooks.delete_address(session, CONN_ID)
        hooks.delete_address(session, CONN_ID)
        assert session.query(Connection).count() == 0


def test_backends_come_before_the_database_and_may_fail(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = _Vault("fate-flow-peer://vault.example:9362")
    backends: list[BaseSecretsBackend] = [_Vault(fails=True), _Vault(), MetastoreBackend()]
    monkeypatch.setattr("airflow.configuration.ensure_secrets_loaded", lambda: backends)
    with site.session() as session:
        hooks.store_address(session, CONN_ID, "b.example:9360", "Site bank-b")
        assert hooks.peer_address(session, CONN_ID) == "b.example:9360"
        backends.insert(1, vault)
        assert hooks.peer_address(session, CONN_ID) == "vault.example:9362"


def test_a_vault_is_asked_once_a_minute(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch loop reads the list of peers every few seconds."""
    vault, empty = _Vault("fate-flow-peer://vault.example:9362"), _Vault()
    backends: list[BaseSecretsBackend] = [empty, vault, MetastoreBackend()]
    monkeypatch.setattr("airflow.configuration.ensure_secrets_loaded", lambda: backends)
    now = [1000.0]
    monkeypatch.setattr(hooks.time, "monotonic", lambda: now[0])
    with site.session() as session:
        for _ in range(12):
            assert hooks.peer_address(session, CONN_ID) == "vault.example:9362"
            now[0] += 4.9
        assert (empty.asked, vault.asked) == (1, 1)
        vault._uri = "fate-flow-peer://moved.example:9363"
        assert hooks.peer_address(session, CONN_ID) == "vault.example:9362"
        now[0] += 2.0
        assert hooks.peer_address(session, CONN_ID) == "moved.example:9363"
        assert (empty.asked, vault.asked) == (2, 2)
        assert hooks.peer_address(session, "fate_flow_peer_other") == "moved.example:9363"
        assert vault.asked == 3, "each connection for itself"
        # A command about peers sees what is there now.
        vault._uri = ""
        hooks.store_address(session, CONN_ID, "b.example:9360", "Site bank-b")
        assert hooks.peer_address(session, CONN_ID) == "b.example:9360"


def test_a_vault_that_is_sealed_for_a_while_does_not_change_an_address(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = _Vault("fate-flow-peer://vault.example:9362")
    backends: list[BaseSecretsBackend] = [vault, MetastoreBackend()]
    monkeypatch.setattr("airflow.configuration.ensure_secrets_loaded", lambda: backends)
    now = [1000.0]
    monkeypatch.setattr(hooks.time, "monotonic", lambda: now[0])
    with site.session() as session:
        hooks.store_address(session, CONN_ID, "old.example:9360", "Site bank-b")
        assert hooks.peer_address(session, CONN_ID) == "vault.example:9362"
        vault._fails = True
        for _ in range(5):
            now[0] += 61.0
            assert hooks.peer_address(session, CONN_ID) == "vault.example:9362"
        assert vault.asked == 6


def test_the_environment_is_always_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.session() as session:
        for port in (9362, 9363):
            place = f"fate-flow-peer://env.example:{port}"
            monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", place)
            assert hooks.peer_address(session, CONN_ID) == f"env.example:{port}"
