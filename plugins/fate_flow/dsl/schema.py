"""The JSON Schemas of the two job documents, and their errors as problems with a path."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from fate_flow.dsl.report import did_you_mean, shown
from fate_flow.errors import Problem

MAX_DEPTH = 40
MAX_INTEGER_BITS = 13_000  # Python refuses to print integers of more than 4,300 digits
_FOLDER = Path(__file__).with_name("schemas")


def job_dsl_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the DSL; a fresh copy."""
    return _read("job_dsl")


def job_runtime_conf_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the runtime conf; a fresh copy."""
    return _read("job_runtime_conf")


def _read(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        (_FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")
    )
    return schema


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(_read(name))


def check(document: Any, name: str, root: str) -> list[Problem]:
    """Where ``document`` differs from the schema ``name``; paths start at ``root``."""
    found: dict[Problem, None] = {}
    for error in _validator(name).iter_errors(document):
        for problem in _translate(error, root):
            found[problem] = None
    return list(found)


def json_path(root: str, parts: Iterable[str | int]) -> str:
    return root + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts)


_TYPE_NAMES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def _translate(error: ValidationError, root: str) -> Iterator[Problem]:
    path = json_path(root, error.absolute_path)
    rule: Any = error.validator
    instance: Any = error.instance
    wanted: Any = error.validator_value
    found = f"found {shown(instance)}"
    if rule == "required":
        for key in wanted:
            if key not in instance:
                near = difflib.get_close_matches(key, list(instance), n=1)
                hint = f"there is a key {near[0]!r}" if near else ""
                yield Problem(f"{path}.{key}", f"the key {key!r} is missing", hint=hint)
    elif rule == "type":
        types = [wanted] if isinstance(wanted, str) else wanted
        yield Problem(path, found, " or ".join(_TYPE_NAMES[t] for t in types), _listed(error))
    elif rule == "enum":
        allowed = ", ".join(str(value) for value in wanted)
        if "propertyNames" in error.absolute_schema_path:
            yield Problem(f"{path}.{instance}", f"unknown key {shown(instance)}", allowed)
        else:
            yield Problem(path, found, allowed, _hint(instance, wanted))
    elif rule in ("minItems", "minProperties"):
        yield Problem(path, found, "at least one entry", "leave the key out when there is none")
    elif rule in ("pattern", "minimum", "maximum"):
        yield Problem(path, found, "an integer from 0 to 9999999999")
    else:
        yield Problem(path, found, error.message)


def _hint(instance: Any, wanted: Sequence[Any]) -> str:
    if not isinstance(instance, str):
        return ""
    if instance in {str(value) for value in wanted if not isinstance(value, str)}:
        return "without quotes"
    return did_you_mean(instance, map(str, wanted))


def _listed(error: ValidationError) -> str:
    """``use ["x"]`` where a list of texts was expected and a text was found."""
    if error.validator_value == "array" and isinstance(error.instance, str):
        return f"use [{json.dumps(error.instance, ensure_ascii=False)}]"
    return ""


def check_json(value: Any, root: str) -> list[Problem]:
    """What keeps a Python value from being written as JSON: keys, types, NaN, depth."""
    problems: list[Problem] = []
    stack: list[tuple[Any, str, int]] = [(value, root, 0)]
    while stack:
        item, path, depth = stack.pop()
        if depth > MAX_DEPTH:
            return [Problem(path, "is nested too deep", f"at most {MAX_DEPTH} levels")]
        if isinstance(item, Mapping):
            for key, inner in item.items():
                if isinstance(key, str):
                    stack.append((inner, f"{path}.{key}", depth + 1))
                else:
                    problems.append(Problem(path, f"found the key {key!r}", "texts as keys"))
        elif isinstance(item, (list, tuple)):
            stack += [(inner, f"{path}[{i}]", depth + 1) for i, inner in enumerate(item)]
        elif isinstance(item, float):
            if not math.isfinite(item):
                problems.append(Problem(path, f"found {item!r}", "a finite number"))
        elif isinstance(item, int):
            if item.bit_length() > MAX_INTEGER_BITS:
                problems.append(
                    Problem(path, "the integer is too long", f"at most {MAX_INTEGER_BITS} bits")
                )
        elif item is not None and not isinstance(item, str):
            problems.append(Problem(path, f"found {shown(item)}", "JSON values"))
    return problems


def plain_copy(value: Any) -> Any:
    """A deep copy made of dict, list and scalars."""
    if isinstance(value, Mapping):
        return {key: plain_copy(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_copy(inner) for inner in value]
    return value
