"""What the OpenAPI document says about a route: body, answer, examples of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fate_flow.api.body import Body

#: Every answer that is not a file.
ENVELOPE: dict[str, Any] = {
    "title": "Envelope",
    "type": "object",
    "description": "Empty parts are left out.",
    "required": ["retcode"],
    "additionalProperties": False,
    "properties": {
        "retcode": {"type": "integer", "description": "0 success; 100, 101, 500, 999 see retmsg"},
        "retmsg": {"type": "string"},
        "data": {},
        "jobId": {"type": "string"},
        "meta": {"type": "object"},
    },
}
_REFERENCE = {"$ref": "#/components/schemas/Envelope"}
_ERROR = {"application/json": {"schema": _REFERENCE, "example": {"retcode": 100, "retmsg": "…"}}}
_COMMON: dict[int | str, dict[str, Any]] = {
    400: {"description": "the body is not JSON, or not a form", "content": _ERROR},
    401: {"description": "no valid bearer token, while authentication is on", "content": _ERROR},
    403: {"description": "the user may not, or a page of another site asked", "content": _ERROR},
    413: {"description": "the body is too large", "content": _ERROR},
}
_FILE = {"type": "string", "format": "binary"}


def docs(
    model: type[Body],
    example: Mapping[str, Any],
    data: Any = None,
    *,
    required: bool = True,
    form: bool = False,
    file: str = "",
    **envelope: Any,
) -> dict[str, Any]:
    """Arguments of a route decorator.

    Args:
        model: the body.
        example: a body.
        data: ``data`` of the answer to it; ``envelope`` has its other keys.
        required: a body must be sent.
        form: a multipart form with the keys as fields and a part ``file``; ``example`` is
            then that of the JSON form, if the model has a key ``file``.
        file: media type of the file that the route answers with.
    """
    answer = {"retcode": 0, "retmsg": "success", **envelope}
    if data is not None:
        answer["data"] = data
    success: dict[str, Any] = {"application/json": {"schema": _REFERENCE, "example": answer}}
    if file:
        success = {file: {"schema": _FILE}, "application/json": _ERROR["application/json"]}
    responses = {200: {"description": "envelope" if not file else "file, or envelope"}, **_COMMON}
    responses[200]["content"] = success
    if file:
        responses[500] = {"description": "there is nothing to download", "content": _ERROR}
    body = {"required": required, "content": _content(model, example, form=form)}
    return {"openapi_extra": {"requestBody": body}, "responses": responses}


def _content(model: type[Body], example: Mapping[str, Any], *, form: bool) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    as_json = {"application/json": {"schema": schema, "example": dict(example)}}
    if not form:
        return as_json
    fields = {**schema.get("properties", {}), "file": _FILE}
    needed = [*schema.get("required", []), "file"]
    as_form = {
        "multipart/form-data": {
            "schema": {**schema, "properties": fields, "required": list(dict.fromkeys(needed))}
        }
    }
    return {**as_form, **as_json} if "file" in schema.get("properties", {}) else as_form


def finished(document: dict[str, Any]) -> dict[str, Any]:
    """The app's document with what FastAPI does not know."""
    components = {**document.get("components", {})}
    components["schemas"] = {**components.get("schemas", {}), "Envelope": ENVELOPE}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    paths = document["paths"]
    for operations in paths.values():
        for operation in operations.values():
            operation.get("responses", {}).pop("422", None)
    return {
        **document,
        "servers": [{"url": "/v1"}],
        "components": components,
        "security": [{}, {"bearer": []}],
    }
