"""A store of one party, with DataIO to run over its tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.data_io import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
