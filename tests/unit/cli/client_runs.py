"""What tests of ``fate_flow_client`` have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., dict[str, Any]]
PARTY = ["-j", "1", "-cpn", "lr_0", "-r", "guest", "-p", "9999"]


def write(path: Path, value: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)
