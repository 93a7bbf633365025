"""The description of the API, guarded like the routes it describes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fate_flow.api.guards import can_read

router = APIRouter(tags=["about"])


@router.get("/openapi.json", dependencies=[can_read], include_in_schema=False)
def openapi(request: Request) -> Response:
    """OpenAPI document with an example for each route."""
    document = {**request.app.openapi(), "servers": [{"url": "/v1"}]}
    return JSONResponse(document)
