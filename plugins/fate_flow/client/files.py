"""Files that the server sends: written to a folder, archives unpacked without trusting them."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any

import requests

from fate_flow.client.answers import ServerUnreachableError
from fate_flow.errors import FateFlowError, InvalidInputError, Problem

_CHUNK = 1 << 20


@contextmanager
def saved(
    response: requests.Response,
    folder: Path,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Path]:
    """The body of a streamed answer in a temporary file of ``folder``, removed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() and "Content-Encoding" not in response.headers else None
    handle, name = tempfile.mkstemp(prefix=".download-", dir=folder)
    path = Path(name)
    try:
        done = 0
        with os.fdopen(handle, "wb") as file:
            for chunk in response.iter_content(_CHUNK):
                done += file.write(chunk)
                if progress is not None:
                    progress(done, total)
        if total is not None and done != total:
            raise ServerUnreachableError(f"the download ended after {done} of {total} bytes")
        yield path
    except requests.RequestException:
        raise ServerUnreachableError("the connection was lost during the download") from None
    finally:
        path.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack the regular files of a tar.gz below ``folder``; returns their paths.

    Raises:
        FateFlowError: not an archive, or a member that would lie elsewhere or is a link or
            a device.
    """
    written: list[Path] = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            folder.mkdir(parents=True, exist_ok=True)
            for member in tar:
                target = _inside(folder, member.name)
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                source = tar.extractfile(member) if member.isfile() else None
                if source is None:
                    raise FateFlowError(f"the archive holds {member.name!r}, which is no file")
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
                written.append(target)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise FateFlowError(f"{folder} cannot be written: {error.strerror}") from None
        raise FateFlowError("the server's answer is no tar.gz archive") from None
    return written


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    target = folder.joinpath(*parts)
    root = folder.resolve()
    outside = root not in (target.resolve(), *target.resolve().parents)
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or outside:
        raise FateFlowError(f"the archive holds {name!r}, which lies outside of its folder")
    return target


def name_of(response: requests.Response) -> str | None:
    """File name of a ``Content-Disposition`` header, its last part only."""
    header = response.headers.get("Content-Disposition")
    if not header:
        return None
    message = Message()
    message["Content-Disposition"] = header
    name = PurePosixPath((message.get_filename() or "").replace("\\", "/")).name
    return name if name not in ("", ".", "..") else None


def safe_part(value: Any, path: str) -> str:
    """A value that becomes part of a file name.

    Raises:
        InvalidInputError: it holds a path separator.
    """
    text = str(value)
    if not text or any(c in text for c in "/\\\0") or text in (".", ".."):
        raise InvalidInputError([Problem(path, f"found {text!r}", "a text without '/' and '\\'")])
    return text
