"""Processes whose clock is wrong: :file:`clock_shift.c`, compiled for this machine."""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


@functools.cache
def compiler() -> str:
    """The C compiler of this machine; empty when it has none that will do."""
    found = (shutil.which(name) for name in ("cc", "gcc", "clang"))
    return next(filter(None, found), "") if sys.platform == "linux" else ""


@dataclass
class Clock:
    """The clock of some processes.

    Attributes:
        file: says how many seconds it is ahead.
        environment: variables that its processes get.
    """

    file: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, folder: Path, name: str, seconds: int = 0) -> Clock:
        """A clock that is so much ahead (behind, when negative).

        Args:
            folder: of all clocks; the library is put there once.
        """
        library, file = folder / "clock_shift.so", folder / f"clock-of-{name}"
        if not library.exists():
            options = ["-shared", "-fPIC", "-O2", "-o", str(library)]
            command = [compiler(), *options, str(_SOURCE), "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        file.write_bytes(struct.pack("l", seconds))
        return cls(file, {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(file)})

    @property
    def ahead(self) -> int:
        """Seconds."""
        (found,) = struct.unpack("l", self.file.read_bytes())
        return int(found)

    def set(self, seconds: int) -> None:
        """Make it jump, for the processes that run too."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("l", seconds))
