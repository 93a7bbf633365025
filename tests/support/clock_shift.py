"""Processes whose clock is wrong: :file:`clock_shift.c`, compiled for this machine."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


@functools.cache
def compiler() -> str:
    """The C compiler of this machine; empty when it has none that will do."""
    found = (shutil.which(name) for name in ("cc", "gcc", "clang"))
    return next(filter(None, found), "") if sys.platform == "linux" else ""


def wrong_clock(folder: Path, seconds: int) -> dict[str, str]:
    """Environment of processes whose clock is so much ahead (behind, when negative).

    Args:
        folder: where the library is put, once.
    """
    library = folder / "clock_shift.so"
    if not library.exists():
        command = [compiler(), "-shared", "-fPIC", "-O2", str(_SOURCE), "-o", str(library), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(seconds)}
