"""Whether the processes of a site answer: small HTTP and TCP questions over loopback."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from fate_flow.cli.airflow_config import broker_url
from fate_flow.cli.services import WORKER, kind_of
from fate_flow.settings import Settings

#: How a process says that waiting for it is in vain.
NEVER_READY = "could not start"
#: Neither a proxy of the environment nor a redirect has a place between these processes.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get_json(url: str, timeout: float) -> tuple[int, Any]:
    """Status and JSON body of a GET; (0, reason) when nobody answered in time."""
    try:
        # Without this header Airflow's no-login mode adds its own, of the wrong kind for the
        # task API, and then complains about it in the log with a traceback.
        request = urllib.request.Request(url, headers={"Authorization": "None"})  # noqa: S310
        with _OPENER.open(request, timeout=timeout) as answer:
            return answer.status, _decode(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _decode(error.read())
    except (OSError, ValueError) as error:
        return 0, str(getattr(error, "reason", error))


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:200]


def api_server(settings: Settings, timeout: float = 5.0) -> str:
    """Empty when the REST API is warm, else what is missing.

    Both requests matter: each builds, at its first call, what would cost the first job of
    a site up to ten seconds.
    """
    status, body = get_json(f"{settings.http_url}/v1/internal/health", timeout)
    if isinstance(body, Mapping) and body.get("error"):
        return f"{NEVER_READY}: {body['error']}"
    if status != 200 or not isinstance(body, Mapping) or body.get("ready") is not True:
        return _explain("/v1/internal/health", status, body)
    status, body = get_json(f"{settings.http_url}/execution/health", timeout)
    return "" if status == 200 else _explain("/execution/health", status, body)


def _explain(path: str, status: int, body: Any) -> str:
    if status == 404 and path.startswith("/v1"):
        return "the API server answers, but without the FATE-Flow plugin (airflow plugins)"
    return f"{path}: {status or 'no answer'} {body}".strip()


def scheduler(settings: Settings, timeout: float = 5.0) -> str:
    """Empty when the scheduler reported to the database lately, else why not."""
    status, body = get_json(f"{settings.http_url}/api/v2/monitor/health", timeout)
    if status != 200 or not isinstance(body, Mapping):
        return f"unknown: {_explain('/api/v2/monitor/health', status, body)}"
    state = body.get("scheduler", {}).get("status")
    return "" if state == "healthy" else f"scheduler is {state or 'not there yet'}"


def gateway(settings: Settings, timeout: float = 2.0) -> str:
    """Empty when the gateway's port accepts connections, else why not."""
    try:
        with socket.create_connection((settings.gateway_host, settings.GRPC_PORT), timeout=timeout):
            return ""
    except OSError as error:
        return f"port {settings.GRPC_PORT}: {error.strerror or error}"


def celery_worker(settings: Settings, name: str, timeout: float = 2.0) -> str:
    """Empty when the worker answers through the broker, else why not."""
    from celery import Celery

    app = Celery(broker=broker_url(settings), set_as_current=False)
    node = f"{name}@{socket.gethostname()}"
    try:
        answers = app.control.ping(destination=[node], timeout=timeout, limit=1)
    except Exception as error:  # whatever the broker's client raises is the answer
        return f"Redis: {error}"
    finally:
        app.close()
    return "" if answers else f"{node} does not answer"


CHECKS: Mapping[str, Callable[[Settings], str]] = {
    "gateway": gateway,
    "api-server": api_server,
    "scheduler": scheduler,
}


def check_of(name: str) -> Callable[[Settings], str] | None:
    """How a process is asked for its health; several of a kind are asked alike."""
    kind = kind_of(name)
    if kind == WORKER:
        return lambda settings: celery_worker(settings, name)
    return CHECKS.get(kind)
