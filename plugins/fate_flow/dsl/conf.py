"""Reads the runtime conf: parties, initiator, job parameters, tables of each party."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fate_flow.dsl import schema
from fate_flow.dsl.document import Node
from fate_flow.dsl.report import Report, did_you_mean, shown
from fate_flow.entities import Party

NO_CONF = "submit conf does exist or format is wrong"

#: Party ids are texts of ten characters in FATE-Flow's tables.
_LARGEST_ID = 9_999_999_999

#: party key -> data key -> (namespace, name), None for "no table"
JobArgs = dict[str, dict[str, "tuple[str, str] | None"]]


@dataclass(frozen=True)
class Conf:
    """A runtime conf whose usable parts were read.

    Attributes:
        root: first part of its JSON paths.
        roles: role -> party ids, in conf order.
        initiator: None when it could not be read.
        job_parameters: as submitted.
        role_parameters: role -> ``args`` or component name -> object.
        algorithm_parameters: component name -> object.
    """

    root: str
    roles: Mapping[str, Sequence[int]] = field(default_factory=dict)
    initiator: Party | None = None
    job_parameters: Mapping[str, Any] = field(default_factory=dict)
    role_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    algorithm_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def parties(self) -> list[Party]:
        return [Party(role, party_id) for role, ids in self.roles.items() for party_id in ids]


def read_conf(document: Any, report: Report, root: str = "job_runtime_conf") -> Conf:
    """Check against the schema and read; refused parts are left out."""
    if isinstance(document, (type(None), Mapping, list, str)) and not document:
        report.problem(root, NO_CONF, "an object with initiator, job_parameters and role")
        return Conf(root)
    problems = schema.check_json(document, root)
    if problems:
        report.add(*problems)
        return Conf(root)
    conf = schema.plain_copy(document)
    if isinstance(conf, dict):
        for key in ("role_parameters", "algorithm_parameters"):
            if key in conf and conf[key] is None:
                conf[key] = {}
        _leave_out_empty_roles(conf, f"{root}.role", report)
    report.add(*schema.check(conf, "job_runtime_conf", root))
    if not isinstance(conf, dict):
        return Conf(root)
    if str(conf.get("dsl_version", 1)) != "1":
        hint = "DSL version 2 came with FATE 1.5; write the job in version 1, as for FATE 1.4"
        report.problem(f"{root}.dsl_version", f"found {shown(conf['dsl_version'])}", "1", hint)
    roles = _roles(conf.get("role"), f"{root}.role", report)
    job_parameters = _object(conf.get("job_parameters"))
    _check_job_parameters(job_parameters, f"{root}.job_parameters", report)
    return Conf(
        root,
        roles,
        _initiator(conf.get("initiator"), conf.get("role"), roles, root, report),
        job_parameters,
        _objects(conf.get("role_parameters")),
        _objects(conf.get("algorithm_parameters")),
    )


def _leave_out_empty_roles(conf: dict[str, Any], path: str, report: Report) -> None:
    """``"arbiter": []`` is a role without parties, as when it is not there."""
    roles = _object(conf.get("role"))
    for role in [role for role, ids in roles.items() if ids == []]:
        if len(roles) > 1:
            report.warn(f"{path}.{role}", "an empty list, so the job has no such role")
            del roles[role]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> dict[str, dict[str, Any]]:
    return (
        {k: v for k, v in value.items() if isinstance(v, dict)} if isinstance(value, dict) else {}
    )


def _party_id(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value <= _LARGEST_ID else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and 0 <= value <= _LARGEST_ID else None
    if isinstance(value, str):
        digits = value.strip()
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 11 else None
    return None


def _roles(value: Any, path: str, report: Report) -> dict[str, list[int]]:
    roles: dict[str, list[int]] = {}
    for role, ids in value.items() if isinstance(value, dict) else ():
        read = [_party_id(i) for i in ids] if isinstance(ids, list) else []
        known = [i for i in read if i is not None]
        for i, party_id in enumerate(read):
            if party_id is not None and party_id in read[:i]:
                message = f"party id {party_id} is listed twice"
                report.problem(f"{path}.{role}[{i}]", message, "every party once")
        if known and role in ("guest", "host", "arbiter", "local"):
            roles[role] = list(dict.fromkeys(known))
    return roles


def _initiator(
    value: Any, given_roles: Any, roles: Mapping[str, Sequence[int]], root: str, report: Report
) -> Party | None:
    entry = _object(value)
    role, party_id = entry.get("role"), _party_id(entry.get("party_id"))
    if not isinstance(role, str) or party_id is None or not isinstance(given_roles, dict):
        return None
    if party_id not in roles.get(role, ()):
        listed = ", ".join(map(str, roles.get(role, ()))) or f"none, there is no role {role!r}"
        report.problem(
            f"{root}.initiator",
            f"initiator party id error {party_id}: it is not listed in {root}.role.{role}",
            listed,
        )
        return None
    return Party(role, party_id)


_KNOWN_JOB_PARAMETERS = (
    "work_mode",
    "job_type",
    "model_id",
    "model_version",
    "backend",
    "processors_per_node",
    "timeout",
    "spark_submit_config",
)


def _check_job_parameters(given: Mapping[str, Any], path: str, report: Report) -> None:
    for key in given:
        if key not in _KNOWN_JOB_PARAMETERS:
            hint = did_you_mean(key, _KNOWN_JOB_PARAMETERS)
            report.warn(f"{path}.{key}", "unknown job parameter, it has no effect", hint)
    timeout = given.get("timeout", 1)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        message = f"found {shown(timeout)}, not a positive number: the default timeout applies"
        report.warn(f"{path}.timeout", message)


def read_job_args(conf: Conf, report: Report) -> JobArgs:
    """Tables of each party from ``role_parameters.<role>.args.data``."""
    found: JobArgs = {}
    for role, ids in conf.roles.items():
        data = _object(_object(conf.role_parameters.get(role, {}).get("args")).get("data"))
        for key, entries in data.items():
            path = f"{conf.root}.role_parameters.{role}.args.data.{key}"
            if not isinstance(entries, list):
                continue
            _check_length(entries, ids, role, path, report)
            for i, (party_id, entry) in enumerate(zip(ids, entries, strict=False)):
                tables = found.setdefault(Party(role, party_id).key, {})
                tables[key] = _table(entry, f"{path}[{i}]", report)
    return found


def _check_length(
    entries: Sequence[Any], ids: Sequence[int], role: str, path: str, report: Report
) -> None:
    if len(entries) < len(ids):
        message = f"{len(entries)} tables for {len(ids)} parties of role {role}"
        hint = 'an entry {"name": "", "namespace": ""} means no table'
        report.problem(path, message, "one table per party", hint)
    elif len(entries) > len(ids):
        message = f"{len(entries)} tables for {len(ids)} parties of role {role}: the rest is unused"
        report.warn(path, message)


def _table(entry: Any, path: str, report: Report) -> tuple[str, str] | None:
    table = _object(entry)
    name, namespace = table.get("name"), table.get("namespace")
    if not isinstance(name or "", str) or not isinstance(namespace or "", str):
        return None  # the schema refused it
    if bool(name) != bool(namespace):
        report.warn(path, "name or namespace is empty, so there is no table")
    return (namespace, name) if name and namespace else None


def check_data_keys(nodes: Sequence[Node], conf: Conf, args: JobArgs, report: Report) -> None:
    """Every ``args.<key>`` has an entry at each party that runs the component and has data.

    An arbiter without ``args`` has no data, which is legal; it gets no table.
    """
    for node in nodes:
        for _, reference, path in node.data_references():
            key = reference.partition(".")[2]
            if not reference.startswith("args.") or not key:
                continue
            for role, ids in conf.roles.items():
                tables = args.get(Party(role, ids[0]).key, {})
                takes_part = node.spec is not None and role in node.spec.programs
                if takes_part and key not in tables and (tables or role != "arbiter"):
                    where = f"{conf.root}.role_parameters.{role}.args.data"
                    hint = did_you_mean(key, tables) or f"add {where}.{key}"
                    allowed = ", ".join(f"args.{k}" for k in tables)
                    report.problem(
                        path, f"{where} has no {key!r}, which {node.name} reads", allowed, hint
                    )


def check_names_used(nodes: Sequence[Node], conf: Conf, report: Report) -> None:
    """Parameters for components or roles that are not there have no effect: say so."""
    by_name = {node.name: node for node in nodes}
    text = "there is no such component in the DSL, it has no effect"
    for name in conf.algorithm_parameters:
        if name not in by_name:
            path = f"{conf.root}.algorithm_parameters.{name}"
            report.warn(path, text, did_you_mean(name, by_name))
    for role, entries in conf.role_parameters.items():
        path = f"{conf.root}.role_parameters.{role}"
        if role not in conf.roles:
            hint = did_you_mean(role, conf.roles)
            report.warn(path, "there is no such role in 'role', it has no effect", hint)
            continue
        for name in entries:
            if name != "args" and name not in by_name:
                report.warn(f"{path}.{name}", text, did_you_mean(name, by_name))
            elif name != "args":
                spec = by_name[name].spec
                if spec is not None and role not in spec.programs:
                    message = f"{spec.name} does not run at role {role}, it has no effect"
                    report.warn(f"{path}.{name}", message)
