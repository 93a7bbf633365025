"""Errors of the platform: one base class, a retcode, and problems that say where.

A user never sees a traceback. Whatever reaches a rim (HTTP, gRPC, CLI, task)
is a :class:`FateFlowError` whose text says what was found, where, what is
allowed and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RETCODE_OK = 0
RETCODE_EXCEPTION = 100
RETCODE_NOT_FOUND = 101
RETCODE_SERVER = 500
RETCODE_OTHER_SERVER = 999

#: Marks "no value was there", where None would be a legal value.
MISSING = object()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        path: where, as a JSON path from the document's root (``job_dsl.components.lr_0.module``).
        message: what is wrong, including what was found.
        allowed: what would be accepted; empty when the message says it.
        hint: what to do, for instance a "did you mean".
    """

    path: str
    message: str
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.hint:
            text += f"; {self.hint}"
        return text


class FateFlowError(Exception):
    """Base of all errors that a user may see.

    Attributes:
        code: short stable name; docs/when-something-is-wrong.md has a row for it.
        retcode: the FATE-Flow retcode it is answered with.
        remedy: what to do about it.
    """

    code = "error"
    retcode = RETCODE_EXCEPTION
    remedy = ""

    def __init__(self, message: str, *, remedy: str = "", retcode: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if remedy:
            self.remedy = remedy
        if retcode is not None:
            self.retcode = retcode

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class InvalidInputError(FateFlowError):
    """A document (DSL, runtime conf, settings, request) has problems; carries all of them."""

    code = "invalid_input"

    def __init__(self, problems: Iterable[Problem] | str, *, remedy: str = "") -> None:
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), remedy=remedy)


class NotFoundError(FateFlowError):
    """A job, task, table or model that was asked for does not exist."""

    code = "not_found"
    retcode = RETCODE_NOT_FOUND


class ConfigurationError(FateFlowError):
    """The site's settings cannot be used as they are."""

    code = "configuration"


class DataError(FateFlowError):
    """A table's content cannot be used: bad line, missing label column, empty result."""

    code = "data"


class TableNotFoundError(NotFoundError):
    """A table that a job or a request names is not in this site's store."""

    code = "table_not_found"


class ProtocolError(FateFlowError):
    """A peer sent something that the protocol does not allow."""

    code = "protocol"


class CryptoError(FateFlowError):
    """A ciphertext, key or fixed-point number cannot be used (overflow, foreign key, tampering)."""

    code = "crypto"


class FederationTimeoutError(FateFlowError):
    """A wait for a peer passed its deadline; the text says who, what and how long."""

    code = "federation_timeout"


class GatewayUnreachableError(FederationTimeoutError):
    """The site's own gateway does not answer; another try of the task may find it back."""

    code = "gateway_unreachable"


class PeerFailedError(FateFlowError):
    """Another party's task of the same component failed; the text carries its reason."""

    code = "peer_failed"


class AttemptSupersededError(FateFlowError):
    """The component is being computed anew (a party was restarted): drop work, join again."""

    code = "attempt_superseded"


class UnsupportedError(FateFlowError):
    """A valid request for something that this version does not do."""

    code = "unsupported"
