"""Files of a site's supervisor: lock, state and logs.

The state stands in ``run/supervisor.json`` and is valid while ``run/supervisor.lock`` is
locked, so neither a recycled pid nor a crash of the machine can make a dead supervisor
look alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fate_flow.settings import Settings

LOG_BYTES = 20_000_000
LOG_COPIES = 2


@dataclass(frozen=True)
class Paths:
    """Files of the supervisor below the site's home."""

    home: Path
    logs: Path

    @classmethod
    def of(cls, settings: Settings) -> Paths:
        return cls(settings.home, settings.logs_dir / "fate_flow")

    @property
    def lock(self) -> Path:
        return self.home / "run" / "supervisor.lock"

    @property
    def state(self) -> Path:
        return self.home / "run" / "supervisor.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


@contextlib.contextmanager
def hold_lock(path: Path, patience: float = 0.0) -> Iterator[bool]:
    """Lock a file for the time of the block; yields whether it was free.

    Args:
        patience: seconds to try again; whoever only asks holds the lock for a moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                # flock itself can only wait for ever.
                time.sleep(0.05)
            else:
                yield True
                return


def rotate(path: Path, limit: int = LOG_BYTES, copies: int = LOG_COPIES) -> bool:
    """Copy a log that grew over the limit aside and empty it; writers keep their descriptor."""
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    for number in range(copies, 1, -1):
        older = path.with_suffix(f".log.{number - 1}")
        if older.exists():
            older.replace(path.with_suffix(f".log.{number}"))
    shutil.copyfile(path, path.with_suffix(".log.1"))
    os.truncate(path, 0)
    return True


def read_state(settings: Settings) -> Mapping[str, Any] | None:
    """State of the running supervisor; None when none runs."""
    paths = Paths.of(settings)
    with hold_lock(paths.lock) as was_free:
        if was_free:
            return None
    try:
        state: Mapping[str, Any] = json.loads(paths.state.read_text())
    except (OSError, ValueError):
        return {"pid": None, "services": [], "stopping": False}  # starting or just ended
    return state


#: Files that the processes of a site read once, when they start.
_READ_ONCE = {
    "settings": ("fate_flow.yaml", "conf/site_secret"),
    "identity": ("conf/identity/site.json", "conf/identity/ca.pem", "conf/identity/seal.key"),
}


def changed_since_start(settings: Settings) -> list[str]:
    """What the running processes do not know of yet; empty also when none runs."""
    state = read_state(settings)
    if state is None:
        return []
    since = float(state.get("since") or 0.0)
    return [
        what
        for what, names in _READ_ONCE.items()
        if any(_modified(settings.home / name) > since for name in names)
    ]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")
