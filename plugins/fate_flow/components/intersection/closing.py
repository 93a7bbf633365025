"""The end of an intersection: who learns the result, and what an empty one says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fate_flow.components.intersection.matching import Positions, in_all
from fate_flow.components.intersection.params import IntersectParam
from fate_flow.components.intersection.stream import (
    ByteMatrix,
    Receiver,
    Sender,
    send_matrix,
    send_texts,
)
from fate_flow.data.cache import SiteCache
from fate_flow.entities import Party
from fate_flow.errors import DataError
from fate_flow.runtime.context import Federation, Tracker

REMEDY = (
    "Check that all parties use the same id column and write ids alike: same case, no blanks"
    " around them, no leading zeros on one side only, the same hashing"
)


@dataclass(frozen=True)
class Session:
    """What one run of an intersection works with; ``cache`` only where it is asked for."""

    party: Party
    guest: Party
    hosts: Sequence[Party]
    param: IntersectParam
    federation: Federation
    tracker: Tracker
    cache: SiteCache | None = None


def guest_closes(
    session: Session,
    variable: str,
    rows: int,
    host_rows: Sequence[int | None],
    found: Sequence[Positions],
    reply: Callable[[int, Positions], ByteMatrix | pa.Array],
) -> Positions:
    """Guest: intersect the hosts' answers and tell each host what it may know.

    Args:
        variable: name of the stream to the hosts.
        rows: rows of the guest's table.
        host_rows: rows of each host's table, as far as the method tells the guest.
        found: per host, the guest's rows that this host has too.
        reply: (host's place, common rows) -> what tells this host its common rows.

    Returns:
        the guest's rows that all hosts have, ascending.

    Raises:
        DataError: there is none. The hosts are told first, so that they fail with the same
            reason.
    """
    common = in_all(found)
    for place, host in enumerate(session.hosts):
        if len(common) == 0:
            head = {"empty": True, "pair_empty": len(found[place]) == 0, "guest_rows": rows}
            Sender(session.federation, variable, host, 0, **head)
        elif not session.param.sync_intersect_ids:
            Sender(session.federation, variable, host, 0, synchronised=False)
        else:
            answer = reply(place, common)
            send = send_texts if isinstance(answer, pa.Array) else send_matrix
            send(session.federation, variable, answer, host, synchronised=True)
    if len(common) == 0:
        raise no_common_ids(session, rows, host_rows, [len(part) for part in found])
    return common


def host_learns(session: Session, variable: str, rows: int) -> Receiver | None:
    """Host: the stream of its common ids, or None when the guest keeps the result.

    Raises:
        DataError: no id is common to all parties.
    """
    receiver = Receiver(session.federation, variable, session.guest)
    head = receiver.head
    if head.get("empty"):
        raise no_common_ids_at_host(
            session, rows, head.get("guest_rows"), bool(head.get("pair_empty"))
        )
    return receiver if head.get("synchronised") else None


def no_common_ids(
    session: Session, rows: int, host_rows: Sequence[int | None], shared: Sequence[int]
) -> DataError:
    """The guest's error: which hosts it shares nothing with.

    The text may reach all parties, so it does not say how much the others share.
    """
    hosts = [
        f"{host}" + ("" if total is None else f" ({total} ids)")
        for host, total, count in zip(session.hosts, host_rows, shared, strict=True)
        if count == 0
    ]
    who = (
        f"{session.guest} ({rows} ids) and {', '.join(hosts)} have no id in common"
        if hosts
        else f"{session.guest} ({rows} ids) shares ids with each host, but none with all of them"
    )
    return DataError(f"the intersection is empty: {who}", remedy=REMEDY)


def no_common_ids_at_host(
    session: Session, rows: int, guest_rows: object, pair_empty: bool
) -> DataError:
    """A host's error; ``pair_empty``: it shares nothing with the guest."""
    known = "" if guest_rows is None else f" ({guest_rows} ids)"
    who = (
        f"{session.guest}{known} and {session.party} ({rows} ids) have no id in common"
        if pair_empty
        else f"{session.party} ({rows} ids) shares ids with {session.guest}{known}, but no id is"
        f" common to all {len(session.hosts)} hosts"
    )
    return DataError(f"the intersection is empty: {who}", remedy=REMEDY)
