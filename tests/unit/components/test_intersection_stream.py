"""Streams of ids: what a peer may not send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.components.intersection import stream
from fate_flow.components.intersection.matching import as_column, found_in, in_all, sorted_order
from fate_flow.components.intersection.stream import Receiver, Sender, send_matrix, send_texts
from fate_flow.entities import Party
from fate_flow.errors import ProtocolError
from tests.support.parties import Mailbox, MemoryFederation

GUEST, HOST = Party("guest", 1), Party("host", 2)


def pair() -> tuple[MemoryFederation, MemoryFederation]:
    mailbox = Mailbox()
    return MemoryFederation(mailbox, HOST), MemoryFederation(mailbox, GUEST)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9])
def test_matrices_and_texts_arrive_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "CHUNK_BYTES", 32)
    sender, receiver = pair()
    matrix = np.arange(rows * 8, dtype=np.uint8).reshape(rows, 8)
    send_matrix(sender, "m", matrix, GUEST, note="x")
    found = Receiver(receiver, "m", HOST)
    assert found.head["note"] == "x"
    assert np.array_equal(found.matrix(8), matrix)
    texts = pa.array([f"é{row}" for row in range(rows)], type=pa.string())
    send_texts(sender, "t", texts, GUEST)
    assert Receiver(receiver, "t", HOST).texts().equals(texts)


def read_matrix(receiver: Receiver) -> Any:
    return receiver.matrix(4)


def read_texts(receiver: Receiver) -> Any:
    return receiver.texts()


@pytest.mark.parametrize(
    ("rows", "chunk", "read"),
    [
        (2, np.zeros((2, 5), dtype=np.uint8), read_matrix),
        (2, np.zeros((2, 4), dtype=np.int32), read_matrix),
        (2, np.zeros((3, 4), dtype=np.uint8), read_matrix),
        (2, np.zeros((0, 4), dtype=np.uint8), read_matrix),
        (2, [1, 2], read_matrix),
        (2, pa.record_batch([pa.array(["a", "b"])], names=["id"]), read_matrix),
        (2, pa.record_batch([pa.array([1, 2])], names=["id"]), read_texts),
        (2, pa.record_batch([pa.array(["a", None])], names=["id"]), read_texts),
        (2, np.zeros((2, 4), dtype=np.uint8), read_texts),
    ],
)
def test_a_wrong_chunk_is_refused(rows: int, chunk: Any, read: Callable[[Receiver], Any]) -> None:
    sender, receiver = pair()
    Sender(sender, "m", GUEST, rows).send(chunk)
    with pytest.raises(ProtocolError, match="host 2 sent"):
        read(Receiver(receiver, "m", HOST))


@pytest.mark.parametrize("head", [5, {}, {"rows": -1}, {"rows": True}, {"rows": 2**50}])
def test_a_wrong_head_is_refused(head: Any) -> None:
    sender, receiver = pair()
    sender.send("m", head, GUEST, ("head",))
    with pytest.raises(ProtocolError, match="without a count"):
        Receiver(receiver, "m", HOST)


def test_matching() -> None:
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 256, (50, 32), dtype=np.uint8)
    rows[0] = 0
    rows[1, 1:] = 0
    order = sorted_order(rows)
    assert [bytes(row) for row in rows[order]] == sorted(bytes(row) for row in rows)
    places = found_in(as_column(rows), as_column(rows[order][:30]))
    assert (places >= 0).sum() == 30
    assert all(order[place] == row for row, place in enumerate(places) if place >= 0)
    assert in_all([np.array([1, 2, 5]), np.array([5, 1])]).tolist() == [1, 5]
