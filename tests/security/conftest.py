"""Three sites that know each other; behind the first is an API that says what came."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.support.federated import FederatedGateway, three_sites
from tests.support.gateway import free_port
from tests.support.peer_calls import Api


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FederatedGateway]]:
    port = free_port()
    with three_sites(tmp_path_factory.mktemp("sites"), HTTP_PORT=port) as made:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Api)
        server.secret = made[0].settings.secret()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()
        server.server_close()


@pytest.fixture
def bank(sites: list[FederatedGateway]) -> Iterator[FederatedGateway]:
    """The home; after each test it still serves."""
    yield sites[0]
    with sites[0].admin() as admin:
        assert admin.health().uptime > 0
