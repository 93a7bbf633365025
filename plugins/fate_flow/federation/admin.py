"""The site's own calls to its gateway: cancel and reset jobs, ask who waits for what."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from fate_flow.entities import Party
from fate_flow.errors import FateFlowError, ProtocolError
from fate_flow.federation import rpc
from fate_flow.federation.addresses import MAX_BODY_BYTES
from fate_flow.federation.channel import Tls, open_channel, site_tls
from fate_flow.federation.link import failure_of
from fate_flow.federation.peers import PEER_PROTOCOL, PeerRefusedError, PeerTable
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.reachability import Finding
from fate_flow.federation.tokens import issue_site
from fate_flow.settings import Settings


@dataclass(frozen=True)
class Health:
    """A gateway that answers; ``uptime`` in seconds, ``peers_digest`` of its list of peers."""

    incarnation: str
    version: str
    uptime: float
    peers_digest: str = ""


@dataclass(frozen=True)
class OpenWait:
    """One call that waits at the gateway.

    Attributes:
        party: who waits; waited_for: for whom.
        kind: join, receive, send, finish.
        seconds, deadline: so far, and at most.
        text: all of it in one line.
    """

    job_id: str
    component: str
    attempt: int
    party: Party
    waited_for: tuple[Party, ...]
    kind: str
    seconds: float
    deadline: float
    text: str


@dataclass(frozen=True)
class StoredValue:
    """One value that lies in the mailbox; ``size`` and ``available`` in bytes."""

    job_id: str
    component: str
    attempt: int
    variable: str
    tag: str
    sender: Party
    receivers: tuple[Party, ...]
    size: int
    available: int
    on_disk: bool


class GatewayAdmin:
    """Calls with the site's token; ``with GatewayAdmin.of(settings) as gateway: …``.

    Every method raises FateFlowError when the gateway does not answer within ``timeout`` s.
    """

    def __init__(
        self, address: str, secret: bytes, *, timeout: float = 5.0, tls: Tls | None = None
    ) -> None:
        self._address = address
        self._secret = secret
        self._timeout = timeout
        self._channel = open_channel(address, tls)
        self._control: Any = rpc.Stub("Control", self._channel)
        self._status: Any = rpc.Stub("Status", self._channel)

    @classmethod
    def of(cls, settings: Settings, **options: Any) -> GatewayAdmin:
        """
        Raises:
            ConfigurationError: the site has no secret, or no identity where it needs one.
        """
        options.setdefault("tls", site_tls(settings))
        return cls(settings.grpc_address, settings.secret(), **options)

    def health(self) -> Health:
        reply = self._call(self._status.Health, pb.HealthRequest())
        return Health(reply.incarnation, reply.version, reply.uptime, reply.peers_digest)

    def cancel(self, job_id: str, reason: str) -> int:
        """End all tasks of a job with JobCanceledError; number of tasks that were told."""
        request = pb.CancelRequest(job_id=job_id, reason=reason)
        return int(self._call(self._control.Cancel, request).tasks)

    def reset(self, job_id: str, component: str = "") -> int:
        """Forget a job, or one component of it, before it runs again."""
        request = pb.ResetRequest(job_id=job_id, component=component)
        return int(self._call(self._control.Reset, request).components)

    def set_peers(self, peers: PeerTable) -> str:
        """Replace the gateway's list of other sites; its digest."""
        request = pb.SetPeersRequest(peers=peers.to_json())
        return str(self._call(self._control.SetPeers, request).peers_digest)

    def call_peer(
        self, peer: str, method: str, body: Mapping[str, Any], timeout: float = 30.0
    ) -> Any:
        """Send a message to another site's API; the ``data`` of its answer.

        Raises:
            PeerUnreachableError: it did not arrive, or nobody knows whether it did.
            PeerRefusedError: the answer was no; ``retcode`` and ``data`` are the answer's.
            ProtocolError: the message is too large.
        """
        major, minor = PEER_PROTOCOL
        content = json.dumps(body).encode()
        if len(content) > MAX_BODY_BYTES:
            raise ProtocolError(
                f"message {method} for site {peer} has {len(content)} bytes; "
                f"allowed: {MAX_BODY_BYTES}"
            )
        call = pb.CallRequest(
            protocol_major=major,
            protocol_minor=minor,
            message_id=uuid.uuid4().hex,
            method=method,
            body=content,
        )
        request = pb.ForwardRequest(peer=peer, call=call, timeout=timeout)
        reply = self._call(self._control.Forward, request, timeout=timeout + self._timeout)
        data = json.loads(reply.data or b"null")
        if reply.code:
            raise PeerRefusedError(f"site {peer}: {reply.text}", retcode=reply.code, data=data)
        return data

    def check_peer(self, peer: str, size: int = 8 << 20, timeout: float = 180.0) -> list[Finding]:
        """What can be said of the connection to another site, step by step.

        Args:
            size: bytes to measure the bandwidth with.
        """
        request = pb.CheckPeerRequest(peer=peer, bytes=size)
        reply = self._call(self._control.CheckPeer, request, timeout=timeout)
        return [Finding(**step) for step in json.loads(reply.report)]

    def waits(self, job_id: str = "") -> list[OpenWait]:
        """Open waits, the oldest first."""
        reply = self._call(self._status.Waits, pb.WaitsRequest(job_id=job_id))
        return [
            OpenWait(
                wait.job_id,
                wait.component,
                wait.attempt,
                _party(wait.waiting),
                tuple(_party(p) for p in wait.waited_for),
                wait.kind,
                wait.seconds,
                wait.deadline,
                wait.text,
            )
            for wait in reply.waits
        ]

    def counters(self) -> dict[str, int]:
        """Counts of events since the gateway started, and bytes in its mailbox."""
        reply = self._call(self._status.Waits, pb.WaitsRequest(job_id="-"))
        return dict(reply.counters)

    def mailbox(self, job_id: str = "") -> list[StoredValue]:
        """What lies in the mailbox: sizes, never values."""
        reply = self._call(self._status.Mailbox, pb.MailboxRequest(job_id=job_id))
        return [
            StoredValue(
                entry.job_id,
                entry.component,
                entry.attempt,
                entry.variable,
                entry.tag,
                _party(entry.sender),
                tuple(_party(p) for p in entry.receivers),
                entry.size,
                entry.available,
                entry.on_disk,
            )
            for entry in reply.entries
        ]

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> GatewayAdmin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: Callable[..., Any], request: Any, timeout: float | None = None) -> Any:
        metadata = (("authorization", f"Bearer {issue_site(self._secret)}"),)
        try:
            return method(request, metadata=metadata, timeout=timeout or self._timeout)
        except grpc.RpcError as error:
            raise failure_of(error, self._address) or FateFlowError(
                f"the gateway at {self._address} cannot be reached: {error.details()}",
                remedy="See whether the service is running",
            ) from None


def _party(reference: pb.PartyRef) -> Party:
    return Party(reference.role, reference.party_id)
