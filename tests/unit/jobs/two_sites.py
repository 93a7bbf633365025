"""Two sites with databases of their own; what one says reaches the other's handlers at once,
twice, late or never, as the test wants it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.data.table import SID, VALUE, TableKind, TableSchema
from fate_flow.db.models import Job, JobDetail, Outbox, now_ms
from fate_flow.entities import Party
from fate_flow.errors import FateFlowError, InvalidInputError
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.peers import PeerRefusedError, PeerUnreachableError
from fate_flow.federation.tokens import Claims
from fate_flow.jobs import incoming, offering, sealing, service, starting
from fate_flow.jobs.reports import apply_reports
from fate_flow.sites import delivery, invitation, outbox, peers
from tests.support.site import CONF, DSL, Site

GUEST, HOST = Party("guest", 9999), Party("host", 10000)


@dataclass
class Two:
    """Guest's and host's site.

    Attributes:
        active: the one whose code runs.
        is_cut: whether nothing goes between them.
        calls: (receiver, method) of what was said at once.
    """

    guest: Site
    host: Site
    active: Site
    is_cut: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    @contextlib.contextmanager
    def at(self, site: Site) -> Iterator[Session]:
        before, self.active = self.active, site
        try:
            with self.session() as session:
                yield session
        finally:
            self.active = before

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """As the API's: code may commit in the middle."""
        with Session(self.active.engine) as session:
            yield session
            session.commit()

    def call(self, peer: str, method: str, body: dict[str, Any], timeout: float = 0) -> Any:
        """What :func:`fate_flow.sites.delivery.call` does, without gateways."""
        self.calls.append((peer, method))
        if self.is_cut:
            raise PeerUnreachableError(f"site {peer} cannot be reached")
        receiver, sender = (self.host, "bank-a") if peer == "bank-b" else (self.guest, "bank-b")
        with self.at(receiver) as session:
            handler = incoming.HANDLERS[method]
            try:
                return handler(session, receiver.settings, sender, json.loads(json.dumps(body)))
            except FateFlowError as error:
                session.rollback()
                found = error.problems if isinstance(error, InvalidInputError) else []
                data = {"problems": [asdict(problem) for problem in found]}
                raise PeerRefusedError(str(error), retcode=100, data=data) from None

    def deliver(self, *, keep: bool = False) -> int:
        """Take what lies in both outboxes until nothing new comes; number of messages."""
        count = 0
        for _ in range(20):
            sent = 0
            for site in (self.guest, self.host):
                with self.at(site) as session:
                    messages = outbox.due(session, now_ms() + 10**9)
                    bodies = [delivery.body_of(message) for message in messages]
                for message, body in zip(messages, bodies, strict=True):
                    self.call(message.peer, message.method, body)
                    sent += 1
                    if not keep:
                        with self.at(site) as session:
                            outbox.taken(session, message)
            count += sent
            if not sent or keep:
                break
        return count

    def submit(self, conf: Any = None) -> str:
        with self.at(self.guest) as session:
            return service.submit_job(session, DSL, conf or CONF).job_id

    def start(self, job_id: str) -> None:
        self.active = self.guest
        starting.Starter()()
        self.deliver()

    def report(self, site: Site, job_id: str, component: str, party: Party, status: str) -> None:
        key = (component, party.key)
        self.numbers[key] = self.numbers.get(key, 0) + 1
        claims = Claims(job_id, component, party, 0.0)
        event = {"kind": "status", "status": status, "error": "broke" if status == "failed" else ""}
        with self.at(site) as session:
            apply_reports(session, claims, {"number": self.numbers[key], "events": [event]})

    def work(self, job_id: str, *, last: str = "success") -> None:
        """All tasks run and succeed; the very last one, the host's, ends as wanted."""
        for component in ("dataio_0", "intersection_0"):
            for site, party in ((self.guest, GUEST), (self.host, HOST)):
                self.report(site, job_id, component, party, "running")
                is_last = (component, party) == ("intersection_0", HOST)
                self.report(site, job_id, component, party, last if is_last else "success")

    def seal(self, site: Site, job_id: str) -> None:
        with self.at(site) as session:
            sealing.seal_job(session, job_id)

    def states(self, job_id: str) -> dict[str, set[str]]:
        found = {}
        for site, name in ((self.guest, "guest"), (self.host, "host")):
            with self.at(site) as session:
                rows = session.scalars(select(Job.f_status).where(Job.f_job_id == job_id))
                found[name] = set(rows)
        return found

    def detail(self, site: Site, job_id: str) -> JobDetail:
        with self.at(site) as session:
            found = session.get_one(JobDetail, job_id)
            session.expunge(found)
            return found

    def is_quiet(self) -> bool:
        counts = []
        for site in (self.guest, self.host):
            with self.at(site) as session:
                counts.append(session.scalar(select(func.count()).select_from(Outbox)))
        return counts == [0, 0]


@contextlib.contextmanager
def two_sites(folder: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    """Each has the other as its peer."""
    made = {}
    for name, party, table in (("bank-a", GUEST, "g"), ("bank-b", HOST, "h")):
        site = Site.make(folder / name, template, monkeypatch, PARTIES=[party.key])
        SiteIdentity.create(site.settings, name)
        rows = pa.table({SID: ["1", "2"], VALUE: ["1,2", "3,4"]})
        site.tables.put("n", table, rows, TableSchema(TableKind.RAW, "id", ("x0", "x1")))
        made[name] = site
    two = Two(made["bank-a"], made["bank-b"], made["bank-a"])
    monkeypatch.setattr(site_settings, "current", lambda: two.active.settings)
    monkeypatch.setattr(service, "cancel_at_gateway", lambda *_: None)
    monkeypatch.setattr(peers, "_push", lambda *_: "")
    monkeypatch.setattr(delivery, "call", two.call)
    for module in (offering, starting, service):
        monkeypatch.setattr(module, "create_session", two.session)
    for site, other, party in (
        (two.guest, made["bank-b"], HOST),
        (two.host, made["bank-a"], GUEST),
    ):
        card = SiteIdentity.load(other.settings)
        with two.at(site) as session:
            invited = invitation.new(
                site_id=card.site_id,
                name=card.name,
                parties=(party,),
                ca_pem=card.ca_pem,
                seal_public=card.seal_public,
                address="127.0.0.1:1",
                days=1,
            )
            own = SiteIdentity.load(site.settings)
            peers.add(session, invited, own_site_id=own.site_id, own_parties=())
    yield two
    for site in made.values():
        site.close()
