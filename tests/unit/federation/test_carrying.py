"""Calls of ``Carry`` over a real connection: taken before bytes are sent, or refused in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from fate_flow.federation import rpc
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.splice import BrokenError, CallEnd, HandlerEnd

Answer = Callable[[AsyncIterator[pb.Bytes], Any], Coroutine[Any, Any, None]]


class _Peer:
    """The service, of which only ``Carry`` is called."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def Carry(self, requests: AsyncIterator[pb.Bytes], context: Any) -> None:
        await self._answer(requests, context)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return None


def play(answer: Answer, scenario: Callable[[Any], Coroutine[Any, Any, None]], at: Path) -> None:
    async def whole() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((rpc.handler("Peer", _Peer(answer)),))
        server.add_insecure_port(f"unix:{at / 's'}")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"unix:{at / 's'}") as channel:
                await scenario(rpc.Stub("Peer", channel))
        finally:
            await server.stop(None)

    asyncio.run(asyncio.wait_for(whole(), 20))


def test_what_is_taken_is_carried(tmp_path: Path) -> None:
    async def echo(requests: AsyncIterator[pb.Bytes], context: Any) -> None:
        end = HandlerEnd(requests, context)
        await end.take()
        await end.write((await end.read()).upper())

    async def scenario(stub: Any) -> None:
        end = await CallEnd(stub.Carry()).opened()
        await end.write(b"word")
        assert await end.read() == b"WORD"
        with pytest.raises(BrokenError) as caught:
            await end.read()
        assert not caught.value.said

    play(echo, scenario, tmp_path)


def test_a_refusal_is_heard_before_anything_is_sent(tmp_path: Path) -> None:
    async def refuse(_: AsyncIterator[pb.Bytes], context: Any) -> None:
        code = grpc.StatusCode.PERMISSION_DENIED
        await context.abort(code, "peer a may not", ((rpc.ERROR_KEY, "no_passage"),))

    async def scenario(stub: Any) -> None:
        # Without waiting for it, gRPC's own error hides the reason now and then.
        for _ in range(50):
            with pytest.raises(BrokenError, match="peer a may not") as caught:
                await CallEnd(stub.Carry()).opened()
            assert caught.value.said

    play(refuse, scenario, tmp_path)


def test_a_server_that_takes_no_call_is_no_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other(_: AsyncIterator[pb.Bytes], context: Any) -> None:
        await context.write(pb.Bytes(data=b"hello"))
        await asyncio.sleep(60)

    async def scenario(stub: Any) -> None:
        call = stub.Carry()
        with pytest.raises(BrokenError, match="no gateway of this version") as caught:
            await CallEnd(call).opened()
        assert not caught.value.said
        assert call.cancelled()

    monkeypatch.setattr("fate_flow.federation.splice._FAREWELL_SECONDS", 0.3)
    play(other, scenario, tmp_path)


def test_nobody_is_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'none'}") as channel:
            with pytest.raises(BrokenError, match="No such file") as caught:
                await CallEnd(rpc.Stub("Peer", channel).Carry()).opened()
            assert not caught.value.said

    asyncio.run(asyncio.wait_for(scenario(), 20))
