"""Bytes of values on their way: in memory up to a bound, then in files, then senders wait.

Everything here runs on one event loop; only file access goes to threads. The bytes are never
looked into.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from fate_flow.errors import FateFlowError, FederationTimeoutError, ProtocolError
from fate_flow.federation.addresses import CHUNK_BYTES

#: A value larger than this share (1/n) of the memory bound goes to a file at once, so that one
#: does not push all the small ones, whose delay matters, to the disk.
_LARGE_SHARE = 2
_T = TypeVar("_T")


class StorageError(FateFlowError):
    """The mailbox cannot use its disk."""

    code = "mailbox_storage"
    remedy = "Look at free space and permissions of the site's storage"


class Signal:
    """Wakes all who wait for a change; counts the changes."""

    def __init__(self) -> None:
        self.version = 0
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def is_idle(self) -> bool:
        return not self._waiters

    def notify(self) -> None:
        self.version += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout: float | None = None, *, since: int | None = None) -> bool:
        """Wait for a change; False when ``timeout`` seconds passed without one.

        Args:
            since: the version last seen; if there were changes after it, return at once.
        """
        if since is not None and since != self.version:
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait_for(waiter, timeout)
        except (TimeoutError, asyncio.TimeoutError):
            return False
        finally:
            self._waiters.discard(waiter)
        return True


class Blob:
    """Bytes of one value; grows while its sender sends, can be read meanwhile.

    Attributes:
        size: bytes when complete.
        available: bytes that are here.
        over: error that ended it, for whoever reads or writes.
    """

    def __init__(self, store: BlobStore, size: int, path: Path | None) -> None:
        self.size = size
        self.available = 0
        self.over: FateFlowError | None = None
        self._store = store
        self._path = path
        self._chunks: list[bytes | memoryview] = []
        self._writing = asyncio.Lock()
        self._progress = Signal()

    @property
    def on_disk(self) -> bool:
        return self._path is not None

    @property
    def is_complete(self) -> bool:
        return self.available == self.size

    async def append(self, offset: int, data: bytes | memoryview) -> None:
        """Add bytes; those that a broken transfer has left here already are skipped.

        Raises:
            ProtocolError: more bytes than announced, or a gap.
        """
        async with self._writing:
            self._check()
            if offset > self.available or offset + len(data) > self.size:
                raise ProtocolError(f"a value of {self.size} bytes came with other sizes")
            fresh = memoryview(data)[self.available - offset :]
            if not fresh:
                return
            if self._path is None:
                self._chunks.append(fresh)
            else:
                await self._access(_write, self._path, self.available, fresh)
                self._check()
            self.available += len(fresh)
        self._progress.notify()

    async def chunks(self, offset: int = 0) -> AsyncIterator[bytes | memoryview]:
        """All bytes from ``offset`` on, in pieces of at most 1 MiB; waits for what is to come.

        Raises:
            FateFlowError: the value ended before it was complete.
        """
        index, skip = 0, offset
        while offset < self.size:
            while self.available <= offset:
                self._check()
                await self._progress.wait()
            self._check()
            if self._path is None:
                while skip >= len(self._chunks[index]):
                    skip -= len(self._chunks[index])
                    index += 1
                piece: bytes | memoryview = memoryview(self._chunks[index])[skip:]
                index, skip = index + 1, 0
            else:
                count = min(CHUNK_BYTES, self.available - offset)
                piece = await self._access(_read, self._path, offset, count)
            offset += len(piece)
            yield piece

    def close(self, over: FateFlowError | None = None) -> None:
        """Free memory and file; readers and writers get ``over``."""
        if self.over is not None:
            return
        self.over = over or ProtocolError("the value was received before")
        self._chunks = []
        self._store.release(self)
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._progress.notify()

    async def _access(self, function: Callable[..., _T], *arguments: object) -> _T:
        try:
            return await asyncio.to_thread(function, *arguments)
        except OSError as error:
            self._check()
            raise StorageError(f"a file of the mailbox cannot be used: {error.strerror}") from None

    def _check(self) -> None:
        if self.over is not None:
            raise self.over


class BlobStore:
    """Gives room to values.

    Args:
        folder: for files; made by :meth:`open`.
        memory_limit: bytes of values kept in memory.
        disk_limit: bytes of values kept in files; beyond it senders wait.
    """

    def __init__(self, folder: Path, memory_limit: int, disk_limit: int) -> None:
        self.memory_limit = memory_limit
        self.disk_limit = disk_limit
        self.memory_used = 0
        self.disk_used = 0
        self.spilled_bytes = 0
        self._folder = folder
        self._count = 0
        self._lock: int | None = None
        self._queue: deque[object] = deque()
        self._changed = Signal()

    def open(self) -> None:
        """Take the folder; what a killed gateway left in it is of no use and removed.

        Raises:
            OSError: it cannot be written, or another process has taken it.
        """
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)

    @property
    def largest(self) -> int:
        """Size of the largest value that can pass, bytes."""
        return max(self.disk_limit, self.memory_limit // _LARGE_SHARE)

    async def reserve(
        self, size: int, timeout: float, over: Callable[[], FateFlowError | None]
    ) -> Blob:
        """Room for a value of ``size`` bytes; waits while there is none.

        Args:
            over: gives the error once the attempt that wants it has ended; :meth:`wake` is to
                be called then.

        Raises:
            ProtocolError: it can never fit.
            FederationTimeoutError: no room within ``timeout`` seconds.
        """
        if size > self.largest:
            raise ProtocolError(
                f"a value of {size} bytes is larger than the mailbox ({self.largest} bytes)",
                remedy="Raise MAILBOX_DISK_BYTES",
            )
        # Large values queue for the disk, first come, first served; what fits into memory
        # passes by: a receiver may need it before it can free the disk.
        ticket = object()
        self._queue.append(ticket)
        end = asyncio.get_running_loop().time() + timeout
        try:
            while True:
                error = over()
                if error is not None:
                    raise error
                blob = self._try(size, may_spill=self._queue[0] is ticket)
                if blob is not None:
                    return blob
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    raise FederationTimeoutError(
                        f"no room for a value of {size} bytes after {timeout:.0f} s: the mailbox "
                        f"holds {self.memory_used + self.disk_used} bytes that their receivers "
                        "have not taken"
                    )
                await self._changed.wait(left)
        finally:
            self._queue.remove(ticket)
            self.wake()

    def wake(self) -> None:
        """Let those who wait for room look again."""
        self._changed.notify()

    def release(self, blob: Blob) -> None:
        if blob.on_disk:
            self.disk_used -= blob.size
        else:
            self.memory_used -= blob.size
        self.wake()

    def close(self) -> None:
        if self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def _try(self, size: int, *, may_spill: bool) -> Blob | None:
        fits = self.memory_used + size <= self.memory_limit
        if fits and size <= self.memory_limit // _LARGE_SHARE:
            self.memory_used += size
            return Blob(self, size, None)
        if not may_spill or self.disk_used + size > self.disk_limit:
            return None
        self._count += 1
        path = self._folder / f"{self._count}.value"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise StorageError(f"the mailbox cannot write to its folder: {error}") from None
        self.disk_used += size
        self.spilled_bytes += size
        return Blob(self, size, path)


def _write(path: Path, offset: int, data: memoryview) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        while data:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written
    finally:
        os.close(descriptor)


def _read(path: Path, offset: int, count: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return os.pread(descriptor, count, offset)
    finally:
        os.close(descriptor)
