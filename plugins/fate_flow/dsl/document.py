"""Reads the DSL: shapes FATE-Flow 1.4 tolerated are made regular, then the schema decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fate_flow.dsl import schema
from fate_flow.dsl.report import Report, shown
from fate_flow.errors import Problem
from fate_flow.runtime import registry

DATA_TYPES = ("data", "train_data", "eval_data")
NO_DSL = "there are no dsl, please check if the role and party id are correct"
NO_COMPONENTS = "there are no components in dsl, please have a check!"


@dataclass(frozen=True)
class Node:
    """One component as it stands in the DSL.

    Attributes:
        name: component name.
        path: JSON path of the component.
        module: module name, None when it is missing.
        spec: the module's description; None when it cannot be used.
        data: data type -> references.
        model, isometric_model: references.
        output_data, output_model: declared names; both empty when the component has no
            ``input``, because such a component's outputs are stored under default names.
        need_deploy: as written, None when absent.
    """

    name: str
    path: str
    module: str | None
    spec: registry.ModuleSpec | None
    data: Mapping[str, tuple[str, ...]]
    model: tuple[str, ...]
    isometric_model: tuple[str, ...]
    output_data: tuple[str, ...]
    output_model: tuple[str, ...]
    need_deploy: bool | None

    @property
    def deployed(self) -> bool:
        """Whether it is part of the predict DSL: the DSL's word, else the module's, else yes."""
        if self.need_deploy is not None:
            return self.need_deploy
        return self.spec.need_deploy if self.spec is not None else True

    def data_references(self) -> list[tuple[str, str, str]]:
        """(data type, reference, JSON path) of every data reference."""
        return [
            (kind, reference, f"{self.path}.input.data.{kind}[{i}]")
            for kind, references in self.data.items()
            for i, reference in enumerate(references)
        ]

    def model_references(self) -> list[tuple[str, str, str]]:
        """(model or isometric_model, reference, JSON path) of every model reference."""
        found = [("model", r, i) for i, r in enumerate(self.model)]
        found += [("isometric_model", r, i) for i, r in enumerate(self.isometric_model)]
        return [(kind, r, f"{self.path}.input.{kind}[{i}]") for kind, r, i in found]


def regular_dsl(job_dsl: Any, report: Report, root: str = "job_dsl") -> dict[str, Any]:
    """The DSL in regular shape; an empty object when there is nothing to go on with.

    FATE-Flow 1.4 accepted an empty list of components, an ``input`` or ``output`` that is
    a list or a text (read as empty), and a text where ``output`` wants a list of names.
    These become regular, with a warning. Everything else is the schema's to refuse.
    """
    if isinstance(job_dsl, (type(None), Mapping, list, str)) and not job_dsl:
        report.problem(root, NO_DSL, "an object with the key 'components'")
        return {}
    problems = schema.check_json(job_dsl, root)
    if problems:
        report.add(*problems)
        return {}
    dsl = schema.plain_copy(job_dsl)
    if isinstance(dsl, dict):
        if "components" not in dsl:
            report.problem(f"{root}.components", NO_COMPONENTS)
            return {}
        _make_regular(dsl, report, root)
    report.add(*schema.check(dsl, "job_dsl", root))
    return dsl if isinstance(dsl, dict) else {}


def _make_regular(dsl: dict[str, Any], report: Report, root: str) -> None:
    if dsl["components"] == []:
        dsl["components"] = {}
    if dsl["components"] == {}:
        report.warn(f"{root}.components", "the job has no components, it does nothing")
    components = dsl["components"]
    for name, component in components.items() if isinstance(components, dict) else ():
        if not isinstance(component, dict):
            continue
        path = f"{root}.components.{name}"
        for key in ("input", "output"):
            value = component.get(key)
            if isinstance(value, (list, str)):
                report.warn(f"{path}.{key}", f"found {shown(value)}, it has no effect")
                component[key] = {}
        output = component.get("output")
        if not isinstance(output, dict):
            continue
        for key in ("data", "model"):
            if isinstance(output.get(key), str):
                report.warn(f"{path}.output.{key}", "found a text, read as a list of one name")
                output[key] = [output[key]]


def texts_as_lists(dsl: dict[str, Any]) -> None:
    """Predict DSLs of FATE-Flow 1.4 may hold ``"eval_data": "args.eval_data"``: make it a list."""
    components = dsl.get("components")
    for component in components.values() if isinstance(components, dict) else ():
        given = component.get("input") if isinstance(component, dict) else None
        data = given.get("data") if isinstance(given, dict) else None
        if isinstance(data, dict):
            data.update({key: [value] for key, value in data.items() if isinstance(value, str)})


def read_nodes(dsl: Mapping[str, Any], report: Report, root: str = "job_dsl") -> list[Node]:
    """The components in DSL order; what the schema refused is left out silently."""
    components = dsl.get("components")
    if not isinstance(components, Mapping):
        return []
    return [
        _read_node(name, component, f"{root}.components.{name}", report)
        for name, component in components.items()
        if isinstance(component, Mapping)
    ]


def _read_node(name: str, component: Mapping[str, Any], path: str, report: Report) -> Node:
    given, output = component.get("input"), component.get("output")
    has_input = isinstance(given, Mapping)
    inputs: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    outputs: Mapping[str, Any] = output if has_input and isinstance(output, Mapping) else {}
    data = inputs.get("data")
    need_deploy = component.get("need_deploy")
    module = component.get("module")
    return Node(
        name=name,
        path=path,
        module=module if isinstance(module, str) else None,
        spec=_find_module(module, f"{path}.module", report),
        data={k: _texts(v) for k, v in data.items()} if isinstance(data, Mapping) else {},
        model=_texts(inputs.get("model")),
        isometric_model=_texts(inputs.get("isometric_model")),
        output_data=_texts(outputs.get("data")),
        output_model=_texts(outputs.get("model")),
        need_deploy=need_deploy if isinstance(need_deploy, bool) else None,
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str) and v) if isinstance(value, list) else ()


@lru_cache(maxsize=64)
def _unknown_module(module: str) -> Problem:
    return registry.problem_for_unknown(module, "")


def _find_module(module: Any, path: str, report: Report) -> registry.ModuleSpec | None:
    if not isinstance(module, str) or not module:
        return None
    if module == "Pipeline":
        report.problem(path, "find module Pipeline: sub-pipelines cannot be submitted")
        return None
    spec = registry.find(module)
    if spec is None or not spec.is_available:
        report.add(replace(_unknown_module(module), path=path))
        return None
    return spec
