"""HTTP: one session, a bearer token, JSON answers, streamed files, retries where they are safe."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import requests

from fate_flow.client.address import TOKEN_VARIABLE, is_loopback, server_url
from fate_flow.client.answers import ServerUnreachableError
from fate_flow.client.multipart import MultipartFile
from fate_flow.errors import FateFlowError

REFUSED = "Connection refused, Please check if the fate flow service is started"
CONNECT_TIMEOUT = 10.0
_PAUSES = (0.2, 0.6, 1.5)

#: (bytes done, bytes in all or None) -> nothing; called while a file is sent or received.
Progress = Callable[[int, "int | None"], None]


@dataclass
class Transport:
    """Requests to one server.

    Attributes:
        url: ``http://host:port``; resolved from environment and settings when empty.
        token: bearer token; the environment's ``FATE_FLOW_TOKEN`` when None.
        timeout: seconds without a byte from the server after which a request has failed.
    """

    url: str = ""
    token: str | None = None
    timeout: float = 300.0
    _session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        self.url = server_url(self.url)
        # A proxy from the environment cannot reach a loopback address of this machine.
        self._session.trust_env = not is_loopback(self.url)
        token = os.environ.get(TOKEN_VARIABLE) if self.token is None else self.token
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._session.close()

    def call(
        self, path: str, body: Any = None, *, method: str = "POST", repeatable: bool = False
    ) -> dict[str, Any]:
        """Send JSON to ``/v1/<path>`` and return the answer, whatever its retcode.

        Args:
            path: below ``/v1/``.
            body: JSON value.
            method: HTTP method.
            repeatable: doing it twice is doing it once, so a lost connection is tried again.

        Raises:
            ServerUnreachableError: no answer.
            FateFlowError: an answer that is not JSON.
        """
        response = self._send(method, path, {"json": body or {}}, repeatable, stream=False)
        with response:
            return envelope(response)

    def download(self, path: str, body: Any) -> requests.Response:
        """GET with a JSON body, as the file endpoints want it; the caller reads and closes."""
        return self._send("GET", path, {"json": body}, repeatable=True, stream=True)

    def upload(
        self,
        path: str,
        fields: Mapping[str, Any],
        name: str,
        content: IO[bytes],
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Send form fields and one file part ``file``, read from ``content`` while it is sent."""
        body = MultipartFile(fields, name, content, progress)
        arguments = {"data": body, "headers": {"Content-Type": body.content_type}}
        with self._send("POST", path, arguments, repeatable=False, stream=False) as response:
            return envelope(response)

    def _send(
        self, method: str, path: str, arguments: dict[str, Any], repeatable: bool, *, stream: bool
    ) -> requests.Response:
        url = f"{self.url}/v1/{path}"
        pauses = list(_PAUSES) if repeatable else []
        while True:
            try:
                return self._session.request(
                    method, url, timeout=(CONNECT_TIMEOUT, self.timeout), stream=stream, **arguments
                )
            except requests.RequestException as error:
                problem = self._explain(error)
                lost = isinstance(error, (requests.ConnectionError, requests.Timeout))
                if not lost or problem.refused or not pauses:
                    raise problem from None
                # Each try waits longer: the server may just be starting.
                time.sleep(pauses.pop(0))

    def _explain(self, error: requests.RequestException) -> ServerUnreachableError:
        if "Connection refused" in str(error) or _caused_by(error, ConnectionRefusedError):
            return ServerUnreachableError(f"{REFUSED} at {self.url}", refused=True)
        if isinstance(error, requests.ConnectTimeout):
            return ServerUnreachableError(
                f"{self.url} does not answer: no connection within {CONNECT_TIMEOUT:g} s",
                remedy="Check the address and the network",
            )
        if isinstance(error, requests.Timeout):
            return ServerUnreachableError(
                f"{self.url} did not answer within {self.timeout:g} s",
                remedy="The request may still be worked on; ask for its state before repeating it",
            )
        if isinstance(error, requests.exceptions.SSLError):
            return ServerUnreachableError(f"{self.url}: the TLS connection failed: {error}")
        return ServerUnreachableError(
            f"{self.url}: the connection was lost ({_innermost(error)})",
            remedy="Check the address and whether the service runs",
        )


def _chain(error: BaseException) -> list[BaseException]:
    """The error, its causes, and errors kept as arguments or as ``reason``, outermost first."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return found


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(item, kind) for item in _chain(error))


def _innermost(error: BaseException) -> str:
    named = [item for item in _chain(error) if isinstance(item, OSError) and item.strerror]
    return str(named[-1].strerror) if named else type(_chain(error)[-1]).__name__


def envelope(response: requests.Response) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        FateFlowError: there is none; the text says what came instead.
    """
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and "retcode" in answer:
        return answer
    if response.status_code in (401, 403):
        said = answer.get("detail") if isinstance(answer, dict) else ""
        raise FateFlowError(
            f"{response.url} refused the request (HTTP {response.status_code}){_said(said)}",
            remedy=f"Put a token of the server into the environment variable {TOKEN_VARIABLE}",
        )
    said = answer.get("detail") if isinstance(answer, dict) else ""
    raise FateFlowError(
        f"{response.url} answered with HTTP {response.status_code}, which is no answer of "
        f"FATE-Flow{_said(said)}",
        remedy="Check the address of the server",
    )


def _said(text: object) -> str:
    return f": {text}" if text else ""
