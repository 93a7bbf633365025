"""Calls of this site's tasks that belong to rooms of another site's gateway.

The rooms of a job that spans sites stand at the gateway of its initiator, the home gateway,
so that attempts have one authority and values one mailbox. A task talks to its own site's
gateway only, and says in the metadata ``fate-flow-home`` which party's gateway is meant; this
one checks its token and passes the call on over mutual TLS, with the job's ticket in place
of the token. Values stream through and are not kept: a slow receiver slows the sender down.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from fate_flow.entities import Party
from fate_flow.errors import ProtocolError
from fate_flow.federation import rpc
from fate_flow.federation.addresses import MAX_REASON_CHARACTERS, printable
from fate_flow.federation.peer_channels import place_of
from fate_flow.federation.peers import Peer, PeerUnreachableError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.service import GatewayService
from fate_flow.federation.state import GatewayState, metadata_of

#: For the last word about a task that was lost; a peer that cannot be reached does without.
_FAREWELL_SECONDS = 2.0
#: Broken connections, as grpc names them; what a peer's gateway refuses has a name of ours.
_BROKEN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
    }
)


class RelayingService:
    """Service ``Gateway`` of the proto: own rooms for own components, the way to the others.

    Args:
        state: of the gateway.
        own: answers what belongs to this gateway's rooms.
    """

    def __init__(self, state: GatewayState, own: GatewayService) -> None:
        self._state = state
        self._own = own
        #: Job -> open calls, and whether each is a task's Attach.
        self._calls: dict[str, dict[Any, bool]] = {}
        self._farewells: set[asyncio.Task[None]] = set()

    def cancel(self, job_id: str) -> int:
        """End the calls of a job's tasks; number of tasks."""
        calls = dict(self._calls.get(job_id, {}))
        for call in calls:
            call.cancel()
        return sum(calls.values())

    def _stub_of(self, peer: Peer) -> Any:
        return self._state.channels.stub(peer, "Gateway")

    # -- the methods of the service ---------------------------------------------------------

    async def Attach(  # noqa: N802
        self, requests: AsyncIterator[pb.AttachRequest], context: Any
    ) -> AsyncIterator[pb.AttachEvent]:
        async with self._state.answering(context, "Attach"):
            site = self._site(context)
        events = (
            self._own.Attach(requests, context)
            if site is None
            else self._attach(site, requests, context)
        )
        async for event in events:
            yield event

    async def Join(  # noqa: N802
        self, request: pb.JoinRequest, context: Any
    ) -> AsyncIterator[pb.JoinEvent]:
        async for event in self._events("Join", request, context):
            yield event

    async def Finish(  # noqa: N802
        self, request: pb.FinishRequest, context: Any
    ) -> AsyncIterator[pb.FinishEvent]:
        async for event in self._events("Finish", request, context):
            yield event

    async def Receive(  # noqa: N802
        self, request: pb.ReceiveRequest, context: Any
    ) -> AsyncIterator[pb.ReceiveReply | rpc.Piece]:
        async for piece in self._events("Receive", request, context):
            yield piece

    async def Put(self, request: pb.SendRequest, context: Any) -> pb.SendReply:  # noqa: N802
        reply: pb.SendReply = await self._answer("Put", request, request.header.caller, context)
        return reply

    async def Take(self, request: pb.ReceiveRequest, context: Any) -> pb.ReceiveReply:  # noqa: N802
        reply: pb.ReceiveReply = await self._answer("Take", request, request.caller, context)
        return reply

    async def Fail(self, request: pb.FailRequest, context: Any) -> pb.FailReply:  # noqa: N802
        reply: pb.FailReply = await self._answer("Fail", request, request.caller, context)
        return reply

    async def Send(  # noqa: N802
        self, requests: AsyncIterator[pb.SendRequest | rpc.Piece], context: Any
    ) -> pb.SendReply:
        async with self._state.answering(context, "Send"):
            site = self._site(context)
            if site is not None:
                return await self._send(site, requests, context)
        # Outside: it answers its errors itself.
        return await self._own.Send(requests, context)

    # -- inside -----------------------------------------------------------------------------

    def _site(self, context: Any) -> Peer | None:
        """The site whose gateway is meant; None: this one.

        Raises:
            RouteError: nobody knows where the party is.
        """
        named = metadata_of(context, rpc.HOME_KEY)
        # A peer's calls end here: it cannot speak to third sites in our name.
        if not named or self._state.peer_of(context) is not None:
            return None
        try:
            home = Party.parse(named)
        except ValueError:
            raise ProtocolError(f"{printable(named)!r} is not a party") from None
        found = self._state.router.resolve(home)
        return found if isinstance(found, Peer) else None

    async def _send(
        self, site: Peer, requests: AsyncIterator[pb.SendRequest | rpc.Piece], context: Any
    ) -> pb.SendReply:
        self._state.authenticate(context)
        first = await anext(requests, None)
        if not isinstance(first, pb.SendRequest):
            raise ProtocolError("a value came without a header")
        async with self._passing_on(site, first.header.caller, context) as passed:
            reply: pb.SendReply = await passed(self._stub_of(site).Send, _chain(first, requests))
            return reply

    async def _events(self, method: str, request: Any, context: Any) -> AsyncIterator[Any]:
        async with self._state.answering(context, method):
            site = self._site(context)
            if site is not None:
                async with self._passing_on(site, request.caller, context) as passed:
                    async for event in passed(getattr(self._stub_of(site), method), request):
                        yield event
                return
        async for event in getattr(self._own, method)(request, context):
            yield event

    async def _answer(self, method: str, request: Any, caller: pb.Caller, context: Any) -> Any:
        async with self._state.answering(context, method):
            site = self._site(context)
            if site is not None:
                async with self._passing_on(site, caller, context) as passed:
                    return await passed(getattr(self._stub_of(site), method), request)
        return await getattr(self._own, method)(request, context)

    async def _attach(
        self, site: Peer, requests: AsyncIterator[pb.AttachRequest], context: Any
    ) -> AsyncIterator[pb.AttachEvent]:
        async with self._state.answering(context, "Attach"):
            self._state.authenticate(context)
            first = await anext(requests, pb.AttachRequest())
            async with self._passing_on(site, first.hello.caller, context, keep=True) as passed:
                call = passed(self._stub_of(site).Attach)
                events: asyncio.Queue[pb.AttachEvent | None] = asyncio.Queue()
                writer = asyncio.ensure_future(_write_all(call, first, requests))
                # A task of its own: a read that is cancelled ends the call, and there is a
                # last word to say in it.
                reader = asyncio.ensure_future(_read_all(call, events))
                reader.add_done_callback(lambda done: done.cancelled() or done.exception())
                try:
                    while (event := await events.get()) is not None:
                        yield event
                    await reader
                finally:
                    writer.cancel()
                    if self._state.stopping:
                        call.cancel()
                    elif not reader.done() and not _has_left(writer):
                        self._tell_lost(call, reader)

    def _tell_lost(self, call: Any, reader: asyncio.Future[None]) -> None:
        """The task's connection broke: its peers need not wait as long as for a network."""

        async def tell() -> None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(say(), _FAREWELL_SECONDS)
            call.cancel()
            await asyncio.gather(reader, return_exceptions=True)

        async def say() -> None:
            await call.write(pb.AttachRequest(lost=pb.Lost()))
            await call.done_writing()
            await asyncio.shield(reader)

        task = asyncio.ensure_future(tell())
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    @contextlib.asynccontextmanager
    async def _passing_on(
        self, site: Peer, caller: pb.Caller, context: Any, *, keep: bool = False
    ) -> AsyncIterator[Callable[..., Any]]:
        """Check who calls; gives what makes the call at the other gateway; its errors go back.

        Args:
            keep: the caller ends the call itself.

        Raises:
            TokenError: the task may not make this call.
            JobCanceledError: the job was cancelled, before or while the call waited.
        """
        job_id = self._state.claims(context, caller).job_id
        self._state.rooms.check(job_id)
        metadata = ((rpc.TICKET_KEY, metadata_of(context, rpc.TICKET_KEY)),)
        made: list[Any] = []

        def passed(method: Any, *arguments: Any) -> Any:
            call = method(*arguments, metadata=metadata, timeout=context.time_remaining())
            made.append(call)
            self._calls.setdefault(job_id, {})[call] = keep
            return call

        try:
            yield passed
        except asyncio.CancelledError:
            # Of the task, or by cancel(): then the task is told why.
            self._state.rooms.check(job_id)
            raise
        except grpc.aio.AioRpcError as error:
            self._state.rooms.check(job_id)
            await context.abort(*await self._refusal(site, error))
        except PeerUnreachableError as error:
            # Without the name of an error: the task shall try again.
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.message)
        finally:
            for call in made:
                if not keep:
                    call.cancel()
                self._calls[job_id].pop(call, None)
            if not self._calls.get(job_id):
                self._calls.pop(job_id, None)

    async def _refusal(
        self, site: Peer, error: grpc.aio.AioRpcError
    ) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
        """How the error of the other gateway, or of the way there, is passed on to the task."""
        details = printable(error.details() or "", MAX_REASON_CHARACTERS + 200)
        for key, value in error.trailing_metadata() or ():
            if key == rpc.ERROR_KEY:
                return error.code(), details, ((rpc.ERROR_KEY, str(value)),)
        if error.code() in _BROKEN:
            cause = await self._state.channels.cause(site, error)
            text = f"{place_of(site)} cannot be reached: {cause}"
            return grpc.StatusCode.UNAVAILABLE, text, ()
        return error.code(), details, ()


def _has_left(writer: asyncio.Future[bool]) -> bool:
    ended = writer.done() and not writer.cancelled() and writer.exception() is None
    return ended and writer.result()


async def _read_all(call: Any, events: asyncio.Queue[pb.AttachEvent | None]) -> None:
    try:
        async for event in call:
            events.put_nowait(event)
    finally:
        events.put_nowait(None)


async def _write_all(
    call: Any, first: pb.AttachRequest, requests: AsyncIterator[pb.AttachRequest]
) -> bool:
    """Pass a task's requests on; True when it left by its own will."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(first)
        async for request in requests:
            await call.write(request)
            if request.WhichOneof("what") == "leave":
                await call.done_writing()
                return True
    return False


async def _chain(
    first: pb.SendRequest, more: AsyncIterator[pb.SendRequest | rpc.Piece]
) -> AsyncIterator[pb.SendRequest | rpc.Piece]:
    yield first
    async for piece in more:
        yield piece
