"""The only place that touches the file system below a table store's root.

Changes are made aside, flushed to the disk and moved into place by one rename, so
that a crash at any moment leaves either the old or the new state. What a crash does
leave lies in the scratch folder, where :func:`sweep` finds it by age.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SCRATCH = ".scratch"
LOCKS = ".locks"
#: Longest file name that common file systems take is 255 bytes; longer names get a digest.
_LONGEST_NAME = 200


def folder_name(text: str) -> str:
    """A path-safe folder name, different for different texts, readable for plain ones.

    Every byte outside ``[A-Za-z0-9_-]`` is written ``%XX``: no separators, no dots.
    A name that would be too long for a file system ends in a SHA-256 instead.
    """
    name = re.sub(
        rb"[^A-Za-z0-9_-]", lambda found: b"%%%02X" % found.group()[0], text.encode()
    ).decode()
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{name[: _LONGEST_NAME - 68]}%%{digest}"
    return name or "%"


def new_scratch(root: Path) -> Path:
    """A new empty folder on the same file system as the tables."""
    folder = root / SCRATCH / uuid.uuid4().hex
    folder.mkdir(parents=True)
    return folder


def flush(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, document: Any) -> None:
    """Replace a JSON file in one step."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        aside.write_text(json.dumps(document))
        flush(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def move_into(source: Path, folder: Path, name: str) -> Path:
    """Move a finished folder to ``folder/name``; makes ``folder`` when it is missing."""
    for path in source.iterdir():
        flush(path)
    flush(source)
    target = folder / name
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(target)
            break
        except FileNotFoundError:
            if not source.exists():
                raise
            # Somebody dropped the table between the two lines: make its folder anew.
    flush(folder)
    return target


def discard(root: Path, path: Path) -> bool:
    """Remove a file tree so that no reader sees half of it; False when it is gone already."""
    trash = new_scratch(root) / "discarded"
    try:
        path.rename(trash)
    except FileNotFoundError:
        return False
    finally:
        shutil.rmtree(trash.parent, ignore_errors=True)
    return True


def older_than(path: Path, seconds: float) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > seconds
    return False


def touch(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.utime(path)


def sweep(root: Path, seconds: float) -> int:
    """Remove what crashed writers left in the scratch folder; returns how many folders."""
    scratch = root / SCRATCH
    if not scratch.is_dir():
        return 0
    left = [path for path in scratch.iterdir() if older_than(path, seconds)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


@contextmanager
def locked(root: Path, key: str) -> Iterator[None]:
    """Hold the lock of a key against other threads and processes of this machine."""
    folder = root / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    with (folder / name).open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
