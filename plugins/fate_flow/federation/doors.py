"""Unix sockets of the gateway, one for each peer that a tunnel leads to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fate_flow.federation.splice import PIECE_BYTES, SocketEnd

#: The longest path of a unix socket is 107 bytes.
_MAX_PATH = 100
_BACKLOG = 64

OnConnection = Callable[[str, SocketEnd], Coroutine[Any, Any, None]]


class Doors:
    """Sockets by the name of their peer.

    Args:
        folder: where they are, unless that makes their paths too long.
        on_connection: called with the name and each connection; closes it.
    """

    def __init__(self, folder: Path, on_connection: OnConnection) -> None:
        self._folder = folder
        self._on_connection = on_connection
        self._open: dict[str, tuple[Path, asyncio.Task[None]]] = {}
        self._short_folder: Path | None = None

    def path(self, name: str) -> Path:
        """Where to connect to; listens from now on.

        Raises:
            OSError: the socket cannot be made.
        """
        if name not in self._open:
            path = self._path_of(name)
            listening = _bind(path)
            self._open[name] = (path, asyncio.ensure_future(self._serve(name, listening)))
        return self._open[name][0]

    def names(self) -> list[str]:
        return list(self._open)

    def shut(self, name: str) -> None:
        path, task = self._open.pop(name)
        task.cancel()
        with contextlib.suppress(OSError):
            path.unlink()

    def close(self) -> None:
        for name in self.names():
            self.shut(name)
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder = None

    def _path_of(self, name: str) -> Path:
        path = self._folder / f"tunnel-{name}.sock"
        if len(os.fsencode(path)) <= _MAX_PATH:
            self._folder.mkdir(parents=True, exist_ok=True)
            return path
        if self._short_folder is None:
            self._short_folder = Path(tempfile.mkdtemp(prefix="fate-flow-"))
        return self._short_folder / f"{name}.sock"

    async def _serve(self, name: str, listening: socket.socket) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._on_connection(name, SocketEnd(reader, writer))

        server = await asyncio.start_unix_server(accept, sock=listening, limit=PIECE_BYTES)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()


def _bind(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
