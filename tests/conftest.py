"""Set up for all tests: Airflow never touches the user's own home, and a site to test against."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.support.live_site import LiveSite
    from tests.support.site import Site

# Airflow reads these when it is first imported, which a test module may do on top level.
if "AIRFLOW_HOME" not in os.environ:
    _HOME = tempfile.mkdtemp(prefix="fate-flow-test-")
    atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = _HOME
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{_HOME}/airflow.db"
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

# How long one example takes says something of the machine, not of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our tables; copied for each test that needs a database."""
    from tests.support.site import make_template

    return make_template(tmp_path_factory.mktemp("database") / "template.db")


@pytest.fixture
def site(
    tmp_path: Path, database_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """An empty site: settings, folders, a database of its own."""
    from tests.support.site import Site

    made = Site.make(tmp_path / "site", database_template, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    """A client of the site's REST API, without authentication as on loopback."""
    with site.client() as made:
        yield made


@pytest.fixture(scope="session")
def live_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """A standalone site with all its processes, on free ports; do not end its processes."""
    from tests.support.live_site import started

    with started(tmp_path_factory.mktemp("live") / "site") as site:
        yield site
