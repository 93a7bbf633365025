"""A task's side of the gateway: join, send and receive, finish.

The life of a session::

    with connect(settings, token, identity) as session:
        while True:
            session.join()                    # barrier; session.identity has the attempt
            try:
                output = program(session)     # sends and receives
                write(output)                 # durable before finish
                session.finish()              # barrier
                break
            except AttemptSupersededError:
                continue                      # drop everything, compute anew
            except Exception as error:
                session.finish(str(error))    # the others end with the reason
                raise

No connection is made before :meth:`GatewaySession.join`, so that a process may still fork.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

import grpc

from fate_flow.entities import Party, TaskIdentity
from fate_flow.errors import (
    AttemptSupersededError,
    FateFlowError,
    FederationTimeoutError,
    GatewayUnreachableError,
    PeerFailedError,
    ProtocolError,
)
from fate_flow.federation import rpc
from fate_flow.federation.addresses import (
    DEFAULT_FLOW,
    check_tag,
    check_variable,
    tag_of,
    what,
)
from fate_flow.federation.channel import Tls, open_channel, site_tls
from fate_flow.federation.codec import decode, encode
from fate_flow.federation.link import Link, failure_of
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.sealing import Sealer
from fate_flow.federation.transfer import Envelopes, Incoming, Outgoing
from fate_flow.federation.waiting import ClientWait, OnWait, WaitReporter
from fate_flow.settings import Settings

#: The gateway ends a wait itself, with a reason; this is for a gateway that hangs.
_GUARD_SECONDS = 15.0
_RETRY_PAUSE = 0.1
_PATIENCE_SECONDS = 60.0
_REMOTE_PATIENCE_SECONDS = 600.0
#: Errors inside the gateway in a row, without a broken connection between, until we give up.
_MAX_FAULTS = 50
_ENDS_OF_ATTEMPT = (AttemptSupersededError, PeerFailedError)
_T = TypeVar("_T")


class GatewaySession:
    """One task's connection; implements ``runtime.context.Federation``. Thread-safe.

    Args:
        address: host:port of the site's gateway.
        token: from :func:`fate_flow.federation.tokens.issue`, for exactly this task.
        identity: who the task is; ``identity.attempt`` is where attempts count from.
        parties: the parties of the component; default: all of the job. All parties of a
            component must name the same ones.
        timeout: longest wait for one value, a join or a finish, seconds.
        try_number: restarts that the scheduler counts, from 1; a process with a lower number
            than the present one is refused.
        on_wait: told the text of a wait that lasts longer than 2 s, every 10 s, and None
            when it is over; called from another thread.
        patience: seconds without a gateway after which the task gives up; default: 60, or
            600 when the home's gateway is at another site.
        home: the party at whose gateway the component's tasks meet; None: at this site's own.
            The own gateway passes the calls on.
        ticket: lets this site take part at the home's gateway.
        sealer: closes what is sent and opens what comes, when the component's parties are at
            several sites; unsealed values are refused then.
        tls: certificates; None: plain, for loopback.
        channel_factory: makes the channel, instead of ``address`` and ``tls``; it should use
            :func:`fate_flow.federation.channel.channel_options`.

    Attributes:
        flow: first part of the tags; components set it.
        identity: with the attempt joined last.
        is_complete: the component was complete before this process joined (an earlier process
            of this task was lost after the barrier): return success, compute nothing.
    """

    def __init__(
        self,
        address: str,
        token: str,
        identity: TaskIdentity,
        *,
        parties: Iterable[Party] | None = None,
        timeout: float = 3600.0,
        try_number: int = 1,
        on_wait: OnWait | None = None,
        patience: float | None = None,
        home: Party | None = None,
        ticket: str = "",
        sealer: Sealer | None = None,
        tls: Tls | None = None,
        channel_factory: Callable[[], grpc.Channel] | None = None,
    ) -> None:
        self.flow = DEFAULT_FLOW
        self.identity = identity
        self.is_complete = False
        self.parties = tuple(parties) if parties is not None else tuple(identity.parties())
        self._address = address
        self._metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {token}"),)
        if home is not None:
            self._metadata += ((rpc.HOME_KEY, home.key), (rpc.TICKET_KEY, ticket))
        self._timeout = timeout
        self._try_number = try_number
        if patience is None:
            patience = _PATIENCE_SECONDS if home is None else _REMOTE_PATIENCE_SECONDS
        self._patience = patience
        self._envelopes = Envelopes(sealer, identity)
        self._open_channel = channel_factory or (lambda: open_channel(address, tls))
        self._caller = pb.Caller(
            job_id=identity.job_id,
            component=identity.component,
            party=_ref(identity.party),
            session_id=uuid.uuid4().hex,
        )
        self._waits = WaitReporter(on_wait)
        self._channel: grpc.Channel | None = None
        self._stub: Any = None
        self._link: Link | None = None
        self._attempt: pb.AttemptRef | None = None
        self._last_number = identity.attempt - 1
        self._received: set[tuple[str, str, Party]] = set()

    # -- attempts -------------------------------------------------------------------------

    def join(self, timeout: float | None = None) -> int:
        """Meet the other parties' tasks; the number of the attempt that starts.

        Raises:
            PeerFailedError: the component has failed or the job was cancelled.
            FederationTimeoutError: not all parties came in time; the text says who.
            TokenError, TaskReplacedError, RouteError: this task may not or need not run.
        """
        self._open()
        self._attempt = None
        self._received.clear()
        self.flow = DEFAULT_FLOW
        wait = ClientWait(
            [p for p in self.parties if p != self.identity.party],
            self.identity.component,
            self._last_number + 1,
            "to join",
        )

        def meet(left: float) -> pb.Joined:
            request = pb.JoinRequest(
                caller=self._caller,
                parties=[_ref(party) for party in self.parties],
                after_attempt=self._last_number,
                try_number=self._try_number,
                timeout=left,
            )
            answer: pb.Joined = self._barrier(self._stub.Join, request, wait, left, "joined")
            return answer

        joined = self._call(meet, timeout, wait)
        self._attempt = joined.attempt
        self._last_number = joined.attempt.number
        self.is_complete = joined.complete
        self.identity = replace(self.identity, attempt=self._last_number)
        return self._last_number

    def finish(self, error: str | None = None, timeout: float | None = None) -> None:
        """End this task's part: with success when all parties have come here, or with an error.

        What the task has computed must be stored durably before: when this returns, no party
        computes the component again.

        Args:
            error: why this party failed; all others get it in a PeerFailedError at once.

        Raises:
            AttemptSupersededError: a party was lost before it came here: compute anew.
            PeerFailedError, FederationTimeoutError
        """
        if error is not None:
            self._fail(error)
            return
        attempt = self._current()
        others = [p for p in self.parties if p != self.identity.party]
        wait = ClientWait(others, self.identity.component, attempt.number, "to finish")

        def meet(left: float) -> Any:
            request = pb.FinishRequest(caller=self._caller, attempt=attempt, timeout=left)
            return self._barrier(self._stub.Finish, request, wait, left, "done")

        self._call(meet, timeout, wait)

    def check(self) -> None:
        """For long computations without messages: is the attempt still of use?

        Raises:
            AttemptSupersededError, PeerFailedError
        """
        self._current()

    def close(self) -> None:
        """Leave. Without a finish before, the others compute anew with this task's successor."""
        if self._link is not None:
            self._link.close()
        self._waits.close()
        if self._channel is not None:
            self._channel.close()

    def __enter__(self) -> GatewaySession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- messages -------------------------------------------------------------------------

    def send(
        self,
        variable: str,
        value: Any,
        to: Party | Iterable[Party],
        suffix: Sequence[object] = (),
    ) -> None:
        """Hand a value to the gateway; returns when the gateway has all of it.

        Raises:
            TypeError: a value of a kind that may not cross.
            ProtocolError: this was sent before with another value, or to a stranger.
            FederationTimeoutError: the mailbox stayed full.
            AttemptSupersededError, PeerFailedError
        """
        attempt = self._current()
        receivers = [to] if isinstance(to, Party) else list(to)
        if not receivers:
            return
        tag = tag_of(self.flow, suffix)
        check_variable(variable)
        check_tag(tag)
        name = (variable, tag)
        for group, data in self._envelopes.close(encode(value), receivers, attempt, name):
            self._hand_over(attempt, name, group, data)

    def receive(
        self,
        variable: str,
        sender: Party,
        suffix: Sequence[object] = (),
        timeout: float | None = None,
    ) -> Any:
        """Wait for a value of ``sender``.

        Raises:
            FederationTimeoutError: the deadline passed; the text says who, what, how long.
            ProtocolError: it was received before, it cannot be read, or the sender has finished
                without sending it.
            SealError: it should be sealed, and is not, or not by the sender's site for us.
            AttemptSupersededError, PeerFailedError
        """
        attempt = self._current()
        tag = tag_of(self.flow, suffix)
        check_variable(variable)
        check_tag(tag)
        message = pb.MessageRef(variable=variable, tag=tag, sender=_ref(sender))
        if (variable, tag, sender) in self._received:
            raise ProtocolError(f"{what(variable, tag)} of {sender} was received before")
        wait = ClientWait([sender], self.identity.component, attempt.number, what(variable, tag))

        request = pb.ReceiveRequest(caller=self._caller, attempt=attempt, message=message)
        incoming = Incoming(self._stub, self._metadata, request)

        def fetch(left: float) -> bytes | bytearray:
            return incoming.receive(left, left + _GUARD_SECONDS)

        data = self._call(fetch, timeout, wait, attempt)
        self._received.add((variable, tag, sender))
        if self._link is not None:
            self._link.acknowledge(attempt, message, len(data))
        return decode(self._envelopes.open(data, sender, attempt, (variable, tag)))

    # -- inside ---------------------------------------------------------------------------

    def _hand_over(
        self,
        attempt: pb.AttemptRef,
        name: tuple[str, str],
        receivers: Sequence[Party],
        data: bytes | bytearray,
    ) -> None:
        """Send bytes until the gateway has them; the same ones however often it takes."""
        variable, tag = name
        header = pb.SendHeader(
            caller=self._caller,
            attempt=attempt,
            variable=variable,
            tag=tag,
            receivers=[_ref(party) for party in receivers],
            size=len(data),
            digest=hashlib.sha256(data).digest(),
        )
        subject = f"room in the mailbox for {what(variable, tag)}"
        wait = ClientWait(receivers, self.identity.component, attempt.number, subject)

        outgoing = Outgoing(self._stub, self._metadata, header, data)

        def call(left: float) -> None:
            outgoing.send(left, left + _GUARD_SECONDS)

        self._call(call, None, wait, attempt)

    def _open(self) -> None:
        if self._link is not None:
            return
        self._channel = self._open_channel()
        self._stub = rpc.Stub("Gateway", self._channel)
        hello = pb.Hello(caller=self._caller, try_number=self._try_number)
        self._link = Link(self._stub, self._metadata, hello, self._patience, self._address)
        self._link.start()

    def _current(self) -> pb.AttemptRef:
        if self._attempt is None or self._link is None:
            raise FateFlowError("the task has not joined the other parties yet")
        self._link.check(self._attempt)
        return self._attempt

    def _call(
        self,
        call: Callable[[float], _T],
        timeout: float | None,
        wait: ClientWait,
        attempt: pb.AttemptRef | None = None,
    ) -> _T:
        """Make a call until it succeeds, is refused, or its deadline has passed.

        A call that a broken connection ended is made again: every call can be repeated.
        """
        if self._link is None:
            raise FateFlowError("the task has not joined the other parties yet")
        limit = self._timeout if timeout is None else timeout
        wait.trouble, wait.absent = self._link.trouble, self._link.absent
        faults = 0
        with self._waits.open(wait):
            while True:
                self._link.wait_connected(self._patience + _GUARD_SECONDS)
                if attempt is not None:
                    self._link.check(attempt)
                try:
                    return call(max(limit - wait.seconds, 0.0))
                except grpc.RpcError as error:
                    failure = failure_of(error, self._address)
                    faults = faults + 1 if error.code() is grpc.StatusCode.UNKNOWN else 0
                    details = error.details()
                if failure is not None:
                    if attempt is not None and isinstance(failure, _ENDS_OF_ATTEMPT):
                        self._link.remember(attempt, failure)
                    raise failure
                if faults > _MAX_FAULTS:
                    # Not a broken connection: the gateway itself fails at this call.
                    raise GatewayUnreachableError(
                        f"the gateway at {self._address} fails: {details}",
                        remedy="Its log has the reason: logs/fate_flow/gateway.log",
                    )
                if wait.seconds > limit + _GUARD_SECONDS:
                    raise FederationTimeoutError(f"deadline passed {wait.text}")
                # The link says when the connection is there; a call may fail beside it.
                time.sleep(_RETRY_PAUSE)

    def _barrier(self, method: Any, request: Any, wait: ClientWait, left: float, end: str) -> Any:
        events = method(request, metadata=self._metadata, timeout=left + _GUARD_SECONDS)
        for event in events:
            kind = event.WhichOneof("what")
            if kind == end:
                return getattr(event, end)
            wait.parties = [Party(p.role, p.party_id) for p in event.waiting.parties]
        raise ProtocolError("the gateway ended a barrier without an answer")

    def _fail(self, reason: str) -> None:
        self._open()
        wait = ClientWait([], self.identity.component, self._last_number, "to report a failure")
        request = pb.FailRequest(caller=self._caller, reason=reason)

        def report(left: float) -> None:
            self._stub.Fail(request, metadata=self._metadata, timeout=left + _GUARD_SECONDS)

        self._call(report, self._patience, wait)


def connect(
    site: Settings | str, token: str, identity: TaskIdentity, **options: Any
) -> GatewaySession:
    """A session with a site's gateway.

    Args:
        site: the site's settings (address and FEDERATION_TIMEOUT come from there), or an
            address host:port.
        options: keyword arguments of :class:`GatewaySession`.
    """
    if isinstance(site, str):
        return GatewaySession(site, token, identity, **options)
    options.setdefault("timeout", float(site.FEDERATION_TIMEOUT))
    options.setdefault("tls", site_tls(site))
    return GatewaySession(site.grpc_address, token, identity, **options)


def _ref(party: Party) -> pb.PartyRef:
    return pb.PartyRef(role=party.role, party_id=party.party_id)
