"""Changes of the sample job, and what the parser says to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fate_flow.dsl.parser import compile_plan
from fate_flow.errors import InvalidInputError
from tests.unit.dsl import jobs

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def refused(change: Change) -> dict[str, str]:
    """path -> text of the problems after a change of the sample job."""
    dsl, conf = jobs.dsl(), jobs.conf()
    change(dsl, conf)
    with pytest.raises(InvalidInputError) as caught:
        compile_plan(dsl, conf)
    assert caught.value.retcode == 100
    return {problem.path: str(problem) for problem in caught.value.problems}


def warned(change: Change) -> str:
    dsl, conf = jobs.dsl(), jobs.conf()
    change(dsl, conf)
    return "\n".join(compile_plan(dsl, conf).warnings)
