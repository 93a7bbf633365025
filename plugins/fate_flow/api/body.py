"""Reading requests: JSON bodies (also of GET requests), checked by a model, unknown keys kept.

Errors name the field, what was found and what is allowed; all of them at once. Missing keys
are reported in FATE-Flow's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from starlette.exceptions import HTTPException

from fate_flow.entities import ROLES
from fate_flow.errors import FateFlowError, InvalidInputError, Problem

#: A DSL with its conf is some 100 KB; nothing legitimate comes near this.
MAX_JSON_BYTES = 32 * 1024 * 1024

B = TypeVar("B", bound="Body")


class Body(BaseModel):
    """Base of all request bodies: unknown keys are tolerated and kept."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)

    def given(self) -> dict[str, Any]:
        """What the client sent (checked values, unknown keys too), without absent keys."""
        return self.model_dump(exclude_unset=True)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("a text")
    return str(value)


def _name(value: Any) -> str:
    text = _text(value)
    if not text or len(text) > 500 or "\0" in text:
        raise ValueError("a text of 1 to 500 characters")
    return text


def _party_id(value: Any) -> str:
    text = _text(value).strip() if not isinstance(value, bool) else ""
    if not text.isdecimal() or len(text) > 10:
        raise ValueError("an integer, 0 or more, as number or text")
    return str(int(text))


def _role(value: Any) -> str:
    if not isinstance(value, str) or value not in ROLES:
        raise ValueError(", ".join(ROLES))
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str):
        value = int(value) if value.strip().lstrip("-").isdecimal() else value
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise ValueError("an integer")
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "1", "false", "0"):
        return value.lower() in ("true", "1")
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError("true or false")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an object")
    return value


Name = Annotated[
    str,
    BeforeValidator(_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 500}),
]
Text = Annotated[str, BeforeValidator(_text)]
PartyId = Annotated[
    str,
    BeforeValidator(_party_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
                {"type": "string", "pattern": "^[0-9]{1,10}$"},
            ]
        }
    ),
]
RoleName = Annotated[str, BeforeValidator(_role), WithJsonSchema({"enum": list(ROLES)})]
Integer = Annotated[int, BeforeValidator(_integer)]
Flag = Annotated[bool, BeforeValidator(_boolean)]
Object = Annotated[dict[str, Any], BeforeValidator(_object)]


class MissingArgumentsError(FateFlowError):
    """Required keys are not in the request."""

    code = "missing_arguments"

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"the following arguments are required: {','.join(names)} ")


def checked(model: type[B], values: Mapping[str, Any]) -> B:
    """``values`` as a model; null counts as absent, but for keys that the model does not name.

    Those can be filters, where null is a value as in FATE-Flow: a filter that a script could not
    fill in must not widen what is cleaned or deleted.

    Raises:
        MissingArgumentsError: required keys are absent.
        InvalidInputError: values of a wrong kind; lists all of them.
    """
    try:
        fields = model.model_fields
        kept = {k: v for k, v in values.items() if v is not None or k not in fields}
        return model.model_validate(kept)
    except ValidationError as error:
        missing = [str(e["loc"][0]) for e in error.errors() if e["type"] == "missing"]
        if missing:
            raise MissingArgumentsError(missing) from None
        raise InvalidInputError(_problem(dict(entry)) for entry in error.errors()) from None


def _problem(entry: dict[str, Any]) -> Problem:
    cause = (entry.get("ctx") or {}).get("error")
    allowed = str(cause) if cause else str(entry["msg"])
    path = ".".join(map(str, entry["loc"]))
    return Problem(path, f"found {shown(entry.get('input'))}", allowed)


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


async def read_json(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """The request's JSON object.

    Args:
        optional: a missing body is an empty object.

    Raises:
        HTTPException: 400, not JSON; 413, too large.
        FateFlowError: no body, or not an object.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    data = await _read_bytes(request)
    is_json = content_type == "application/json" or content_type.endswith("+json")
    if not data or not is_json:
        if optional and not data:
            return {}
        found = "no body" if not data else f"Content-Type {content_type or 'missing'}"
        raise FateFlowError(
            f"the request needs a JSON object as body with Content-Type application/json,"
            f" found {found}"
        )
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise HTTPException(400, f"the body is not JSON: {reason[:200]}") from None
    if not isinstance(value, dict):
        raise FateFlowError(f"body: found {shown(value)}; allowed: a JSON object")
    if _ESCAPED.search(data):
        _refuse_no_text(value)
    return value


#: Escapes of characters that no database and no UTF-8 file takes: NUL, half of a pair.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def _refuse_no_text(value: dict[str, Any]) -> None:
    for key, inner in value.items():
        text = json.dumps([key, inner], ensure_ascii=False)
        if _NUL.search(text) or any("\ud800" <= letter <= "\udfff" for letter in text):
            name = key.encode("ascii", "replace").decode().replace("\0", "?")[:80]
            found = "found a text with a NUL character or half of a surrogate pair"
            raise InvalidInputError([Problem(name, found, "texts of Unicode characters")])


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed in JSON")


async def _read_bytes(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_JSON_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_JSON_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def body_of(model: type[B], *, optional: bool = False) -> Any:
    """A dependency that gives the request's body as ``model``."""

    async def read(request: Request) -> B:
        return checked(model, await read_json(request, optional=optional))

    return Depends(read)
