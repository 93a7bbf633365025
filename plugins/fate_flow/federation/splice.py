"""Two connections made one: the bytes of each go to the other, both ways at once.

What is read is written before more is read, so that a slow reader slows the writer down and
nothing piles up between them. Each direction can end on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import grpc.aio

from fate_flow.federation import rpc
from fate_flow.federation.proto import gateway_pb2 as pb

#: Read at once from a socket, bytes.
PIECE_BYTES = 256 << 10
_FAREWELL_SECONDS = 5.0
#: Metadata by which a gateway takes a call of ``Carry``, before any bytes.
_TAKEN = (("fate-flow-carry", "open"),)


class BrokenError(Exception):
    """A connection ended in the middle.

    Attributes:
        said: the text is what the other gateway says, not what became of the way to it.
    """

    def __init__(self, text: str, *, said: bool = False) -> None:
        super().__init__(text)
        self.said = said


class End(Protocol):
    """One end of a connection."""

    async def read(self) -> bytes:
        """Some bytes; none: the other side sends nothing more."""

    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> None:
        """Say that nothing more will be written."""

    async def close(self) -> None:
        """Both directions are done: end in order."""

    def abort(self) -> None:
        """End at once."""


class SocketEnd:
    """A TCP or unix connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        self._writer.transport.abort()


class CallEnd:
    """A call of ``Carry`` that this site has made. No bytes in a message: the end."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def opened(self) -> CallEnd:
        """Until the other gateway has taken the call.

        Whoever writes into a call that is being refused gets an error of gRPC's own instead of
        the reason.

        Raises:
            BrokenError: it did not.
        """
        try:
            found = tuple(await self._call.initial_metadata() or ())
        except grpc.aio.AioRpcError:
            found = ()
        if set(_TAKEN) <= {(key, value) for key, value in found}:
            return self
        try:
            raise await asyncio.wait_for(self._ended(), _FAREWELL_SECONDS)
        except asyncio.TimeoutError:
            self.abort()
            raise BrokenError("what answers there is no gateway of this version") from None

    async def read(self) -> bytes:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError:
            raise await self._ended() from None
        if message is grpc.aio.EOF:
            raise await self._ended()
        return bytes(message.data)

    async def write(self, data: bytes) -> None:
        try:
            await self._call.write(pb.Bytes(data=data))
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
            raise await self._ended() from None

    async def finish(self) -> None:
        await self.write(b"")

    async def close(self) -> None:
        await self._call.done_writing()
        await self._call.code()

    def abort(self) -> None:
        self._call.cancel()

    async def _ended(self) -> BrokenError:
        text = await self._call.details() or "the other gateway ended it"
        trailing = await self._call.trailing_metadata() or ()
        return BrokenError(text, said=any(key == rpc.ERROR_KEY for key, _ in trailing))


class HandlerEnd:
    """A call of ``Carry`` that another site has made; its handler waits in :meth:`wait`."""

    def __init__(self, requests: AsyncIterator[pb.Bytes], context: Any) -> None:
        self._requests = requests
        self._context = context
        self._over = asyncio.Event()

    async def take(self) -> None:
        """Tell the caller that its bytes are carried from now on.

        Raises:
            BrokenError: it is gone.
        """
        try:
            await self._context.send_initial_metadata(_TAKEN)
        except Exception:
            raise BrokenError("the calling gateway ended it") from None

    async def read(self) -> bytes:
        message = await anext(self._requests, None)
        if message is None:
            raise BrokenError("the calling gateway ended it")
        return bytes(message.data)

    async def write(self, data: bytes) -> None:
        await self._context.write(pb.Bytes(data=data))

    async def finish(self) -> None:
        await self._context.write(pb.Bytes())

    async def close(self) -> None:
        self._over.set()

    def abort(self) -> None:
        self._over.set()

    async def wait(self) -> None:
        """Until another part of the program is done with it."""
        await self._over.wait()


class Splice:
    """Joins two ends.

    Args:
        idle: seconds without a byte after which both are ended.
        on_answer: called once, when the first byte comes back.

    Attributes:
        forth, back: bytes passed from the first to the second, and the other way.
    """

    def __init__(
        self, first: End, second: End, idle: float, on_answer: Callable[[], None] | None = None
    ) -> None:
        self.forth = self.back = 0
        self._ends = (first, second)
        self._idle = idle
        self._on_answer = on_answer
        self._active = time.monotonic()
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def stop(self, reason: str) -> None:
        """End both at once."""
        if not self._stopped.done():
            self._stopped.set_result(reason)

    async def run(self) -> None:
        """Until both directions have ended, or one is broken.

        Raises:
            BrokenError: with the reason, when it did not end in order.
        """
        first, second = self._ends
        pumps = [
            asyncio.ensure_future(self._pump(first, second, "forth")),
            asyncio.ensure_future(self._pump(second, first, "back")),
        ]
        try:
            await self._watch(set(pumps))
            for end in self._ends:
                await asyncio.wait_for(end.close(), _FAREWELL_SECONDS)
        except BrokenError:
            raise
        except grpc.aio.AioRpcError as error:
            raise BrokenError(error.details() or error.code().name) from None
        except Exception as error:
            raise BrokenError(str(error) or type(error).__name__) from None
        finally:
            for pump in pumps:
                pump.cancel()
            for end in self._ends:
                with contextlib.suppress(Exception):
                    end.abort()

    async def _watch(self, pumps: set[asyncio.Future[None]]) -> None:
        while pumps:
            left = self._active + self._idle - time.monotonic()
            if left <= 0:
                raise BrokenError(f"no bytes for {self._idle:.0f} s")
            watched: set[asyncio.Future[Any]] = {*pumps, self._stopped}
            await asyncio.wait(watched, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self._stopped.done():
                raise BrokenError(self._stopped.result())
            done = {pump for pump in pumps if pump.done()}
            pumps -= done
            for pump in done:
                # gRPC ends a call's reads like this when the call was cancelled.
                if pump.cancelled():
                    raise BrokenError("the connection was cut")
                pump.result()

    async def _pump(self, source: End, sink: End, name: str) -> None:
        while data := await source.read():
            self._active = time.monotonic()
            await sink.write(data)
            self._active = time.monotonic()
            if name == "forth":
                self.forth += len(data)
                continue
            self.back += len(data)
            if self._on_answer is not None:
                self._on_answer()
                self._on_answer = None
        await sink.finish()
