"""Requests made up from the OpenAPI document, good and bad ones, against the served app.

Without FATE's envelope a wrong value would be an HTTP 4xx; in it, HTTP 200 with a retcode.
So the checks that ask for 4xx are left out, and one of ours looks into the envelope.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.local_jobs import keep_jobs_waiting
from tests.support.serving import http_server
from tests.support.site import Site, add_job, add_task, described_operations

schemathesis = pytest.importorskip("schemathesis")

pytestmark = pytest.mark.slow

EXAMPLES = 20
MODES = list(schemathesis.GenerationMode)
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
OPERATIONS = described_operations()


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Iterator[Any]:
    """The document of a site that has a job, over HTTP."""
    with pytest.MonkeyPatch.context() as patch:
        keep_jobs_waiting(patch)
        site = Site.make(tmp_path_factory.mktemp("s") / "site", database_template, patch)
        with site.session() as session:
            add_job(session)
            add_task(session, "dataio_0")
        with http_server(site.app) as port:
            yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/v1/openapi.json")
        site.close()


def _no_accident(response: Any) -> None:
    """No retcode without a reason, nothing from inside the server in a text."""
    if "json" not in response.headers.get("content-type", [""])[0]:
        return
    answer = response.json()
    assert isinstance(answer["retcode"], int)
    text = str(answer.get("retmsg", ""))
    assert text or answer["retcode"] == 0
    for accident in ("unexpected error", "Traceback", "object has no attribute", "sqlite3"):
        assert accident not in text, text


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_route_answers_as_described(described: Any, path: str, method: str) -> None:
    checks = [schemathesis.checks.CHECKS.get_one(name) for name in CHECKS]
    operation = described[path][method]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES)))
    def check(case: Any) -> None:
        response = case.call()
        case.validate_response(response, checks=checks)
        if response.status_code >= 500:
            assert response.json()["retcode"] == 500  # "no data" of a download
        _no_accident(response)

    check()
