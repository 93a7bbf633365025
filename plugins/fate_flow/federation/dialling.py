"""Connections that this site keeps open to others, since it cannot be called itself."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc.aio

from fate_flow.errors import FateFlowError
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.reachability import reason_in

log = logging.getLogger("fate_flow.gateway")

_FIRST_PAUSE = 0.5
#: For so long others cannot reach a site behind a NAT although the network is back.
_LONGEST_PAUSE = 8.0


class Dialler:
    """Listens at the peers that ``we_dial``.

    Args:
        stub_of: stub of the service Peer at a peer that can be called directly.
        fetch: brings a connection that waits at a peer to this gateway.
        report: told why a peer cannot be listened at; nothing: it can.
    """

    def __init__(
        self,
        stub_of: Callable[[Peer], Any],
        fetch: Callable[[Peer, str], Coroutine[Any, Any, None]],
        report: Callable[[Peer, str], None],
    ) -> None:
        self._stub_of = stub_of
        self._fetch = fetch
        self._report = report
        self._dialling: dict[str, tuple[Peer, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def set_peers(self, table: PeerTable) -> None:
        """From now on these are the peers."""
        for name, (before, task) in list(self._dialling.items()):
            if table.named(name) != before:
                del self._dialling[name]
                task.cancel()
        for peer in table:
            if peer.we_dial and peer.name not in self._dialling:
                self._dialling[peer.name] = (peer, self._start(self._dial(peer)))

    async def close(self) -> None:
        self._dialling.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _dial(self, peer: Peer) -> None:
        """Keep a connection open to a peer, over which others reach this site."""
        pause = _FIRST_PAUSE
        reported = ""
        while True:
            cause = "it ended the connection"
            try:
                async for knock in self._knocks(peer):
                    pause = _FIRST_PAUSE
                    if knock.connection_id:
                        self._start(self._fetch(peer, knock.connection_id))
                        continue
                    reported = ""
                    self._report(peer, "")
                    log.info("listening at peer %s for connections to this site", peer.name)
            except grpc.aio.AioRpcError as error:
                cause = reason_in(error.details() or error.code().name)
            except FateFlowError as error:
                cause = error.message
            except asyncio.CancelledError:
                # gRPC says this also when a channel was closed, to open it anew.
                if self._dialling.get(peer.name, (peer, None))[1] is not asyncio.current_task():
                    raise
            if cause != reported:
                log.warning("peer %s cannot be listened at: %s", peer.name, cause)
            reported = cause
            self._report(peer, cause)
            # Not all sites at once, when the one in the middle comes back.
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _knocks(self, peer: Peer) -> AsyncIterator[pb.Knock]:
        call = self._stub_of(peer).Listen()
        try:
            async for knock in call:
                yield knock
        finally:
            call.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
