"""Predict DSLs and predict jobs."""

from __future__ import annotations

from typing import Any

import pytest

from fate_flow.dsl.parser import compile_plan, compile_predict_plan, derive_predict_dsl
from fate_flow.errors import InvalidInputError
from tests.unit.dsl import jobs


def predict_conf() -> dict[str, Any]:
    conf = jobs.conf()
    conf["job_parameters"].update(job_type="predict", model_id="m", model_version="1")
    conf["algorithm_parameters"] = {}
    conf["role_parameters"] = {
        "guest": {"args": {"data": {"eval_data": [{"name": "g", "namespace": "new"}]}}},
        "host": {
            "args": {
                "data": {
                    "eval_data": [
                        {"name": "h", "namespace": "new"},
                        {"name": "", "namespace": ""},
                    ]
                }
            }
        },
    }
    return conf


def test_derivation() -> None:
    assert derive_predict_dsl(jobs.dsl(), "guest") == {
        "components": {
            "read_0": {
                "module": "Read",
                "input": {
                    "model": ["pipeline.read_0.reader"],
                    "data": {"data": ["args.eval_data"]},
                },
                "output": {"data": ["train"]},
                "CodePath": "federated/read.py/Guest",
            },
            "learn_0": {
                "module": "Learn",
                "input": {
                    "model": ["pipeline.learn_0.learned"],
                    "data": {"eval_data": ["read_0.train"]},
                },
                "output": {"data": ["scores"]},
                "CodePath": "federated/learn.py/Guest",
            },
        }
    }


def test_code_path_only_where_the_role_takes_part() -> None:
    entries = derive_predict_dsl(jobs.dsl(), "arbiter")["components"]
    assert "CodePath" not in entries["read_0"]
    assert entries["learn_0"]["CodePath"] == "federated/learn.py/Arbiter"
    assert "CodePath" not in derive_predict_dsl(jobs.dsl())["components"]["learn_0"]


def test_need_deploy_of_the_dsl_wins() -> None:
    dsl = jobs.dsl()
    dsl["components"]["sample_0"]["need_deploy"] = True
    dsl["components"]["learn_0"]["need_deploy"] = False
    assert list(derive_predict_dsl(dsl)["components"]) == ["read_0", "sample_0"]


def test_chains_of_components_that_are_not_deployed() -> None:
    dsl = jobs.dsl()
    dsl["components"]["sample_1"] = {
        "module": "Sample",
        "input": {"data": {"data": ["sample_0.sampled"]}},
        "output": {"data": ["again"]},
    }
    dsl["components"]["learn_0"]["input"]["data"] = {
        "eval_data": ["read_0.train"],
        "train_data": ["sample_1.again"],
    }
    entry = derive_predict_dsl(dsl)["components"]["learn_0"]
    assert entry["input"]["data"] == {"eval_data": ["read_0.train"]}


def test_a_substitute_from_the_conf_stays_as_written() -> None:
    dsl = jobs.dsl()
    dsl["components"]["read_0"]["need_deploy"] = False
    entry = derive_predict_dsl(dsl)["components"]["learn_0"]
    assert entry["input"]["data"] == {"eval_data": ["args.train_data"]}


def test_a_substitute_replaces_the_whole_list() -> None:
    dsl = jobs.dsl()
    dsl["components"]["read_1"] = {
        "module": "Read",
        "input": {"data": {"data": ["learn_0.scores", "sample_0.sampled"]}},
    }
    entry = derive_predict_dsl(dsl)["components"]["read_1"]
    assert entry == {"module": "Read", "input": {"data": {"data": ["read_0.train"]}}}


def test_eval_data_of_the_conf_stays_a_list() -> None:
    dsl = jobs.dsl()
    dsl["components"]["learn_0"]["input"]["data"] = {"eval_data": ["args.other"]}
    entry = derive_predict_dsl(dsl)["components"]["learn_0"]
    assert entry["input"]["data"] == {"eval_data": ["args.eval_data"]}


def test_derivation_of_a_bad_dsl() -> None:
    with pytest.raises(InvalidInputError, match="unknown module"):
        derive_predict_dsl({"components": {"a_0": {"module": "Nothing"}}})


def test_predict_plan() -> None:
    plan = compile_predict_plan(derive_predict_dsl(jobs.dsl()), jobs.conf(), predict_conf())
    trained = compile_plan(jobs.dsl(), jobs.conf())
    assert [c.name for c in plan.components] == ["read_0", "learn_0"]
    learn = plan.component("learn_0")
    assert learn.model == ("pipeline.learn_0.learned",)
    assert learn.upstream == ("read_0",)
    assert learn.model_alias == "default"
    assert learn.parameters == trained.component("learn_0").parameters
    assert plan.job_args["host_10000"] == {"eval_data": ("new", "h")}
    assert plan.job_args["host_10001"] == {"eval_data": None}
    assert plan.job_parameters["model_version"] == "1"


def test_predict_dsl_with_a_text_for_a_list() -> None:
    dsl = derive_predict_dsl(jobs.dsl())
    dsl["components"]["learn_0"]["input"]["data"] = {"eval_data": "args.eval_data"}
    plan = compile_predict_plan(dsl, jobs.conf(), predict_conf())
    assert plan.component("learn_0").data == {"eval_data": ("args.eval_data",)}


def test_predict_conf_of_other_parties() -> None:
    conf = predict_conf()
    conf["role"]["host"] = [10001]
    conf["role_parameters"]["host"]["args"]["data"]["eval_data"].pop()
    with pytest.raises(InvalidInputError, match=r"job_runtime_conf\.role: differs"):
        compile_predict_plan(derive_predict_dsl(jobs.dsl()), jobs.conf(), conf)


def test_predict_conf_without_a_model() -> None:
    conf = predict_conf()
    conf["job_parameters"].pop("model_id")
    with pytest.raises(InvalidInputError, match="model_id: missing"):
        compile_predict_plan(derive_predict_dsl(jobs.dsl()), jobs.conf(), conf)


def test_algorithm_parameters_of_a_predict_conf_have_no_effect() -> None:
    conf = predict_conf()
    conf["algorithm_parameters"] = {"learn_0": {"max_iter": 1}}
    plan = compile_predict_plan(derive_predict_dsl(jobs.dsl()), jobs.conf(), conf)
    given = plan.component("learn_0").parameters["guest_9999"]["LearnTestParam"]
    assert given["max_iter"] == 7
    assert any("algorithm_parameters" in warning for warning in plan.warnings)
