"""The client: all groups of calls over one connection."""

from __future__ import annotations

from types import TracebackType

from fate_flow.client.data import DataCalls
from fate_flow.client.jobs import JobCalls
from fate_flow.client.models import ModelCalls
from fate_flow.client.tracking import TrackingCalls
from fate_flow.client.transport import Transport


class FateFlowClient(JobCalls, DataCalls, TrackingCalls, ModelCalls):
    """Client of one server.

    Args:
        address: ``host:port`` or URL; else the environment's ``FATE_FLOW_ADDRESS``, else the
            settings of the site's home, else 127.0.0.1:9380.
        token: bearer token; else the environment's ``FATE_FLOW_TOKEN``.
        timeout: seconds without a byte from the server after which a call has failed.

    Every call raises :class:`~fate_flow.client.answers.ApiError` when the server's retcode
    is not 0 and :class:`~fate_flow.client.answers.ServerUnreachableError` when there is no
    answer. Calls that change nothing are repeated when the connection is lost; others never.
    """

    def __init__(
        self, address: str | None = None, token: str | None = None, *, timeout: float = 300.0
    ) -> None:
        self.transport = Transport(address or "", token, timeout)

    @property
    def url(self) -> str:
        return self.transport.url

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> FateFlowClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
