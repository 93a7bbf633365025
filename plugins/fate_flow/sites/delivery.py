"""Delivers what lies in the outbox, to each site on its own, until it is taken.

One loop in every API server; messages are snapshots with versions, so it does no harm when
two deliver the same one.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from fate_flow import settings as site_settings
from fate_flow.db.models import now_ms
from fate_flow.db.session import create_session
from fate_flow.errors import FateFlowError
from fate_flow.federation.admin import GatewayAdmin
from fate_flow.federation.peers import PeerRefusedError
from fate_flow.sites import outbox
from fate_flow.sites.outbox import Message

log = logging.getLogger("fate_flow.sites")

INTERVAL = 0.5
_SECONDS = 15.0
_WORKERS = 8

#: Told of a message that a site has refused for good.
OnRefusal = Callable[[Session, Message, str], None]
#: Done in each round, beside the deliveries.
Chore = Callable[[], object]

#: In a message: when it was sent, by its sender's clock (:mod:`fate_flow.jobs.clocks`).
SENT_AT = "sent_at"

_wake = threading.Event()


def wake() -> None:
    """Look into the outbox now: something was put there, and committed."""
    _wake.set()


def body_of(message: Message) -> dict[str, Any]:
    """What is sent now of a message that may have been written long ago."""
    return {**message.body, SENT_AT: now_ms()}


def call(peer: str, method: str, body: dict[str, Any], timeout: float = _SECONDS) -> Any:
    """Send one message and wait for its answer.

    Raises:
        PeerUnreachableError: it may or may not have arrived.
        PeerRefusedError: the site said no.
        FateFlowError: the own gateway does not answer.
    """
    with GatewayAdmin.of(site_settings.current()) as gateway:
        return gateway.call_peer(peer, method, body, timeout)


class Delivery:
    """The loop, in a daemon thread."""

    def __init__(self, on_refusal: OnRefusal, chores: tuple[Chore, ...] = ()) -> None:
        self._on_refusal = on_refusal
        self._chores = chores
        self._stop = threading.Event()
        self._busy: set[str] = set()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="fate-flow-delivery")
        self._thread = threading.Thread(target=self._loop, name="fate-flow-outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        _wake.set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            _wake.wait(INTERVAL)
            _wake.clear()
            for step in (self._round, *self._chores):
                try:
                    step()
                except OperationalError as error:
                    log.warning("the database is busy, looking again: %s", error.orig)
                except Exception:
                    log.exception("the delivery loop failed once")

    def _round(self) -> None:
        with create_session() as session:
            messages = outbox.due(session, now_ms())
        by_peer: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            by_peer[message.peer].append(message)
        for peer, those in by_peer.items():
            if peer not in self._busy:
                self._busy.add(peer)
                self._pool.submit(self._deliver, peer, those)

    def _deliver(self, peer: str, messages: list[Message]) -> None:
        try:
            for message in messages:
                if not self._deliver_one(message):
                    break
        except Exception:
            log.exception("messages to %s could not be delivered", peer)
        finally:
            self._busy.discard(peer)

    def _deliver_one(self, message: Message) -> bool:
        """Whether the site answered."""
        try:
            call(message.peer, message.method, body_of(message))
        except PeerRefusedError as error:
            log.warning("%s refused %s: %s", message.peer, message.method, error.message)
            with create_session() as session:
                self._on_refusal(session, message, error.message)
                outbox.taken(session, message)
            return True
        except FateFlowError as error:
            if message.attempts in (0, 5, 50):
                log.warning("%s for %s: %s", message.method, message.peer, error.message)
            with create_session() as session:
                outbox.not_taken(session, message, error.message)
            return False
        with create_session() as session:
            outbox.taken(session, message)
        return True
