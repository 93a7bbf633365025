"""What the gateway in the middle has of a value between two other sites, and can do with it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fate_flow.entities import Party, TaskIdentity
from fate_flow.federation import tokens
from fate_flow.federation.addresses import Slot
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.codec import encode
from fate_flow.federation.gateway import Gateway
from fate_flow.federation.mailbox import Mailbox
from fate_flow.federation.sealing import Sealer, SealError
from fate_flow.federation.state import GatewayState
from fate_flow.federation.store import BlobStore
from tests.support.gateway import ARBITER, COMPONENT, GUEST, HOST, JOB, ROLES

pytestmark = pytest.mark.slow
SECRET = b"s" * 32
SITES = {GUEST: b"\1" * 32, HOST: b"\2" * 32, ARBITER: b"\3" * 32}
KEYS = {
    party: X25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw().hex()
    for party, key in SITES.items()
}


class Home:
    """The gateway of the guest's site, which may look at and change all it has."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        store = BlobStore(folder, 1 << 26, 1 << 26)
        self.state = GatewayState(SECRET, store)
        self.gateway = self.on_loop(Gateway.start(self.state, "127.0.0.1:0"))

    def on_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        self.on_loop(self.gateway.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def session(self, party: Party, component: str, sealer: Sealer | None) -> GatewaySession:
        token = tokens.issue(
            SECRET,
            job_id=JOB,
            component=component,
            role=party.role,
            party_id=party.party_id,
            ttl=600,
        )
        identity = TaskIdentity(JOB, component, "HeteroLR", party, ROLES)
        address = f"127.0.0.1:{self.gateway.port}"
        return GatewaySession(address, token, identity, timeout=20.0, sealer=sealer)

    def mailbox(self, component: str) -> Mailbox:
        attempt = self.state.rooms.room(JOB, component).attempt
        assert attempt is not None
        return attempt.mailbox

    def bytes_of(self, component: str, slot: Slot) -> bytes:
        value = self.mailbox(component)._values[slot]
        assert value.blob is not None
        return b"".join(value.blob._chunks)

    def replace(self, component: str, slot: Slot, data: bytes) -> None:
        """As a gateway would that has been taken over: the digest is right again."""
        value = self.mailbox(component)._values[slot]
        assert value.blob is not None
        value.blob._chunks = [data]
        value.blob.size = value.blob.available = value.size = len(data)
        value.digest = hashlib.sha256(data).digest()

    def move(self, component: str, slot: Slot, **changes: Any) -> None:
        """Deliver a value under another address."""
        values = self.mailbox(component)._values
        value = values[slot]
        other = dataclasses.replace(slot, **changes)
        values[other] = value
        value.pending.add(other)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home(tmp_path_factory.mktemp("home") / "values")
    yield made
    made.close()


@pytest.fixture
def parties(home: Home, request: pytest.FixtureRequest) -> Iterator[dict[Party, GatewaySession]]:
    """Sessions of all parties of a component, joined."""
    component = f"{COMPONENT}_{abs(hash(request.node.name))}"
    sealers: dict[Party, Sealer | None] = {p: Sealer(key, KEYS) for p, key in SITES.items()}
    if "unsealing" in request.node.name:
        sealers[HOST] = None
    sessions = {p: home.session(p, component, sealers[p]) for p in SITES}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda session: session.join(), sessions.values()))
    yield sessions
    for session in sessions.values():
        session.close()


SLOT = Slot("forward", "default.3", HOST, ARBITER)
VALUE = {"weights": np.arange(4096, dtype=np.float64) * 0.7, "note": "the host's own words"}


def test_the_gateway_has_nothing_of_the_value(
    home: Home, parties: dict[Party, GatewaySession]
) -> None:
    parties[HOST].send("forward", VALUE, [ARBITER, GUEST], (3,))
    component = parties[HOST].identity.component
    slots = (SLOT, dataclasses.replace(SLOT, receiver=GUEST))
    for_arbiter, for_guest = (home.bytes_of(component, slot) for slot in slots)
    assert for_arbiter != for_guest
    weights = VALUE["weights"]
    assert isinstance(weights, np.ndarray)
    plain = encode(VALUE)
    for stored in (for_arbiter, for_guest):
        assert len(stored) > len(plain)
        for secret in (b"own words", b"weights", weights[7:8].tobytes(), plain[:16]):
            assert secret in plain
            assert secret not in stored
    for receiver in (ARBITER, GUEST):
        received = parties[receiver].receive("forward", HOST, (3,))
        assert received["note"] == VALUE["note"]
        np.testing.assert_array_equal(received["weights"], weights)


def test_large_values_pass_in_pieces(home: Home, parties: dict[Party, GatewaySession]) -> None:
    value = np.random.default_rng(1).random(900_000)
    parties[HOST].send("forward", value, [ARBITER], (3,))
    np.testing.assert_array_equal(parties[ARBITER].receive("forward", HOST, (3,)), value)


def flipped(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (flipped, "is not what the site of host 10000 sealed"),
        (lambda data: data[:-40] + data[-20:], "sealed"),
        (lambda data: encode(VALUE), "came unsealed"),
        (lambda data: b"FFS1" + bytes(100), "sealed"),
    ],
    ids=["flipped", "cut", "unsealed", "nonsense"],
)
def test_a_changed_value_is_refused(
    home: Home,
    parties: dict[Party, GatewaySession],
    change: Callable[[bytes], bytes],
    reason: str,
) -> None:
    parties[HOST].send("forward", VALUE, [ARBITER], (3,))
    component = parties[HOST].identity.component
    home.replace(component, SLOT, change(home.bytes_of(component, SLOT)))
    with pytest.raises(SealError, match=rf"forward 3 of host 10000.*{reason}"):
        parties[ARBITER].receive("forward", HOST, (3,))


@pytest.mark.parametrize(
    ("changes", "sender", "tag"),
    [
        ({"tag": "default.4"}, HOST, 4),
        ({"sender": GUEST}, GUEST, 3),
    ],
    ids=["tag", "sender"],
)
def test_a_value_is_refused_under_another_address(
    home: Home,
    parties: dict[Party, GatewaySession],
    changes: dict[str, Any],
    sender: Party,
    tag: int,
) -> None:
    parties[HOST].send("forward", VALUE, [ARBITER], (3,))
    home.move(parties[HOST].identity.component, SLOT, **changes)
    with pytest.raises(SealError, match=f"is not what the site of {sender} sealed"):
        parties[ARBITER].receive("forward", sender, (tag,))


def test_a_value_of_an_unsealing_task_is_refused(
    home: Home, parties: dict[Party, GatewaySession]
) -> None:
    parties[HOST].send("forward", VALUE, [ARBITER], (3,))
    with pytest.raises(SealError, match="came unsealed in a job of several sites"):
        parties[ARBITER].receive("forward", HOST, (3,))
