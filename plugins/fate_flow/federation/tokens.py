"""Tokens: a task's speaks for one party in one component of one job, a site's for the site,
a transfer's opens one model for FATE-Serving, a job's ticket lets the tasks of other sites
take part at this site's gateway.

``base64url(claims JSON) "." base64url(HMAC-SHA256)``. The kinds are signed with different
keys derived from the site's secret, so that one can never pass for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fate_flow.entities import ROLES, Party
from fate_flow.errors import FateFlowError

_TASK_KEY = b"fate-flow task token 1"
_SITE_KEY = b"fate-flow site token 1"
_TRANSFER_KEY = b"fate-flow transfer token 1"
_TICKET_KEY = b"fate-flow ticket 1"
_MAX_LENGTH = 2048
_FORM = re.compile(r"[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+")


class TokenError(FateFlowError):
    """A token is missing, damaged, expired or signed by somebody else."""

    code = "token"
    remedy = "The site issues a new token with every start of a task"


class ForeignTokenError(TokenError):
    """A valid token was used for another job, component or party than its own."""

    code = "foreign_token"
    remedy = "A task may only speak for its own party, within its own component"


@dataclass(frozen=True)
class Ticket:
    """What a job's ticket says.

    Attributes:
        job_id: the only job it is good for.
        parties: whose tasks may use it.
        expires: Unix time, seconds.
    """

    job_id: str
    parties: frozenset[Party]
    expires: float


@dataclass(frozen=True)
class Claims:
    """What a valid token says.

    Attributes:
        job_id, component, party: the only task that it speaks for.
        expires: Unix time, seconds.
    """

    job_id: str
    component: str
    party: Party
    expires: float

    @property
    def who(self) -> str:
        return f"{self.party} in {self.component} of job {self.job_id}"


def issue(
    secret: bytes, *, job_id: str, component: str, role: str, party_id: int, ttl: float
) -> str:
    """A token for one task, valid for ``ttl`` seconds.

    Raises:
        ValueError: an empty secret, or an unknown role.
    """
    if role not in ROLES:
        raise ValueError(f"role {role!r} is unknown")
    return _sign(
        secret,
        _TASK_KEY,
        {
            "job": job_id,
            "component": component,
            "role": role,
            "party": int(party_id),
            "exp": round(time.time() + ttl, 3),
        },
    )


def verify(secret: bytes, token: str) -> Claims:
    """What a task's token says.

    Raises:
        TokenError: it is not one of this site's valid task tokens.
    """
    claims = _open(secret, _TASK_KEY, token)
    return Claims(
        claims["job"],
        claims["component"],
        Party(claims["role"], claims["party"]),
        claims["exp"],
    )


def issue_site(secret: bytes, *, ttl: float = 300.0) -> str:
    """A token for calls of the site's own API to its gateway (cancel, reset, status)."""
    return _sign(secret, _SITE_KEY, {"exp": round(time.time() + ttl, 3)})


def verify_site(secret: bytes, token: str) -> None:
    """
    Raises:
        TokenError: it is not one of this site's valid site tokens.
    """
    _open(secret, _SITE_KEY, token)


def issue_transfer(secret: bytes, *, namespace: str, name: str, ttl: float) -> str:
    """A token that lets whoever has it read one model (party model id, version)."""
    claims = {"namespace": namespace, "name": name, "exp": round(time.time() + ttl, 3)}
    return _sign(secret, _TRANSFER_KEY, claims)


def verify_transfer(secret: bytes, token: str) -> tuple[str, str]:
    """(party model id, version) that a token opens.

    Raises:
        TokenError: it is not one of this site's valid transfer tokens.
    """
    claims = _open(secret, _TRANSFER_KEY, token)
    return claims["namespace"], claims["name"]


def issue_ticket(secret: bytes, *, job_id: str, parties: Iterable[Party], ttl: float) -> str:
    """For one other site: its parties' tasks may take part in a job at this site's gateway.

    The gateway takes it only together with that site's certificate.
    """
    claims = {
        "job": job_id,
        "parties": sorted(party.key for party in parties),
        "exp": round(time.time() + ttl, 3),
    }
    return _sign(secret, _TICKET_KEY, claims)


def verify_ticket(secret: bytes, ticket: str) -> Ticket:
    """What a ticket says.

    Raises:
        TokenError: it is not one of this site's valid tickets.
    """
    claims = _open(secret, _TICKET_KEY, ticket)
    parties = frozenset(Party.parse(key) for key in claims["parties"])
    return Ticket(claims["job"], parties, claims["exp"])


def _key(secret: bytes, purpose: bytes) -> bytes:
    if not secret:
        raise ValueError("the site's secret is empty")
    return hmac.digest(secret, purpose, hashlib.sha256)


def _sign(secret: bytes, purpose: bytes, claims: dict[str, Any]) -> str:
    body = _encode(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())
    signature = hmac.digest(_key(secret, purpose), body.encode(), hashlib.sha256)
    return f"{body}.{_encode(signature)}"


def _open(secret: bytes, purpose: bytes, token: str) -> dict[str, Any]:
    if not token:
        raise TokenError("the call carries no token")
    if len(token) > _MAX_LENGTH or not _FORM.fullmatch(token):
        raise TokenError("the token does not have the form of one")
    body, _, signature = token.partition(".")
    expected = hmac.digest(_key(secret, purpose), body.encode(), hashlib.sha256)
    # The text is compared, not its decoded bytes: base64 has spare bits, and a token must have
    # exactly one spelling.
    if not hmac.compare_digest(_encode(expected), signature):
        raise TokenError("the token is not signed by this site, or is of another kind")
    try:
        claims: dict[str, Any] = json.loads(_decode(body))
        expires = float(claims["exp"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise TokenError("the token's content cannot be read") from None
    late = time.time() - expires
    if late >= 0:
        raise TokenError(f"the token expired {late:.0f} s ago")
    return claims


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
