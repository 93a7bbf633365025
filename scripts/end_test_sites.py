"""End what aborted tests left running: processes of sites below the temporary folder.

Only processes that a supervisor of a site marked as its own are looked at, see
:data:`fate_flow.cli.processes.MARK`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import psutil

from fate_flow.cli.processes import MARK, Identity, end


def main() -> None:
    """End them and say how many there were."""
    root = Path(tempfile.gettempdir()).resolve()
    left = []
    for process in psutil.process_iter():
        try:
            home = process.environ().get(MARK, "")
        except (psutil.Error, OSError):
            continue
        is_test_site = bool(home) and root in Path(home).parents and "pytest-" in home
        identity = Identity.of(process.pid) if is_test_site else None
        if identity:
            left.append(identity)
    if left:
        end(left, grace=5.0)
        sys.stdout.write(f"ended {len(left)} process(es) of aborted tests\n")


if __name__ == "__main__":
    main()
