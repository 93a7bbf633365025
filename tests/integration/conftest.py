"""One running site for all integration tests; starting one takes most of their time."""

from __future__ import annotations

import pytest

from tests.support.live_site import LiveSite
from tests.support.service import RunningSite


@pytest.fixture(scope="session")
def running_site(live_site: LiveSite) -> RunningSite:
    """The session's site, for tests of its processes; do not end them."""
    return live_site
