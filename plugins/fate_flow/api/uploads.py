"""Forms: one file, streamed to disk, and a few small fields; everything bounded."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fate_flow.errors import FateFlowError, InvalidInputError, Problem

MAX_FIELDS = 64
MAX_FIELD_BYTES = 65_536
#: Bytes that are collected before they are parsed and written, away from the event loop.
_BLOCK = 1_048_576
_FILE_PART = "file"
_MAX_NAME_BYTES = 120


@dataclass
class Form:
    """A parsed form.

    Attributes:
        fields: field name -> text.
        file: where the part ``file`` was stored, or None.
        file_name: its sanitised name.
    """

    fields: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    file_name: str = ""


def safe_file_name(name: str) -> str:
    """The last path part, with letters, digits, ``_ - .`` only and no leading dot."""
    last = re.split(r"[\\/]", name)[-1]
    cleaned = re.sub(r"[^\w.\-]", "_", last).lstrip(".")
    while len(cleaned.encode()) > _MAX_NAME_BYTES:
        cleaned = cleaned[1:]
    return cleaned.lstrip(".") or "upload"


_MULTIPART = "multipart/form-data"
#: A form without a file, as HTTP libraries send one.
_URL_ENCODED = "application/x-www-form-urlencoded"


def is_form(request: Request) -> bool:
    return _kind_of(request) in (_MULTIPART, _URL_ENCODED)


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class _FormSink:
    """Callbacks of the parser: fields to memory, the file to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.form = Form()
        self._folder = folder
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._data = bytearray()
        self._sink: BinaryIO | None = None
        self.is_complete = False

    def callbacks(self) -> Any:
        names = (
            "on_part_begin", "on_part_data", "on_part_end", "on_header_field",
            "on_header_value", "on_header_end", "on_headers_finished", "on_end",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def on_part_begin(self) -> None:
        self._headers.clear()
        self._data.clear()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            if len(self.form.fields) >= MAX_FIELDS:
                raise FateFlowError(f"the form has more than {MAX_FIELDS} fields")
            return
        if self._name != _FILE_PART or self.form.file is not None:
            found = f"a file part named {self._name[:80]!r}"
            raise InvalidInputError([Problem("form", found, f"one file part named {_FILE_PART!r}")])
        self.form.file_name = safe_file_name(options[b"filename"].decode("utf-8", "replace"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self.form.file = self._folder / self.form.file_name
        self._sink = self.form.file.open("xb")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._sink is not None:
            self._sink.write(memoryview(data)[start:end])
            return
        self._data += data[start:end]
        if len(self._data) > MAX_FIELD_BYTES:
            raise FateFlowError(f"{self._name[:80]}: a form field of over {MAX_FIELD_BYTES} bytes")

    def on_part_end(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None
            return
        try:
            text = self._data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text or "\0" in self._name:
            raise InvalidInputError(
                [Problem(self._name[:80], "not UTF-8", "a UTF-8 text without NUL characters")]
            )
        self.form.fields[self._name] = text

    def on_end(self) -> None:
        self.is_complete = True

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()


async def read_form(request: Request, folder: Path, max_bytes: int) -> Form:
    """Parse a form; the file lands in ``folder``, which is made when there is one.

    The caller removes ``folder`` when this raises.

    Raises:
        HTTPException: 413, larger than ``max_bytes``; 400, not a form.
        FateFlowError: a field that is not acceptable.
    """
    if _kind_of(request) == _URL_ENCODED:
        return Form(await _read_fields(request))
    _, options = parse_options_header(request.headers.get("content-type", ""))
    sink = _FormSink(folder)
    too_large = HTTPException(413, f"the upload is larger than MAX_UPLOAD_BYTES = {max_bytes}")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    try:
        parser = MultipartParser(options.get(b"boundary", b"") or b"-", sink.callbacks())
        size = 0
        async for block in _blocks(request):
            size += len(block)
            if size > max_bytes:
                raise too_large
            await run_in_threadpool(parser.write, block)
        if not sink.is_complete:
            raise HTTPException(400, "the form ends before its last boundary")
    except FormParserError as error:
        raise HTTPException(400, f"the body is not a multipart form: {str(error)[:200]}") from None
    finally:
        sink.close()
    return sink.form


async def _read_fields(request: Request) -> dict[str, str]:
    """The fields of a form without a file.

    Raises:
        HTTPException: 413, larger than a form's fields may be.
        FateFlowError: not such a form.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_FIELD_BYTES:
            raise HTTPException(413, f"the form is larger than {MAX_FIELD_BYTES} bytes")
    if data.lstrip().startswith(b"{"):
        raise FateFlowError(f"the body is JSON, but its Content-Type is {_URL_ENCODED}")
    try:
        pairs = parse_qsl(
            data.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        allowed = f"at most {MAX_FIELDS} fields in UTF-8"
        raise InvalidInputError([Problem("form", "cannot be read", allowed)]) from None
    if "\0" in "".join(key + value for key, value in pairs):
        raise InvalidInputError([Problem("form", "has a NUL character", "texts without")])
    return dict(pairs)


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    collected = bytearray()
    async for part in request.stream():
        collected += part
        if len(collected) >= _BLOCK:
            yield bytes(collected)
            collected.clear()
    if collected:
        yield bytes(collected)
