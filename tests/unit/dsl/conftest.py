from __future__ import annotations

import pytest

from fate_flow.runtime import registry
from tests.unit.dsl.modules import SPECS


@pytest.fixture(autouse=True, scope="session")
def _test_modules() -> None:
    registry.modules()
    for spec in SPECS:
        registry.register(spec)
