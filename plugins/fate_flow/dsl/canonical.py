"""A plan as JSON text: the same plan gives the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fate_flow.entities import ComponentPlan, Party, Plan
from fate_flow.errors import InvalidInputError, Problem

_FORMAT = 1


def _dumps(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _content(plan: Plan) -> dict[str, Any]:
    # Roles are pairs because their order has a meaning, which sorted keys would lose.
    return {
        "format": _FORMAT,
        "roles": [[role, list(ids)] for role, ids in plan.roles.items()],
        "initiator": plan.initiator.key,
        "components": [_component(component) for component in plan.components],
        "job_parameters": dict(plan.job_parameters),
        "job_args": {
            party: {key: list(table) if table else None for key, table in tables.items()}
            for party, tables in plan.job_args.items()
        },
    }


def _component(component: ComponentPlan) -> dict[str, Any]:
    return {
        "name": component.name,
        "module": component.module,
        "data": {kind: list(references) for kind, references in component.data.items()},
        "model": list(component.model),
        "isometric_model": list(component.isometric_model),
        "output_data": list(component.output_data),
        "output_model": list(component.output_model),
        "parties": [party.key for party in component.parties],
        "parameters": {party: dict(conf) for party, conf in component.parameters.items()},
        "upstream": list(component.upstream),
    }


def content_hash(plan: Plan) -> str:
    """SHA-256 (hex) over everything but the warnings."""
    return hashlib.sha256(_dumps(_content(plan)).encode("ascii")).hexdigest()


def with_hash(plan: Plan) -> Plan:
    return replace(plan, content_hash=content_hash(plan))


def canonical_json(plan: Plan) -> str:
    """The whole plan with hash and warnings, ASCII, keys sorted, no spaces."""
    extra = {"content_hash": plan.content_hash, "warnings": list(plan.warnings)}
    return _dumps({**_content(plan), **extra})


def plan_from_json(text: str) -> Plan:
    """Inverse of :func:`canonical_json`.

    Raises:
        InvalidInputError: not a plan, of another format, or its content does not have the
            hash it carries.
    """
    try:
        value = json.loads(text)
        if value["format"] != _FORMAT:
            raise InvalidInputError(
                [Problem("plan.format", f"found {value['format']!r}", str(_FORMAT))]
            )
        plan = Plan(
            roles={role: tuple(ids) for role, ids in value["roles"]},
            initiator=Party.parse(value["initiator"]),
            components=tuple(_component_from(entry) for entry in value["components"]),
            job_parameters=value["job_parameters"],
            job_args={
                party: {key: _table(table) for key, table in tables.items()}
                for party, tables in value["job_args"].items()
            },
            content_hash=value["content_hash"],
            warnings=tuple(value["warnings"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInputError([Problem("plan", f"cannot be read: {error!r}")]) from None
    if content_hash(plan) != plan.content_hash:
        raise InvalidInputError(
            [Problem("plan.content_hash", "the content was changed after it was compiled")]
        )
    return plan


def _table(table: Any) -> tuple[str, str] | None:
    return None if table is None else (str(table[0]), str(table[1]))


def _component_from(entry: Mapping[str, Any]) -> ComponentPlan:
    return ComponentPlan(
        name=entry["name"],
        module=entry["module"],
        data={kind: tuple(references) for kind, references in entry["data"].items()},
        model=tuple(entry["model"]),
        isometric_model=tuple(entry["isometric_model"]),
        output_data=tuple(entry["output_data"]),
        output_model=tuple(entry["output_model"]),
        parties=tuple(Party.parse(key) for key in entry["parties"]),
        parameters=entry["parameters"],
        upstream=tuple(entry["upstream"]),
    )
