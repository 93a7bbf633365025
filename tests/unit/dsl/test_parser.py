"""What the parser makes of a job, and what it warns of."""

from __future__ import annotations

import pytest

from fate_flow.dsl.parser import compile_plan
from fate_flow.entities import Party
from fate_flow.errors import InvalidInputError
from fate_flow.runtime import registry
from tests.unit.dsl import jobs
from tests.unit.dsl.changes import Change, warned


def test_the_sample_job_compiles() -> None:
    plan = compile_plan(jobs.dsl(), jobs.conf())
    assert [c.name for c in plan.components] == ["read_0", "sample_0", "learn_0", "judge_0"]
    assert plan.initiator == Party("guest", 9999)
    assert plan.roles == {"guest": (9999,), "host": (10000, 10001), "arbiter": (10000,)}
    assert plan.warnings == ()
    learn = plan.component("learn_0")
    assert learn.upstream == ("sample_0",)
    assert learn.data == {"train_data": ("sample_0.sampled",)}
    assert [p.key for p in learn.parties] == [
        "guest_9999",
        "host_10000",
        "host_10001",
        "arbiter_10000",
    ]
    assert [p.key for p in plan.component("judge_0").parties] == [
        "guest_9999",
        "host_10000",
        "host_10001",
    ]
    assert plan.job_args == {
        "guest_9999": {"train_data": ("exp", "g")},
        "host_10000": {"train_data": ("exp", "h0")},
        "host_10001": {"train_data": ("exp", "h1")},
    }


def test_the_documents_are_not_changed() -> None:
    dsl, conf = jobs.dsl(), jobs.conf()
    dsl["components"]["judge_0"]["output"] = {"data": "one"}
    before = (jobs.dsl(), jobs.conf())
    before[0]["components"]["judge_0"]["output"] = {"data": "one"}
    compile_plan(dsl, conf)
    assert (dsl, conf) == before


def test_an_arbiter_needs_no_tables() -> None:
    dsl, conf = jobs.dsl(), jobs.conf()
    dsl["components"]["learn_0"]["input"]["data"]["train_data"] = ["args.train_data"]
    plan = compile_plan(dsl, conf)
    assert "arbiter_10000" not in plan.job_args


WARNINGS: list[tuple[Change, str]] = [
    (
        lambda d, c: d["components"]["judge_0"]["input"]["data"].update(data=["learn_0.score"]),
        "learn_0 stores its table as 'scores', so 'score' gives no table; use 'learn_0.scores'",
    ),
    (
        lambda d, c: d["components"]["learn_0"]["input"].update(
            data={"trian_data": ["sample_0.sampled"]}
        ),
        "did you mean 'train_data'?",
    ),
    (
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(max_itre=3),
        "algorithm_parameters.learn_0.max_itre: unknown parameter, it has no effect; did you mean",
    ),
    (
        lambda d, c: c["algorithm_parameters"].update(lern_0={}),
        "algorithm_parameters.lern_0: there is no such component in the DSL",
    ),
    (
        lambda d, c: c["role_parameters"].update(local={}),
        "role_parameters.local: there is no such role",
    ),
    (
        lambda d, c: c["role_parameters"].update(arbiter={"read_0": {"with_label": [True]}}),
        "Read does not run at role arbiter, it has no effect",
    ),
    (
        lambda d, c: c["role_parameters"]["host"]["learn_0"].update(alpha=[0.5]),
        "1 entries for 2 parties of role host: the other parties keep the default",
    ),
    (
        lambda d, c: d["components"]["learn_0"]["input"].update(
            data={"data": ["sample_0.sampled"]}
        ),
        "found data, Learn reads train_data and eval_data",
    ),
    (
        lambda d, c: d["components"]["sample_0"]["input"].update(
            data={"train_data": ["read_0.train"]}
        ),
        "found train_data, Sample reads data",
    ),
    (lambda d, c: c["job_parameters"].update(work_mod=1), "unknown job parameter"),
    (lambda d, c: c["job_parameters"].update(timeout=-1), "the default timeout applies"),
    (lambda d, c: d.update(components=[]), "the job has no components"),
    (
        lambda d, c: d["components"]["learn_0"]["output"].update(model=["v1.0"]),
        "learn_0.output.model[0]: no reference can name 'v1.0'",
    ),
    (
        lambda d, c: c["role"].update(local=[]),
        "role.local: an empty list, so the job has no such role",
    ),
    (lambda d, c: d["components"]["judge_0"].update(input=["a"]), "found a list of 1, it has no"),
    (
        lambda d, c: d["components"]["read_0"]["output"].update(data="train"),
        "read as a list of one name",
    ),
]


@pytest.mark.parametrize(("change", "text"), WARNINGS, ids=range(len(WARNINGS)))
def test_warning(change: Change, text: str) -> None:
    assert text in warned(change)


def test_keys_of_the_command_line_have_no_effect() -> None:
    conf = jobs.conf()
    conf.update(function="submit_job", config="/a", dsl="/b", local={"role": "host"}, notes=1)
    plan = compile_plan(jobs.dsl(), conf)
    assert plan == compile_plan(jobs.dsl(), jobs.conf())


def test_a_role_with_an_empty_list_is_as_if_it_were_not_there() -> None:
    conf = jobs.conf()
    conf["role"]["local"] = []
    plan, other = compile_plan(jobs.dsl(), conf), compile_plan(jobs.dsl(), jobs.conf())
    assert plan.roles == other.roles
    assert plan.components == other.components


def test_a_text_of_one_character_is_the_list_of_its_characters() -> None:
    conf = jobs.conf()
    conf["role_parameters"]["guest"]["read_0"]["label_name"] = "t"
    conf["role_parameters"]["host"]["read_0"] = {"label_name": "u"}
    plan = compile_plan(jobs.dsl(), conf)
    names = {
        party: values["ReadTestParam"]["label_name"]
        for party, values in plan.component("read_0").parameters.items()
    }
    assert names == {"guest_9999": "t", "host_10000": "u", "host_10001": "y"}
    assert "guest.read_0.label_name: found a text of one character" in "\n".join(plan.warnings)


def test_job_parameters_that_a_training_job_does_not_read_may_be_null() -> None:
    conf = jobs.conf()
    unread = {"model_id": None, "model_version": None, "spark_submit_config": None}
    conf["job_parameters"] |= unread | {"timeout": None}
    assert (
        compile_plan(jobs.dsl(), conf).components
        == compile_plan(jobs.dsl(), jobs.conf()).components
    )
    conf["job_parameters"] |= {"model_id": 7}
    with pytest.raises(InvalidInputError, match="model_id: found 7; allowed: a text or null"):
        compile_plan(jobs.dsl(), conf)


def test_party_ids_as_texts() -> None:
    conf = jobs.conf()
    conf["initiator"]["party_id"] = "9999"
    conf["role"] = {"guest": [" 9999\n"], "host": ["10000", 10001.0], "arbiter": [10000]}
    assert compile_plan(jobs.dsl(), conf) == compile_plan(jobs.dsl(), jobs.conf())


@pytest.mark.parametrize("empty", ["", None])
def test_empty_names_mean_no_table(empty: str | None) -> None:
    conf = jobs.conf()
    tables = conf["role_parameters"]["guest"]["args"]["data"]["train_data"]
    tables[0] = {"name": empty, "namespace": empty}
    assert compile_plan(jobs.dsl(), conf).job_args["guest_9999"] == {"train_data": None}


def test_a_component_without_input_has_no_output_names() -> None:
    dsl, conf = jobs.dsl(), jobs.conf()
    dsl["components"]["learn_0"].pop("input")
    plan = compile_plan(dsl, conf)
    assert plan.component("learn_0").data_name == "component"
    assert plan.component("learn_0").model_alias == "default"
    assert "use 'learn_0.component'" in "\n".join(plan.warnings)


def test_order_is_the_dsls_among_equals() -> None:
    dsl = {
        "components": {
            "judge_0": {"module": "Judge", "input": {"data": {"data": ["read_1.d", "read_0.d"]}}},
            "read_1": {
                "module": "Read",
                "input": {"data": {"data": ["args.train_data"]}},
                "output": {"data": ["d"]},
            },
            "read_0": {
                "module": "Read",
                "input": {"data": {"data": ["args.train_data"]}},
                "output": {"data": ["d"]},
            },
        }
    }
    conf = jobs.conf()
    conf["algorithm_parameters"] = {}
    plan = compile_plan(dsl, conf)
    assert [c.name for c in plan.components] == ["read_1", "read_0", "judge_0"]
    assert plan.component("judge_0").upstream == ("read_1", "read_0")


def test_job_of_the_local_role() -> None:
    conf = {
        "initiator": {"role": "local", "party_id": 0},
        "job_parameters": {"work_mode": 0},
        "role": {"local": [0]},
        "role_parameters": {"local": {"load_0": {"label_name": ["t"]}}},
    }
    plan = compile_plan({"components": {"load_0": {"module": "Load"}}}, conf)
    assert plan.components[0].parties == (Party("local", 0),)
    parameters = plan.components[0].parameters["local_0"]
    assert parameters["ReadTestParam"]["label_name"] == "t"
    assert parameters["local"] == {"role": "local", "party_id": 0}


def test_a_module_whose_code_is_broken_is_no_warning() -> None:
    """A missing parameter class is the installation's fault and must not pass in silence."""
    broken = registry.ModuleSpec(
        name="Broken", programs={"guest": "no.such:Program"}, param="no.such.module:Param"
    )
    registry.register(broken)
    dsl = {"components": {"broken_0": {"module": "Broken"}}}
    with pytest.raises(ModuleNotFoundError):
        compile_plan(dsl, jobs.conf())
