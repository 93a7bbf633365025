"""One running site for all integration tests; starting one takes most of their time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service import RunningSite


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A standalone site with all its processes, on free ports; do not end its processes."""
    site = RunningSite.make(tmp_path_factory.mktemp("running") / "site")
    site.start()
    yield site
    site.stop()
    assert site.processes() == []
