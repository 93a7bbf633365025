"""Every route of the REST API has a guard, and every guard holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount
from starlette.testclient import TestClient

from fate_flow.api import guards
from fate_flow.api.internal import gateway_peer, task_claims
from tests.support.site import Site

GUARDS = {
    guards.may_read,
    guards.may_run,
    guards.may_administer,
    guards.may_transfer,
    task_claims,
    gateway_peer,
}
#: Routes that anybody may call; they say nothing about jobs or data.
OPEN = {"/internal/health"}


@pytest.fixture
def guarded(
    tmp_path: Path, database_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    site = Site.make(tmp_path / "g", database_template, monkeypatch, USE_AUTHENTICATION=True)
    yield site
    site.close()


def _routes(site: Site) -> list[APIRoute]:
    def flat(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
        for route in routes:
            if isinstance(route, Mount):
                yield from flat(list(route.routes))
            else:
                yield route

    found = list(flat(list(site.app.routes)))
    assert all(isinstance(route, APIRoute) for route in found), "a route that FastAPI cannot guard"
    return [route for route in found if isinstance(route, APIRoute)]


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


def test_every_route_declares_a_guard(site: Site) -> None:
    routes = _routes(site)
    assert len(routes) > 40
    without = [
        route.path
        for route in routes
        if route.path not in OPEN and not GUARDS & set(_calls(route.dependant))
    ]
    assert without == []


def test_guards_stand_before_everything_else(site: Site) -> None:
    """The body is not read and no session is opened for somebody who may not come in."""
    for route in _routes(site):
        if route.path not in OPEN:
            assert next(iter(_calls(route.dependant))) in GUARDS, route.path


def _walk(client: TestClient, site: Site, **headers: str) -> Iterator[tuple[str, int, dict]]:  # type: ignore[type-arg]
    for route in _routes(site):
        path = re.sub(r"\{\w+\}", "something", route.path)
        for method in route.methods:
            answer = client.request(method, path, json={}, headers=headers)
            yield f"{method} {path}", answer.status_code, answer.json()


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer ", "Basic YTpi"])
def test_anonymous_requests_are_refused_everywhere(guarded: Site, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": token}
    with guarded.client() as client:
        for where, status, content in _walk(client, guarded, **headers):
            if where.endswith(tuple(OPEN)):
                continue
            assert content["retcode"] == 100, where
            assert "data" not in content, where
            if "/internal/" not in where:
                assert status == 401, where
                assert "Bearer" in content["retmsg"], where


def test_a_public_address_without_authentication_is_closed(
    tmp_path: Path, database_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site.make(tmp_path / "p", database_template, monkeypatch, IP="0.0.0.0")
    with site.client() as client:
        for where, status, content in _walk(client, site):
            if "/internal/" not in where:
                assert (status, content["retcode"]) == (401, 100), where
    site.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "evil.example:9380"},
    ],
)
def test_foreign_pages_cannot_use_an_open_site(
    site: Site, client: TestClient, headers: dict[str, str]
) -> None:
    for where, status, content in _walk(client, site, **headers):
        if "/internal/" not in where:
            assert (status, content["retcode"]) == (403, 100), where


@pytest.mark.parametrize("host", ["127.0.0.1:9380", "localhost:9380", "[::1]:9380", "127.0.0.2"])
def test_the_own_machine_may(client: TestClient, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    answer = client.post("/job/query", json={"job_id": "1"}, headers=headers)
    assert answer.json() == {"retcode": 101, "retmsg": "find job failed"}


def test_a_cookie_does_not_open_the_site_for_foreign_pages(guarded: Site) -> None:
    with guarded.client() as client:
        client.cookies.set("_token", "x")
        headers = {"Origin": "http://evil.example"}
        answer = client.post("/job/stop", json={"job_id": "1"}, headers=headers)
    assert answer.status_code == 403
    assert "other sites" in answer.json()["retmsg"]
