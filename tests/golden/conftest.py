"""The reference's example jobs on the session's live site: submitted together, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import example_jobs
from tests.support.example_jobs import ExampleJob
from tests.support.live_site import LiveSite
from tests.support.reference import reference_path


@pytest.fixture(scope="session")
def example_files() -> None:
    """Skips, before a site is started, where the examples are not on this machine."""
    reference_path("examples-1.4", "dsl")
    reference_path("examples-1.4", "data")


@pytest.fixture(scope="session")
def example_tables(example_files: None, live_site: LiveSite) -> dict[tuple[str, str], Path]:
    """Namespace and name of every table that the feature examples read -> its file."""
    return example_jobs.upload_tables(live_site)


@pytest.fixture(scope="session")
def feature_jobs(
    example_tables: dict[tuple[str, str], Path], live_site: LiveSite
) -> dict[str, ExampleJob]:
    """All feature examples, submitted but not waited for."""
    return {name: example_jobs.submit(live_site, name) for name in example_jobs.JOBS}
