"""What components keep from one job to the next to save work, below the table store's root.

A cache can be removed at any time: entries that are missing, damaged or cannot be written
only cost time. Files are readable by the site's own user alone.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path

from fate_flow.data.files import flush

FOLDER = ".cache"
_MAGIC = b"FATEFLOWCACHE1\n"
_DIGEST_BYTES = 32


class SiteCache:
    """Entries by key; a new entry replaces the one before it.

    Args:
        root: of the table store.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def path_of(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()

    def read(self, key: str) -> bytes | None:
        """The entry, or None when there is none that is whole."""
        try:
            stored = self.path_of(key).read_bytes()
        except OSError:
            return None
        start = len(_MAGIC) + _DIGEST_BYTES
        content = stored[start:]
        expected = _MAGIC + _digest(key, content)
        return content if stored[:start] == expected else None

    def write(self, key: str, content: bytes) -> bool:
        """Store an entry in one step; False when it could not be written."""
        target = self.path_of(key)
        aside = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(_MAGIC + _digest(key, content))
                file.write(content)
            flush(aside)
            aside.replace(target)
            flush(self._folder)
        except OSError:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            return False
        return True


def _digest(key: str, content: bytes) -> bytes:
    """Tells a whole entry of this key from a cut one, and from one moved here from another."""
    digest = hashlib.sha256(len(key.encode()).to_bytes(8, "big") + key.encode())
    digest.update(content)
    return digest.digest()
