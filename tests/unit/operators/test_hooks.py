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

    def get_connection(self, conn_id: str, team_name: str | None = None) -> Any:
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
