"""How a task tells its site what happens: batched HTTP posts with a short-lived token.

A task never opens a database. Events are queued, sent about once a second, and again
until the site acknowledges them, so a restart of the API server loses nothing. Each
batch has a number; the site drops a batch that it has seen.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import requests

from fate_flow.entities import Party, TaskIdentity, TaskStatus
from fate_flow.errors import FateFlowError
from fate_flow.federation import tokens

if TYPE_CHECKING:
    from fate_flow.settings import Settings

log = logging.getLogger("fate_flow.task")

#: Seconds between two posts while a task runs.
BATCH_SECONDS = 0.5
#: Points that are sent at once at most; more wait for the next post.
MAX_EVENTS = 2000
#: Seconds that a task waits for its site's API to come back.
GIVE_UP_SECONDS = 300.0
TOKEN_SECONDS = 8 * 24 * 3600.0


class SiteUnreachableError(FateFlowError):
    """The site's own API did not answer for a long time."""

    code = "site_unreachable"
    remedy = "Look at the API server with: fate_flow service status"


class JobOverError(FateFlowError):
    """The site says that the job has ended (stopped, timed out): the task should end too."""

    code = "job_over"


class SiteClient:
    """Posts to ``/v1/internal`` of the own site, with retries while it is away."""

    def __init__(self, base_url: str, token: str, give_up: float = GIVE_UP_SECONDS) -> None:
        self._base_url = base_url.rstrip("/") + "/v1/internal"
        self._give_up = give_up
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def for_job(cls, settings: Settings, job_id: str) -> SiteClient:
        """A client that may speak for the job as a whole (its finish task)."""
        token = tokens.issue(
            settings.secret(),
            job_id=job_id,
            component="*",
            role="local",
            party_id=0,
            ttl=TOKEN_SECONDS,
        )
        return cls(settings.http_url, token)

    @classmethod
    def for_task(cls, settings: Settings, identity: TaskIdentity) -> SiteClient:
        return cls(settings.http_url, task_token(settings, identity))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """``data`` of the answer.

        Raises:
            SiteUnreachableError: no answer within the give-up time.
            JobOverError: the site refuses because the job has ended.
            FateFlowError: the site refuses for another reason.
        """
        end = time.monotonic() + self._give_up
        delay = 0.1
        while True:
            try:
                response = self._session.post(self._base_url + path, json=body, timeout=60)
                if response.status_code < 500:
                    return self._data_of(response)
                reason = f"HTTP {response.status_code}"
            except requests.exceptions.InvalidJSONError as error:
                raise FateFlowError(f"a report cannot be sent as JSON: {error}") from None
            except requests.RequestException as error:
                reason = type(error).__name__
            if time.monotonic() + delay > end:
                raise SiteUnreachableError(f"the site's API does not answer ({reason})")
            time.sleep(delay)
            delay = min(delay * 2, 2.0)

    @staticmethod
    def _data_of(response: requests.Response) -> Any:
        try:
            answer = response.json()
        except ValueError:
            raise FateFlowError(
                f"the site answered HTTP {response.status_code}, not JSON"
            ) from None
        if answer.get("retcode") == 0:
            return answer.get("data")
        message = str(answer.get("retmsg", "refused"))
        if message.startswith("job is over"):
            raise JobOverError(message)
        raise FateFlowError(message)

    def close(self) -> None:
        self._session.close()


def task_token(settings: Settings, identity: TaskIdentity) -> str:
    """The token of one task: opens the gateway and the report route for it, nothing else."""
    return tokens.issue(
        settings.secret(),
        job_id=identity.job_id,
        component=identity.component,
        role=identity.party.role,
        party_id=identity.party.party_id,
        ttl=TOKEN_SECONDS,
    )


class Reporter:
    """Queues events of one task and sends them from a thread of its own.

    Implements :class:`fate_flow.runtime.context.Tracker`.
    """

    def __init__(self, client: SiteClient, party: Party, try_number: int) -> None:
        self._client = client
        self._party = party
        self._try_number = try_number
        # Grows over restarts of the task too, so that the site can tell old from new.
        self._number = try_number * 1_000_000_000
        self._events: list[dict[str, Any]] = []
        self._progress: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._broken: FateFlowError | None = None
        self._thread = threading.Thread(target=self._send_loop, name="reporter", daemon=True)
        self._sending = threading.Lock()
        self._unsent: dict[str, Any] | None = None

    def start(self) -> None:
        self._thread.start()

    # -- Tracker -----------------------------------------------------------------------

    def metrics(
        self,
        namespace: str,
        name: str,
        points: Iterable[tuple[Any, Any]] = (),
        meta: Mapping[str, Any] | None = None,
        *,
        job_level: bool = False,
    ) -> None:
        self._put(
            kind="metrics",
            namespace=namespace,
            name=name,
            job_level=job_level,
            points=[[_plain(key), _plain(value)] for key, value in points],
            meta={key: _plain(value) for key, value in (meta or {}).items()},
        )

    def progress(self, done: float, message: str = "") -> None:
        share = {"done": float(done)} if math.isfinite(done) else {}
        with self._changed:
            self._progress.update(share, message=message)

    def data_view(self, **columns: Any) -> None:
        self._put(kind="data_view", columns={k: _plain(v) for k, v in columns.items()})

    # -- life of the task --------------------------------------------------------------

    def waiting_for(self, reason: str | None) -> None:
        """What the task waits for right now, or None when it works again."""
        with self._changed:
            self._progress["waiting_for"] = reason or ""

    def status(self, status: str, *, attempt: int = 0, error: str = "", final: bool = True) -> None:
        """Report a status and return when the site has stored it with all events before.

        ``final`` False marks a failure that Airflow will try again.
        """
        self._put(
            kind="status",
            status=status,
            attempt=attempt,
            try_number=self._try_number,
            error=error,
            final=final,
            pid=os.getpid(),
            host=socket.gethostname(),
            time=int(time.time() * 1000),
        )
        self.flush()

    def has_succeeded(self) -> bool:
        """Whether an earlier process of this task has reported success already.

        Raises:
            SiteUnreachableError, JobOverError: see :meth:`SiteClient.post`.
        """
        with self._sending:
            stored = self._client.post("/task", {})
        return bool(stored) and stored.get("status") == TaskStatus.SUCCESS.value

    def flush(self) -> None:
        """Send everything that is queued.

        Raises:
            SiteUnreachableError, JobOverError: see :meth:`SiteClient.post`.
        """
        while self._send_batch():
            pass

    def close(self) -> None:
        """Stop the thread; what is still queued is sent if the site answers."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._client.close()

    @property
    def broken(self) -> FateFlowError | None:
        """Why reports no longer reach the site, if so."""
        return self._broken

    def _put(self, **event: Any) -> None:
        with self._changed:
            self._events.append(event)

    def _send_loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(BATCH_SECONDS)
                closing = self._closing
            try:
                self._send_batch()
            except FateFlowError as error:
                self._broken = error
                log.warning("reports do not reach the site: %s", error)
            if closing:
                return

    def _send_batch(self) -> bool:
        """Send one batch; True when something was sent. One batch at a time, in order."""
        with self._sending:
            if self._unsent is None:
                self._unsent = self._next_batch()
            if self._unsent is None:
                return False
            # A batch that may have arrived goes out again as it was, under its own number.
            self._client.post("/report", self._unsent)
            self._unsent = None
            return True

    def _next_batch(self) -> dict[str, Any] | None:
        with self._changed:
            events = self._events[:MAX_EVENTS]
            del self._events[:MAX_EVENTS]
            if self._progress:
                events.append({"kind": "progress", **self._progress})
                self._progress = {}
        if not events:
            return None
        self._number += 1
        return {"number": self._number, "events": events}


def _plain(value: Any) -> Any:
    """A JSON value: numpy becomes plain, what JSON has no number for becomes its name."""
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
