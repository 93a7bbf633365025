"""One running site for all integration tests, as starting one takes most of their time; a gateway
for each module that asks for one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import GatewayProcess
from tests.support.live_site import LiveSite
from tests.support.service import RunningSite


@pytest.fixture(scope="session")
def running_site(live_site: LiveSite) -> RunningSite:
    """The session's site, for tests of its processes; do not end them."""
    return live_site


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("site") / "home")
    process.start()
    yield process
    process.stop()
