"""Errors that pass between gateway and client, and how they travel over gRPC."""

from __future__ import annotations

import grpc

from fate_flow.errors import (
    AttemptSupersededError,
    ConfigurationError,
    FateFlowError,
    FederationTimeoutError,
    PeerFailedError,
    ProtocolError,
    UnsupportedError,
)
from fate_flow.federation.access import NotForPeersError, StrangerError
from fate_flow.federation.peers import (
    PeerRefusedError,
    PeerUnreachableError,
    ProtocolVersionError,
    SiteNotReadyError,
)
from fate_flow.federation.routing import RouteError
from fate_flow.federation.store import StorageError
from fate_flow.federation.tokens import ForeignTokenError, TokenError


class JobCanceledError(PeerFailedError):
    """The job was cancelled; its tasks end as if a peer had failed."""

    code = "job_canceled"


class TaskReplacedError(FateFlowError):
    """Another process of the same task took over; this one must end without a trace."""

    code = "task_replaced"


class DetachedError(FateFlowError):
    """The gateway does not know this task's process (any more): attach first."""

    code = "detached"


_STATUS: dict[type[FateFlowError], grpc.StatusCode] = {
    AttemptSupersededError: grpc.StatusCode.ABORTED,
    PeerFailedError: grpc.StatusCode.FAILED_PRECONDITION,
    JobCanceledError: grpc.StatusCode.FAILED_PRECONDITION,
    TaskReplacedError: grpc.StatusCode.FAILED_PRECONDITION,
    DetachedError: grpc.StatusCode.FAILED_PRECONDITION,
    FederationTimeoutError: grpc.StatusCode.DEADLINE_EXCEEDED,
    ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
    TokenError: grpc.StatusCode.UNAUTHENTICATED,
    ForeignTokenError: grpc.StatusCode.PERMISSION_DENIED,
    StrangerError: grpc.StatusCode.UNAUTHENTICATED,
    NotForPeersError: grpc.StatusCode.PERMISSION_DENIED,
    PeerUnreachableError: grpc.StatusCode.UNAVAILABLE,
    PeerRefusedError: grpc.StatusCode.FAILED_PRECONDITION,
    SiteNotReadyError: grpc.StatusCode.UNAVAILABLE,
    ProtocolVersionError: grpc.StatusCode.FAILED_PRECONDITION,
    RouteError: grpc.StatusCode.NOT_FOUND,
    UnsupportedError: grpc.StatusCode.UNIMPLEMENTED,
    ConfigurationError: grpc.StatusCode.FAILED_PRECONDITION,
    StorageError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_BY_CODE = {cls.code: cls for cls in _STATUS}


def status_of(error: FateFlowError) -> grpc.StatusCode:
    for cls in type(error).__mro__:
        if cls in _STATUS:
            return _STATUS[cls]
    return grpc.StatusCode.UNKNOWN


def error_of(code: str, message: str) -> FateFlowError:
    """The error that a peer named; its text already contains its remedy."""
    error = _BY_CODE.get(code, FateFlowError)(message)
    error.remedy = ""
    return error
