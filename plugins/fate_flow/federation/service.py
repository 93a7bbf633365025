"""The RPCs of tasks: check the caller, translate messages, leave the rest to the rooms."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fate_flow.entities import Party
from fate_flow.errors import (
    AttemptSupersededError,
    FateFlowError,
    FederationTimeoutError,
    PeerFailedError,
    ProtocolError,
)
from fate_flow.federation import rpc
from fate_flow.federation.addresses import (
    CHUNK_BYTES,
    MAX_REASON_CHARACTERS,
    Slot,
    check_party,
    check_tag,
    check_variable,
    printable,
)
from fate_flow.federation.attempts import Attempt, Member, Room
from fate_flow.federation.diagnosis import Wait
from fate_flow.federation.mailbox import Value
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.state import GatewayState, ref, refs, text_of
from fate_flow.federation.store import Blob

log = logging.getLogger("fate_flow.gateway")

_MAX_PARTIES = 1000
_MAX_COUNT = 2**31 - 1
_MAX_TIMEOUT = 30 * 86_400.0
_DIGEST_BYTES = 32


class GatewayService:
    """Service ``Gateway`` of the proto."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._rooms = state.rooms

    async def Attach(  # noqa: N802
        self, requests: AsyncIterator[pb.AttachRequest], context: Any
    ) -> AsyncIterator[pb.AttachEvent]:
        async with self._state.answering(context, "Attach"):
            self._state.authenticate(context)
            hello = (await anext(requests, pb.AttachRequest())).hello
            claims = self._state.claims(context, hello.caller)
            room = self._rooms.room(claims.job_id, claims.component)
            member = room.attach(
                claims.party, hello.caller.session_id, _count("try number", hello.try_number)
            )
            events: asyncio.Queue[pb.AttachEvent | None] = asyncio.Queue()

            def push(number: int, error: FateFlowError) -> None:
                reference = pb.AttemptRef(incarnation=self._state.incarnation, number=number)
                over = pb.Over(attempt=reference, error=error.code, reason=text_of(error))
                events.put_nowait(pb.AttachEvent(over=over))

            def show_away(parties: Sequence[Party]) -> None:
                absent = [pb.Absent(party=ref(p), site=self._state.site_of(p)) for p in parties]
                events.put_nowait(pb.AttachEvent(away=pb.Away(absent=absent)))

            room.connect(member, push, show_away)
            grace = _Grace(
                self._rooms.grace
                if self._state.peer_of(context) is None
                else self._state.peer_grace
            )
            reader = asyncio.ensure_future(self._listen(requests, room, member, events, grace))
            try:
                yield pb.AttachEvent(welcome=pb.Welcome(incarnation=self._state.incarnation))
                while (event := await events.get()) is not None:
                    yield event
            finally:
                reader.cancel()
                room.detach(member, push, grace.seconds)

    async def _listen(
        self,
        requests: AsyncIterator[pb.AttachRequest],
        room: Room,
        member: Member,
        events: asyncio.Queue[pb.AttachEvent | None],
        grace: _Grace,
    ) -> None:
        try:
            async for request in requests:
                kind = request.WhichOneof("what")
                if kind == "leave":
                    room.leave(member)
                    return
                if kind == "lost":
                    # Its site's gateway knows that it was the task, not the way between us.
                    grace.seconds = self._rooms.grace
                    return
                if kind == "acknowledge":
                    self._acknowledge(room, member, request.acknowledge)
        finally:
            events.put_nowait(None)

    def _acknowledge(self, room: Room, member: Member, request: pb.Acknowledge) -> None:
        attempt = room.attempt
        if (
            attempt is None
            or request.attempt.incarnation != self._state.incarnation
            or request.attempt.number != attempt.number
            or member.attempt != attempt.number
        ):
            return
        for message in request.messages:
            sender = Party(message.sender.role, message.sender.party_id)
            slot = Slot(message.variable, message.tag, sender, member.party)
            attempt.mailbox.acknowledge(slot)

    async def Join(  # noqa: N802
        self, request: pb.JoinRequest, context: Any
    ) -> AsyncIterator[pb.JoinEvent]:
        async with self._state.answering(context, "Join"):
            room, member = self._caller(request.caller, context)
            parties = _parties(request.parties)
            self._state.router.require_known(sorted(parties))
            after = request.after_attempt
            if not -1 <= after < _MAX_COUNT:
                raise ProtocolError(f"{after} is not an attempt number")
            floor = _count("try number", request.try_number) - 1
            wait = _wait(room, member, room.number + 1, "join", request.timeout)

            def report(missing: Sequence[Party]) -> pb.JoinEvent:
                return pb.JoinEvent(waiting=pb.Waiting(parties=refs(missing)))

            with self._state.waits.open(wait):
                progress = _Progress(context, report)
                attempt = await room.join(member, parties, after, floor, wait, progress)
            reference = pb.AttemptRef(incarnation=self._state.incarnation, number=attempt.number)
            yield pb.JoinEvent(joined=pb.Joined(attempt=reference, complete=attempt.complete))

    async def Put(self, request: pb.SendRequest, context: Any) -> pb.SendReply:  # noqa: N802
        async with self._state.answering(context, "Put"):
            return await self._store(request, _nothing(), context)
        raise AssertionError("answering() ends the call")

    async def Send(  # noqa: N802
        self, requests: AsyncIterator[pb.SendRequest | rpc.Piece], context: Any
    ) -> pb.SendReply:
        async with self._state.answering(context, "Send"):
            self._state.authenticate(context)
            first = await anext(requests, None)
            if not isinstance(first, pb.SendRequest):
                raise ProtocolError("a value came without a header")
            return await self._store(first, requests, context)
        raise AssertionError("answering() ends the call")

    async def _store(
        self,
        first: pb.SendRequest,
        more: AsyncIterator[pb.SendRequest | rpc.Piece],
        context: Any,
    ) -> pb.SendReply:
        header = first.header
        room, member = self._caller(header.caller, context, header.attempt)
        attempt = room.running(member, header.attempt.number)
        slots = self._slots(header, member, room)
        value = attempt.mailbox.offer(slots, header.size, bytes(header.digest))
        if value is None:
            return pb.SendReply(duplicate=True, stored=header.size)
        if header.ask:
            return pb.SendReply(stored=value.available)
        with self._waiting_for_room(header, room, attempt, member, slots):
            blob = await attempt.mailbox.room(value, _timeout(header.timeout))
        offset = header.offset
        piece: pb.SendRequest | rpc.Piece | None = first.data
        while piece is not None:
            if isinstance(piece, pb.SendRequest):
                raise ProtocolError("a second header came in the middle of a value")
            if len(piece) > CHUNK_BYTES:
                raise ProtocolError(f"a piece of {len(piece)} bytes is too long")
            await blob.append(offset, piece)
            offset += len(piece)
            piece = await anext(more, None)
        if offset != value.size:
            raise ProtocolError(f"{offset} bytes came instead of {value.size}")
        attempt.mailbox.stored(value)
        return pb.SendReply(stored=value.size)

    @contextlib.contextmanager
    def _waiting_for_room(
        self,
        header: pb.SendHeader,
        room: Room,
        attempt: Attempt,
        member: Member,
        slots: Sequence[Slot],
    ) -> Any:
        wait = _wait(room, member, attempt.number, "send", header.timeout)
        wait.variable, wait.tag = header.variable, header.tag
        wait.waited_for = [slot.receiver for slot in slots]
        with self._state.waits.open(wait):
            yield

    def _slots(self, header: pb.SendHeader, member: Member, room: Room) -> list[Slot]:
        check_variable(header.variable)
        check_tag(header.tag)
        if header.size < 1:
            raise ProtocolError(f"a value cannot have {header.size} bytes")
        if not 0 <= header.offset <= header.size:
            raise ProtocolError(f"a value of {header.size} bytes has none at {header.offset}")
        if len(header.digest) != _DIGEST_BYTES:
            raise ProtocolError(f"a digest of {len(header.digest)} bytes is not SHA-256")
        receivers = _parties(header.receivers)
        strangers = receivers - room.parties | receivers & {member.party}
        if strangers:
            raise ProtocolError(
                f"{', '.join(map(str, sorted(strangers)))} cannot receive from {member.party}: "
                f"not another party of {room.component}"
            )
        self._state.router.require_known(receivers)
        return [
            Slot(header.variable, header.tag, member.party, receiver)
            for receiver in sorted(receivers)
        ]

    async def Take(self, request: pb.ReceiveRequest, context: Any) -> pb.ReceiveReply:  # noqa: N802
        async with self._state.answering(context, "Take"):
            value, blob = await self._find(request, context)
            reply = pb.ReceiveReply(header=_header(value))
            if value.size <= CHUNK_BYTES:
                reply.data = b"".join([piece async for piece in blob.chunks()])
            return reply
        raise AssertionError("answering() ends the call")

    async def Receive(  # noqa: N802
        self, request: pb.ReceiveRequest, context: Any
    ) -> AsyncIterator[pb.ReceiveReply | rpc.Piece]:
        async with self._state.answering(context, "Receive"):
            value, blob = await self._find(request, context)
            offset = request.offset
            if not 0 <= offset <= value.size:
                raise ProtocolError(f"a value of {value.size} bytes has none at {offset}")
            yield pb.ReceiveReply(header=_header(value, offset))
            async for piece in blob.chunks(offset):
                yield piece

    async def _find(self, request: pb.ReceiveRequest, context: Any) -> tuple[Value, Blob]:
        room, member = self._caller(request.caller, context, request.attempt)
        attempt = room.running(member, request.attempt.number)
        slot = self._slot(request.message, member, room)
        value = await self._await_value(room, attempt, slot, member, request.timeout)
        if value.blob is None:
            raise ProtocolError(f"{slot} was received before")
        return value, value.blob

    async def _await_value(
        self, room: Room, attempt: Attempt, slot: Slot, member: Member, timeout: float
    ) -> Value:
        wait = _wait(room, member, attempt.number, "receive", timeout)
        wait.variable, wait.tag, wait.waited_for = slot.variable, slot.tag, [slot.sender]
        with self._state.waits.open(wait):
            try:
                return await attempt.mailbox.wait(slot, wait.timeout)
            except FederationTimeoutError:
                raise FederationTimeoutError(f"deadline passed {wait.text}") from None

    @staticmethod
    def _slot(message: pb.MessageRef, member: Member, room: Room) -> Slot:
        check_variable(message.variable)
        check_tag(message.tag)
        sender = check_party(message.sender.role, message.sender.party_id)
        if sender not in room.parties or sender == member.party:
            raise ProtocolError(
                f"{member.party} cannot receive from {sender}: not another party of "
                f"{room.component}"
            )
        return Slot(message.variable, message.tag, sender, member.party)

    async def Finish(  # noqa: N802
        self, request: pb.FinishRequest, context: Any
    ) -> AsyncIterator[pb.FinishEvent]:
        async with self._state.answering(context, "Finish"):
            room, member = self._caller(request.caller, context, request.attempt)
            attempt = room.running(member, request.attempt.number)
            wait = _wait(room, member, attempt.number, "finish", request.timeout)

            def report(missing: Sequence[Party]) -> pb.FinishEvent:
                return pb.FinishEvent(waiting=pb.Waiting(parties=refs(missing)))

            with self._state.waits.open(wait):
                await room.finish(member, attempt, wait, _Progress(context, report))
            yield pb.FinishEvent(done=pb.Done())

    async def Fail(self, request: pb.FailRequest, context: Any) -> pb.FailReply:  # noqa: N802
        async with self._state.answering(context, "Fail"):
            room, member = self._caller(request.caller, context)
            reason = printable(request.reason, MAX_REASON_CHARACTERS) or "no reason given"
            room.fail(
                member.party,
                PeerFailedError(f"{member.party} failed in {room.component}: {reason}"),
            )
            self._state.counters.add("tasks_failed")
            log.warning("%s of %s failed: %s", member.party, room, reason)
            return pb.FailReply()
        raise AssertionError("answering() ends the call")

    def _caller(
        self, caller: pb.Caller, context: Any, attempt: pb.AttemptRef | None = None
    ) -> tuple[Room, Member]:
        claims = self._state.claims(context, caller)
        # Looked at first: after a restart of the gateway that is the reason to tell.
        if attempt is not None and attempt.incarnation != self._state.incarnation:
            raise AttemptSupersededError(
                f"the gateway was restarted: {claims.component} is computed anew"
            )
        room = self._rooms.room(claims.job_id, claims.component)
        return room, room.member(claims.party, caller.session_id)


@dataclass
class _Grace:
    """Seconds that a task has to come back when its stream has broken."""

    seconds: float


class _Progress:
    """Writes who is missing to a barrier's caller, when it changes."""

    def __init__(self, context: Any, event: Any) -> None:
        self._context = context
        self._event = event
        self._last: list[Party] | None = None

    async def __call__(self, missing: Sequence[Party]) -> None:
        if list(missing) != self._last:
            self._last = list(missing)
            await self._context.write(self._event(missing))


async def _nothing() -> AsyncIterator[rpc.Piece]:
    """The rest of a value that came in one message."""
    for piece in list[rpc.Piece]():
        yield piece


def _header(value: Value, offset: int = 0) -> pb.ReceiveHeader:
    return pb.ReceiveHeader(size=value.size, digest=value.digest, offset=offset)


def _wait(room: Room, member: Member, attempt: int, kind: str, timeout: float) -> Wait:
    return Wait(room.job_id, room.component, attempt, member.party, (), kind, _timeout(timeout))


def _timeout(seconds: float) -> float:
    if not 0 <= seconds <= _MAX_TIMEOUT:
        raise ProtocolError(f"a deadline of {seconds} s is not possible")
    return seconds


def _count(name: str, number: int) -> int:
    if not 1 <= number < _MAX_COUNT:
        raise ProtocolError(f"{number} is not a {name}")
    return number


def _parties(references: Sequence[pb.PartyRef]) -> frozenset[Party]:
    if not 1 <= len(references) <= _MAX_PARTIES:
        raise ProtocolError(f"{len(references)} parties were named; allowed: 1 to {_MAX_PARTIES}")
    return frozenset(check_party(r.role, r.party_id) for r in references)
