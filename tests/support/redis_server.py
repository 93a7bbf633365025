"""A Redis server of a few commands, over a real socket, for one test."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Handler(socketserver.StreamRequestHandler):
    server: RedisServer

    def handle(self) -> None:
        self.user: str | None = None
        self.db: bytes | None = None
        self.null = b"$-1\r\n"
        while (command := self._read()) is not None:
            self.wfile.write(self._answer(command[0].upper().decode(), command[1:]))

    def _read(self) -> list[bytes] | None:
        line = self.rfile.readline()
        if not line:
            return None
        count = int(line[1:])
        found = []
        for _ in range(count):
            size = int(self.rfile.readline()[1:])
            found.append(self.rfile.read(size + 2)[:-2])
        return found

    def _answer(self, name: str, given: list[bytes]) -> bytes:
        if name == "HELLO":
            if b"AUTH" in given and given[-1].decode() != self.server.password:
                return b"-WRONGPASS invalid username-password pair\r\n"
            self.user = "default" if b"AUTH" in given else None
            self.null = b"_\r\n"
            return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        if name == "AUTH":
            if given[-1].decode() != self.server.password:
                return b"-WRONGPASS invalid username-password pair\r\n"
            self.user = "default"
            return b"+OK\r\n"
        if name in ("SELECT", "PING"):
            self.db = given[0] if given else self.db
            return b"+OK\r\n"
        if self.server.password and self.user is None:
            return b"-NOAUTH Authentication required.\r\n"
        if name == "SET":
            return self._set(given)
        if name == "GET":
            value, end = self.server.values.get((self.db, given[0]), (None, 0.0))
            if value is None or (end and time.monotonic() > end):
                return self.null
            return b"$%d\r\n%s\r\n" % (len(value), value)
        return b"-ERR unknown command\r\n"

    def _set(self, given: list[bytes]) -> bytes:
        key, value, *options = given
        names = [option.upper() for option in options]
        if b"NX" in names and (self.db, key) in self.server.values:
            return self.null
        end = 0.0
        if b"EX" in names:
            end = time.monotonic() + int(options[names.index(b"EX") + 1])
        self.server.values[self.db, key] = (value, end)
        return b"+OK\r\n"


class RedisServer(socketserver.ThreadingTCPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.password = password
        self.values: dict[tuple[Any, bytes], tuple[bytes, float]] = {}

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def redis_server(password: str = "") -> Iterator[RedisServer]:
    with RedisServer(password) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
