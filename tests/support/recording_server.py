"""A real HTTP server on a free port that records requests and answers as it is told."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What to answer; ``drop`` closes the connection without an answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Reply:
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


SUCCESS = {"retcode": 0, "retmsg": "success"}


@dataclass
class RecordingServer:
    """``replies``: path below ``/v1/`` -> what to answer, one after the other; the last stays."""

    url: str
    requests: list[Request] = field(default_factory=list)
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    on_request: Callable[[Request], None] | None = None

    def answer(self, path: str, *values: Any) -> None:
        self.replies[path] = [v if isinstance(v, Reply) else Reply.of(v) for v in values]

    @property
    def last(self) -> Request:
        return self.requests[-1]

    def reply_to(self, request: Request) -> Reply:
        waiting = self.replies.get(request.path.removeprefix("/v1/"), [Reply.of(SUCCESS)])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@contextmanager
def recording_server() -> Iterator[RecordingServer]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self.rfile.read(length))
            server.requests.append(request)
            reply = server.reply_to(request)
            if reply.drop:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(reply.status)
            for key, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = _serve

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def finish(self) -> None:
            if not self.connection._closed:
                super().finish()

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = RecordingServer(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def form(request: Request) -> dict[str, bytes]:
    """Parts of a multipart request: name -> content; ``file`` also as ``file/<its name>``."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    parts: dict[str, bytes] = {}
    for piece in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        values = head.decode().partition("\r\n")[0].split('"')
        name = values[1] if len(values) < 5 else f"{values[1]}/{values[3]}"
        parts[name] = content.removesuffix(b"\r\n")
    return parts


def archive(members: dict[str, bytes], **kinds: bytes) -> Reply:
    """A tar.gz with files, and with members of other kinds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd"
            tar.addfile(info)
    return Reply(buffer.getvalue(), headers={"Content-Type": "application/x-tar"})
