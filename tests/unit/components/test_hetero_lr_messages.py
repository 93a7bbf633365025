"""What a party of HeteroLR accepts from another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fate_flow.components.hetero_lr.messages import BatchInfo, HostScores, ids_digest
from fate_flow.entities import Party
from fate_flow.errors import ProtocolError

GUEST, HOST = Party("guest", 9999), Party("host", 10000)
INFO = BatchInfo(10, 2, 20, "ab", False)


def test_payloads_round_trip() -> None:
    assert BatchInfo.from_payload(INFO.to_payload(), GUEST) == INFO
    scores = HostScores.from_payload(HostScores("ab", np.arange(3.0)).to_payload(), HOST)
    np.testing.assert_array_equal(scores.scores, [0, 1, 2])


@pytest.mark.parametrize(
    "change",
    [
        {"batch_num": 0},
        {"batch_num": True},
        {"batch_size": 0},
        {"batch_size": -2},
        {"rows": 0},
        {"rows": "20"},
        {"ids": 7},
        {"more": 1},
    ],
)
def test_impossible_batches_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="guest 9999"):
        BatchInfo.from_payload({**INFO.to_payload(), **change}, GUEST)


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {"ids": "a"},
        {"ids": "a", "scores": [1.0]},
        {"ids": "a", "scores": np.array([np.nan])},
        {"ids": "a", "scores": np.ones((2, 2))},
        {"ids": "a", "scores": np.ones(2, dtype=np.int64)},
    ],
)
def test_impossible_scores_are_refused(payload: Any) -> None:
    with pytest.raises(ProtocolError, match="host 10000"):
        HostScores.from_payload(payload, HOST)


def test_the_digest_tells_ids_and_their_borders_apart() -> None:
    digests = {
        ids_digest(pa.array(ids)) for ids in (["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"], ["é"])
    }
    assert len(digests) == 5
