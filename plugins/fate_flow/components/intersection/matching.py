"""Which rows of two columns are equal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fate_flow.components.intersection.stream import ByteMatrix

Positions = np.ndarray[Any, np.dtype[np.int64]]


def as_column(matrix: ByteMatrix) -> pa.Array:
    """A uint8 matrix, shape (n, width), as a fixed-size binary array of length n."""
    data = np.ascontiguousarray(matrix)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(data.shape[1]), len(data), [None, pa.py_buffer(data)]
    )


def found_in(own: pa.Array, other: pa.Array) -> Positions:
    """For each row of ``own`` its position in ``other``, or -1; int64, shape (len(own),).

    ``other`` has no value twice.
    """
    index = pc.index_in(own, value_set=other)
    positions: Positions = pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return positions


def sorted_order(matrix: ByteMatrix) -> Positions:
    """Indices that sort the rows by their bytes.

    What is sent in this order says nothing about the order the ids had: the bytes are
    images of the ids under a secret key.
    """
    rows = np.ascontiguousarray(matrix).view(f"S{matrix.shape[1]}").ravel()
    return np.argsort(rows)


def in_all(positions: Sequence[Positions]) -> Positions:
    """Row numbers that are in every array, ascending."""
    return reduce(np.intersect1d, positions[1:], np.unique(positions[0]))
