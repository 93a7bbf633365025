"""A value as bytes between a task and its gateway: in pieces, checked, sealed when it must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import ProtocolError
from fate_flow.federation import rpc
from fate_flow.federation.addresses import CHUNK_BYTES, what
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.sealing import Sealer, SealError, context_of

_LENGTH_BYTES = 2
_Bytes = TypeVar("_Bytes", bytes, bytearray)


class Envelopes:
    """What a task's values are put into; nothing when all parties are at its own site.

    Behind a sealed value stand, readable, the parties that get these same bytes: all of them
    at one site. A receiver cannot know the others, and the seal covers who they are.
    """

    def __init__(self, sealer: Sealer | None, identity: TaskIdentity) -> None:
        self._sealer = sealer
        self._identity = identity

    def close(
        self,
        data: bytes,
        receivers: Sequence[Party],
        attempt: pb.AttemptRef,
        name: tuple[str, str],
    ) -> Iterator[tuple[Sequence[Party], bytes | bytearray]]:
        """The bytes to send, with whom to send them to: one for each site of a receiver.

        Args:
            name: variable and tag.

        Raises:
            SealError: the key of a receiver's site is not known.
        """
        if self._sealer is None:
            yield receivers, data
            return
        groups = self._sealer.groups(receivers)
        for count, group in enumerate(groups, 1):
            context = self._context(attempt, name, self._identity.party, group)
            sealed = self._sealer.seal(data, receiver=group[0], context=context)
            if count == len(groups):
                data = b""  # not kept while a large value is on its way
            names = json.dumps([party.key for party in group]).encode()
            sealed += names + len(names).to_bytes(_LENGTH_BYTES, "big")
            yield group, sealed

    def open(
        self, data: bytes | bytearray, sender: Party, attempt: pb.AttemptRef, name: tuple[str, str]
    ) -> bytes | bytearray:
        """A value as its sender had it.

        Raises:
            SealError: it came unsealed though its sender may be at another site, or is not
                what the sender's site has sealed for this party.
        """
        if self._sealer is None:
            return data
        title = what(*name)
        self._sealer.require_sealed(data, sender=sender, name=title)
        end, receivers = _addressed(data)
        if self._identity.party not in receivers:
            raise SealError(f"{title} of {sender} was sealed for others: refused")
        context = self._context(attempt, name, sender, receivers)
        if isinstance(data, bytearray):
            del data[end:]
        else:
            data = data[:end]
        return self._sealer.open(data, sender=sender, context=context, name=title)

    def _context(
        self,
        attempt: pb.AttemptRef,
        name: tuple[str, str],
        sender: Party,
        receivers: Sequence[Party],
    ) -> bytes:
        who = self._identity
        return context_of(
            who.job_id,
            who.component,
            (attempt.incarnation, attempt.number),
            name,
            sender,
            receivers,
        )


def _addressed(data: bytes | bytearray) -> tuple[int, list[Party]]:
    """Where a sealed value ends, and the parties named behind it; none: they cannot be read."""
    length = int.from_bytes(data[-_LENGTH_BYTES:], "big")
    end = len(data) - _LENGTH_BYTES - length
    if end < 0:
        return len(data), []
    try:
        keys = json.loads(bytes(data[end : end + length]))
        return end, [Party.parse(key) for key in keys]
    except (ValueError, TypeError, AttributeError):
        return len(data), []


def pieces(header: pb.SendHeader, data: memoryview) -> Iterator[pb.SendRequest | rpc.Piece]:
    """A value as messages of ``Send``."""
    yield pb.SendRequest(header=header)
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def assemble(replies: Iterator[Any]) -> bytearray:
    """The value of a stream of ``Receive``.

    Raises:
        ProtocolError: not one value, or a damaged one.
    """
    first = next(replies, None)
    if not isinstance(first, pb.ReceiveReply):
        raise ProtocolError("a value came without a header")
    header = first.header
    data = bytearray(header.size)
    position = 0
    for piece in replies:
        if isinstance(piece, pb.ReceiveReply):
            raise ProtocolError("a second header came in the middle of a value")
        end = position + len(piece)
        if end > header.size:
            raise ProtocolError(f"a value is longer than its {header.size} bytes")
        data[position:end] = piece
        position = end
    if not data or position != header.size:
        raise ProtocolError(f"a value of {header.size} bytes ended after {position}")
    return checked(data, header.digest)


def checked(data: _Bytes, digest: bytes) -> _Bytes:
    """The data.

    Raises:
        ProtocolError: it has another digest.
    """
    if hashlib.sha256(data).digest() != digest:
        raise ProtocolError("a value does not match its digest")
    return data
