"""Files of the server that a person names in a request.

A relative path is one below the site's home and may not leave it; an absolute path is
taken as it is. The site's own state (settings, secrets, database, tables, models)
can neither be read into a table nor be overwritten by a download.
"""

from __future__ import annotations

from pathlib import Path

from fate_flow import settings
from fate_flow.errors import DataError

_OWN_FOLDERS = ("conf", "airflow", "tables", "model_local_cache", "logs")
_OWN_FILES = ("fate_flow.yaml", "fate_flow_sqlite.db")


def _resolve(path: str, home: Path | None) -> Path:
    base = (home if home is not None else settings.default_home()).resolve()
    storage = settings.inspect(base)[0].storage_root.resolve()
    if not path or "\0" in path:
        raise DataError("the path of the file is empty", remedy="Give the path of a file")
    try:
        resolved = (base / Path(path).expanduser()).resolve()
        resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path[:200]} cannot be a path: {reason}") from None
    if not Path(path).expanduser().is_absolute() and not resolved.is_relative_to(base):
        raise DataError(
            f"{path} leads out of the site's home", remedy="Give an absolute path instead"
        )
    if any(_is_own(resolved, root) for root in (base, storage)):
        raise DataError(f"{path} belongs to the site's own state", remedy="Choose another file")
    return resolved


def _is_own(path: Path, root: Path) -> bool:
    if not path.is_relative_to(root):
        return False
    first = path.relative_to(root).parts[:1]
    return bool(first) and (first[0] in _OWN_FOLDERS or first[0].startswith(_OWN_FILES))


def readable_file(path: str, home: Path | None = None) -> Path:
    """The file to read.

    Raises:
        DataError: it does not exist, is no file, or is the site's own.
    """
    resolved = _resolve(path, home)
    if not resolved.exists():
        raise DataError(f"{path} is not exist, please check the configure")
    if not resolved.is_file():
        raise DataError(f"{path} is not a file")
    return resolved


def writable_file(path: str, home: Path | None = None) -> Path:
    """The file to write; the folder it stands in exists.

    Raises:
        DataError: its folder cannot be made, it is a folder, or it is the site's own.
    """
    resolved = _resolve(path, home)
    if resolved.is_dir():
        raise DataError(f"{path} is a folder", remedy="Give the path of a file")
    try:
        resolved.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder of {path} cannot be made: {error.strerror}") from None
    return resolved
