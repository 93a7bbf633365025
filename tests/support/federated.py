"""Gateways of several sites that know each other, and the way between them, to be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fate_flow.entities import Party
from fate_flow.federation import tokens
from fate_flow.federation.client import GatewaySession
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import Peer, PeerTable
from tests.support.gateway import ARBITER, GUEST, HOST, JOB, GatewayProcess


@dataclass
class FederatedGateway(GatewayProcess):
    """The gateway of a site with an identity.

    Attributes:
        name: of the site.
        parties: whom it hosts.
        public: address for the others; empty: its own.
    """

    name: str = "site"
    parties: tuple[Party, ...] = ()
    public: str = ""
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.extra = {
            "PARTIES": [party.key.replace("_", ":") for party in self.parties],
            **self.extra,
        }
        super().__post_init__()
        SiteIdentity.create(self.settings, self.name)

    @property
    def identity(self) -> SiteIdentity:
        return SiteIdentity.load(self.settings)

    def card(self) -> Peer:
        """This site as the others know it."""
        identity = self.identity
        values: dict[str, Any] = {
            "name": self.name,
            "site_id": identity.site_id,
            "parties": self.parties,
            "ca_pem": identity.ca_pem,
            "seal_public": identity.seal_public,
            "address": self.public or f"127.0.0.1:{self.port}",
        }
        return Peer(**{**values, **self.changes})

    def know(self, *others: FederatedGateway | Peer) -> None:
        cards = [other if isinstance(other, Peer) else other.card() for other in others]
        with self.admin() as admin:
            admin.set_peers(PeerTable(cards))

    def ticket(self, parties: Iterable[Party], job: str = JOB, ttl: float = 600.0) -> str:
        """Of this site as the home of a job."""
        return tokens.issue_ticket(self.settings.secret(), job_id=job, parties=parties, ttl=ttl)

    def task(self, party: Party, home: FederatedGateway, **options: Any) -> GatewaySession:
        """A task of this site in a job of ``home``."""
        job = options.get("job", JOB)
        if home is not self:
            options.setdefault("home", home.parties[0])
            options.setdefault("ticket", home.ticket(self.parties, job))
        return self.session(party, **options)


@contextlib.contextmanager
def three_sites(folder: Path, **extra: Any) -> Iterator[list[FederatedGateway]]:
    """Bank of the guest, shop of the host, office of the arbiter; all started."""
    names = (("bank", GUEST), ("shop", HOST), ("office", ARBITER))
    sites = [
        FederatedGateway(folder / name, dict(extra), name=name, parties=(party,))
        for name, party in names
    ]
    try:
        for site in sites:
            site.start()
        for site in sites:
            site.know(*(other for other in sites if other is not site))
        yield sites
    finally:
        for site in sites:
            site.stop()


class Proxy:
    """Passes TCP connections on to an address, until it is cut.

    Attributes:
        address: where it listens.
        opened: connections so far.
        passed: bytes of both directions so far.
        rate: bytes per second of each direction of a connection; None: as many as can be.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self.opened = 0
        self.passed = 0
        self.rate: float | None = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and take no new ones."""
        with self._lock:
            self._cut = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                if self._cut:
                    near.close()
                    continue
                self.opened += 1
            try:
                far = socket.create_connection(self._target, 5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 18 if self.rate is None else 1 << 14):
                if self.rate is not None:
                    time.sleep(len(data) / self.rate)
                target.sendall(data)
                with self._lock:
                    self.passed += len(data)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {source, target}


def wait_until(what: Any, seconds: float = 15.0) -> None:
    """Until ``what()`` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
