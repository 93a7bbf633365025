"""The site's own calls to its gateway: cancel and reset jobs, ask who waits for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from fate_flow.entities import Party
from fate_flow.errors import FateFlowError
from fate_flow.federation import rpc
from fate_flow.federation.channel import Tls, open_channel, site_tls
from fate_flow.federation.link import failure_of
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.tokens import issue_site
from fate_flow.settings import Settings


@dataclass(frozen=True)
class Health:
    """A gateway that answers; ``uptime`` in seconds."""

    incarnation: str
    version: str
    uptime: float


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
        return Health(reply.incarnation, reply.version, reply.uptime)

    def cancel(self, job_id: str, reason: str) -> int:
        """End all tasks of a job with JobCanceledError; number of tasks that were told."""
        request = pb.CancelRequest(job_id=job_id, reason=reason)
        return int(self._call(self._control.Cancel, request).tasks)

    def reset(self, job_id: str, component: str = "") -> int:
        """Forget a job, or one component of it, before it runs again."""
        request = pb.ResetRequest(job_id=job_id, component=component)
        return int(self._call(self._control.Reset, request).components)

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

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        metadata = (("authorization", f"Bearer {issue_site(self._secret)}"),)
        try:
            return method(request, metadata=metadata, timeout=self._timeout)
        except grpc.RpcError as error:
            raise failure_of(error, self._address) or FateFlowError(
                f"the gateway at {self._address} cannot be reached: {error.details()}",
                remedy="See whether the service is running",
            ) from None


def _party(reference: pb.PartyRef) -> Party:
    return Party(reference.role, reference.party_id)
