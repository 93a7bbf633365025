"""Storing a plan, and the dependency answer."""

from __future__ import annotations

import json

import pytest

from fate_flow.dsl.parser import canonical_json, compile_plan, dependency, plan_from_json
from fate_flow.errors import InvalidInputError
from tests.unit.dsl import jobs


def test_round_trip() -> None:
    plan = compile_plan(jobs.dsl(), jobs.conf())
    text = canonical_json(plan)
    assert plan_from_json(text) == plan
    assert canonical_json(plan_from_json(text)) == text
    assert len(plan.content_hash) == 64


def test_a_changed_plan_is_refused() -> None:
    text = canonical_json(compile_plan(jobs.dsl(), jobs.conf()))
    with pytest.raises(InvalidInputError, match="changed after it was compiled"):
        plan_from_json(text.replace('"max_iter":7', '"max_iter":8'))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"format": 1}', '{"format": 9}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="plan"):
        plan_from_json(text)


def test_warnings_do_not_change_the_hash() -> None:
    conf = jobs.conf()
    conf["algorithm_parameters"]["learn_0"]["eps"] = 1
    plan = compile_plan(jobs.dsl(), conf)
    assert plan.warnings
    assert plan.content_hash == compile_plan(jobs.dsl(), jobs.conf()).content_hash


def test_the_order_of_roles_is_kept() -> None:
    conf = jobs.conf()
    conf["role"] = dict(reversed(conf["role"].items()))
    plan = compile_plan(jobs.dsl(), conf)
    assert list(plan_from_json(canonical_json(plan)).roles) == ["arbiter", "host", "guest"]
    assert plan.content_hash != compile_plan(jobs.dsl(), jobs.conf()).content_hash


def test_dependency() -> None:
    dsl = jobs.dsl()
    dsl["components"]["judge_0"]["input"]["isometric_model"] = ["learn_0.learned"]
    plan = compile_plan(dsl, jobs.conf())
    assert dependency(plan, "host", "10000") == {
        "component_list": ["read_0", "sample_0", "learn_0", "judge_0"],
        "dependencies": {
            "sample_0": [{"component_name": "read_0", "type": "data"}],
            "learn_0": [{"component_name": "sample_0", "type": "data"}],
            "judge_0": [
                {"component_name": "learn_0", "type": "data"},
                {"component_name": "learn_0", "type": "model"},
            ],
        },
        "component_module": {
            "read_0": "Read",
            "sample_0": "Sample",
            "learn_0": "Learn",
            "judge_0": "Judge",
        },
        "component_need_run": {
            "read_0": True,
            "sample_0": True,
            "learn_0": True,
            "judge_0": False,
        },
    }
    assert dependency(plan, "host", 10001)["component_need_run"]["judge_0"] is True
    assert dependency(plan, "arbiter", 10000)["component_need_run"] == {
        "read_0": False,
        "sample_0": False,
        "learn_0": True,
        "judge_0": False,
    }


def test_dependency_of_a_party_that_is_not_there() -> None:
    plan = plan_from_json(canonical_json(compile_plan(jobs.dsl(), jobs.conf())))
    with pytest.raises(InvalidInputError, match="role gest is unknown, can not extract") as caught:
        dependency(plan, "gest", 9999)
    assert "did you mean 'guest'?" in str(caught.value)
    with pytest.raises(InvalidInputError, match="party id 1 is unknown, can not extract"):
        dependency(plan, "guest", 1)


def test_the_text_is_plain_json() -> None:
    conf = jobs.conf()
    conf["role_parameters"]["guest"]["read_0"]["label_name"] = ["标签"]
    text = canonical_json(compile_plan(jobs.dsl(), conf))
    assert text.isascii()
    assert json.loads(text)["components"][0]["parameters"]["guest_9999"]["ReadTestParam"][
        "label_name"
    ] == ("标签")
