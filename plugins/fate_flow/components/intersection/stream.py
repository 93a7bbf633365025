"""Columns of ids in chunks of bounded size.

A stream is a head ``{"rows": n, ...}`` under the suffix ``head`` and then chunks under
0, 1, 2 …, each a uint8 matrix (rows, width) or a record batch with one text column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fate_flow.entities import Party
from fate_flow.errors import ProtocolError
from fate_flow.runtime.context import Federation

#: Upper limit of one chunk in bytes, as far as a single id allows.
CHUNK_BYTES = 2 << 20

ByteMatrix = np.ndarray[Any, np.dtype[np.uint8]]


def slices(rows: int, width: int) -> list[slice]:
    """Cuts of ``rows`` rows of ``width`` bytes each."""
    step = max(1, CHUNK_BYTES // max(width, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


class Sender:
    """The sending end; the head goes out when it is made.

    Args:
        to: one party or several that get the same stream.
        rows: total of all chunks.
        head: more entries of the head (texts, numbers, truth values).
    """

    def __init__(
        self,
        federation: Federation,
        variable: str,
        to: Party | Sequence[Party],
        rows: int,
        **head: object,
    ) -> None:
        self._federation, self._variable, self._to = federation, variable, to
        self._next = 0
        federation.send(variable, {"rows": rows, **head}, to, ("head",))

    def send(self, chunk: ByteMatrix | pa.RecordBatch) -> None:
        self._federation.send(self._variable, chunk, self._to, (self._next,))
        self._next += 1


def send_matrix(
    federation: Federation,
    variable: str,
    matrix: ByteMatrix,
    to: Party | Sequence[Party],
    **head: object,
) -> None:
    """A whole uint8 matrix, shape (n, width), as a stream."""
    sender = Sender(federation, variable, to, len(matrix), **head)
    for part in slices(*matrix.shape):
        sender.send(matrix[part])


def send_texts(
    federation: Federation,
    variable: str,
    texts: pa.Array,
    to: Party | Sequence[Party],
    **head: object,
) -> None:
    """A whole string array as a stream."""
    sender = Sender(federation, variable, to, len(texts), **head)
    for part in slices(len(texts), -(-texts.nbytes // max(len(texts), 1))):
        chunk = texts.slice(part.start, part.stop - part.start)
        sender.send(pa.record_batch([chunk], names=["id"]))


class Receiver:
    """The receiving end; waits for the head when it is made.

    Attributes:
        head: the head's entries; ``rows`` has been checked.

    Raises:
        ProtocolError: (also while iterating) the sender broke the form of a stream.
    """

    def __init__(self, federation: Federation, variable: str, sender: Party) -> None:
        self._federation, self._variable, self._sender = federation, variable, sender
        head = federation.receive(variable, sender, ("head",))
        if not isinstance(head, dict) or not _is_count(head.get("rows")):
            raise self._broken("a stream without a count of rows")
        self.head: dict[str, Any] = head
        self.rows: int = head["rows"]

    def _broken(self, what: str) -> ProtocolError:
        return ProtocolError(f"{self._sender} sent {what} as {self._variable}")

    def _chunks(self) -> Iterator[Any]:
        index = received = 0
        while received < self.rows:
            chunk = self._federation.receive(self._variable, self._sender, (index,))
            if not isinstance(chunk, (np.ndarray, pa.RecordBatch)) or len(chunk) == 0:
                raise self._broken(f"an empty or foreign chunk {index}")
            received += len(chunk)
            if received > self.rows:
                raise self._broken(f"more than the {self.rows} rows it announced")
            index += 1
            yield chunk

    def matrices(self, width: int) -> Iterator[ByteMatrix]:
        """Chunks as uint8 matrices, shape (m, width)."""
        for chunk in self._chunks():
            if (
                not isinstance(chunk, np.ndarray)
                or chunk.dtype != np.uint8
                or chunk.shape[1:] != (width,)
            ):
                raise self._broken(f"something else than rows of {width} bytes")
            yield chunk

    def matrix(self, width: int) -> ByteMatrix:
        """All chunks together, uint8, shape (rows, width)."""
        parts: Iterable[ByteMatrix] = self.matrices(width)
        return np.concatenate([np.empty((0, width), dtype=np.uint8), *parts])

    def texts(self) -> pa.Array:
        """All chunks together, a string array without nulls."""
        parts: list[pa.Array] = []
        for chunk in self._chunks():
            if (
                not isinstance(chunk, pa.RecordBatch)
                or chunk.num_columns != 1
                or chunk.schema.field(0).type != pa.string()
                or chunk.column(0).null_count
            ):
                raise self._broken("something else than a column of texts")
            parts.append(chunk.column(0))
        return pa.chunked_array(parts, type=pa.string()).combine_chunks()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40
