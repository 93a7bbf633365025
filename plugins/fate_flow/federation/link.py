"""The stream that a task keeps open to its gateway: sign of life, and news of its attempt."""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import grpc

from fate_flow.entities import Party
from fate_flow.errors import AttemptSupersededError, FateFlowError, GatewayUnreachableError
from fate_flow.federation import rpc
from fate_flow.federation.failures import DetachedError, error_of
from fate_flow.federation.proto import gateway_pb2 as pb

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_LEAVE_SECONDS = 2.0
#: Shorter breaks are not worth a word.
_TROUBLE_SECONDS = 2.0
#: What the own gateway says when it cannot pass a call on.
_SITE_AWAY = re.compile(r"(site (\S+)(?: \([^)]*\))?) cannot be reached(?:: (.*))?", re.DOTALL)
_ACKNOWLEDGE_BYTES = 1 << 18
_ACKNOWLEDGE_COUNT = 32
_RETRY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)


class Link:
    """Keeps ``Attach`` open from a thread; reconnects for a while when it breaks.

    Args:
        stub: of the service Gateway.
        hello: first message of each connection.
        patience: seconds without a gateway after which the task gives up.
        address: for texts.
    """

    def __init__(
        self, stub: Any, metadata: Any, hello: pb.Hello, patience: float, address: str
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._hello = hello
        self._patience = patience
        self._address = address
        #: Behind the own gateway the one of another site, which may be what is silent.
        home = dict(metadata).get(rpc.HOME_KEY)
        self._gateway = f"the gateway at {address}" + (
            f" or that of {home} behind it" if home else ""
        )
        self._changed = threading.Condition()
        self._connected = False
        #: When the connection was there last, and what the last try to connect ended with.
        self._alive = time.monotonic()
        self._cause = ""
        self._incarnation = ""
        #: Parties whose tasks are not connected now -> their site, and since when.
        self._absent: dict[Party, tuple[str, float]] = {}
        self._over: tuple[str, int, FateFlowError] | None = None
        self._fatal: FateFlowError | None = None
        self._closed = False
        self._call: Any = None
        self._arrived: list[pb.MessageRef] = []
        self._arrived_bytes = 0
        self._arrived_in: pb.AttemptRef | None = None
        self._outgoing: queue.SimpleQueue[pb.AttachRequest | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="fate-flow-link", daemon=True)

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def wait_connected(self, timeout: float) -> None:
        """
        Raises:
            FateFlowError: the gateway refused the task, or did not answer for too long.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._connected or self._fatal is not None or self._closed, timeout
            )
            if self._fatal is not None:
                raise self._fatal
            if self._closed:
                raise FateFlowError("the session with the gateway is closed")
            if not self._connected:
                raise self._unreachable(timeout)

    def trouble(self) -> str | None:
        """What a task waits for whose connection is broken; None while it is not."""
        with self._changed:
            seconds = time.monotonic() - self._alive
            if self._connected or self._closed or seconds < _TROUBLE_SECONDS:
                return None
            found = _SITE_AWAY.match(self._cause)
            where = found.group(1) if found else self._gateway
            # With an exchange in between it says which of the two is away.
            why = f": {found.group(3)}" if found and found.group(3) else ""
            return f"waiting for {where}, no connection for {seconds:.0f} s{why}"

    def absent(self, parties: Iterable[Party]) -> list[str]:
        """What to say of those of the parties whose tasks are not connected at the moment."""
        now = time.monotonic()
        with self._changed:
            found = [(party, *self._absent[party]) for party in parties if party in self._absent]
        return [
            f"{party}{f' at {site}' if site else ''} has had no connection for {now - since:.0f} s"
            for party, site, since in found
        ]

    def check(self, attempt: pb.AttemptRef) -> None:
        """
        Raises:
            AttemptSupersededError, PeerFailedError, …: what the gateway has told of this attempt.
        """
        with self._changed:
            if self._fatal is not None:
                raise self._fatal
            if self._over is not None and self._over[:2] == (attempt.incarnation, attempt.number):
                raise self._over[2]
            if self._incarnation and self._incarnation != attempt.incarnation:
                raise AttemptSupersededError(
                    f"the gateway was restarted: {self._hello.caller.component} is computed anew"
                )

    def remember(self, attempt: pb.AttemptRef, error: FateFlowError) -> None:
        """A call was told the end of an attempt before the stream was."""
        with self._changed:
            if self._over is None or self._over[:2] != (attempt.incarnation, attempt.number):
                self._over = (attempt.incarnation, attempt.number, error)

    def acknowledge(self, attempt: pb.AttemptRef, message: pb.MessageRef, size: int) -> None:
        """Tell that a value has arrived, small ones several at once.

        Should it be lost, the gateway only keeps the value until the attempt ends.
        """
        with self._changed:
            if self._arrived_in != attempt:
                self._arrived, self._arrived_bytes, self._arrived_in = [], 0, attempt
            self._arrived.append(message)
            self._arrived_bytes += size
            if self._arrived_bytes < _ACKNOWLEDGE_BYTES and len(self._arrived) < _ACKNOWLEDGE_COUNT:
                return
            acknowledge = pb.Acknowledge(attempt=attempt, messages=self._arrived)
            self._arrived, self._arrived_bytes = [], 0
            self._outgoing.put(pb.AttachRequest(acknowledge=acknowledge))

    def close(self) -> None:
        """Leave in order: the gateway sees no loss."""
        with self._changed:
            self._closed = True
            self._outgoing.put(pb.AttachRequest(leave=pb.Leave()))
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(_LEAVE_SECONDS if self._connected else 0.0)
            if self._call is not None:
                self._call.cancel()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        self._alive = time.monotonic()
        while not self._closed:
            error = self._stay_attached()
            if self._was_connected():
                pause = _FIRST_PAUSE
            with self._changed:
                if self._closed:
                    return
                failure = failure_of(error, self._address) if error is not None else None
                if error is not None:
                    self._cause = error.details() or ""
                if failure is None and time.monotonic() - self._alive > self._patience:
                    failure = self._unreachable(self._patience)
                if failure is not None:
                    self._fatal = failure
                    self._changed.notify_all()
                    return
                self._changed.wait_for(lambda: self._closed, pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _stay_attached(self) -> grpc.RpcError | None:
        outgoing: queue.SimpleQueue[pb.AttachRequest | None] = queue.SimpleQueue()
        with self._changed:
            self._outgoing = outgoing
        try:
            self._call = self._stub.Attach(
                self._requests(outgoing), metadata=self._metadata, wait_for_ready=False
            )
            for event in self._call:
                self._take(event)
        except grpc.RpcError as error:
            return error
        except ValueError:
            # The channel was closed under us.
            return None
        finally:
            outgoing.put(None)
        return None

    def _requests(
        self, outgoing: queue.SimpleQueue[pb.AttachRequest | None]
    ) -> Iterator[pb.AttachRequest]:
        yield pb.AttachRequest(hello=self._hello)
        while (request := outgoing.get()) is not None:
            yield request
            if request.WhichOneof("what") == "leave":
                return

    def _take(self, event: pb.AttachEvent) -> None:
        with self._changed:
            kind = event.WhichOneof("what")
            if kind == "welcome":
                self._connected = True
                self._incarnation = event.welcome.incarnation
                self._absent = {}
            elif kind == "away":
                now = time.monotonic()
                told = {Party(a.party.role, a.party.party_id): a.site for a in event.away.absent}
                before = self._absent
                self._absent = {p: before.get(p, (site, now)) for p, site in told.items()}
            elif kind == "over":
                over = event.over
                error = error_of(over.error, over.reason)
                self._over = (over.attempt.incarnation, over.attempt.number, error)
            self._changed.notify_all()

    def _was_connected(self) -> bool:
        with self._changed:
            connected, self._connected = self._connected, False
            if connected:
                self._alive, self._cause = time.monotonic(), ""
            return connected

    def _unreachable(self, seconds: float) -> GatewayUnreachableError:
        found = _SITE_AWAY.match(self._cause)
        if found is None:
            return GatewayUnreachableError(
                f"the gateway at {self._address} has not answered for {seconds:.0f} s",
                remedy="See whether the service is running",
            )
        site, name, cause = found.groups()
        return GatewayUnreachableError(
            f"{site} could not be reached for {seconds:.0f} s: {cause or 'no reason given'}",
            remedy=f"fate_flow peer check {name} says what is wrong with the connection",
        )


def failure_of(error: grpc.RpcError, address: str) -> FateFlowError | None:
    """Our error that a call ended with; None when the connection broke: try again."""
    code = error.code()
    with contextlib.suppress(AttributeError, TypeError):
        trailing: Any = error.trailing_metadata()
        for key, value in trailing or ():
            if key == rpc.ERROR_KEY:
                failure = error_of(str(value), error.details() or "")
                return None if isinstance(failure, DetachedError) else failure
    if code in _RETRY:
        return None
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return GatewayUnreachableError(f"the gateway at {address} does not answer")
    return FateFlowError(
        f"the gateway at {address} refused the call: {code.name}, {error.details()}",
        remedy="See whether a gateway of this version listens there",
    )
