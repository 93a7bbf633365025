"""Intersection by commutative blinding on an elliptic curve.

Meadows 1986; Huberman, Franklin, Hogg 1999, on X25519. Each party raises its hashed ids
to a secret exponent, the other raises them again; equal ids end at equal points and
nothing else can be told about them (decisional Diffie-Hellman, honest but curious parties).

A party's own points are sent sorted by their bytes, so their order says nothing about the
table's. The guest learns which of its ids each host has; with synchronisation each host
learns the ids that all parties have. Each pair of parties has secrets of its own.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fate_flow.components.intersection import messages
from fate_flow.components.intersection.closing import Session, guest_closes, host_learns
from fate_flow.components.intersection.matching import (
    Positions,
    as_column,
    found_in,
    sorted_order,
)
from fate_flow.components.intersection.stream import (
    ByteMatrix,
    Receiver,
    Sender,
    send_matrix,
    slices,
)
from fate_flow.crypto.ecdh import EcdhSecret
from fate_flow.errors import ProtocolError

WIDTH = 32
POSITION_WIDTH = 8


def guest(session: Session, ids: pa.Array) -> Positions:
    """The guest's rows that all hosts have.

    Raises:
        DataError: there is none.
        CryptoError: a host sent something that is not a point.
        ProtocolError: a host sent another number of points than it was given.
    """
    federation = session.federation
    secrets = [EcdhSecret.generate() for _ in session.hosts]
    orders: list[Positions] = []
    for secret, host in zip(secrets, session.hosts, strict=True):
        points = secret.blind_ids(ids)
        orders.append(sorted_order(points))
        send_matrix(federation, messages.ECDH_GUEST_POINTS, points[orders[-1]], host)
    found: list[Positions] = []
    at_host: list[Positions] = []
    host_rows: list[int | None] = []
    for place, host in enumerate(session.hosts):
        receiver = Receiver(federation, messages.ECDH_HOST_POINTS, host)
        theirs = _blind_again(receiver, secrets[place])
        doubled = Receiver(federation, messages.ECDH_GUEST_DOUBLED, host).matrix(WIDTH)
        if len(doubled) != len(ids):
            raise ProtocolError(f"{host} gave back {len(doubled)} of {len(ids)} points")
        ours = np.empty_like(doubled)
        ours[orders[place]] = doubled
        position = found_in(as_column(ours), as_column(theirs))
        at_host.append(position)
        host_rows.append(len(theirs))
        found.append(np.flatnonzero(position >= 0))
        session.tracker.progress((place + 1) / len(session.hosts), f"compared with {host}")

    def reply(place: int, common: Positions) -> ByteMatrix:
        # Positions among the points that this host sent; sorted, because the guest's row
        # order would show in them otherwise.
        positions = np.sort(at_host[place][common]).astype("<i8")
        return positions.view(np.uint8).reshape(len(common), POSITION_WIDTH)

    return guest_closes(session, messages.RESULT, len(ids), host_rows, found, reply)


def host(session: Session, ids: pa.Array) -> Positions | None:
    """The host's rows that all parties have, or None when the guest keeps the result.

    Raises: as :func:`guest`.
    """
    federation = session.federation
    secret = EcdhSecret.generate()
    points = secret.blind_ids(ids)
    order = sorted_order(points)
    send_matrix(federation, messages.ECDH_HOST_POINTS, points[order], session.guest)
    receiver = Receiver(federation, messages.ECDH_GUEST_POINTS, session.guest)
    sender = Sender(federation, messages.ECDH_GUEST_DOUBLED, session.guest, receiver.rows)
    for chunk in receiver.matrices(WIDTH):
        for part in slices(len(chunk), WIDTH):
            sender.send(secret.blind_points(chunk[part]))
    result = host_learns(session, messages.RESULT, len(ids))
    if result is None:
        return None
    places = np.ascontiguousarray(result.matrix(POSITION_WIDTH)).view("<i8").ravel()
    if len(places) and (places.min() < 0 or places.max() >= len(ids)):
        raise ProtocolError(f"{session.guest} named points that {session.party} did not send")
    return np.unique(order[places])


def _blind_again(receiver: Receiver, secret: EcdhSecret) -> ByteMatrix:
    parts = [secret.blind_points(chunk) for chunk in receiver.matrices(WIDTH)]
    return np.concatenate([np.empty((0, WIDTH), dtype=np.uint8), *parts])
