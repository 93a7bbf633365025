"""Generated jobs: valid ones compile, broken ones are refused with a path, bytes are stable."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fate_flow.dsl.parser import (
    canonical_json,
    compile_plan,
    compile_predict_plan,
    dependency,
    derive_predict_dsl,
    plan_from_json,
)
from fate_flow.errors import InvalidInputError, Problem
from tests.unit.dsl import jobs

Job = tuple[dict[str, Any], dict[str, Any]]

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.just(10**400)
    | st.floats(allow_nan=True)
    | st.text(max_size=4)
    | st.sampled_from(["learn_0.scores", "args.train_data", "pipeline.a_0.b", "\ud800", "Read"])
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def valid_jobs(draw: st.DrawFn) -> Job:
    """A chain or tree of components over random parties, with random legal parameters."""
    roles = {
        "guest": [draw(st.integers(0, 99999))],
        "host": draw(st.lists(st.integers(0, 99999), min_size=1, max_size=3, unique=True)),
        "arbiter": [draw(st.integers(0, 99999))],
    }
    order: list[str] = draw(st.permutations(list(roles)))
    components: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for _ in range(draw(st.integers(1, 7))):
        module = draw(st.sampled_from(["Read", "Sample", "Judge", "Learn"]))
        index = counts.setdefault(module, 0)
        counts[module] += 1
        sources = ["args.train_data", *(f"{n}.out" for n in components)]
        references = draw(st.lists(st.sampled_from(sources), min_size=1, max_size=2, unique=True))
        kind = draw(st.sampled_from(["data", "train_data", "eval_data"]))
        inputs: dict[str, Any] = {"data": {kind: references}}
        same = [n for n, c in components.items() if c["module"] == module]
        if same and draw(st.sampled_from(["yes", "no"])) == "yes":
            inputs["model"] = [f"{draw(st.sampled_from(same))}.m"]
        elif components and draw(st.sampled_from(["yes", "no"])) == "yes":
            inputs["isometric_model"] = [f"{draw(st.sampled_from(list(components)))}.m"]
        component: dict[str, Any] = {
            "module": module,
            "input": inputs,
            "output": {"data": ["out"], "model": ["m"]},
        }
        if draw(st.booleans()):
            component["need_deploy"] = draw(st.booleans())
        components[f"{module.lower()}_{index}"] = component
    names = draw(st.permutations(list(components)))
    common = st.fixed_dictionaries(
        {}, optional={"max_iter": st.integers(1, 9), "alpha": st.floats(0.1, 1)}
    )
    role_parameters: dict[str, Any] = {
        role: {"args": {"data": {"train_data": [{"name": "t", "namespace": "n"} for _ in ids]}}}
        for role, ids in roles.items()
        if role != "arbiter"
    }
    for name in names:
        if name.startswith("learn") and draw(st.booleans()):
            values = draw(st.lists(st.floats(0, 1), max_size=4))
            role_parameters["host"][name] = {"alpha": values}
    initiator = draw(st.sampled_from([(r, i) for r, ids in roles.items() for i in ids]))
    conf = {
        "initiator": {"role": initiator[0], "party_id": initiator[1]},
        "job_parameters": {"work_mode": draw(st.sampled_from([0, 1]))},
        "role": {role: roles[role] for role in order},
        "role_parameters": role_parameters,
        "algorithm_parameters": {n: draw(common) for n in names if n.startswith("learn")},
    }
    return {"components": {name: components[name] for name in names}}, conf


def _shuffled(value: Any, keep: tuple[str, ...] = ()) -> Any:
    """The same document with the keys of every object in reverse order, except where it matters."""
    if isinstance(value, dict):
        keys = list(value)
        return {k: value[k] if k in keep else _shuffled(value[k], keep) for k in reversed(keys)}
    return [_shuffled(item, keep) for item in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=50)
@given(valid_jobs())
def test_valid_jobs_compile(job: Job) -> None:
    dsl, conf = job
    plan = compile_plan(dsl, conf)
    seen: set[str] = set()
    for component in plan.components:
        assert set(component.upstream) <= seen
        seen.add(component.name)
        assert set(component.parameters) == {party.key for party in component.parties}
    assert seen == set(dsl["components"])
    assert plan_from_json(canonical_json(plan)) == plan
    for party in plan.parties:
        answer = dependency(plan, party.role, party.party_id)
        assert answer["component_list"] == [c.name for c in plan.components]


@settings(deadline=None, max_examples=50)
@given(valid_jobs())
def test_bytes_do_not_depend_on_key_order(job: Job) -> None:
    dsl, conf = job
    text = canonical_json(compile_plan(dsl, conf))
    assert canonical_json(compile_plan(copy.deepcopy(dsl), json.loads(json.dumps(conf)))) == text
    # Roles and components are ordered; below them no order has a meaning.
    other_dsl = {"components": {k: _shuffled(v) for k, v in dsl["components"].items()}}
    other = compile_plan(other_dsl, _shuffled(conf, keep=("role", "role_parameters")))
    assert other.content_hash == compile_plan(dsl, conf).content_hash


@settings(deadline=None, max_examples=50)
@given(valid_jobs())
def test_predict_dsl_of_valid_jobs_compiles(job: Job) -> None:
    dsl, conf = job
    conf["role_parameters"]["guest"]["args"]["data"]["eval_data"] = [{"name": "", "namespace": ""}]
    hosts = conf["role"]["host"]
    conf["role_parameters"]["host"]["args"]["data"]["eval_data"] = [
        {"name": "n", "namespace": "s"} for _ in hosts
    ]
    predict_conf = copy.deepcopy(conf)
    predict_conf["job_parameters"].update(job_type="predict", model_id="m", model_version="v")
    derived = derive_predict_dsl(dsl, "guest")
    plan = compile_predict_plan(derived, conf, predict_conf)
    deployed = {
        name
        for name, c in dsl["components"].items()
        if c.get("need_deploy", c["module"] not in ("Judge", "Sample"))
    }
    assert {c.name for c in plan.components} == deployed


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        found += _paths(inner, (*path, key))
    return found


@settings(deadline=None, max_examples=150)
@given(st.data(), st.booleans())
def test_mutated_jobs_never_crash_the_parser(data: st.DataObject, in_dsl: bool) -> None:
    documents = {"job_dsl": jobs.dsl(), "job_runtime_conf": jobs.conf()}
    target: Any = documents["job_dsl" if in_dsl else "job_runtime_conf"]
    for _ in range(data.draw(st.integers(1, 3))):
        paths = _paths(target)
        if not paths:
            break
        *parents, last = data.draw(st.sampled_from(paths))
        holder = target
        for key in parents:
            holder = holder[key]
        if isinstance(holder, dict) and data.draw(st.integers(0, 3)) == 0:
            del holder[last]
        else:
            holder[last] = data.draw(_JSON)
    _compile_or_refuse(documents["job_dsl"], documents["job_runtime_conf"])


@settings(deadline=None, max_examples=100)
@given(_JSON, _JSON, st.booleans())
def test_any_documents(dsl: Any, conf: Any, half: bool) -> None:
    _compile_or_refuse(dsl, jobs.conf() if half else conf)
    with suppress(InvalidInputError):
        compile_predict_plan(dsl, conf if half else jobs.conf(), conf)


def _compile_or_refuse(dsl: Any, conf: Any) -> None:
    problems: Sequence[Problem] = ()
    try:
        plan = compile_plan(dsl, conf)
    except InvalidInputError as error:
        problems = error.problems
    else:
        assert plan_from_json(canonical_json(plan)) == plan
        return
    assert problems
    for problem in problems:
        assert re.split(r"[.\[]", problem.path)[0] in ("job_dsl", "job_runtime_conf")
        assert problem.message


@pytest.mark.parametrize(
    ("value", "text"),
    [(10**5000, "the integer is too long"), ({1: 2}, "texts as keys")],
    ids=["long integer", "number as key"],
)
def test_values_that_json_cannot_carry_are_refused(value: Any, text: str) -> None:
    for where in ("job_dsl", "job_runtime_conf"):
        documents = {"job_dsl": jobs.dsl(), "job_runtime_conf": jobs.conf()}
        documents[where]["extra"] = value
        with pytest.raises(InvalidInputError, match=text):
            compile_plan(*documents.values())


def test_deep_documents_are_refused() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for dsl, conf in ((deep, jobs.conf()), (jobs.dsl(), deep)):
        with pytest.raises(InvalidInputError, match="nested too deep"):
            compile_plan(dsl, conf)
    while deep:  # taken apart level by level: freeing it at once would recurse
        deep = deep["a"]
