"""The parser against recorded answers of FATE 1.4 and its example job files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fate_flow.dsl.parser import (
    compile_plan,
    compile_predict_plan,
    dependency,
    derive_predict_dsl,
)
from fate_flow.errors import InvalidInputError
from fate_flow.models.proto.pipeline_pb2 import Pipeline
from fate_flow.runtime import registry
from tests.support.reference import reference_path

SUBMISSIONS = (
    "bad_component_name",
    "bad_data_key",
    "bad_input_type",
    "components_list",
    "cycle",
    "empty_components",
    "is_text",
    "no_components",
    "no_module",
    "output_not_list",
    "self_loop",
    "unknown_dependency",
    "unknown_module",
    "unknown_output",
)
#: Recorded texts that are accidents of the reference; ours say it otherwise.
ACCIDENTS = ("is_text", "unknown_module")
#: Defaults that differ on purpose: Paillier keys have 2048 bits unless the conf says otherwise.
DELIBERATE = {"key_length": (2048, 1024)}
RUNS = (
    "hetero_logistic_regression.lr",
    "hetero_feature_binning.quantile_binning",
    "intersect.rsa_intersect",
)


def load(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submission_is_accepted_or_refused_as_recorded(name: str) -> None:
    recorded = load(reference_path("golden-1.4", "_responses", f"submit_dsl_{name}.json"))
    request, response = recorded["request"]["json"], recorded["response"]
    retcode, text = 0, ""
    try:
        plan = compile_plan(request["job_dsl"], request["job_runtime_conf"])
    except InvalidInputError as error:
        retcode, text = error.retcode, str(error)
    else:
        assert plan.warnings
    assert retcode == response["retcode"]
    if retcode and name not in ACCIDENTS:
        assert response["retmsg"] in text


@pytest.mark.parametrize("run", RUNS)
def test_dependency_is_as_recorded(run: str) -> None:
    folder = reference_path("golden-1.4", run)
    plan = compile_plan(load(folder / "dsl.json"), load(folder / "conf.json"))
    answers = sorted(folder.glob("dag_dependency_*.json"))
    assert len(answers) == len(plan.parties)
    for path in answers:
        role, party_id = path.stem.split("_")[-2:]
        assert dependency(plan, role, party_id) == load(path)["data"]


@pytest.mark.parametrize("run", RUNS)
def test_parameters_are_as_recorded(run: str) -> None:
    folder = reference_path("golden-1.4", run)
    plan = compile_plan(load(folder / "dsl.json"), load(folder / "conf.json"))
    compared = 0
    for path in sorted(folder.glob("components/*/*/parameters.json")):
        recorded = load(path).get("data")
        conf = plan.component(path.parts[-3]).parameters.get(path.parts[-2])
        if recorded is None:
            assert conf is None
            continue
        assert conf is not None
        shown = {key: conf[key] for key in conf if key == "module" or key.endswith("Param")}
        assert set(shown) == set(recorded)
        for key, value in recorded.items():
            if isinstance(value, dict):
                _assert_same_where_both_speak(shown[key], value, f"{path.parts[-3]} {key}")
            else:
                assert shown[key] == value
        compared += 1
    assert compared


def _assert_same_where_both_speak(ours: dict[str, Any], recorded: dict[str, Any], at: str) -> None:
    """Every recorded key is there with its value; keys of ours may be added."""
    assert set(recorded) <= set(ours), at
    for key, value in recorded.items():
        if isinstance(value, dict) and isinstance(ours[key], dict) and value:
            _assert_same_where_both_speak(ours[key], value, f"{at}.{key}")
        else:
            same = ours[key] == value or (ours[key], value) == DELIBERATE.get(key)
            assert same, f"{at}.{key}: {ours[key]!r}, recorded {value!r}"


@pytest.mark.parametrize("run", RUNS)
def test_predict_dsl_is_as_recorded(run: str) -> None:
    folder = reference_path("golden-1.4", run)
    caches = sorted(folder.glob("model/cache_*/pipeline.pb"))
    for path in caches:
        message = Pipeline()
        message.ParseFromString(path.read_bytes())
        role = path.parent.name.split("_")[1]
        derived = derive_predict_dsl(load(folder / "dsl.json"), role)
        assert derived == json.loads(message.inference_dsl)
    assert caches or run == "intersect.rsa_intersect"


def _job_files() -> list[tuple[str, Path, Path]]:
    """Every example job: (name, DSL, conf), from the suites and from pairs of file names."""
    root = reference_path("examples-1.4", "dsl")
    pairs: set[tuple[Path, Path]] = set()
    for suite in sorted(root.glob("*/*testsuite.json")):
        tasks = [task for task in load(suite).get("tasks", {}).values() if "dsl" in task]
        pairs |= {(suite.parent / task["dsl"], suite.parent / task["conf"]) for task in tasks}
    for conf in root.glob("*/*_conf.json"):
        dsl = conf.with_name(conf.name.replace("_conf.json", "_dsl.json"))
        if dsl.exists():
            pairs.add((dsl, conf))
    files = sorted({(dsl.resolve(), conf.resolve()) for dsl, conf in pairs})
    return [(f"{conf.parent.name}/{conf.stem}", dsl, conf) for dsl, conf in files]


def _problems(dsl: Any, conf: Any) -> list[str]:
    try:
        plan = compile_plan(dsl, conf)
    except InvalidInputError as error:
        return [str(problem) for problem in error.problems]
    assert {component.name for component in plan.components} == set(dsl["components"])
    return []


def test_example_jobs_compile_or_say_what_this_version_does_not_have() -> None:
    jobs = _job_files()
    assert len(jobs) > 40
    compiled = 0
    for name, dsl_file, conf_file in jobs:
        dsl = load(dsl_file)
        problems = _problems(dsl, load(conf_file))
        modules = {component["module"] for component in dsl["components"].values()}
        for module in modules:
            spec = registry.find(module)
            assert spec is not None
            named = any(f"module {module!r} of FATE 1.4 is not available" in p for p in problems)
            assert named != spec.is_available, name
        unexplained = [p for p in problems if "is not available in this version" not in p]
        assert not unexplained, f"{name}: {unexplained}"
        compiled += not problems
    assert compiled > 25


def test_a_recorded_pipeline_compiles_as_a_predict_job() -> None:
    folder = reference_path("golden-1.4", "hetero_logistic_regression.lr")
    message = Pipeline()
    message.ParseFromString((folder / "model" / "cache_guest_10000" / "pipeline.pb").read_bytes())
    train_conf = json.loads(message.train_runtime_conf)
    conf = load(folder / "conf.json")
    conf["job_parameters"] = {**train_conf["job_parameters"], "job_type": "predict"}
    plan = compile_predict_plan(json.loads(message.inference_dsl), train_conf, conf)
    assert [c.name for c in plan.components] == ["dataio_0", "intersection_0", "hetero_lr_0"]
    learner = plan.component("hetero_lr_0")
    assert learner.data == {"eval_data": ("intersection_0.train",)}
    assert learner.upstream == ("intersection_0",)
    parameters = learner.parameters["guest_10000"]["HeteroLogisticParam"]
    assert parameters["max_iter"] == 3
