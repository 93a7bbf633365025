"""The predict DSL: what of a training job is applied to new data, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fate_flow.dsl.document import Node, read_nodes, regular_dsl
from fate_flow.dsl.graph import check_names, check_references, source_of, topological_order
from fate_flow.dsl.report import Report

NEW_DATA = "args.eval_data"
ILLEGAL_INPUT = "Illegal input data"


def derive_predict_dsl(job_dsl: Any, role: str | None = None) -> dict[str, Any]:
    """The predict DSL of a training DSL; with ``role``, each component has its ``CodePath``.

    Deployed components keep their place and take their own model; data that came from the
    conf becomes ``args.eval_data``; components that are not deployed vanish and their
    readers read what these had read.

    Raises:
        InvalidInputError: the DSL is not valid.
    """
    report = Report()
    nodes = read_nodes(regular_dsl(job_dsl, report), report)
    check_names(nodes, report)
    check_references(nodes, report)
    order = topological_order(nodes, report)
    predict = derive(order, report)
    report.raise_if_any()
    return with_code_paths(predict, order, role) if role is not None else predict


def derive(order: Sequence[Node], report: Report) -> dict[str, Any]:
    """Predict DSL of components in topological order; ``Illegal input data`` goes to the report."""
    deployed = {node.name: node.deployed for node in order}
    substitutes: dict[str, str] = {}
    components: dict[str, Any] = {}
    for node in order:
        if node.deployed:
            components[node.name] = _entry(node, deployed, substitutes)
        elif node.output_data:
            source = _first_input(node)
            if source is None:
                hint = "add an input, or set need_deploy to true"
                allowed = "data input of type data, train_data or eval_data"
                report.problem(f"{node.path}.input.data", ILLEGAL_INPUT, allowed, hint)
            else:
                substitutes[node.name] = substitutes.get(source_of(source) or "", source)
    return {"components": components}


def _first_input(node: Node) -> str | None:
    for kind in ("train_data", "eval_data", "data"):
        if node.data.get(kind):
            return node.data[kind][0]
    return None


def _entry(
    node: Node, deployed: Mapping[str, bool], substitutes: Mapping[str, str]
) -> dict[str, Any]:
    entry: dict[str, Any] = {"module": node.module}
    inputs: dict[str, Any] = {}
    if node.output_model:
        inputs["model"] = [f"pipeline.{node.name}.{alias}" for alias in node.output_model]
    for kind, target in (("data", "data"), ("train_data", "eval_data"), ("eval_data", "eval_data")):
        if kind in node.data:
            references = node.data[kind] if kind == "data" else node.data[kind][:1]
            inputs["data"] = {target: _mapped(references, deployed, substitutes)}
            break
    if inputs:
        entry["input"] = inputs
    if node.output_data:
        entry["output"] = {"data": list(node.output_data)}
    return entry


def _mapped(
    references: Sequence[str], deployed: Mapping[str, bool], substitutes: Mapping[str, str]
) -> list[str]:
    mapped: list[str] = []
    for reference in references:
        source = source_of(reference)
        if source is None:
            mapped.append(NEW_DATA)
        elif deployed.get(source, True):
            mapped.append(reference)
        elif source in substitutes:
            mapped = [substitutes[source]]  # as in FATE-Flow 1.4, it replaces the whole list
    return mapped


def with_code_paths(
    predict_dsl: Mapping[str, Any], nodes: Sequence[Node], role: str
) -> dict[str, Any]:
    """A copy for one role; components that the role does not run get no ``CodePath``."""
    specs = {node.name: node.spec for node in nodes}
    components = {}
    for name, entry in predict_dsl["components"].items():
        spec = specs.get(name)
        path = spec.code_path.get(role) if spec is not None else None
        components[name] = {**entry, "CodePath": path} if path is not None else dict(entry)
    return {"components": components}
