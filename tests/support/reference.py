"""Where the reference's data, job files and recorded answers lie, if at all.

They are not part of the project. The environment variable ``FATE_FLOW_REFERENCE`` names
their folder; without it a folder ``shared`` beside the checkout is tried.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(
    os.environ.get("FATE_FLOW_REFERENCE") or Path(__file__).resolve().parents[3] / "shared"
)


def reference_path(*parts: str) -> Path:
    """The path below the reference folder; skips the calling test when it is not there."""
    path = _ROOT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference material {'/'.join(parts)} is not on this machine")
    return path
