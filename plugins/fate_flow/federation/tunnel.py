"""Ways to sites that cannot be called directly: through a third site, as bytes.

A connection to such a site goes to a unix socket of this gateway. Its bytes are carried in a
call of ``Carry`` to the site in the middle, which carries them on: to the target's address,
or, when the target cannot be called at all, to the target's own ``Carry``: a site behind a
NAT keeps ``Listen`` open, is told of each connection and comes to fetch it. TLS runs from end
to end inside, so the site in the middle sees and can change nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fate_flow.errors import FateFlowError
from fate_flow.federation.addresses import printable
from fate_flow.federation.dialling import Dialler
from fate_flow.federation.doors import Doors
from fate_flow.federation.peers import Peer, PeerTable, PeerUnreachableError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.reachability import cause_of_error, reason_in, told_by
from fate_flow.federation.splice import (
    PIECE_BYTES,
    BrokenError,
    CallEnd,
    End,
    HandlerEnd,
    SocketEnd,
    Splice,
)
from fate_flow.federation.tokens import ForeignTokenError

log = logging.getLogger("fate_flow.gateway")
_AUDIT = logging.getLogger("fate_flow.gateway.audit")

#: Metadata of ``Carry``: the site that is meant, or the connection that is fetched.
TO_KEY = "fate-flow-carry-to"
ID_KEY = "fate-flow-carry-id"

#: A peer needs one or two; more point to something broken.
MAX_PER_PEER = 64
MAX_CONNECTIONS = 1024
IDLE_SECONDS = 600.0
CONNECT_SECONDS = 10.0
#: More, where the site in the middle has that much for its part.
_MIDDLE_SECONDS = 5.0


class PassageError(ForeignTokenError):
    """A peer may not reach another site through this one."""

    code = "no_passage"


class Tunnels:
    """All tunnels of one gateway; everything runs on its event loop.

    Args:
        stub_of: stub of the service Peer at a peer that can be called directly.
        own_address: host:port of this gateway.
        folder: for sockets.
    """

    def __init__(
        self,
        stub_of: Callable[[Peer], Any],
        own_address: str,
        folder: Path,
        *,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._stub_of = stub_of
        self._own_address = own_address
        self._doors = Doors(folder, self._carry_out)
        self._idle = idle
        self._table = PeerTable()
        self._dialler = Dialler(stub_of, self._fetch, self._heard_of)
        #: site id -> where to tell a site that listens of connections to it
        self._listeners: dict[str, asyncio.Queue[str]] = {}
        self._expected: dict[str, tuple[str, asyncio.Future[HandlerEnd]]] = {}
        self._splices: dict[Splice, Peer] = {}
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._troubles: dict[str, str] = {}

    # -- for the gateway --------------------------------------------------------------------

    def socket_of(self, peer: Peer) -> str:
        """Path of the socket to a peer that is reached ``via`` another or ``dials_in``.

        Raises:
            PeerUnreachableError: it cannot be made.
        """
        try:
            return str(self._doors.path(peer.name))
        except OSError as error:
            raise PeerUnreachableError(
                f"site {peer.name} cannot be reached: no socket for the tunnel to it can be made: "
                f"{error.strerror}"
            ) from None

    def trouble(self, peer: Peer) -> str:
        """Why the last connection to a peer did not come to be; empty: it did."""
        return self._troubles.get(peer.name, "")

    def forget_trouble(self, peer: Peer) -> None:
        """Before a new try whose outcome is asked for."""
        self._troubles.pop(peer.name, None)

    def is_listening(self, peer: Peer) -> bool:
        """Whether a peer that ``dials_in`` is connected to us."""
        return peer.site_id in self._listeners

    def set_peers(self, table: PeerTable) -> None:
        """From now on these are the peers; dials those that we must keep a connection to."""
        self._table = table
        self._dialler.set_peers(table)
        for splice, target in self._splices.items():
            if table.named(target.name) != target:
                splice.stop("the record of the site has changed")
        for name in self._doors.names():
            if table.named(name) is None:
                self._doors.shut(name)
        self._troubles = {n: text for n, text in self._troubles.items() if table.named(n)}

    async def close(self) -> None:
        self._doors.close()
        await self._dialler.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- methods of the service Peer, once the caller is known ------------------------------

    async def listen(self, peer: Peer, context: Any) -> None:
        """A peer that cannot be called waits here for connections to it.

        Raises:
            PassageError: it is not one of those.
        """
        if not peer.dials_in:
            raise PassageError(
                f"peer {peer.name} is not known as one that keeps a connection open to this site",
                remedy="Change its record here, or call it directly",
            )
        knocks: asyncio.Queue[str] = asyncio.Queue(MAX_PER_PEER)
        # A later connection takes over: the old one may be dead without our knowing.
        before, self._listeners[peer.site_id] = self._listeners.get(peer.site_id), knocks
        if before is not None:
            _end(before)
        _AUDIT.info("peer %s at %s listens", peer.name, context.peer())
        try:
            # Says that it is accepted.
            await context.write(pb.Knock())
            while connection_id := await knocks.get():
                await context.write(pb.Knock(connection_id=connection_id))
        finally:
            if self._listeners.get(peer.site_id) is knocks:
                del self._listeners[peer.site_id]
                _AUDIT.info("peer %s listens no more", peer.name)

    async def carry(self, peer: Peer, requests: AsyncIterator[pb.Bytes], context: Any) -> None:
        """A peer's connection to a third site, or one that it comes to fetch.

        Raises:
            PassageError: it may not.
            PeerUnreachableError: the target cannot be reached.
        """
        end = HandlerEnd(requests, context)
        connection_id = _metadata(context, ID_KEY)
        if connection_id:
            await self._hand_over(peer, connection_id, end)
            return
        target = self._target(peer, _metadata(context, TO_KEY))
        with self._counted(peer):
            await self._join(f"peer {peer.name}", end, target)

    # -- inside -----------------------------------------------------------------------------

    def _target(self, peer: Peer, site_id: str) -> Peer:
        target = self._table.of_site(site_id)
        if not peer.may_route:
            raise PassageError(
                f"peer {peer.name} may not reach other sites through this one",
                remedy=f"There: fate_flow peer update {peer.name} --may-route yes",
            )
        if target is None or target.via or target.site_id == peer.site_id:
            raise PassageError(
                f"site {printable(site_id, 40)} is none that peer {peer.name} can reach through "
                "this one",
                remedy="There both must have been added, and neither of them with --via",
            )
        return target

    async def _hand_over(self, peer: Peer, connection_id: str, end: HandlerEnd) -> None:
        site_id, waiting = self._expected.get(connection_id, ("", None))
        if waiting is None or site_id != peer.site_id or waiting.done():
            raise PassageError(f"peer {peer.name} fetches a connection that does not wait for it")
        try:
            await _take(end, peer)
            if not waiting.done():
                waiting.set_result(end)
                await end.wait()
        finally:
            end.abort()

    async def _join(self, source: str, end: End, target: Peer) -> None:
        """Carry bytes between ``end`` and a peer until one of them ends.

        Raises:
            PeerUnreachableError: the connection was not to be made, or broke.
        """
        started = time.monotonic()
        seconds = CONNECT_SECONDS + (_MIDDLE_SECONDS if target.via else 0.0)
        try:
            other = await asyncio.wait_for(self._reach(target), seconds)
        except FateFlowError as error:
            # A remedy that all errors of its kind have says nothing of this one.
            is_special = error.remedy != type(error).remedy
            self._troubles[target.name] = str(error) if is_special else error.message
            _AUDIT.warning("from %s to peer %s: %s", source, target.name, error.message)
            raise
        except (OSError, asyncio.TimeoutError) as error:
            cause = cause_of_error(error, seconds)
            self._troubles[target.name] = cause
            _AUDIT.warning("from %s to peer %s: %s", source, target.name, cause)
            raise PeerUnreachableError(
                f"site {target.name} cannot be reached: {cause}",
                remedy="Its gateway is down, or the way to it is cut",
            ) from None
        if isinstance(end, HandlerEnd):
            try:
                await _take(end, target)
            except BaseException:
                other.abort()
                raise
        splice = Splice(end, other, self._idle, partial(self._answered, target))
        self._splices[splice] = target
        reason = "closed"
        try:
            await splice.run()
        except BrokenError as error:
            reason = reason_in(str(error), said=error.said)
            via = target.via
            self._troubles[target.name] = told_by(via, str(error), error.said) if via else reason
            raise PeerUnreachableError(
                f"the connection to site {target.name} broke: {reason}"
            ) from None
        except asyncio.CancelledError:
            reason = "cut"
            raise
        finally:
            del self._splices[splice]
            _AUDIT.info(
                "from %s to peer %s: %d bytes there, %d back, %.0f s, %s",
                source,
                target.name,
                splice.forth,
                splice.back,
                time.monotonic() - started,
                reason,
            )

    def _answered(self, target: Peer) -> None:
        self._troubles.pop(target.name, None)

    def _heard_of(self, peer: Peer, trouble: str) -> None:
        """From the dialler."""
        if trouble:
            self._troubles[peer.name] = trouble
        else:
            self._answered(peer)

    async def _reach(self, target: Peer) -> End:
        """A connection to a peer."""
        if target.via:
            middle = self._table.named(target.via)
            if middle is None:
                raise PeerUnreachableError(f"site {target.name} is reached via {target.via}: gone")
            end = CallEnd(self._stub_of(middle).Carry(metadata=((TO_KEY, target.site_id),)))
            try:
                return await end.opened()
            except BrokenError as error:
                raise PeerUnreachableError(told_by(middle.name, str(error), error.said)) from None
            except asyncio.CancelledError:
                end.abort()
                raise
        if target.dials_in:
            return await self._knock(target)
        if not target.address:
            raise PeerUnreachableError(f"site {target.name} has no address")
        return SocketEnd(*await _connect(target.address))

    async def _knock(self, target: Peer) -> HandlerEnd:
        """Ask a site that listens to fetch a connection; the call that it fetches it with."""
        knocks = self._listeners.get(target.site_id)
        if knocks is None or knocks.full():
            raise PeerUnreachableError(
                f"site {target.name} has no connection open to "
                + ("this site" if knocks is None else "spare"),
                remedy=f"At {target.name}: the service must run, and must have added this site "
                "with --we-dial (fate_flow peer show)",
            )
        connection_id = secrets.token_hex(16)
        waiting: asyncio.Future[HandlerEnd] = asyncio.get_running_loop().create_future()
        self._expected[connection_id] = (target.site_id, waiting)
        knocks.put_nowait(connection_id)
        try:
            return await waiting
        finally:
            del self._expected[connection_id]

    @contextlib.contextmanager
    def _counted(self, peer: Peer) -> Iterator[None]:
        if self._open[peer.name] >= MAX_PER_PEER or self._open.total() >= MAX_CONNECTIONS:
            raise PassageError(
                f"peer {peer.name} has {self._open[peer.name]} connections through this site open; "
                f"allowed: {MAX_PER_PEER}, of all peers {MAX_CONNECTIONS}"
            )
        self._open[peer.name] += 1
        try:
            yield
        finally:
            self._open[peer.name] -= 1

    # -- our side: sockets, and what the dialler is told of ----------------------------------

    async def _carry_out(self, name: str, end: SocketEnd) -> None:
        """A connection to one of our sockets."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            target = self._table.named(name)
            if target is not None:
                await self._join("this site", end, target)
        except FateFlowError as error:
            log.debug("tunnel to %s: %s", name, error.message)
        finally:
            end.abort()

    async def _fetch(self, peer: Peer, connection_id: str) -> None:
        """Bring a connection that waits at a peer to this gateway's own port."""
        try:
            with self._counted(peer):
                own = SocketEnd(*await _connect(self._own_address))
                call = self._stub_of(peer).Carry(metadata=((ID_KEY, connection_id),))
                try:
                    end = await CallEnd(call).opened()
                except BaseException:
                    own.abort()
                    raise
                await Splice(end, own, self._idle).run()
        except (OSError, BrokenError, FateFlowError) as error:
            log.info("a connection that came over peer %s ended: %s", peer.name, error)


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), limit=PIECE_BYTES)


async def _take(end: HandlerEnd, peer: Peer) -> None:
    """
    Raises:
        PeerUnreachableError: whoever called is gone.
    """
    try:
        await end.take()
    except BrokenError as error:
        raise PeerUnreachableError(f"the connection to site {peer.name} broke: {error}") from None


def _end(knocks: asyncio.Queue[str]) -> None:
    with contextlib.suppress(asyncio.QueueEmpty):
        while True:
            knocks.get_nowait()
    knocks.put_nowait("")


def _metadata(context: Any, key: str) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == key and isinstance(value, str):
            return value
    return ""
