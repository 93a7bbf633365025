"""Who may use a route. A mounted app inherits no protection, so every route names its guard.

With ``USE_AUTHENTICATION`` on, a guard wants a user of Airflow's auth manager (bearer token, or
the session cookie of Airflow's UI) with the right to see DAGs (:data:`can_read`), to run them
(:data:`can_write`), or to edit Airflow's connections, which are as much about whom to trust as
privileges are (:data:`can_administer`). With it off, the site is open to its own machine, as
FATE-Flow 1.x was; then requests that a browser sends on behalf of a foreign page are refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fate_flow.federation.tokens import TokenError, verify_transfer
from fate_flow.settings import Settings

Guard = Callable[[Request], Awaitable[None]]

_LOOPBACK = ("localhost", "::1")


def _guard(name: str, what: str, is_authorised: Callable[[Any], bool]) -> Guard:
    async def check(request: Request) -> None:
        settings: Settings = request.app.state.settings
        if not settings.USE_AUTHENTICATION:
            _check_open(request, settings)
            return
        user = await _user_of(request)
        if not await run_in_threadpool(is_authorised, user):
            raise HTTPException(403, f"user {user.get_name()} may not {name} {what}")
        request.state.user_name = str(user.get_name())

    check.__name__ = f"may_{name}"
    return check


def user_name(request: Request) -> str:
    """Who asks, for notes of who did what; empty while there is no authentication."""
    return str(getattr(request.state, "user_name", ""))


def _check_open(request: Request, settings: Settings) -> None:
    """Without authentication: only this machine, and no foreign web page."""
    if not (settings.is_loopback or settings.ALLOW_PUBLIC_WITHOUT_AUTHENTICATION):
        raise HTTPException(
            401, f"the server listens on {settings.IP}, so USE_AUTHENTICATION must be on"
        )
    _check_origin(request)
    if settings.is_loopback and not _is_own_name(request.url.hostname or "", settings):
        raise HTTPException(
            403,
            "the Host header does not name this machine; behind a proxy turn on USE_AUTHENTICATION",
        )


def _is_own_name(host: str, settings: Settings) -> bool:
    name = host.strip("[]").lower()
    return name in _LOOPBACK or name.startswith("127.") or name == str(settings.IP).lower()


def _check_origin(request: Request) -> None:
    """Browsers name the page that a request comes from; a foreign one is refused."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "requests from pages of other sites are refused")


async def _user_of(request: Request) -> Any:
    """The user of the request's token or cookie.

    Raises:
        HTTPException: 401 without one, 403 for one that is not valid.
    """
    from airflow.api_fastapi.core_api.security import get_user

    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    credentials = None
    if scheme.lower() == "bearer" and token.strip():
        credentials = HTTPAuthorizationCredentials(scheme=scheme, credentials=token.strip())
    else:
        _check_origin(request)  # a cookie is sent along without the user's doing
    try:
        return await get_user(request, None, credentials)
    except HTTPException as error:
        raise HTTPException(
            error.status_code,
            f"{error.detail}: send Authorization: Bearer <token>; POST /auth/token gives one",
            headers={"WWW-Authenticate": "Bearer"},
        ) from None


def _sees_dags(user: Any) -> bool:
    return bool(_auth_manager().is_authorized_dag(method="GET", user=user))


def _runs_dags(user: Any) -> bool:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity

    return bool(
        _auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, user=user
        )
    )


def _edits_connections(user: Any) -> bool:
    return bool(_auth_manager().is_authorized_connection(method="PUT", user=user))


def _auth_manager() -> Any:
    from airflow.api_fastapi.app import get_auth_manager

    return get_auth_manager()


async def may_transfer(request: Request) -> None:
    """A reader, or FATE-Serving with the key of a link; which model it opens is kept."""
    key = request.query_params.get("key")
    settings: Settings = request.app.state.settings
    if settings.USE_AUTHENTICATION and key:
        try:
            request.state.transfer = verify_transfer(settings.secret(), key)
        except TokenError as error:
            raise HTTPException(403, error.message) from None
        return
    await may_read(request)


may_read = _guard("read", "jobs", _sees_dags)
may_run = _guard("run", "jobs", _runs_dags)
may_administer = _guard("administer", "privileges", _edits_connections)

#: For ``dependencies=[...]`` of a route.
can_read = Depends(may_read)
can_write = Depends(may_run)
can_administer = Depends(may_administer)
can_transfer = Depends(may_transfer)
