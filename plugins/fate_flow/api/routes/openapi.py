"""The description of the API, guarded like the routes it describes."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from fate_flow.api.describe import finished
from fate_flow.api.guards import can_read

router = APIRouter(tags=["about"])

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "pre{background:#f4f4f6;padding:.6em;overflow:auto}h2{margin-top:2em}"
    "@media(prefers-color-scheme:dark){body{background:#18181b;color:#e4e4e7}"
    "pre{background:#27272a}}"
)


@router.get("/openapi.json", dependencies=[can_read], include_in_schema=False)
def openapi(request: Request) -> Response:
    """OpenAPI document with an example for each route."""
    return JSONResponse(finished(request.app.openapi()))


@router.get("/docs", dependencies=[can_read], include_in_schema=False)
def page(request: Request) -> Response:
    """The same for reading; it loads nothing from elsewhere."""
    document = finished(request.app.openapi())
    parts = [
        f"<!doctype html><meta charset=utf-8><title>FATE-Flow API</title><style>{_STYLE}</style>",
        f"<h1>{escape(document['info']['title'])}</h1><p>{escape(document['info']['description'])}",
        ' <a href="openapi.json">openapi.json</a>',
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(f"{method.upper()} /v1{path}", operation)
    return HTMLResponse("\n".join(parts), headers={"Content-Security-Policy": _POLICY})


_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def _operation(title: str, operation: dict[str, Any]) -> list[str]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answer = operation["responses"]["200"]["content"].get("application/json", {})
    shown = [f"<h2>{escape(title)}</h2><p>{escape(operation.get('description', ''))}"]
    for example in (body.get("example"), answer.get("example")):
        if example is not None:
            text = json.dumps(example, indent=1, ensure_ascii=False)
            shown.append(f"<pre>{escape(text)}</pre>")
    return shown
