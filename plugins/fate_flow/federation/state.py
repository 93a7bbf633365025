"""What the services share: who calls, how errors are answered, the state of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from fate_flow.entities import Party
from fate_flow.errors import ConfigurationError, FateFlowError, ProtocolError
from fate_flow.federation import rpc
from fate_flow.federation.access import Access, NotForPeersError
from fate_flow.federation.addresses import MAX_REASON_CHARACTERS, check_name, check_party, printable
from fate_flow.federation.coordinator import Coordinator
from fate_flow.federation.diagnosis import Counters, Waits
from fate_flow.federation.failures import status_of
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peer_channels import PeerChannels
from fate_flow.federation.peers import Peer, PeerTable
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.routing import Router
from fate_flow.federation.store import BlobStore, StorageError
from fate_flow.federation.tokens import (
    Claims,
    ForeignTokenError,
    TokenError,
    verify,
    verify_site,
    verify_ticket,
)
from fate_flow.federation.tunnel import Tunnels

log = logging.getLogger("fate_flow.gateway")
_AUDIT = logging.getLogger("fate_flow.gateway.audit")


class GatewayState:
    """What the services share.

    Args:
        grace: seconds that a task's broken connection has to come back.
        peer_grace: the same for a task of another site whose gateway did not say it was lost.
        identity: of this site; None: standalone.
        tls: connections are judged by their certificates.
        api_url: of the site's own API, for messages of peers.
        peers_file: where the list of peers is kept; None: nowhere.
    """

    def __init__(
        self,
        secret: bytes,
        store: BlobStore,
        router: Router | None = None,
        *,
        grace: float = 3.0,
        peer_grace: float = 90.0,
        identity: SiteIdentity | None = None,
        tls: bool = True,
        api_url: str = "",
        peers_file: Path | None = None,
    ) -> None:
        self.secret = secret
        self.store = store
        self.router = router or Router()
        self.peer_grace = peer_grace
        self.identity = identity
        self.api_url = api_url
        self.access = Access(identity if tls else None)
        self.access.set_peers(self.router.peers)
        self.channels = PeerChannels(identity)
        #: Connects sites that cannot reach each other; set by the gateway.
        self.tunnel: Tunnels | None = None
        #: The process ends: tasks whose calls break now are not lost.
        self.stopping = False
        self._peers_file = peers_file
        self._peer_calls: dict[str, set[asyncio.Task[Any]]] = {}
        #: Calls ended because their peer is gone; gRPC tells a caller nothing of its own.
        self._dismissed: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.counters = Counters()
        self.waits = Waits()
        self.rooms = Coordinator(store, self.counters, grace=grace)
        #: Tells clients whether the process they talk to is the one they joined.
        self.incarnation = uuid.uuid4().hex
        self.started = time.monotonic()

    def set_peers(self, peers: PeerTable) -> None:
        """From now on these are the other sites; kept for the next start.

        Calls of peers that are gone, or are another now, are ended.

        Raises:
            ConfigurationError: one of them is this site, or has a party of it.
            StorageError: the list cannot be written; nothing has changed.
        """
        router = Router(self.router.hosted, peers)
        if self.identity is not None:
            own = peers.of_site(self.identity.site_id)
            if own is not None:
                raise ConfigurationError(f"peer {own.name} is this site itself")
        if self._peers_file is not None:
            _keep(self._peers_file, peers)
        before, self.router = self.router.peers, router
        self.access.set_peers(peers)
        self.channels.set_peers(peers)
        if self.tunnel is not None:
            self.tunnel.set_peers(peers)
        for peer in before:
            if peers.named(peer.name) != peer:
                for task in self._peer_calls.pop(peer.site_id, ()):
                    self._dismissed.add(task)
                    task.cancel()
        log.info("%d peers: %s", len(peers), ", ".join(peer.name for peer in peers) or "none")

    def open_tunnels(self, own_address: str) -> None:
        """Once the port is bound: ways to and from peers that cannot be called directly."""
        if self.identity is None or self._peers_file is None:
            return
        self.tunnel = Tunnels(
            lambda peer: self.channels.stub(peer, "Peer"), own_address, self._peers_file.parent
        )
        self.channels.socket_of = self.tunnel.socket_of
        self.channels.trouble_of = self.tunnel.trouble
        self.tunnel.set_peers(self.router.peers)

    def site_of(self, party: Party) -> str:
        """Where a party is, for texts; empty: here, or nobody knows."""
        peer = self.router.peers.of_party(party)
        return f"site {peer.name}" if peer is not None else ""

    def peer_of(self, context: Any) -> Peer | None:
        """The peer that calls; None: a process of this site.

        Raises:
            StrangerError: neither.
        """
        peer = self.access.peer_of(context)
        task = asyncio.current_task()
        if peer is not None and task is not None:
            calls = self._peer_calls.setdefault(peer.site_id, set())
            if task not in calls:
                calls.add(task)
                task.add_done_callback(calls.discard)
        return peer

    def require_peer(self, context: Any) -> Peer:
        """
        Raises:
            TokenError: it is not a peer that calls.
        """
        self.peer_of(context)
        return self.access.require_peer(context)

    @contextlib.asynccontextmanager
    async def answering(self, context: Any, method: str) -> AsyncIterator[None]:
        """Turns our errors into refusals with a reason, and unforeseen ones into a plain one."""
        try:
            yield
        except FateFlowError as error:
            if isinstance(error, TokenError):
                self.counters.add("calls_refused")
                _AUDIT.warning(
                    "refused %s from %s: %s", method, self.access.describe(context), error.message
                )
            elif isinstance(error, ProtocolError):
                who = self.access.describe(context)
                log.warning("refused %s from %s: %s", method, who, error.message)
            await context.abort(status_of(error), text_of(error), ((rpc.ERROR_KEY, error.code),))
        except asyncio.CancelledError:
            if asyncio.current_task() not in self._dismissed:
                raise
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "what this site knows of the caller's has changed"
            )
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("%s failed", method)
            await context.abort(
                grpc.StatusCode.INTERNAL, "the gateway has an error of its own; see its log"
            )

    def claims(self, context: Any, caller: pb.Caller) -> Claims:
        """What the call's token or ticket allows, checked against who the call says it is.

        Raises:
            TokenError
        """
        peer = self.peer_of(context)
        if peer is not None:
            return self._admit(peer, metadata_of(context, rpc.TICKET_KEY), caller)
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

    def _admit(self, peer: Peer, ticket: str, caller: pb.Caller) -> Claims:
        """A task of another site: its site may speak for the party, and takes part in the job."""
        allowed = verify_ticket(self.secret, ticket)
        party = check_party(caller.party.role, caller.party.party_id)
        if party not in peer.parties:
            raise ForeignTokenError(f"peer {peer.name} may not speak for {party}")
        if caller.job_id != allowed.job_id or party not in allowed.parties:
            raise ForeignTokenError(
                f"a ticket of job {allowed.job_id} was used for {party} in job "
                f"{printable(caller.job_id)}"
            )
        check_name("component", caller.component)
        check_name("session id", caller.session_id)
        return Claims(caller.job_id, caller.component, party, allowed.expires)

    def authenticate(self, context: Any) -> None:
        """For streams, before their first message: strangers are not waited for.

        Raises:
            TokenError
        """
        if self.peer_of(context) is not None:
            verify_ticket(self.secret, metadata_of(context, rpc.TICKET_KEY))
        else:
            verify(self.secret, _token(context))

    def require_site(self, context: Any) -> None:
        """
        Raises:
            TokenError: it is not the site's own API that calls.
        """
        peer = self.peer_of(context)
        if peer is not None:
            raise NotForPeersError(f"peer {peer.name} called what is for the site itself")
        verify_site(self.secret, _token(context))


def ref(party: Party) -> pb.PartyRef:
    return pb.PartyRef(role=party.role, party_id=party.party_id)


def refs(parties: Iterable[Party]) -> list[pb.PartyRef]:
    return [ref(party) for party in parties]


def text_of(error: FateFlowError) -> str:
    return printable(str(error), MAX_REASON_CHARACTERS + 200)


def metadata_of(context: Any, key: str) -> str:
    """A text that a call carries; empty without one."""
    for name, value in context.invocation_metadata() or ():
        if name == key and isinstance(value, str):
            return value
    return ""


def read_peers(path: Path) -> PeerTable:
    """The list of peers that :meth:`GatewayState.set_peers` has kept.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        return PeerTable.from_json(path.read_text())
    except FileNotFoundError:
        return PeerTable()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def _keep(path: Path, peers: PeerTable) -> None:
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(peers.to_json())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"the list of peers cannot be written: {error.strerror}",
            remedy="See whether the disk is full and the folder is writable",
        ) from None


def _token(context: Any) -> str:
    return metadata_of(context, "authorization").removeprefix("Bearer ").strip()
