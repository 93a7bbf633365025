from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import ProtocolError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.sealing import Sealer, SealError
from fate_flow.federation.transfer import Envelopes, Incoming, Outgoing

GUEST, HOST, OTHER_HOST, ARBITER = (
    Party("guest", 9999),
    Party("host", 10000),
    Party("host", 10001),
    Party("arbiter", 10000),
)
SITES = {GUEST: 1, HOST: 2, OTHER_HOST: 2, ARBITER: 3}
ROLES = {"guest": [9999], "host": [10000, 10001], "arbiter": [10000]}
ATTEMPT = pb.AttemptRef(incarnation="run", number=1)
NAME = ("forward", "fit.3")


def private(site: int) -> bytes:
    return bytes([site]) * 32


def of(party: Party) -> Envelopes:
    keys = {
        party: X25519PrivateKey.from_private_bytes(private(site)).public_key().public_bytes_raw()
        for party, site in SITES.items()
    }
    identity = TaskIdentity("j1", "lr_0", "HeteroLR", party, ROLES)
    sealer = Sealer(private(SITES[party]), {p: key.hex() for p, key in keys.items()})
    return Envelopes(sealer, identity)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_each_site_gets_a_value_of_its_own(kind: Callable[[bytes], bytes]) -> None:
    value = os.urandom(3_000_000)
    sent = list(of(GUEST).close(value, [HOST, ARBITER, OTHER_HOST], ATTEMPT, NAME))
    assert [list(receivers) for receivers, _ in sent] == [[HOST, OTHER_HOST], [ARBITER]]
    for receivers, data in sent:
        assert value[:32] not in data
        for receiver in receivers:
            assert of(receiver).open(kind(data), GUEST, ATTEMPT, NAME) == value


def test_at_one_site_values_stay_as_they_are() -> None:
    plain = Envelopes(None, TaskIdentity("j1", "lr_0", "HeteroLR", GUEST, ROLES))
    assert list(plain.close(b"x", [HOST, ARBITER], ATTEMPT, NAME)) == [([HOST, ARBITER], b"x")]
    assert plain.open(b"x", HOST, ATTEMPT, NAME) == b"x"


def test_a_party_opens_only_what_was_sealed_for_it() -> None:
    """Two parties of one site: the site's key alone does not make it theirs."""
    [(_, data)] = of(GUEST).close(b"secret", [OTHER_HOST], ATTEMPT, NAME)
    with pytest.raises(SealError, match=r"forward fit\.3 of guest 9999 was sealed for others"):
        of(HOST).open(data, GUEST, ATTEMPT, NAME)
    added = data.replace(b'["host_10001"]', b'["host_10000"]')
    assert added != data
    with pytest.raises(SealError, match="is not what the site of guest 9999 sealed"):
        of(HOST).open(added, GUEST, ATTEMPT, NAME)


@pytest.mark.parametrize(
    ("sender", "attempt", "name"),
    [
        (ARBITER, ATTEMPT, NAME),
        (GUEST, pb.AttemptRef(incarnation="run", number=2), NAME),
        (GUEST, pb.AttemptRef(incarnation="later run", number=1), NAME),
        (GUEST, ATTEMPT, ("forward", "fit.4")),
        (GUEST, ATTEMPT, ("backward", "fit.3")),
    ],
    ids=["sender", "attempt", "incarnation", "tag", "variable"],
)
def test_a_value_is_not_taken_for_another(
    sender: Party, attempt: pb.AttemptRef, name: tuple[str, str]
) -> None:
    [(_, data)] = of(GUEST).close(b"secret", [HOST], ATTEMPT, NAME)
    with pytest.raises(SealError, match=f"of {sender} is not what the site of {sender} sealed"):
        of(HOST).open(data, sender, attempt, name)


@pytest.mark.parametrize(
    "end",
    [b"", b"\0", b"\0\0", b"\xff\xff", b"[]\0\2", b"1\0\1", b'["host"]\0\x08', b"[[1]]\0\5"],
    ids=repr,
)
def test_a_damaged_end_is_refused(end: bytes) -> None:
    [(_, data)] = of(GUEST).close(b"secret", [HOST], ATTEMPT, NAME)
    sealed = data[: data.index(b'["host')]
    for kind in (bytes, bytearray):
        with pytest.raises(SealError, match="guest 9999"):
            of(HOST).open(kind(sealed + end), GUEST, ATTEMPT, NAME)


def test_unsealed_values_are_refused() -> None:
    for data in (b"", b"F", b"FFV1....", b'{"v": 1}'):
        with pytest.raises(SealError, match=r"forward fit\.3 of guest 9999 came unsealed"):
            of(HOST).open(data, GUEST, ATTEMPT, NAME)


class Refused(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


class Gateway:
    """Answers in turn; what is an error is raised."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = answers
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(request: Any, **_: Any) -> Any:
            if method == "Send":
                header, *data = list(request)
                request = (header.header.offset, b"".join(bytes(piece) for piece in data))
            elif method == "Put":
                request = request.header.ask
            else:
                request = request.offset
            self.calls.append((method, request))
            answer = self._answers[method].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


LARGE = bytes(range(256)) * 6000
BROKEN = Refused(grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize(
    ("answer", "second"),
    [
        (pb.SendReply(stored=1_000_000), (1_000_000, LARGE[1_000_000:])),
        # All bytes are there, but nobody has said that these are all.
        (pb.SendReply(stored=len(LARGE)), (len(LARGE) - 1, LARGE[-1:])),
        (pb.SendReply(stored=len(LARGE), duplicate=True), None),
        # A gateway of an earlier version.
        (Refused(grpc.StatusCode.INVALID_ARGUMENT), (0, LARGE)),
    ],
)
def test_a_broken_send_goes_on_where_the_gateway_says(
    answer: Any, second: tuple[int, bytes] | None
) -> None:
    gateway = Gateway(Send=[BROKEN, pb.SendReply()], Put=[answer])
    outgoing = Outgoing(gateway, (), pb.SendHeader(size=len(LARGE)), LARGE)
    with pytest.raises(grpc.RpcError):
        outgoing.send(1.0, 1.0)
    outgoing.send(1.0, 1.0)
    expected = [("Send", (0, LARGE)), ("Put", True)]
    assert gateway.calls == expected + ([("Send", second)] if second else [])


def test_a_send_that_cannot_ask_is_broken_too() -> None:
    gateway = Gateway(Send=[BROKEN], Put=[BROKEN])
    outgoing = Outgoing(gateway, (), pb.SendHeader(size=len(LARGE)), LARGE)
    for _ in range(2):
        with pytest.raises(grpc.RpcError):
            outgoing.send(1.0, 1.0)


def reply(offset: int, *, size: int = len(LARGE)) -> pb.ReceiveReply:
    digest = hashlib.sha256(LARGE).digest()
    return pb.ReceiveReply(header=pb.ReceiveHeader(size=size, digest=digest, offset=offset))


def broken_after(*pieces: Any) -> Iterator[Any]:
    yield from pieces
    raise BROKEN


@pytest.mark.parametrize("again", [1_000_000, 700_000, 0])
def test_a_broken_receive_keeps_what_it_has(again: int) -> None:
    """A gateway may begin earlier than asked; one of an earlier version begins anew."""
    gateway = Gateway(
        Take=[reply(0), reply(0)],
        Receive=[
            broken_after(reply(0), LARGE[:1_000_000]),
            iter([reply(again), LARGE[again:]]),
        ],
    )
    incoming = Incoming(gateway, (), pb.ReceiveRequest())
    with pytest.raises(grpc.RpcError):
        incoming.receive(1.0, 1.0)
    assert incoming.receive(1.0, 1.0) == LARGE
    assert gateway.calls[-1] == ("Receive", 1_000_000)


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([reply(10), LARGE[10:]], "has a gap at 0"),
        ([reply(0), LARGE[:-1]], f"of {len(LARGE)} bytes ended after {len(LARGE) - 1}"),
        ([reply(0), LARGE, b"x"], f"longer than its {len(LARGE)} bytes"),
        ([reply(0), LARGE[1:], LARGE[:1]], "does not match its digest"),
        ([reply(0), reply(0)], "a second header"),
        ([], "without a header"),
    ],
)
def test_what_is_not_the_value_is_refused(answers: list[Any], text: str) -> None:
    incoming = Incoming(Gateway(Take=[reply(0)], Receive=[iter(answers)]), (), pb.ReceiveRequest())
    with pytest.raises(ProtocolError, match=text):
        incoming.receive(1.0, 1.0)
