"""A TCP relay that keeps what passes through it, and reads gRPC messages out of HTTP/2."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import defaultdict
from dataclasses import dataclass, field

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEADER = 9
_DATA = 0
_PADDED = 0x8


@dataclass
class Relay:
    """Relays connections to a port of this machine until :meth:`close`.

    Attributes:
        target: the port behind it; may be set after the relay was made.
    """

    target: int = 0
    port: int = 0
    _parts: dict[tuple[int, bool], bytearray] = field(
        default_factory=lambda: defaultdict(bytearray)
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def payloads(self) -> list[bytes]:
        """What the messages of each HTTP/2 stream consist of, one direction each."""
        with self._lock:
            parts = [bytes(part) for part in self._parts.values()]
        return [payload for part in parts for payload in _streams(part)]

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                number += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self.target), 10)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for source, sink, is_request in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._copy, args=(source, sink, (number, is_request)), daemon=True
                    ).start()

    def _copy(self, source: socket.socket, sink: socket.socket, key: tuple[int, bool]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                with self._lock:
                    self._parts[key] += data
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _streams(raw: bytes) -> list[bytes]:
    """The DATA of each stream of one direction of an HTTP/2 connection (RFC 9113, section 4.1)."""
    position = len(_PREFACE) if raw.startswith(_PREFACE) else 0
    found: dict[int, bytearray] = defaultdict(bytearray)
    while position + _FRAME_HEADER <= len(raw):
        length = int.from_bytes(raw[position : position + 3], "big")
        kind, flags = raw[position + 3], raw[position + 4]
        stream = int.from_bytes(raw[position + 5 : position + 9], "big") & 0x7FFFFFFF
        body = raw[position + _FRAME_HEADER : position + _FRAME_HEADER + length]
        position += _FRAME_HEADER + length
        if kind == _DATA:
            if flags & _PADDED:
                body = body[1 : len(body) - body[0]]
            found[stream] += body
    return [bytes(part) for part in found.values()]
