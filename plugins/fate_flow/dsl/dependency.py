"""The answer to "what depends on what, and what does this party run?"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fate_flow.dsl.graph import source_of
from fate_flow.dsl.report import did_you_mean
from fate_flow.entities import ComponentPlan, Party, Plan
from fate_flow.errors import InvalidInputError, Problem

_CANNOT = "can not extract component dependency"


def dependency(plan: Plan, role: str, party_id: int | str) -> dict[str, Any]:
    """``component_list``, ``dependencies``, ``component_module`` and ``component_need_run``.

    Raises:
        InvalidInputError: the role or the party is not part of the job.
    """
    party = _party(plan, role, party_id)
    edges = {component.name: _edges(component) for component in plan.components}
    return {
        "component_list": [component.name for component in plan.components],
        "dependencies": {name: found for name, found in edges.items() if found},
        "component_module": {c.name: c.module for c in plan.components},
        "component_need_run": {c.name: needs_run(c, party) for c in plan.components},
    }


def _party(plan: Plan, role: str, party_id: int | str) -> Party:
    if role not in plan.roles:
        raise InvalidInputError(
            [
                Problem(
                    "role",
                    f"role {role} is unknown, {_CANNOT}",
                    ", ".join(plan.roles),
                    did_you_mean(str(role), plan.roles),
                )
            ]
        )
    for known in plan.roles[role]:
        if str(known) == str(party_id).strip():
            return Party(role, known)
    allowed = ", ".join(map(str, plan.roles[role]))
    raise InvalidInputError(
        [Problem("party_id", f"party id {party_id} is unknown, {_CANNOT}", allowed)]
    )


def _edges(component: ComponentPlan) -> list[dict[str, str]]:
    data = [r for references in component.data.values() for r in references]
    models = [*component.model, *component.isometric_model]
    pairs: dict[tuple[str, str], None] = {}
    for kind, references in (("data", data), ("model", models)):
        for reference in references:
            source = source_of(reference)
            if source in component.upstream:
                pairs[(str(source), kind)] = None
    return [{"component_name": source, "type": kind} for source, kind in pairs]


def needs_run(component: ComponentPlan, party: Party) -> bool:
    """False when the party's role is not part of the module, or its ``need_run`` is false."""
    conf = component.parameters.get(party.key)
    if conf is None:
        return False
    return all(
        value.get("need_run", True) is not False
        for key, value in conf.items()
        if key.endswith("Param") and isinstance(value, Mapping)
    )
