"""The one form of all answers: ``retcode``, ``retmsg``, ``data``, ``jobId``, ``meta``.

Falsy values are left out (only ``retcode`` is always there), keys are sorted, and no NaN or
Infinity ever stands in the JSON, which FATE-Board's parser does not survive.
"""

from __future__ import annotations

import json
import logging
import math
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fate_flow.db.session import may_pass
from fate_flow.errors import RETCODE_EXCEPTION, RETCODE_OK, FateFlowError

log = logging.getLogger("fate_flow.api")

SUCCESS = "success"
#: Routes of tasks and of the gateway, which try again at a status of 500 and above; for them
#: an answer with status 200 is the site's last word.
_OWN_ROUTES = "/internal/"
_DATABASE_TEXT = (
    "the site's database does not answer, or is busy; nothing was changed. Try again in a moment;"
    " fate_flow check says how the database is"
)


class EnvelopeResponse(JSONResponse):
    """JSON with sorted keys; NaN and infinities become null."""

    def render(self, content: Any) -> bytes:
        try:
            text = _dumps(content)
        except ValueError:
            text = _dumps(_finite(content))
        return text.encode()


def _dumps(content: Any) -> str:
    return json.dumps(content, sort_keys=True, allow_nan=False, separators=(", ", ": "))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def answer(
    data: Any = None,
    *,
    retcode: int = RETCODE_OK,
    retmsg: str = SUCCESS,
    job_id: str | None = None,
    meta: Any = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An envelope; empty parts are left out."""
    content: dict[str, Any] = {"retcode": retcode}
    parts = {"retmsg": retmsg, "data": data, "jobId": job_id, "meta": meta}
    content.update({key: value for key, value in parts.items() if value})
    return EnvelopeResponse(content, status_code=status, headers=headers)


def _on_fate_flow_error(_: Request, error: Exception) -> Response:
    retcode = error.retcode if isinstance(error, FateFlowError) else RETCODE_EXCEPTION
    return answer(retcode=retcode, retmsg=str(error))


_HTTP_TEXTS = {
    404: "there is no {path} in this API; the list of routes is at /v1/openapi.json",
    405: "{method} is not possible on {path}; possible: {allow}",
}


def _on_http_error(request: Request, error: Exception) -> Response:
    """Unknown path, wrong method, refused by a guard: the HTTP status stays."""
    if not isinstance(error, HTTPException):
        return answer(retcode=RETCODE_EXCEPTION, retmsg="error", status=500)
    headers = {key.lower(): value for key, value in (error.headers or {}).items()}
    text = str(error.detail)
    if error.status_code in _HTTP_TEXTS and text in ("Not Found", "Method Not Allowed"):
        text = _HTTP_TEXTS[error.status_code].format(
            path=request.url.path[:200], method=request.method, allow=headers.get("allow", "POST")
        )
    return answer(retcode=RETCODE_EXCEPTION, retmsg=text, status=error.status_code, headers=headers)


def _on_validation_error(_: Request, error: Exception) -> Response:
    """A path parameter or a body of FastAPI's own reading."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    text = "\n".join(
        f"{'.'.join(map(str, problem['loc'][1:])) or 'body'}: {problem['msg']}"
        for problem in problems
    )
    broken = any(problem["type"] == "json_invalid" for problem in problems)
    status = 400 if broken else 200
    return answer(retcode=RETCODE_EXCEPTION, retmsg=text or "bad request", status=status)


class LastResort:
    """Answers exceptions that nothing else handled: an error id for the user, the rest logged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception as error:
            if may_pass(error) and not started:
                log.warning("%s %s: the database: %s", scope["method"], scope["path"], error)
                route = scope["path"].removeprefix(scope.get("root_path", ""))
                status = 503 if route.startswith(_OWN_ROUTES) else 200
                refusal = answer(retcode=RETCODE_EXCEPTION, retmsg=_DATABASE_TEXT, status=status)
                await refusal(scope, receive, send)
                return
            error_id = uuid.uuid4().hex[:12]
            log.exception("error %s at %s %s", error_id, scope["method"], scope["path"])
            if started:
                raise
            text = f"an unexpected error occurred; it is in the API server's log as {error_id}"
            await answer(retcode=RETCODE_EXCEPTION, retmsg=text)(scope, receive, send)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` an envelope."""
    app.add_exception_handler(FateFlowError, _on_fate_flow_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_middleware(LastResort)
