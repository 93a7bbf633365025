"""What the services share: who calls, how errors are answered, the state of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import grpc.aio

from fate_flow.entities import Party
from fate_flow.errors import FateFlowError, ProtocolError
from fate_flow.federation import rpc
from fate_flow.federation.addresses import MAX_REASON_CHARACTERS, check_name, printable
from fate_flow.federation.coordinator import Coordinator
from fate_flow.federation.diagnosis import Counters, Waits
from fate_flow.federation.failures import status_of
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.routing import Router
from fate_flow.federation.store import BlobStore
from fate_flow.federation.tokens import (
    Claims,
    ForeignTokenError,
    TokenError,
    verify,
    verify_site,
)

log = logging.getLogger("fate_flow.gateway")
_AUDIT = logging.getLogger("fate_flow.gateway.audit")


class GatewayState:
    """What the services share."""

    def __init__(
        self,
        secret: bytes,
        store: BlobStore,
        router: Router | None = None,
        *,
        grace: float = 3.0,
    ) -> None:
        self.secret = secret
        self.store = store
        self.router = router or Router()
        self.counters = Counters()
        self.waits = Waits()
        self.rooms = Coordinator(store, self.counters, grace=grace)
        #: Tells clients whether the process they talk to is the one they joined.
        self.incarnation = uuid.uuid4().hex
        self.started = time.monotonic()

    @contextlib.asynccontextmanager
    async def answering(self, context: Any, method: str) -> AsyncIterator[None]:
        """Turns our errors into refusals with a reason, and unforeseen ones into a plain one."""
        try:
            yield
        except FateFlowError as error:
            if isinstance(error, TokenError):
                self.counters.add("calls_refused")
                _AUDIT.warning("refused %s from %s: %s", method, context.peer(), error.message)
            elif isinstance(error, ProtocolError):
                log.warning("refused %s from %s: %s", method, context.peer(), error.message)
            await context.abort(status_of(error), text_of(error), ((rpc.ERROR_KEY, error.code),))
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception:
            log.exception("%s failed", method)
            await context.abort(
                grpc.StatusCode.INTERNAL, "the gateway has an error of its own; see its log"
            )

    def claims(self, context: Any, caller: pb.Caller) -> Claims:
        """What the call's token allows, checked against who the call says it is.

        Raises:
            TokenError
        """
        claims = verify(self.secret, _token(context))
        named = (caller.job_id, caller.component, caller.party.role, caller.party.party_id)
        if named != (claims.job_id, claims.component, claims.party.role, claims.party.party_id):
            raise ForeignTokenError(
                f"a token of {claims.who} was used for {printable(caller.party.role)} "
                f"{caller.party.party_id} in {printable(caller.component)} of job "
                f"{printable(caller.job_id)}"
            )
        check_name("session id", caller.session_id)
        return claims

    def authenticate(self, context: Any) -> None:
        """For streams, before their first message: strangers are not waited for.

        Raises:
            TokenError
        """
        verify(self.secret, _token(context))

    def require_site(self, context: Any) -> None:
        verify_site(self.secret, _token(context))


def ref(party: Party) -> pb.PartyRef:
    return pb.PartyRef(role=party.role, party_id=party.party_id)


def refs(parties: Iterable[Party]) -> list[pb.PartyRef]:
    return [ref(party) for party in parties]


def text_of(error: FateFlowError) -> str:
    return printable(str(error), MAX_REASON_CHARACTERS + 200)


def _token(context: Any) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            return value.removeprefix("Bearer ").strip()
    return ""
