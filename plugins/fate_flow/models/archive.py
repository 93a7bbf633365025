"""Models as zip archives: export, and import of archives that nobody has to trust.

An archive holds the content of a version folder. On import every member is checked before
anything is written: its path, its kind, its size against a bound, and what it claims about
its size against what comes out.
"""

from __future__ import annotations

import shutil
import stat
import uuid
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fate_flow.errors import InvalidInputError, NotFoundError, Problem
from fate_flow.models import layout
from fate_flow.models.store import ModelExistsError, ModelStore

#: Bounds of an imported archive: members, bytes of all members together, compression ratio.
MAX_MEMBERS = 20_000
MAX_BYTES = 4 * 2**30
MAX_RATIO = 200
#: Ratios of small members say nothing.
_RATIO_FROM = 1_048_576
_BLOCK = 1_048_576


def no_model(party_model_id: str, version: str) -> NotFoundError:
    return NotFoundError(f"Can not found {party_model_id} {version} model local cache", retcode=100)


def already_there(party_model_id: str, version: str) -> ModelExistsError:
    return ModelExistsError(f"Model {party_model_id} {version} local cache already existed")


def export_model(store: ModelStore, party_model_id: str, version: str, target: Path) -> Path:
    """Write the archive of a model to ``target``.

    Raises:
        NotFoundError: no such model.
    """
    if not store.exists(party_model_id, version):
        raise no_model(party_model_id, version)
    folder = store.folder(party_model_id, version)
    with (
        layout.locked(folder, shared=True),
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if any(part.startswith(".") for part in relative.parts) or path.is_symlink():
                continue
            archive.write(path, relative.as_posix())
    return target


def import_model(
    store: ModelStore,
    party_model_id: str,
    version: str,
    source: Path | BinaryIO,
    *,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Unpack an archive as a new model; all of it or nothing.

    Raises:
        ModelExistsError: a model of this id and version is there.
        InvalidInputError: not a model archive; lists what is wrong.
    """
    folder = store.folder(party_model_id, version)
    if folder.exists():
        raise already_there(party_model_id, version)
    aside = folder.parent / f".new-{uuid.uuid4().hex}"
    aside.mkdir(parents=True)
    try:
        try:
            with zipfile.ZipFile(source) as archive:
                members = _checked_members(archive, max_bytes)
                _unpack(archive, members, aside)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
            raise _refuse(f"not a readable zip archive: {error}") from None
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise _refuse("two members have the same path") from None
        except RuntimeError:
            raise _refuse("the archive is encrypted") from None
        _check_content(aside)
        try:
            aside.rename(folder)
        except OSError:
            raise already_there(party_model_id, version) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _refuse(message: str) -> InvalidInputError:
    return InvalidInputError(
        [Problem("file", message, "a zip archive made by model export, not encrypted")]
    )


def _checked_members(archive: zipfile.ZipFile, max_bytes: int) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise _refuse(f"{len(members)} members, at most {MAX_MEMBERS}")
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise _refuse(f"{total} bytes unpacked, at most {max_bytes}")
    for member in members:
        _check_member(member)
    return members


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name)
    shown = name[:80]
    parts = path.parts
    if "\\" in name or not parts or path.is_absolute():
        raise _refuse(f"member {shown!r} has a path that leaves the archive")
    if any(part.startswith(".") for part in parts):
        raise _refuse(f"member {shown!r} has a path that leaves the archive")
    if parts[0] not in ("define", "variables", "pipeline.pb"):
        raise _refuse(f"member {shown!r} does not belong to a model")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refuse(f"member {shown!r} is neither a file nor a folder")
    if member.file_size > _RATIO_FROM and member.file_size > MAX_RATIO * member.compress_size:
        raise _refuse(f"member {shown!r} unpacks to more than {MAX_RATIO} times its size")


def _unpack(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> None:
    for member in members:
        parts = PurePosixPath(member.filename).parts
        for part in parts:
            layout.check_name("file", part)
        target = folder.joinpath(*parts)
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        left = member.file_size
        with archive.open(member) as source, open(target, "xb") as sink:
            while block := source.read(min(_BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise _refuse(f"member {member.filename[:80]!r} is longer than it says")
                sink.write(block)


def _check_content(folder: Path) -> None:
    if not (folder / layout.DEFINE_META).is_file():
        raise _refuse(f"there is no {layout.DEFINE_META} in it")
    ModelStore.definition(folder)
    (folder / layout.INDEX).mkdir(parents=True, exist_ok=True)
    (folder / layout.DATA).mkdir(parents=True, exist_ok=True)
