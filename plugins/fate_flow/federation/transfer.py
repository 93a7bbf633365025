"""A value as bytes between a task and its gateway: in pieces, checked, sealed when it must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import grpc

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


class Outgoing:
    """One value on its way to the gateway: sent until it is there, whatever breaks meanwhile.

    Args:
        stub: of the service Gateway.
        header: of the value; its digest stands for the same bytes each time.
        data: the value.
    """

    def __init__(
        self, stub: Any, metadata: Any, header: pb.SendHeader, data: bytes | bytearray
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._header = header
        self._data = data
        self._tries = 0

    def send(self, room: float, timeout: float) -> None:
        """One try; the next one goes on where it broke.

        Args:
            room: seconds to wait for room in the mailbox.
            timeout: seconds that the call may take.
        """
        header, data = self._header, self._data
        header.timeout, header.offset, header.ask = room, 0, False
        options = {"metadata": self._metadata, "timeout": timeout}
        self._tries += 1
        if len(data) <= CHUNK_BYTES:
            self._stub.Put(pb.SendRequest(header=header, data=bytes(data)), **options)
            return
        if self._tries > 1:
            header.offset = self._stored(options)
        if header.offset < len(data):
            self._stub.Send(self._pieces(memoryview(data)), **options)

    def _stored(self, options: Mapping[str, Any]) -> int:
        self._header.ask = True
        try:
            reply: pb.SendReply = self._stub.Put(pb.SendRequest(header=self._header), **options)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return 0  # a gateway that cannot be asked: it skips what it has
        finally:
            self._header.ask = False
        # All bytes can be there and the end of the call not: it is said with the last ones.
        is_there = reply.duplicate
        return len(self._data) if is_there else max(0, min(reply.stored, len(self._data) - 1))

    def _pieces(self, data: memoryview) -> Iterator[pb.SendRequest | rpc.Piece]:
        yield pb.SendRequest(header=self._header)
        for start in range(self._header.offset, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]


class Incoming:
    """One value on its way from the gateway; what a broken call has brought is kept.

    Args:
        stub: of the service Gateway.
        request: what is waited for.
    """

    def __init__(self, stub: Any, metadata: Any, request: pb.ReceiveRequest) -> None:
        self._stub = stub
        self._metadata = metadata
        self._request = request
        self._header = pb.ReceiveHeader()
        self._data = bytearray()
        self._count = 0

    def receive(self, wait: float, timeout: float) -> bytes | bytearray:
        """One try; the next one goes on where it broke.

        Args:
            wait: seconds until the value must be there.
            timeout: seconds that the first call may take.

        Raises:
            ProtocolError: not one value, or a damaged one.
        """
        self._request.timeout, self._request.offset = wait, 0
        options = {"metadata": self._metadata, "timeout": timeout}
        reply: pb.ReceiveReply = self._stub.Take(self._request, **options)
        if len(reply.data) == reply.header.size:
            return checked(reply.data, reply.header.digest)
        # It is there; no deadline of gRPC's own: its bytes may take longer than it did.
        self._request.offset = self._count
        return self._assemble(self._stub.Receive(self._request, metadata=self._metadata))

    def _assemble(self, replies: Iterator[Any]) -> bytearray:
        first = next(replies, None)
        if not isinstance(first, pb.ReceiveReply):
            raise ProtocolError("a value came without a header")
        self._begin(first.header)
        data, size = self._data, self._header.size
        for piece in replies:
            if isinstance(piece, pb.ReceiveReply):
                raise ProtocolError("a second header came in the middle of a value")
            end = self._count + len(piece)
            if end > size:
                raise ProtocolError(f"a value is longer than its {size} bytes")
            data[self._count : end] = piece
            self._count = end
        if not data or self._count != size:
            raise ProtocolError(f"a value of {size} bytes ended after {self._count}")
        return checked(data, self._header.digest)

    def _begin(self, header: pb.ReceiveHeader) -> None:
        is_new = (header.size, header.digest) != (self._header.size, self._header.digest)
        if is_new:
            self._header, self._data, self._count = header, bytearray(header.size), 0
        if header.offset > self._count:
            raise ProtocolError(f"a value of {header.size} bytes has a gap at {self._count}")
        # A gateway that cannot go on begins anew.
        self._count = header.offset


def checked(data: _Bytes, digest: bytes) -> _Bytes:
    """The data.

    Raises:
        ProtocolError: it has another digest.
    """
    if hashlib.sha256(data).digest() != digest:
        raise ProtocolError("a value does not match its digest")
    return data
