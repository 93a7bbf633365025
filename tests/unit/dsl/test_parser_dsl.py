"""What the parser refuses in the DSL: modules, names, inputs, loops."""

from __future__ import annotations

from typing import Any

import pytest

from fate_flow.dsl.parser import compile_plan
from fate_flow.errors import InvalidInputError
from tests.unit.dsl import jobs
from tests.unit.dsl.changes import Change, refused

DSL_PROBLEMS: list[tuple[str, Change, str, str]] = [
    (
        "no module",
        lambda d, c: d["components"]["read_0"].pop("module"),
        "read_0.module",
        "'module'",
    ),
    (
        "unknown module",
        lambda d, c: d["components"]["read_0"].update(module="Reed"),
        "read_0.module",
        "did you mean 'Read'?",
    ),
    (
        "module of a later version",
        lambda d, c: d["components"]["read_0"].update(module="Planned"),
        "read_0.module",
        "not available in this version",
    ),
    (
        "sub-pipeline",
        lambda d, c: d["components"]["read_0"].update(module="Pipeline"),
        "read_0.module",
        "find module Pipeline",
    ),
    (
        "module is a number",
        lambda d, c: d["components"]["read_0"].update(module=3),
        "read_0.module",
        "found 3; allowed: a text",
    ),
    (
        "component is a list",
        lambda d, c: d["components"].update(judge_0=[]),
        "judge_0",
        "found an empty list; allowed: an object",
    ),
    (
        "unknown component",
        lambda d, c: d["components"]["learn_0"]["input"]["data"].update(train_data=["sampel_0.x"]),
        "learn_0.input.data.train_data[0]",
        "unknown module input sampel_0",
    ),
    (
        "reference without a name",
        lambda d, c: d["components"]["learn_0"]["input"]["data"].update(train_data=["sample_0"]),
        "learn_0.input.data.train_data[0]",
        "<component>.<output name>",
    ),
    (
        "references are a text",
        lambda d, c: d["components"]["read_0"]["input"]["data"].update(data="args.train_data"),
        "read_0.input.data.data",
        'use ["args.train_data"]',
    ),
    (
        "unknown model source",
        lambda d, c: d["components"]["judge_0"]["input"].update(model=["ghost_0.m"]),
        "judge_0.input.model[0]",
        "unknown module input ghost_0.m",
    ),
    (
        "model of another module",
        lambda d, c: d["components"]["judge_0"]["input"].update(model=["learn_0.learned"]),
        "judge_0.input.model[0]",
        "isometric_model",
    ),
    (
        "pipeline reference in a training job",
        lambda d, c: d["components"]["learn_0"]["input"].update(model=["pipeline.learn_0.learned"]),
        "learn_0.input.model[0]",
        "predict DSLs only",
    ),
    (
        "model reference of three parts",
        lambda d, c: d["components"]["judge_0"]["input"].update(isometric_model=["learn_0.a.b"]),
        "judge_0.input.isometric_model[0]",
        "get input model failed",
    ),
    (
        "alias that is no folder name",
        lambda d, c: d["components"]["read_0"]["output"].update(model=["a/b"]),
        "read_0.output.model[0]",
        "the alias 'a/b' cannot be used",
    ),
    (
        "need_deploy is a text",
        lambda d, c: d["components"]["read_0"].update(need_deploy="false"),
        "read_0.need_deploy",
        "true or false",
    ),
    (
        "not deployed, output but no input",
        lambda d, c: d["components"]["sample_0"]["input"].update(data={}),
        "sample_0.input.data",
        "Illegal input data",
    ),
]


@pytest.mark.parametrize(
    ("change", "path", "text"), [row[1:] for row in DSL_PROBLEMS], ids=[r[0] for r in DSL_PROBLEMS]
)
def test_dsl_problem(change: Change, path: str, text: str) -> None:
    found = refused(change)
    assert text in found[f"job_dsl.components.{path}"]


def rename(old: str, new: str) -> Change:
    def change(dsl: dict[str, Any], conf: dict[str, Any]) -> None:
        dsl["components"] = {new if k == old else k: v for k, v in dsl["components"].items()}

    return change


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("judge", "format of name_index"),
        ("_0", "format of name_index"),
        ("judge_1", "be consecutive"),
        ("judge_00", "be consecutive"),
        ("judge_x", "index of component's name should be integer start from 0"),
        ("judge_", "should be integer"),
        ("judge_٣", "should be integer"),
        ("../judge_0", "cannot be used"),
        ("ju dge_0", "cannot be used"),
        ("j" * 120 + "_0", "cannot be used"),
        ("-judge_0", "cannot be used"),
        ("Bewährung_0", "letters a to z"),
        ("评估_0", "cannot be used"),
        ("learn_1", "same modules should have the same name"),
    ],
)
def test_component_name(name: str, text: str) -> None:
    found = refused(rename("judge_0", name))
    assert text in found[f"job_dsl.components.{name}"]


def test_cycles_are_shown_each() -> None:
    def change(dsl: dict[str, Any], conf: dict[str, Any]) -> None:
        dsl["components"]["read_0"]["input"]["data"]["data"] = ["learn_0.scores"]
        dsl["components"]["judge_0"].update(
            input={"data": {"data": ["judge_0.x"]}}, output={"data": ["x"]}
        )

    dsl, conf = jobs.dsl(), jobs.conf()
    change(dsl, conf)
    with pytest.raises(InvalidInputError) as caught:
        compile_plan(dsl, conf)
    texts = [str(problem) for problem in caught.value.problems]
    loop = "job_dsl.components: component dependencies form loop, please check: "
    assert loop + "read_0 -> sample_0 -> learn_0 -> read_0" in texts
    assert loop + "judge_0 -> judge_0" in texts


@pytest.mark.parametrize("empty", [None, {}, [], ""])
def test_no_dsl(empty: Any) -> None:
    with pytest.raises(InvalidInputError, match="there are no dsl, please check"):
        compile_plan(empty, jobs.conf())


def test_no_components() -> None:
    with pytest.raises(InvalidInputError, match="there are no components in dsl"):
        compile_plan({"component": {}}, jobs.conf())
