"""docs/compatibility.md names every route and every command, and claims no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from fate_flow.cli.client import FUNCTIONS
from fate_flow.runtime.registry import modules
from tests.support.site import Site

PAGE = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text()
VERDICTS = {"same", "better", "missing"}
#: Ours: pages inside the Airflow UI, and what the site's own processes call.
OWN = re.compile(r"/(ui|internal)(/|$)")


def _rows() -> list[list[str]]:
    cells = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in cells]


def _listed_routes() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for row in _rows():
        if not row[0].startswith(("GET ", "POST ")) or row[1:2] == ["missing"]:
            continue
        methods = set(re.findall(r"\b(GET|POST)\b", row[0]))
        for path in re.findall(r"/v1(/[\w/.]+)", row[0]):
            found |= {(method, path) for method in methods}
    return found


def test_routes(site: Site) -> None:
    served = {
        (method, route.path)
        for route in site.app.routes
        if isinstance(route, APIRoute)
        for method in route.methods
        if not OWN.match(route.path)
        and "{operation}" not in route.path
        and not route.path.startswith("/schedule/")
    }
    assert {path for path in _listed_routes() if "/schedule" not in path[1]} == served


def test_routes_between_parties(site: Site) -> None:
    """Their paths hold the job, so the page names what they end with."""
    served = {
        route.path
        for route in site.app.routes
        if isinstance(route, APIRoute) and route.path.startswith("/schedule/")
    }
    assert len(served) == 8
    rows = " ".join(row[0] for row in _rows() if "/v1/schedule/" in row[0])
    for path in served:
        name = path.rpartition("}")[2]
        assert name in rows, path


def test_commands() -> None:
    listed = [row[0] for row in _rows() if row[0] in FUNCTIONS]
    assert sorted(listed) == sorted(FUNCTIONS)
    assert len(FUNCTIONS) == 30


def test_verdicts() -> None:
    rows = [row for row in _rows() if len(row) == 3 and not set("".join(row)) <= set("- ")]
    assert len(rows) > 70
    assert {row[1] for row in rows if row[1]} <= VERDICTS


@pytest.mark.parametrize("name", sorted(modules()))
def test_modules(name: str) -> None:
    there = re.search(r"^\| (Upload, .*?) \| there \|$", PAGE, re.M)
    assert there is not None
    listed = {*there[1].split(", "), "Intersection"}
    assert (name in listed) == modules()[name].is_available
