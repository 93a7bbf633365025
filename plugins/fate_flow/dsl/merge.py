"""Effective configuration of a component at each party.

Defaults, then ``algorithm_parameters`` (plain values), then ``role_parameters`` (element i
of each leaf list belongs to party i). A key of the parameter class replaces its default as
a whole; where the class has a parameter object, the merge goes on inside. Unknown keys are
dropped, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fate_flow.dsl.conf import Conf
from fate_flow.dsl.document import Node
from fate_flow.dsl.report import Report, shown
from fate_flow.dsl.schema import plain_copy
from fate_flow.entities import Party
from fate_flow.errors import Problem
from fate_flow.runtime.params import Param

#: Key path inside the configuration -> JSON path of the value that was given for it.
Sources = dict[tuple[str, ...], str]
#: (value, its JSON path) -> (value to use, its JSON path), or None to keep the default.
Pick = Callable[[Any, str], "tuple[Any, str] | None"]


@dataclass
class Merger:
    """Merges the configurations of one conf.

    Attributes:
        conf: the runtime conf.
        report: gets problems and warnings.
        is_predict: the conf is a training job's that ran before; it is not judged again.
    """

    conf: Conf
    report: Report
    is_predict: bool = False
    _seen: set[str] = field(default_factory=set)

    def component(self, node: Node) -> dict[str, dict[str, Any]]:
        """party key -> configuration, for every party whose role runs the module."""
        spec = node.spec
        if spec is None:
            return {}
        param_class = spec.param_class
        result: dict[str, dict[str, Any]] = {}
        typed: dict[Party, tuple[Param, Sources]] = {}
        for role, ids in self.conf.roles.items():
            if role not in spec.programs:
                continue
            for index, party_id in enumerate(ids):
                party = Party(role, party_id)
                result[party.key] = {
                    "module": spec.name,
                    param_class.conf_name: self._party(node.name, param_class, party, index, typed),
                    "local": {"role": role, "party_id": party_id},
                    "CodePath": spec.code_path.get(role, ""),
                }
        if typed and not self.is_predict:
            self._check_agreement(node.name, param_class, typed)
        return result

    def _check_agreement(
        self, name: str, cls: type[Param], typed: Mapping[Party, tuple[Param, Sources]]
    ) -> None:
        params = [param for param, _ in typed.values()]
        for key in cls.must_agree(params):
            values = {party: getattr(param, key) for party, (param, _) in typed.items()}
            first, value = next(iter(values.items()))
            other = next((party for party, found in values.items() if found != value), None)
            if other is None:
                continue
            common = f"{self.conf.root}.algorithm_parameters.{name}.{key}"
            places = [(party, typed[party][1].get((key,))) for party in (first, other)]
            path = next((p for _, p in reversed(places) if p not in (None, common)), common)
            found = f"{shown(value)} at {first}, but {shown(values[other])} at {other}"
            hint = "set it in algorithm_parameters, for all parties"
            self.report.problem(path or common, found, "one value at all parties", hint)

    def _party(
        self,
        name: str,
        cls: type[Param],
        party: Party,
        index: int,
        typed: dict[Party, tuple[Param, Sources]],
    ) -> dict[str, Any]:
        merged: dict[str, Any] = plain_copy(cls.defaults())
        sources: Sources = {}
        common = f"{self.conf.root}.algorithm_parameters.{name}"
        given = self.conf.algorithm_parameters.get(name, {})
        self._warn_unknown(cls, given, common)
        self._merge(cls, merged, given, common, lambda value, path: (value, path), sources)
        own = f"{self.conf.root}.role_parameters.{party.role}.{name}"
        for_party = self.conf.role_parameters.get(party.role, {}).get(name)
        if isinstance(for_party, Mapping):
            self._warn_unknown(cls, for_party, own)
            self._merge(cls, merged, for_party, own, self._pick(party, index), sources)
        param, problems = cls.parse(merged)
        typed[party] = (param, sources)
        if not problems and not self.is_predict:
            problems += param.check_roles(self.conf.roles)
            for doubt in param.doubts():
                found = _located(doubt, sources, common)
                self.report.warn(found.path, found.message, found.hint)
        self.report.add(*(_located(problem, sources, common) for problem in problems))
        return merged

    def _warn_unknown(self, cls: type[Param], given: Mapping[str, Any], path: str) -> None:
        if path not in self._seen:
            self._seen.add(path)
            for problem in cls.unknown_keys(given, path):
                self.report.warn(problem.path, problem.message, problem.hint)

    def _pick(self, party: Party, index: int) -> Pick:
        count, first = len(self.conf.roles[party.role]), self.conf.roles[party.role][0]

        def pick(value: Any, path: str) -> tuple[Any, str] | None:
            if isinstance(value, str) and len(value) == 1:
                # FATE-Flow 1.4 takes a text for the list of its characters, one per party.
                text = "found a text of one character, read as the list of one entry"
                self.report.warn(path, f"{text}, for {party.role} {first}")
                value = [value]
            if not isinstance(value, list):
                allowed = f"a list with one entry per party of role {party.role}"
                hint = f"use a list of {count}, or algorithm_parameters for all parties"
                self.report.problem(path, f"found {shown(value)}", allowed, hint)
                return None
            if len(value) != count:
                effect = "keep the default" if len(value) < count else "have no effect"
                whose = "the other parties" if len(value) < count else "the other entries"
                text = f"{len(value)} entries for {count} parties of role {party.role}"
                self.report.warn(path, f"{text}: {whose} {effect}")
            return (value[index], f"{path}[{index}]") if index < len(value) else None

        return pick

    def _merge(
        self,
        cls: type[Param],
        target: dict[str, Any],
        given: Mapping[str, Any],
        path: str,
        pick: Pick,
        sources: Sources,
        prefix: tuple[str, ...] = (),
    ) -> None:
        known = {spec.name: spec for spec in fields(cls)}
        for key, value in given.items():
            spec, where, keys = known.get(key), f"{path}.{key}", (*prefix, key)
            if spec is None:
                continue
            inner: type[Param] | None = spec.metadata.get("nested")
            if inner is None:
                picked = pick(value, where)
                if picked is not None:
                    target[key] = plain_copy(picked[0])
                    sources[keys] = picked[1]
            elif isinstance(value, Mapping):
                self._merge(inner, target[key], value, where, pick, sources, keys)
            else:
                self.report.problem(where, f"found {shown(value)}", "an object")


def _located(problem: Problem, sources: Sources, default: str) -> Problem:
    """The problem with the path of the value in the user's document."""
    keys = tuple(part for part in problem.path.split(".") if part)
    for length in range(len(keys), 0, -1):
        if keys[:length] in sources:
            rest = "".join(f".{key}" for key in keys[length:])
            path = sources[keys[:length]] + rest
            return Problem(path, problem.message, problem.allowed, problem.hint)
    path = ".".join((default, *keys))
    return Problem(path, problem.message, problem.allowed, problem.hint)
