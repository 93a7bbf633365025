"""A form with one file, sent as it is read: the file is never in memory as a whole."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from typing import IO, Any


class MultipartFile:
    """Body of a ``multipart/form-data`` request; has a length and is read in pieces.

    Args:
        fields: form fields; None and False are left out, because a form field is a text and
            the text ``false`` would count as true; objects and lists become JSON.
        name: file name told to the server.
        content: the open file, read from its current position to its end.
        progress: called with (bytes read, bytes in all).
    """

    def __init__(
        self,
        fields: Mapping[str, Any],
        name: str,
        content: IO[bytes],
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        head = "".join(
            f"--{boundary}\r\nContent-Disposition: form-data; "
            f'name="{_quoted(key)}"\r\n\r\n{_text(value)}\r\n'
            for key, value in fields.items()
            if value is not None and value is not False
        )
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f'filename="{_quoted(name)}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        self._pending = head.encode("utf-8")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._content = content
        self._left = os.fstat(content.fileno()).st_size - content.tell()
        self._length = len(self._pending) + self._left + len(self._tail)
        self._done = 0
        self._progress = progress

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; empty at the end.

        Raises:
            OSError: the file became shorter while it was sent.
        """
        if not self._pending:
            self._fill(size)
        size = len(self._pending) if size < 0 else size
        piece, self._pending = self._pending[:size], self._pending[size:]
        self._done += len(piece)
        if self._progress is not None and piece:
            self._progress(self._done, self._length)
        return piece

    def _fill(self, size: int) -> None:
        if self._left:
            wanted = min(self._left, size if size > 0 else self._left)
            self._pending = self._content.read(wanted)
            if not self._pending:
                raise OSError("the file became shorter while it was sent")
            self._left -= len(self._pending)
        else:
            self._pending, self._tail = self._tail, b""


def _quoted(name: str) -> str:
    """As HTML's form encoding writes a name: quotes and line breaks by percent code."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
