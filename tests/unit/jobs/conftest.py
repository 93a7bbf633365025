"""Sites whose databases have Airflow's tables too, and jobs to submit to them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fate_flow.data.table import SID, VALUE, TableKind, TableSchema
from fate_flow.jobs import service
from fate_flow.jobs.service import SubmitResult
from tests.support.site import CONF, DSL, Site
from tests.unit.jobs.two_sites import Two, two_sites

Document = dict[str, Any]


@dataclass
class Jobs:
    """A site with the tables that :meth:`documents` name.

    Attributes:
        told: (job id, reason) of what the gateway would have been told.
    """

    site: Site
    told: list[tuple[str, str]]

    @classmethod
    def documents(cls) -> tuple[Document, Document]:
        """DataIO and Intersection of a guest and a host."""
        return copy.deepcopy(DSL), copy.deepcopy(CONF)

    def submit(self, dsl: Any = None, conf: Any = None) -> SubmitResult:
        default_dsl, default_conf = self.documents()
        with self.site.session() as session:
            return service.submit_job(
                session,
                default_dsl if dsl is None else dsl,
                default_conf if conf is None else conf,
            )

    def put_tables(self) -> None:
        rows = pa.table({SID: ["1", "2"], VALUE: ["1,2", "3,4"]})
        for name in ("g", "h"):
            self.site.tables.put("n", name, rows, TableSchema(TableKind.RAW, "id", ("x0", "x1")))


@pytest.fixture
def make_jobs(
    tmp_path: Path, airflow_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Jobs]]:
    """Makes a site with settings of its own."""
    made: list[Jobs] = []

    def make(**values: Any) -> Jobs:
        site = Site.make(tmp_path / f"site{len(made)}", airflow_template, monkeypatch, **values)
        jobs = Jobs(site, [])
        monkeypatch.setattr(service, "cancel_at_gateway", lambda *words: jobs.told.append(words))
        jobs.put_tables()
        made.append(jobs)
        return jobs

    yield make
    for jobs in made:
        jobs.site.close()


@pytest.fixture
def jobs(make_jobs: Callable[..., Jobs]) -> Jobs:
    return make_jobs()


@pytest.fixture
def two(tmp_path: Path, airflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    with two_sites(tmp_path, airflow_template, monkeypatch) as made:
        yield made
