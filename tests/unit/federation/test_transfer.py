from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fate_flow.entities import Party, TaskIdentity
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.sealing import Sealer, SealError
from fate_flow.federation.transfer import Envelopes

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
