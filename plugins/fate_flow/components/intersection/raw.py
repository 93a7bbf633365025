"""Intersection of ids in the open, or of their hashes.

One side (``join_role``) sees all ids of the other, plain or hashed; with
synchronisation the other side is told the result.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fate_flow.components.intersection import messages
from fate_flow.components.intersection.closing import (
    Session,
    guest_closes,
    host_learns,
    no_common_ids,
    no_common_ids_at_host,
)
from fate_flow.components.intersection.encoding import encode_ids
from fate_flow.components.intersection.matching import Positions, found_in
from fate_flow.components.intersection.stream import Receiver, Sender, send_texts
from fate_flow.errors import ProtocolError, UnsupportedError


def guest(session: Session, ids: pa.Array) -> Positions | None:
    """The guest's rows that all hosts have; None when the hosts keep the result.

    Raises:
        DataError: there is none.
        ProtocolError: a host named ids that the guest does not have.
    """
    keys = _keys(session, ids)
    if session.param.join_role == "host":
        return _guest_asks(session, keys)
    found: list[Positions] = []
    host_rows: list[int | None] = []
    for host in session.hosts:
        theirs = Receiver(session.federation, messages.RAW_HOST_IDS, host).texts()
        found.append(np.flatnonzero(found_in(keys, theirs) >= 0))
        host_rows.append(len(theirs))

    def reply(place: int, common: Positions) -> pa.Array:
        return _in_own_order(keys, common)

    return guest_closes(session, messages.RAW_GUEST_RESULT, len(ids), host_rows, found, reply)


def host(session: Session, ids: pa.Array) -> Positions | None:
    """The host's rows that all parties have; None when the guest keeps the result.

    Raises: as :func:`guest`.
    """
    keys = _keys(session, ids)
    if session.param.join_role == "host":
        return _host_joins(session, keys)
    send_texts(session.federation, messages.RAW_HOST_IDS, _in_own_order(keys), session.guest)
    return _rows_named(session, keys, host_learns(session, messages.RAW_GUEST_RESULT, len(ids)))


def _keys(session: Session, ids: pa.Array) -> pa.Array:
    return encode_ids(ids, session.param.encode_params) if session.param.with_encode else ids


def _in_own_order(keys: pa.Array, rows: Positions | None = None) -> pa.Array:
    """Sorted by the key itself: hashed ids lose the order of the plain ones."""
    chosen = keys if rows is None else keys.take(pa.array(rows))
    return chosen.sort()


def _guest_asks(session: Session, keys: pa.Array) -> Positions | None:
    """Guest of ``join_role: host``: send, and intersect what the hosts found."""
    _refuse_unsynchronised(session)
    federation, several = session.federation, len(session.hosts) > 1
    send_texts(federation, messages.RAW_GUEST_IDS, _in_own_order(keys), list(session.hosts))
    found: list[Positions] = []
    host_rows: list[int | None] = []
    for host in session.hosts:
        answer = Receiver(federation, messages.RAW_HOST_RESULT, host)
        host_rows.append(answer.head.get("host_rows"))
        if not session.param.sync_intersect_ids and not answer.head.get("empty"):
            return None
        found.append(_rows_of(session, keys, answer))
    if several:
        return guest_closes(
            session,
            messages.RAW_FINAL_RESULT,
            len(keys),
            host_rows,
            found,
            lambda _place, common: _in_own_order(keys, common),
        )
    if len(found[0]) == 0:
        raise no_common_ids(session, len(keys), host_rows, [0])
    return found[0]


def _host_joins(session: Session, keys: pa.Array) -> Positions | None:
    """Host of ``join_role: host``: compare, tell the guest, hear what is common to all."""
    _refuse_unsynchronised(session)
    federation = session.federation
    theirs = Receiver(federation, messages.RAW_GUEST_IDS, session.guest).texts()
    common = np.flatnonzero(found_in(keys, theirs) >= 0)
    if len(common) == 0 or not session.param.sync_intersect_ids:
        # How many rows this host has is told only where there is nothing else to tell.
        empty = {"empty": True, "host_rows": len(keys)} if len(common) == 0 else {}
        Sender(federation, messages.RAW_HOST_RESULT, session.guest, 0, **empty)
    else:
        answer = _in_own_order(keys, common)
        send_texts(federation, messages.RAW_HOST_RESULT, answer, session.guest)
    if len(session.hosts) > 1:
        final = host_learns(session, messages.RAW_FINAL_RESULT, len(keys))
        return _rows_named(session, keys, final)
    if len(common) == 0:
        raise no_common_ids_at_host(session, len(keys), len(theirs), True)
    return common


def _rows_named(session: Session, keys: pa.Array, answer: Receiver | None) -> Positions | None:
    return None if answer is None else _rows_of(session, keys, answer)


def _rows_of(session: Session, keys: pa.Array, answer: Receiver) -> Positions:
    rows = found_in(answer.texts(), keys)
    if (rows < 0).any():
        raise ProtocolError(f"a peer named ids that {session.party} does not have")
    return np.unique(rows)


def _refuse_unsynchronised(session: Session) -> None:
    if len(session.hosts) > 1 and not session.param.sync_intersect_ids:
        raise UnsupportedError(
            "a raw intersection with join_role host and several hosts needs"
            " sync_intersect_ids true: each host alone cannot know what all have in common"
        )
