"""The description of the API: complete, with examples that are valid, and readable as a page."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from tests.support.site import Site, described_operations

pytestmark = pytest.mark.slow

#: Answers to everything that is not a route; no entries in the document.
_CATCH_ALL = re.compile(r"/\w+/\{operation\}")


@pytest.fixture
def document(client: TestClient) -> Any:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def test_every_route_is_described(site: Site, document: Any) -> None:
    hidden = {"/permission/grant", "/permission/delete", "/permission/query", "/server/version/get"}
    served = {
        (route.path, method.lower())
        for route in site.app.routes
        if isinstance(route, APIRoute)
        for method in route.methods
        if not route.path.startswith(("/ui", "/internal", "/openapi.json", "/docs"))
        and not _CATCH_ALL.fullmatch(route.path)
        and route.path not in hidden
    }
    described = {(p, m) for p, operations in document["paths"].items() for m in operations}
    # FATE-Flow takes GET as well; one description is enough.
    again = {(f"/model/{name}", "get") for name in ("store", "restore", "export")}
    assert served - again == described
    assert len(described) > 40


def test_the_document_is_valid(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "/v1"}]
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references <= document["components"]["schemas"].keys()


@pytest.mark.parametrize(("path", "method"), described_operations())
def test_examples_are_valid(document: Any, path: str, method: str) -> None:
    operation = document["paths"][path][method]
    assert operation["description"]
    for content in operation["requestBody"]["content"].values():
        jsonschema.Draft202012Validator.check_schema(content["schema"])
        if "example" in content:
            jsonschema.validate(content["example"], content["schema"])
    envelope = document["components"]["schemas"]["Envelope"]
    for response in operation["responses"].values():
        example = response["content"].get("application/json", {}).get("example")
        if example is not None:
            jsonschema.validate(example, envelope)


def test_the_page_shows_every_route_and_loads_nothing(client: TestClient, document: Any) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()} /v1{path}" in answer.text
    assert not re.findall(r"<script|src=|https?://", answer.text.replace("http://127.0.0.1", ""))
