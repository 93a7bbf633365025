"""Which roles a module cannot do without."""

from __future__ import annotations

from collections.abc import Sequence

from fate_flow.dsl.conf import Conf
from fate_flow.dsl.document import Node
from fate_flow.dsl.report import Report
from fate_flow.runtime.registry import ModuleSpec

#: Modules without an arbiter whose guest and host cannot work alone.
_GUEST_AND_HOST = frozenset(
    {"Intersection", "HeteroSecureBoost", "HeteroNN", "HeteroPearson", "SecureAddExample"}
)
_ONE_HOST = frozenset(
    {"HeteroPoisson", "HeteroFM", "HeteroNN", "HeteroPearson", "SecureAddExample"}
)


def needed_roles(spec: ModuleSpec) -> tuple[str, ...]:
    """Roles without which the module cannot run; empty when each party works for itself."""
    if "arbiter" in spec.programs:
        return tuple(spec.programs)
    return ("guest", "host") if spec.name in _GUEST_AND_HOST else ()


def check_participants(nodes: Sequence[Node], conf: Conf, report: Report) -> None:
    """Every module finds the roles it needs, and not more of them than it can use."""
    if not conf.roles:
        return
    path = f"{conf.root}.role"
    for node in nodes:
        spec = node.spec
        if spec is None:
            continue
        needed = needed_roles(spec)
        missing = [role for role in needed if role not in conf.roles]
        if missing:
            message = f"{node.name} ({spec.name}) needs role {' and '.join(missing)}"
            report.problem(path, message, "roles " + ", ".join(needed))
        elif not any(role in conf.roles for role in spec.programs):
            roles = ", ".join(spec.programs)
            report.warn(node.path, f"no party runs it: {spec.name} runs at role {roles} only")
        single = {"guest", "arbiter"} | ({"host"} if spec.name in _ONE_HOST else set())
        for role in needed:
            count = len(conf.roles.get(role, ()))
            if role in single and count > 1:
                message = f"{node.name} ({spec.name}) works with one {role}, found {count}"
                report.problem(f"{path}.{role}", message, "one party")
