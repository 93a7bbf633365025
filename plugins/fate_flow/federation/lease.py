"""One gateway at a time, and another that waits to take over.

Attempts and values live in one gateway, so two that serve the same site would split its
tasks between them. Whoever serves holds a lock on a file in the site's storage; a standby
(``fate_flow service run gateway-standby``, on this machine or on another one that shares
the storage) waits for the lock and opens its port only then. A load balancer or a virtual
address that follows the open port therefore leads to the right one. The kernel, or the file
server, frees the lock when its holder dies; tasks notice the new incarnation and meet again
under a new attempt, as after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from fate_flow.errors import FateFlowError

log = logging.getLogger("fate_flow.gateway")

#: A gateway that is just ending frees the lease within this time.
PATIENCE_SECONDS = 10.0
RETRY_SECONDS = 0.25
CHECK_SECONDS = 5.0


class LeaseHeldError(FateFlowError):
    """Another gateway serves this site."""

    code = "lease_held"


class Lease:
    """The right to serve a site.

    Args:
        path: the file that is locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = f"{socket.gethostname()} pid {os.getpid()} {secrets.token_hex(4)}"
        self._file: IO[str] | None = None

    def holder(self) -> str:
        """Who took it last, as ``host pid 12``; empty when unknown."""
        try:
            mark = str(json.loads(self._path.read_text())["holder"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        return mark.rpartition(" ")[0]

    def take(self) -> bool:
        """Take it if nobody has it.

        Raises:
            OSError: the file cannot be written, or its file system has no locks.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        file.truncate(0)
        file.write(json.dumps({"holder": self._mark, "since": int(time.time())}))
        file.flush()
        self._file = file
        return True

    def is_mine(self) -> bool:
        """False once another one has taken it, as after a file server forgot its locks."""
        try:
            return bool(json.loads(self._path.read_text())["holder"] == self._mark)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    async def wait(self, patience: float | None) -> None:
        """Take it as soon as it is free.

        Args:
            patience: seconds to try; None: for ever, as a standby does.

        Raises:
            LeaseHeldError: the time is over.
        """
        began, told = time.monotonic(), False
        while not self.take():
            if patience is not None and time.monotonic() - began > patience:
                raise LeaseHeldError(
                    f"another gateway serves this site: {self.holder() or 'unknown'} "
                    f"holds {self._path}",
                    remedy="End it, or run this one as its standby: "
                    "fate_flow service run gateway-standby",
                )
            if not told:
                told = True
                log.info("waiting for the lease that %s holds", self.holder() or "another")
            await asyncio.sleep(RETRY_SECONDS)


@contextlib.asynccontextmanager
async def held(path: Path, stopped: asyncio.Event, *, standby: bool = False) -> AsyncIterator[bool]:
    """Hold the lease for the time of the block.

    Args:
        stopped: ends the wait of a standby; set when the lease is lost.
        standby: wait as long as another one has it.

    Yields:
        Whether it is held; False when ``stopped`` was set before.

    Raises:
        LeaseHeldError: another one has it and this is no standby.
    """
    lease = Lease(path)
    waiting = asyncio.ensure_future(lease.wait(None if standby else PATIENCE_SECONDS))
    ending = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not waiting.done():
        waiting.cancel()
        yield False
        return
    try:
        waiting.result()
    except OSError as error:
        # Better one gateway without a lock than none.
        log.warning("no lease at %s: %s; start no second gateway", path, error)
        yield True
        return
    guard = asyncio.ensure_future(_guard(lease, stopped))
    try:
        yield True
    finally:
        guard.cancel()
        lease.release()


async def _guard(lease: Lease, stopped: asyncio.Event) -> None:
    while await _sleep(CHECK_SECONDS):
        if not lease.is_mine():
            log.error("%s has the lease now; this gateway ends", lease.holder() or "nobody")
            stopped.set()
            return


async def _sleep(seconds: float) -> bool:
    await asyncio.sleep(seconds)
    return True
