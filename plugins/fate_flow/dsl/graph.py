"""Names, references and order of the components."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fate_flow.dsl.document import DATA_TYPES, Node
from fate_flow.dsl.report import Report, did_you_mean, shown

#: Names of components are names of folders, of tasks in Airflow and of streams between sites.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_MAX_NAME = 100
#: An alias is the name of a folder of the model cache.
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_#.-]{0,199}")
NAME_RULE = (
    "component's name should be format of name_index, index is start from 0 and be consecutive "
    "for same module"
)
INDEX_RULE = "index of component's name should be integer start from 0"
MODULE_RULE = (
    "component's name should be format of name_index, index is start from 0 and same modules "
    "should have the same name"
)
LOOP = "component dependencies form loop, please check"


def check_names(nodes: Sequence[Node], report: Report) -> None:
    """``<prefix>_<index>``: per prefix the indexes 0, 1, 2, … and one module; aliases, too."""
    by_prefix: dict[str, list[tuple[int, Node]]] = {}
    for node in nodes:
        prefix, separator, index = node.name.rpartition("_")
        if not separator or not prefix:
            report.problem(node.path, NAME_RULE, "for example 'dataio_0'")
        elif not (index.isascii() and index.isdigit() and len(index) < 10):
            report.problem(node.path, f"{INDEX_RULE}, found {index!r}", "for example 'dataio_0'")
        elif not _NAME.fullmatch(node.name) or len(node.name) > _MAX_NAME:
            report.problem(
                node.path,
                f"the name {node.name[:_MAX_NAME]!r} cannot be used",
                f"letters a to z, digits, '_' and '-', at most {_MAX_NAME} of them",
            )
        else:
            by_prefix.setdefault(prefix, []).append((int(index), node))
    for prefix, group in by_prefix.items():
        _check_prefix(prefix, group, report)
    for node in nodes:
        for alias in node.output_model[:1]:  # only the first is ever stored under
            _check_alias(alias, f"{node.path}.output.model[0]", report)


def _check_alias(alias: str, path: str, report: Report) -> None:
    if not _ALIAS.fullmatch(alias):
        allowed = "1 to 200 of letters a to z, digits, '_', '-', '.', '#'"
        report.problem(path, f"the alias {shown(alias)} cannot be used", allowed)
    elif "." in alias:
        report.warn(path, f"no reference can name {alias!r}, nor can a predict job use the model")


def _check_prefix(prefix: str, group: list[tuple[int, Node]], report: Report) -> None:
    group.sort(key=lambda entry: entry[0])
    for expected, (index, node) in enumerate(group):
        if node.name != f"{prefix}_{expected}":
            hint = f"rename it to '{prefix}_{expected}'"
            report.problem(node.path, f"{NAME_RULE}, found index {index}", "", hint)
            return
    named = [node for _, node in group if node.module is not None]
    for node in named[1:]:
        if node.module != named[0].module:
            message = f"{MODULE_RULE}: {named[0].name} is a {named[0].module}"
            report.problem(node.path, f"{message}, this is a {node.module}")


def source_of(reference: str) -> str | None:
    """The component of this job a reference names.

    None for tables of the conf (``args.…``) and for stored models (``pipeline.…``).
    """
    first = reference.partition(".")[0]
    return None if first in ("args", "pipeline") else first


def check_references(nodes: Sequence[Node], report: Report, *, predict: bool = False) -> None:
    """Form of every reference, and whether what it names exists."""
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        _check_data_types(node, report)
        for _, reference, path in node.data_references():
            _check_data_reference(reference, path, by_name, report)
        for kind, reference, path in node.model_references():
            if not predict:
                _check_model_reference(node, kind, reference, path, by_name, report)
            elif len(reference.split(".")) != (3 if reference.startswith("pipeline.") else 2):
                report.problem(path, f"get input model failed: {reference!r}", "pipeline.<c>.<m>")


def _check_data_types(node: Node, report: Report) -> None:
    for kind in node.data:
        if kind not in DATA_TYPES:
            message = f"unknown data type, no component reads it (known: {', '.join(DATA_TYPES)})"
            report.warn(f"{node.path}.input.data.{kind}", message, did_you_mean(kind, DATA_TYPES))
    known = [kind for kind in node.data if kind in DATA_TYPES]
    if node.spec is not None and known:
        reads = ("train_data", "eval_data") if node.spec.trainable else ("data",)
        if not set(known) & set(reads):
            message = f"{node.spec.name} reads {' and '.join(reads)}"
            report.warn(f"{node.path}.input.data", f"found {', '.join(known)}, {message}")
    if "data" in node.data and ("train_data" in node.data or "eval_data" in node.data):
        report.warn(f"{node.path}.input.data", "'data' beside train_data or eval_data is not read")
    for kind, references in node.data.items():
        counts = Counter(reference.partition(".")[0] for reference in references)
        twice = sorted(source for source, count in counts.items() if count > 1)
        if twice:
            message = f"several tables of {', '.join(twice)}: only the last one is read"
            report.warn(f"{node.path}.input.data.{kind}", message)


def _check_data_reference(
    reference: str, path: str, by_name: Mapping[str, Node], report: Report
) -> None:
    parts = reference.split(".")
    if len(parts) != 2 or not all(parts):
        report.problem(path, f"found {reference!r}", "args.<data key> or <component>.<output name>")
    elif parts[0] != "args":
        source = by_name.get(parts[0])
        if source is None:
            hint = did_you_mean(parts[0], by_name)
            report.problem(path, f"unknown module input {parts[0]}", "a component's name", hint)
        else:
            _warn_unless_first(source, "data", parts[1], path, report)


def _check_model_reference(
    node: Node, kind: str, reference: str, path: str, by_name: Mapping[str, Node], report: Report
) -> None:
    parts = reference.split(".")
    source = by_name.get(parts[0])
    if source is None:
        hint = did_you_mean(parts[0], by_name)
        if parts[0] == "pipeline":
            hint = "references that start with 'pipeline' stand in predict DSLs only"
        report.problem(path, f"unknown module input {reference}", "<component>.<alias>", hint)
    elif len(parts) != 2 or not all(parts):
        report.problem(path, f"get input model failed: {reference!r}", "<component>.<alias>")
    elif kind == "model" and None not in (node.module, source.module):
        if node.module != source.module:
            message = f"the model of {source.name} is a {source.module}'s, {node.name} is a "
            hint = "give a model of another module as isometric_model"
            report.problem(path, message + f"{node.module}", f"a {node.module}'s model", hint)
        else:
            _warn_unless_first(source, "model", parts[1], path, report)
    else:
        _warn_unless_first(source, "model", parts[1], path, report)


def _warn_unless_first(source: Node, kind: str, name: str, path: str, report: Report) -> None:
    """Only the first output name is ever stored under; a reference to another gives nothing."""
    names = source.output_data if kind == "data" else source.output_model
    stored = names[0] if names else ("component" if kind == "data" else "default")
    if name != stored:
        what = "table" if kind == "data" else "model"
        message = f"{source.name} stores its {what} as {stored!r}, so {name!r} gives no {what}"
        report.warn(path, message, f"use '{source.name}.{stored}'")


def upstream_of(node: Node, by_name: Mapping[str, Node]) -> list[str]:
    """Names of the components it reads from, in DSL order."""
    references = [r for _, r, _ in node.data_references() + node.model_references()]
    sources = {source_of(reference) for reference in references}
    return [name for name in by_name if name in sources]


def topological_order(nodes: Sequence[Node], report: Report, root: str = "job_dsl") -> list[Node]:
    """Upstream first, DSL order among equals (Kahn's algorithm, with a heap).

    Components on a cycle, and those behind one, are left out; each cycle is a problem.
    """
    by_name = {node.name: node for node in nodes}
    position = {name: i for i, name in enumerate(by_name)}
    upstream = {name: set(upstream_of(node, by_name)) for name, node in by_name.items()}
    downstream: dict[str, list[str]] = {name: [] for name in by_name}
    for name, sources in upstream.items():
        for source in sources:
            downstream[source].append(name)
    waiting = {name: len(sources) for name, sources in upstream.items()}
    ready = [position[name] for name, count in waiting.items() if count == 0]
    names, order = list(by_name), []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(by_name[name])
        for target in downstream[name]:
            waiting[target] -= 1
            if waiting[target] == 0:
                heapq.heappush(ready, position[target])
    done = {node.name for node in order}
    for cycle in _cycles([n for n in names if n not in done], upstream):
        report.problem(f"{root}.components", f"{LOOP}: {' -> '.join([*cycle, cycle[0]])}")
    return order


def _cycles(left: Iterable[str], upstream: Mapping[str, set[str]]) -> list[list[str]]:
    """Disjoint cycles among ``left``, each in the direction of the data flow."""
    position = {name: i for i, name in enumerate(left)}
    remaining, cycles = dict.fromkeys(position), []
    for start in position:
        if start not in remaining:
            continue
        trail: dict[str, None] = {}
        name: str | None = start
        while name is not None and name not in trail:
            trail[name] = None
            name = min((n for n in upstream[name] if n in remaining), default=None)
        if name is not None:
            walked = list(trail)
            cycle = walked[walked.index(name) :][::-1]
            first = min(range(len(cycle)), key=lambda i: position[cycle[i]])
            cycles.append(cycle[first:] + cycle[:first])
        for passed in trail:
            remaining.pop(passed, None)
    return cycles
