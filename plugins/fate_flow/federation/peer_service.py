"""What other sites' gateways may ask of this one: who are you, a message for your API, an echo."""

from __future__ import annotations

import asyncio
import collections
import http.client
import json
import logging
import time
import urllib.parse
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fate_flow.errors import ProtocolError, UnsupportedError
from fate_flow.federation.addresses import CHUNK_BYTES, MAX_BODY_BYTES, check_name, printable
from fate_flow.federation.peers import PEER_PROTOCOL, Peer, ProtocolVersionError, SiteNotReadyError
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.state import GatewayState, refs
from fate_flow.federation.tokens import issue_site
from fate_flow.federation.tunnel import Tunnels
from fate_flow.version import __version__

log = logging.getLogger("fate_flow.gateway")

#: One echo asks for no more than this, so that a measurement stays one.
MAX_ECHO_BYTES = 256 << 20
_API_PATH = "/v1/internal/peer"
_API_SECONDS = 60.0
_REMEMBERED = 10_000
#: Messages of one peer that the API works on at a time, and of all.
_AT_ONCE = 8
_THREADS = 16


class PeerService:
    """Service ``Peer`` of the proto."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._seen: dict[str, collections.OrderedDict[str, None]] = {}
        self._busy: collections.Counter[str] = collections.Counter()
        self._threads = ThreadPoolExecutor(_THREADS, "fate-flow-peer")

    async def Hello(self, request: pb.HelloRequest, context: Any) -> pb.HelloReply:  # noqa: N802
        async with self._state.answering(context, "Hello"):
            peer = self._state.require_peer(context)
            check_version(request.protocol_major, request.protocol_minor)
            major, minor = PEER_PROTOCOL
            identity = self._state.identity
            return pb.HelloReply(
                protocol_major=major,
                protocol_minor=minor,
                version=__version__,
                site_id=identity.site_id if identity is not None else "",
                time=time.time(),
                parties=refs(sorted(self._state.router.hosted or ())),
                your_parties=refs(peer.parties),
            )
        raise AssertionError("answering() ends the call")

    async def Call(self, request: pb.CallRequest, context: Any) -> pb.CallReply:  # noqa: N802
        async with self._state.answering(context, "Call"):
            peer = self._state.require_peer(context)
            check_version(request.protocol_major, request.protocol_minor)
            check_name("method", request.method)
            check_name("message id", request.message_id)
            if len(request.body) > MAX_BODY_BYTES:
                raise ProtocolError(
                    f"a message of {len(request.body)} bytes; allowed: {MAX_BODY_BYTES}"
                )
            left = context.time_remaining()
            timeout = min(left if left is not None else _API_SECONDS, 600.0)
            if self._busy[peer.site_id] >= _AT_ONCE:
                raise SiteNotReadyError(f"{_AT_ONCE} messages of {peer.name} are being worked on")
            self._remember(peer, request.message_id)
            self._busy[peer.site_id] += 1
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._threads, self._post, peer, request, timeout)
            work.add_done_callback(lambda _: self._busy.subtract([peer.site_id]))
            return await asyncio.shield(work)
        raise AssertionError("answering() ends the call")

    async def Echo(  # noqa: N802
        self, requests: AsyncIterator[pb.EchoPiece], context: Any
    ) -> AsyncIterator[pb.EchoPiece]:
        async with self._state.answering(context, "Echo"):
            self._state.require_peer(context)
            total = 0
            async for piece in requests:
                total += piece.wanted
                if piece.wanted < 0 or total > MAX_ECHO_BYTES:
                    raise ProtocolError(
                        f"an echo of {total} bytes was asked for; allowed: {MAX_ECHO_BYTES}"
                    )
                left = piece.wanted
                while left > 0:
                    size = min(left, CHUNK_BYTES)
                    yield pb.EchoPiece(data=bytes(size))
                    left -= size

    async def Listen(  # noqa: N802
        self, requests: AsyncIterator[pb.ListenRequest], context: Any
    ) -> None:
        async with self._state.answering(context, "Listen"):
            peer = self._state.require_peer(context)
            await self._tunnel().listen(peer, context)

    async def Carry(  # noqa: N802
        self, requests: AsyncIterator[pb.Bytes], context: Any
    ) -> None:
        async with self._state.answering(context, "Carry"):
            peer = self._state.require_peer(context)
            await self._tunnel().carry(peer, requests, context)

    def _tunnel(self) -> Tunnels:
        if self._state.tunnel is None:
            raise UnsupportedError("this gateway connects no sites to each other")
        return self._state.tunnel

    def _remember(self, peer: Peer, message_id: str) -> None:
        """
        Raises:
            ProtocolError: this very message came before; who sends again makes a new one.
        """
        seen = self._seen.setdefault(peer.site_id, collections.OrderedDict())
        if message_id in seen:
            raise ProtocolError(f"message {message_id} came before: a replay is not taken")
        seen[message_id] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)

    def _post(self, peer: Peer, request: pb.CallRequest, timeout: float) -> pb.CallReply:
        """Hand a message to the site's API; blocks."""
        try:
            body = json.loads(request.body or b"null")
        except ValueError:
            raise ProtocolError("the body of a message is not JSON") from None
        document = {
            "method": request.method,
            "body": body,
            "protocol": [request.protocol_major, request.protocol_minor],
            "message_id": request.message_id,
        }
        url = urllib.parse.urlsplit(self._state.api_url)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
        headers = {
            "Authorization": f"Bearer {issue_site(self._state.secret)}",
            "Content-Type": "application/json",
            "X-Fate-Flow-Peer": peer.name,
        }
        try:
            connection.request("POST", _API_PATH, json.dumps(document), headers)
            answer = connection.getresponse()
            content = answer.read(MAX_BODY_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            log.warning("the API does not take a message of %s: %s", peer.name, error)
            raise SiteNotReadyError("the API of the site does not answer its gateway") from None
        finally:
            connection.close()
        return _reply(answer.status, content)


def check_version(major: int, minor: int) -> None:
    """
    Raises:
        ProtocolVersionError: of another major version than ours.
    """
    if major != PEER_PROTOCOL[0]:
        ours = ".".join(map(str, PEER_PROTOCOL))
        raise ProtocolVersionError(
            f"the other site speaks version {major}.{minor} of what sites say to each other, "
            f"this one {ours}"
        )


def _reply(status: int, content: bytes) -> pb.CallReply:
    if len(content) > MAX_BODY_BYTES:
        raise ProtocolError(f"the answer has more than {MAX_BODY_BYTES} bytes")
    if status >= 500:
        # Not its last word: its database may be away for a moment. The sender tries again.
        raise SiteNotReadyError(f"the API of the site answered with status {status}")
    try:
        found = json.loads(content)
        code = int(found["code"] if "code" in found else found["retcode"])
        text = str(found.get("retmsg", ""))
        data = json.dumps(found.get("data")).encode()
    except (ValueError, KeyError, TypeError):
        log.error("the API answered a peer's message with status %d: %.200r", status, content)
        raise SiteNotReadyError(f"the API of the site answered with status {status}") from None
    return pb.CallReply(code=code, text=printable(text, 4000), data=data)
