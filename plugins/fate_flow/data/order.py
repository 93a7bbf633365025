"""The canonical row order: *shortlex* of the ids' UTF-8 bytes.

Shorter ids come first, ids of equal length in byte order. Everything that sorts,
compares or searches ids stands here, so that there is one meaning of "in order".
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Sort key of one id: (length in bytes, bytes).
Key = tuple[int, bytes]


def key_of(text: str) -> Key:
    data = text.encode()
    return len(data), data


def shortlex_order(ids: pa.Array) -> pa.Array:
    """Indices (uint64) that put ids (string array) into the canonical order; stable."""
    binary = ids.cast(pa.binary())
    keys = pa.table({"length": pc.binary_length(binary), "id": binary})
    return pc.sort_indices(keys, sort_keys=[("length", "ascending"), ("id", "ascending")])


def first_disorder(ids: pa.Array) -> int | None:
    """Position of the first id that is not greater than the one before it; None if in order."""
    if len(ids) < 2:
        return None
    binary = ids.cast(pa.binary())
    lengths = pc.binary_length(binary)
    before, after = binary.slice(0, len(ids) - 1), binary.slice(1)
    longer = pc.greater(lengths.slice(1), lengths.slice(0, len(ids) - 1))
    same = pc.equal(lengths.slice(1), lengths.slice(0, len(ids) - 1))
    rising = pc.or_(longer, pc.and_(same, pc.greater(after, before)))
    position = pc.index(rising, False).as_py()
    return None if position < 0 else position + 1


def lower_bound(ids: pa.Array, key: Key) -> int:
    """First position in ids (in canonical order) whose key is not below ``key``."""
    return bisect_left(range(len(ids)), key, key=lambda index: key_of(ids[index].as_py()))


def equal_to_next(ids: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mask of length len(ids): the id at this position equals the one after it."""
    mask = np.zeros(len(ids), dtype=np.bool_)
    if len(ids) > 1:
        same = pc.equal(ids.slice(0, len(ids) - 1), ids.slice(1))
        mask[:-1] = same.to_numpy(zero_copy_only=False)
    return mask
