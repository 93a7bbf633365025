"""Downloads: gzip tars made while they are sent, with one block in memory."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from starlette.responses import StreamingResponse

from fate_flow.settings import Settings

_BLOCK = 262_144
_GZIP = 16 + zlib.MAX_WBITS


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """(relative name, path) of all regular files; links are left out."""
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink() and path.is_file():
            yield path.relative_to(folder).as_posix(), path


def tar_gz(members: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """A gzip tar of files, block by block.

    A file that grows meanwhile (a log) is cut at the length it had; one that shrinks or
    vanishes is padded with zeros or left out.
    """
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    for name, path in members:
        for block in _member(name, path):
            if packed := packer.compress(block):
                yield packed
    yield packer.compress(b"\0" * (2 * tarfile.BLOCKSIZE)) + packer.flush()


def _member(name: str, path: Path) -> Iterator[bytes]:
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return
    with os.fdopen(source, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o644
        yield info.tobuf(tarfile.PAX_FORMAT)
        left = info.size
        while left:
            block = file.read(min(_BLOCK, left))
            if not block:
                block = b"\0" * min(_BLOCK, left)
            left -= len(block)
            yield block
        if rest := info.size % tarfile.BLOCKSIZE:
            yield b"\0" * (tarfile.BLOCKSIZE - rest)


def attachment(
    content: Iterable[bytes], name: str, media_type: str = "application/x-tar"
) -> StreamingResponse:
    """A streamed file; ``name`` must hold only characters that need no quoting, and ``#``.

    Airflow compresses answers; a file is compressed already, and a client that reads the raw
    stream would get an archive in an archive.
    """
    headers = {
        "Content-Disposition": f"attachment; filename={name}",
        "Content-Encoding": "identity",
    }
    return StreamingResponse(content, media_type=media_type, headers=headers)


def scratch_file(settings: Settings, prefix: str, suffix: str) -> Path:
    """An empty temporary file of the site; whoever asks for it removes it."""
    folder = scratch_folder(settings)
    descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
    os.close(descriptor)
    return Path(path)


def scratch_folder(settings: Settings) -> Path:
    folder = settings.storage_root / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def then_remove(path: Path) -> Iterator[bytes]:
    """The content of a temporary file, which is removed at the end."""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    finally:
        path.unlink(missing_ok=True)
