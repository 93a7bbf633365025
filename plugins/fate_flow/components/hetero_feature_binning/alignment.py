"""A check that guest and host hold the same rows in the same order."""

from __future__ import annotations

import hashlib

from fate_flow.data.table import SID, Table


def ids_digest(table: Table) -> str:
    """SHA-256 (hex) over the ids in row order.

    It says "the same rows" or "not the same" to a party that has the ids too. Single ids
    cannot be tried out against it: only all ids together give the digest.
    """
    digest = hashlib.sha256()
    for batch in table.batches([SID]):
        for text in batch.column(0).to_pylist():
            data = text.encode()
            digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()
