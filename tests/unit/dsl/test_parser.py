"""What the parser accepts, what it refuses, and how it says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fate_flow.dsl.parser import compile_plan
from fate_flow.entities import Party
from fate_flow.errors import InvalidInputError
from fate_flow.runtime import registry
from tests.unit.dsl import jobs

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def refused(change: Change) -> dict[str, str]:
    """path -> text of the problems after a change of the sample job."""
    dsl, conf = jobs.dsl(), jobs.conf()
    change(dsl, conf)
    with pytest.raises(InvalidInputError) as caught:
        compile_plan(dsl, conf)
    assert caught.value.retcode == 100
    return {problem.path: str(problem) for problem in caught.value.problems}


def warned(change: Change) -> str:
    dsl, conf = jobs.dsl(), jobs.conf()
    change(dsl, conf)
    return "\n".join(compile_plan(dsl, conf).warnings)


def component(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda dsl: dsl["components"][name]


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


@pytest.mark.parametrize("empty", [None, {}, [], ""])
def test_no_conf(empty: Any) -> None:
    with pytest.raises(InvalidInputError, match="submit conf does exist or format is wrong"):
        compile_plan(jobs.dsl(), empty)


CONF_PROBLEMS: list[tuple[str, Change, str, str]] = [
    ("no initiator", lambda d, c: c.pop("initiator"), "initiator", "'initiator' is missing"),
    ("no role", lambda d, c: c.pop("role"), "role", "'role' is missing"),
    ("no job_parameters", lambda d, c: c.pop("job_parameters"), "job_parameters", "is missing"),
    (
        "work_mode missing",
        lambda d, c: c["job_parameters"].clear(),
        "job_parameters.work_mode",
        "is missing",
    ),
    (
        "work_mode is a text",
        lambda d, c: c["job_parameters"].update(work_mode="0"),
        "job_parameters.work_mode",
        "found '0'; allowed: 0, 1",
    ),
    (
        "work_mode is true",
        lambda d, c: c["job_parameters"].update(work_mode=True),
        "job_parameters.work_mode",
        "found true",
    ),
    (
        "job_type misspelt",
        lambda d, c: c["job_parameters"].update(job_type="predit"),
        "job_parameters.job_type",
        "did you mean 'predict'?",
    ),
    (
        "initiator not in role",
        lambda d, c: c["initiator"].update(party_id=5),
        "initiator",
        "initiator party id error 5",
    ),
    (
        "party id is no integer",
        lambda d, c: c["role"].update(guest=["abc"]),
        "role.guest[0]",
        "an integer",
    ),
    ("party id is true", lambda d, c: c["role"].update(guest=[True]), "role.guest[0]", "true"),
    ("negative id", lambda d, c: c["role"].update(guest=[-1]), "role.guest[0]", "found -1"),
    ("empty role", lambda d, c: c["role"].update(arbiter=[]), "role.arbiter", "an empty list"),
    (
        "party twice",
        lambda d, c: c["role"].update(host=[10000, "10000"]),
        "role.host[1]",
        "party id 10000 is listed twice",
    ),
    (
        "unknown role",
        lambda d, c: c["role"].update(gest=[1]),
        "role.gest",
        "guest, host, arbiter, local",
    ),
    (
        "module without its arbiter",
        lambda d, c: c["role"].pop("arbiter"),
        "role",
        "learn_0 (Learn) needs role arbiter",
    ),
    (
        "two guests",
        lambda d, c: c["role"].update(guest=[9999, 9998]),
        "role.guest",
        "works with one guest, found 2",
    ),
    (
        "too few tables",
        lambda d, c: c["role_parameters"]["host"]["args"]["data"]["train_data"].pop(),
        "role_parameters.host.args.data.train_data",
        "1 tables for 2 parties",
    ),
    (
        "table without namespace",
        lambda d, c: c["role_parameters"]["guest"]["args"]["data"]["train_data"][0].pop(
            "namespace"
        ),
        "role_parameters.guest.args.data.train_data[0].namespace",
        "is missing",
    ),
    (
        "bad value",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(max_iter=0),
        "algorithm_parameters.learn_0.max_iter",
        "found 0",
    ),
    (
        "bad nested value",
        lambda d, c: c["algorithm_parameters"]["learn_0"]["init_param"].update(init_method="one"),
        "algorithm_parameters.learn_0.init_param.init_method",
        "one of zeros, ones, const",
    ),
    (
        "nested parameter is a number",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(init_param=5),
        "algorithm_parameters.learn_0.init_param",
        "found 5; allowed: an object",
    ),
    (
        "bad value of one party",
        lambda d, c: c["role_parameters"]["host"]["learn_0"].update(alpha=[0.1, "x"]),
        "role_parameters.host.learn_0.alpha[1]",
        "found 'x'",
    ),
    (
        "scalar where a list per party is wanted",
        lambda d, c: c["role_parameters"]["guest"]["read_0"].update(label_name="y"),
        "role_parameters.guest.read_0.label_name",
        "a list with one entry per party of role guest",
    ),
    (
        "rule over two values, one from a party",
        lambda d, c: (
            c["role_parameters"]["host"]["learn_0"].update(alpha=[0, 0.1]),
            c["algorithm_parameters"]["learn_0"].update(penalty="L1"),
        ),
        "role_parameters.host.learn_0.alpha[0]",
        "found 0 with penalty L1",
    ),
    (
        "huge number",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(alpha=10**400),
        "algorithm_parameters.learn_0.alpha",
        "a number",
    ),
    (
        "not a number",
        lambda d, c: c["algorithm_parameters"]["learn_0"].update(alpha=float("nan")),
        "algorithm_parameters.learn_0.alpha",
        "a finite number",
    ),
    (
        "predict job",
        lambda d, c: c["job_parameters"].update(job_type="predict"),
        "job_parameters.job_type",
        "from a trained model",
    ),
]


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [row[1:] for row in CONF_PROBLEMS],
    ids=[r[0] for r in CONF_PROBLEMS],
)
def test_conf_problem(change: Change, path: str, text: str) -> None:
    found = refused(change)
    assert text in found[f"job_runtime_conf.{path}"]


def test_data_key_that_no_table_has() -> None:
    dsl = jobs.dsl()
    dsl["components"]["read_0"]["input"]["data"]["data"] = ["args.train"]
    with pytest.raises(InvalidInputError) as caught:
        compile_plan(dsl, jobs.conf())
    texts = [str(problem) for problem in caught.value.problems]
    where = "job_dsl.components.read_0.input.data.data[0]: job_runtime_conf.role_parameters"
    rest = "args.data has no 'train', which read_0 reads; allowed: args.train_data; did you mean"
    assert [text.partition(" 'train_data'")[0] for text in texts] == [
        f"{where}.guest.{rest}",
        f"{where}.host.{rest}",
    ]


def test_an_arbiter_needs_no_tables() -> None:
    dsl, conf = jobs.dsl(), jobs.conf()
    dsl["components"]["learn_0"]["input"]["data"]["train_data"] = ["args.train_data"]
    plan = compile_plan(dsl, conf)
    assert "arbiter_10000" not in plan.job_args


def test_all_problems_at_once() -> None:
    def change(dsl: dict[str, Any], conf: dict[str, Any]) -> None:
        dsl["components"]["read_0"]["module"] = "Reed"
        dsl["components"]["learn_0"]["input"]["data"]["train_data"] = ["ghost_0.x"]
        dsl["components"]["judge_0"]["need_deploy"] = 1
        conf["initiator"]["party_id"] = 1
        conf["job_parameters"]["work_mode"] = 2
        conf["algorithm_parameters"]["learn_0"]["max_iter"] = "many"
        conf["role_parameters"]["host"]["learn_0"]["alpha"] = 3

    assert set(refused(change)) == {
        "job_dsl.components.read_0.module",
        "job_dsl.components.learn_0.input.data.train_data[0]",
        "job_dsl.components.judge_0.need_deploy",
        "job_runtime_conf.initiator",
        "job_runtime_conf.job_parameters.work_mode",
        "job_runtime_conf.algorithm_parameters.learn_0.max_iter",
        "job_runtime_conf.role_parameters.host.learn_0.alpha",
    }


def test_one_problem_of_common_parameters_is_said_once_for_all_parties() -> None:
    found = refused(lambda d, c: c["algorithm_parameters"]["learn_0"].update(max_iter=0))
    assert len(found) == 1


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


def test_party_ids_as_texts() -> None:
    conf = jobs.conf()
    conf["initiator"]["party_id"] = "9999"
    conf["role"] = {"guest": [" 9999\n"], "host": ["10000", 10001.0], "arbiter": [10000]}
    assert compile_plan(jobs.dsl(), conf) == compile_plan(jobs.dsl(), jobs.conf())


def test_empty_names_mean_no_table() -> None:
    conf = jobs.conf()
    tables = conf["role_parameters"]["guest"]["args"]["data"]["train_data"]
    tables[0] = {"name": "", "namespace": ""}
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
