"""Effective parameters of each party."""

from __future__ import annotations

import copy

import pytest

from fate_flow.components.hetero_lr.params import HeteroLogisticParam
from fate_flow.dsl.parser import compile_plan, compile_predict_plan, derive_predict_dsl
from fate_flow.errors import InvalidInputError, Problem
from tests.support.site import CONF, DSL
from tests.unit.dsl import jobs


def test_defaults_common_and_party_values() -> None:
    plan = compile_plan(jobs.dsl(), jobs.conf())
    parameters = plan.component("learn_0").parameters
    expected = {
        "max_iter": 7,
        "alpha": 0.01,
        "penalty": "L2",
        "columns": -1,
        "options": {"b": 2},
        "init_param": {"init_method": "CONST", "random_seed": None},
    }
    assert parameters["guest_9999"]["LearnTestParam"] == expected
    second = {**expected, "alpha": 0.2, "init_param": {"init_method": "CONST", "random_seed": 2}}
    assert parameters["host_10001"]["LearnTestParam"] == second
    assert parameters["host_10001"]["module"] == "Learn"
    assert parameters["host_10001"]["local"] == {"role": "host", "party_id": 10001}
    assert parameters["host_10001"]["CodePath"] == "federated/learn.py/Host"


def test_a_nested_default_of_the_module_is_kept() -> None:
    conf = jobs.conf()
    conf["algorithm_parameters"] = {"learn_0": {"init_param": {}}}
    plan = compile_plan(jobs.dsl(), conf)
    given = plan.component("learn_0").parameters["guest_9999"]["LearnTestParam"]
    assert given["init_param"] == {"init_method": "ones", "random_seed": None}


def test_list_values_per_party_are_lists_of_lists() -> None:
    conf = jobs.conf()
    conf["role_parameters"]["host"]["learn_0"] = {"columns": [[0, 1], -1]}
    parameters = compile_plan(jobs.dsl(), conf).component("learn_0").parameters
    assert parameters["host_10000"]["LearnTestParam"]["columns"] == [0, 1]
    assert parameters["host_10001"]["LearnTestParam"]["columns"] == -1


def test_a_short_list_keeps_the_value_of_all_parties() -> None:
    conf = jobs.conf()
    conf["algorithm_parameters"]["learn_0"]["alpha"] = 0.5
    conf["role_parameters"]["host"]["learn_0"] = {"alpha": [0.1]}
    parameters = compile_plan(jobs.dsl(), conf).component("learn_0").parameters
    assert parameters["host_10000"]["LearnTestParam"]["alpha"] == 0.1
    assert parameters["host_10001"]["LearnTestParam"]["alpha"] == 0.5


def test_unknown_keys_are_dropped() -> None:
    conf = jobs.conf()
    conf["algorithm_parameters"]["learn_0"].update(eps=1, init_param={"eps": 1})
    parameters = compile_plan(jobs.dsl(), conf).component("learn_0").parameters
    given = parameters["guest_9999"]["LearnTestParam"]
    assert "eps" not in given
    assert "eps" not in given["init_param"]


def test_a_component_with_a_model_runs_with_its_makers_parameters() -> None:
    dsl, conf = jobs.dsl(), jobs.conf()
    for name, source in (("learn_1", "learn_0"), ("learn_2", "learn_1")):
        dsl["components"][name] = {
            "module": "Learn",
            "input": {"data": {"eval_data": ["read_0.train"]}, "model": [f"{source}.learned"]},
            "output": {"data": ["scores"], "model": ["learned"]},
        }
    conf["algorithm_parameters"]["learn_1"] = {"max_iter": 1}
    conf["role_parameters"]["guest"]["learn_2"] = {"max_iter": [2]}
    plan = compile_plan(dsl, conf)
    made = plan.component("learn_0").parameters
    assert plan.component("learn_1").parameters == made
    assert plan.component("learn_2").parameters == made
    text = "\n".join(plan.warnings)
    assert "algorithm_parameters.learn_1: learn_1 runs with the parameters of learn_0" in text
    assert "role_parameters.guest.learn_2: learn_2 runs with the parameters of learn_1" in text


def test_what_is_taken_over_is_judged_at_its_maker() -> None:
    """77 iterations are refused with several hosts; what has no effect is not refused."""
    dsl, conf = jobs.dsl(), jobs.conf()
    dsl["components"]["learn_1"] = {
        "module": "Learn",
        "input": {"data": {"eval_data": ["read_0.train"]}, "model": ["learn_0.learned"]},
        "output": {"data": ["scores"]},
    }
    conf["algorithm_parameters"]["learn_1"] = {"max_iter": 77, "alpha": "none"}
    assert "learn_1 runs with the parameters of learn_0" in "\n".join(
        compile_plan(dsl, conf).warnings
    )


def test_an_isometric_model_changes_no_parameters() -> None:
    dsl, conf = jobs.dsl(), jobs.conf()
    dsl["components"]["judge_0"]["input"]["isometric_model"] = ["learn_0.learned"]
    plan = compile_plan(dsl, conf)
    assert plan.component("judge_0").parameters["guest_9999"]["module"] == "Judge"


def test_parties_do_not_share_objects() -> None:
    parameters = compile_plan(jobs.dsl(), jobs.conf()).component("learn_0").parameters
    options = [party["LearnTestParam"]["options"] for party in parameters.values()]
    assert len({id(value) for value in options}) == len(options)


def test_rules_over_the_parties_of_the_job_are_checked() -> None:
    conf = jobs.conf()
    conf["algorithm_parameters"]["learn_0"]["max_iter"] = 77
    with pytest.raises(InvalidInputError) as caught:
        compile_plan(jobs.dsl(), conf)
    problem = Problem(
        "job_runtime_conf.algorithm_parameters.learn_0.max_iter",
        "found 77",
        "another number with several hosts",
    )
    assert list(caught.value.problems) == [problem]


def test_doubts_about_values_are_warnings_with_the_path_of_the_value() -> None:
    conf = jobs.conf()
    conf["role_parameters"]["host"]["learn_0"]["init_param"]["random_seed"] = [1, 13]
    plan = compile_plan(jobs.dsl(), conf)
    path = "job_runtime_conf.role_parameters.host.learn_0.init_param.random_seed[1]"
    assert [warning for warning in plan.warnings if warning.startswith(path)] == [
        str(Problem(path, "found 13", hint="use 12"))
    ]


def test_a_trained_conf_is_not_judged_again() -> None:
    conf, predict = jobs.conf(), jobs.conf()
    conf["role_parameters"]["host"]["learn_0"]["init_param"]["random_seed"] = [1, 13]
    predict["job_parameters"] |= {"job_type": "predict", "model_id": "m", "model_version": "1"}
    predict.pop("algorithm_parameters")
    for role in ("guest", "host"):
        data = predict["role_parameters"][role]["args"]["data"]
        data["eval_data"] = data.pop("train_data")
    plan = compile_predict_plan(derive_predict_dsl(jobs.dsl()), conf, predict)
    assert not any("random_seed" in warning for warning in plan.warnings)


def test_a_short_key_and_stepwise_with_several_hosts_are_seen_at_submission() -> None:
    short = HeteroLogisticParam.from_conf({"encrypt_param": {"key_length": 1024}})
    assert [doubt.path for doubt in short.doubts()] == ["encrypt_param.key_length"]
    assert not list(HeteroLogisticParam().doubts())
    step = {"stepwise_param": {"need_stepwise": True}, "early_stop": "weight_diff"}
    chosen = HeteroLogisticParam.from_conf(step)
    found = list(chosen.check_roles({"guest": [1], "host": [2, 3], "arbiter": [4]}))
    assert [problem.path for problem in found] == ["stepwise_param.need_stepwise"]
    assert not list(chosen.check_roles({"guest": [1], "host": [2], "arbiter": [4]}))
    folds = HeteroLogisticParam.from_conf({**step, "cv_param": {"need_cv": True}})
    assert not list(folds.check_roles({"guest": [1], "host": [2, 3], "arbiter": [4]}))


def _intersection(at_host: dict[str, object], **common: object) -> tuple[str, ...]:
    """Problems of a job whose host has other parameters of Intersection."""
    dsl, conf = copy.deepcopy(DSL), copy.deepcopy(CONF)
    (name,) = (key for key, one in dsl["components"].items() if one["module"] == "Intersection")
    conf["algorithm_parameters"] = {name: common}
    conf["role_parameters"]["host"][name] = {key: [value] for key, value in at_host.items()}
    try:
        compile_plan(dsl, conf)
    except InvalidInputError as error:
        return tuple(map(str, error.problems))
    return ()


def test_parties_that_would_wait_for_each_other_for_ever() -> None:
    (problem,) = _intersection({"intersect_method": "ecdh"})
    assert problem.startswith("job_runtime_conf.role_parameters.host.")
    assert "'rsa' at guest 9999, but 'ecdh' at host 10000" in problem
    assert "one value at all parties" in problem
    (problem,) = _intersection({"repeated_id_process": True})
    assert "false at guest 9999, but true at host 10000" in problem
    raw = {"intersect_method": "raw"}
    assert len(_intersection({"join_role": "host", "with_encode": True}, **raw)) == 2
    encoded = {"encode_params": {"encode_method": "sha256"}, "with_encode": True, **raw}
    assert not _intersection({}, **encoded)


def test_what_each_party_may_choose() -> None:
    own = {"only_output_key": True, "join_role": "host", "sync_intersect_ids": False}
    assert not _intersection(own)
    assert not _intersection({"intersect_method": "RSA"})  # in any case
