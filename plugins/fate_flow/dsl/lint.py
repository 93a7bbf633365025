"""Checks a job without a server: problems, warnings, and the plan as text and as a diagram."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fate_flow.dsl.conf import read_conf, read_job_args
from fate_flow.dsl.graph import source_of
from fate_flow.dsl.parser import compile_plan
from fate_flow.dsl.report import Report
from fate_flow.entities import ComponentPlan, Plan
from fate_flow.errors import InvalidInputError, Problem


@dataclass(frozen=True)
class LintReport:
    """What was found.

    Attributes:
        problems: why the job would be refused; empty when it would be accepted.
        warnings: what was accepted but looks wrong.
        plan: the compiled job; None with problems, and for predict jobs, whose components
            stand in the trained model.
    """

    problems: Sequence[Problem]
    warnings: Sequence[str]
    plan: Plan | None = None

    @property
    def ok(self) -> bool:
        return not self.problems

    def text(self) -> str:
        """All findings and the plan, one per line."""
        lines = [f"problem: {problem}" for problem in self.problems]
        lines += [f"warning: {warning}" for warning in self.warnings]
        if self.plan is not None:
            lines += [*([""] if lines else []), *plan_lines(self.plan)]
        elif self.ok:
            lines.append("ok: a predict job, its components stand in the trained model")
        return "\n".join(lines)


def lint(job_dsl: Any, runtime_conf: Any) -> LintReport:
    """Check two parsed documents; for a predict job ``job_dsl`` is not looked at."""
    job = runtime_conf.get("job_parameters") if isinstance(runtime_conf, Mapping) else None
    if isinstance(job, Mapping) and job.get("job_type") == "predict":
        report = Report()
        read_job_args(read_conf(runtime_conf, report), report)
        for key in ("model_id", "model_version"):
            if not job.get(key):
                report.problem(f"job_runtime_conf.job_parameters.{key}", "is missing or empty")
        return LintReport(tuple(report.problems), tuple(report.warnings))
    try:
        plan = compile_plan(job_dsl, runtime_conf)
    except InvalidInputError as error:
        return LintReport(error.problems, ())
    return LintReport((), plan.warnings, plan)


def lint_files(dsl_path: Path | None, conf_path: Path) -> LintReport:
    """Check two files; text that is not JSON, and keys that stand twice, are problems, too."""
    problems: list[Problem] = []
    job_dsl = _read(dsl_path, problems) if dsl_path is not None else {}
    conf = _read(conf_path, problems)
    return LintReport(tuple(problems), ()) if problems else lint(job_dsl, conf)


def _read(path: Path, problems: list[Problem]) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        problems.extend(
            Problem(str(path), f"the key {key!r} stands twice in one object", "each key once")
            for key in dict.fromkeys(keys)
            if keys.count(key) > 1
        )
        return dict(items)

    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        problems.append(Problem(where, f"not JSON: {error.msg}"))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        problems.append(Problem(str(path), f"cannot be read: {error}"))
    return None


def plan_lines(plan: Plan) -> list[str]:
    """The plan for a person: parties, then each component with inputs, outputs and parties."""
    roles = ", ".join(f"{role} {' '.join(map(str, ids))}" for role, ids in plan.roles.items())
    lines = [f"parties: {roles}; initiator {plan.initiator}"]
    for number, component in enumerate(plan.components, 1):
        lines.append(f"{number}. {component.name} ({component.module})")
        for kind, references in _inputs(component):
            lines.append(f"   {kind}: {', '.join(references)}")
        outputs = [f"data {component.data_name}"] if component.output_data else []
        outputs += [f"model {component.model_alias}"] if component.output_model else []
        if outputs:
            lines.append(f"   gives: {', '.join(outputs)}")
        lines.append(f"   runs at: {', '.join(map(str, component.parties)) or 'no party'}")
    lines.append(f"content hash: {plan.content_hash}")
    return lines


def _inputs(component: ComponentPlan) -> list[tuple[str, Sequence[str]]]:
    found = list(component.data.items())
    found += [("model", component.model), ("isometric_model", component.isometric_model)]
    return [(kind, references) for kind, references in found if references]


def mermaid(plan: Plan) -> str:
    """The plan as a Mermaid flowchart: tables of the conf, components, data and model edges."""
    lines = ["flowchart TD"]
    keys = {
        reference.partition(".")[2]
        for component in plan.components
        for references in component.data.values()
        for reference in references
        if source_of(reference) is None
    }
    ids = {f"args.{key}": f"t{i}" for i, key in enumerate(sorted(keys))}
    lines += [f'    {ids[f"args.{key}"]}[("{_label(key)}")]' for key in sorted(keys)]
    for i, component in enumerate(plan.components):
        ids[component.name] = f"c{i}"
        lines.append(f'    c{i}["{_label(component.name)}<br/>{_label(component.module)}"]')
    for component in plan.components:
        for kind, references in _inputs(component):
            arrow = "-.->" if kind in ("model", "isometric_model") else "-->"
            for reference in references:
                source = ids.get(source_of(reference) or reference)
                if source is not None:
                    lines.append(f"    {source} {arrow}|{_label(kind)}| {ids[component.name]}")
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    """Text that Mermaid shows as it is: everything but word characters as an entity."""
    return "".join(c if c.isalnum() or c in "_- " else f"#{ord(c)};" for c in text)
