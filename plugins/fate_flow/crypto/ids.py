"""Row ids as bytes, for the hashes of private set intersection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

from fate_flow.errors import CryptoError

#: Ids of rows: texts, or an Arrow array of them.
Ids: TypeAlias = "Sequence[str] | pa.Array | pa.ChunkedArray"


def utf8(ids: Ids) -> list[bytes]:
    """UTF-8 bytes of every id.

    Raises:
        CryptoError: an id is missing or not a text.
    """
    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)):
            raise CryptoError(f"ids are {ids.type}; allowed: texts")
        if ids.null_count:
            raise CryptoError(f"{ids.null_count} ids are missing")
        binary = pa.large_binary() if pa.types.is_large_string(ids.type) else pa.binary()
        encoded: list[bytes] = ids.cast(binary).to_pylist()
        return encoded
    if not all(isinstance(text, str) for text in ids):
        raise CryptoError("an id is not a text")
    return [text.encode() for text in ids]
