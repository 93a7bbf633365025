"""Two connections made one, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fate_flow.federation.doors import Doors
from fate_flow.federation.splice import BrokenError, SocketEnd, Splice

MIB = 1 << 20


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


class Wire:
    """client - (near | splice | far) - server."""

    def __init__(self, idle: float) -> None:
        client, near = socket.socketpair()
        server, far = socket.socketpair()
        self._sockets = (client, near, far, server)
        self._idle = idle

    async def __aenter__(self) -> Wire:
        opened = [await asyncio.open_connection(sock=sock) for sock in self._sockets]
        (self.client, near, far, self.server) = (SocketEnd(*pair) for pair in opened)
        self.splice = Splice(near, far, self._idle)
        self.running = asyncio.ensure_future(self.splice.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.abort()
        self.server.abort()
        self.running.cancel()
        with contextlib.suppress(BrokenError, asyncio.CancelledError):
            await self.running


def test_each_direction_ends_on_its_own() -> None:
    async def scenario() -> None:
        async with Wire(5) as wire:
            await wire.client.write(b"question")
            await wire.client.finish()
            assert await wire.server.read() == b"question"
            assert await wire.server.read() == b""
            assert not wire.running.done()
            await wire.server.write(b"answer")
            assert await wire.client.read() == b"answer"
            await wire.server.finish()
            assert await wire.client.read() == b""
            await wire.running
            assert (wire.splice.forth, wire.splice.back) == (8, 6)

    play(scenario())


def test_much_goes_both_ways_at_once() -> None:
    data = bytes(range(256)) * 4096 * 8

    async def pass_on(source: SocketEnd, sink: SocketEnd) -> bytes:
        async def write() -> None:
            await source.write(data)
            await source.finish()

        writing = asyncio.ensure_future(write())
        got = b""
        while piece := await sink.read():
            got += piece
        await writing
        return got

    async def scenario() -> None:
        async with Wire(5) as wire:
            there, back = await asyncio.gather(
                pass_on(wire.client, wire.server), pass_on(wire.server, wire.client)
            )
            assert there == back == data
            await wire.running

    play(scenario())


def test_a_slow_reader_stops_the_writer() -> None:
    async def scenario() -> None:
        async with Wire(5) as wire:
            written = 0

            async def write() -> None:
                nonlocal written
                while True:
                    await wire.client.write(bytes(MIB))
                    written += MIB

            writing = asyncio.ensure_future(write())
            await asyncio.sleep(0.5)
            stuck = written
            await asyncio.sleep(0.5)
            assert written == stuck < 16 * MIB
            for _ in range(64):
                await wire.server.read()
            await asyncio.sleep(0.1)
            assert written > stuck
            writing.cancel()

    play(scenario())


def test_a_reset_ends_the_other_side() -> None:
    async def scenario() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listening.getsockname())
        near, _ = listening.accept()
        listening.close()
        server, far = socket.socketpair()
        opened = [await asyncio.open_connection(sock=sock) for sock in (near, far, server)]
        first, second, other = (SocketEnd(*pair) for pair in opened)
        running = asyncio.ensure_future(Splice(first, second, 5).run())
        await asyncio.sleep(0.1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert await other.read() == b""
        with pytest.raises(BrokenError):
            await running
        other.abort()

    play(scenario())


def test_silence_and_orders_end_it() -> None:
    async def scenario() -> None:
        async with Wire(0.3) as wire:
            for _ in range(4):
                await asyncio.sleep(0.15)
                await wire.client.write(b"x")
            assert not wire.running.done()
            with pytest.raises(BrokenError, match="no bytes for"):
                await wire.running
            assert await wire.client.read() == b""
        async with Wire(5) as wire:
            await asyncio.sleep(0)
            wire.splice.stop("the record has changed")
            with pytest.raises(BrokenError, match="the record has changed"):
                await wire.running

    play(scenario())


@contextlib.asynccontextmanager
async def doors_in(folder: Path) -> AsyncIterator[Doors]:
    async def greet(name: str, end: SocketEnd) -> None:
        await end.write(name.encode())
        end.abort() if name == "rude" else await end.close()

    doors = Doors(folder, greet)
    try:
        yield doors
    finally:
        doors.close()


@pytest.mark.parametrize("depth", [1, 40], ids=["short", "long"])
def test_doors_have_paths_that_fit(tmp_path: Path, depth: int) -> None:
    async def scenario() -> None:
        folder = tmp_path.joinpath(*["abcd"] * depth)
        async with doors_in(folder) as doors:
            path = doors.path("bank-b")
            assert doors.path("bank-b") == path
            assert len(str(path)) <= 107
            assert path.is_relative_to(folder) == (depth == 1)
            assert path.stat().st_mode & 0o777 == 0o600
            reader, writer = await asyncio.open_unix_connection(str(path))
            assert await reader.read() == b"bank-b"
            writer.close()
            doors.shut("bank-b")
            assert doors.names() == []
            assert not path.exists()
            # What a killed process has left there is no hindrance.
            path.touch()
            assert doors.path("bank-b") == path
        assert not path.exists()

    play(scenario())
