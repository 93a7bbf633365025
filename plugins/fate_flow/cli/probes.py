"""Small questions to the ports of a site's processes, asked without ever waiting.

The supervisor has one thread and must notice the end of a child at once: a question is a
socket that it selects on beside its other descriptor. None of the clients of these
protocols is imported; each would cost the supervisor more memory than all it does.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

#: No answer is longer; whoever sends more is not asked on.
_LONGEST_ANSWER = 65_536

#: What bytes so far say: True well, False not well, None: nothing yet.
Verdict = Callable[[bytes], "bool | None"]


@dataclass(frozen=True)
class Question:
    """What is sent where, and how the answer is read.

    Attributes:
        host, port: of the process.
        text: what is sent once connected.
        verdict: reads what has come so far.
        certificates: folder of the site's identity, when the port wants mutual TLS.
    """

    host: str
    port: int
    text: bytes
    verdict: Verdict
    certificates: Path | None = None


@dataclass
class Probe:
    """A question under way."""

    question: Question
    began: float
    answer: bool | None = None
    reason: str = ""
    _sock: Any = None
    _left: bytes = b""
    _got: bytearray = field(default_factory=bytearray)
    _is_open: bool = False
    _wants: str = "write"

    def __post_init__(self) -> None:
        self._left = self.question.text
        try:
            found = socket.getaddrinfo(
                self.question.host, self.question.port, type=socket.SOCK_STREAM
            )
            family, kind, proto, _, address = found[0]
            self._sock = socket.socket(family, kind, proto)
            self._sock.setblocking(False)
            code = self._sock.connect_ex(address)
            if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                raise OSError(code, errno.errorcode.get(code, "?"))
        except OSError as error:
            self._end(False, str(error))

    @property
    def got(self) -> bytes:
        """What the other side has sent."""
        return bytes(self._got)

    @property
    def reads(self) -> list[Any]:
        """Sockets to select for reading."""
        return [self._sock] if self.answer is None and self._wants == "read" else []

    @property
    def writes(self) -> list[Any]:
        """Sockets to select for writing."""
        return [self._sock] if self.answer is None and self._wants == "write" else []

    def advance(self) -> None:
        """Do what can be done now; :attr:`answer` is set when there is one."""
        if self.answer is not None:
            return
        try:
            self._advance()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            # TLS's "not yet" is an OSError too, of a module that may not be loaded.
            wanted = {"SSLWantReadError": "read", "SSLWantWriteError": "write"}
            if type(error).__name__ in wanted:
                self._wants = wanted[type(error).__name__]
            else:
                self._end(False, error.strerror or str(error))

    def _advance(self) -> None:
        if not self._is_open:
            self._open()
        while self._left:
            self._wants = "write"
            self._left = self._left[self._sock.send(self._left) :]
        self._wants = "read"
        while self.answer is None:
            data = self._sock.recv(16_384)
            self._got += data
            verdict = self.question.verdict(bytes(self._got))
            if verdict is not None:
                self._end(verdict)
            elif not data:
                self._end(False, "it closed the connection")
            elif len(self._got) > _LONGEST_ANSWER:
                self._end(False, "an endless answer")

    def _open(self) -> None:
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, errno.errorcode.get(code, "?"))
        self._sock.getpeername()  # not connected yet: the selector was early
        if self.question.certificates is not None:
            if not hasattr(self._sock, "do_handshake"):
                context = _tls(str(self.question.certificates))
                self._sock = context.wrap_socket(self._sock, do_handshake_on_connect=False)
            self._sock.do_handshake()
        self._is_open = True

    def give_up(self, reason: str) -> None:
        """Nothing came in time."""
        if self.answer is None:
            self._end(False, reason)

    def _end(self, answer: bool, reason: str = "") -> None:
        self.answer, self.reason = answer, reason
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.close()


def _tls(folder: str) -> ssl.SSLContext:
    """As the site's own processes show themselves to their gateway."""
    import ssl

    identity = Path(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The site's own authority signs for nobody else, and its name is not an address.
    context.check_hostname = False
    context.load_verify_locations(identity / "ca.pem")
    context.load_cert_chain(identity / "gateway.pem", identity / "gateway.key")
    context.set_alpn_protocols(["h2"])
    return context


# -- HTTP: the API server --------------------------------------------------------------------


def http_question(host: str, port: int, path: str) -> Question:
    """A GET of a path."""
    # Without the second header Airflow's no-login mode adds its own, of the wrong kind.
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Authorization: None",
        "Connection: close",
    )
    return Question(host, port, "\r\n".join([*lines, "", ""]).encode(), complete_http)


def complete_http(got: bytes) -> bool | None:
    """Whether an answer is there. Whatever it says: who answers does not hang."""
    if not got.startswith(b"HTTP/1.") or b"\r\n\r\n" not in got:
        return None
    return True if not got.startswith(b"HTTP/1.1 200") or json_body(got) is not None else None


def json_body(got: bytes) -> Any:
    """The JSON of a complete answer; None while it is not complete, or none."""
    head, found, body = got.partition(b"\r\n\r\n")
    if not found or not head.startswith(b"HTTP/1."):
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


# -- HTTP/2: the gateway ---------------------------------------------------------------------

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _RST_STREAM, _SETTINGS = 1, 3, 4
_END_STREAM_END_HEADERS = 0x5
#: Nobody serves it. The answer "unknown" comes from where calls are answered; what gRPC says
#: by itself when a connection opens would also come from a gateway that hangs.
_NO_SUCH_CALL = b"/fate_flow.watchdog/Answer"


def grpc_question(host: str, port: int, certificates: Path | None) -> Question:
    """A call that nobody serves; answered by whoever answers the calls of tasks."""
    headers = b"".join(
        (
            b"\x83",  # :method POST
            b"\x87" if certificates else b"\x86",  # :scheme https, http
            b"\x04" + _text(_NO_SUCH_CALL),  # :path
            b"\x01" + _text(b"localhost"),  # :authority
            b"\x0f\x10" + _text(b"application/grpc"),  # content-type
            b"\x00" + _text(b"te") + _text(b"trailers"),
        )
    )
    text = (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_STREAM_END_HEADERS, 1, headers)
    )
    return Question(host, port, text, answered_call, certificates=certificates)


def _text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def answered_call(got: bytes) -> bool | None:
    """Whether the frames so far hold an answer to the call."""
    at = 0
    while len(got) - at >= 9:
        length, kind = int.from_bytes(got[at : at + 3], "big"), got[at + 3]
        stream = int.from_bytes(got[at + 5 : at + 9], "big") & 0x7FFF_FFFF
        if stream == 1 and kind in (_HEADERS, _RST_STREAM):
            return True
        at += 9 + length
    return None


# -- database servers ------------------------------------------------------------------------

#: PostgreSQL is asked whether it speaks TLS; MySQL and MariaDB speak first.
_HELLO = {"postgresql": bytes([0, 0, 0, 8, 4, 210, 22, 47]), "mysql": b""}


def database_question(dialect: str, host: str, port: int) -> Question:
    """Whether a database server answers at all, without a login."""
    return Question(host, port, _HELLO[dialect], lambda got: True if got else None)
