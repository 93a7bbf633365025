from __future__ import annotations

from collections.abc import Iterator

import pytest

from fate_flow.client import FateFlowClient
from tests.support.recording_server import RecordingServer, recording_server


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as running:
        yield running


@pytest.fixture
def client(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FateFlowClient]:
    monkeypatch.delenv("FATE_FLOW_TOKEN", raising=False)
    monkeypatch.setattr("fate_flow.client.transport._PAUSES", (0.01, 0.01))
    with FateFlowClient(server.url) as made:
        yield made
