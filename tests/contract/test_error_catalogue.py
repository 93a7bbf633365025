"""docs/when-something-is-wrong.md names every kind of error, with a cause and a remedy."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import fate_flow
from fate_flow.errors import FateFlowError

PAGE = Path(__file__).parents[2] / "docs" / "when-something-is-wrong.md"
#: They run only inside Airflow or alembic and raise nothing of their own.
SKIPPED = re.compile(r"fate_flow\.(db\.migrations\.|compiler\.dispatcher|operators\.celery)")


def _kinds(base: type[FateFlowError]) -> Iterator[type[FateFlowError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


def _codes() -> dict[str, str]:
    for module in pkgutil.walk_packages(fate_flow.__path__, "fate_flow."):
        if not SKIPPED.match(module.name) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # Tests may define errors of their own.
    own = (kind for kind in _kinds(FateFlowError) if kind.__module__.startswith("fate_flow."))
    return {kind.code: kind.__name__ for kind in own}


def _rows() -> list[list[str]]:
    lines = PAGE.read_text().splitlines()
    return [[c.strip() for c in x.strip("|").split("|")] for x in lines if x.startswith("| `")]


def test_every_error_has_a_row() -> None:
    codes = _codes()
    assert len(codes) > 40
    listed = [row[0].strip("`") for row in _rows()]
    assert sorted(set(codes) - set(listed)) == []
    assert sorted(set(listed) - set(codes)) == [], "codes that do not exist (any more)"
    assert len(listed) == len(set(listed))


def test_rows_say_cause_and_remedy() -> None:
    for code, cause, remedy in _rows():
        assert len(cause) > 15, code
        assert remedy, code


def test_codes_are_short_names() -> None:
    for code in _codes():
        assert re.fullmatch(r"[a-z][a-z_]{1,30}", code)
