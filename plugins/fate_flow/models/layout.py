"""Paths of the model cache, safe against names that would leave it.

``<root>/<party model id>/<model version>/`` holds ``define/define_meta.yaml``, ``define/proto/``,
``variables/index/``, ``variables/data/<component>/<alias>/<buffer>`` and ``pipeline.pb``, as
FATE-Flow 1.4 lays it out.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fate_flow.errors import InvalidInputError, Problem

DEFINE_META = Path("define") / "define_meta.yaml"
DEFINE_PROTO = Path("define") / "proto"
INDEX = Path("variables") / "index"
DATA = Path("variables") / "data"
PIPELINE = Path("pipeline.pb")

#: Party model ids hold '#' and '-'; nothing that any file system treats specially.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_#.\-]*")
_MAX_BYTES = 240


def check_name(kind: str, name: str) -> str:
    """``name`` if it can be a folder or file name of the cache.

    Raises:
        InvalidInputError: names the argument and what is allowed.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _MAX_BYTES:
        allowed = f"1 to {_MAX_BYTES} of letters, digits, '_', '-', '.', '#', not starting with '.'"
        raise InvalidInputError([Problem(kind, f"found {str(name)[:80]!r}", allowed)])
    return name


def version_folder(root: Path, party_model_id: str, version: str) -> Path:
    return root / check_name("model_id", party_model_id) / check_name("model_version", str(version))


def alias_folder(folder: Path, component: str, alias: str) -> Path:
    return folder / DATA / check_name("component", component) / check_name("alias", alias)


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a version folder: tasks of one party save into it at the same time.

    The lock file lies beside the folder, so that it is in no archive.
    """
    path = folder.parent / f".{folder.name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Replace a file in one step."""
    aside = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    aside.write_bytes(data)
    os.replace(aside, path)


def replace_folder(aside: Path, target: Path) -> None:
    """Put the folder ``aside`` in the place of ``target``; the caller holds the lock."""
    old = target.parent / f".old-{uuid.uuid4().hex}"
    if target.exists():
        target.rename(old)
    aside.rename(target)
    shutil.rmtree(old, ignore_errors=True)
