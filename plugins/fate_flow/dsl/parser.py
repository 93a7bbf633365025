"""Two JSON documents in, one checked, canonical plan out: no clock, no files, no job id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fate_flow.dsl.canonical import canonical_json, plan_from_json, with_hash
from fate_flow.dsl.conf import (
    Conf,
    JobArgs,
    check_data_keys,
    check_names_used,
    read_conf,
    read_job_args,
)
from fate_flow.dsl.dependency import dependency, needs_run
from fate_flow.dsl.document import Node, read_nodes, regular_dsl, texts_as_lists
from fate_flow.dsl.graph import (
    check_names,
    check_references,
    source_of,
    topological_order,
    upstream_of,
)
from fate_flow.dsl.merge import Merger
from fate_flow.dsl.participants import check_participants
from fate_flow.dsl.predict import derive, derive_predict_dsl
from fate_flow.dsl.report import Report
from fate_flow.dsl.schema import plain_copy
from fate_flow.entities import ComponentPlan, Party, Plan
from fate_flow.errors import InvalidInputError, Problem

__all__ = [
    "canonical_json",
    "compile_plan",
    "compile_predict_plan",
    "dependency",
    "derive_predict_dsl",
    "needs_run",
    "plan_from_json",
]


def compile_plan(job_dsl: Any, runtime_conf: Any) -> Plan:
    """Check a training job and compile it.

    Args:
        job_dsl: the DSL, parsed JSON.
        runtime_conf: the runtime conf, parsed JSON.

    Returns:
        The plan; the same documents give an equal plan with the same content hash.

    Raises:
        InvalidInputError: carries every problem of both documents, with JSON paths that
            start with ``job_dsl`` or ``job_runtime_conf``.
    """
    report = Report()
    nodes = read_nodes(regular_dsl(job_dsl, report), report)
    conf = read_conf(runtime_conf, report)
    if conf.job_parameters.get("job_type") == "predict":
        path = f"{conf.root}.job_parameters.job_type"
        report.problem(path, "a predict job is compiled from a trained model, not from a DSL")
    check_names(nodes, report)
    check_references(nodes, report)
    order = topological_order(nodes, report)
    derive(order, report)
    check_participants(nodes, conf, report)
    check_names_used(nodes, conf, report)
    args = read_job_args(conf, report)
    check_data_keys(nodes, conf, args, report)
    names = {node.name for node in nodes}
    # What a component takes over is judged at its maker; its own parameters have no effect.
    own = [node for node in order or nodes if _maker(node) not in names]
    parameters = _merged(own, conf, report)
    _take_over(order, conf, parameters, report)
    report.raise_if_any()
    return _plan(order, nodes, conf, conf, parameters, args, report)


def compile_predict_plan(pipeline_dsl: Any, train_conf: Any, predict_conf: Any) -> Plan:
    """Compile a predict job: the trained pipeline over new data.

    Roles, parties and component parameters are the training job's; the predict conf gives
    the initiator, the job parameters and the tables.

    Args:
        pipeline_dsl: the predict DSL stored with the model.
        train_conf: the runtime conf stored with the model.
        predict_conf: the submitted runtime conf.

    Raises:
        InvalidInputError: as :func:`compile_plan`; paths start with ``pipeline_dsl``,
            ``train_runtime_conf`` or ``job_runtime_conf``.
    """
    report = Report()
    dsl = plain_copy(pipeline_dsl) if isinstance(pipeline_dsl, Mapping) else pipeline_dsl
    if isinstance(dsl, dict):
        texts_as_lists(dsl)
    nodes = read_nodes(regular_dsl(dsl, report, "pipeline_dsl"), report, "pipeline_dsl")
    train = read_conf(train_conf, report, "train_runtime_conf")
    conf = read_conf(predict_conf, report)
    _check_predict_conf(train, conf, report)
    check_references(nodes, report, predict=True)
    order = topological_order(nodes, report, "pipeline_dsl")
    args = read_job_args(conf, report)
    check_data_keys(nodes, conf, args, report)
    parameters = _merged(order, train, report, is_predict=True)
    report.raise_if_any()
    return _plan(order, nodes, conf, train, parameters, args, report)


def _check_predict_conf(train: Conf, conf: Conf, report: Report) -> None:
    job = conf.job_parameters
    if job and job.get("job_type") != "predict":
        report.problem(f"{conf.root}.job_parameters.job_type", "found train", "predict")
    for key in ("model_id", "model_version") if job else ():
        if not job.get(key):
            path = f"{conf.root}.job_parameters.{key}"
            report.problem(path, "missing", "the training job's", "query_job or job_config show it")
    if train.roles and conf.roles and dict(train.roles) != dict(conf.roles):
        listed = "; ".join(f"{r}: {', '.join(map(str, ids))}" for r, ids in train.roles.items())
        report.problem(f"{conf.root}.role", "differs from the training job's", listed)
    if conf.algorithm_parameters:
        path = f"{conf.root}.algorithm_parameters"
        report.warn(path, "a predict job runs with the training job's parameters, no effect")


def _merged(
    nodes: Sequence[Node], conf: Conf, report: Report, *, is_predict: bool = False
) -> dict[str, dict[str, dict[str, Any]]]:
    merger = Merger(conf, report, is_predict)
    return {node.name: merger.component(node) for node in nodes}


def _maker(node: Node) -> str | None:
    """Whose configuration the component runs with; None: its own. Of several models the last."""
    return source_of(node.model[-1]) if node.model else None


def _take_over(
    order: Sequence[Node],
    conf: Conf,
    parameters: dict[str, dict[str, dict[str, Any]]],
    report: Report,
) -> None:
    """A component with ``input.model`` runs with the configuration of the model's maker."""
    for node in order:
        maker = _maker(node)
        if maker is None or maker not in parameters:
            continue
        parameters[node.name] = plain_copy(parameters[maker])
        given = [f"{conf.root}.algorithm_parameters.{node.name}"]
        given = given if node.name in conf.algorithm_parameters else []
        given += [
            f"{conf.root}.role_parameters.{role}.{node.name}"
            for role, entries in conf.role_parameters.items()
            if role in conf.roles and node.name in entries
        ]
        for path in given:
            report.warn(path, f"{node.name} runs with the parameters of {maker}, no effect")


def _plan(
    order: Sequence[Node],
    nodes: Sequence[Node],
    conf: Conf,
    parties_of: Conf,
    parameters: Mapping[str, Mapping[str, Mapping[str, Any]]],
    args: JobArgs,
    report: Report,
) -> Plan:
    by_name = {node.name: node for node in nodes}
    if conf.initiator is None:
        raise InvalidInputError([Problem(f"{conf.root}.initiator", "cannot be read")])
    return with_hash(
        Plan(
            roles={role: tuple(ids) for role, ids in parties_of.roles.items()},
            initiator=conf.initiator,
            components=tuple(
                ComponentPlan(
                    name=node.name,
                    module=node.module or "",
                    data=node.data,
                    model=node.model,
                    isometric_model=node.isometric_model,
                    output_data=node.output_data,
                    output_model=node.output_model,
                    parties=tuple(_parties(node, parties_of)),
                    parameters=parameters[node.name],
                    upstream=tuple(upstream_of(node, by_name)),
                )
                for node in order
            ),
            job_parameters=conf.job_parameters,
            job_args=args,
            warnings=tuple(report.warnings),
        )
    )


def _parties(node: Node, conf: Conf) -> list[Party]:
    programs = node.spec.programs if node.spec is not None else {}
    return [party for party in conf.parties if party.role in programs]
