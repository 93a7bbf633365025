"""Static files of the pages: a fixed set, read once, addressed by their common digest.

The digest stands in the address, so that browsers may keep the files for good and still
never mix files of two versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Asset:
    """One file: its bytes and media type."""

    content: bytes
    media_type: str


@cache
def assets() -> Mapping[str, Asset]:
    """Name below ``static/`` -> file. Only these names can ever be asked for."""
    return {
        path.relative_to(_FOLDER).as_posix(): Asset(path.read_bytes(), _MEDIA_TYPES[path.suffix])
        for path in sorted(_FOLDER.rglob("*"))
        if path.is_file() and path.suffix in _MEDIA_TYPES
    }


@cache
def digest() -> str:
    """Hex digest over names and contents of all files."""
    total = hashlib.sha256()
    for name, asset in assets().items():
        total.update(f"{name}\0{len(asset.content)}\0".encode())
        total.update(asset.content)
    return total.hexdigest()[:16]
